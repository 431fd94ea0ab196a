/*
 * beside.h -- a file that a mod file names: below the mod file's folder, whatever the links say.
 */
#ifndef BRISK_SRC_WORKLOAD_ROM_BESIDE_H
#define BRISK_SRC_WORKLOAD_ROM_BESIDE_H

#include <stddef.h>
#include <stdint.h>

#include <brisk/file.h>

/*
 * Open `path`, whose first `folder_size` bytes are the folder that it must not leave (0: the
 * current one).  Symbolic links may lead anywhere below the folder, by relative paths.
 * Errors (`info` names the path): as brisk_file_view_open, PERMISSION (it leaves the folder).
 */
BRISK_NODISCARD brisk_err rom_open_beside(const char *path, size_t folder_size, uint64_t size_max,
                                          brisk_file_view *ret, brisk_errinfo *info);

#endif /* BRISK_SRC_WORKLOAD_ROM_BESIDE_H */
