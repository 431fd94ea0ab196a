/*
 * text.c -- the hash of names.
 */
#include "workload/pkg/text.h"

#include <brisk/hash.h>

uint64_t pkg_text_hash(pkg_text text)
{
    return brisk_hash64(text.data != NULL ? text.data : "", text.size, 0);
}
