/*
 * The sampler's own parts, without its place before malloc: estimates against what is known, the live table against
 * a model, and threads that give and forget blocks of each other (a race for ThreadSanitizer to find).
 *
 * Blocks are numbers here: nothing is allocated.
 */
#include "support/check.h"

#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include <brisk/err.h>

#include "observe/heap/preload.h"

/* What preload.c has. */
__thread heap_thread heap_self __attribute__((tls_model("initial-exec")));

bool heap_malloc_figures(uint64_t *system, uint64_t *used)
{
    *system = 2000;
    *used = 1000;
    return true;
}

static void *block_of(uint64_t number)
{
    return (void *)(uintptr_t)(0x100000 + number * 16);
}

/* As malloc does. */
__attribute__((noinline)) static void give(uint64_t number, size_t size)
{
    if (size < heap_self.left) {
        heap_self.left -= size;
    } else {
        heap_count(block_of(number), size, __builtin_frame_address(0));
    }
}

static void forget(uint64_t number)
{
    heap_live was;
    if (heap_may_be_sampled(block_of(number))) {
        (void)heap_forget(block_of(number), &was);
    }
}

static char folder[] = "/tmp/brisk-test-heap-XXXXXX";

static int set_up(void **state)
{
    (void)state;
    CHECK(mkdtemp(folder) != NULL);
    CHECK(setenv(HEAP_ENV_FOLDER, folder, 1) == 0 && setenv(HEAP_ENV_SEED, "11", 1) == 0 &&
          setenv(HEAP_ENV_INTERVAL, "65536", 1) == 0);
    heap_configure();
    return 0;
}

static int tear_down(void **state)
{
    char path[128];
    (void)state;
    (void)snprintf(path, sizeof path, "%s/%d-0.heap", folder, (int)getpid());
    CHECK(unlink(path) == 0);
    return rmdir(folder);
}

static uint64_t live_entries(void)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < HEAP_SHARDS * HEAP_SHARD_ENTRIES; i++) {
        count += heap_file.live[i].address != 0;
    }
    return count;
}

/* Any mix of sizes: what is estimated is near what was asked for, and gone when all is forgotten. */
static void test_estimates(void **state)
{
    (void)state;
    uint64_t seed = check_seed();
    uint64_t truth = 0;
    enum { BLOCKS = 200000 };
    for (uint64_t i = 0; i < BLOCKS; i++) {
        size_t size = (size_t)1 << check_random(&seed) % 16;
        size += (size_t)(check_random(&seed) % size);
        size = i % 10000 == 0 ? 1 << 20 : size; /* and some that are hit for certain */
        give(i, size);
        truth += size;
    }
    const heap_head *head = heap_file.head;
    double share = (double)head->live_bytes / (double)truth;
    double expected = 3 / sqrt((double)live_entries()); /* three standard errors */
    print_message("%.4f of the truth, %llu samples\n", share, (unsigned long long)head->samples);
    CHECK(fabs(share - 1) < expected);
    CHECK_U64(head->live_bytes, ==, head->alloc_bytes - head->lost_bytes);
    for (uint64_t i = 0; i < BLOCKS; i += 2) {
        forget(i);
    }
    share = (double)head->live_bytes / (double)truth;
    CHECK(fabs(share - 0.5) < expected);
    for (uint64_t i = 1; i < BLOCKS; i += 2) {
        forget(i);
    }
    CHECK_U64(head->live_bytes, ==, 0);
    CHECK_U64(live_entries(), ==, 0);
    for (size_t i = 0; i < sizeof heap_filter / sizeof *heap_filter; i++) {
        CHECK_U64(heap_filter[i], ==, 0);
    }
    for (uint32_t i = 0; i < head->stack_count; i++) {
        CHECK_U64(heap_file.stacks[i].live_bytes, ==, 0);
        CHECK_U64(heap_file.stacks[i].live_samples, ==, 0);
    }
}

/* More live samples than there is room for: lost ones are counted, others stay right, distances grow. */
static void test_full_table(void **state)
{
    (void)state;
    heap_head *head = heap_file.head;
    uint64_t before = head->samples;
    uint64_t period = heap_period();
    uint64_t allocated = head->alloc_bytes;
    enum { BLOCKS = 60000, SIZE = 1 << 20 };
    for (uint64_t i = 0; i < BLOCKS; i++) {
        give(i, SIZE);
    }
    CHECK_U64(head->samples - before, >, BLOCKS / 3);
    CHECK_U64(head->lost_samples, >, 0);
    double share = (double)(head->alloc_bytes - allocated) / ((double)BLOCKS * SIZE);
    CHECK(fabs(share - 1) < 0.05); /* no weight of what was lost falls on what follows */
    CHECK_U64(live_entries() + head->lost_samples, ==, head->samples - before);
    CHECK_U64(heap_period(), >, period); /* the table was filling */
    for (uint64_t i = 0; i < BLOCKS; i++) {
        forget(i);
    }
    CHECK_U64(live_entries(), ==, 0);
    CHECK_U64(head->live_bytes, ==, 0);
}

enum { THREADS = 4, TURNS = 30000, BOXES = 512 };
static uint64_t boxes[BOXES];
static uint64_t numbers;

static void *work(void *arg)
{
    uint64_t seed = (uint64_t)(uintptr_t)arg;
    for (uint32_t i = 0; i < TURNS; i++) {
        uint64_t mine = __atomic_add_fetch(&numbers, 1, __ATOMIC_RELAXED);
        give(mine, (size_t)(check_random(&seed) % 200000));
        uint64_t other =
            __atomic_exchange_n(&boxes[check_random(&seed) % BOXES], mine, __ATOMIC_ACQ_REL);
        if (other != 0) {
            forget(other);
        }
    }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    for (uint64_t i = 0; i < THREADS; i++) {
        CHECK(pthread_create(&threads[i], NULL, work, (void *)(uintptr_t)(i + 99)) == 0);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
    for (uint32_t i = 0; i < BOXES; i++) {
        if (boxes[i] != 0) {
            forget(boxes[i]);
        }
    }
    CHECK_U64(live_entries(), ==, 0);
    CHECK_U64(heap_file.head->live_bytes, ==, 0);
    heap_finish();
    CHECK_U64(heap_file.head->malloc_used, ==, 1000);
}

/* A signal handler frees while its thread is inside: the block is forgotten when the thread comes out. */
static void test_pending(void **state)
{
    (void)state;
    heap_live was;
    uint64_t number = 1000000;
    while (live_entries() == 0) {
        give(++number, 1 << 20);
    }
    heap_self.busy = 1;
    CHECK(!heap_forget(block_of(number), &was));
    CHECK_U64(live_entries(), ==, 1);
    heap_self.busy = 0;
    CHECK(!heap_forget(block_of(1), &was));
    CHECK_U64(live_entries(), ==, 0);
    /* A realloc that failed puts it back. */
    while (live_entries() == 0) {
        give(++number, 1 << 20);
    }
    CHECK(heap_forget(block_of(number), &was));
    heap_restore(&was);
    CHECK_U64(live_entries(), ==, 1);
    CHECK_U64(heap_file.head->live_bytes, ==, was.weight);
    CHECK(heap_forget(block_of(number), &was));
}

/* The program writes over its own profile, which is mapped: what it holds may be wrong afterwards, the program goes on. */
static void test_a_wild_pointer(void **state)
{
    (void)state;
    heap_head *head = heap_file.head;
    memset(heap_file.live, 0x5a, HEAP_SHARDS * HEAP_SHARD_ENTRIES * sizeof(heap_live));
    memset(heap_file.stacks, 0x5a, HEAP_STACKS_MAX * sizeof(heap_stack));
    head->stack_count = head->frame_count = head->map_bytes = 0xfffffff0;
    for (uint64_t i = 0; i < 2000; i++) {
        give(2000000 + i, 1 << 20);
        forget(2000000 + i);
    }
    heap_live was = {.address = 0x100000, .size = 1, .weight = 1, .stack = UINT32_MAX};
    memset(heap_file.live, 0, HEAP_SHARDS * HEAP_SHARD_ENTRIES * sizeof(heap_live));
    heap_restore(&was);
    CHECK(heap_forget(block_of(0), &was));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_estimates),      cmocka_unit_test(test_pending),
        cmocka_unit_test(test_threads),        cmocka_unit_test(test_full_table),
        cmocka_unit_test(test_a_wild_pointer), /* last: nothing is right after it */
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
