// An enum has 4 bytes if its values fit, 8 if not; packed the fewest.
enum plain { P1, P2 = -1 };
enum large { L1 = 0x100000000LL };
enum unsigned_large { U1 = 0xffffffff };
enum mixed_large { M1 = -1, M2 = 0x80000000 };
enum tiny { T1 = 255 } __attribute__((packed));
enum __attribute__((__packed__)) tiny_signed { S1 = -1, S2 = 127 };
enum packed_2 { Q1 = -1, Q2 = 128 } __attribute__((packed));
enum packed_8 { R1 = 1ULL << 32 } __attribute__((packed));
struct enums {                                        // size 0x38, i386 0x30
    char a;                                           // 0x00
    enum plain b;                                     // 0x04
    enum tiny c;                                      // 0x08
    enum large d;                                     // 0x10, i386 0x0c
    enum tiny_signed e;                               // 0x18, i386 0x14
    enum packed_2 f;                                  // 0x1a, i386 0x16
    enum unsigned_large g;                            // 0x1c, i386 0x18
    enum mixed_large h;                               // 0x20, i386 0x1c
    enum packed_8 i;                                  // 0x28, i386 0x24
    enum { INSIDE = 300 } __attribute__((packed)) j;  // 0x30, i386 0x2c
};

// Enumerators count on from the last; their values size arrays.
enum counted { C0, C5 = 5, C6, C20 = C6 * 3 + 2, C21, };
struct counts {                    // size 0x1c
    char a[C6];                    // 0x00
    char b[C21];                   // 0x06
    char c[C5 == 5 ? C0 + 1 : 9];  // 0x1b
};

// Enumerators defined inside a record are known after it and in it.
struct defines {                   // size 0x8
    enum { FIRST = 2, SECOND } a;  // 0x00
    char b[SECOND];                // 0x04
};
struct uses_them {                 // size 0x5
    char c[FIRST + SECOND];        // 0x00
};

// Negative enumerators are signed ints in expressions, and wrap when compared with unsigned.
enum signs { MINUS = -4, ONE_MORE };
struct by_signs {                // size 0xa
    char a[-MINUS];              // 0x00
    char b[ONE_MORE + 4];        // 0x04
    char c[MINUS < 0u ? 2 : 5];  // 0x05
};

// mode gives a type of a width by name.
typedef int quarter __attribute__((mode(QI)));
typedef unsigned half __attribute__((__mode__(__HI__)));
struct modes {                                 // size 0x30, i386 0x20
    quarter a;                                 // 0x00
    half b;                                    // 0x02
    int c __attribute__((mode(DI)));           // 0x08, i386 0x04
    int d __attribute__((mode(__word__)));     // 0x10, i386 0x0c
    unsigned __attribute__((mode(byte))) e;    // 0x18, i386 0x10
    float f __attribute__((mode(DF)));         // 0x20, i386 0x14
    int g __attribute__((mode(__pointer__)));  // 0x28, i386 0x1c
};

// Vectors align to their size.
typedef float four __attribute__((vector_size(16)));
struct vectors {                                   // size 0x80
    char a;                                        // 0x00
    four b;                                        // 0x10
    char c;                                        // 0x20
    int d __attribute__((vector_size(8)));         // 0x28, i386 0x24
    char e;                                        // 0x30, i386 0x2c
    short __attribute__((__vector_size__(32))) f;  // 0x40
    four g[2];                                     // 0x60
};

// Floating, complex and decimal types.
struct floats {         // size 0xc0, i386 0xb0
    char a;             // 0x00
    float b;            // 0x04
    char c;             // 0x08
    long double d;      // 0x10, i386 0x0c
    char e;             // 0x20, i386 0x18
    _Complex float f;   // 0x24, i386 0x1c
    char g;             // 0x2c, i386 0x24
    double _Complex h;  // 0x30, i386 0x28
    _Complex char i;    // 0x40, i386 0x38
    _Complex int j;     // 0x44, i386 0x3c
    __float128 k;       // 0x50
    _Decimal32 l;       // 0x60
    _Decimal64 m;       // 0x68
    _Decimal128 n;      // 0x70
    _Float32 o;         // 0x80
    _Float64 p;         // 0x88, i386 0x84
    _Float32x q;        // 0x90, i386 0x8c
    _Float64x r;        // 0xa0, i386 0x94
    _Float128 s;        // 0xb0, i386 0xa0
};

// x86_64: __int128 aligns to 16 and may be a bit-field's type.
struct int128s {                               // size 0x40
    char a;                                    // 0x00
    __int128 b;                                // 0x10
    unsigned __int128 c : 70;                  // 0x20.0
    char d;                                    // 0x29
    __int128 e : 127 __attribute__((packed));  // 0x2a.0
};

// Types that the compiler knows by name, and those of its predefined macros.
struct builtins {         // size 0x50, i386 0x28
    char a;               // 0x00
    __builtin_va_list b;  // 0x08, i386 0x04
    char c;               // 0x20, i386 0x08
    __SIZE_TYPE__ d;      // 0x28, i386 0x0c
    char e;               // 0x30, i386 0x10
    __INT64_TYPE__ f;     // 0x38, i386 0x14
    __INTPTR_TYPE__ g;    // 0x40, i386 0x1c
    __CHAR16_TYPE__ h;    // 0x48, i386 0x20
    __WINT_TYPE__ i;      // 0x4c, i386 0x24
};

// typeof a type, an expression, a member; it keeps a typedef's alignment and drops a member's.
typedef int strict __attribute__((aligned(16)));
struct source { char x; strict y; char z __attribute__((aligned(8))); int w[3]; };
struct typeofs {                          // size 0xb0, i386 0x90
    typeof(char) a;                       // 0x00
    __typeof__(1ULL) b;                   // 0x08, i386 0x04
    char c;                               // 0x10, i386 0x0c
    __typeof(((struct source *)0)->y) d;  // 0x20, i386 0x10
    char e;                               // 0x24, i386 0x14
    typeof(((struct source *)0)->z) f;    // 0x25, i386 0x15
    typeof(((struct source *)0)->w) g;    // 0x28, i386 0x18
    typeof(int (*)[4]) h;                 // 0x38, i386 0x24
    typeof(*(struct source *)0) i;        // 0x40, i386 0x30
    typeof('x') j;                        // 0x70, i386 0x60
    typeof((char)1 + (char)1) k;          // 0x74, i386 0x64
    typeof(1 ? 2 : 3L) l;                 // 0x78, i386 0x68
    typeof(sizeof(int)) m;                // 0x80, i386 0x6c
    typeof(&((struct source *)0)->x) n;   // 0x88, i386 0x70
    typeof(1.0f) o;                       // 0x90, i386 0x74
    typeof(1.0) p;                        // 0x98, i386 0x78
    typeof("abc") q;                      // 0xa0, i386 0x80
};

// typedef in the middle of the specifiers; several declarators; a typedef of a typedef; declared twice.
unsigned typedef short middle;
typedef middle first, *second, third[3];
typedef first again;
typedef unsigned short again;
struct typedefs {  // size 0x18, i386 0x10
    char a;        // 0x00
    middle b;      // 0x02
    second c;      // 0x08, i386 0x04
    third d;       // 0x10, i386 0x08
    again e;       // 0x16, i386 0x0e
};

// transparent_union changes how it is passed, not how it lies.
union transparent {  // size 0x8, i386 0x4
    int *a;          // 0x00
    long *b;         // 0x00
} __attribute__((transparent_union));
