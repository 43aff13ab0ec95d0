/* _Pragma and #pragma in the middle of things; assertions, #ident, what a directive in an invocation does. */
#define A one
#define id(x) [x]
#define text(x) #x
_Pragma("push_macro(\"A\")")
#undef A
#define A two
A _Pragma("pop_macro(\"A\")") A
id(1 _Pragma("foo A") 2) text(1 _Pragma("foo A") 2)
id(1
#pragma foo A
2)
id(_Pragma("push_macro(\"A\")") A)
#define arguments ("bar")
#define literal "baz"
_Pragma(literal) after
id(3
#undef A
#define A three
A
)
#pragma message A
#pragma GCC poison never
#pragma GCC warning "no text"
#ident "identity"
#if #system(linux) && !#system(unknown)
assertions
#endif
#assert animal(a  cat)
#if #animal(a cat) && #animal && !#animal(dog)
cat
#endif
#unassert animal
#if #animal
dog
#endif
int x[__has_attribute(packed) + __has_c_attribute(nodiscard)];
#if 0
#elifdef A
elifdef
#endif
#define func(x) x
#define bar func(
#define foo bar foo
foo )
#define comma(x, ...) x##,##__VA_ARGS__
comma(1)
