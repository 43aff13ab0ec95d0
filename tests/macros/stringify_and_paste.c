#define str(x) #x
#define xstr(x) str(x)
#define cat(a, b) a ## b
#define xcat(a, b) cat(a, b)
#define cat3(a, b, c) a ## b ## c
#define a_b joined
#define ab together
#define EMPTY

str() str( ) str(  a   b  ) str(a/* comment */b) str("text" 'c' "\n\"\\" '\'' '\\' '"')
str(a
b
   c) str(#) str(##) str(# x) str(\n) str(@) str(`) str((a, b)) str(-  1) str(a+ b) str(a +b) str(a+b)
str(ab) xstr(ab) xstr(cat(a, b)) str(cat(a, b)) xstr(EMPTY) xstr(EMPTY a EMPTY b EMPTY) str(EMPTY)
str(L"wide" u8"utf" U'c') str("a\\b") str('\0') str("?" "tab	tab")
str(<stdio.h>) str(... ->* .5.e+1x) str(%: <:)

cat(a, b) xcat(a, b) cat(a, _b) cat(, b) cat(a, ) cat(,) xcat(EMPTY, b) xcat(a, EMPTY) cat(1, 2) cat(1, x) cat(1., e+) cat(x, 1)
cat(+, +) cat(-, >) cat(<, <=) cat(<<, =) cat(&, &) cat(., 5) cat(L, "s") cat(u8, "s") cat(L, 'c') cat(%, :) cat(-, -)
cat3(a, , b) cat3(, a, b) cat3(a, b, ) cat3(, , ) cat3(a, _, b) cat3(1, 2, 3) cat3(, , x)
cat(a b, c d) cat(c, at)(3, 4) xcat(xcat(1, 2), 3)

/* Operands of ## are not expanded, but its result is; # wins over expansion. */
#define one 1
#define one1 eleven
#define mixed(x) x one ## x str(x) x ## one #x
mixed(one) mixed(1) mixed()
#define hash_hash # ## #
#define object_paste a ## b ## EMPTY
hash_hash object_paste
#define three_way(x, y) x ## _ ## y x##y x ## 1 ## y 1 ## x
three_way(p, q) three_way(, q) three_way(p, ) three_way(, ) three_way(one, one)
#define leading(x) [## x] x ## [
#define in_string(x) "x" 'x' #x
in_string(y)
#define param_twice(x) x ## x ## x #x #x
param_twice(z) param_twice()
#define nothing_left(x, y) x ## y ## x
str(nothing_left(,)) xstr(nothing_left(,)) [nothing_left(,)] [nothing_left(,k)]
#define glue_call(x) str ## x
glue_call(ing) glue_call() (5)
#define make(name) struct name { int name ## _member; } name = { .name ## _member = sizeof(#name) };
make(thing)
