/*
 * mounts.h -- one mount of serve.static: what its YAML says, its root, its route.
 *
 * Threads: read-only once made, but for the root's descriptor, which is replaced in place.
 */
#ifndef BRISK_SRC_DAEMON_FILES_MOUNTS_H
#define BRISK_SRC_DAEMON_FILES_MOUNTS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/err.h>
#include <brisk/yaml.h>

#include "daemon/files/open_cache.h"
#include "daemon/http/exchange.h"

enum { MOUNTS_MAX = 64, MOUNT_LINKS_MAX = 16, MOUNT_TEXT_MAX = 1024 };

typedef struct files files;

typedef struct mount {
    files *owner;
    http_route route;
    char *at;
    char *host;
    char *root;
    char *index;                     /* "": none */
    char *cache_control;             /* "": no field */
    char *dictionary;                /* a string of structured fields, or "" */
    http_text dictionary_match;      /* the pattern as written */
    char *hints[MOUNT_LINKS_MAX];    /* values of Link for early hints */
    char *prefetch[MOUNT_LINKS_MAX]; /* likewise for what comes next */
    uint32_t hint_count;
    uint32_t prefetch_count;
    bool listing;
    bool precompressed;
    bool variants;
    bool dotfiles;
    bool compress;
    file_place place;
    _Atomic uint64_t root_ns; /* when the root was looked at */
    pthread_mutex_t root_lock;
} mount;

/* Of a mapping of the document.  Errors (`info` names the line): INVALID, those of opening the root,
 * NOMEM. */
BRISK_NODISCARD brisk_err mount_init(mount *self, const brisk_yaml_doc *doc,
                                     const brisk_yaml_node *node, const brisk_alloc *alloc,
                                     brisk_errinfo *info);
void mount_deinit(mount *self, const brisk_alloc *alloc);
/* Notice another folder in the root's place; may wait for the disk. */
void mount_look(mount *self, uint64_t now_ns);
bool mount_is_due(const mount *self, uint64_t now_ns);
/* Does the path match `pattern`, in which each '*' stands for any characters? */
bool mount_matches(http_text pattern, http_text path);

#endif /* BRISK_SRC_DAEMON_FILES_MOUNTS_H */
