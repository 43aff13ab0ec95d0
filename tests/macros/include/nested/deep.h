#include "sibling.h"
#include "../plain.h"
deep __INCLUDE_LEVEL__
