__LINE__ __LINE__
#define line __LINE__
#define string(x) #x
#define xstring(x) string(x)
line xstring(__LINE__)
#line 100
__LINE__ line
#line 200 "other.c"
__LINE__ line
xstring(__LINE__
)
#define NUMBER 300
#line NUMBER
__LINE__
# 400 "marker.c"
__LINE__
__COUNTER__ __COUNTER__
#define count __COUNTER__
count count xstring(__COUNTER__)
#if __COUNTER__ == 5
five
#endif
#define unique_(a, b) a ## b
#define unique(a, b) unique_(a, b)
unique(id_, __COUNTER__) unique(id_, __COUNTER__) unique(line_, __LINE__)
__LINE__ \
 __LINE__ \
 __LINE__
__LINE__
string(
__LINE__
) line
__INCLUDE_LEVEL__
