#define std(...) <__VA_ARGS__>
#define one(x, ...) <x|__VA_ARGS__>
#define gnu(x...) <x>
#define named(x, rest...) <x|rest>
#define comma(x, ...) f(x, ##__VA_ARGS__)
#define gnu_comma(x, rest...) f(x, ## rest)
#define only_comma(...) f(0, ##__VA_ARGS__)
#define strings(...) #__VA_ARGS__
#define opt(x, ...) f(x __VA_OPT__(,) __VA_ARGS__)
#define opt_more(...) g(__VA_OPT__(a, __VA_ARGS__, b ## __VA_ARGS__))
#define EMPTY

std() std(1) std(1, 2) std(,) std( ) std((1, 2), 3)
one(1) one(1,) one(1, 2) one(1, 2, 3) one() one(,)
gnu() gnu(1) gnu(1, 2) named(1) named(1, 2) named(1, 2, 3) named(,)
comma(1) comma(1,) comma(1, 2) comma(1, 2, 3) comma() comma(1, EMPTY) comma(1, ,)
gnu_comma(1) gnu_comma(1,) gnu_comma(1, 2) gnu_comma(1, EMPTY) gnu_comma()
only_comma() only_comma(1) only_comma(1, 2) only_comma(EMPTY)
strings() strings(a,b) strings( a , b ) strings("x", 'y') strings(EMPTY)
opt(1) opt(1,) opt(1, 2) opt(1, EMPTY) opt() opt(1, ,)
opt_more() opt_more(1) opt_more(1, 2) opt_more(EMPTY)

/* ## before and behind, with several ## in a row. */
#define chain(x, ...) x ## , ## __VA_ARGS__
#define paste_front(x, ...) x ## __VA_ARGS__
#define paste_back(x, ...) __VA_ARGS__ ## x
paste_front(a) paste_front(a, b) paste_front(a, b, c) paste_front(, b, c)
paste_back(a) paste_back(a, b) paste_back(a, b, c)
#define not_gnu(...) (,##__VA_ARGS__)
not_gnu() not_gnu(1) not_gnu(1,2)
#define expanded_comma(x, ...) x, ##__VA_ARGS__ end
#define ARG arg, ment
expanded_comma(ARG) expanded_comma(ARG, ARG) expanded_comma(1, ARG, ARG)

/* Counting and mapping arguments, as kernels do. */
#define ___COUNT_ARGS(_0, _1, _2, _3, _4, _5, _6, _7, _8, _9, _10, _11, _12, _n, X...) _n
#define COUNT_ARGS(X...) ___COUNT_ARGS(, ##X, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)
#define __CONCAT(a, b) a ## b
#define CONCATENATE(a, b) __CONCAT(a, b)
#define __MAP0(m, ...)
#define __MAP1(m, t, a, ...) m(t, a)
#define __MAP2(m, t, a, ...) m(t, a), __MAP1(m, __VA_ARGS__)
#define __MAP3(m, t, a, ...) m(t, a), __MAP2(m, __VA_ARGS__)
#define __MAP(n, ...) __MAP##n(__VA_ARGS__)
#define __SC_DECL(t, a) t a
COUNT_ARGS() COUNT_ARGS(a) COUNT_ARGS(a, b, c) __MAP(0, __SC_DECL) __MAP(2, __SC_DECL, int, x, char *, y)
CONCATENATE(__MAP, COUNT_ARGS(a, b))(__SC_DECL, int, fd, long, off)
#define ___config_enabled(__ignored, val, ...) val
#define __ARG_PLACEHOLDER_1 0,
#define ____is_defined(arg1_or_junk) ___config_enabled(arg1_or_junk 1, 0)
#define ___is_defined(val) ____is_defined(__ARG_PLACEHOLDER_##val)
#define __is_defined(x) ___is_defined(x)
#define CONFIG_ON 1
#define CONFIG_MOD_MODULE 1
#define __or(x, y) ___or(x, y)
#define ___or(x, y) ____or(__ARG_PLACEHOLDER_##x, y)
#define ____or(arg1_or_junk, y) ___config_enabled(arg1_or_junk 1, y)
#define IS_BUILTIN(option) __is_defined(option)
#define IS_MODULE(option) __is_defined(option##_MODULE)
#define IS_ENABLED(option) __or(IS_BUILTIN(option), IS_MODULE(option))
IS_ENABLED(CONFIG_ON) IS_ENABLED(CONFIG_MOD) IS_ENABLED(CONFIG_OFF) IS_BUILTIN(CONFIG_MOD) IS_MODULE(CONFIG_MOD)
#if IS_ENABLED(CONFIG_MOD) && !IS_ENABLED(CONFIG_OFF)
enabled
#endif

/* __VA_OPT__ with ## and # around it, and nested parentheses in it. */
#define v1(x, ...) x ## __VA_OPT__(a b) ## y
#define v2(...) __VA_OPT__(x ## x) end
#define v3(x, ...) #__VA_OPT__(x) 1
#define v4(...) f(__VA_OPT__((a, b), (c)))
#define v5(F, a...) F __VA_OPT__((a)) a
v1(1) v1(1, 2) v2() v2(1) v4() v4(1) v5(std) v5(std, 1, 2)
