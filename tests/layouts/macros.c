// struct_group: its members are reached with the group's name and without.
#define __struct_group(TAG, NAME, ATTRS, MEMBERS...) \
    union { struct { MEMBERS } ATTRS; struct TAG { MEMBERS } ATTRS NAME; } ATTRS
#define struct_group(NAME, MEMBERS...) __struct_group(/* no tag */, NAME, /* no attrs */, MEMBERS)
#define struct_group_tagged(TAG, NAME, MEMBERS...) __struct_group(TAG, NAME, /* no attrs */, MEMBERS)
#define struct_group_attr(NAME, ATTRS, MEMBERS...) __struct_group(/* no tag */, NAME, ATTRS, MEMBERS)
struct grouped {                                        // size 0x20
    char a;                                             // 0x00
    struct_group(b,                                     // b 0x04
        int c;                                          // 0x04
        char d, e;                                      // d 0x08; e 0x09
    );
    struct_group_tagged(group_tag, f, char g; int h;);  // f 0x0c; g 0x0c
    struct_group_attr(i, __attribute__((packed)),       // i 0x14
        char j;                                         // 0x14
        int k;                                          // 0x15
    );
    __struct_group(, l, , short m;);                    // l 0x1a; m 0x1a
    char n;                                             // 0x1c
};

// Conditionals inside a macro's arguments, as in sk_buff.
#define struct_group(NAME, MEMBERS...) union { struct { MEMBERS }; struct { MEMBERS } NAME; }
#define CONFIG_YES 1
struct conditional {  // size 0x10
    char a;           // 0x00
    struct_group(b,   // b 0x04
        char c;       // 0x04
#ifdef CONFIG_YES
        int d;        // 0x08
#else
        char no[100];
#endif
#if defined(CONFIG_NO) || !defined(CONFIG_YES)
        char neither[100];
#elif CONFIG_YES + 1 == 2
        short e;      // 0x0c
#endif
    );
};

// Flexible arrays by macro, in a union and among others.
#define __DECLARE_FLEX_ARRAY(TYPE, NAME) struct { struct { } __empty_ ## NAME; TYPE NAME[]; }
#define DECLARE_FLEX_ARRAY(TYPE, NAME) __DECLARE_FLEX_ARRAY(TYPE, NAME)
struct flexible {                     // size 0x8, i386 0x4
    char a;                           // 0x00
    union {
        DECLARE_FLEX_ARRAY(long, b);  // b 0x08, i386 0x04
        DECLARE_FLEX_ARRAY(char, c);  // c 0x08, i386 0x04
    };
};

// Cache line groups are arrays of no length.
#define __cacheline_group_begin(GROUP) __u8 __cacheline_group_begin__##GROUP[0]
#define __cacheline_group_end(GROUP) __u8 __cacheline_group_end__##GROUP[0]
typedef unsigned char __u8;
struct groups {                                               // size 0x80
    __cacheline_group_begin(read);                            // __cacheline_group_begin__read 0x00
    int a;                                                    // 0x00
    __cacheline_group_end(read) __attribute__((aligned(64)));  // __cacheline_group_end__read 0x40
    char b;                                                   // 0x40
};

// Reserved members of a distribution's kernel: the replacement checks itself in a union.
#define KABI_ALIGN_WARNING ".  Disable CONFIG."
#define __CHECK_SIZE(_item, _size) _Static_assert(sizeof(struct { _item; }) <= _size, "size" KABI_ALIGN_WARNING)
#define REPLACE(_name, _orig, _new) union { _new; struct { _orig; } old_##_name; __CHECK_SIZE(_new, sizeof(struct { _orig; })); }
struct reserved {                                            // size 0x20, i386 0x10
    char a;                                                  // 0x00
    REPLACE(1, unsigned long reserved1, int b);              // b 0x08, i386 0x04
    REPLACE(2, unsigned long reserved2, struct reserved *c)  // c 0x10, i386 0x08
    ;
    char d;                                                  // 0x18, i386 0x0c
};

// Members written by an X macro's expansion, and a record's tag by pasting.
#define HOOKS HOOK(int, first, int x) HOOK(void, second, void) HOOK(char *, third, int, ...)
struct hooks {                // size 0x20, i386 0x10
#define HOOK(RET, NAME, ...) RET (*NAME)(__VA_ARGS__);
    char a;                   // 0x00
    HOOKS                     // first 0x08, i386 0x04; second 0x10, i386 0x08; third 0x18, i386 0x0c
#undef HOOK
};
#define DEFINE_RECORD(name, type) struct record_ ## name { char before_##name; type name; }
DEFINE_RECORD(pasted, long);
struct holds_pasted {         // size 0x18, i386 0xc
    struct record_pasted a;   // 0x00
    char b;                   // 0x10, i386 0x08
};

// A macro redefined later holds from there on only.
#define LENGTH 3
#define TWICE (2 * LENGTH)
struct before {      // size 0x9
    char a[LENGTH];  // 0x00
    char b[TWICE];   // 0x03
};
#undef LENGTH
#define LENGTH 5
struct after {       // size 0xf
    char c[LENGTH];  // 0x00
    char d[TWICE];   // 0x05
};

// randomized_struct_fields_start and _end make an anonymous struct.
#define randomized_struct_fields_start struct {
#define randomized_struct_fields_end } __attribute__((randomize_layout_is_off));
struct unshuffled {  // size 0xc
    char a;          // 0x00
    randomized_struct_fields_start
    int b;           // 0x04
    randomized_struct_fields_end
    char c;          // 0x08
};

// Attributes by macro with arguments, empty ones, and a member's declaration over several lines.
#define __attr(x...) __attribute__((x))
#define __user
#define __rcu
#define ____cacheline_aligned_in_smp __attr(__aligned__(1 << 6))
struct annotated {                      // size 0x80
    char
        __user
        *a;                             // 0x00
    struct annotated __rcu *b;          // 0x08, i386 0x04
    int c
        ____cacheline_aligned_in_smp;   // c 0x40
    char d __attr(packed, aligned(2));  // 0x44
};
