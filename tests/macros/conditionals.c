/* #if with intmax_t and uintmax_t, GNU's operators, directives in odd places. */
#define YES 1
#define NO 0
#define EMPTY
#define func(x) x
#if YES && !NO
1
#endif
#if NO
no
#elif YES
2
#elif YES
no
#else
no
#endif
#ifdef NO
3
#else
no
#endif
#ifndef undefined_name
4
#endif
#if undefined_name || undefined_too
no
#else
5
#endif
#if defined YES && defined(NO) && !defined undefined_name && !defined ( undefined_name )
6
#endif
#if -1 > 0u
7
#endif
#if -1 > 0
no
#else
8
#endif
#if 0xffffffffffffffff == -1 && 18446744073709551615u == -1 && 9223372036854775807 + 1u > 0
9
#endif
#if (2 || 1 / 0) && !(0 && 1 / 0) && (1 ? 2 : 1 / 0) == 2
10
#endif
#if -8 / 3 == -2 && -8 % 3 == -2 && -8 >> 1 == -4 && 1 << 63 < 0 && 1u << 63 > 0
11
#endif
#if 'a' == 97 && '\n' == 10 && '\x41' == 65 && '\101' == 65 && '\0' == 0 && 'ab' == 24930 && L'a' == 97 && '\377' < 0
12
#endif
#if (1, 2) == 2 && 0b101 == 5 && 017 == 15 && 0x1F == 31 && 10ull == 10 && 10LU == 10l
13
#endif
#if ~0 == -1 && ~0u == 0xffffffffffffffff && !5 == 0 && - - 1 == 1 && +1 == 1
14
#endif
#if 1 ? -1 : 0u
15
#endif
#if (1 ? -1 : 0u) > 0
16
#endif
#if (0 ? 0u : -1) > 0
17
#endif
#if 3 & 6 ^ 1 | 8 == 8
18
#endif
#if 1 == 1 == 1 != 0 < 5 <= 1 > 0 >= 1
19
#endif
#if func(1) + func (2) == 3 && func
no
#else
20
#endif
#if YES EMPTY
21
#endif
#if defined __STDC__ && __STDC_VERSION__ >= 201112L && defined __x86_64__ + defined __i386__
22
#endif
#ifdef __has_attribute
#if __has_attribute(packed) && __has_attribute(__aligned__) && !__has_attribute(no_such_attribute)
23
#endif
#endif
#if __has_include("include/plain.h") && !__has_include("include/none.h") && !__has_include(<none.h>)
24
#endif
#if defined(__has_include) && __has_include(<plain.h>)
25
#endif
#if __has_builtin(__builtin_expect) && !__has_builtin(__builtin_no_such_thing)
26
#endif
#if __INT_MAX__ == 2147483647 && __CHAR_BIT__ == 8 && __SIZEOF_INT__ == 4
27
#endif
# /* null directive */
#
  #   if /* white */ 1 /* space */
28
  # endif /* trailing */
#if 0
'unterminated, and "this
#if junk ( here
#else garbage
#endif garbage
#error not this
#include <nothing>
#define not_defined
#unknown directive
#else
29
#endif
#ifdef not_defined
no
#endif
#if 1
30
#elif 1 / 0 garbage (
no
#endif
#\
if 1
31
#\
endif
#define CONDITION defined(YES) && 1
#if CONDITION
32
#endif
#ifdef YES
#ifndef NO
no
#elif defined YES
33
#endif
#endif
