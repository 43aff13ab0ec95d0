// Natural alignment. On i386 long long and double align to 4 inside a record.
struct natural {    // size 0x50, i386 0x30
    char a;         // 0x00
    long long b;    // 0x08, i386 0x04
    char c;         // 0x10, i386 0x0c
    double d;       // 0x18, i386 0x10
    char e;         // 0x20, i386 0x18
    long f;         // 0x28, i386 0x1c
    short g;        // 0x30, i386 0x20
    long double h;  // 0x40, i386 0x24
};

// Outside a record they align to 8 there: __alignof__ tells of that, _Alignof of members.
struct alignment_of {                                        // size 0x20, i386 0x14
    char a[__alignof__(long long)];                          // 0x00
    char b[_Alignof(long long)];                             // 0x08
    char c[__alignof__(((struct { long long x; } *)0)->x)];  // 0x10, i386 0x0c
    char d[__alignof__(struct { long long x; })];            // 0x18, i386 0x10
};

// Packed on a record.
struct packed_record {            // size 0x15
    char a;                       // 0x00
    int b;                        // 0x01
    long long c;                  // 0x05
    struct { char x; int y; } d;  // 0x0d
} __attribute__((packed));

// Packed before the tag, and spelled with underscores.
struct __attribute__((__packed__)) packed_first {  // size 0x5
    char a;                                        // 0x00
    int b;                                         // 0x01
};

// Packed on a member packs that one only.
struct packed_member {              // size 0xc
    char a;                         // 0x00
    int b __attribute__((packed));  // 0x01
    int c;                          // 0x08
};

// Packed does not reach into the records it embeds.
struct inner { char x; int y; };
struct packed_outer {  // size 0x9
    char a;            // 0x00
    struct inner b;    // 0x01
} __attribute__((packed));

// An aligned member of a packed record keeps its alignment; the larger one counts.
struct aligned_in_packed {                // size 0x18
    char a;                               // 0x00
    int b __attribute__((aligned(8)));    // 0x08
    char c;                               // 0x0c
    short d __attribute__((aligned(2)));  // 0x0e
    int e __attribute__((aligned(2)));    // 0x10
} __attribute__((packed));

// Of several alignments of one member the largest counts.
struct several_alignments {                                   // size 0x18
    char a;                                                   // 0x00
    char b __attribute__((aligned(4), aligned(8)));           // 0x08
    char c __attribute__((aligned(8))) __attribute__((aligned(2)));  // 0x10
};

// Packed and aligned on the record: no padding inside, size and alignment as aligned says.
struct packed_aligned {        // size 0x8
    char a;                    // 0x00
    int b;                     // 0x01
    short c;                   // 0x05
} __attribute__((packed, aligned(4)));
struct holds_packed_aligned {  // size 0xc
    char d;                    // 0x00
    struct packed_aligned e;   // 0x04
};

// aligned cannot lower a member's alignment, nor a record's that is not packed.
struct lower {                           // size 0x10, i386 0xc
    char a;                              // 0x00
    int b __attribute__((aligned(1)));   // 0x04
    long c __attribute__((aligned(2)));  // 0x08
} __attribute__((aligned(1)));

// aligned on a typedef can lower it.
typedef long long loose __attribute__((aligned(2)));
struct loose_member {  // size 0xc
    char a;            // 0x00
    loose b;           // 0x02
    char c;            // 0x0a
};

// aligned without a number is the target's largest useful alignment.
struct largest {                      // size 0x20
    char a;                           // 0x00
    char b __attribute__((aligned));  // 0x10
};

// A typedef of higher alignment aligns the member; its size stays.
typedef int cache_line_int __attribute__((aligned(64)));
struct with_cache_line {  // size 0x80
    char a;               // 0x00
    cache_line_int b;     // 0x40
    char c;               // 0x44
};

// A typedef of a record with a higher alignment: the record itself keeps its own.
struct plain_record { int x; };
typedef struct plain_record aligned_record __attribute__((aligned(32)));
struct both {               // size 0x40
    char a;                 // 0x00
    aligned_record b;       // 0x20
    struct plain_record c;  // 0x24
};

// After the closing brace of a typedef'd record the attribute is the record's.
typedef struct of_typedef { char x; } __attribute__((aligned(16))) of_typedef_t;
struct uses_of_typedef {  // size 0x20
    char a;               // 0x00
    struct of_typedef b;  // 0x10
};

// Before a record specifier it is the declared member's, not the record's.
struct prefix {                                               // size 0x20
    char a;                                                   // 0x00
    __attribute__((aligned(16))) struct by_prefix { char x; } b;  // 0x10
    struct by_prefix c;                                       // 0x11
};

// Attributes before, between and after the specifiers, and in parentheses.
struct positions {                             // size 0x40
    char a;                                    // 0x00
    __attribute__((aligned(8))) char b;        // 0x08
    char __attribute__((aligned(16))) c;       // 0x10
    char d __attribute__((aligned(32)));       // 0x20
    char (__attribute__((aligned(8))) e);      // 0x28
    char f[3] __attribute__((aligned(8)));     // 0x30
    const __attribute__((aligned(8))) char g;  // 0x38
};

// Attributes in the specifiers hold for all declarators, those after one for that one.
struct of_all_or_one {                      // size 0x20
    char a;                                 // 0x00
    __attribute__((aligned(8))) char b, c;  // b 0x08; c 0x10
    char d __attribute__((aligned(8))), e;  // d 0x18; e 0x19
};

// An attribute after the * is the pointer's.
struct after_star {                         // size 0x40
    char a;                                 // 0x00
    char * __attribute__((aligned(16))) b;  // 0x10
    char __attribute__((aligned(32))) *c;   // 0x20
    char d;                                 // 0x28, i386 0x24
};

// _Alignas, with a number, a type and 0. On i386 double asks for 4, as _Alignof says.
struct alignas {                     // size 0x30
    char a;                          // 0x00
    _Alignas(16) char b;             // 0x10
    _Alignas(long) char c;           // 0x18, i386 0x14
    _Alignas(0) int d;               // 0x1c, i386 0x18
    _Alignas(4) _Alignas(8) char e;  // 0x20
    _Alignas(double) char f;         // 0x28, i386 0x24
};

// The alignment may be an expression.
struct by_expression {                                        // size 0x40
    char a;                                                   // 0x00
    char b __attribute__((aligned(sizeof(long))));            // 0x08, i386 0x04
    char c __attribute__((__aligned__(1 << 5)));              // 0x20
    char d __attribute__((aligned(2 * __alignof__(short))));  // 0x24
};

// #pragma pack bounds the alignment of members, nested records' too; push, pop and reset.
#pragma pack(push, 2)
struct pack_2 {                   // size 0x10, i386 0xc
    char a;                       // 0x00
    long b;                       // 0x02
    struct { char x; int y; } c;  // 0x0a, i386 0x06
};
#pragma pack(push)
#pragma pack(1)
struct pack_1 {                   // size 0x9, i386 0x5
    char d;                       // 0x00
    long e;                       // 0x01
};
#pragma pack(pop)
struct pack_2_again {             // size 0xa, i386 0x6
    char f;                       // 0x00
    long g;                       // 0x02
};
#pragma pack(pop)
struct pack_none {                // size 0x10, i386 0x8
    char h;                       // 0x00
    long i;                       // 0x08, i386 0x04
};

// _Pragma does the same, also out of a macro.
#define PACKED_REGION _Pragma("pack(push, 1)")
PACKED_REGION
struct by_operator {  // size 0x5
    char a;           // 0x00
    int b;            // 0x01
};
_Pragma("pack(pop)")

// The pragma that holds at the closing brace counts.
struct at_the_end {  // size 0x5
    char a;          // 0x00
    int b;           // 0x01
#pragma pack(1)
};
#pragma pack()

// #pragma pack bounds what aligned asks for a member, not for the record.
#pragma pack(4)
struct pragma_and_aligned {               // size 0x10
    char a;                               // 0x00
    char b __attribute__((aligned(16)));  // 0x04
    long long c;                          // 0x08
};
struct pragma_and_aligned_record {        // size 0x10
    char d;                               // 0x00
    long long e;                          // 0x04
} __attribute__((aligned(16)));
#pragma pack()

// Unions: packed and aligned.
union plain_union {                      // size 0x8
    char a[5];                           // 0x00
    int b;                               // 0x00
};
union packed_union {                     // size 0x5
    char c[5];                           // 0x00
    int d;                               // 0x00
} __attribute__((packed));
struct holds_packed_union {              // size 0x6
    char e;                              // 0x00
    union packed_union f;                // 0x01
};
union aligned_union {                    // size 0x8
    char g;                              // 0x00
    char h __attribute__((aligned(8)));  // 0x00
};

// The kernel's cache line and percpu alignments.
#define ____cacheline_aligned __attribute__((__aligned__((1 << (6)))))
#define __packed __attribute__((__packed__))
#define __aligned(x) __attribute__((__aligned__(x)))
struct cache_aligned {                                 // size 0x80
    int a;                                             // 0x00
    int b ____cacheline_aligned;                       // 0x40
    long c;                                            // 0x48, i386 0x44
} ____cacheline_aligned;
struct aligned_by_macro {                              // size 0x18, i386 0xc
    char d;                                            // 0x00
    unsigned long e __aligned(sizeof(unsigned long));  // 0x08, i386 0x04
    char f;                                            // 0x10, i386 0x08
} __packed __aligned(2);

// Attributes with empty entries and without meaning for the layout.
struct idle_attributes {                                      // size 0x8
    char a __attribute__(());                                 // 0x00
    int b __attribute__((, unused, , __deprecated__("old"),));  // 0x04
} __attribute__((__unused__)) __attribute__((designated_init));

// What a declarator's attributes change is the type: of a packed enumeration GCC drops the alignment.
enum small { SMALL } __attribute__((packed));
typedef enum small small_t;
struct in_the_declarator {                              // size 0x80
    char a;                                             // 0x00
    enum small (__attribute__((aligned(64))) b);        // 0x01
    small_t (__attribute__((aligned(64))) c);           // 0x02
    char (__attribute__((aligned(64))) d);              // 0x40
};
struct behind_the_declarator {                          // size 0x80
    char e;                                             // 0x00
    enum small f __attribute__((aligned(64)));          // 0x40
};
struct through_a_typedef {                              // size 0x8
    char g;                                             // 0x00
    typeof((small_t)0) (__attribute__((aligned(4))) h); // 0x01
    int i;                                              // 0x04
};

// An enumeration's aligned does nothing, but a packed behind it is dropped; one in front of it counts.
enum aligned_in_front { A1 } __attribute__((aligned(16), packed));
enum packed_in_front { P1 } __attribute__((packed, aligned(16)));
struct of_enumerations {                                // size 0xc
    char a;                                             // 0x00
    enum aligned_in_front b;                               // 0x04
    enum packed_in_front c;                                // 0x08
};

// Standard attributes: in front and behind the name they are the member's, behind the type the type's.
struct [[gnu::packed]] standard {                       // size 0x10
    char a;                                             // 0x00
    int b;                                              // 0x01
    [[gnu::aligned(4)]] int c;                          // 0x08
    char d [[deprecated, gnu::unused]];                 // 0x0c
} __attribute__((packed));
struct of_the_type {                                    // size 0x20
    char e;                                             // 0x00
    int [[gnu::aligned(8)]] f;                          // 0x08
    char *[[__gnu__::__aligned__(16)]] g;               // 0x10
};

// #pragma pack rules over records in the middle of an expression, too.
#pragma pack(1)
struct in_expressions {                                               // size 0x15
    char a[sizeof(struct { char x; int y; })];                        // 0x00
    char b[sizeof(union __attribute__((unused)) { char x[3]; int y; })];    // b 0x05
    int c : sizeof(struct { char x; int y; });                        // c 0x09.0
    enum { FIVE = sizeof(struct { char x; int y; }) } d;              // d 0x0a
    char e[FIVE];                                                     // 0x0e
    __typeof__(struct { char x; short y; }) *f[0];                    // f 0x13
    _Alignas(sizeof(struct { char x; char y; })) char g;              // g 0x13
    char h;                                                           // 0x14
};
#pragma pack()

// #pragma pack counts as it is at the record's end.
struct packed_inside {                                                // size 0x8
    char a;                                                           // 0x00
#pragma pack(2)
    short b;                                                          // 0x02
    int c;                                                            // 0x04
};
#pragma pack()

// Attributes of a declaration that is no definition say nothing.
struct __attribute__((packed)) declared_first;
struct __attribute__((aligned(64))) declared_with_a_pointer *pointer;
struct declared_first {                                               // size 0x8
    char a;                                                           // 0x00
    int b;                                                            // 0x04
};
struct declared_with_a_pointer {                                      // size 0x1
    char a;                                                           // 0x00
};
