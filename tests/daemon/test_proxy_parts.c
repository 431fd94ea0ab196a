/*
 * test_proxy_parts.c -- entries as disks may give them back, upstreams as settings may name them, and
 * which of them is asked; bodies that are read while they grow, with and without memory.
 */
#include "support/check.h"
#include "support/fault_alloc.h"

#include <pthread.h>
#include <string.h>

#include "daemon/proxy/entry.h"
#include "daemon/proxy/tape.h"
#include "daemon/proxy/upstream.h"

static brisk_value *make_entry(const char *body)
{
    proxy_head block;
    brisk_value *value = NULL;
    unsigned char *to = NULL;
    entry_head head = {.status = 200, .body_size = strlen(body), .total = strlen(body)};
    proxy_head_init(&block, brisk_alloc_libc());
    proxy_head_add(&block, HTTP_TEXT("a"), HTTP_TEXT("b"));
    CHECK_OK(entry_make(&head, &block, brisk_alloc_libc(), &value, &to));
    memcpy(to, body, strlen(body));
    proxy_head_deinit(&block);
    return value;
}

static void test_entries_are_checked(void **state)
{
    (void)state;
    brisk_value *value = make_entry("hello");
    entry e;
    http_field table[PROXY_HEAD_FIELDS_MAX];
    proxy_fields fields;
    CHECK(entry_open(value, &e));
    CHECK(e.head->body_size == 5 && memcmp(e.body, "hello", 5) == 0);
    CHECK(entry_fields(&e, table, &fields) && fields.count == 1);
    size_t size = (size_t)brisk_value_size(value);
    for (size_t cut = 0; cut < size; cut++) { /* any other length is no entry */
        brisk_value *part = NULL;
        CHECK_OK(brisk_value_copy(brisk_value_data(value), cut, brisk_alloc_libc(), &part));
        CHECK(!entry_open(part, &e));
        brisk_value_unref(part);
    }
    uint64_t seed = check_seed();
    for (int i = 0; i < 20000; i++) { /* whatever a head says, nothing is beyond the value */
        void *data;
        brisk_value *wrong = NULL;
        CHECK_OK(brisk_value_reserve(size, brisk_alloc_libc(), &data, &wrong));
        memcpy(data, brisk_value_data(value), size);
        ((unsigned char *)data)[check_random(&seed) % size] = (unsigned char)check_random(&seed);
        if (entry_open(wrong, &e)) {
            CHECK_U64(sizeof(entry_head) + e.head->block_size + e.head->body_size, ==, size);
            (void)entry_fields(&e, table, &fields);
        }
        brisk_value_unref(wrong);
    }
    brisk_value_unref(value);
}

static void test_keys(void **state)
{
    (void)state;
    char a[ENTRY_KEY_MAX];
    char b[ENTRY_KEY_MAX];
    size_t m;
    size_t n;
    CHECK(entry_key(a, false, HTTP_TEXT("Example.ORG:80"), HTTP_TEXT("/x"), &m));
    CHECK(entry_key(b, false, HTTP_TEXT("example.org"), HTTP_TEXT("/x"), &n));
    CHECK(m == n && memcmp(a, b, m) == 0);
    CHECK(entry_key(b, true, HTTP_TEXT("example.org"), HTTP_TEXT("/x"), &n));
    CHECK(m != n || memcmp(a, b, m) != 0);
    static char wide[ENTRY_KEY_MAX];
    memset(wide, 'x', sizeof wide);
    CHECK(!entry_key(b, false, HTTP_TEXT("h"), (http_text){wide, sizeof wide}, &n));
}

static void test_addresses(void **state)
{
    (void)state;
    static const char *const good[] = {"http://127.0.0.1", "http://127.0.0.1:81/base/",
                                       "https://[::1]:8443", "unix:/run/x.sock"};
    static const char *const bad[] = {"",
                                      "127.0.0.1",
                                      "ftp://127.0.0.1",
                                      "http://",
                                      "http://:1",
                                      "http://127.0.0.1:0",
                                      "http://127.0.0.1:65536",
                                      "http://127.0.0.1:x",
                                      "unix:x",
                                      "http://u@127.0.0.1",
                                      "http://127.0.0.1/?q",
                                      "http://127.0.0.1/a b",
                                      "http://[::1",
                                      "http://[::1]x"};
    static upstream up;
    brisk_errinfo info;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        if (upstream_parse(good[i], &up, &info) != BRISK_OK) {
            fail_msg("%s: %s", good[i], info.text);
        }
    }
    CHECK_OK(upstream_parse(good[1], &up, &info));
    assert_string_equal(up.base, "/base");
    assert_string_equal(up.authority, "127.0.0.1:81");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (upstream_parse(bad[i], &up, &info) == BRISK_OK) {
            fail_msg("'%s' was taken", bad[i]);
        }
    }
}

static void test_choice(void **state)
{
    (void)state;
    static upstream items[3];
    upstreams group = {.items = items, .count = 3, .failures_max = 3};
    memset(items, 0, sizeof items);
    for (uint32_t i = 0; i < 3; i++) {
        items[i].index = i;
        items[i].weight = i == 0 ? 4 : 1;
    }
    uint64_t seed = check_seed();
    for (int i = 0; i < 600; i++) { /* nobody answers: they fill up by weight */
        upstream_began(upstreams_pick(&group, NULL, check_random(&seed), 1));
    }
    CHECK_U64(items[0].outstanding, >=, 390);
    CHECK_U64(items[0].outstanding, <=, 410);
    CHECK(upstreams_pick(&group, &items[0], check_random(&seed), 1) != &items[0]);
    for (int i = 0; i < 3; i++) {
        CHECK(upstream_is_well(&items[1], 1000));
        upstream_failed(&group, &items[1], 1000);
    }
    CHECK(!upstream_is_well(&items[1], 1000));
    CHECK(upstream_is_well(&items[1], UINT64_C(1000001000)));
    upstream_failed(&group, &items[1], UINT64_C(1000001000)); /* again: twice as long */
    CHECK(!upstream_is_well(&items[1], UINT64_C(2900000000)));
    CHECK(upstream_is_well(&items[1], UINT64_C(3000001001)));
    upstream_succeeded(&items[1]);
    CHECK(upstream_is_well(&items[1], 0));
    for (uint32_t i = 0; i < 3; i++) {
        items[i].ill = true;
    }
    CHECK(upstreams_pick(&group, NULL, check_random(&seed), 1) !=
          NULL); /* all ill: all are asked */
}

/* What is not put whole is not put at all, and can be put once there is memory: readers have seen nothing of it. */
static void test_a_tape_takes_all_or_nothing(void **state)
{
    (void)state;
    enum { PART = 10007, PARTS = 40 };
    static unsigned char data[PART];
    static unsigned char got[PART * PARTS];
    fault_alloc fault;
    tape t;
    tape_reader reader = {.piece = NULL};
    size_t read = 0;
    fault_alloc_init(&fault, UINT64_MAX);
    CHECK(tape_open(&t, &fault.base, NULL, NULL, 0));
    tape_read(&reader, t.first);
    tape_forget(&t);
    for (unsigned i = 0; i < PARTS; i++) {
        const unsigned char *from;
        size_t size;
        memset(data, (int)(i + 1), sizeof data);
        fault.fail_after = 0;
        if (!tape_put(&t, data, sizeof data)) {
            CHECK(tape_next(&reader, &from) == 0);
            fault.fail_after = UINT64_MAX;
            CHECK(tape_put(&t, data, sizeof data));
        }
        while ((size = tape_next(&reader, &from)) > 0) {
            CHECK(size <= sizeof got - read);
            memcpy(got + read, from, size);
            tape_took(&reader, size);
            read += size;
        }
    }
    CHECK_U64(read, ==, sizeof got);
    for (size_t i = 0; i < sizeof got; i++) {
        CHECK(got[i] == i / PART + 1);
    }
    tape_leave(&reader);
    tape_close(&t);
    CHECK_U64(fault.bytes_held, ==, 0);
}

/* --- tapes --------------------------------------------------------------------------------- */

static unsigned char byte_at(uint64_t at)
{
    return (unsigned char)(at * 31 + at / 251);
}

enum { TAPE_BYTES = 3000000, TAPE_READERS = 3 };

/* All of it, as it comes, in a thread of its own. */
static void *read_all(void *ctx)
{
    tape_reader *r = ctx;
    uint64_t at = 0;
    while (at < TAPE_BYTES) {
        const unsigned char *data;
        size_t size = tape_next(r, &data);
        for (size_t i = 0; i < size; i++) {
            CHECK(data[i] == byte_at(at + i));
        }
        tape_took(r, size);
        at += size;
    }
    const unsigned char *data;
    CHECK(tape_next(r, &data) == 0);
    tape_leave(r);
    return NULL;
}

static void test_tapes_are_read_while_they_grow(void **state)
{
    (void)state;
    tape t = {0};
    tape_reader readers[TAPE_READERS] = {{0}};
    pthread_t threads[TAPE_READERS];
    static unsigned char piece[7000];
    CHECK(tape_open(&t, brisk_alloc_libc(), NULL, NULL, 0));
    for (int i = 0; i < TAPE_READERS; i++) {
        tape_read(&readers[i], t.first);
        CHECK(pthread_create(&threads[i], NULL, read_all, &readers[i]) == 0);
    }
    for (uint64_t at = 0; at < TAPE_BYTES;) {
        size_t size = at % sizeof piece + 1;
        size = size < TAPE_BYTES - at ? size : (size_t)(TAPE_BYTES - at);
        for (size_t i = 0; i < size; i++) {
            piece[i] = byte_at(at + i);
        }
        CHECK(tape_put(&t, piece, size));
        at += size;
        if (at > TAPE_BYTES / 2 && t.first != NULL) {
            tape_forget(&t); /* what they have passed is freed */
        }
    }
    for (int i = 0; i < TAPE_READERS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
    tape_close(&t);
}

static void test_tapes_in_values(void **state)
{
    (void)state;
    tape t = {0};
    tape_reader r = {0};
    const unsigned char *at;
    void *data;
    brisk_value *value = NULL;
    CHECK_OK(brisk_value_reserve(8, brisk_alloc_libc(), &data, &value));
    CHECK(tape_open(&t, brisk_alloc_libc(), value, (unsigned char *)data + 2, 6));
    tape_read(&r, t.first);
    CHECK(tape_next(&r, &at) == 0);
    CHECK(tape_put(&t, "abc", 3) && tape_next(&r, &at) == 3 && memcmp(at, "abc", 3) == 0);
    tape_took(&r, 2);
    CHECK(tape_put(&t, "def", 3) && tape_next(&r, &at) == 4 && memcmp(at, "cdef", 4) == 0);
    CHECK(memcmp((char *)data + 2, "abcdef", 6) == 0);
    CHECK(!tape_put(&t, "g", 1)); /* it is full */
    tape_close(&t);
    brisk_value_unref(value);
    CHECK(tape_next(&r, &at) == 4 && memcmp(at, "cdef", 4) == 0); /* the reader keeps it */
    tape_leave(&r);
    tape_close(&t);
    tape_leave(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_entries_are_checked),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_choice),
        cmocka_unit_test(test_a_tape_takes_all_or_nothing),
        cmocka_unit_test(test_tapes_are_read_while_they_grow),
        cmocka_unit_test(test_tapes_in_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
