/*
 * demangle.c -- __cxa_demangle of libstdc++, loaded with the first C++ name that is seen.
 *
 * Its recursion follows the name, so names longer than PROF_DEMANGLE_MAX stay as they are.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "observe/profile/symbols.h"
#include "wire/library.h"

char *__cxa_demangle(const char *name, char *buffer, size_t *size, int *status);

#define FUNCTIONS(X) X(__cxa_demangle)

/* File-scope state: a library that is mapped is the process's. */
static struct {
    FUNCTIONS(WIRE_LIBRARY_POINTER)
} so;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void load(void)
{
    static const char *const names[] = {FUNCTIONS(WIRE_LIBRARY_NAME)};
    if (wire_library_load("libstdc++.so.6", names, (void **)&so, sizeof names / sizeof *names,
                          NULL) != BRISK_OK) {
        so.__cxa_demangle = NULL;
    }
}

const char *prof_demangle(const char *name, char *text, size_t room)
{
    if (name[0] != '_' || name[1] != 'Z' || strlen(name) > PROF_DEMANGLE_MAX) {
        return name;
    }
    (void)pthread_once(&once, load);
    if (so.__cxa_demangle == NULL) {
        return name;
    }
    int status = 0;
    char *plain = so.__cxa_demangle(name, NULL, NULL, &status);
    if (plain == NULL) {
        return name;
    }
    bool fits = strlen(plain) < room;
    if (fits) {
        memcpy(text, plain, strlen(plain) + 1);
    }
    free(plain); /* the library took it from malloc */
    return fits ? text : name;
}
