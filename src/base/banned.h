/*
 * banned.h -- forced into every file: calls that have no place here do not compile.
 *
 * strcpy and friends know no bounds, strtok has hidden state, atoi hides errors.
 */
#ifndef BRISK_SRC_BASE_BANNED_H
#define BRISK_SRC_BASE_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* With _FORTIFY_SOURCE and clang, glibc makes macros of them, and a macro cannot be poisoned. */
#undef sprintf
#undef vsprintf

#pragma GCC poison strcpy strcat sprintf vsprintf strtok gets atoi atol atof

#endif /* BRISK_SRC_BASE_BANNED_H */
