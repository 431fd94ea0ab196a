/*
 * test_profile_import.c -- what others wrote, against what others made of it; round trips through
 * pprof; damage; every allocation that fails.
 *
 * The corpus lies in the folder that BRISK_CORPUS names (../shared/corpus beside the project when it
 * is not set); without it those cases are skipped.
 */
#include <linux/perf_event.h>
#include <zstd.h>

#include <brisk/file.h>

#include "support/check.h"
#include "support/fault_alloc.h"
#include "support/temp_dir.h"

#include <string.h>

#include "observe/profile/export.h"
#include "observe/profile/import.h"
#include "observe/profile/tally.h"

#define BYTES(text) ((prof_bytes){(const unsigned char *)(text), sizeof(text) - 1, "test"})

static const char *corpus(char path[1024], const char *name)
{
    const char *folder = getenv("BRISK_CORPUS");
    (void)snprintf(path, 1024, "%s/measure/%s", folder != NULL ? folder : "../shared/corpus", name);
    return access(path, R_OK) == 0 ? path : NULL;
}

/* A model as collapsed stacks, for the caller to free. */
static char *collapsed(const prof_model *model, uint32_t flags)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    CHECK_OK(prof_export_collapsed(model, prof_default_type(model), flags, out));
    CHECK(fclose(out) == 0);
    return text;
}

static char *read_whole(const char *path)
{
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    char *text = calloc(1, 1 << 20);
    assert_non_null(text);
    CHECK_U64(fread(text, 1, (1 << 20) - 1, file), >, 0);
    (void)fclose(file);
    return text;
}

static void perf_scripts_collapse_as_the_world_expects(void **state)
{
    (void)state;
    static const char *const names[] = {"perf-cycles-instructions-01", "perf-dd-stacks-01",
                                        "perf-funcab-cmd-01",          "perf-funcab-pid-01",
                                        "perf-js-stacks-01",           "perf-mirageos-stacks-01",
                                        "perf-rust-Yamakaky-dcpu"};
    static const struct {
        const char *name;
        uint32_t flags;
    } ways[] = {
        {"addrs", PROF_COLLAPSE_ADDRESSES}, {"all", PROF_COLLAPSE_KERNEL | PROF_COLLAPSE_JIT},
        {"jit", PROF_COLLAPSE_JIT},         {"kernel", PROF_COLLAPSE_KERNEL},
        {"pid", PROF_COLLAPSE_PID},         {"tid", PROF_COLLAPSE_PID | PROF_COLLAPSE_TID}};
    char path[1024];
    if (corpus(path, "flamegraph") == NULL) {
        skip();
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char name[128];
        prof_model *model = NULL;
        (void)snprintf(name, sizeof name, "flamegraph/%s.txt", names[i]);
        CHECK_OK(prof_import_file(corpus(path, name), NULL, &model, NULL));
        for (size_t w = 0; w < sizeof ways / sizeof ways[0]; w++) {
            (void)snprintf(name, sizeof name, "flamegraph/%s-collapsed-%s.txt", names[i],
                           ways[w].name);
            char *wanted = read_whole(corpus(path, name));
            char *made = collapsed(model, ways[w].flags);
            assert_string_equal(made, wanted);
            free(wanted);
            free(made);
        }
        prof_model_destroy(model);
    }
}

static void a_perf_data_file_is_read(void **state)
{
    (void)state;
    char path[1024];
    prof_model *model = NULL;
    if (corpus(path, "perfdata/sleep.data") == NULL) {
        skip();
    }
    CHECK_OK(prof_import_file(path, NULL, &model, NULL));
    CHECK_U64(model->meta.samples, >, 5);
    CHECK(strcmp(prof_text(model, model->threads.items[model->samples.items[0].thread].comm), "") !=
          0);
    prof_model_destroy(model);
}

/* The file with its records as `perf record -z` has them: zstd in pieces that end anywhere. */
static unsigned char *compressed_file(const unsigned char *file, size_t *size, size_t piece,
                                      uint32_t type)
{
    uint64_t at;
    uint64_t length;
    memcpy(&at, file + 40, 8);
    memcpy(&length, file + 48, 8);
    size_t bound = ZSTD_compressBound((size_t)length);
    unsigned char *packed = malloc(bound);
    unsigned char *made = malloc((size_t)at + bound * 40 + 64);
    CHECK(packed != NULL && made != NULL);
    size_t whole = ZSTD_compress(packed, bound, file + at, (size_t)length, 3);
    CHECK(!ZSTD_isError(whole));
    memcpy(made, file, (size_t)at);
    size_t used = (size_t)at;
    for (size_t done = 0; done < whole;) {
        size_t part = whole - done < piece ? whole - done : piece;
        size_t extra = type == 83 ? 8 : 0;
        struct perf_event_header head = {.type = type,
                                         .size = (uint16_t)(sizeof head + extra + part + extra)};
        uint64_t real = part;
        memcpy(made + used, &head, sizeof head);
        memcpy(made + used + sizeof head, &real, extra);
        memcpy(made + used + sizeof head + extra, packed + done, part);
        memset(made + used + sizeof head + extra + part, 0xee, extra); /* padding */
        used += head.size;
        done += part;
    }
    length = used - at;
    memcpy(made + 48, &length, 8);
    *size = used;
    free(packed);
    return made;
}

static void compressed_perf_data_is_read(void **state)
{
    (void)state;
    static const struct {
        size_t piece;
        uint32_t type;
    } cases[] = {{5, 81}, {100, 81}, {60000, 81}, {100, 83}};
    char path[1024];
    prof_model *plain = NULL;
    brisk_file_view view;
    if (corpus(path, "perfdata/sleep.data") == NULL) {
        skip();
    }
    CHECK_OK(prof_import_file(path, NULL, &plain, NULL));
    CHECK_OK(brisk_file_view_open(path, 1 << 30, &view, NULL));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t size;
        prof_model *model = NULL;
        brisk_errinfo info = {0};
        unsigned char *made = compressed_file(view.data, &size, cases[i].piece, cases[i].type);
        prof_bytes bytes = {.name = "z", .data = made, .size = size};
        CHECK_OK(prof_import_perf_data(bytes, false, NULL, &model, &info));
        CHECK_U64(model->meta.samples, ==, plain->meta.samples);
        CHECK_U64(model->meta.duration_ns, ==, plain->meta.duration_ns);
        prof_model_destroy(model);
        model = NULL;
        uint64_t at;
        uint64_t length;
        memcpy(&at, made + 40, 8);
        made[at + 8 + (cases[i].type == 83 ? 8 : 0)] ^= 0xff; /* no zstd any more */
        CHECK(prof_import_perf_data(bytes, false, NULL, &model, &info) == BRISK_ERR_CORRUPT);
        CHECK(strstr(info.text, "zstd") != NULL && model == NULL);
        made[at + 8 + (cases[i].type == 83 ? 8 : 0)] ^= 0xff;
        struct perf_event_header head;
        memcpy(&head, made + at, sizeof head);
        length = head.size; /* the stream's beginning only */
        memcpy(made + 48, &length, 8);
        brisk_err err = prof_import_perf_data(bytes, false, NULL, &model, &info);
        CHECK(err == BRISK_OK || err == BRISK_ERR_CORRUPT || err == BRISK_ERR_NOT_FOUND);
        prof_model_destroy(model);
        free(made);
    }
    brisk_file_view_close(&view);
    prof_model_destroy(plain);
}

static void gperftools_profiles_are_read(void **state)
{
    (void)state;
    char path[1024];
    prof_model *model = NULL;
    if (corpus(path, "pprof/cppbench.cpu") == NULL) {
        skip();
    }
    CHECK_OK(prof_import_file(path, NULL, &model, NULL));
    CHECK_U64(model->meta.samples, ==, 712); /* 7.12 s at 100 Hz, which pprof's own tests print */
    prof_model_destroy(model);
}

/* --- formats -------------------------------------------------------------------------------- */

static const char stacks[] = "main;work;inner 70\nmain;work;other stuff_[k] 30\nmain 1\n";

static prof_model *small(void)
{
    prof_model *model = NULL;
    CHECK_OK(prof_import(BYTES(stacks), NULL, &model, NULL));
    return model;
}

static void collapsed_stacks_come_back_as_they_were(void **state)
{
    (void)state;
    prof_model *model = small();
    char *text = collapsed(model, PROF_COLLAPSE_KERNEL);
    assert_string_equal(text, "main 1\nmain;work;inner 70\nmain;work;other stuff_[k] 30\n");
    free(text);
    prof_model_destroy(model);
}

static void rich(prof_model *model)
{
    uint32_t cpu = prof_type_of(model, "cpu", "nanoseconds");
    uint32_t wait = prof_type_of(model, "off-cpu", "nanoseconds");
    uint32_t thread = prof_thread_of(model, 12, 13, "wor ker");
    prof_frame main_of = {.name = prof_text_of(model, "main"),
                          .file = prof_text_of(model, "/src/a.c"),
                          .module = prof_text_of(model, "/bin/a"),
                          .line = 10};
    prof_frame host = main_of;
    host.name = prof_text_of(model, "host");
    prof_frame inlined = main_of;
    inlined.name = prof_text_of(model, "inlined");
    inlined.flags = PROF_FRAME_INLINED;
    prof_frame unknown = {.name = prof_text_of(model, "[b.so]"),
                          .module = prof_text_of(model, "/lib/b.so"),
                          .flags = PROF_FRAME_UNKNOWN,
                          .address = 0x1234};
    uint32_t at = prof_stack_of(model, 0, prof_frame_of(model, &main_of));
    at = prof_stack_of(model, at, prof_frame_of(model, &host));
    uint32_t deep = prof_stack_of(model, at, prof_frame_of(model, &inlined));
    prof_sample_add(model, deep, thread, cpu, 1000);
    prof_sample_add(model, at, thread, wait, 77);
    at = prof_stack_of(model, at, prof_frame_of(model, &unknown));
    prof_sample_add(model, at, thread, cpu, 5);
    model->meta.command = prof_text_of(model, "a --b");
    model->meta.samples = 3;
    model->meta.lost = 1;
    model->meta.cpu_ns = 1005;
    model->meta.duration_ns = 2000;
    model->meta.period = 10;
    model->meta.default_type = cpu;
    prof_note(model, "a note");
}

static void a_profile_that_was_saved_is_the_one_that_was_made(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    const char *path = temp_dir_path(dir, "a.pb.gz");
    prof_model *model = NULL;
    prof_model *back = NULL;
    CHECK_OK(prof_model_create(NULL, &model));
    rich(model);
    FILE *out = fopen(path, "we");
    assert_non_null(out);
    CHECK_OK(prof_export_pprof(model, out));
    CHECK(fclose(out) == 0);
    CHECK_OK(prof_import_file(path, NULL, &back, NULL));
    char *a = collapsed(model, PROF_COLLAPSE_PID | PROF_COLLAPSE_TID | PROF_COLLAPSE_ADDRESSES);
    char *b = collapsed(back, PROF_COLLAPSE_PID | PROF_COLLAPSE_TID | PROF_COLLAPSE_ADDRESSES);
    assert_string_equal(a, b);
    CHECK(strstr(a, "wor_ker-12/13;main;host;[b.so <1234>] 5\n") != NULL);
    CHECK_U64(back->meta.samples, ==, 3);
    CHECK_U64(back->meta.lost, ==, 1);
    CHECK_U64(back->meta.duration_ns, ==, 2000);
    CHECK(strcmp(prof_text(back, back->meta.command), "a --b") == 0);
    CHECK(back->meta.note_count == 1);
    bool inlined = false;
    for (size_t i = 0; i < back->frames.count; i++) {
        const prof_frame *f = &back->frames.items[i];
        inlined |= strcmp(prof_text(back, f->name), "inlined") == 0 &&
                   (f->flags & PROF_FRAME_INLINED) != 0 && f->line == 10;
    }
    CHECK(inlined);
    free(a);
    free(b);
    prof_model_destroy(model);
    prof_model_destroy(back);
}

/*
 * A location of a megabyte (of fields that nobody knows), and 200,000 samples of six bytes that have it: read again for
 * each, it took longer than a test may.
 */
static void a_large_location_is_read_once(void **state)
{
    (void)state;
    enum { PADDING = 1 << 20, SAMPLES = 200000 };
    static const unsigned char type[] = {0x0a, 4, 0x08, 1, 0x10, 2}; /* cpu, count */
    static const unsigned char strings[] = {0x32, 0, 0x32, 1, 'c', 0x32, 1, 'n', 0x32, 1, 'f'};
    static const unsigned char function[] = {0x2a, 4, 0x08, 1, 0x10, 3};
    static const unsigned char location[] = {0x22, 0x86, 0x80, 0x40, 0x08, 1, 0x22, 2, 0x08, 1};
    static const unsigned char sample[] = {0x12, 4, 0x08, 1, 0x10, 1};
    unsigned char *bytes = malloc(PADDING + SAMPLES * sizeof sample + 64);
    assert_non_null(bytes);
    size_t at = 0;
    memcpy(bytes + at, type, sizeof type);
    at += sizeof type;
    memcpy(bytes + at, strings, sizeof strings);
    at += sizeof strings;
    memcpy(bytes + at, function, sizeof function);
    at += sizeof function;
    memcpy(bytes + at, location, sizeof location);
    at += sizeof location;
    for (size_t i = 0; i < PADDING / 2; i++) { /* field 15, 0 */
        bytes[at++] = 0x78;
        bytes[at++] = 0;
    }
    for (size_t i = 0; i < SAMPLES; i++) {
        memcpy(bytes + at, sample, sizeof sample);
        at += sizeof sample;
    }
    prof_model *model = NULL;
    CHECK_OK(prof_import((prof_bytes){bytes, at, "test"}, NULL, &model, NULL));
    char *text = collapsed(model, 0);
    assert_string_equal(text, "f 200000\n");
    free(text);
    free(bytes);
    prof_model_destroy(model);
}

static void every_format_is_written(void **state)
{
    (void)state;
    prof_model *model = NULL;
    CHECK_OK(prof_model_create(NULL, &model));
    rich(model);
    for (int f = 0; f < (int)PROF_FORMAT_COUNT; f++) {
        char *text = NULL;
        size_t size = 0;
        FILE *out = open_memstream(&text, &size);
        assert_non_null(out);
        CHECK_OK(prof_export(model, (prof_format)f, 0, out));
        CHECK(fclose(out) == 0);
        CHECK_U64(size, >, 20);
        free(text);
    }
    prof_model_destroy(model);
}

/* 120,000 threads of one sample each: 43 billion steps when each thread looks at all samples. */
static void many_threads_are_written(void **state)
{
    (void)state;
    enum { THREADS = 120000 };
    prof_model *model = NULL;
    CHECK_OK(prof_model_create(NULL, &model));
    uint32_t type = prof_type_of(model, "cpu", "nanoseconds");
    prof_frame frame = {.name = prof_text_of(model, "f")};
    uint32_t stack = prof_stack_of(model, 0, prof_frame_of(model, &frame));
    for (uint32_t i = 0; i < THREADS; i++) {
        prof_sample_add(model, stack, prof_thread_of(model, 1, i + 1, "t"), type, 5);
    }
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    CHECK_OK(prof_export(model, PROF_FORMAT_SPEEDSCOPE, type, out));
    CHECK(fclose(out) == 0);
    size_t found = 0;
    static const char word[] = "\"endValue\"";
    for (const char *at = text; at != NULL;
         found += at != NULL) { /* strstr would measure the rest each time */
        at = memmem(at, size - (size_t)(at - text), word, sizeof word - 1);
        at = at != NULL ? at + 1 : NULL;
    }
    CHECK_U64(found, ==, THREADS);
    free(text);
    prof_model_destroy(model);
}

/* No name can end the script that holds the data. */
static void a_name_cannot_leave_the_page(void **state)
{
    (void)state;
    prof_model *model = NULL;
    CHECK_OK(prof_import(BYTES("</script><script>alert(1)</script>;b 1\n"), NULL, &model, NULL));
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    CHECK_OK(prof_export_html(model, NULL, 0, out));
    CHECK(fclose(out) == 0);
    CHECK(strstr(text, "alert(1)") != NULL);
    CHECK(strstr(text, "</script><script>alert") == NULL);
    CHECK(strstr(text, "\\u003c/script>\\u003cscript>alert(1)") != NULL);
    free(text);
    prof_model_destroy(model);
}

/* --- damage --------------------------------------------------------------------------------- */

static void refused(prof_bytes bytes, const char *words)
{
    prof_model *model = NULL;
    brisk_errinfo info = {.text = ""};
    brisk_err err = prof_import(bytes, NULL, &model, &info);
    CHECK(err == BRISK_ERR_CORRUPT || err == BRISK_ERR_UNSUPPORTED || err == BRISK_ERR_LIMIT);
    if (strstr(info.text, words) == NULL) {
        fail_msg("'%s' does not say '%s'", info.text, words);
    }
}

static void errors_name_the_place(void **state)
{
    (void)state;
    refused(BYTES("a;b 1\nno value\n"), "test:2: no value");
    refused(BYTES("a;b 1\nc 99999999999999999999999\n"), "test:2: no value");
    refused(BYTES("comm 1 2.0: 1 cycles:\n\t zz foo (bar)\n\n"), "test:2: neither");
    refused(BYTES(""), "empty");
    refused(BYTES("PERFILE2\x10\0\0\0\0\0\0\0"), "pipe");
    refused(BYTES("PERFILE2\x68\0\0\0\0\0\0\0\xff\xff"), "no head");
    refused(BYTES("\x12\xff\xff\xff\xff\x0f"), "damaged field at offset 0");
    refused(BYTES("\x1f\x8b\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xff\xff\xff\xff"), "expands to");
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    static const char script[] = "a b 1/2 [000] 3.4: 5 cycles:\n\t 10 f+0x1 (/bin/x)\n\t 20 "
                                 "[unknown] (/bin/y)\n\n";
    const prof_bytes inputs[] = {BYTES(stacks), BYTES(script)};
    for (size_t i = 0; i < 2; i++) {
        brisk_err err = BRISK_ERR_NOMEM;
        for (uint64_t n = 0; err != BRISK_OK; n++) {
            fault_alloc fault;
            prof_model *model = NULL;
            fault_alloc_init(&fault, n);
            err = prof_import(inputs[i], &fault.base, &model, NULL);
            if (err == BRISK_OK) {
                FILE *out = fopen("/dev/null", "we");
                assert_non_null(out);
                for (int f = 0; f < (int)PROF_FORMAT_COUNT && err == BRISK_OK; f++) {
                    err = prof_export(model, (prof_format)f, 0, out);
                }
                (void)fclose(out);
            }
            CHECK(err == BRISK_OK || err == BRISK_ERR_NOMEM);
            prof_model_destroy(model);
            CHECK_U64(fault.bytes_held, ==, 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(perf_scripts_collapse_as_the_world_expects),
        cmocka_unit_test(a_perf_data_file_is_read),
        cmocka_unit_test(compressed_perf_data_is_read),
        cmocka_unit_test(gperftools_profiles_are_read),
        cmocka_unit_test(collapsed_stacks_come_back_as_they_were),
        cmocka_unit_test(a_profile_that_was_saved_is_the_one_that_was_made),
        cmocka_unit_test(a_large_location_is_read_once),
        cmocka_unit_test(every_format_is_written),
        cmocka_unit_test(many_threads_are_written),
        cmocka_unit_test(a_name_cannot_leave_the_page),
        cmocka_unit_test(errors_name_the_place),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
