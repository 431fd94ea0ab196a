/*
 * library.c -- dlopen and dlsym behind wire/library.h.
 *
 * RTLD_LOCAL: the library's names must not stand in for somebody else's; functions of libraries
 * that it needs itself (libcrypto for libssl) are found through it.
 */
#include "wire/library.h"

#include <dlfcn.h>

brisk_err wire_library_load(const char *file, const char *const *names, void **table, size_t count,
                            brisk_errinfo *info)
{
    void *handle = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL) {
        const char *why = dlerror();
        return brisk_errinfo_set(info, BRISK_ERR_UNSUPPORTED, "cannot load %s: %s", file,
                                 why != NULL ? why : "unknown reason");
    }
    for (size_t i = 0; i < count; i++) {
        table[i] = dlsym(handle, names[i]);
        if (table[i] == NULL) {
            return brisk_errinfo_set(info, BRISK_ERR_UNSUPPORTED, "%s has no function %s", file,
                                     names[i]);
        }
    }
    return BRISK_OK;
}
