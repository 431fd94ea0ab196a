/*
 * snes.h -- where the SNES header is, by scoring every place it can be at.  Used by system.c only.
 */
#ifndef BRISK_SRC_WORKLOAD_ROM_SNES_H
#define BRISK_SRC_WORKLOAD_ROM_SNES_H

#include <stdbool.h>

#include "workload/rom/system.h"

/* Fill *info when a header scores well enough; false leaves it alone.  `info->file_size` is set. */
bool rom_snes_detect(const rom_bytes *file, rom_info *info);

#endif /* BRISK_SRC_WORKLOAD_ROM_SNES_H */
