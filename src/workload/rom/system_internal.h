/*
 * system_internal.h -- helpers that the recognisers of the systems share.
 */
#ifndef BRISK_SRC_WORKLOAD_ROM_SYSTEM_INTERNAL_H
#define BRISK_SRC_WORKLOAD_ROM_SYSTEM_INTERNAL_H

#include <brisk/base.h>

#include "workload/rom/system.h"

/* Add a warning; those that find no room are dropped. */
void rom_info_warn(rom_info *info, const char *format, ...) BRISK_PRINTF(2, 3);
/* Title from `size` bytes: up to a NUL, trimmed, '?' for what is not printable ASCII. */
void rom_info_set_title(rom_info *info, const uint8_t *text, size_t size);
/* Add a checksum with the value that `rom` (no copier header) stores. */
void rom_info_add_checksum(rom_info *info, const rom_bytes *rom, rom_checksum checksum);

#endif /* BRISK_SRC_WORKLOAD_ROM_SYSTEM_INTERNAL_H */
