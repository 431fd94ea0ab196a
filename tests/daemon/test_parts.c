/*
 * test_parts.c -- bytes, values and files in one stream: whatever the socket takes at a time, they come in order.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/thread.h"
#include "daemon/addresses.h"
#include "daemon/parts.h"
#include "support/check.h"
#include "support/fault_alloc.h"

enum { STREAM_MAX = 1 << 20, FILE_SIZE = 200000 };

static unsigned char expected[STREAM_MAX];
static unsigned char got[STREAM_MAX];
static int released;

static void count_release(void *ctx)
{
    (void)ctx;
    released++;
}

static int make_file(void)
{
    char path[] = "/tmp/brisk-parts-XXXXXX";
    int fd = mkstemp(path);
    CHECK(fd >= 0 && unlink(path) == 0);
    unsigned char data[1000];
    for (size_t i = 0; i < FILE_SIZE; i += sizeof data) {
        for (size_t k = 0; k < sizeof data; k++) {
            data[k] = (unsigned char)((i + k) % 253);
        }
        CHECK(pwrite(fd, data, sizeof data, (off_t)i) == (ssize_t)sizeof data);
    }
    return fd;
}

/* A stream of random pieces: its bytes, its parts, and what is to come out. */
typedef struct stream {
    unsigned char bytes[STREAM_MAX];
    size_t size;
    conn_parts parts;
    size_t total;
    int files;
} stream;

static void expect(stream *s, const unsigned char *data, size_t size)
{
    memcpy(expected + s->total, data, size);
    s->total += size;
}

static void add_piece(stream *s, part_pool *pool, int file, uint64_t *seed)
{
    const brisk_alloc *alloc = brisk_alloc_libc();
    unsigned char data[5000];
    size_t size = 1 + check_random(seed) % sizeof data;
    for (size_t i = 0; i < size; i++) {
        data[i] = (unsigned char)check_random(seed);
    }
    switch (check_random(seed) % 3) {
    case 0:
        memcpy(s->bytes + s->size, data, size);
        s->size += size;
        expect(s, data, size);
        break;
    case 1: {
        size_t skip = check_random(seed) % size;
        conn_part *p = part_take(pool, alloc);
        CHECK(p != NULL && brisk_value_copy(data, size, alloc, &p->value) == BRISK_OK);
        p->offset = skip;
        p->left = size - skip;
        parts_add(&s->parts, p, s->size);
        expect(s, data + skip, size - skip);
        break;
    }
    default: {
        size_t offset = check_random(seed) % (FILE_SIZE - size);
        conn_part *p = part_take(pool, alloc);
        CHECK(p != NULL);
        *p = (conn_part){.fd = file, .left = size, .offset = offset, .release = count_release};
        parts_add(&s->parts, p, s->size);
        CHECK(pread(file, data, size, (off_t)offset) == (ssize_t)size);
        expect(s, data, size);
        s->files++;
        break;
    }
    }
}

static void test_all_comes_in_order(void **state)
{
    (void)state;
    static stream s;
    const brisk_alloc *alloc = brisk_alloc_libc();
    part_pool pool = {.count = 0};
    uint64_t seed = check_seed();
    int file = make_file();
    for (int round = 0; round < 60; round++) {
        int ends[2];
        CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
        s.size = s.total = 0;
        s.files = 0;
        released = 0;
        uint32_t count = 1 + (uint32_t)(check_random(&seed) % 60);
        for (uint32_t i = 0; i < count; i++) {
            add_piece(&s, &pool, file, &seed);
        }
        size_t sent = 0;
        size_t read_size = 0;
        while (read_size < s.total) {
            outgoing what = {.data = s.bytes + sent,
                             .size = s.size - sent,
                             .parts = &s.parts,
                             .near = check_random(&seed) % 2 == 0};
            size_t bytes;
            uint64_t all;
            CHECK(outgoing_send(ends[0], what, &pool, alloc, &bytes, &all));
            CHECK(bytes <= all);
            sent += bytes;
            ssize_t n = recv(ends[1], got + read_size, 1 + check_random(&seed) % 50000, 0);
            CHECK(n > 0);
            read_size += (size_t)n;
        }
        CHECK(memcmp(got, expected, s.total) == 0);
        CHECK(sent == s.size && s.parts.first == NULL && s.parts.left == 0 && s.parts.gaps == 0);
        CHECK(released == s.files);
        (void)close(ends[0]);
        (void)close(ends[1]);
    }
    (void)close(file);
    part_pool_deinit(&pool, alloc);
}

/* As one who encrypts takes them; two lists joined. */
static void test_piece_by_piece(void **state)
{
    (void)state;
    static stream s;
    static stream more;
    const brisk_alloc *alloc = brisk_alloc_libc();
    part_pool pool = {.count = 0};
    uint64_t seed = check_seed();
    int file = make_file();
    for (int round = 0; round < 60; round++) {
        unsigned char room[999];
        s.size = s.total = 0;
        for (uint32_t i = 0; i < 20; i++) {
            add_piece(&s, &pool, file, &seed);
        }
        more.size = 0;
        more.total = s.total;
        for (uint32_t i = 0; i < 20; i++) {
            add_piece(&more, &pool, file, &seed);
        }
        memcpy(s.bytes + s.size, more.bytes, more.size);
        parts_move(&s.parts, &more.parts, s.size);
        outgoing what = {.data = s.bytes, .size = s.size + more.size, .parts = &s.parts};
        size_t at = 0;
        for (;;) {
            const void *data;
            ptrdiff_t next = outgoing_next(&what, room, sizeof room, &data);
            CHECK(next >= 0);
            if (next == 0) {
                break;
            }
            size_t taken = 1 + check_random(&seed) % (size_t)next;
            memcpy(got + at, data, taken);
            at += taken;
            (void)outgoing_taken(&what, taken, &pool, alloc);
        }
        CHECK(at == more.total && memcmp(got, expected, at) == 0 && what.size == 0);
    }
    (void)close(file);
    part_pool_deinit(&pool, alloc);
}

static void check_shorter(bool near)
{
    const brisk_alloc *alloc = brisk_alloc_libc();
    part_pool pool = {.count = 0};
    conn_parts parts = {.first = NULL};
    int file = make_file();
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
    conn_part *p = part_take(&pool, alloc);
    CHECK(p != NULL);
    released = 0;
    *p = (conn_part){.fd = file, .left = 1000, .offset = FILE_SIZE - 500, .release = count_release};
    parts_add(&parts, p, 0);
    outgoing what = {.parts = &parts, .near = near};
    size_t bytes;
    uint64_t all;
    bool good = outgoing_send(ends[0], what, &pool, alloc, &bytes, &all);
    good = good && outgoing_send(ends[0], what, &pool, alloc, &bytes, &all);
    CHECK(!good && parts.left == 500);
    unsigned char room[100];
    const void *data;
    CHECK(outgoing_next(&what, room, sizeof room, &data) == -1);
    parts_drop(&parts, &pool, alloc);
    CHECK(released == 1 && parts.left == 0);
    (void)close(ends[0]);
    (void)close(ends[1]);
    (void)close(file);
    part_pool_deinit(&pool, alloc);
}

static void test_a_file_that_became_shorter(void **state)
{
    (void)state;
    check_shorter(false);
    check_shorter(true);
}

enum { LARGE = 24 << 20 };

/* Reads as fast as it is written, so that the kernel is never full. */
static void read_all(void *ctx)
{
    static unsigned char room[1 << 20];
    int fd = *(int *)ctx;
    uint64_t total = 0;
    while (total < LARGE) {
        ssize_t n = recv(fd, room, sizeof room, 0);
        CHECK(n > 0);
        total += (uint64_t)n;
    }
}

/* Whatever is large gives way to others after a turn, also when its reader keeps up. */
static void check_turns(conn_part *p, bool near, const brisk_alloc *alloc)
{
    part_pool pool = {.count = 0};
    conn_parts parts = {.first = NULL};
    int ends[2];
    brisk_thread reader;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0); /* blocking: it is always taken */
    brisk_thread_opts opts = {.run = read_all, .ctx = &ends[1]};
    CHECK(brisk_thread_start(&reader, &opts) == BRISK_OK);
    conn_part *taken = part_take(&pool, alloc);
    CHECK(taken != NULL);
    *taken = *p;
    parts_add(&parts, taken, 0);
    outgoing what = {.parts = &parts, .near = near};
    uint32_t turns = 0;
    while (parts.first != NULL) {
        size_t bytes;
        uint64_t all;
        CHECK(outgoing_send(ends[0], what, &pool, alloc, &bytes, &all));
        CHECK_U64(all, <=, LARGE / 4);
        turns++;
    }
    CHECK_U64(turns, >, 3);
    brisk_thread_join(&reader);
    CHECK((pool.room != NULL) == (near && p->fd >= 0 && alloc == brisk_alloc_libc()));
    part_pool_tidy(&pool, alloc);
    part_pool_tidy(&pool, alloc);
    CHECK(pool.room == NULL);
    part_pool_deinit(&pool, alloc);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

/* Memory for a part, and none for what is larger. */
static void *take_little(void *ctx, size_t size, size_t align)
{
    const brisk_alloc *libc = brisk_alloc_libc();
    (void)ctx;
    return size < 4096 ? libc->acquire(libc->ctx, size, align) : NULL;
}

static void test_turns(void **state)
{
    (void)state;
    const brisk_alloc *alloc = brisk_alloc_libc();
    brisk_alloc poor = *alloc;
    poor.acquire = take_little;
    int file = make_file();
    CHECK(ftruncate(file, LARGE) == 0);
    conn_part p = {.fd = file, .left = LARGE};
    check_turns(&p, false, alloc);
    check_turns(&p, true, alloc);
    check_turns(&p, true, &poor);
    void *data = calloc(1, LARGE);
    CHECK(data != NULL);
    p = (conn_part){.fd = -1, .left = LARGE};
    CHECK(brisk_value_copy(data, LARGE, alloc, &p.value) == BRISK_OK);
    check_turns(&p, false, alloc);
    free(data);
    (void)close(file);
}

static void test_addresses(void **state)
{
    (void)state;
    fault_alloc fault;
    addresses a;
    fault_alloc_init(&fault, UINT64_MAX);
    addresses_init(&a, &fault.base);
    int ends[2];
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    int client = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    CHECK(bind(listener, (struct sockaddr *)&at, sizeof at) == 0 && listen(listener, 1) == 0);
    CHECK(getsockname(listener, (struct sockaddr *)&at, &size) == 0);
    CHECK(connect(client, (struct sockaddr *)&at, sizeof at) == 0);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    http_limits limits = {.per_address = 2};
    dict_entry *entries[3];
    CHECK(addresses_enter(&a, client, &limits, &entries[0]) && entries[0] == NULL);
    limits.per_address_local = true;
    CHECK(addresses_enter(&a, ends[0], &limits, &entries[0]) && entries[0] == NULL);
    CHECK(addresses_enter(&a, client, &limits, &entries[0]) && entries[0] != NULL);
    CHECK(addresses_enter(&a, client, &limits, &entries[1]) && entries[1] == entries[0]);
    CHECK(!addresses_enter(&a, client, &limits, &entries[2]) && entries[2] == NULL);
    CHECK_U64(a.refused, ==, 1);
    addresses_leave(&a, entries[1]);
    CHECK(addresses_enter(&a, client, &limits, &entries[1]));
    addresses_leave(&a, entries[0]);
    addresses_leave(&a, entries[1]);
    addresses_leave(&a, NULL);
    CHECK_U64(a.counts.count, ==, 0);
    fault.fail_after = 0;
    CHECK(!addresses_enter(&a, client, &limits, &entries[0]) && entries[0] == NULL);
    (void)close(client);
    (void)close(listener);
    (void)close(ends[0]);
    (void)close(ends[1]);
    addresses_deinit(&a);
    CHECK_U64(fault.bytes_held, ==, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_comes_in_order),
        cmocka_unit_test(test_piece_by_piece),
        cmocka_unit_test(test_a_file_that_became_shorter),
        cmocka_unit_test(test_turns),
        cmocka_unit_test(test_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
