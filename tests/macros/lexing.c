/* Comments, continuation lines, pp-numbers, punctuators, literals. */
a/* */b a/**/b a//b
c /* one /* not nested */ d /* // */ e // /* f
g /\
* joined comment *\
/ h
one\
two "str\
ing" 'c\
' // comment \
goes on
i
1.e+5 .5e-3f 0x1p-3 1e+ 1..2 0x1.fp+1 1_000 12abc 0xe+1 1.2.3 .. . ... 08 1e10e
++ + + +++ - -- -> ->* <<= >>= << >> <= >= == != && || *= /= %= += -= &= ^= |= ## # :: ; : ? ~ ! ^
a+++++b a- -b x=-1 p->q s.t *p &q [x] {y} (z)
<: :> <% %> %: %:%:
"a\"b" 'a\'b' "\\" '\\' L"w" u"x" U"y" u8"z" L'w' u'x' U'y' "/* no comment */" "// none" '"' "'"
"??=" ??= ??/ ??'
$dollar under_score _Under __under
#define max(a,b) a<b
#define plus +
#define minus -
#define nothing
+plus +nothing+ -minus minus-minus plus+ nothing nothing-nothing- max(1,-1)
#define dot .
dot dot dot dot 5 5 dot 5 dot. .dot
#define e 5
1e 1 e .e e. 1.e+e
#define f(x) -x
f(-1) -f(1) f(f(-)) f()f()
#define slash /
slash slash * slash/ x slash *
@ `
