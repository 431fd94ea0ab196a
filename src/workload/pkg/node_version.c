/*
 * node_version.c -- the version from node's own header, PREFIX/include/node/node_version.h beside
 * PREFIX/bin/node, which node's packages bring.  To run node and ask would take 40 ms.
 *
 * Threads: no state.
 */
#include "workload/pkg/node_version.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "workload/pkg/file_read.h"

enum { HEADER_BYTES_MAX = 1 << 16 };

/* The number behind "#define NAME ". */
static bool number_of(pkg_text text, const char *name, uint64_t *ret)
{
    char word[64];
    int size = snprintf(word, sizeof word, "#define %s ", name);
    const char *at = memmem(text.data, text.size, word, (size_t)size);
    if (at == NULL) {
        return false;
    }
    char *end; /* the text is terminated */
    *ret = strtoull(at + size, &end, 10);
    return end != at + size && *ret < 1000000;
}

static bool read_header(const char *folder, int folder_size, brisk_arena *arena, semver *ret)
{
    char path[PATH_MAX];
    pkg_text text;
    brisk_errinfo info;
    const pkg_file_opts opts = {.size_max = HEADER_BYTES_MAX, .follow_links = true};
    int size =
        snprintf(path, sizeof path, "%.*s/../include/node/node_version.h", folder_size, folder);
    semver version = {0};
    if (size < 0 || size >= PATH_MAX ||
        pkg_file_read(path, &opts, arena, &text, &info) != BRISK_OK ||
        !number_of(text, "NODE_MAJOR_VERSION", &version.major) ||
        !number_of(text, "NODE_MINOR_VERSION", &version.minor) ||
        !number_of(text, "NODE_PATCH_VERSION", &version.patch)) {
        return false;
    }
    *ret = version;
    return true;
}

bool pkg_node_version(brisk_arena *arena, semver *ret)
{
    const char *path = getenv("PATH");
    while (path != NULL && *path != '\0') {
        size_t size = strcspn(path, ":");
        char file[PATH_MAX];
        char real[PATH_MAX];
        int length = snprintf(file, sizeof file, "%.*s/node", (int)size, path);
        if (size > 0 && length < PATH_MAX && access(file, X_OK) == 0) {
            if (read_header(path, (int)size, arena, ret)) {
                return true;
            }
            const char *slash = realpath(file, real) != NULL ? strrchr(real, '/') : NULL;
            return slash != NULL && read_header(real, (int)(slash - real), arena, ret);
        }
        path += size + (path[size] == ':');
    }
    return false;
}
