/*
 * bin.h -- the programs a package installs, as npm records them: file name to path inside the
 * package, neither of which leads out of it.
 *
 * Threads: one at a time.  Source: the behaviour of npm 11.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_BIN_H
#define BRISK_SRC_WORKLOAD_PKG_BIN_H

#include "workload/pkg/nice.h"

/* The member "bin" of package `name`, from its raw JSON; nothing when no program is left. */
void pkg_bin_write(pkg_nice *nice, pkg_text name, pkg_text raw);

#endif /* BRISK_SRC_WORKLOAD_PKG_BIN_H */
