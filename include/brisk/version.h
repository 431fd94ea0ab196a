/*
 * brisk/version.h -- the library's version.
 */
#ifndef BRISK_VERSION_H
#define BRISK_VERSION_H

#include <brisk/base.h>

BRISK_BEGIN_DECLS

/** "MAJOR.MINOR.PATCH" of the library that runs.  Static storage. */
BRISK_API const char *brisk_version(void);

BRISK_END_DECLS

#endif /* BRISK_VERSION_H */
