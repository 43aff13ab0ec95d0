// ms_struct: bit-fields share a unit as wide as their type if their types have one size, and only then.
struct one_size {                           // size 0x4
    int a : 3;                              // 0x00.0
    unsigned b : 20;                        // 0x00.3
} __attribute__((ms_struct));
struct two_sizes {                          // size 0xc
    char a;                                 // 0x00
    int b : 3;                              // 0x04.0
    short c : 4;                            // 0x08.0
    char d : 2;                             // 0x0a.0
    char e : 7;                             // 0x0b.0
} __attribute__((ms_struct));

// ms_struct: a unit is used up by what does not fit into it, by a member that is none, and by the record's end.
struct used_up {                            // size 0x18
    long long a : 1;                        // 0x00.0
    char b;                                 // 0x08
    int c : 30;                             // 0x0c.0
    int d : 3;                              // 0x10.0
} __attribute__((ms_struct));
struct used_up_by_the_end {                 // size 0x8
    int a : 1;                              // 0x00.0
    short b : 1;                            // 0x04.0
} __attribute__((ms_struct));

// ms_struct: a bit-field of no width ends the unit of one that has a width, and does nothing behind anything else.
struct no_width {                           // size 0x18
    char a;                                 // 0x00
    int : 0;
    char b;                                 // 0x01
    int c : 2;                              // 0x04.0
    int : 0;
    int d : 2;                              // 0x08.0
    long long : 0;
    char e;                                 // 0x10
} __attribute__((ms_struct));

// ms_struct: the size of the type counts where a record is packed, too.
struct packed_units {                       // size 0x9
    char a;                                 // 0x00
    int b : 3;                              // 0x01.0
    int c : 29;                             // 0x01.3
    int d : 1;                              // 0x05.0
} __attribute__((ms_struct, packed));

// ms_struct: what takes eight bytes is aligned to them on i386, too.
struct long_long {                          // size 0x10
    char a;                                 // 0x00
    long long b;                            // 0x08
} __attribute__((ms_struct));

// ms_struct: a union is aligned to what takes eight bytes on i386, too.
union of_a_double {                         // size 0x10
    double a;                               // 0x00
    long long b;                            // 0x00
    char c[12];                             // 0x00
} __attribute__((ms_struct));

// ms_struct: in a union every bit-field starts at 0 and takes no more than its bytes; the type aligns.
union of_units {                            // size 0x4
    char a;                                 // 0x00
    int b : 3;                              // 0x00.0
} __attribute__((ms_struct));

// ms_struct says nothing of the records inside; gcc_struct is the usual layout; of both the first counts.
struct only_the_outer {                     // size 0x4
    struct { char a; int b : 3; } c;        // c 0x00
} __attribute__((ms_struct));
struct usual {                              // size 0x4
    char a;                                 // 0x00
    int b : 3;                              // 0x01.0
} __attribute__((gcc_struct));
struct ms_comes_first {                     // size 0x8
    char a;                                 // 0x00
    int b : 3;                              // 0x04.0
} __attribute__((ms_struct, gcc_struct));
struct gcc_comes_first {                    // size 0x4
    char a;                                 // 0x00
    int b : 3;                              // 0x01.0
} __attribute__((gcc_struct, ms_struct));

// ms_struct of a typedef, and of a struct that is not defined there, says nothing.
struct __attribute__((ms_struct)) declared;
struct declared {                           // size 0x4
    char a;                                 // 0x00
    int b : 3;                              // 0x01.0
};
typedef struct of_a_typedef {               // size 0x4
    char a;                                 // 0x00
    int b : 3;                              // 0x01.0
} named __attribute__((ms_struct));
