/* Raw strings, spliced lines and what __LINE__ is in them; digraphs, names with extended characters. */
#define s(x) #x
#define xs(x) s(x)
#define t(x) x
#define line __LINE__
R"x(
a\
"b" // c
)x" __LINE__ s(R"(a\
"b")")
"a\
b" __LINE__ 'c\
d' /* \
*/ __LINE__
t(a
__LINE__) t(
line
) __LINE__ xs(
line )
#line 100
#  line __LINE__
__LINE__
#if __LINE__ == 102 && \
    __LINE__ > 100
right
#endif
%: define digraph(x, y) %:x x y %:%: 1
digraph(<: :> <% %>, name)
#define \u00c1x one
Áx \u00c1x s(\u00c1x) 0\u00c1.x
don't t(x) /* a literal that is not closed
"neither t(y)
