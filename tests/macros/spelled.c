/* Directives spelled oddly: white space, comments, continuation lines within and around. */
#define/**/a/**/1
#  define b(x,y) x y
#	define	c	tab
#define d() nullary
#define e( x , y ) y x
#define f (x) object
#define g(x)(x)
#define h\
(x) \
  continued \
  x
/* before */ #define i 9
#define j /* a comment over
two lines */ 10
#define k
#define l(x) /* gone */ x /* too */
#define m(...) [__VA_ARGS__]
#define m2( ... ) [__VA_ARGS__]
#define m3(x , ... ) [x][__VA_ARGS__]
#define m4( x ... ) [x]
a b(1,2) c d() e(1,2) f(3) g(4) h(5) i j k l(6) m(7,8) m2(9) m3(1, 2, 3) m4(1, 2)
#undef a
#undef never_defined
a
#define n(x) x
n(1) n (2) n
(3) n /* c */ (4) n // c
(5)
n(
#define o 11
o
#undef o
o
)
n(1
#ifdef never
2
#else
3
#endif
)
#define p q
#define q p r
p
#define INC(x) x + 1
#define s(x) INC
s(1)(2) s(1)
(3)
#define struct_group(NAME, MEMBERS...) union { struct { MEMBERS }; struct { MEMBERS } NAME; }
struct t {
	struct_group(headers,
		int x;
#if defined(a)
		int no;
#elif 1
		char y, z;
#endif
	); /* end */
};
