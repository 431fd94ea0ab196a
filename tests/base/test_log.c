/* The log: levels, the limit per format, cut and cleaned lines, several threads, nothing mixed. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <brisk/log.h>

#include "base/thread.h"
#include "support/check.h"
#include "support/child.h"
#include "support/fake_clock.h"
#include "support/temp_dir.h"

typedef struct sink_state {
    int count;
    brisk_log_level level;
    char area[32];
    char line[2048];
} sink_state;

static void sink(void *ctx, brisk_log_level level, const char *area, const char *line)
{
    sink_state *s = ctx;
    s->count++;
    s->level = level;
    (void)snprintf(s->area, sizeof s->area, "%s", area);
    (void)snprintf(s->line, sizeof s->line, "%s", line);
}

static int reset(void **state)
{
    (void)state;
    brisk_log_set_sink(NULL, NULL, NULL);
    brisk_log_set_level(BRISK_LOG_WARNING);
    return 0;
}

static void test_levels(void **state)
{
    (void)state;
    sink_state s = {0};
    brisk_log_set_sink(sink, &s, NULL);
    brisk_log(BRISK_LOG_INFO, "cache", "quiet");
    CHECK(s.count == 0);
    brisk_log(BRISK_LOG_WARNING, "cache", "segment %d dropped", 7);
    CHECK(s.count == 1 && s.level == BRISK_LOG_WARNING);
    assert_string_equal(s.area, "cache");
    assert_string_equal(s.line, "segment 7 dropped");
    brisk_log_set_level(BRISK_LOG_DEBUG);
    brisk_log(BRISK_LOG_DEBUG, "exec", "x");
    CHECK(s.count == 2);
    brisk_log_set_level(BRISK_LOG_ERROR);
    brisk_log(BRISK_LOG_WARNING, "exec", "x");
    CHECK(s.count == 2);
}

static void log_lines(int count)
{
    for (int i = 0; i < count; i++) {
        brisk_log(BRISK_LOG_ERROR, "a", "line %d", i);
    }
}

static void test_burst_is_limited(void **state)
{
    (void)state;
    fake_clock clock;
    fake_clock_init(&clock, 0);
    sink_state s = {0};
    brisk_log_set_sink(sink, &s, &clock.base);
    log_lines(100);
    CHECK_U64(s.count, ==, BRISK_LOG_BURST);
    assert_string_equal(s.line, "line 9");
    brisk_log(BRISK_LOG_ERROR, "a", "another");
    CHECK_U64(s.count, ==, BRISK_LOG_BURST + 1);
    fake_clock_advance(&clock, FAKE_CLOCK_SECOND - 1);
    log_lines(100);
    CHECK_U64(s.count, ==, BRISK_LOG_BURST + 1);
    fake_clock_advance(&clock, 1);
    log_lines(100);
    CHECK_U64(s.count, ==, 2 * BRISK_LOG_BURST + 1);
}

/* The same call site again after a pause, which tells what was left out. */
static void test_left_out_lines_are_counted(void **state)
{
    (void)state;
    fake_clock clock;
    fake_clock_init(&clock, 77);
    sink_state s = {0};
    brisk_log_set_sink(sink, &s, &clock.base);
    for (int i = 0; i < 17; i++) {
        if (i == 15) {
            fake_clock_advance(&clock, FAKE_CLOCK_SECOND);
        }
        brisk_log(BRISK_LOG_ERROR, "a", "line %d", i);
        if (i == 15) {
            assert_string_equal(s.line, "line 15 (5 like it left out)");
        }
    }
    assert_string_equal(s.line, "line 16");
}

static void test_lines_are_cut_and_clean(void **state)
{
    (void)state;
    sink_state s = {0};
    brisk_log_set_sink(sink, &s, NULL);
    brisk_log(BRISK_LOG_ERROR, "a", "%s", "x\ny\033[2J\x7f\t\xc3\xa9");
    assert_string_equal(s.line, "x?y?[2J??\xc3\xa9");
    static char large[5000];
    memset(large, 'a', sizeof large - 1);
    brisk_log(BRISK_LOG_ERROR, "a", "large %s", large);
    CHECK_U64(strlen(s.line), ==, BRISK_LOG_LINE_MAX - 1);
}

/* What the default sink writes to standard error, seen from outside. */
static int log_to_stderr(void *ctx)
{
    int fd = open(ctx, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || dup2(fd, STDERR_FILENO) < 0) {
        return 1;
    }
    brisk_log_set_sink(NULL, NULL, NULL);
    brisk_log(BRISK_LOG_WARNING, "cache", "no folder");
    static char large[5000];
    memset(large, 'a', sizeof large - 1);
    brisk_log(BRISK_LOG_ERROR, large, "%s", large);
    return 0;
}

static void test_default_sink(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s", temp_dir_path(dir, "stderr"));
    CHECK(child_run(log_to_stderr, path) == 0);
    char text[4096] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = read(fd, text, sizeof text - 1);
    (void)close(fd);
    static const char FIRST[] = "brisk: cache: no folder\n";
    assert_memory_equal(text, FIRST, sizeof FIRST - 1);
    CHECK(size > 1000 && text[size - 1] == '\n');
    CHECK(memchr(text + sizeof FIRST - 1, '\n', (size_t)size) == text + size - 1);
}

static void log_much(void *ctx)
{
    (void)ctx;
    for (int i = 0; i < 2000; i++) {
        brisk_log(BRISK_LOG_ERROR, "a", "from a thread %d", i);
        brisk_log(BRISK_LOG_INFO, "a", "never");
    }
}

static void test_several_threads(void **state)
{
    (void)state;
    enum { THREADS = 4 };
    fake_clock clock;
    fake_clock_init(&clock, 0);
    sink_state s = {0};
    brisk_log_set_sink(sink, &s, &clock.base);
    brisk_thread threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        CHECK_OK(brisk_thread_start(&threads[i], &(brisk_thread_opts){.run = log_much}));
    }
    brisk_log_set_level(BRISK_LOG_WARNING);
    for (int i = 0; i < THREADS; i++) {
        brisk_thread_join(&threads[i]);
    }
    CHECK_U64(s.count, ==, BRISK_LOG_BURST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_levels, reset),
        cmocka_unit_test_teardown(test_burst_is_limited, reset),
        cmocka_unit_test_teardown(test_left_out_lines_are_counted, reset),
        cmocka_unit_test_teardown(test_lines_are_cut_and_clean, reset),
        cmocka_unit_test_teardown(test_default_sink, reset),
        cmocka_unit_test_teardown(test_several_threads, reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
