#include "include/plain.h"
#include "plain.h"
#include <plain.h>
#include "include/guarded.h"
#include "guarded.h"
#include <once.h>
#include "include/once.h"
#include <nested/deep.h>
#define QUOTED "plain.h"
#define ANGLED <plain.h>
#define MAKE(x) <x.h>
#define NAME plain
#define STRING(x) #x
#define XSTRING(x) STRING(x)
#include QUOTED
#include ANGLED
#include MAKE(plain)
#include MAKE(NAME)
#include XSTRING(NAME.h)
#include XSTRING(nested/NAME.h)
/* X macros: the same file read with a different macro each time. */
#define X(name, value) name = value,
enum {
#include <list.inc>
};
#undef X
#define X(name, value) [name] = #name,
const char *names[] = {
#include <list.inc>
};
#undef X
#include <next.h>
