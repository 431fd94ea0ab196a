/*
 * test_disk_kill.c -- one of two processes is killed in the middle of overwrites and deletes.
 *
 * Two children put and remove the same few keys in one folder; the parent kills one of them at a
 * random moment, 200 times, and the survivor (or a newcomer, or a newcomer that finds no index)
 * then reads every key.  The folder is small, so that segments are dropped, saved from and compacted all
 * the time (some rounds leave that to puts, some tend), a third of the entries have a life and so a
 * segment of another kind, and in every fourth round the folder is large enough for dictionaries.
 *
 * What may be read: each operation takes a ticket from a shared counter when it starts and another
 * one when it has been acknowledged.  A value is legal when no other operation on its key both
 * started after the value's put was acknowledged and was acknowledged itself before the read
 * started.  A put that was never acknowledged was in flight and is legal until it is overwritten.
 * A miss is legal always.  And of two reads, the later one must not give a put that had been
 * acknowledged before the put of the earlier one began.
 */
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "disk_test.h"

enum {
    ROUNDS = CHECK_ROUNDS(200),
    KEYS_MAX = 512,
    KEYS_FEW = 8, /* every operation meets others on its key */
    WRITERS = 2,
    VICTIM = 0,
    OPS_MAX = 20000, /* each writer and round */
    VALUE_MAX = 6000,
};

/* One operation; `done` 0: never acknowledged. */
typedef struct op {
    _Atomic uint64_t begun;
    _Atomic uint64_t done;
    uint32_t key;
    bool is_put;
} op;

typedef struct board {
    _Atomic uint64_t ticket;
    _Atomic uint32_t ready;
    _Atomic bool stop;
    uint32_t keys;
    _Atomic uint64_t errors;
    _Atomic uint64_t moved;
    _Atomic uint64_t evicted;
    _Atomic uint64_t dictionaries;
    _Atomic uint32_t count[WRITERS];
    op ops[WRITERS][OPS_MAX];
} board;

static uint64_t take_ticket(board *b)
{
    return atomic_fetch_add(&b->ticket, 1) + 1;
}

/* A value names its operation, and is different all over so that a mixture shows. */
static size_t make_value(unsigned char *bytes, uint32_t round, uint32_t writer, uint32_t number)
{
    uint64_t seed = (uint64_t)round << 40 | (uint64_t)writer << 32 | number;
    size_t size = 16 + seed * 2654435761u % (VALUE_MAX - 16);
    if (number % 97 == 0) {
        size = 16 + size % 100;
    }
    memcpy(bytes, &seed, sizeof seed);
    for (size_t i = sizeof seed; i < size; i++) {
        bytes[i] = (unsigned char)(seed * 31 + i / 7 + (number % 2 != 0 ? i * i : 0));
    }
    return size;
}

static void key_name(char name[16], uint32_t key)
{
    (void)snprintf(name, 16, "key %u", key);
}

static bool has_dicts(uint32_t round)
{
    return round % 4 == 3;
}

static bool is_tended(uint32_t round)
{
    return round % 2 == 0;
}

static brisk_tier *open_tier(const char *path, uint32_t round)
{
    /* Segments of a few dozen records, so that rotation, adoption and drops happen all the time. */
    return disk_open_opts(
        &(brisk_disk_tier_opts){.path = path,
                                .bytes_max = has_dicts(round) ? 32 << 20 : 1 << 20,
                                .segment_bytes = 64 << 10,
                                .codec = has_dicts(round) ? "zstd" : NULL,
                                .tended = is_tended(round)});
}

static brisk_err put_some(brisk_tier *tier, const char *key, const void *data, size_t size,
                          bool has_life)
{
    brisk_value *value = NULL;
    CHECK_OK(brisk_value_copy(data, size, NULL, &value));
    brisk_key k = brisk_key_of(key, strlen(key));
    brisk_entry_opts opts = {
        .expires_at_ns = has_life ? brisk_clock_wall_ns(NULL) + UINT64_C(3600000000000) : 0};
    brisk_err err = tier->ops->put(tier, &k, value, &opts);
    brisk_value_unref(value);
    return err;
}

/* What else a process does: reads, which make entries worth saving, and tending. */
static void do_other_things(board *b, brisk_tier *tier, uint32_t round, uint64_t *random)
{
    char key[16];
    brisk_hit hit;
    (void)snprintf(key, sizeof key, "key %u", (uint32_t)(check_random(random) % b->keys));
    if (disk_get_key(tier, key, &hit) == BRISK_OK) {
        brisk_value_unref(hit.value);
    }
    if (is_tended(round) && check_random(random) % 8 == 0) {
        (void)brisk_disk_tier_tend(tier, 128 << 10);
    }
}

static void write_until_stopped(board *b, brisk_tier *tier, uint32_t round, uint32_t writer)
{
    uint64_t random = (uint64_t)round * 1000 + writer + 1;
    static unsigned char bytes[VALUE_MAX];
    for (uint32_t i = 0; i < OPS_MAX && !atomic_load(&b->stop); i++) {
        op *o = &b->ops[writer][i];
        char key[16];
        o->key = (uint32_t)(check_random(&random) % b->keys);
        o->is_put = check_random(&random) % 4 != 0;
        key_name(key, o->key);
        atomic_store(&o->begun, take_ticket(b));
        atomic_store(&b->count[writer], i + 1);
        brisk_err err;
        if (o->is_put) {
            size_t size = make_value(bytes, round, writer, i);
            err = put_some(tier, key, bytes, size, o->key % 3 == 0);
        } else {
            err = disk_remove_key(tier, key);
        }
        atomic_store(&o->done, take_ticket(b));
        if (err != BRISK_OK) {
            atomic_fetch_add(&b->errors, 1);
        }
        do_other_things(b, tier, round, &random);
    }
    brisk_tier_stats stats = disk_stats(tier);
    atomic_fetch_add(&b->moved, stats.reinserted + stats.compacted);
    atomic_fetch_add(&b->evicted, stats.evictions);
    atomic_fetch_add(&b->dictionaries, stats.dictionary);
}

static pid_t start_writer(board *b, const char *path, uint32_t round, uint32_t writer)
{
    pid_t child = fork();
    if (child == 0) {
        disk_count_log(NULL);
        brisk_tier *tier = open_tier(path, round);
        atomic_fetch_add(&b->ready, 1);
        write_until_stopped(b, tier, round, writer);
        brisk_tier_destroy(tier);
        _exit(0);
    }
    CHECK(child > 0);
    return child;
}

/* Whether operation `o` must be visible instead of put `p` to a read that began at `at`. */
static bool replaces(const op *o, const op *p, uint64_t at)
{
    uint64_t done = atomic_load(&o->done);
    uint64_t p_done = atomic_load(&p->done);
    return o != p && o->key == p->key && done != 0 && done < at && p_done != 0 &&
           atomic_load(&o->begun) > p_done;
}

/* A killed writer's last put: whatever another process began and finished later replaces it, once
 * the killing is known to lie before. */
static bool replaces_unfinished(const op *o, const op *p, uint64_t killed_at, uint64_t at)
{
    uint64_t done = atomic_load(&o->done);
    return o != p && o->key == p->key && done != 0 && done < at && atomic_load(&p->done) == 0 &&
           atomic_load(&o->begun) > killed_at;
}

/* Check one read of a key against the board; returns the put that was read, or NULL: a miss. */
static const op *check_read(board *b, brisk_tier *tier, uint32_t round, uint32_t key,
                            uint64_t killed_at)
{
    static unsigned char expected[VALUE_MAX];
    char name[16];
    key_name(name, key);
    uint64_t at = take_ticket(b);
    brisk_hit hit;
    if (disk_get_key(tier, name, &hit) != BRISK_OK) {
        return NULL;
    }
    uint64_t seed;
    memcpy(&seed, brisk_value_data(hit.value), sizeof seed);
    uint32_t writer = (uint32_t)(seed >> 32) & 0xff;
    uint32_t number = (uint32_t)seed;
    CHECK_U64(seed >> 40, ==, round);
    CHECK_U64(writer, <, WRITERS);
    CHECK_U64(number, <, atomic_load(&b->count[writer]));
    size_t size = make_value(expected, round, writer, number);
    CHECK_U64(brisk_value_size(hit.value), ==, size);
    CHECK(memcmp(brisk_value_data(hit.value), expected, size) == 0);
    brisk_value_unref(hit.value);
    const op *put = &b->ops[writer][number];
    CHECK(put->is_put && put->key == key);
    for (uint32_t w = 0; w < WRITERS; w++) {
        uint32_t count = atomic_load(&b->count[w]);
        for (uint32_t i = 0; i < count; i++) {
            const op *o = &b->ops[w][i];
            bool killed = writer == VICTIM && replaces_unfinished(o, put, killed_at, at);
            if (replaces(o, put, at) || killed) {
                fail_msg("round %u key %u: read op %u of writer %u, but op %u of writer %u is "
                         "newer",
                         round, key, number, writer, i, w);
            }
        }
    }
    return put;
}

/* Every key, several times; later reads are never older. */
static uint32_t check_all(board *b, brisk_tier *tier, uint32_t round, uint64_t killed_at)
{
    uint32_t hits = 0;
    const op *before[KEYS_MAX] = {0};
    for (int pass = 0; pass < 3; pass++) {
        for (uint32_t key = 0; key < b->keys; key++) {
            const op *put = check_read(b, tier, round, key, killed_at);
            hits += put != NULL;
            if (put != NULL && before[key] != NULL && put != before[key]) {
                uint64_t done = atomic_load(&put->done);
                CHECK(done == 0 || done > atomic_load(&before[key]->begun));
            }
            before[key] = put != NULL ? put : before[key];
        }
    }
    return hits;
}

static void await_ops(board *b, uint32_t count)
{
    while (atomic_load(&b->count[0]) < count || atomic_load(&b->count[1]) < count) {
        (void)sched_yield();
    }
}

static void wait_for(pid_t child)
{
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0);
}

enum after { AFTER_NOTHING, AFTER_REOPEN, AFTER_NO_INDEX, AFTER_KINDS };

/* Over all rounds, by those who survived. */
static struct {
    uint64_t moved;
    uint64_t evicted;
    uint64_t dictionaries;
} done;

static uint32_t run_round(board *b, const char *path, uint32_t round, uint64_t *random)
{
    memset(b, 0, sizeof *b);
    /* With many keys most have one put or a put and a removal: what a rebuild must tell apart. */
    b->keys = round / AFTER_KINDS % 2 == 0 ? KEYS_FEW : KEYS_MAX;
    brisk_tier *reader = open_tier(path, round);
    pid_t victim = start_writer(b, path, round, 0);
    pid_t survivor = start_writer(b, path, round, 1);
    await_ops(b, 20 + (uint32_t)(check_random(random) % 300));
    for (uint64_t spin = check_random(random) % 3000; spin > 0; spin--) {
        atomic_thread_fence(memory_order_seq_cst);
    }
    CHECK(kill(victim, SIGKILL) == 0);
    wait_for(victim);
    uint64_t killed_at = take_ticket(b);
    uint32_t hits = check_all(b, reader, round, killed_at); /* the other one goes on meanwhile */
    await_ops(b, 0);
    uint32_t more = atomic_load(&b->count[1]) + 50;
    while (atomic_load(&b->count[1]) < more && more < OPS_MAX) {
        (void)sched_yield();
    }
    atomic_store(&b->stop, true);
    wait_for(survivor);
    hits += check_all(b, reader, round, killed_at);
    enum after after = (enum after)(round % AFTER_KINDS);
    if (after != AFTER_NOTHING) {
        brisk_tier_destroy(reader);
        if (after == AFTER_NO_INDEX) {
            disk_unlink(path, "index");
        }
        reader = open_tier(path, round);
        hits += check_all(b, reader, round, killed_at);
    }
    CHECK_U64(disk_stats(reader).corrupt, ==, 0);
    CHECK_U64(atomic_load(&b->errors), ==, 0);
    done.moved += atomic_load(&b->moved);
    done.evicted += atomic_load(&b->evicted);
    done.dictionaries += atomic_load(&b->dictionaries);
    CHECK_OK(reader->ops->clear(reader)); /* the next round's values are other ones */
    brisk_tier_destroy(reader);
    return hits;
}

static void test_one_of_two_is_killed(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    uint64_t random = check_seed();
    board *b = mmap(NULL, sizeof *b, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(b != MAP_FAILED);
    disk_count_log(NULL);
    uint32_t hits = 0;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        hits += run_round(b, dir->path, round, &random);
    }
    print_message("%d rounds, %u of the reads were hits\n", ROUNDS, hits);
    print_message("%llu moved, %llu evicted, %llu dictionaries\n", (unsigned long long)done.moved,
                  (unsigned long long)done.evicted, (unsigned long long)done.dictionaries);
    CHECK_U64(hits, >, ROUNDS * KEYS_FEW); /* it was not all misses */
    CHECK_U64(done.moved, >, ROUNDS / 2);
    CHECK_U64(done.evicted, >, ROUNDS / 20); /* few where each access is watched */
    CHECK_U64(done.dictionaries, >, ROUNDS / 40);
    CHECK(munmap(b, sizeof *b) == 0);
    brisk_log_set_sink(NULL, NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_of_two_is_killed),
    };
    return cmocka_run_group_tests_name("disk_kill", tests, disk_use_memory, NULL);
}
