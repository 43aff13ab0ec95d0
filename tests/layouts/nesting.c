// Members of anonymous members are the outer record's, at any depth.
struct anonymous {                // size 0xc
    char a;                       // 0x00
    union {
        int b;                    // 0x04
        struct {
            char c;               // 0x04
            short d;              // 0x06
        };
        struct { char x, y; } e;  // 0x04
    };
    char f;                       // 0x08
};

// Anonymous records are aligned as a whole.
struct aligned_anonymous {  // size 0x20
    char a;                 // 0x00
    struct {
        char b;             // 0x08
    } __attribute__((aligned(8)));
    struct {
        char c;             // 0x10
        int d;              // 0x11
    } __attribute__((packed));
    union __attribute__((packed)) {
        long e;             // 0x15
        char f;             // 0x15
    };
    char g;                 // 0x1d, i386 0x19
};

// Qualifiers and __extension__ do not make them named.
struct qualified_anonymous {                 // size 0x18, i386 0xc
    const struct { int a; };                 // a 0x00
    __extension__ union { int b; long c; };  // b 0x08, i386 0x04; c 0x08, i386 0x04
    volatile const struct { char d; };       // d 0x10, i386 0x08
};

// A tagged record without a declarator declares the tag and no member.
struct only_a_tag {    // size 0x10, i386 0x8
    char a;            // 0x00
    struct hidden { long x[9]; };
    char b;            // 0x01
    struct hidden *c;  // 0x08, i386 0x04
};

// A record defined where it is used, with several declarators.
struct several {                               // size 0x20, i386 0x18
    struct point { short x, y; } a, *b, c[3];  // a 0x00; b 0x08, i386 0x04; c 0x10, i386 0x08
    struct point d;                            // 0x1c, i386 0x14
};

// Nothing in it: size 0. It aligns nothing and takes no room.
struct empty {        // size 0x0
};
struct holds_empty {  // size 0x8
    int a;            // 0x00
    struct empty b;   // 0x04
    int c;            // 0x04
    struct { } d[4];  // 0x08
};

// Nothing in it, but aligned.
struct empty_aligned {        // size 0x0
} __attribute__((aligned(8)));
struct holds_empty_aligned {  // size 0x10
    char a;                   // 0x00
    struct empty_aligned b;   // 0x08
    char c;                   // 0x08
};

// Arrays of no length stand anywhere and align.
struct no_length {  // size 0x10, i386 0xc
    char a;         // 0x00
    int b[0];       // 0x04
    char c;         // 0x04
    long d[3][0];   // 0x08
    char e;         // 0x08
};

// A flexible array: no size, but aligned.
struct flexible {        // size 0x8, i386 0x4
    char a;              // 0x00
    long b[];            // 0x08, i386 0x04
};
struct holds_flexible {  // size 0x18, i386 0xc
    char c;              // 0x00
    struct flexible d;   // 0x08, i386 0x04
    char e;              // 0x10, i386 0x08
};

// A flexible array in a union, as the kernel writes it.
union flexible_union {                     // size 0x4
    int a;                                 // 0x00
    struct { struct { } none; int b[]; };  // b 0x00
};

// Arrays of several dimensions, of typedef'd arrays, of pointers.
typedef int triple[3];
struct arrays {    // size 0x68, i386 0x4c
    char a;        // 0x00
    int b[2][3];   // 0x04
    triple c[2];   // 0x1c
    int *d[3];     // 0x38, i386 0x34
    int (*e)[3];   // 0x50, i386 0x40
    char (*f)[0];  // 0x58, i386 0x44
    triple *g;     // 0x60, i386 0x48
};

// Function pointers: plain, in arrays, returning one, taking one.
struct functions {                          // size 0x50, i386 0x28
    char a;                                 // 0x00
    int (*b)(void);                         // 0x08, i386 0x04
    int (*c[2][2])(int, ...);               // 0x10, i386 0x08
    void (*(*d)(int, void (*)(int)))(int);  // 0x30, i386 0x18
    int (*(*e)(void))[5];                   // 0x38, i386 0x1c
    void (**f)(struct functions *);         // 0x40, i386 0x20
    char g;                                 // 0x48, i386 0x24
};

// A typedef'd function type is pointed to.
typedef int handler(int, void *);
struct handlers {             // size 0x20, i386 0x10
    char a;                   // 0x00
    handler *b, *const c[2];  // b 0x08, i386 0x04; c 0x10, i386 0x08
};

// A record that points to itself, to one not defined yet, to one never defined.
struct node {             // size 0x20, i386 0x10
    struct node *a, **b;  // a 0x00; b 0x08, i386 0x04
    struct later *c;      // 0x10, i386 0x08
    union never *d;       // 0x18, i386 0x0c
};
struct later {            // size 0x28, i386 0x14
    char e;               // 0x00
    struct node f;        // 0x08, i386 0x04
};

// A member may have a typedef's name, and a tag may be a member's name.
typedef char name;
struct names {            // size 0x10, i386 0xc
    name name;            // name 0x00
    unsigned name2;       // 0x04
    struct names *names;  // 0x08
};

// After a type specifier a typedef's name is the member's.
typedef long word;
struct redeclared {  // size 0xc
    char a;          // 0x00
    unsigned word;   // 0x04
    short b;         // 0x08
};

// A function's own record of the same tag is another one.
static inline int uses_own(void) { struct shadowed { char x[77]; } s; return sizeof(s); }
struct shadowed {  // size 0x4
    int a;         // 0x00
};

// A record among the specifiers of a variable, of a function, of a typedef with several declarators.
static const struct of_variable {  // size 0x8
    char a;                        // 0x00
    int b;                         // 0x04
} table[] = { { 1, 2 }, { .b = 3 } };
struct of_function {               // size 0x2
    short c;                       // 0x00
} *function(struct of_function *);
typedef struct of_typedef {        // size 0x8, i386 0x4
    long d;                        // 0x00
} of_typedef, *of_typedef_pointer, of_typedefs[4];
struct uses {                      // size 0x28, i386 0x14
    of_typedef_pointer e;          // 0x00
    of_typedefs f;                 // 0x08, i386 0x04
};

// A static assertion in a record takes no room, even in a union.
union asserted {  // size 0x4
    char a;       // 0x00
    _Static_assert(sizeof(struct { int x; }) <= sizeof(int), "a message; with } in it");
    int b;        // 0x00
};

// Qualifiers and specifiers in odd order, in GNU spellings.
struct odd_order {              // size 0x38, i386 0x24
    char a;                     // 0x00
    long unsigned int const b;  // 0x08, i386 0x04
    int volatile short c;       // 0x10, i386 0x08
    __signed__ char d;          // 0x12, i386 0x0a
    char __const signed e;      // 0x13, i386 0x0b
    long int long unsigned f;   // 0x18, i386 0x0c
    __extension__ long long h;  // 0x20, i386 0x14
    char *__restrict i;         // 0x28, i386 0x1c
    signed j;                   // 0x30, i386 0x20
};
