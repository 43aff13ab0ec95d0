#define LENGTH 3
#pragma pack(push, 1)
struct a { char x; int y[LENGTH]; };
#pragma pack(pop)
#pragma GCC diagnostic push
#define PACK(n) _Pragma("pack(" #n ")")
#define DO(x) _Pragma(#x)
_Pragma("pack(1)") struct b { char x; };
_Pragma("pack()")
DO(pack(push, 2)) struct c { char x; int y; }; DO(pack(pop))
#pragma push_macro("LENGTH")
#undef LENGTH
#define LENGTH 5
LENGTH
#pragma pop_macro("LENGTH")
LENGTH
#pragma push_macro("NONE")
#define NONE none
NONE
#pragma pop_macro("NONE")
NONE
_Pragma("GCC diagnostic ignored \"-Wall\"") after
#pragma once_upon LENGTH
last
