/*
 * test_monitor_parts.c -- frames against a terminal that obeys them, figures of hostile and honest answers, targets,
 * keys.
 */
#include <math.h>
#include <string.h>

#include "observe/monitor/monitor.h"
#include "support/check.h"
#include "support/fault_alloc.h"

/* --- frames: whatever is drawn, what is sent makes the same picture -------------------------- */

enum { WIDTH = 23, HEIGHT = 7 };

typedef struct picture {
    uint32_t code[HEIGHT][WIDTH];
    uint32_t x;
    uint32_t y;
} picture;

static uint32_t next_code(const unsigned char **at)
{
    const unsigned char *t = *at;
    uint32_t size = t[0] < 0x80 ? 1 : t[0] < 0xe0 ? 2 : 3;
    uint32_t code = size == 1 ? t[0] : size == 2 ? t[0] & 0x1fu : t[0] & 0x0fu;
    for (uint32_t i = 1; i < size; i++) {
        code = code << 6 | (t[i] & 0x3fu);
    }
    *at += size;
    return code;
}

/* Obey cursor movements and clearing, know styles and modes, refuse everything else. */
static void obey(picture *p, const char *text)
{
    const unsigned char *at = (const unsigned char *)text;
    while (*at != '\0') {
        if (*at != 0x1b) {
            CHECK_U64(p->y, <, HEIGHT);
            CHECK_U64(p->x, <, WIDTH);
            p->code[p->y][p->x++] = next_code(&at);
            continue;
        }
        CHECK(at[1] == '[');
        at += 2;
        const char *parameters = (const char *)at;
        at += strspn(parameters, "?;0123456789");
        unsigned y = 0;
        unsigned x = 0;
        if (*at == 'H') {
            CHECK(sscanf(parameters, "%u;%uH", &y, &x) == 2);
            p->y = y - 1;
            p->x = x - 1;
        } else if (*at == 'J') {
            for (int i = 0; i < HEIGHT * WIDTH; i++) {
                p->code[i / WIDTH][i % WIDTH] = ' ';
            }
        } else {
            CHECK(*at == 'm' || *at == 'h' || *at == 'l');
        }
        at++;
    }
}

static void test_frames(void **state)
{
    (void)state;
    static const uint32_t codes[] = {'a', 'z', ' ', 0x2588, 0xe9, 0x416, '#'};
    uint64_t seed = check_seed();
    screen s;
    picture p = {.x = 0};
    brisk_str out;
    screen_init(&s, brisk_alloc_libc(), false, true);
    CHECK_OK(screen_resize(&s, WIDTH, HEIGHT));
    brisk_str_init(&out, NULL, 1 << 20);
    size_t most = 0;
    for (int round = 0; round < 300; round++) {
        uint64_t changes = check_random(&seed) % 40;
        for (uint64_t i = 0; i < changes; i++) {
            screen_put(&s, (uint32_t)(check_random(&seed) % (WIDTH + 2)),
                       (uint32_t)(check_random(&seed) % (HEIGHT + 2)),
                       codes[check_random(&seed) % 7], (screen_style)(check_random(&seed) % 10));
        }
        brisk_str_cut(&out, 0);
        screen_frame(&s, &out);
        obey(&p, brisk_str_text(&out));
        for (int i = 0; i < WIDTH * HEIGHT; i++) {
            CHECK_U64(p.code[i / WIDTH][i % WIDTH], ==, s.cells[i].code);
        }
        most = round > 0 && brisk_str_size(&out) > most ? brisk_str_size(&out) : most;
    }
    brisk_str_cut(&out, 0);
    screen_frame(&s, &out); /* nothing changed: nothing is drawn */
    CHECK_U64(brisk_str_size(&out), <, 32);
    brisk_str_deinit(&out);
    screen_deinit(&s);
}

static void test_text_from_outside(void **state)
{
    (void)state;
    screen s;
    screen_init(&s, brisk_alloc_libc(), false, false);
    CHECK_OK(screen_resize(&s, 20, 1));
    /* escape, C1 in UTF-8, wide, combining, broken and cut UTF-8 */
    CHECK_U64(screen_text(&s, (screen_line){0, 0, 20}, STYLE_PLAIN,
                          "a\033[2J\xc2\x9b\xe4\xb8\xad\xcc\x81\xff\xe4\xb8"),
              ==, 11);
    static const char wanted[] = "a?[2J??????";
    for (size_t i = 0; i < sizeof wanted - 1; i++) {
        CHECK_U64(s.cells[i].code, ==, (unsigned char)wanted[i]);
    }
    s.ascii = true;
    (void)screen_text(&s, (screen_line){0, 0, 3}, STYLE_PLAIN, "\xc3\xa9xyz");
    CHECK(s.cells[0].code == '?' && s.cells[2].code == 'y' && s.cells[3].code == '2');
    screen_deinit(&s);
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    for (uint64_t after = 0; after < 3; after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, after);
        screen s;
        screen_init(&s, &fault.base, false, true);
        brisk_err err = screen_resize(&s, 80, 24);
        CHECK((err == BRISK_OK) == (after == 2));
        CHECK(err == BRISK_OK || s.cells == NULL);
        screen_deinit(&s);
        CHECK_U64(fault.bytes_held, ==, 0);
    }
}

/* --- answers --------------------------------------------------------------------------------- */

static void take(monitor_server *s, uint32_t which, const char *text)
{
    resp_replies replies;
    resp_replies_init(&replies, NULL, NULL);
    CHECK(resp_replies_read(&replies, (const unsigned char *)text, strlen(text)) == RESP_DONE);
    monitor_answer_take(s, which, &replies);
    resp_replies_deinit(&replies);
}

static void bulk(char *to, size_t room, const char *text)
{
    (void)snprintf(to, room, "$%zu\r\n%s\r\n", strlen(text), text);
}

static void round_of(monitor_server *s, const char *info, const char *stats, const char *latency)
{
    char text[1024];
    bulk(text, sizeof text, info);
    take(s, 0, text);
    take(s, 1, stats);
    take(s, 2, latency);
}

static void test_answers(void **state)
{
    (void)state;
    static monitor_server s;
    static monitor_numbers n;
    monitor_numbers_init(&n);
    s.up = true;
    round_of(&s,
             "# "
             "Server\r\nredis_version:7.0.15\r\nbrisk_version:0.1.0\r\nconnected_clients:5\r\nused_"
             "memory:1000\r\n"
             "total_commands_processed:100\r\ntotal_error_replies:7\r\nkeyspace_hits:"
             "10\r\nkeyspace_misses:10\r\nevicted_"
             "keys:0\r\n"
             "memory_target_hit_rate:90\r\nnonsense\r\nuptime_in_seconds:-4\r\n",
             "*4\r\n$6\r\nmemory\r\n*4\r\n$4\r\nhits\r\n:10\r\n$6\r\nmisses\r\n:10\r\n$"
             "4\r\ndisk\r\n*2\r\n$4\r\nhits\r\n:1\r\n",
             "*2\r\n$3\r\nget\r\n*4\r\n$5\r\ncalls\r\n:10\r\n$14\r\nhistogram_usec\r\n*4\r\n:2\r\n:"
             "8\r\n:4\r\n:10\r\n");
    monitor_answers_end(&s, 1000000000);
    monitor_server_figures(&s, &n);
    CHECK(strcmp(s.name, "brisk 0.1.0") == 0);
    CHECK(isnan(n.now[FIGURE_THROUGHPUT]) && n.now[FIGURE_CONNECTIONS] == 5 && s.target_rate == 90);
    round_of(&s,
             "connected_clients:6\r\ntotal_commands_processed:303\r\ntotal_error_replies:"
             "17\r\nkeyspace_hits:40\r\nkeyspace_"
             "misses:20\r\nevicted_keys:6\r\n",
             "*4\r\n$6\r\nmemory\r\n*4\r\n$4\r\nhits\r\n:30\r\n$6\r\nmisses\r\n:30\r\n$"
             "4\r\ndisk\r\n*4\r\n$4\r\nhits\r\n:11\r\n"
             "$6\r\nmisses\r\n:10\r\n",
             "*4\r\n$4\r\ninfo\r\n*4\r\n$5\r\ncalls\r\n:9\r\n$14\r\nhistogram_usec\r\n*2\r\n:"
             "4096\r\n:900\r\n"
             "$3\r\nget\r\n*4\r\n$5\r\ncalls\r\n:110\r\n$14\r\nhistogram_usec\r\n*4\r\n:2\r\n:"
             "98\r\n:64\r\n:110\r\n");
    monitor_answers_end(&s, 3000000000);
    monitor_numbers_begin(&n);
    monitor_server_figures(&s, &n);
    CHECK(fabs(n.now[FIGURE_THROUGHPUT] - 100) < 1e-9); /* 203 less our 3, in 2 s */
    CHECK(fabs(n.now[FIGURE_ERRORS] - 0.05) < 1e-9);    /* 10 of 200 */
    CHECK(fabs(n.now[FIGURE_HIT_RATE] - 0.75) < 1e-9);
    CHECK(fabs(n.now[FIGURE_HIT_MEMORY] - 0.5) < 1e-9);
    CHECK(fabs(n.now[FIGURE_HIT_DISK] - 0.5) < 1e-9);
    CHECK(fabs(n.now[FIGURE_EVICTIONS] - 3) < 1e-9);
    /* the bucket of 4 us has fewer than before: the totals were reset, and nothing is said */
    CHECK(isnan(n.now[FIGURE_P50]));
    round_of(&s, "total_commands_processed:400\r\ntotal_error_replies:17\r\n",
             "-ERR unknown command\r\n",
             "*2\r\n$3\r\nget\r\n*4\r\n$5\r\ncalls\r\n:210\r\n$14\r\nhistogram_usec\r\n*6\r\n:"
             "2\r\n:188\r\n:64\r\n:209\r\n:1024\r\n"
             ":210\r\n");
    monitor_answers_end(&s, 4000000000);
    monitor_numbers_begin(&n);
    monitor_server_figures(&s, &n);
    /* 90 in 2 us, 9 in 64 us, 1 in 1024 us */
    CHECK(n.now[FIGURE_P50] == 2000 && n.now[FIGURE_P99] == 64000 && n.now[FIGURE_P999] == 1024000);
    CHECK(isnan(n.now[FIGURE_HIT_MEMORY]) && isnan(n.now[FIGURE_HIT_RATE]));
    round_of(&s, "total_commands_processed:503\r\ntotal_error_replies:19\r\n", "*0\r\n", "*0\r\n");
    monitor_answers_end(&s, 5000000000);
    monitor_numbers_begin(&n);
    monitor_server_figures(&s, &n);
    CHECK(fabs(n.now[FIGURE_ERRORS] - 0.01) < 1e-9); /* of two one was our own question's */
}

/* What is known makes the score, with its weight; the worst part holds it down. */
static void test_grade(void **state)
{
    (void)state;
    static monitor m;
    monitor_grades grades;
    monitor_numbers_init(&m.numbers);
    monitor_grade(&m, &grades);
    CHECK(isnan(grades.score.points) && grades.score.grade == BRISK_GRADE_UNKNOWN);
    m.numbers.now[FIGURE_P99] = 1e6;
    m.numbers.now[FIGURE_ERRORS] = 0;
    m.numbers.now[FIGURE_CPU] = 0.2;
    m.numbers.now[FIGURE_MEMORY] = 0.2;
    monitor_grade(&m, &grades);
    CHECK(fabs(grades.score.points - 100) < 1e-9 && grades.score.grade == BRISK_GRADE_EXCELLENT);
    CHECK(strstr(grades.score.text, "unknown: throughput of its target") != NULL);
    m.numbers.now[FIGURE_THROUGHPUT] = 600;
    brisk_errinfo info;
    CHECK_OK(monitor_target_parse(&m.numbers, "throughput=1000", &info));
    monitor_grade(&m, &grades);
    CHECK(fabs(grades.parts[2].value - 0.6) < 1e-9);
    CHECK(grades.score.points < 100 && grades.score.grade <= BRISK_GRADE_ACCEPTABLE);
    m.numbers.now[FIGURE_ERRORS] = 0.5;
    monitor_grade(&m, &grades);
    CHECK(grades.score.grade <= BRISK_GRADE_POOR); /* one above the worst */
}

static void test_hostile_answers(void **state)
{
    (void)state;
    static monitor_server s;
    static const char *const answers[] = {
        "*1\r\n$6\r\nmemory\r\n",
        "*2\r\n:1\r\n:2\r\n",
        "*0\r\n",
        "$-1\r\n",
        ":5\r\n",
        "*2\r\n$6\r\nmemory\r\n$3\r\nabc\r\n",
        "*2\r\n$6\r\nmemory\r\n*3\r\n$4\r\nhits\r\n:-5\r\n$1\r\nx\r\n",
        ("*2\r\n$3\r\nget\r\n*2\r\n$14\r\nhistogram_usec\r\n"
         "*3\r\n:9223372036854775807\r\n:1\r\n:1\r\n"),
        "%1\r\n$6\r\nmemory\r\n%1\r\n$4\r\nhits\r\n,1.5\r\n",
    };
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        for (uint32_t which = 0; which < 3; which++) {
            take(&s, which, answers[i]);
        }
    }
    CHECK(s.next.memory_hits == 0 && s.next.latency[MONITOR_BUCKETS - 1] == 1);
    char text[256];
    bulk(text, sizeof text,
         "brisk_version:\033["
         "2Jxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n:\n:::");
    take(&s, 0, text);
    CHECK(strchr(s.name, 0x1b) == NULL && strlen(s.name) < sizeof s.name);
}

/* --- figures, targets, keys ------------------------------------------------------------------ */

static void test_figures(void **state)
{
    (void)state;
    static monitor_numbers n;
    brisk_errinfo info = {0};
    monitor_numbers_init(&n);
    CHECK_OK(monitor_target_parse(&n, "p99=10ms", &info));
    CHECK_OK(monitor_target_parse(&n, "hit_rate=95%", &info));
    CHECK_OK(monitor_target_parse(&n, "server_memory=64MiB", &info));
    CHECK_OK(monitor_target_parse(&n, "throughput=20000", &info));
    static const char *const bad[] = {"p99",          "p99=10",        "x=1", "hit_rate=950%",
                                      "hit_rate=-1%", "throughput=1x", "="};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK(monitor_target_parse(&n, bad[i], &info) == BRISK_ERR_INVALID);
    }
    CHECK(isnan(monitor_target_progress(&n, &n.targets[0])));
    n.now[FIGURE_P99] = 20e6;
    n.now[FIGURE_HIT_RATE] = 0.95;
    n.now[FIGURE_THROUGHPUT] = 5000;
    CHECK(monitor_target_progress(&n, &n.targets[0]) == 0.5); /* twice as slow */
    CHECK(monitor_target_progress(&n, &n.targets[1]) == 1);
    CHECK(monitor_target_progress(&n, &n.targets[3]) == 0.25);
    for (int i = 0; i < MONITOR_POINTS + 5; i++) {
        n.now[FIGURE_CPU] = i % 2 == 0 ? i : (double)NAN;
        monitor_numbers_end(&n);
    }
    CHECK(n.series[FIGURE_CPU].count == MONITOR_POINTS);
    CHECK(monitor_series_at(&n.series[FIGURE_CPU], 0) == MONITOR_POINTS + 4);
    CHECK(isnan(monitor_series_at(&n.series[FIGURE_CPU], 1)));
    CHECK(isnan(monitor_series_at(&n.series[FIGURE_CPU], MONITOR_POINTS)));
    const monitor_period *period = &n.period[FIGURE_CPU];
    CHECK(period->count == (MONITOR_POINTS + 5 + 1) / 2 && period->least == 0 &&
          period->most == MONITOR_POINTS + 4);
    char text[MONITOR_TEXT_MAX];
    static const struct {
        monitor_unit unit;
        double value;
        const char *text;
    } formats[] = {{UNIT_SHARE, 0.9512, "95.1 %"}, {UNIT_NS, 1234, "1.23 us"},
                   {UNIT_NS, 5, "5 ns"},           {UNIT_NS, 999.96e3, "1.00 ms"},
                   {UNIT_BYTES, 1536, "1.50 KiB"}, {UNIT_RATE, 20000, "20 k"},
                   {UNIT_COUNT, 0, "0"},           {UNIT_BYTES_RATE, 3e6, "2.86 MiB/s"}};
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        CHECK(strcmp(monitor_format(text, formats[i].unit, formats[i].value), formats[i].text) ==
              0);
    }
    CHECK(strcmp(monitor_format(text, UNIT_NS, (double)NAN), "-") == 0);
}

static void test_keys(void **state)
{
    (void)state;
    terminal_keys keys = {0};
    static const char bytes[] = "q\033[A\033[1;5Bp\033OPx\033[<0;10;10M2\001\xc3\xa9";
    char got[16];
    size_t count = 0;
    for (size_t i = 0; i < sizeof bytes - 1; i++) {
        char key = terminal_key(&keys, bytes[i]);
        if (key != 0) {
            got[count++] = key;
        }
    }
    CHECK(count == 4 && memcmp(got, "qpx2", 4) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames),
        cmocka_unit_test(test_text_from_outside),
        cmocka_unit_test(test_every_allocation_may_fail),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_grade),
        cmocka_unit_test(test_hostile_answers),
        cmocka_unit_test(test_figures),
        cmocka_unit_test(test_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
