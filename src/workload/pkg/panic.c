/*
 * panic.c -- where a failed BRISK_ASSERT of this module ends: the library keeps its own to itself.
 */
#include "base/assert.h"

_Noreturn void brisk_panic(const char *file, int line, const char *what)
{
    (void)fprintf(stderr, "brisk: pkg: bug at %s:%d: %s\n", file, line, what);
    abort();
}
