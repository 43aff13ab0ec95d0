// _Pragma pushes and pops macros for all that follows, directives and the rest of the same declaration included.
#define N 1
_Pragma("push_macro(\"N\")")
#undef N
#define N 2
struct pushed { char c[N]; };                                             // size 0x2
_Pragma("pop_macro(\"N\")")
struct popped { char c[N]; };                                             // size 0x1
struct inside { char a[N]; _Pragma("push_macro(\"N\")") char b[N]; };     // size 0x2
#undef N
#define N 5
struct in_the_middle { char a[N + N _Pragma("pop_macro(\"N\")") + N]; };  // size 0xb

// Macros may make the _Pragma, and it may stand in arguments.
#define N 1
#define PUSHED(members) _Pragma("push_macro(\"N\")") members
#define DO(pragma) _Pragma(#pragma)
#define SAME(text) text
PUSHED(struct by_a_macro { char c[N]; };)                                 // size 0x1
#undef N
#define N 7
struct before { char c[N]; } DO(pop_macro("N"));     // size 0x7
DO(push_macro("N")) DO(push_macro("UNKNOWN"))
#undef N
#define N 9
#define UNKNOWN
struct nine { char c[N]; }; DO(pop_macro("N")) DO(pop_macro("UNKNOWN"))   // size 0x9
#ifdef UNKNOWN
struct defined { int x; };
#else
struct undefined { char c; };                                             // size 0x1
#endif
SAME(_Pragma("push_macro(\"N\")"))
#undef N
#define N 11
SAME(struct eleven { char c[N]; }; _Pragma("pop_macro(\"N\")"))           // size 0xb
struct one { char c[N]; };                                                // size 0x1
