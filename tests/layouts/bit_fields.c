// A bit-field starts where the last one ended, if it then lies in one unit of its type.
struct consecutive {  // size 0x8
    int a : 3;        // 0x00.0
    int b : 13;       // 0x00.3
    int c : 16;       // 0x02.0
    int d : 1;        // 0x04.0
};

// One that would cross its unit's end moves to the next unit.
struct crossing {  // size 0xc
    char before;   // 0x00
    int a : 23;    // 0x01.0
    int b : 2;     // 0x04.0
    short c : 15;  // 0x06.0
    short d : 2;   // 0x08.0
    char e;        // 0x09
};

// Units of different types overlap: each looks at its own.
struct mixed {         // size 0x10, i386 0xc
    char a : 7;        // 0x00.0
    int b : 9;         // 0x00.7
    long long c : 40;  // 0x02.0
    char d : 4;        // 0x07.0
    char e : 5;        // 0x08.0
};

// A member that is none starts at its own alignment, even inside the unit of a bit-field.
struct after_bits {  // size 0x8
    int a : 3;       // 0x00.0
    char b;          // 0x01
    int c : 4;       // 0x02.0
    short d;         // 0x04
};

// A bit-field may lie in the padding before its unit's end.
struct in_padding {  // size 0x8
    char a;          // 0x00
    int b : 24;      // 0x01.0
    char c;          // 0x04
};

// A bit-field of no width ends the unit of its type. It does not align the record.
struct no_width {        // size 0x9
    char a;              // 0x00
    int : 0;
    char b;              // 0x04
    long long : 0;
    char c;              // 0x08
};
struct no_width_alone {  // size 0x2
    char a;              // 0x00
    short : 0;
};
struct no_width_first {  // size 0x1
    int : 0;
    char a;              // 0x00
};

// Unnamed bit-fields take room and do not align the record.
struct unnamed {           // size 0x5
    char a;                // 0x00
    int : 20;
    char b;                // 0x04
};
struct unnamed_alone {     // size 0x2
    long : 3;
    char a;                // 0x01
};
struct unnamed_crossing {  // size 0x9
    char a;                // 0x00
    int : 25;
    char b;                // 0x08
};

// _Bool takes one bit in units of a byte.
struct booleans {        // size 0x4
    _Bool a : 1;         // 0x00.0
    _Bool b : 1;         // 0x00.1
    unsigned int c : 6;  // 0x00.2
    _Bool d : 1;         // 0x01.0
    _Bool e;             // 0x02
};

// An enum's bit-fields have units as wide as the enum, also when it takes 8 bytes or is packed to 1.
enum small { SMALL };
enum wide { WIDE = 1ULL << 40 };
enum narrow { NARROW } __attribute__((packed));
struct enums {          // size 0x10
    enum small a : 2;   // 0x00.0
    enum small b : 31;  // 0x04.0
    enum narrow c : 5;  // 0x08.0
    enum narrow d : 4;  // 0x09.0
    enum wide e : 41;   // 0x09.4
};

// Packed: no bit is lost, units do not count, members that are none start at the next byte.
struct packed_bits {   // size 0x12
    int a : 3;         // 0x00.0
    long long b : 61;  // 0x00.3
    int c : 5;         // 0x08.0
    char d;            // 0x09
    int e : 30;        // 0x0a.0
    int f;             // 0x0e
} __attribute__((packed));

// Packed on a bit-field packs that one only.
struct one_packed {                      // size 0x10
    char a;                              // 0x00
    int b : 31 __attribute__((packed));  // 0x01.0
    int c : 31;                          // 0x08.0
    char d;                              // 0x0c
};

// A bit-field of no width counts in a packed record too.
struct no_width_packed {  // size 0x5
    char a : 3;           // 0x00.0
    int : 0;
    char b;               // 0x04
} __attribute__((packed));

// A bit-field of a typedef'd type that is aligned beyond its size never joins a unit: it starts a new one.
typedef int aligned_int __attribute__((aligned(8)));
struct aligned_type {   // size 0x10
    char a;             // 0x00
    aligned_int b : 5;  // 0x08.0
    int c : 28;         // 0x0c.0
};

// A bit-field of a typedef'd type of lower alignment may cross the type's natural unit.
typedef int loose_int __attribute__((aligned(1)));
struct loose_type {    // size 0x6
    char a;            // 0x00
    loose_int b : 30;  // 0x01.0
    loose_int c : 3;   // 0x04.6
};

// A bit-field that is aligned itself starts there.
struct aligned_bits {                       // size 0x18
    int a : 3;                              // 0x00.0
    int b : 3 __attribute__((aligned(8)));  // 0x08.0
    int c : 3;                              // 0x08.3
    int : 0 __attribute__((aligned(16)));
    char d;                                 // 0x10
};

// In a union each starts at 0, and one of no width does nothing.
union of_bits {        // size 0x8
    int a : 3;         // 0x00.0
    long long b : 33;  // 0x00.0
    int : 0;
    unsigned char c;   // 0x00
};

// long long bit-fields align the record as the member would: to 4 on i386.
struct long_bits {    // size 0x8, i386 0x4
    char a;           // 0x00
    long long b : 4;  // 0x01.0
};

// A bit-field of all its type's bits is one nevertheless.
struct full_width {  // size 0x6
    char a;          // 0x00
    int b : 32;      // 0x01.0
    char c;          // 0x05
} __attribute__((packed));

// Several declarators share their type, not their attributes.
struct declarators {                                    // size 0xc
    unsigned a : 4, b : 4, : 20, c : 8;                 // a 0x00.0; b 0x00.4; c 0x04.0
    unsigned d : 4 __attribute__((aligned(4))), e : 4;  // d 0x08.0; e 0x08.4
};

// Under #pragma pack(1) they cross units as packed ones do; :0 still ends the unit.
#pragma pack(push, 1)
struct pragma_bits {   // size 0x10
    char a;            // 0x00
    int b : 31;        // 0x01.0
    int c : 3;         // 0x04.7
    int : 0;
    long long d : 60;  // 0x08.0
};
#pragma pack(pop)

// Under #pragma pack(2).
#pragma pack(2)
struct pragma_2_bits {  // size 0xe
    char a;             // 0x00
    int b : 18;         // 0x01.0
    int c : 10;         // 0x03.2
    int d : 30;         // 0x04.4
    int : 0;
    char e;             // 0x0c
};
#pragma pack()

// A type aligned to more than its size never holds its bit-field in one unit: GCC rounds the position up to the alignment,
// counting from where the last whole 16 bytes began.
typedef int int_of_64 __attribute__((aligned(64)));
struct far_bits {                                     // size 0x80
    long long a[3];                                   // 0x00
    unsigned long long b : 28;                        // 0x18.0
    unsigned char c;                                  // 0x1c
    int_of_64 d : 17 __attribute__((aligned(8)));     // 0x50.0
};
