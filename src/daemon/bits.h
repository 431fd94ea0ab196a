/*
 * bits.h -- what the files of bit commands share.
 */
#ifndef BRISK_SRC_DAEMON_BITS_H
#define BRISK_SRC_DAEMON_BITS_H

#include "daemon/command.h"

/* An offset in bits; with `by_width`, "#3" is three times `width`.  False: the error was sent. */
bool bit_offset(client *c, resp_bytes text, bool by_width, uint32_t width, uint64_t *ret);

#endif /* BRISK_SRC_DAEMON_BITS_H */
