/*
 * module.h -- what the loader and the reader of manifests share: names, folders, limits.
 */
#ifndef BRISK_SRC_ENGINE_MODULE_H
#define BRISK_SRC_ENGINE_MODULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/err.h>
#include <brisk/yaml.h>

enum {
    MODULE_PATH_MAX = 4096,    /* a path with its NUL */
    MODULE_NAME_MAX = 64,      /* a name with its NUL */
    MODULE_FOLDERS_MAX = 64,   /* of $BRISK_MODULE_PATH */
    MODULE_COMMANDS_MAX = 256, /* of one module, and so for the next two */
    MODULE_OPTIONS_MAX = 64,
    MODULE_KNOBS_MAX = 256,
};

/* [a-z][a-z0-9_]*, shorter than MODULE_NAME_MAX. */
bool module_is_name(const char *name);

/* Folder number `index` of $BRISK_MODULE_PATH; false past the end. */
bool module_env_folder(uint32_t index, char path[MODULE_PATH_MAX]);

/* The folder that libbrisk (or the program it is linked into) lies in; false when unknown. */
bool module_library_folder(char path[MODULE_PATH_MAX]);

typedef struct manifest_text {
    const char *path; /* stands in error texts */
    const char *name; /* of the module */
    const void *data;
    size_t size;
} manifest_text;

/*
 * Parse a manifest and check all of it: kinds, numbers, names.  `alloc` NULL means libc.
 * Errors: INVALID, LIMIT, ABI (`info` names path and line), NOMEM.
 */
BRISK_NODISCARD brisk_err manifest_parse(const manifest_text *text, const brisk_alloc *alloc,
                                         brisk_yaml_doc **ret, brisk_errinfo *info);

#endif /* BRISK_SRC_ENGINE_MODULE_H */
