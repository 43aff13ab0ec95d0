// An atomic type of 1, 2, 4, 8 or 16 bytes is aligned to its size, on i386 too.
struct triple_bytes { char x[3]; };
struct quad_bytes { char x[4]; };
struct atomics {                    // size 0x40, i386 0x38
    char a;                         // 0x00
    _Atomic int b;                  // 0x04
    char c;                         // 0x08
    _Atomic(long long) d;           // 0x10
    char e;                         // 0x18
    _Atomic struct quad_bytes f;    // 0x1c
    char g;                         // 0x20
    _Atomic struct triple_bytes h;  // 0x21
    char i;                         // 0x24
    double _Atomic j;               // 0x28
    char k;                         // 0x30
    int *_Atomic l;                 // 0x38, i386 0x34
};

// _Alignas(0) asks for nothing: i386 still aligns a union that fits a register to four bytes.
union nothing_asked {                                   // size 0x8
    _Atomic(long long) a;                               // 0x00
    _Alignas(0) char b;                                 // 0x00
};
struct holds_nothing_asked {                            // size 0x10, i386 0xc
    char c;                                             // 0x00
    union nothing_asked d;                              // 0x08, i386 0x04
};

// An unnamed bit-field aligns nothing, but asks: i386 no longer takes the union for a register that needs four bytes.
union asked_by_the_unnamed {                                    // size 0x8
    long long a;                                                // 0x00
    _Atomic(long long) b;                                       // 0x00
    __attribute__((aligned(16))) int : 0;
};
struct holds_the_asked {                                        // size 0x10
    char c;                                                     // 0x00
    union asked_by_the_unnamed d;                               // 0x08
};

// i386: a struct with a flexible array fits no register, so it is aligned by what it holds.
struct flexible { _Atomic(long long) a; int b[]; };                   // size 0x8
struct holds_flexible {                                               // size 0x10
    char a;                                                           // 0x00
    struct flexible b;                                                // 0x08
};
