/*
 * entry.h -- how a response lies in the cache: one value, head and body.
 *
 *     entry_head │ fields as lines "name: value\r\n" │ body
 *
 * A response is sent out of its value as it lies there: the table of its fields points into the
 * lines, the body is a reference with an offset.  Under the URL's own key lies either the response
 * or, when it varies, the names on which it does (its "spec"); the variants lie under the URL's key
 * and the hash of what the request says under those names.
 *
 *     "PX\0" scheme host \0 target                  response, or spec
 *     "PX\0" scheme host \0 target \0 hash          variant
 *
 * Numbers are the machine's own: an entry of another one has another magic number.
 *
 * Entries come from disks: everything in a head is checked against the value's size.
 */
#ifndef BRISK_SRC_DAEMON_PROXY_ENTRY_H
#define BRISK_SRC_DAEMON_PROXY_ENTRY_H

#include <brisk/hash.h>
#include <brisk/value.h>

#include "daemon/proxy/condition.h"
#include "daemon/proxy/head.h"
#include "daemon/proxy/life.h"
#include "daemon/proxy/vary.h"

enum {
    ENTRY_SPEC = 1u << 0, /* no response: the names in `block` */
    ENTRY_TAGS = 1u << 1, /* there is a Surrogate-Key in the block, which is nobody else's */
};

typedef struct entry_head {
    uint32_t magic;
    uint32_t block_size;
    uint64_t body_size;
    uint64_t first;
    uint64_t total;
    int64_t date_s;
    brisk_hash128 identity; /* of the body: the same for the same one only */
    proxy_life life;
    uint16_t status;
    uint16_t flags;
    uint32_t field_count;
} entry_head;

/* An entry; points into its value, or into what was read from the front of a file. */
typedef struct entry {
    brisk_value *value;
    brisk_value *front; /* of a file: its head and block; otherwise NULL */
    const entry_head *head;
    const char *block;
    const unsigned char *body; /* NULL: in a file */
} entry;

/* What is in `value`; false: it is no entry, or a file.  `ret` borrows it. */
bool entry_open(brisk_value *value, entry *ret);
/* Likewise of a file, whose front is read: not in a worker.  The caller owns ret->front. */
bool entry_open_file(brisk_value *value, const brisk_alloc *alloc, entry *ret);
/* Point into ret->front again. */
void entry_front(entry *ret);
/* Give both values back. */
void entry_close(entry *e);
/* Its fields, into `table` of PROXY_HEAD_FIELDS_MAX; false: it is damaged. */
bool entry_fields(const entry *e, http_field *table, proxy_fields *ret);

/* A value for a response whose body of `body_size` bytes is written to *body by the caller. */
BRISK_NODISCARD brisk_err entry_make(const entry_head *head, const proxy_head *block,
                                     const brisk_alloc *alloc, brisk_value **ret,
                                     unsigned char **body);
/* The same response with another head.  Of a file the body is missing still: entry_fill. */
BRISK_NODISCARD brisk_err entry_renew(const entry *old, const entry_head *head,
                                      const proxy_head *block, const brisk_alloc *alloc,
                                      brisk_value **ret);
/* The body of `value`, which nobody else has seen, from the entry's file; not in a worker. */
bool entry_fill(brisk_value *value, const brisk_value *file);
BRISK_NODISCARD brisk_err entry_make_spec(const char *spec, const brisk_alloc *alloc,
                                          brisk_value **ret);

enum { ENTRY_KEY_MAX = 8192 };

/* The key of a URL; false: it is too long to be kept. */
bool entry_key(char key[ENTRY_KEY_MAX], bool secure, http_text authority, http_text target,
               size_t *size);
/* The key of a variant, from that of its URL. */
size_t entry_variant_key(char key[ENTRY_KEY_MAX], size_t size, brisk_hash128 hash);

#endif /* BRISK_SRC_DAEMON_PROXY_ENTRY_H */
