/*
 * fuzz_pkg_tar.c -- any bytes as a package's tarball: refused with a word, or a package.json that
 * lies in them.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <brisk/brisk.h>

#include "workload/pkg/integrity.h"
#include "workload/pkg/tar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(cond) ((cond) ? (void)0 : abort())

static void check_tar(pkg_text tar)
{
    pkg_tar found;
    brisk_errinfo info = {0};
    brisk_err err = pkg_tar_read(tar, &found, &info);
    if (err == BRISK_OK) {
        REQUIRE(found.manifest.data >= tar.data &&
                found.manifest.data + found.manifest.size <= tar.data + tar.size);
    } else {
        REQUIRE(err == BRISK_ERR_CORRUPT || err == BRISK_ERR_LIMIT || err == BRISK_ERR_NOT_FOUND);
        REQUIRE(info.text[0] != '\0');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { MOST = 1 << 20 };
    const brisk_alloc *alloc = brisk_alloc_libc();
    pkg_text packed = {(const char *)data, size};
    pkg_text tar;
    void *held;
    size_t capacity;
    brisk_errinfo info = {0};
    char whole[PKG_INTEGRITY_SIZE];
    check_tar(packed);
    if (pkg_tar_expand(packed, MOST, alloc, &tar, &held, &capacity, &info) == BRISK_OK) {
        REQUIRE(held == NULL ? tar.data == packed.data : tar.size <= capacity && capacity <= MOST);
        check_tar(tar);
        if (held != NULL) {
            alloc->release(alloc->ctx, held, capacity, 16);
        }
    } else {
        REQUIRE(info.text[0] != '\0');
    }
    pkg_integrity_of(packed, whole);
    REQUIRE(pkg_integrity_has(pkg_text_of(whole), packed));
    (void)pkg_integrity_has(packed, packed);
    return 0;
}
