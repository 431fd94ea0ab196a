/*
 * version.c -- the version that meson.build names.
 */
#include <brisk/version.h>

const char *brisk_version(void)
{
    return BRISK_VERSION;
}
