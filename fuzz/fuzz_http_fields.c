/*
 * fuzz_http_fields.c -- any bytes as Range, If-None-Match and its kin, Accept-Encoding and
 * Available-Dictionary.  Oracles: ranges are within the size, in no byte twice, and parse the same when
 * they are written again; a refused coding is never in the set; a tag that matched lies in the field; a
 * hash that was read is written back as the same text.
 *
 * The first byte chooses the field, the next two a size; the rest is the field's value.
 */
#include <nettle/base64.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "daemon/encode/accept.h"
#include "daemon/encode/dictionary.h"
#include "daemon/files/condition.h"
#include "daemon/files/mounts.h"
#include "daemon/files/range.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_set(const range_set *set, uint64_t size)
{
    BRISK_ASSERT(set->count > 0 && set->count <= RANGE_MAX);
    for (uint32_t i = 0; i < set->count; i++) {
        const byte_range *a = &set->ranges[i];
        BRISK_ASSERT(a->first <= a->last && a->last < size);
        for (uint32_t j = 0; j < i; j++) {
            const byte_range *b = &set->ranges[j];
            BRISK_ASSERT(a->first > b->last + 1 || b->first > a->last + 1);
        }
    }
}

static void try_range(http_text value, uint64_t size)
{
    range_set set;
    if (range_parse(value, size, &set) != RANGE_SOME) {
        return;
    }
    check_set(&set, size);
    char text[64 * RANGE_MAX] = "bytes=";
    for (uint32_t i = 0; i < set.count; i++) {
        size_t at = strlen(text);
        (void)snprintf(text + at, sizeof text - at, "%s%llu-%llu", i > 0 ? "," : "",
                       (unsigned long long)set.ranges[i].first,
                       (unsigned long long)set.ranges[i].last);
    }
    range_set again;
    BRISK_ASSERT(range_parse((http_text){.data = text, .size = strlen(text)}, size, &again) ==
                 RANGE_SOME);
    BRISK_ASSERT(again.count == set.count &&
                 memcmp(again.ranges, set.ranges, set.count * sizeof set.ranges[0]) == 0);
}

static void try_condition(http_text value, uint64_t number)
{
    condition_entity entity = {{.data = "ab", .size = 2}, (int64_t)number, 2000000000};
    const http_text *none = NULL;
    condition_fields fields = {
        .if_match = number & 1 ? &value : none,
        .if_none_match = number & 2 ? &value : none,
        .if_modified_since = number & 4 ? &value : none,
        .if_unmodified_since = number & 8 ? &value : none,
        .if_range = &value,
    };
    http_text matched;
    condition_verdict verdict = condition_check(&fields, &entity, (number & 16) != 0, &matched);
    BRISK_ASSERT(verdict == CONDITION_SEND || verdict == CONDITION_NOT_MODIFIED ||
                 verdict == CONDITION_FAILED);
    BRISK_ASSERT(matched.size >= entity.etag.size && memcmp(matched.data, "ab", 2) == 0);
    BRISK_ASSERT(
        matched.data == entity.etag.data ||
        (matched.data > value.data && matched.data + matched.size < value.data + value.size));
    (void)condition_range(&fields, &entity);
}

static void try_accept(http_text value)
{
    uint32_t set = encode_accept(&value);
    BRISK_ASSERT((set & ~(uint32_t)ENCODE_ANY) == 0);
    static const char end[] = ",br;q=0,identity;q=0";
    char text[4096];
    if (value.size + sizeof end <= sizeof text) {
        memcpy(text, value.data, value.size);
        memcpy(text + value.size, end, sizeof end);
        http_text longer = {.data = text, .size = value.size + sizeof end - 1};
        BRISK_ASSERT((encode_accept(&longer) & (1u << ENCODE_BROTLI | 1u << ENCODE_IDENTITY)) == 0);
    }
}

static void try_dictionary(http_text value)
{
    uint8_t hash[ENCODE_HASH_BYTES];
    if (encode_read_hash(value, hash)) {
        char text[BASE64_ENCODE_RAW_LENGTH(ENCODE_HASH_BYTES)];
        base64_encode_raw(text, sizeof hash, hash);
        BRISK_ASSERT(value.size == sizeof text + 2 &&
                     memcmp(value.data + 1, text, sizeof text) == 0);
    }
    size_t half = value.size / 2;
    (void)mount_matches((http_text){.data = value.data, .size = half},
                        (http_text){.data = value.data + half, .size = value.size - half});
    BRISK_ASSERT(mount_matches((http_text){.data = "*", .size = 1}, value));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3) {
        return 0;
    }
    uint64_t number = (uint64_t)data[1] << 8 | data[2];
    char *copy = malloc(size - 2); /* so that the sanitizer sees its end */
    BRISK_ASSERT(copy != NULL);
    memcpy(copy, data + 3, size - 3);
    http_text value = {.data = copy, .size = size - 3};
    switch (data[0] % 4) {
    case 0: try_range(value, number < 0xff00 ? number : UINT64_MAX - (number & 0xff)); break;
    case 1: try_condition(value, number); break;
    case 2: try_accept(value); break;
    default: try_dictionary(value); break;
    }
    free(copy);
    return 0;
}
