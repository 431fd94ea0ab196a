/*
 * test_trace.c -- proves <brisk/trace.h>: spans, parents, times, the full table, spans from several
 * threads, and both forms of output; the Chrome form is read back by a JSON parser (python3).
 */
#include <stdatomic.h>
#include <string.h>

#include <brisk/trace.h>

#include "base/cleanup.h"
#include "base/thread.h"
#include "support/check.h"
#include "support/fake_clock.h"
#include "support/fault_alloc.h"
#include "support/temp_dir.h"

BRISK_DEFINE_CLEANUP(brisk_trace, brisk_trace_destroy)

typedef struct text_sink {
    char text[65536];
    size_t size;
    uint64_t fail_after; /* writes; 0: never */
} text_sink;

static brisk_err sink_write(void *ctx, const char *data, size_t size)
{
    text_sink *sink = ctx;
    if (sink->fail_after != 0 && --sink->fail_after == 0) {
        return BRISK_ERR_FULL;
    }
    CHECK_U64(size, <, sizeof sink->text - sink->size);
    memcpy(sink->text + sink->size, data, size);
    sink->size += size;
    sink->text[sink->size] = '\0';
    return BRISK_OK;
}

static brisk_out sink_out(text_sink *sink)
{
    return (brisk_out){.write = sink_write, .ctx = sink};
}

static void test_a_span_keeps_what_it_was_told(void **state)
{
    (void)state;
    fake_clock clock;
    fake_clock_init(&clock, 1000);
    BRISK_CLEANUP(brisk_trace_destroy) brisk_trace *trace = NULL;
    CHECK_OK(brisk_trace_create(4, &clock.base, NULL, &trace));
    CHECK_U64(brisk_trace_count(trace), ==, 0);
    uint32_t job = brisk_trace_begin(trace, "job", BRISK_TRACE_NONE, -1);
    fake_clock_advance(&clock, 500);
    uint32_t stage = brisk_trace_begin(trace, "rom_loading", job, 3);
    fake_clock_advance(&clock, 70);
    brisk_trace_add_bytes(trace, stage, 40);
    brisk_trace_add_bytes(trace, stage, 2);
    CHECK_U64(brisk_trace_at(trace, 1).end_ns, ==, 0);
    brisk_trace_end(trace, stage);
    fake_clock_advance(&clock, 1);
    brisk_trace_end(trace, stage); /* ignored */
    brisk_trace_end(trace, job);
    brisk_span span = brisk_trace_at(trace, 1);
    assert_string_equal(span.name, "rom_loading");
    CHECK_U64(span.id, ==, stage);
    CHECK_U64(span.parent, ==, job);
    CHECK(span.worker == 3);
    CHECK_U64(span.start_ns, ==, 1500);
    CHECK_U64(span.end_ns, ==, 1570);
    CHECK_U64(span.bytes, ==, 42);
    CHECK_U64(span.thread, ==, brisk_trace_at(trace, 0).thread);
    CHECK_U64(span.thread, >, 0);
    CHECK_U64(brisk_trace_at(trace, 0).end_ns, ==, 1571);
    CHECK_U64(brisk_trace_count(trace), ==, 2);
    CHECK_U64(brisk_trace_dropped(trace), ==, 0);
}

static void test_odd_input_is_made_harmless(void **state)
{
    (void)state;
    fake_clock clock;
    fake_clock_init(&clock, 0);
    CHECK_U64(brisk_trace_begin(NULL, "x", 0, 0), ==, BRISK_TRACE_NONE);
    brisk_trace_end(NULL, 1);
    brisk_trace_add_bytes(NULL, 1, 1);
    brisk_trace_destroy(NULL);

    BRISK_CLEANUP(brisk_trace_destroy) brisk_trace *trace = NULL;
    CHECK_OK(brisk_trace_create(0, &clock.base, NULL, &trace));
    uint32_t own_parent = brisk_trace_begin(trace, "own", 1, 0); /* would be its own parent */
    CHECK_U64(brisk_trace_at(trace, own_parent - 1).parent, ==, BRISK_TRACE_NONE);
    brisk_trace_end(trace, own_parent);
    CHECK_U64(brisk_trace_at(trace, 0).end_ns, !=, 0); /* ended, though the clock stands at 0 */
    brisk_trace_end(trace, BRISK_TRACE_NONE);
    brisk_trace_add_bytes(trace, BRISK_TRACE_NONE, 5);

    char name[200];
    memset(name, 'n', sizeof name);
    name[sizeof name - 1] = '\0';
    CHECK_U64(brisk_trace_begin(trace, name, 0, 0), ==, 2);
    CHECK_U64(strlen(brisk_trace_at(trace, 1).name), ==, BRISK_TRACE_NAME_MAX - 1);
    memcpy(name + 61, "\xe2\x82\xac", 3); /* a euro sign across the limit goes as a whole */
    CHECK_U64(brisk_trace_begin(trace, name, 0, 0), ==, 3);
    CHECK_U64(strlen(brisk_trace_at(trace, 2).name), ==, 61);
    name[63] = '\0';
    CHECK_U64(brisk_trace_begin(trace, name, 0, 0), ==, 4); /* exactly 63 bytes fit */
    CHECK_U64(strlen(brisk_trace_at(trace, 3).name), ==, 63);
}

static void test_a_full_trace_counts_what_it_drops(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_trace_destroy) brisk_trace *trace = NULL;
    CHECK_OK(brisk_trace_create(3, NULL, NULL, &trace));
    for (uint32_t i = 0; i < 10; i++) {
        uint32_t span = brisk_trace_begin(trace, "x", 0, 0);
        CHECK_U64(span, ==, i < 3 ? i + 1 : BRISK_TRACE_NONE);
        brisk_trace_end(trace, span);
    }
    CHECK_U64(brisk_trace_count(trace), ==, 3);
    CHECK_U64(brisk_trace_dropped(trace), ==, 7);
    text_sink sink = {0};
    CHECK_OK(brisk_trace_write_text(trace, sink_out(&sink)));
    CHECK(strstr(sink.text, "7 further spans dropped") != NULL);
}

static void test_minor_spans_leave_room(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_trace_destroy) brisk_trace *trace = NULL;
    CHECK_OK(brisk_trace_create(8, NULL, NULL, &trace));
    for (uint32_t i = 0; i < 10; i++) {
        CHECK_U64(brisk_trace_begin_minor(trace, "item", 0, 0, 3), ==, i < 5 ? i + 1 : 0);
    }
    CHECK_U64(brisk_trace_dropped(trace), ==, 5);
    for (uint32_t i = 5; i < 8; i++) {
        CHECK_U64(brisk_trace_begin(trace, "stage", 0, 0), ==, i + 1);
    }
    CHECK_U64(brisk_trace_begin(trace, "stage", 0, 0), ==, BRISK_TRACE_NONE);
    CHECK_U64(brisk_trace_begin_minor(trace, "item", 0, 0, 3), ==, BRISK_TRACE_NONE);
    CHECK_U64(brisk_trace_begin_minor(trace, "item", 0, 0, 9), ==, BRISK_TRACE_NONE);
    CHECK_U64(brisk_trace_begin_minor(NULL, "item", 0, 0, 0), ==, BRISK_TRACE_NONE);
    CHECK_U64(brisk_trace_count(trace), ==, 8);
    CHECK_U64(brisk_trace_dropped(trace), ==, 8);
}

enum { THREADS = 4, SPANS_EACH = 500 };

static void trace_many(void *ctx)
{
    brisk_trace *trace = ctx;
    for (int i = 0; i < SPANS_EACH; i++) {
        uint32_t outer = brisk_trace_begin(trace, "outer", 0, 0);
        uint32_t inner = brisk_trace_begin(trace, "inner", outer, 0);
        brisk_trace_add_bytes(trace, 1, 1); /* all of them on one span */
        brisk_trace_end(trace, inner);
        brisk_trace_end(trace, outer);
    }
}

static void test_threads_share_one_trace(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_trace_destroy) brisk_trace *trace = NULL;
    CHECK_OK(brisk_trace_create(2 * THREADS * SPANS_EACH + 1, NULL, NULL, &trace));
    (void)brisk_trace_begin(trace, "first", 0, -1);
    brisk_thread threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        brisk_thread_opts opts = {.run = trace_many, .ctx = trace};
        CHECK_OK(brisk_thread_start(&threads[i], &opts));
    }
    for (int i = 0; i < THREADS; i++) {
        brisk_thread_join(&threads[i]);
    }
    uint32_t count = brisk_trace_count(trace);
    CHECK_U64(count, ==, 2 * THREADS * SPANS_EACH + 1);
    CHECK_U64(brisk_trace_at(trace, 0).bytes, ==, THREADS * SPANS_EACH);
    for (uint32_t i = 1; i < count; i++) {
        brisk_span span = brisk_trace_at(trace, i);
        CHECK_U64(span.id, ==, i + 1);
        CHECK_U64(span.end_ns, >=, span.start_ns);
        if (strcmp(span.name, "inner") == 0) {
            brisk_span parent = brisk_trace_at(trace, span.parent - 1);
            CHECK_U64(parent.thread, ==, span.thread);
            CHECK_U64(parent.start_ns, <=, span.start_ns);
            CHECK_U64(parent.end_ns, >=, span.end_ns);
        }
    }
}

/* job > (load, apply > part) with `part` begun before `load` ends, and a name full of traps. */
static brisk_trace *example_trace(fake_clock *clock, const brisk_alloc *alloc)
{
    brisk_trace *trace = NULL;
    CHECK_OK(brisk_trace_create(16, &clock->base, alloc, &trace));
    uint32_t job = brisk_trace_begin(trace, "job", 0, -1);
    fake_clock_advance(clock, 1000000);
    uint32_t load = brisk_trace_begin(trace, "load", job, -1);
    uint32_t apply = brisk_trace_begin(trace, "apply", job, 0);
    uint32_t part = brisk_trace_begin(trace, "a\"b\\c\n\x1b\xff", apply, 1);
    fake_clock_advance(clock, 2500000);
    uint32_t late = brisk_trace_begin(trace, "late", load, -1);
    brisk_trace_add_bytes(trace, part, 4096);
    brisk_trace_end(trace, part);
    brisk_trace_end(trace, late);
    brisk_trace_end(trace, load);
    brisk_trace_end(trace, job); /* apply still runs */
    return trace;
}

static const char EXPECTED_TEXT[] =
    "name             start ms           ms worker          bytes\n"
    "job                 0.000        3.500      -              0\n"
    "  load              1.000        2.500      -              0\n"
    "    late            3.500        0.000      -              0\n"
    "  apply             1.000      running      0              0\n"
    "    a\"b\\c??\xff        1.000        2.500      1           4096\n";

static void test_text_is_a_tree(void **state)
{
    (void)state;
    fake_clock clock;
    fake_clock_init(&clock, 77);
    BRISK_CLEANUP(brisk_trace_destroy) brisk_trace *trace = example_trace(&clock, NULL);
    text_sink sink = {0};
    CHECK_OK(brisk_trace_write_text(trace, sink_out(&sink)));
    assert_string_equal(sink.text, EXPECTED_TEXT);
}

static void test_text_needs_no_memory(void **state)
{
    (void)state;
    fake_clock clock;
    fake_clock_init(&clock, 77);
    fault_alloc fault;
    fault_alloc_init(&fault, 1); /* the trace itself; then none */
    brisk_trace *trace = example_trace(&clock, &fault.base);
    text_sink sink = {0};
    CHECK_OK(brisk_trace_write_text(trace, sink_out(&sink)));
    CHECK_U64(sink.size, ==, strlen(EXPECTED_TEXT)); /* the same lines in order of begin */
    CHECK(strstr(sink.text, "  apply ") < strstr(sink.text, "    late "));
    brisk_trace_destroy(trace);
    CHECK_U64(fault.bytes_held, ==, 0);
    fault_alloc_init(&fault, 0);
    trace = NULL;
    CHECK(brisk_trace_create(0, NULL, &fault.base, &trace) == BRISK_ERR_NOMEM);
    CHECK(trace == NULL);
}

static void test_output_errors_are_passed_on(void **state)
{
    (void)state;
    fake_clock clock;
    fake_clock_init(&clock, 0);
    BRISK_CLEANUP(brisk_trace_destroy) brisk_trace *trace = example_trace(&clock, NULL);
    for (uint64_t n = 1; n <= 6; n++) {
        text_sink sink = {.fail_after = n};
        CHECK(brisk_trace_write_text(trace, sink_out(&sink)) == BRISK_ERR_FULL);
        sink = (text_sink){.fail_after = n};
        CHECK(brisk_trace_write_chrome(trace, sink_out(&sink)) == BRISK_ERR_FULL);
    }
}

static const char PARSE[] =
    "import json, sys\n"
    "d = json.load(open(sys.argv[1], encoding='utf-8'))\n"
    "ev = d['traceEvents']\n"
    "spans = {e['args']['id']: e for e in ev if e['ph'] in 'XB'}\n"
    "names = [e for e in ev if e['ph'] == 'M']\n"
    "assert len(spans) == 5 and len(names) == 1 and d['otherData']['dropped'] == 0, ev\n"
    "assert spans[1]['name'] == 'job' and spans[1]['ts'] == 0 and spans[1]['dur'] == 3500\n"
    "part = spans[4]\n"
    "assert part['name'] == 'a\"b\\\\c\\n\\x1b\\ufffd', ascii(part)\n"
    "assert part['ts'] == 1000 and part['dur'] == 2500 and part['pid'] == 1, part\n"
    "assert part['args'] == {'id': 4, 'parent': 3, 'worker': 1, 'bytes': 4096}, part\n"
    "assert spans[3]['ph'] == 'B' and 'dur' not in spans[3]\n"
    "assert len({e['tid'] for e in ev}) == 1\n";

static void test_chrome_json_parses(void **state)
{
    (void)state;
    if (system("python3 -c pass 2>/dev/null") != 0) {
        print_message("no python3: the JSON is not read back\n");
        skip();
    }
    fake_clock clock;
    fake_clock_init(&clock, 77);
    BRISK_CLEANUP(brisk_trace_destroy) brisk_trace *trace = example_trace(&clock, NULL);
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    const char *json = temp_dir_path(dir, "trace.json");
    const char *script = temp_dir_path(dir, "parse.py");
    temp_write_text(script, PARSE);
    FILE *file = fopen(json, "w");
    assert_non_null(file);
    CHECK_OK(brisk_trace_write_chrome(trace, brisk_out_file(file)));
    CHECK(fclose(file) == 0);
    char command[2 * PATH_MAX + 32];
    (void)snprintf(command, sizeof command, "python3 '%s' '%s'", script, json);
    CHECK(system(command) == 0);
}

static void test_an_empty_trace_prints(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_trace_destroy) brisk_trace *trace = NULL;
    CHECK_OK(brisk_trace_create(1, NULL, NULL, &trace));
    text_sink sink = {0};
    CHECK_OK(brisk_trace_write_text(trace, sink_out(&sink)));
    CHECK(strchr(sink.text, '\n') == sink.text + sink.size - 1);
    sink = (text_sink){0};
    CHECK_OK(brisk_trace_write_chrome(trace, sink_out(&sink)));
    CHECK(strstr(sink.text, "\"traceEvents\":[]") != NULL);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(test_a_span_keeps_what_it_was_told),
        cmocka_unit_test(test_odd_input_is_made_harmless),
        cmocka_unit_test(test_a_full_trace_counts_what_it_drops),
        cmocka_unit_test(test_minor_spans_leave_room),
        cmocka_unit_test(test_threads_share_one_trace),
        cmocka_unit_test(test_text_is_a_tree),
        cmocka_unit_test(test_text_needs_no_memory),
        cmocka_unit_test(test_output_errors_are_passed_on),
        cmocka_unit_test(test_chrome_json_parses),
        cmocka_unit_test(test_an_empty_trace_prints),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
