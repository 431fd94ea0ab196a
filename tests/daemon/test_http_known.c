/*
 * test_known.c -- which blocks leave the table as it is; what is kept of heads, how much, and how long.
 */
#include <string.h>

#include "daemon/http/http2.h"
#include "daemon/http/known.h"
#include "support/check.h"
#include "support/fault_alloc.h"

#define TEXT(literal) ((http_text){literal, sizeof(literal) - 1})

static const http_field fields[] = {{{"user-agent", 10}, {"test", 4}}, {{"x-empty", 7}, {"", 0}}};

static http_known_head head_of(http_text target)
{
    return (http_known_head){.method = TEXT("GET"),
                             .target = target,
                             .authority = TEXT("localhost"),
                             .fields = fields,
                             .field_count = 2};
}

static http_known_head *find(const http_known *known, const void *block, size_t size)
{
    return http_known_find(known, http_known_hash(block, size), block, size);
}

static void test_blocks(void **state)
{
    (void)state;
    static const struct {
        const char *block;
        size_t size;
        bool neutral;
    } table[] = {
        {"", 0, true},
        {"\x82\x86\xbe", 3, true},              /* of tables */
        {"\xff\x80\x01", 3, true},              /* of a table, with a long number */
        {"\xff\x80", 2, false},                 /* which has no end */
        {"\xff\xff\xff\xff\xff\xff", 6, false}, /* or is too long */
        {"\x04\x02/a", 4, true},                /* a literal with a known name */
        {"\x14\x82/a", 4, true},                /* which is never indexed, in Huffman's code */
        {"\x0f\x00\x01x", 4, true},             /* with the number 15 */
        {"\x00\x01n\x01v", 5, true},            /* with a name of its own */
        {"\x00\x01n\x02v", 5, false},           /* that is longer than what is there */
        {"\x00\x01n", 3, false},                /* or not there */
        {"\x00", 1, false},
        {"\x04\x7f\x01", 3, false},
        {"\x82\x41\x01x", 4, false}, /* one more in the table */
        {"\x82\x40\x01n\x01v", 6, false},
        {"\x82\x7f\x00\x01x", 5, false},
        {"\x20", 1, false}, /* its size */
        {"\x82\x3f\xe1\x1f", 4, false},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        CHECK(http2_block_is_neutral((const unsigned char *)table[i].block, table[i].size) ==
              table[i].neutral);
    }
}

/* Property: nothing beyond the bytes is read (a sanitizer sees it), and a block that is neutral stays so with another
 * neutral one behind it. */
static void test_any_bytes(void **state)
{
    (void)state;
    const brisk_alloc *alloc = brisk_alloc_libc();
    uint64_t random = check_seed();
    for (unsigned round = 0; round < 20000; round++) {
        size_t size = check_random(&random) % 24;
        unsigned char *bytes = alloc->acquire(alloc->ctx, size + 1, 1);
        CHECK(bytes != NULL);
        for (size_t i = 0; i < size; i++) {
            bytes[i] = (unsigned char)(check_random(&random) >> (i % 3) * 8);
        }
        bytes[size] = 0x82;
        bool neutral = http2_block_is_neutral(bytes, size);
        CHECK(!neutral || http2_block_is_neutral(bytes, size + 1));
        alloc->release(alloc->ctx, bytes, size + 1, 1);
    }
}

static void test_second_time(void **state)
{
    (void)state;
    size_t kept = 0;
    http_known known;
    http_known_init(&known, brisk_alloc_libc(), &kept);
    CHECK(!http_known_wants(&known, 16));
    CHECK(http_known_wants(&known, 16));
    CHECK(!http_known_wants(&known, 32)); /* the same place */
    CHECK(!http_known_wants(&known, 16));
    CHECK(!http_known_wants(&known, 17)); /* another */
    CHECK(http_known_wants(&known, 16));
    http_known_forget(&known);
    CHECK(!http_known_wants(&known, 16));
    CHECK_U64(kept, ==, 0);
}

static void test_found_by_all_bytes(void **state)
{
    (void)state;
    size_t kept = 0;
    http_known known;
    http_known_init(&known, brisk_alloc_libc(), &kept);
    unsigned char block[] = "\x82\x86 some block";
    size_t size = sizeof block - 1;
    CHECK(find(&known, block, size) == NULL);
    http_known_head head = head_of(TEXT("/target"));
    http_known_keep(&known, http_known_hash(block, size), block, size, &head);
    unsigned char other[sizeof block];
    memcpy(other, block, sizeof block);
    memset(block, 0, sizeof block); /* it was copied */
    http_known_head *found = find(&known, other, size);
    CHECK(found != NULL);
    CHECK(found->target.size == 7 && memcmp(found->target.data, "/target", 7) == 0);
    CHECK(found->field_count == 2 && found->fields[0].value.size == 4);
    CHECK(memcmp(found->fields[0].value.data, "test", 4) == 0 && found->fields[1].value.size == 0);
    CHECK(http_known_find(&known, http_known_hash(other, size), other, size + 1) ==
          found); /* more follows */
    CHECK(http_known_find(&known, http_known_hash(other, size), other, size - 1) == NULL);
    for (size_t i = 0; i < size; i++) { /* by its bytes, not by its hash alone */
        other[i] ^= 1;
        CHECK(find(&known, other, size) == NULL);
        CHECK(http_known_find(&known, http_known_hash(found->block, size), other, size) == NULL);
        other[i] ^= 1;
    }
    http_known_forget(&known);
    CHECK(find(&known, other, size) == NULL);
    CHECK_U64(kept, ==, 0);
}

static void test_shown_until_released(void **state)
{
    (void)state;
    size_t kept = 0;
    http_known known;
    http_known_init(&known, brisk_alloc_libc(), &kept);
    const unsigned char block[] = "\x82";
    http_known_head head = head_of(TEXT("/one"));
    http_known_keep(&known, http_known_hash(block, 1), block, 1, &head);
    http_known_head *found = find(&known, block, 1);
    CHECK(found != NULL);
    http_known_use(found);
    http_known_head second = head_of(TEXT("/two"));
    http_known_keep(&known, http_known_hash(block, 1), block, 1, &second); /* in its place */
    http_known_forget(&known);
    CHECK(memcmp(found->target.data, "/one", 4) == 0);
    CHECK_U64(kept, ==, found->size);
    http_known_release(&known, found);
    CHECK_U64(kept, ==, 0);
}

static void test_bounds(void **state)
{
    (void)state;
    static char target[HTTP_KNOWN_HEAD_MAX];
    static http_known sessions[200];
    size_t kept = 0;
    memset(target, 'x', sizeof target);
    http_known_head large = head_of((http_text){target, sizeof target});
    const unsigned char one[] = "\x82";
    http_known_init(&sessions[0], brisk_alloc_libc(), &kept);
    http_known_keep(&sessions[0], http_known_hash(one, 1), one, 1, &large);
    CHECK(find(&sessions[0], one, 1) == NULL);
    http_known_head head = head_of((http_text){target, 3500});
    size_t found = 0;
    for (size_t i = 0; i < 200; i++) {
        http_known_init(&sessions[i], brisk_alloc_libc(), &kept);
        for (unsigned char b = 0; b < 64; b++) {
            unsigned char block[2] = {0x82, (unsigned char)(0x80 | b)};
            http_known_keep(&sessions[i], http_known_hash(block, 2), block, 2, &head);
            found += find(&sessions[i], block, 2) != NULL;
        }
        CHECK_U64(kept, <=, HTTP_KNOWN_BYTES);
    }
    CHECK_U64(kept, >, HTTP_KNOWN_BYTES - 2 * HTTP_KNOWN_HEAD_MAX);
    CHECK_U64(found, >, 256);
    for (size_t i = 0; i < 200; i++) {
        http_known_forget(&sessions[i]);
    }
    CHECK_U64(kept, ==, 0);
}

static void test_without_memory(void **state)
{
    (void)state;
    fault_alloc fault;
    fault_alloc_init(&fault, 0);
    size_t kept = 0;
    http_known known;
    http_known_init(&known, &fault.base, &kept);
    const unsigned char block[] = "\x82";
    http_known_head head = head_of(TEXT("/"));
    http_known_keep(&known, http_known_hash(block, 1), block, 1, &head);
    CHECK(find(&known, block, 1) == NULL);
    CHECK_U64(kept, ==, 0);
    http_known_keep(&known, http_known_hash(block, 1), block, 1, &head);
    CHECK(find(&known, block, 1) != NULL);
    http_known_forget(&known);
    CHECK_U64(fault.bytes_held, ==, 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_any_bytes),
        cmocka_unit_test(test_second_time),
        cmocka_unit_test(test_found_by_all_bytes),
        cmocka_unit_test(test_shown_until_released),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
