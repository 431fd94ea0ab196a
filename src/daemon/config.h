/*
 * config.h -- CONFIG GET and SET: Redis's names for what can be set here, and our own.
 *
 * Three sorts of parameters: those that act, those that are only kept (so that clients and scripts
 * which set them go on: hash-max-listpack-entries where there are no hashes), and those that cannot
 * be changed.  docs/compatibility.md says which is which.
 *
 * A CONFIG SET of several is checked as a whole, applied in order, and taken back when one cannot be
 * applied.
 */
#ifndef BRISK_SRC_DAEMON_CONFIG_H
#define BRISK_SRC_DAEMON_CONFIG_H

#include "daemon/server.h"

enum { CONFIG_VALUE_MAX = 1024, CONFIG_ERROR_MAX = 200 };

typedef enum config_kind {
    CONFIG_TEXT,
    CONFIG_NUMBER,
    CONFIG_BYTES,   /* "10mb" */
    CONFIG_PERCENT, /* bytes or "10%" */
    CONFIG_YES_NO,
    CONFIG_WORD, /* one of `words` */
} config_kind;

enum config_flags {
    CONFIG_FIXED = 1u << 0,  /* cannot be set */
    CONFIG_HIDDEN = 1u << 1, /* not shown for patterns */
};

typedef struct config_entry {
    const char *name;
    const char *def;
    const char *const *words; /* NULL at the end */
    /* Let it act; false: it cannot, and `error` says why. */
    bool (*apply)(server *s, const char *value, char error[CONFIG_ERROR_MAX]);
    /* What it is now; NULL: what was set last. */
    void (*read)(const server *s, char value[CONFIG_VALUE_MAX]);
    int64_t min;
    int64_t max; /* 0: none */
    config_kind kind;
    uint32_t flags;
} config_entry;

extern const config_entry config_entries[];
extern const uint32_t config_entry_count;

BRISK_NODISCARD brisk_err config_create(server *s, struct config **ret);
void config_destroy(struct config *config);
/* The value of entry `index`. */
void config_read(const server *s, uint32_t index, char value[CONFIG_VALUE_MAX]);

#endif /* BRISK_SRC_DAEMON_CONFIG_H */
