/*
 * Heap profiles: the reader against damage, series that thin themselves out, leaks and what looks like them, places.
 */
#include "support/check.h"

#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "observe/heap/leak.h"
#include "observe/heap/report.h"
#include "observe/heap/view.h"
#include "support/fault_alloc.h"

/* --- files ------------------------------------------------------------------------------------ */

enum { STACKS = 4, FRAMES = 8, LIVE = 3 };

static const char maps[] = "400000-500000 r-xp 00000000 00:00 0 /nowhere/program\n"
                           "7f0000000000-7f0000100000 r-xp 00000000 00:00 0 /nowhere/libc.so.6\n";

static heap_head head_of(void)
{
    heap_head head = {.pid = 77,
                      .interval = 65536,
                      .start_ns = 1000,
                      .now_ns = 2000000000,
                      .samples = 9,
                      .live_bytes = 3000,
                      .alloc_bytes = 9000,
                      .peak_bytes = 5000,
                      .peak_ns = 1000000000,
                      .stack_count = STACKS,
                      .frame_count = FRAMES,
                      .map_bytes = sizeof maps - 1,
                      .command = "program --all"};
    memcpy(head.magic, HEAP_MAGIC, sizeof head.magic);
    return head;
}

static int make_file(const heap_head *head, const heap_stack *stacks, const heap_live *live)
{
    static const uint64_t frames[FRAMES] = {0x7f0000000100, 0x400100, 0x400200, 0x400300,
                                            0x400400,       0x400500, 0x999999, 0x400600};
    int fd = memfd_create("heap", MFD_CLOEXEC);
    CHECK(fd >= 0 && ftruncate(fd, (off_t)HEAP_FILE_SIZE) == 0);
    CHECK(pwrite(fd, head, sizeof *head, 0) == (ssize_t)sizeof *head);
    CHECK(pwrite(fd, stacks, STACKS * sizeof *stacks, HEAP_STACKS_AT) > 0);
    CHECK(pwrite(fd, frames, sizeof frames, HEAP_FRAMES_AT) > 0);
    CHECK(pwrite(fd, live, LIVE * sizeof *live, (off_t)(HEAP_LIVE_AT + 640)) > 0);
    CHECK(pwrite(fd, maps, sizeof maps, HEAP_MAPS_AT) > 0);
    return fd;
}

static const heap_stack good_stacks[STACKS] = {
    {.hash = 0},
    {.hash = 1,
     .first = 0,
     .depth = 3,
     .alloc_bytes = 6000,
     .alloc_blocks = 6,
     .live_bytes = 2000,
     .live_blocks = 2,
     .peak_bytes = 4000,
     .samples = 6,
     .live_samples = 2},
    {.hash = 2,
     .first = 3,
     .depth = 2,
     .alloc_bytes = 2000,
     .alloc_blocks = 2,
     .live_bytes = 1000,
     .live_blocks = 1,
     .peak_bytes = 1000,
     .samples = 2,
     .live_samples = 1},
    {.hash = 3, .first = 6, .depth = 2, .alloc_bytes = 1000, .alloc_blocks = 1, .samples = 1},
};
static const heap_live good_live[LIVE] = {
    {.address = 16, .size = 100, .weight = 1000, .stack = 1, .born_ms = 100},
    {.address = 32, .size = 100, .weight = 1000, .stack = 1, .born_ms = 1900},
    {.address = 48, .size = 1000, .weight = 1000, .stack = 2, .born_ms = 1000},
};

static const heap_read_opts read_opts = {.name = "it.heap"};

static void test_good_file(void **state)
{
    (void)state;
    heap_profile p;
    heap_head head = head_of();
    int fd = make_file(&head, good_stacks, good_live);
    CHECK_OK(heap_profile_read(fd, &read_opts, &p, NULL));
    CHECK_U64(p.live_count, ==, 3);
    CHECK_U64(p.bad, ==, 0);
    CHECK_U64(p.stacks[1].depth, ==, 3);
    CHECK(strcmp(p.head.command, "program --all") == 0);
    /* Two of a tenth's chance: 1000^2 * 0.9 each; one that is certain: none. */
    CHECK(fabs(heap_profile_error(&p) - sqrt(1.8e6) / 3000) < 1e-9);
    CHECK(isnan(heap_fragmentation(&p)));
    heap_profile_deinit(&p);
    (void)close(fd);
}

static void test_damaged_files(void **state)
{
    (void)state;
    heap_profile p;
    brisk_errinfo info = {0};
    heap_head head = head_of();
    int fd = make_file(&head, good_stacks, good_live);
    /* Cut anywhere: an error that says where, never a crash. */
    static const uint64_t cuts[] = {
        0, 7, 300, HEAP_STACKS_AT + 100, HEAP_FRAMES_AT + 8, HEAP_LIVE_AT + 5, HEAP_MAPS_AT + 3};
    for (size_t i = sizeof cuts / sizeof *cuts; i > 0; i--) {
        CHECK(ftruncate(fd, (off_t)cuts[i - 1]) == 0);
        CHECK(heap_profile_read(fd, &read_opts, &p, &info) == BRISK_ERR_CORRUPT);
        CHECK(strstr(info.text, "it.heap: ends before byte") != NULL);
    }
    (void)close(fd);
    head.magic[0] = 'X';
    fd = make_file(&head, good_stacks, good_live);
    CHECK(!heap_profile_is(fd));
    CHECK(heap_profile_read(fd, &read_opts, &p, &info) == BRISK_ERR_CORRUPT);
    CHECK(strstr(info.text, "offset 0") != NULL);
    (void)close(fd);
    uint32_t heap_head_counts[][3] = {{0, 8, 10},
                                      {HEAP_STACKS_MAX + 1, 8, 10},
                                      {4, HEAP_FRAMES_MAX + 1, 10},
                                      {4, 8, HEAP_MAPS_MAX + 1}};
    for (size_t i = 0; i < 4; i++) {
        head = head_of();
        head.stack_count = heap_head_counts[i][0];
        head.frame_count = heap_head_counts[i][1];
        head.map_bytes = heap_head_counts[i][2];
        fd = make_file(&head, good_stacks, good_live);
        CHECK(heap_profile_read(fd, &read_opts, &p, &info) == BRISK_ERR_CORRUPT);
        CHECK(strstr(info.text, "more than there can be") != NULL);
        (void)close(fd);
    }
}

static void test_contradictions_are_set_right(void **state)
{
    (void)state;
    heap_profile p;
    heap_head head = head_of();
    heap_stack stacks[STACKS];
    heap_live live[LIVE];
    memcpy(stacks, good_stacks, sizeof stacks);
    memcpy(live, good_live, sizeof live);
    memset(head.command, 'x', sizeof head.command);
    head.live_bytes = UINT64_MAX - 5; /* went below zero */
    head.now_ns = 1;
    stacks[1].first = FRAMES - 1; /* beyond the frames */
    stacks[2].depth = HEAP_DEPTH_MAX + 1;
    stacks[3].live_bytes = UINT64_MAX;
    live[0].stack = STACKS;
    live[1].weight = UINT64_MAX;
    int fd = make_file(&head, stacks, live);
    CHECK_OK(heap_profile_read(fd, &read_opts, &p, NULL));
    CHECK_U64(strlen(p.head.command), ==, HEAP_COMMAND_MAX - 1);
    CHECK_U64(p.head.live_bytes, ==, 0);
    CHECK_U64(p.head.now_ns, ==, p.head.start_ns);
    CHECK_U64(p.stacks[1].depth, ==, 0);
    CHECK_U64(p.stacks[2].depth, ==, 0);
    CHECK_U64(p.stacks[3].live_bytes, ==, 0);
    CHECK_U64(p.live_count, ==, 1);
    CHECK_U64(p.bad, ==, 7);
    heap_profile_deinit(&p);
    (void)close(fd);
}

/* --- view -------------------------------------------------------------------------------------- */

static void test_places(void **state)
{
    (void)state;
    heap_profile p;
    heap_view v;
    heap_head head = head_of();
    int fd = make_file(&head, good_stacks, good_live);
    CHECK_OK(heap_profile_read(fd, &read_opts, &p, NULL));
    CHECK_OK(heap_view_make(&p, &(heap_view_opts){.no_files = true}, &v));
    /* Without symbols a module is one name: the program's two stacks are two places by address only
     * when names differ; libc's frame is no place. */
    CHECK_U64(v.places.count, >=, 2);
    const heap_place *first = &v.places.items[0];
    CHECK(strcmp(prof_text(v.model, first->name), "[program]") == 0);
    uint64_t live = 0;
    uint64_t alloc = 0;
    for (size_t i = 0; i < v.places.count; i++) {
        live += v.places.items[i].live;
        alloc += v.places.items[i].alloc;
        CHECK(i == 0 || v.places.items[i - 1].live >= v.places.items[i].live);
    }
    CHECK_U64(live, ==, 3000);
    CHECK_U64(alloc, ==, 9000);
    CHECK_U64(v.model->type_count, ==, 5);
    CHECK_U64(v.model->events.count, ==, 0);
    uint64_t inuse = 0;
    for (size_t i = 0; i < v.model->samples.count; i++) {
        inuse += v.model->samples.items[i].values[HEAP_TYPE_INUSE_SPACE];
    }
    CHECK_U64(inuse, ==, 3000);
    CHECK_U64(v.place_of[0], ==, PROF_NO_ID);
    heap_view_deinit(&v);
    heap_profile_deinit(&p);
    (void)close(fd);
}

static brisk_err use_all(int fd, const brisk_alloc *alloc)
{
    heap_profile p = {0};
    heap_view v = {0};
    heap_series s;
    heap_series_init(&s, alloc);
    brisk_err err = heap_profile_read(fd, &(heap_read_opts){.name = "x", .alloc = alloc}, &p, NULL);
    for (uint32_t i = 0; err == BRISK_OK && i < HEAP_POINTS_MAX + 8; i++) {
        err = heap_series_add(&s, &p, (uint64_t)i * 1000000, 1);
    }
    if (err == BRISK_OK) {
        err = heap_view_make(&p, &(heap_view_opts){.alloc = alloc, .no_files = true}, &v);
    }
    if (err == BRISK_OK) {
        err = heap_view_judge(&v, &p, &s);
    }
    FILE *out = err == BRISK_OK ? fopen("/dev/null", "we") : NULL;
    if (out != NULL) {
        heap_report report = {.profile = &p, .view = &v, .series = &s, .rows = 5};
        heap_report_text(&report, out);
        heap_graph_text(&report, out);
        CHECK_OK(heap_report_json(&report, out));
        err = heap_graph_svg(&report, out);
        (void)fclose(out);
    }
    heap_view_deinit(&v);
    heap_series_deinit(&s);
    heap_profile_deinit(&p);
    return err;
}

/* 8192 places and 512 points: 34 billion steps when each place looks at all stacks, 12 million as it is. */
static void test_many_places_are_judged(void **state)
{
    (void)state;
    enum { PLACES = HEAP_STACKS_MAX };
    const brisk_alloc *alloc = brisk_alloc_libc();
    heap_stack *stacks = calloc(PLACES, sizeof *stacks);
    heap_live *live = calloc(PLACES, sizeof *live);
    uint32_t *place_of = calloc(PLACES, sizeof *place_of);
    assert_true(stacks != NULL && live != NULL && place_of != NULL);
    heap_profile p = {.stacks = stacks, .live = live, .live_count = PLACES};
    p.head.stack_count = PLACES;
    p.head.now_ns = HEAP_POINTS_MAX * UINT64_C(100000000);
    heap_view v = {.alloc = alloc, .stack_count = PLACES, .places = BRISK_VEC_INIT(alloc)};
    v.place_of = place_of;
    for (uint32_t i = 0; i < PLACES; i++) {
        CHECK(BRISK_VEC_PUSH(&v.places, (heap_place){.line = i}));
        place_of[i] = PLACES - 1 - i;
        live[i] = (heap_live){.address = 16, .size = 1000, .weight = 1000, .stack = i};
    }
    heap_series s;
    heap_series_init(&s, alloc);
    for (uint64_t t = 0; t < HEAP_POINTS_MAX; t++) {
        for (uint32_t i = 0; i < PLACES; i++) { /* one grows */
            stacks[i].live_bytes = i == 5 ? 1000000 + 100000 * t : 1000;
            live[i].born_ms = i == 5 ? (uint32_t)(t * 50) : 0;
        }
        CHECK_OK(heap_series_add(&s, &p, t * 100000000, 1));
    }
    CHECK_OK(heap_view_judge(&v, &p, &s));
    for (uint32_t i = 0; i < PLACES; i++) {
        const heap_place *place = &v.places.items[PLACES - 1 - i];
        CHECK_U64(place->first_live, ==, i == 5 ? 1000000 : 1000);
        CHECK((place->leak.slope > 900000) == (i == 5));
    }
    BRISK_VEC_DEINIT(&v.places);
    heap_series_deinit(&s);
    free(place_of);
    free(live);
    free(stacks);
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    heap_head head = head_of();
    int fd = make_file(&head, good_stacks, good_live);
    brisk_err err = BRISK_ERR_NOMEM;
    uint64_t tried = 0;
    /* Points of the series are many alike: not each of them. */
    for (uint64_t after = 0; err == BRISK_ERR_NOMEM; after += after > 20 && after < 500 ? 97 : 1) {
        fault_alloc fault;
        fault_alloc_init(&fault, after);
        err = use_all(fd, &fault.base);
        CHECK_U64(fault.bytes_held, ==, 0);
        tried++;
    }
    CHECK_OK(err);
    CHECK_U64(tried, >, 40);
    (void)close(fd);
}

static void test_series_thins_itself_out(void **state)
{
    (void)state;
    heap_series s;
    heap_stack stack = {.live_bytes = 0};
    heap_profile p = {.head = head_of(), .stacks = &stack};
    p.head.stack_count = 1;
    heap_series_init(&s, brisk_alloc_libc());
    for (uint64_t i = 0; i < 5000; i++) {
        p.head.live_bytes = i;
        stack.live_bytes = i;
        CHECK_OK(heap_series_add(&s, &p, i * 10, 0));
    }
    CHECK_U64(s.points.count, <=, HEAP_POINTS_MAX);
    CHECK_U64(s.points.count, >=, HEAP_POINTS_MAX / 2 - 1);
    for (size_t i = 1; i < s.points.count; i++) {
        CHECK_U64(s.points.items[i].time_ns, >, s.points.items[i - 1].time_ns);
        CHECK_U64(s.points.items[i].stacks[0] * 10, ==, s.points.items[i].time_ns);
    }
    CHECK_U64(s.points.items[s.points.count - 1].live, >=, 4900);
    heap_series_deinit(&s);
}

/* --- leaks ------------------------------------------------------------------------------------- */

enum { POINTS = 300, BLOCKS = 400 };

typedef enum shape {
    SHAPE_LEAK,      /* grows all along */
    SHAPE_SLOW_LEAK, /* beneath a saw ten times as high */
    SHAPE_SMOOTH,    /* grows, now faster, now slower, without noise: neighbours are alike */
    SHAPE_CACHE,     /* grows for a third of the time, then replaces */
    SHAPE_CHURN,     /* a level with noise; survivors young */
    SHAPE_SAW,       /* fills and empties */
    SHAPE_STEP,      /* one table is made in the middle */
    SHAPE_SHRINK,
} shape;

static double live_at(shape which, double part, uint64_t *state)
{
    double noise = (double)(check_random(state) % 1000) / 1000 * 2e6;
    double teeth =
        which == SHAPE_SLOW_LEAK ? 60 : 17; /* shorter than the pieces of time that are looked at */
    double saw = part * teeth - floor(part * teeth);
    switch (which) {
    case SHAPE_LEAK: return 1e6 + 1e8 * part + noise;
    case SHAPE_SLOW_LEAK: return 1e7 * part + 1e8 * saw + noise;
    case SHAPE_SMOOTH: return 1e8 * part + 8e6 * sin(part * 11);
    case SHAPE_CACHE: return part < 0.35 ? 1e8 * part / 0.35 + noise : 1e8 + noise;
    case SHAPE_CHURN: return 5e7 + noise * 5;
    case SHAPE_SAW: return 1e8 * saw + noise;
    case SHAPE_STEP: return (part < 0.5 ? 1e6 : 9e7) + noise;
    case SHAPE_SHRINK: return 1e8 - 9e7 * part + noise;
    }
    return 0;
}

static double born_at(shape which, double part)
{
    switch (which) {
    case SHAPE_LEAK:
    case SHAPE_SMOOTH:
    case SHAPE_SLOW_LEAK: return part;
    case SHAPE_CACHE: return 1 - part * part * 0.7; /* replaced at random */
    case SHAPE_STEP: return 0.5;
    case SHAPE_CHURN:
    case SHAPE_SAW:
    case SHAPE_SHRINK: return 1 - part * 0.03;
    }
    return 0;
}

static heap_verdict judge(shape which, uint64_t *state)
{
    static double times[POINTS];
    static double live[POINTS];
    static heap_survivor survivors[BLOCKS];
    for (uint32_t i = 0; i < POINTS; i++) {
        times[i] = i * 0.1;
        live[i] = live_at(which, (double)i / POINTS, state);
    }
    for (uint32_t i = 0; i < BLOCKS; i++) {
        survivors[i] = (heap_survivor){born_at(which, (double)i / BLOCKS) * POINTS * 0.1, 250000};
    }
    return heap_leak_judge(&(heap_growth){.times = times,
                                          .live = live,
                                          .count = POINTS,
                                          .survivors = survivors,
                                          .survivor_count = BLOCKS,
                                          .sample_bytes = 250000});
}

static void test_leaks_and_what_looks_like_them(void **state)
{
    (void)state;
    uint64_t seed = check_seed();
    for (int round = 0; round < 50; round++) {
        heap_verdict leak = judge(SHAPE_LEAK, &seed);
        CHECK(leak.enough && leak.suspected && leak.confidence > 0.85);
        CHECK(leak.slope_low <= 1e8 / 30 && leak.slope_high >= 1e8 / 30 * 0.97);
        heap_verdict slow = judge(SHAPE_SLOW_LEAK, &seed);
        CHECK(slow.enough && slow.suspected && slow.confidence > 0.5);
        heap_verdict smooth = judge(SHAPE_SMOOTH, &seed);
        CHECK(smooth.enough && smooth.suspected && smooth.confidence > 0.5);
        static const shape others[] = {SHAPE_CACHE, SHAPE_CHURN, SHAPE_SAW, SHAPE_STEP,
                                       SHAPE_SHRINK};
        for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
            heap_verdict other = judge(others[i], &seed);
            CHECK(other.enough && !other.suspected && other.confidence <= 0);
        }
    }
}

static void test_too_little_to_say(void **state)
{
    (void)state;
    double times[HEAP_LEAK_POINTS_MIN] = {0};
    double live[HEAP_LEAK_POINTS_MIN] = {0};
    heap_growth growth = {.times = times, .live = live, .count = HEAP_LEAK_POINTS_MIN - 1};
    CHECK(!heap_leak_judge(&growth).enough);
    growth.count++; /* all at one time */
    CHECK(!heap_leak_judge(&growth).enough);
    for (uint32_t i = 0; i < HEAP_LEAK_POINTS_MIN; i++) {
        times[i] = i;
    }
    CHECK(!heap_leak_judge(&growth).suspected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_file),
        cmocka_unit_test(test_damaged_files),
        cmocka_unit_test(test_contradictions_are_set_right),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_many_places_are_judged),
        cmocka_unit_test(test_every_allocation_may_fail),
        cmocka_unit_test(test_series_thins_itself_out),
        cmocka_unit_test(test_leaks_and_what_looks_like_them),
        cmocka_unit_test(test_too_little_to_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
