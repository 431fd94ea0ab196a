/*
 * library.h -- libraries that are loaded with their first use.
 *
 * libssl costs a program 0.8 ms at its start and libcurl 4.7 ms (measured with empty programs on
 * the machine of docs/performance.md): what most commands never use must not delay all of them.
 * So the build needs their headers, the linker does not know them, and who needs one has a table
 * of functions, typed by those headers:
 *
 *     #define FUNCTIONS(X) X(SSL_new) X(SSL_free)
 *     static struct { FUNCTIONS(WIRE_LIBRARY_POINTER) } so;
 *     static const char *const names[] = {FUNCTIONS(WIRE_LIBRARY_NAME)};
 *     wire_library_load("libssl.so.3", names, (void **)&so, sizeof names / sizeof *names, info)
 *
 * A library stays loaded.  Threads: the caller loads under pthread_once.
 */
#ifndef BRISK_SRC_WIRE_LIBRARY_H
#define BRISK_SRC_WIRE_LIBRARY_H

#include <stddef.h>

#include <brisk/base.h>
#include <brisk/err.h>

#define WIRE_LIBRARY_POINTER(name) __typeof__(name) *name;
#define WIRE_LIBRARY_NAME(name)    #name,

/*
 * Load `file` and put the addresses of its functions `names` into `table`, in order.
 * Errors: UNSUPPORTED (not installed, or too old: `info` names the file and what is missing).
 */
BRISK_NODISCARD brisk_err wire_library_load(const char *file, const char *const *names,
                                            void **table, size_t count, brisk_errinfo *info);

#endif /* BRISK_SRC_WIRE_LIBRARY_H */
