/* What is painted, what is not, and where an invocation may find its parentheses. */
#define self self + 1
self
#define ping pong
#define pong ping
ping pong
#define one(x) two(x)
#define two(x) one(x) + x
one(1) two(2) one(two(3))

/* An invocation completed by the text behind the replacement. */
#define call_later later
#define later(x) [x]
call_later (1) call_later
(2) call_later
/* comment */
(3)
#define open later(
open 4) open id(5))
#define NIL(xxx) xxx
#define G_0(arg) NIL(G_1)(arg)
#define G_1(arg) NIL(arg)
G_0(42)

/* A name without its parenthesis is no invocation; nor one at the end of an argument, until it is rescanned. */
#define id(x) x
id(later) (6)
id(id)(7)
id(id(id))(8)
later
#define pair(x, y) x y
pair(later, (9)) pair(id(later), (10))
#define empty
later empty (11)
id(later empty)(12)
#define lparen (
later lparen 13)
id(later lparen 14))

/* Recursion through arguments: each argument is expanded on its own, then all is rescanned. */
#define rec(x) x rec
rec(1)(2)(3)
id(rec(1)(2)(3))
#define fa(x) fb
#define fb(x) fa
fa(1)(2)(3)(4)
id(fa(1)(2))(3)
#define f(a) a*g
#define g(a) f(a)
f(2)(9)
#define AA BB
#define BB AA
AA id(AA) id(id(AA)) pair(AA, BB)

/* Deferred and obstructed expansion. */
#define EMPTY()
#define DEFER(id) id EMPTY()
#define OBSTRUCT(...) __VA_ARGS__ DEFER(EMPTY)()
#define EXPAND(...) __VA_ARGS__
#define A() 123
DEFER(A)() EXPAND(DEFER(A)()) EXPAND(EXPAND(OBSTRUCT(A)()))
#define EVAL(...) EVAL1(EVAL1(EVAL1(__VA_ARGS__)))
#define EVAL1(...) EVAL2(EVAL2(EVAL2(__VA_ARGS__)))
#define EVAL2(...) __VA_ARGS__
#define REPEAT_INDIRECT() REPEAT
#define REPEAT(n) n DEFER(REPEAT_INDIRECT)()(n)
EVAL(REPEAT(1))

/* Macros named as their parameters, as keywords, as each other's parameters. */
#define int long
#define swap(b, a) a b
#define a(b) b(a)
#define if(x) while (x)
swap(int, 1) a(id) a(a) if (int)
#define twice(x) x x
twice(twice)(3) twice(twice(4)) twice(twice(twice)(5))

/* Arguments: commas in parentheses only, brackets and braces do not protect, may span lines. */
#define first(x, y) <x>
first((1, 2), 3) first([1, 2]) first({1, 2}) first(first(1, 2), 3)
first(
    a b
    c
    ,
    d
) after
first(,) first( , ) id() id( ) pair(,x) pair(x,)
