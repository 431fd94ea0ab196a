/*
 * module.h -- where modules are looked for; shared by the loader and the reader of manifests.
 */
#ifndef BRISK_SRC_ENGINE_MODULE_H
#define BRISK_SRC_ENGINE_MODULE_H

#include <stdbool.h>
#include <stdint.h>

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

#endif /* BRISK_SRC_ENGINE_MODULE_H */
