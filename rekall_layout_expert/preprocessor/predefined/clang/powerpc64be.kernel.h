#define _ARCH_PPC 1
#define _ARCH_PPC64 1
#define _BIG_ENDIAN 1
#define _CALL_ELF 1
#define _CALL_LINUX 1
#define _LP64 1
20- #define _SOFT_DOUBLE 1
20- #define _SOFT_FLOAT 1
#define __ATOMIC_ACQUIRE 2
#define __ATOMIC_ACQ_REL 4
#define __ATOMIC_CONSUME 1
#define __ATOMIC_RELAXED 0
#define __ATOMIC_RELEASE 3
#define __ATOMIC_SEQ_CST 5
#define __BIGGEST_ALIGNMENT__ 16
#define __BIG_ENDIAN__ 1
14- #define __BITINT_MAXWIDTH__ 128
14-19 #define __BOOL_WIDTH__ 8
20- #define __BOOL_WIDTH__ 1
#define __BYTE_ORDER__ __ORDER_BIG_ENDIAN__
#define __CHAR16_TYPE__ unsigned short
#define __CHAR32_TYPE__ unsigned int
#define __CHAR_BIT__ 8
#define __CHAR_UNSIGNED__ 1
#define __CLANG_ATOMIC_BOOL_LOCK_FREE 2
#define __CLANG_ATOMIC_CHAR16_T_LOCK_FREE 2
#define __CLANG_ATOMIC_CHAR32_T_LOCK_FREE 2
#define __CLANG_ATOMIC_CHAR_LOCK_FREE 2
#define __CLANG_ATOMIC_INT_LOCK_FREE 2
#define __CLANG_ATOMIC_LLONG_LOCK_FREE 2
#define __CLANG_ATOMIC_LONG_LOCK_FREE 2
#define __CLANG_ATOMIC_POINTER_LOCK_FREE 2
#define __CLANG_ATOMIC_SHORT_LOCK_FREE 2
#define __CLANG_ATOMIC_WCHAR_T_LOCK_FREE 2
#define __CONSTANT_CFSTRINGS__ 1
#define __DBL_DECIMAL_DIG__ 17
#define __DBL_DENORM_MIN__ 4.9406564584124654e-324
#define __DBL_DIG__ 15
#define __DBL_EPSILON__ 2.2204460492503131e-16
#define __DBL_HAS_DENORM__ 1
#define __DBL_HAS_INFINITY__ 1
#define __DBL_HAS_QUIET_NAN__ 1
#define __DBL_MANT_DIG__ 53
#define __DBL_MAX_10_EXP__ 308
#define __DBL_MAX_EXP__ 1024
#define __DBL_MAX__ 1.7976931348623157e+308
#define __DBL_MIN_10_EXP__ (-307)
#define __DBL_MIN_EXP__ (-1021)
#define __DBL_MIN__ 2.2250738585072014e-308
19- #define __DBL_NORM_MAX__ 1.7976931348623157e+308
#define __DECIMAL_DIG__ __LDBL_DECIMAL_DIG__
#define __ELF__ 1
#define __FINITE_MATH_ONLY__ 0
#define __FLT_DECIMAL_DIG__ 9
#define __FLT_DENORM_MIN__ 1.40129846e-45F
#define __FLT_DIG__ 6
#define __FLT_EPSILON__ 1.19209290e-7F
#define __FLT_EVAL_METHOD__ 0
#define __FLT_HAS_DENORM__ 1
#define __FLT_HAS_INFINITY__ 1
#define __FLT_HAS_QUIET_NAN__ 1
#define __FLT_MANT_DIG__ 24
#define __FLT_MAX_10_EXP__ 38
#define __FLT_MAX_EXP__ 128
#define __FLT_MAX__ 3.40282347e+38F
#define __FLT_MIN_10_EXP__ (-37)
#define __FLT_MIN_EXP__ (-125)
#define __FLT_MIN__ 1.17549435e-38F
19- #define __FLT_NORM_MAX__ 3.40282347e+38F
#define __FLT_RADIX__ 2
17- #define __FPCLASS_NEGINF 0x0004
17- #define __FPCLASS_NEGNORMAL 0x0008
17- #define __FPCLASS_NEGSUBNORMAL 0x0010
17- #define __FPCLASS_NEGZERO 0x0020
17- #define __FPCLASS_POSINF 0x0200
17- #define __FPCLASS_POSNORMAL 0x0100
17- #define __FPCLASS_POSSUBNORMAL 0x0080
17- #define __FPCLASS_POSZERO 0x0040
17- #define __FPCLASS_QNAN 0x0002
17- #define __FPCLASS_SNAN 0x0001
#define __GCC_ATOMIC_BOOL_LOCK_FREE 2
#define __GCC_ATOMIC_CHAR16_T_LOCK_FREE 2
#define __GCC_ATOMIC_CHAR32_T_LOCK_FREE 2
#define __GCC_ATOMIC_CHAR_LOCK_FREE 2
#define __GCC_ATOMIC_INT_LOCK_FREE 2
#define __GCC_ATOMIC_LLONG_LOCK_FREE 2
#define __GCC_ATOMIC_LONG_LOCK_FREE 2
#define __GCC_ATOMIC_POINTER_LOCK_FREE 2
#define __GCC_ATOMIC_SHORT_LOCK_FREE 2
#define __GCC_ATOMIC_TEST_AND_SET_TRUEVAL 1
#define __GCC_ATOMIC_WCHAR_T_LOCK_FREE 2
19- #define __GCC_CONSTRUCTIVE_SIZE 128
19- #define __GCC_DESTRUCTIVE_SIZE 128
13- #define __GCC_HAVE_DWARF2_CFI_ASM 1
#define __GCC_HAVE_SYNC_COMPARE_AND_SWAP_1 1
#define __GCC_HAVE_SYNC_COMPARE_AND_SWAP_2 1
#define __GCC_HAVE_SYNC_COMPARE_AND_SWAP_4 1
#define __GCC_HAVE_SYNC_COMPARE_AND_SWAP_8 1
#define __GNUC_MINOR__ 2
#define __GNUC_PATCHLEVEL__ 1
#define __GNUC_STDC_INLINE__ 1
#define __GNUC__ 4
#define __GXX_ABI_VERSION 1002
#define __HAVE_BSWAP__ 1
20- #define __INT16_C(c) c
#define __INT16_C_SUFFIX__
#define __INT16_FMTd__ "hd"
#define __INT16_FMTi__ "hi"
#define __INT16_MAX__ 32767
#define __INT16_TYPE__ short
20- #define __INT32_C(c) c
#define __INT32_C_SUFFIX__
#define __INT32_FMTd__ "d"
#define __INT32_FMTi__ "i"
#define __INT32_MAX__ 2147483647
#define __INT32_TYPE__ int
20- #define __INT64_C(c) c##L
#define __INT64_C_SUFFIX__ L
#define __INT64_FMTd__ "ld"
#define __INT64_FMTi__ "li"
#define __INT64_MAX__ 9223372036854775807L
#define __INT64_TYPE__ long int
20- #define __INT8_C(c) c
#define __INT8_C_SUFFIX__
#define __INT8_FMTd__ "hhd"
#define __INT8_FMTi__ "hhi"
#define __INT8_MAX__ 127
#define __INT8_TYPE__ signed char
20- #define __INTMAX_C(c) c##L
#define __INTMAX_C_SUFFIX__ L
#define __INTMAX_FMTd__ "ld"
#define __INTMAX_FMTi__ "li"
#define __INTMAX_MAX__ 9223372036854775807L
#define __INTMAX_TYPE__ long int
#define __INTMAX_WIDTH__ 64
#define __INTPTR_FMTd__ "ld"
#define __INTPTR_FMTi__ "li"
#define __INTPTR_MAX__ 9223372036854775807L
#define __INTPTR_TYPE__ long int
#define __INTPTR_WIDTH__ 64
#define __INT_FAST16_FMTd__ "hd"
#define __INT_FAST16_FMTi__ "hi"
#define __INT_FAST16_MAX__ 32767
#define __INT_FAST16_TYPE__ short
14- #define __INT_FAST16_WIDTH__ 16
#define __INT_FAST32_FMTd__ "d"
#define __INT_FAST32_FMTi__ "i"
#define __INT_FAST32_MAX__ 2147483647
#define __INT_FAST32_TYPE__ int
14- #define __INT_FAST32_WIDTH__ 32
#define __INT_FAST64_FMTd__ "ld"
#define __INT_FAST64_FMTi__ "li"
#define __INT_FAST64_MAX__ 9223372036854775807L
#define __INT_FAST64_TYPE__ long int
14- #define __INT_FAST64_WIDTH__ 64
#define __INT_FAST8_FMTd__ "hhd"
#define __INT_FAST8_FMTi__ "hhi"
#define __INT_FAST8_MAX__ 127
#define __INT_FAST8_TYPE__ signed char
14- #define __INT_FAST8_WIDTH__ 8
#define __INT_LEAST16_FMTd__ "hd"
#define __INT_LEAST16_FMTi__ "hi"
#define __INT_LEAST16_MAX__ 32767
#define __INT_LEAST16_TYPE__ short
14- #define __INT_LEAST16_WIDTH__ 16
#define __INT_LEAST32_FMTd__ "d"
#define __INT_LEAST32_FMTi__ "i"
#define __INT_LEAST32_MAX__ 2147483647
#define __INT_LEAST32_TYPE__ int
14- #define __INT_LEAST32_WIDTH__ 32
#define __INT_LEAST64_FMTd__ "ld"
#define __INT_LEAST64_FMTi__ "li"
#define __INT_LEAST64_MAX__ 9223372036854775807L
#define __INT_LEAST64_TYPE__ long int
14- #define __INT_LEAST64_WIDTH__ 64
#define __INT_LEAST8_FMTd__ "hhd"
#define __INT_LEAST8_FMTi__ "hhi"
#define __INT_LEAST8_MAX__ 127
#define __INT_LEAST8_TYPE__ signed char
14- #define __INT_LEAST8_WIDTH__ 8
#define __INT_MAX__ 2147483647
14- #define __INT_WIDTH__ 32
9-20 #define __LDBL_DECIMAL_DIG__ 33
21-21 #define __LDBL_DECIMAL_DIG__ 36
22-22 #define __LDBL_DECIMAL_DIG__ 33
23- #define __LDBL_DECIMAL_DIG__ 36
9-20 #define __LDBL_DENORM_MIN__ 4.94065645841246544176568792868221e-324L
21-21 #define __LDBL_DENORM_MIN__ 6.47517511943802511092443895822764655e-4966L
22-22 #define __LDBL_DENORM_MIN__ 4.94065645841246544176568792868221e-324L
23- #define __LDBL_DENORM_MIN__ 6.47517511943802511092443895822764655e-4966L
9-20 #define __LDBL_DIG__ 31
21-21 #define __LDBL_DIG__ 33
22-22 #define __LDBL_DIG__ 31
23- #define __LDBL_DIG__ 33
9-20 #define __LDBL_EPSILON__ 4.94065645841246544176568792868221e-324L
21-21 #define __LDBL_EPSILON__ 1.92592994438723585305597794258492732e-34L
22-22 #define __LDBL_EPSILON__ 4.94065645841246544176568792868221e-324L
23- #define __LDBL_EPSILON__ 1.92592994438723585305597794258492732e-34L
#define __LDBL_HAS_DENORM__ 1
#define __LDBL_HAS_INFINITY__ 1
#define __LDBL_HAS_QUIET_NAN__ 1
9-20 #define __LDBL_MANT_DIG__ 106
21-21 #define __LDBL_MANT_DIG__ 113
22-22 #define __LDBL_MANT_DIG__ 106
23- #define __LDBL_MANT_DIG__ 113
9-20 #define __LDBL_MAX_10_EXP__ 308
21-21 #define __LDBL_MAX_10_EXP__ 4932
22-22 #define __LDBL_MAX_10_EXP__ 308
23- #define __LDBL_MAX_10_EXP__ 4932
9-20 #define __LDBL_MAX_EXP__ 1024
21-21 #define __LDBL_MAX_EXP__ 16384
22-22 #define __LDBL_MAX_EXP__ 1024
23- #define __LDBL_MAX_EXP__ 16384
9-20 #define __LDBL_MAX__ 1.79769313486231580793728971405301e+308L
21-21 #define __LDBL_MAX__ 1.18973149535723176508575932662800702e+4932L
22-22 #define __LDBL_MAX__ 1.79769313486231580793728971405301e+308L
23- #define __LDBL_MAX__ 1.18973149535723176508575932662800702e+4932L
9-20 #define __LDBL_MIN_10_EXP__ (-291)
21-21 #define __LDBL_MIN_10_EXP__ (-4931)
22-22 #define __LDBL_MIN_10_EXP__ (-291)
23- #define __LDBL_MIN_10_EXP__ (-4931)
9-20 #define __LDBL_MIN_EXP__ (-968)
21-21 #define __LDBL_MIN_EXP__ (-16381)
22-22 #define __LDBL_MIN_EXP__ (-968)
23- #define __LDBL_MIN_EXP__ (-16381)
9-20 #define __LDBL_MIN__ 2.00416836000897277799610805135016e-292L
21-21 #define __LDBL_MIN__ 3.36210314311209350626267781732175260e-4932L
22-22 #define __LDBL_MIN__ 2.00416836000897277799610805135016e-292L
23- #define __LDBL_MIN__ 3.36210314311209350626267781732175260e-4932L
19-20 #define __LDBL_NORM_MAX__ 8.98846567431157953864652595394501e+307L
21-21 #define __LDBL_NORM_MAX__ 1.18973149535723176508575932662800702e+4932L
22-22 #define __LDBL_NORM_MAX__ 8.98846567431157953864652595394501e+307L
23- #define __LDBL_NORM_MAX__ 1.18973149535723176508575932662800702e+4932L
14- #define __LLONG_WIDTH__ 64
#define __LONGDOUBLE128 1
#define __LONG_DOUBLE_128__ 1
12-20 #define __LONG_DOUBLE_IBM128__ 1
22-22 #define __LONG_DOUBLE_IBM128__ 1
21-21 #define __LONG_DOUBLE_IEEE128__ 1
23- #define __LONG_DOUBLE_IEEE128__ 1
#define __LONG_LONG_MAX__ 9223372036854775807LL
#define __LONG_MAX__ 9223372036854775807L
14- #define __LONG_WIDTH__ 64
#define __LP64__ 1
22- #define __MEMORY_SCOPE_CLUSTR 5
18- #define __MEMORY_SCOPE_DEVICE 1
18- #define __MEMORY_SCOPE_SINGLE 4
18- #define __MEMORY_SCOPE_SYSTEM 0
18- #define __MEMORY_SCOPE_WRKGRP 2
18- #define __MEMORY_SCOPE_WVFRNT 3
#define __NATURAL_ALIGNMENT__ 1
20- #define __NO_FPRS__ 1
#define __OBJC_BOOL_IS_BOOL 0
#define __OPENCL_MEMORY_SCOPE_ALL_SVM_DEVICES 3
#define __OPENCL_MEMORY_SCOPE_DEVICE 2
#define __OPENCL_MEMORY_SCOPE_SUB_GROUP 4
#define __OPENCL_MEMORY_SCOPE_WORK_GROUP 1
#define __OPENCL_MEMORY_SCOPE_WORK_ITEM 0
#define __OPTIMIZE__ 1
#define __ORDER_BIG_ENDIAN__ 4321
#define __ORDER_LITTLE_ENDIAN__ 1234
#define __ORDER_PDP_ENDIAN__ 3412
#define __POINTER_WIDTH__ 64
#define __POWERPC__ 1
#define __PPC64__ 1
#define __PPC__ 1
#define __PRAGMA_REDEFINE_EXTNAME 1
#define __PTRDIFF_FMTd__ "ld"
#define __PTRDIFF_FMTi__ "li"
#define __PTRDIFF_MAX__ 9223372036854775807L
#define __PTRDIFF_TYPE__ long int
#define __PTRDIFF_WIDTH__ 64
#define __REGISTER_PREFIX__
#define __SCHAR_MAX__ 127
#define __SHRT_MAX__ 32767
14- #define __SHRT_WIDTH__ 16
#define __SIG_ATOMIC_MAX__ 2147483647
23- #define __SIG_ATOMIC_MIN__ (-__SIG_ATOMIC_MAX__ - 1)
23- #define __SIG_ATOMIC_TYPE__ int
#define __SIG_ATOMIC_WIDTH__ 32
#define __SIZEOF_DOUBLE__ 8
#define __SIZEOF_FLOAT__ 4
#define __SIZEOF_INT128__ 16
#define __SIZEOF_INT__ 4
#define __SIZEOF_LONG_DOUBLE__ 16
#define __SIZEOF_LONG_LONG__ 8
#define __SIZEOF_LONG__ 8
#define __SIZEOF_POINTER__ 8
#define __SIZEOF_PTRDIFF_T__ 8
#define __SIZEOF_SHORT__ 2
#define __SIZEOF_SIZE_T__ 8
#define __SIZEOF_WCHAR_T__ 2
#define __SIZEOF_WINT_T__ 4
#define __SIZE_FMTX__ "lX"
#define __SIZE_FMTo__ "lo"
#define __SIZE_FMTu__ "lu"
#define __SIZE_FMTx__ "lx"
#define __SIZE_MAX__ 18446744073709551615UL
#define __SIZE_TYPE__ long unsigned int
#define __SIZE_WIDTH__ 64
19- #define __STDC_EMBED_EMPTY__ 2
19- #define __STDC_EMBED_FOUND__ 1
19- #define __STDC_EMBED_NOT_FOUND__ 0
#define __STDC_HOSTED__ 1
#define __STDC_UTF_16__ 1
#define __STDC_UTF_32__ 1
#define __STDC_VERSION__ 201112L
#define __STDC__ 1
20- #define __UINT16_C(c) c
#define __UINT16_C_SUFFIX__
#define __UINT16_FMTX__ "hX"
#define __UINT16_FMTo__ "ho"
#define __UINT16_FMTu__ "hu"
#define __UINT16_FMTx__ "hx"
#define __UINT16_MAX__ 65535
#define __UINT16_TYPE__ unsigned short
20- #define __UINT32_C(c) c##U
#define __UINT32_C_SUFFIX__ U
#define __UINT32_FMTX__ "X"
#define __UINT32_FMTo__ "o"
#define __UINT32_FMTu__ "u"
#define __UINT32_FMTx__ "x"
#define __UINT32_MAX__ 4294967295U
#define __UINT32_TYPE__ unsigned int
20- #define __UINT64_C(c) c##UL
#define __UINT64_C_SUFFIX__ UL
#define __UINT64_FMTX__ "lX"
#define __UINT64_FMTo__ "lo"
#define __UINT64_FMTu__ "lu"
#define __UINT64_FMTx__ "lx"
#define __UINT64_MAX__ 18446744073709551615UL
#define __UINT64_TYPE__ long unsigned int
20- #define __UINT8_C(c) c
#define __UINT8_C_SUFFIX__
#define __UINT8_FMTX__ "hhX"
#define __UINT8_FMTo__ "hho"
#define __UINT8_FMTu__ "hhu"
#define __UINT8_FMTx__ "hhx"
#define __UINT8_MAX__ 255
#define __UINT8_TYPE__ unsigned char
20- #define __UINTMAX_C(c) c##UL
#define __UINTMAX_C_SUFFIX__ UL
#define __UINTMAX_FMTX__ "lX"
#define __UINTMAX_FMTo__ "lo"
#define __UINTMAX_FMTu__ "lu"
#define __UINTMAX_FMTx__ "lx"
#define __UINTMAX_MAX__ 18446744073709551615UL
#define __UINTMAX_TYPE__ long unsigned int
#define __UINTMAX_WIDTH__ 64
#define __UINTPTR_FMTX__ "lX"
#define __UINTPTR_FMTo__ "lo"
#define __UINTPTR_FMTu__ "lu"
#define __UINTPTR_FMTx__ "lx"
#define __UINTPTR_MAX__ 18446744073709551615UL
#define __UINTPTR_TYPE__ long unsigned int
#define __UINTPTR_WIDTH__ 64
#define __UINT_FAST16_FMTX__ "hX"
#define __UINT_FAST16_FMTo__ "ho"
#define __UINT_FAST16_FMTu__ "hu"
#define __UINT_FAST16_FMTx__ "hx"
#define __UINT_FAST16_MAX__ 65535
#define __UINT_FAST16_TYPE__ unsigned short
#define __UINT_FAST32_FMTX__ "X"
#define __UINT_FAST32_FMTo__ "o"
#define __UINT_FAST32_FMTu__ "u"
#define __UINT_FAST32_FMTx__ "x"
#define __UINT_FAST32_MAX__ 4294967295U
#define __UINT_FAST32_TYPE__ unsigned int
#define __UINT_FAST64_FMTX__ "lX"
#define __UINT_FAST64_FMTo__ "lo"
#define __UINT_FAST64_FMTu__ "lu"
#define __UINT_FAST64_FMTx__ "lx"
#define __UINT_FAST64_MAX__ 18446744073709551615UL
#define __UINT_FAST64_TYPE__ long unsigned int
#define __UINT_FAST8_FMTX__ "hhX"
#define __UINT_FAST8_FMTo__ "hho"
#define __UINT_FAST8_FMTu__ "hhu"
#define __UINT_FAST8_FMTx__ "hhx"
#define __UINT_FAST8_MAX__ 255
#define __UINT_FAST8_TYPE__ unsigned char
#define __UINT_LEAST16_FMTX__ "hX"
#define __UINT_LEAST16_FMTo__ "ho"
#define __UINT_LEAST16_FMTu__ "hu"
#define __UINT_LEAST16_FMTx__ "hx"
#define __UINT_LEAST16_MAX__ 65535
#define __UINT_LEAST16_TYPE__ unsigned short
#define __UINT_LEAST32_FMTX__ "X"
#define __UINT_LEAST32_FMTo__ "o"
#define __UINT_LEAST32_FMTu__ "u"
#define __UINT_LEAST32_FMTx__ "x"
#define __UINT_LEAST32_MAX__ 4294967295U
#define __UINT_LEAST32_TYPE__ unsigned int
#define __UINT_LEAST64_FMTX__ "lX"
#define __UINT_LEAST64_FMTo__ "lo"
#define __UINT_LEAST64_FMTu__ "lu"
#define __UINT_LEAST64_FMTx__ "lx"
#define __UINT_LEAST64_MAX__ 18446744073709551615UL
#define __UINT_LEAST64_TYPE__ long unsigned int
#define __UINT_LEAST8_FMTX__ "hhX"
#define __UINT_LEAST8_FMTo__ "hho"
#define __UINT_LEAST8_FMTu__ "hhu"
#define __UINT_LEAST8_FMTx__ "hhx"
#define __UINT_LEAST8_MAX__ 255
#define __UINT_LEAST8_TYPE__ unsigned char
#define __USER_LABEL_PREFIX__
#define __WCHAR_MAX__ 65535
23- #define __WCHAR_MIN__ 0
#define __WCHAR_TYPE__ unsigned short
#define __WCHAR_UNSIGNED__ 1
#define __WCHAR_WIDTH__ 16
#define __WINT_MAX__ 4294967295U
23- #define __WINT_MIN__ 0U
#define __WINT_TYPE__ unsigned int
#define __WINT_UNSIGNED__ 1
#define __WINT_WIDTH__ 32
15- #define __abs __builtin_abs
14- #define __addex __builtin_ppc_addex
20- #define __addg6s __builtin_ppc_addg6s
13- #define __alignx __builtin_ppc_alignx
13- #define __alloca __builtin_alloca
13- #define __bcopy bcopy
13- #define __bpermd __builtin_bpermd
22- #define __builtin_bcdcopysign __builtin_ppc_bcdcopysign
22- #define __builtin_bcdsetsign __builtin_ppc_bcdsetsign
23- #define __builtin_bcdshift __builtin_ppc_bcdshift
23- #define __builtin_bcdshiftround __builtin_ppc_bcdshiftround
23- #define __builtin_bcdtruncate __builtin_ppc_bcdtruncate
23- #define __builtin_bcdunsignedshift __builtin_ppc_bcdunsignedshift
23- #define __builtin_bcdunsignedtruncate __builtin_ppc_bcdunsignedtruncate
15- #define __builtin_maxfe __builtin_ppc_maxfe
15- #define __builtin_maxfl __builtin_ppc_maxfl
15- #define __builtin_maxfs __builtin_ppc_maxfs
16- #define __builtin_mffs __builtin_ppc_mffs
16- #define __builtin_mffsl __builtin_ppc_mffsl
15- #define __builtin_minfe __builtin_ppc_minfe
15- #define __builtin_minfl __builtin_ppc_minfl
15- #define __builtin_minfs __builtin_ppc_minfs
16- #define __builtin_mtfsf __builtin_ppc_mtfsf
21- #define __builtin_national2packed __builtin_ppc_national2packed
21- #define __builtin_packed2national __builtin_ppc_packed2national
21- #define __builtin_packed2zoned __builtin_ppc_packed2zoned
16- #define __builtin_set_fpscr_rn __builtin_ppc_set_fpscr_rn
21- #define __builtin_zoned2packed __builtin_ppc_zoned2packed
20- #define __cbcdtd __builtin_ppc_cbcdtd
20- #define __cdtbcd __builtin_ppc_cdtbcd
#define __clang__ 1
13- #define __clang_literal_encoding__ "UTF-8"
13- #define __clang_wide_literal_encoding__ "UTF-16"
13- #define __cmpb __builtin_ppc_cmpb
13- #define __cmpeqb __builtin_ppc_cmpeqb
13- #define __cmplx __builtin_complex
13- #define __cmplxf __builtin_complex
14- #define __cmplxl __builtin_complex
13- #define __cmprb __builtin_ppc_cmprb
13- #define __cntlz4 __builtin_clz
13- #define __cntlz8 __builtin_clzll
13- #define __cnttz4 __builtin_ctz
13- #define __cnttz8 __builtin_ctzll
13- #define __compare_and_swap __builtin_ppc_compare_and_swap
13- #define __compare_and_swaplp __builtin_ppc_compare_and_swaplp
14- #define __compare_exp_eq __builtin_ppc_compare_exp_eq
14- #define __compare_exp_gt __builtin_ppc_compare_exp_gt
14- #define __compare_exp_lt __builtin_ppc_compare_exp_lt
14- #define __compare_exp_uo __builtin_ppc_compare_exp_uo
13- #define __darn __builtin_darn
13- #define __darn_32 __builtin_darn_32
13- #define __darn_raw __builtin_darn_raw
13- #define __dcbf __builtin_dcbf
13- #define __dcbfl __builtin_ppc_dcbfl
13- #define __dcbflp __builtin_ppc_dcbflp
13- #define __dcbst __builtin_ppc_dcbst
13- #define __dcbt __builtin_ppc_dcbt
13- #define __dcbtst __builtin_ppc_dcbtst
13- #define __dcbtstt __builtin_ppc_dcbtstt
13- #define __dcbtt __builtin_ppc_dcbtt
13- #define __dcbz __builtin_ppc_dcbz
13- #define __divde __builtin_divde
13- #define __divdeu __builtin_divdeu
13- #define __divwe __builtin_divwe
13- #define __divweu __builtin_divweu
13- #define __eieio __builtin_ppc_eieio
13- #define __extract_exp __builtin_ppc_extract_exp
13- #define __extract_sig __builtin_ppc_extract_sig
13- #define __fcfid __builtin_ppc_fcfid
13- #define __fcfud __builtin_ppc_fcfud
13- #define __fctid __builtin_ppc_fctid
13- #define __fctidz __builtin_ppc_fctidz
13- #define __fctiw __builtin_ppc_fctiw
13- #define __fctiwz __builtin_ppc_fctiwz
13- #define __fctudz __builtin_ppc_fctudz
13- #define __fctuwz __builtin_ppc_fctuwz
18- #define __fence __builtin_ppc_fence
13- #define __fetch_and_add __builtin_ppc_fetch_and_add
13- #define __fetch_and_addlp __builtin_ppc_fetch_and_addlp
13- #define __fetch_and_and __builtin_ppc_fetch_and_and
13- #define __fetch_and_andlp __builtin_ppc_fetch_and_andlp
13- #define __fetch_and_or __builtin_ppc_fetch_and_or
13- #define __fetch_and_orlp __builtin_ppc_fetch_and_orlp
13- #define __fetch_and_swap __builtin_ppc_fetch_and_swap
13- #define __fetch_and_swaplp __builtin_ppc_fetch_and_swaplp
13- #define __fmadd __builtin_fma
13- #define __fmadds __builtin_fmaf
13- #define __fmsub __builtin_ppc_fmsub
13- #define __fmsubs __builtin_ppc_fmsubs
15- #define __fnabs __builtin_ppc_fnabs
15- #define __fnabss __builtin_ppc_fnabss
13- #define __fnmadd __builtin_ppc_fnmadd
13- #define __fnmadds __builtin_ppc_fnmadds
13- #define __fnmsub __builtin_ppc_fnmsub
13- #define __fnmsubs __builtin_ppc_fnmsubs
13- #define __fre __builtin_ppc_fre
13- #define __fres __builtin_ppc_fres
13- #define __fric __builtin_ppc_fric
13- #define __frim __builtin_ppc_frim
13- #define __frims __builtin_ppc_frims
13- #define __frin __builtin_ppc_frin
13- #define __frins __builtin_ppc_frins
13- #define __frip __builtin_ppc_frip
13- #define __frips __builtin_ppc_frips
13- #define __friz __builtin_ppc_friz
13- #define __frizs __builtin_ppc_frizs
13- #define __frsqrte __builtin_ppc_frsqrte
13- #define __frsqrtes __builtin_ppc_frsqrtes
13- #define __fsel __builtin_ppc_fsel
13- #define __fsels __builtin_ppc_fsels
13- #define __fsqrt __builtin_ppc_fsqrt
13- #define __fsqrts __builtin_ppc_fsqrts
#define __gnu_linux__ 1
13- #define __icbt __builtin_ppc_icbt
13- #define __insert_exp __builtin_ppc_insert_exp
13- #define __iospace_eieio __builtin_ppc_iospace_eieio
13- #define __iospace_lwsync __builtin_ppc_iospace_lwsync
13- #define __iospace_sync __builtin_ppc_iospace_sync
13- #define __isync __builtin_ppc_isync
13- #define __labs __builtin_labs
13- #define __lbarx __builtin_ppc_lbarx
13- #define __ldarx __builtin_ppc_ldarx
13- #define __lharx __builtin_ppc_lharx
#define __linux 1
#define __linux__ 1
13- #define __llabs __builtin_llabs
#define __llvm__ 1
13- #define __load2r __builtin_ppc_load2r
13- #define __load4r __builtin_ppc_load4r
13- #define __load8r __builtin_ppc_load8r
13- #define __lwarx __builtin_ppc_lwarx
13- #define __lwsync __builtin_ppc_lwsync
13- #define __maddhd __builtin_ppc_maddhd
13- #define __maddhdu __builtin_ppc_maddhdu
13- #define __maddld __builtin_ppc_maddld
13- #define __mfmsr __builtin_ppc_mfmsr
13- #define __mfspr __builtin_ppc_mfspr
13- #define __mftbu __builtin_ppc_mftbu
13- #define __mtfsb0 __builtin_ppc_mtfsb0
13- #define __mtfsb1 __builtin_ppc_mtfsb1
13- #define __mtfsf __builtin_ppc_mtfsf
13- #define __mtfsfi __builtin_ppc_mtfsfi
13- #define __mtmsr __builtin_ppc_mtmsr
13- #define __mtspr __builtin_ppc_mtspr
13- #define __mulhd __builtin_ppc_mulhd
13- #define __mulhdu __builtin_ppc_mulhdu
13- #define __mulhw __builtin_ppc_mulhw
13- #define __mulhwu __builtin_ppc_mulhwu
13- #define __popcnt4 __builtin_popcount
13- #define __popcnt8 __builtin_popcountll
13- #define __popcntb __builtin_ppc_popcntb
13- #define __poppar4 __builtin_ppc_poppar4
13- #define __poppar8 __builtin_ppc_poppar8
#define __powerpc64__ 1
#define __powerpc__ 1
9-15 #define __ppc64__ 1
#define __ppc__ 1
13- #define __rdlam __builtin_ppc_rdlam
13- #define __readflm __builtin_readflm
13- #define __rldimi __builtin_ppc_rldimi
13- #define __rlwimi __builtin_ppc_rlwimi
13- #define __rlwnm __builtin_ppc_rlwnm
13- #define __rotatel4 __builtin_rotateleft32
13- #define __rotatel8 __builtin_rotateleft64
13- #define __setb __builtin_ppc_setb
13- #define __setflm __builtin_setflm
13- #define __setrnd __builtin_setrnd
13- #define __stbcx __builtin_ppc_stbcx
13- #define __stdcx __builtin_ppc_stdcx
13- #define __stfiw __builtin_ppc_stfiw
13- #define __sthcx __builtin_ppc_sthcx
13- #define __store2r __builtin_ppc_store2r
13- #define __store4r __builtin_ppc_store4r
13- #define __store8r __builtin_ppc_store8r
13- #define __stwcx __builtin_ppc_stwcx
14- #define __swdiv __builtin_ppc_swdiv
13- #define __swdiv_nochk __builtin_ppc_swdiv_nochk
14- #define __swdivs __builtin_ppc_swdivs
13- #define __swdivs_nochk __builtin_ppc_swdivs_nochk
13- #define __sync __builtin_ppc_sync
13- #define __tdw __builtin_ppc_tdw
14- #define __test_data_class __builtin_ppc_test_data_class
13- #define __trap __builtin_ppc_trap
13- #define __trapd __builtin_ppc_trapd
13- #define __tw __builtin_ppc_tw
#define __unix 1
#define __unix__ 1
13- #define __vcipher __builtin_altivec_crypto_vcipher
13- #define __vcipherlast __builtin_altivec_crypto_vcipherlast
13- #define __vncipher __builtin_altivec_crypto_vncipher
13- #define __vncipherlast __builtin_altivec_crypto_vncipherlast
13- #define __vpermxor __builtin_altivec_crypto_vpermxor
13- #define __vpmsumb __builtin_altivec_crypto_vpmsumb
13- #define __vpmsumd __builtin_altivec_crypto_vpmsumd
13- #define __vpmsumh __builtin_altivec_crypto_vpmsumh
13- #define __vpmsumw __builtin_altivec_crypto_vpmsumw
#define linux 1
#define unix 1
