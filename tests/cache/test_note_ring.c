/*
 * The ring of notes: order and bytes are kept, what has no room is refused, writers do not mix.
 */
#include <string.h>

#include "base/thread.h"
#include "cache/note_ring.h"
#include "support/check.h"

enum { CAPACITY = 16384, THREADS = 4, NOTES = 50000 };

static unsigned char storage[CAPACITY];

typedef struct note_head {
    uint64_t number;
    uint64_t writer;
} note_head;

static bool push(note_ring *ring, uint64_t writer, uint64_t number, const void *key, uint32_t size)
{
    note_head head = {number, writer};
    return note_ring_push(ring, &(note_parts){&head, sizeof head, key, size});
}

static uint32_t size_of(uint64_t number)
{
    return (uint32_t)(number * 7919 % (NOTE_KEY_MAX + 1));
}

static void test_keeps_order_and_bytes(void **state)
{
    (void)state;
    note_ring ring;
    note_ring_init(&ring, storage, CAPACITY);
    uint64_t seed = check_seed();
    unsigned char bytes[NOTE_KEY_MAX];
    unsigned char got[NOTE_KEY_MAX];
    note_head head;
    uint32_t size = 0;
    uint64_t pushed = 0;
    uint64_t popped = 0;
    for (uint32_t round = 0; round < 50000 || !note_ring_is_empty(&ring); round++) {
        if (round < 50000 && check_random(&seed) % 2 == 0) {
            memset(bytes, (int)(pushed % 251), sizeof bytes);
            pushed += push(&ring, 1, pushed, bytes, size_of(pushed)) ? 1 : 0;
        } else if (note_ring_pop(&ring, &head, sizeof head, got, &size)) {
            CHECK_U64(head.number, ==, popped);
            CHECK_U64(size, ==, size_of(popped));
            for (uint32_t i = 0; i < size; i++) {
                CHECK(got[i] == popped % 251);
            }
            popped++;
        }
    }
    CHECK_U64(popped, ==, pushed);
}

static void test_full_refuses(void **state)
{
    (void)state;
    note_ring ring;
    note_ring_init(&ring, storage, CAPACITY);
    unsigned char bytes[NOTE_KEY_MAX] = {0};
    note_head head;
    uint32_t size = 0;
    uint64_t kept = 0;
    CHECK(!note_ring_is_half_full(&ring));
    for (uint64_t i = 0; i < 1000; i++) {
        kept += push(&ring, 1, i, bytes, 100) ? 1 : 0;
    }
    CHECK_U64(kept, ==, CAPACITY / 128); /* 8 + 16 + 104 bytes each */
    CHECK(note_ring_is_half_full(&ring));
    for (uint64_t i = 0; i < kept; i++) {
        CHECK(note_ring_pop(&ring, &head, sizeof head, bytes, &size));
        CHECK_U64(head.number, ==, i);
    }
    CHECK(!note_ring_pop(&ring, &head, sizeof head, bytes, &size));
}

typedef struct writer {
    note_ring *ring;
    uint64_t number;
    _Atomic uint64_t kept;
} writer;

static void write_notes(void *ctx)
{
    writer *w = ctx;
    unsigned char key[64];
    for (uint64_t i = 0; i < NOTES; i++) {
        memset(key, (int)(w->number + i % 16), sizeof key);
        if (push(w->ring, w->number, i, key, (uint32_t)(i % 65))) {
            atomic_fetch_add(&w->kept, 1);
        }
    }
}

static void test_writers_do_not_mix(void **state)
{
    (void)state;
    note_ring ring;
    note_ring_init(&ring, storage, CAPACITY);
    brisk_thread threads[THREADS];
    static writer writers[THREADS];
    uint64_t next[THREADS] = {0};
    uint64_t popped = 0;
    unsigned char key[NOTE_KEY_MAX];
    for (uint64_t i = 0; i < THREADS; i++) {
        writers[i].ring = &ring;
        writers[i].number = i;
        CHECK_OK(brisk_thread_start(&threads[i],
                                    &(brisk_thread_opts){.run = write_notes, .ctx = &writers[i]}));
    }
    while (brisk_thread_count() > 0 || !note_ring_is_empty(&ring)) {
        note_head head;
        uint32_t size = 0;
        if (!note_ring_pop(&ring, &head, sizeof head, key, &size)) {
            continue;
        }
        CHECK(head.writer < THREADS && head.number >= next[head.writer]);
        next[head.writer] = head.number + 1;
        CHECK_U64(size, ==, head.number % 65);
        for (uint32_t i = 0; i < size; i++) {
            CHECK(key[i] == (unsigned char)(head.writer + head.number % 16));
        }
        popped++;
    }
    uint64_t kept = 0;
    for (uint32_t i = 0; i < THREADS; i++) {
        brisk_thread_join(&threads[i]);
        kept += atomic_load(&writers[i].kept);
    }
    CHECK_U64(popped, ==, kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keeps_order_and_bytes),
        cmocka_unit_test(test_full_refuses),
        cmocka_unit_test(test_writers_do_not_mix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
