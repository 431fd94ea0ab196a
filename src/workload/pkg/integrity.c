/*
 * integrity.c -- behind integrity.h; the hashes are nettle's.
 */
#include "workload/pkg/integrity.h"

#include <string.h>

#include <nettle/base64.h>
#include <nettle/sha1.h>
#include <nettle/sha2.h>

enum { DIGEST_MAX = SHA512_DIGEST_SIZE };

/* The strongest first. */
static const struct {
    const char *prefix;
    size_t size;
} kinds[] = {{"sha512-", SHA512_DIGEST_SIZE},
             {"sha384-", SHA384_DIGEST_SIZE},
             {"sha256-", SHA256_DIGEST_SIZE},
             {"sha1-", SHA1_DIGEST_SIZE}};
enum { KINDS = sizeof kinds / sizeof *kinds, SHA512 = 0, SHA384 = 1, SHA256 = 2 };

static void digest_of(int kind, pkg_text data, uint8_t ret[DIGEST_MAX])
{
    const uint8_t *bytes = (const uint8_t *)(data.data != NULL ? data.data : "");
    if (kind == SHA512) {
        struct sha512_ctx ctx;
        sha512_init(&ctx);
        sha512_update(&ctx, data.size, bytes);
        sha512_digest(&ctx, SHA512_DIGEST_SIZE, ret);
    } else if (kind == SHA384) {
        struct sha512_ctx ctx;
        sha384_init(&ctx);
        sha512_update(&ctx, data.size, bytes);
        sha384_digest(&ctx, SHA384_DIGEST_SIZE, ret);
    } else if (kind == SHA256) {
        struct sha256_ctx ctx;
        sha256_init(&ctx);
        sha256_update(&ctx, data.size, bytes);
        sha256_digest(&ctx, SHA256_DIGEST_SIZE, ret);
    } else {
        struct sha1_ctx ctx;
        sha1_init(&ctx);
        sha1_update(&ctx, data.size, bytes);
        sha1_digest(&ctx, SHA1_DIGEST_SIZE, ret);
    }
}

/* "sha512-..." of the kind; the size without NUL. */
static size_t print(int kind, pkg_text data, char ret[PKG_INTEGRITY_SIZE])
{
    uint8_t digest[DIGEST_MAX];
    size_t prefix = strlen(kinds[kind].prefix);
    digest_of(kind, data, digest);
    memcpy(ret, kinds[kind].prefix, prefix);
    size_t size = BASE64_ENCODE_RAW_LENGTH(kinds[kind].size);
    base64_encode_raw(ret + prefix, kinds[kind].size, digest);
    ret[prefix + size] = '\0';
    return prefix + size;
}

void pkg_integrity_of(pkg_text data, char ret[PKG_INTEGRITY_SIZE])
{
    (void)print(SHA512, data, ret);
}

/* Is `word` in the list, with or without "?options"? */
static bool has_word(pkg_text list, const char *word, size_t size)
{
    for (size_t at = 0; at < list.size;) {
        size_t end = at;
        while (end < list.size && list.data[end] != ' ') {
            end++;
        }
        bool same = end - at >= size && memcmp(list.data + at, word, size) == 0;
        if (same && (end - at == size || list.data[at + size] == '?')) {
            return true;
        }
        at = end + 1;
    }
    return false;
}

static bool has_kind(pkg_text list, const char *prefix)
{
    size_t size = strlen(prefix);
    for (size_t at = 0; at + size <= list.size; at++) {
        if ((at == 0 || list.data[at - 1] == ' ') && memcmp(list.data + at, prefix, size) == 0) {
            return true;
        }
    }
    return false;
}

bool pkg_integrity_has(pkg_text integrity, pkg_text data)
{
    for (int kind = 0; kind < KINDS; kind++) {
        if (has_kind(integrity, kinds[kind].prefix)) {
            char word[PKG_INTEGRITY_SIZE];
            size_t size = print(kind, data, word);
            return has_word(integrity, word, size);
        }
    }
    return false;
}
