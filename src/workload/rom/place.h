/*
 * place.h -- an answer from the cache becomes a file, and is proved to be what was stored.
 */
#ifndef BRISK_SRC_WORKLOAD_ROM_PLACE_H
#define BRISK_SRC_WORKLOAD_ROM_PLACE_H

#include <stdbool.h>
#include <stdint.h>

#include <brisk/cache.h>
#include <brisk/err.h>
#include <brisk/hash.h>
#include <brisk/value.h>

/*
 * Fill the empty file `fd` with `value` and hash what arrived.  *how is static text.
 * Errors: CORRUPT (too short, or not the bytes that `content` stands for), IO, FULL, NOMEM.
 */
BRISK_NODISCARD brisk_err rom_place(const brisk_value *value, brisk_hash128 content, int fd,
                                    const char **how);

/*
 * Is computing so much cheaper than placing this entry that it should be declined?  Placing a file
 * is expected to take what storing it took; before that decides against it, a piece is copied into
 * the empty file `fd` and timed, because one slow store must not speak against an entry for ever.
 * A margin keeps the decision from swinging with noise; a value in memory is always placed.
 * *place_ns is the expectation.  `fd` is empty again afterwards, its position untouched.
 */
bool rom_place_is_slower(const brisk_hit *hit, int fd, uint64_t *place_ns);

#endif /* BRISK_SRC_WORKLOAD_ROM_PLACE_H */
