// Lengths: arithmetic with C's precedence.
struct arithmetic {                                   // size 0x49
    char a[1 + 2 * 3];                                // 0x00
    char b[(1 + 2) * 3];                              // 0x07
    char c[7 / 2 + 7 % 4];                            // 0x10
    char d[1 << 3 | 1];                               // 0x16
    char e[0xF0 >> 4 & 6 ^ 1];                        // 0x1f
    char f[!0 + !5 + ~(-3)];                          // 0x26
    char g[1 ? 2 : 3 ? 4 : 5];                        // 0x29
    char h[3 > 2 == 1 && 4 || 1 / 0];                 // 0x2b
    char i[010 + 0x10 + 'A' - '\x41' + '\101' - 65];  // 0x2c
    char j[0b101];                                    // 0x44
};

// Widths and signedness of the target: unsigned wins, int is 32 bits, long as wide as a pointer.
struct integers {                              // size 0x86, i386 0x7f
    char a[-1 < 0u ? 1 : 2];                   // 0x00
    char b[-1L < 0u ? 3 : 4];                  // 0x02
    char c[(unsigned char)300];                // 0x05, i386 0x06
    char d[(signed char)200 < 0 ? 5 : 6];      // 0x31, i386 0x32
    char e[sizeof(1 + 1L)];                    // 0x36, i386 0x37
    char f[sizeof(0x80000000)];                // 0x3e, i386 0x3b
    char g[sizeof(2147483648)];                // 0x42, i386 0x3f
    char h[(-8) / 3 + 5];                      // 0x4a, i386 0x47
    char i[(-8) % 3 + 5];                      // 0x4d, i386 0x4a
    char j[(-8 >> 1) + 6];                     // 0x50, i386 0x4d
    char k[(int)(4294967295u >> 28)];          // 0x52, i386 0x4f
    char l[sizeof('z')];                       // 0x61, i386 0x5e
    char m[(~0UL >> (8 * sizeof(long) - 3))];  // 0x65, i386 0x62
    char n[(char)-1 < 0 ? 2 : 3];              // 0x6c, i386 0x69
    char o[(_Bool)7];                          // 0x6e, i386 0x6b
    char p[(int)3.99];                         // 0x6f, i386 0x6c
    char q[sizeof(1.0f) + sizeof(1.0L)];       // 0x72, i386 0x6f
};

// sizeof and alignment of types, records, members, arrays, literals.
struct measured { char x; long long y; int z[5]; struct { short s; } in[3]; };
struct sizes {                                       // size 0xbf, i386 0x9d
    char a[sizeof(struct measured)];                 // 0x00
    char b[sizeof(((struct measured *)0)->z)];       // 0x30, i386 0x28
    char c[sizeof ((struct measured *)0)->z[0]];     // 0x44, i386 0x3c
    char d[sizeof(struct measured *)];               // 0x48, i386 0x40
    char e[sizeof(int (*(*)(void))[3])];             // 0x50, i386 0x44
    char f[sizeof "four"];                           // 0x58, i386 0x48
    char g[sizeof(int[3][2]) / sizeof(int)];         // 0x5d, i386 0x4d
    char h[__alignof__(struct measured)];            // 0x63, i386 0x53
    char i[__alignof__(((struct measured *)0)->y)];  // 0x6b, i386 0x57
    char j[sizeof(struct { char x; int y; })];       // 0x73, i386 0x5b
    char k[sizeof((char)1 ? (short)1 : (char)2)];    // 0x7b, i386 0x63
    char l[sizeof(long) * 8 / 16];                   // 0x7f, i386 0x67
    char m[sizeof(void)];                            // 0x83, i386 0x69
    char n[sizeof(enum { HERE = 5 }) + HERE];        // 0x84, i386 0x6a
    char o[sizeof((struct measured *)0)->in[1].s];   // 0x8d, i386 0x73
    char p[sizeof(*(struct measured *)0)];           // 0x8f, i386 0x75
};

// offsetof, through arrays and anonymous members, by the builtin and by hand.
struct placed { char x; union { long y; struct { char p, q; }; }; struct { short s; char t[4]; } in[3]; };
#define offsetof(TYPE, MEMBER) __builtin_offsetof(TYPE, MEMBER)
#define old_offsetof(TYPE, MEMBER) ((unsigned long)&((TYPE *)0)->MEMBER)
struct offsets {                                              // size 0x61, i386 0x41
    char a[offsetof(struct placed, y)];                       // 0x00
    char b[offsetof(struct placed, q)];                       // 0x08, i386 0x04
    char c[offsetof(struct placed, in[1].t[2])];              // 0x11, i386 0x09
    char d[old_offsetof(struct placed, in)];                  // 0x2b, i386 0x1b
    char e[offsetof(struct { int x; char y; }, y)];           // 0x3b, i386 0x23
    char f[__builtin_offsetof(struct placed, in) + sizeof(((struct placed *)0)->in)];  // 0x3f, i386 0x27
};

// What the kernel sizes by: bits to longs, rounding, maximum, array sizes, build assertions.
#define BITS_PER_LONG (8 * sizeof(long))
#define DIV_ROUND_UP(n, d) (((n) + (d) - 1) / (d))
#define BITS_TO_LONGS(nr) DIV_ROUND_UP(nr, 8 * sizeof(long))
#define DECLARE_BITMAP(name, bits) unsigned long name[BITS_TO_LONGS(bits)]
#define ALIGN(x, a) (((x) + ((typeof(x))(a) - 1)) & ~((typeof(x))(a) - 1))
#define ARRAY_SIZE(arr) (sizeof(arr) / sizeof((arr)[0]))
#define BUILD_BUG_ON_ZERO(e) ((int)(sizeof(struct { int : (-!!(e)); })))
#define ilog2(n) (__builtin_constant_p(n) ? ((n) < 2 ? 0 : (n) & (1ULL << 5) ? 5 : (n) & (1ULL << 4) ? 4 : 1) : -1)
#define CHOOSE __builtin_choose_expr(sizeof(long) == 8, 6, 3)
struct kernel {                                               // size 0xb0, i386 0xa4
    DECLARE_BITMAP(a, 65);                                    // a 0x00
    char b[ALIGN(13, 8)];                                     // 0x10, i386 0x0c
    char c[ARRAY_SIZE(((struct { int x[7]; } *)0)->x)];       // 0x20, i386 0x1c
    char d[3 + BUILD_BUG_ON_ZERO(1 == 2)];                    // 0x27, i386 0x23
    char e[ilog2(17)];                                        // 0x2a, i386 0x26
    char f[CHOOSE];                                           // 0x2e, i386 0x2a
    char g[__builtin_types_compatible_p(int, typeof(1)) + 1];  // 0x34, i386 0x2d
    char h[__builtin_types_compatible_p(long, int) + 1];      // 0x36, i386 0x2f
    char i[(sizeof(struct { int x; char y[]; }) + 64 - 1) & ~(64 - 1)];  // 0x37, i386 0x30
    char j[__builtin_constant_p(1) ? 3 : 2];                  // 0x77, i386 0x70
    char k[__builtin_ffs(8) + __builtin_clz(1) + __builtin_popcount(255)];  // 0x7a, i386 0x73
    char l[_Generic((long)0, int: 1, long: 2, default: 3)];   // 0xa5, i386 0x9e
    char m[_Generic((char)0, signed char: 1, char: 2, default: 3)];  // 0xa7, i386 0xa0
};

// Padding computed from what stands before.
struct header { int x; short y; };
struct padded {                                 // size 0x44, i386 0x48
    struct header a;                            // 0x00
    char b[64 - sizeof(struct header)];         // 0x08
    char c[sizeof(struct header) > 8 ? 0 : 1];  // 0x40
    char d[sizeof(long) == 4 ? 4 : 0];          // 0x41
};

// Bit-field widths are expressions too.
enum widths { W = 3 };
struct widths_of {                             // size 0x8
    unsigned a : W;                            // 0x00.0
    unsigned b : sizeof(int) * 8 - W;          // 0x00.3
    unsigned c : W ? 5 : 6, d : (1 << 2) + 1;  // c 0x04.0; d 0x04.5
};

// sizeof string literals and compound literals; what the compiler computes of itself.
struct of_literals {                                    // size 0x1d
    char a[sizeof("abc")];                              // 0x00
    char b[sizeof("\n\x41\101" "1")];                   // 0x04
    char c[sizeof((char[]){ 1, 2, 3 })];                // 0x09
    char d[sizeof((char[]){ 1, (2 * 3), })];           // 0x0c
    char e[__builtin_bswap32(0x0a000000)];              // 0x0e
    char f[(int)4.75];                                  // 0x18
    char g[__builtin_clrsb(-1) - 30];                   // 0x1c
};

// An enumeration's own expressions see its enumerators in the types that they have so far.
enum own_types {
    WIDE = 0x80000000, SIZE_OF_WIDE = sizeof(WIDE), IS_POSITIVE = WIDE > 0,
    WIDER = 1ULL << 40, SIZE_OF_WIDER = sizeof(WIDER), NARROW = 1L, SIZE_OF_NARROW = sizeof(NARROW)
};
struct of_own_types {                                   // size 0x11
    char a[SIZE_OF_WIDE];                               // 0x00
    char b[IS_POSITIVE];                                // 0x04
    char c[SIZE_OF_WIDER];                              // 0x05
    char d[SIZE_OF_NARROW];                             // 0x0d
};

// Which type '?:' has where one side is void * depends on whether that is a null pointer constant: __is_constexpr.
#define IS_CONSTANT(x) (sizeof(int) == sizeof(*(8 ? ((void *)((long)(x) * 0l)) : (int *)8)))
enum { FIVE = 5 };
struct asked_for_constants {                            // size 0xd
    char a[IS_CONSTANT(FIVE) ? 3 : 7];                  // 0x00
    char b[__builtin_choose_expr(IS_CONSTANT((FIVE) > (2)), (FIVE) > (2), 0) + 1];  // 0x03
    char c[sizeof(*(1 ? (void *)(FIVE - 4) : (int *)8))];  // 0x05
    char d[sizeof(*(1 ? (int *)8 : (void *)(FIVE - 5)))];  // 0x06
    char e[IS_CONSTANT(sizeof(int) - 4) ? 3 : 7];       // 0x0a
};
