/* The workload on an engine in this process: spans, cancellation, deadline, lack of memory. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <brisk/brisk.h>

#include "support/check.h"
#include "support/fault_alloc.h"
#include "workload/rom/apply.h"
#include "workload/rom/place.h"

enum { ROM_SIZE = 1 << 20, PATH_BYTES = 256 };

static char folder[] = "/tmp/brisk-test-XXXXXX";
static char rom_path[PATH_BYTES];
static char mod_path[PATH_BYTES];
static char patch_mod_path[PATH_BYTES];
static char out_path[PATH_BYTES];

static void write_file(char *path, const char *name, const void *data, size_t size)
{
    (void)snprintf(path, PATH_BYTES, "%s/%s", folder, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0);
    CHECK_OK(brisk_file_write_all(fd, data, size));
    (void)close(fd);
}

static int setup(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL) {
        return -1;
    }
    static uint8_t rom[ROM_SIZE];
    uint64_t seed = 11;
    for (int i = 0; i < ROM_SIZE; i++) {
        rom[i] = (uint8_t)check_random(&seed);
    }
    write_file(rom_path, "rom.bin", rom, sizeof rom);
    const char *mod = "mod: m\ncomponents:\n"
                      "  - {name: one, write: {at: 0x10, bytes: 01}}\n"
                      "  - {name: two, write: {at: 0x20, bytes: 02}}\n";
    write_file(mod_path, "m.yaml", mod, strlen(mod));
    char ignored[PATH_BYTES];
    write_file(ignored, "a.ips",
               "PATCH\0\0\x30\0\x01"
               "aEOF",
               14);
    write_file(ignored, "b.ips",
               "PATCH\0\0\x40\0\x01"
               "bEOF",
               14);
    const char *patches = "mod: p\ncomponents:\n"
                          "  - {name: a, patch: {file: a.ips}}\n"
                          "  - {name: b, patch: {file: b.ips}}\n";
    write_file(patch_mod_path, "p.yaml", patches, strlen(patches));
    (void)snprintf(out_path, sizeof out_path, "%s/out.bin", folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    static const char *const NAMES[] = {"rom.bin", "m.yaml", "p.yaml", "a.ips", "b.ips", "out.bin"};
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        char path[PATH_BYTES];
        (void)snprintf(path, sizeof path, "%s/%s", folder, NAMES[i]);
        (void)unlink(path);
    }
    return rmdir(folder);
}

static brisk_engine *make_engine(const brisk_alloc *alloc)
{
    /* Small where it is made again and again: ThreadSanitizer pays for every page. */
    static const char *const settings[] = {"cache.memory.bytes=1MiB"};
    brisk_engine_opts opts = {.no_files = true,
                              .no_disk = true,
                              .settings = settings,
                              .setting_count = alloc != NULL ? 1 : 0,
                              .alloc = alloc};
    brisk_engine *engine = NULL;
    brisk_errinfo info = {0};
    if (brisk_engine_create(&opts, &engine, &info) != BRISK_OK) {
        return NULL;
    }
    if (brisk_engine_register(engine, &rom_workload, &info) != BRISK_OK) {
        brisk_engine_destroy(engine);
        return NULL;
    }
    return engine;
}

static const char *const *mods_of(const char *a, const char *b)
{
    static const char *mods[2];
    mods[0] = a;
    mods[1] = b;
    return mods;
}

static bool out_exists(void)
{
    struct stat st;
    return stat(out_path, &st) == 0;
}

static const brisk_span *find_span(const brisk_trace *trace, const char *name, brisk_span *ret)
{
    for (uint32_t i = 0; i < brisk_trace_count(trace); i++) {
        *ret = brisk_trace_at(trace, i);
        if (strcmp(ret->name, name) == 0) {
            return ret;
        }
    }
    return NULL;
}

static void test_every_component_has_a_span_under_its_stage(void **state)
{
    (void)state;
    brisk_engine *engine = make_engine(NULL);
    CHECK(engine != NULL);
    rom_request request = {.rom_path = rom_path,
                           .mod_paths = mods_of(mod_path, patch_mod_path),
                           .mod_count = 2,
                           .out_path = out_path,
                           .no_sync = true};
    brisk_job *job = NULL;
    CHECK_OK(brisk_job_create(engine, &rom_workload, &request, NULL, &job));
    CHECK_OK(brisk_job_run(job));
    brisk_span stage;
    CHECK(find_span(brisk_job_trace(job), "patch_generation", &stage) != NULL);
    static const char *const UNITS[] = {"m/one", "m/two", "p/a", "p/b"};
    for (size_t i = 0; i < sizeof UNITS / sizeof UNITS[0]; i++) {
        brisk_span span;
        CHECK(find_span(brisk_job_trace(job), UNITS[i], &span) != NULL);
        CHECK_U64(span.parent, ==, stage.id);
        CHECK_U64(span.start_ns, >=, stage.start_ns);
        CHECK_U64(span.end_ns, <=, stage.end_ns);
    }
    const rom_job *result = brisk_job_state(job);
    CHECK_U64(result->merged.count, ==, 4);
    CHECK_U64(result->result.size, ==, ROM_SIZE);
    brisk_job_destroy(job);
    CHECK(out_exists());
    (void)unlink(out_path);
    brisk_engine_destroy(engine);
}

/* The second job is answered from memory, the same request without cache is computed; all agree. */
static void test_an_engine_remembers(void **state)
{
    (void)state;
    brisk_engine *engine = make_engine(NULL);
    CHECK(engine != NULL);
    rom_request request = {.rom_path = rom_path,
                           .mod_paths = mods_of(mod_path, NULL),
                           .mod_count = 1,
                           .out_path = out_path,
                           .no_sync = true};
    uint32_t crc32 = 0;
    for (int round = 0; round < 3; round++) {
        brisk_job_opts opts = {.no_cache = round == 2};
        brisk_job *job = NULL;
        CHECK_OK(brisk_job_create(engine, &rom_workload, &request, &opts, &job));
        CHECK_OK(brisk_job_run(job));
        const char *tier = brisk_job_answered_by(job);
        CHECK((tier != NULL) == (round == 1));
        CHECK(tier == NULL || strcmp(tier, "memory") == 0);
        const rom_job *result = brisk_job_state(job);
        CHECK(round == 0 || result->result.crc32 == crc32);
        crc32 = result->result.crc32;
        brisk_job_destroy(job);
        CHECK(out_exists());
        (void)unlink(out_path);
    }
    brisk_engine_destroy(engine);
}

static brisk_err (*resolve)(brisk_stage_ctx *ctx, void *state);
static const char *changed_path; /* a file that somebody writes to while the job runs, or NULL */
static uint64_t changed_at;

static brisk_err change_and_resolve(brisk_stage_ctx *ctx, void *state)
{
    if (changed_path != NULL) {
        int fd = open(changed_path, O_RDWR);
        CHECK(fd >= 0);
        uint8_t byte = 0;
        CHECK_OK(brisk_file_pread_all(fd, &byte, 1, changed_at));
        byte ^= 1;
        CHECK_OK(brisk_file_pwrite_all(fd, &byte, 1, changed_at));
        (void)close(fd);
    }
    return resolve(ctx, state);
}

/* Bytes that changed between hashing and use must not be remembered under the hash from before. */
static void check_changed_input(const char *path, uint64_t at)
{
    brisk_stage stages[BRISK_STAGES_MAX];
    brisk_workload workload = rom_workload;
    memcpy(stages, rom_workload.stages, rom_workload.stage_count * sizeof *stages);
    assert_string_equal(stages[1].name, "address_resolution");
    resolve = stages[1].run;
    stages[1].run = change_and_resolve;
    workload.stages = stages;
    brisk_engine_opts opts = {.no_files = true, .no_disk = true};
    brisk_engine *engine = NULL;
    CHECK_OK(brisk_engine_create(&opts, &engine, NULL));
    CHECK_OK(brisk_engine_register(engine, &workload, NULL));
    rom_request request = {.rom_path = rom_path,
                           .mod_paths = mods_of(mod_path, patch_mod_path),
                           .mod_count = 2,
                           .out_path = out_path,
                           .no_sync = true};
    uint32_t crcs[3];
    for (int round = 0; round < 3; round++) {
        changed_path = round < 2 ? path : NULL; /* there, back again, left alone */
        changed_at = at;
        brisk_job *job = NULL;
        CHECK_OK(brisk_job_create(engine, &workload, &request, NULL, &job));
        CHECK_OK(brisk_job_run(job));
        CHECK(brisk_job_answered_by(job) == NULL);
        const rom_job *result = brisk_job_state(job);
        crcs[round] = result->result.crc32;
        brisk_job_destroy(job);
        (void)unlink(out_path);
    }
    CHECK(crcs[0] != crcs[1]);
    CHECK_U64(crcs[2], ==, crcs[1]);
    brisk_engine_destroy(engine);
}

static void test_an_input_that_changes_is_not_remembered(void **state)
{
    (void)state;
    check_changed_input(rom_path, 0x1000);
    char path[PATH_BYTES];
    (void)snprintf(path, sizeof path, "%s/b.ips", folder);
    check_changed_input(path, 10); /* the byte that it writes */
}

static void test_cancelled_and_late_jobs_leave_nothing(void **state)
{
    (void)state;
    brisk_engine *engine = make_engine(NULL);
    CHECK(engine != NULL);
    rom_request request = {.rom_path = rom_path,
                           .mod_paths = mods_of(mod_path, NULL),
                           .mod_count = 1,
                           .out_path = out_path};
    brisk_job *job = NULL;
    CHECK_OK(brisk_job_create(engine, &rom_workload, &request, NULL, &job));
    brisk_job_cancel(job);
    assert_int_equal(brisk_job_run(job), BRISK_ERR_CANCELLED);
    brisk_job_destroy(job);
    CHECK(!out_exists());
    brisk_job_opts late = {.deadline_ns = 1};
    CHECK_OK(brisk_job_create(engine, &rom_workload, &request, &late, &job));
    assert_int_equal(brisk_job_run(job), BRISK_ERR_DEADLINE);
    brisk_job_destroy(job);
    CHECK(!out_exists());
    brisk_engine_destroy(engine);
}

static void test_no_mods_and_too_many_are_refused(void **state)
{
    (void)state;
    brisk_engine *engine = make_engine(NULL);
    CHECK(engine != NULL);
    rom_request request = {.rom_path = rom_path, .out_path = out_path};
    brisk_job *job = NULL;
    assert_int_equal(brisk_job_create(engine, &rom_workload, &request, NULL, &job),
                     BRISK_ERR_LIMIT);
    brisk_job_destroy(job);
    job = NULL;
    request.mod_count = ROM_MODS_MAX + 1;
    assert_int_equal(brisk_job_create(engine, &rom_workload, &request, NULL, &job),
                     BRISK_ERR_LIMIT);
    CHECK(strstr(brisk_job_error_text(job), "256") != NULL);
    brisk_job_destroy(job);
    brisk_engine_destroy(engine);
}

/* Whatever allocation of the engine's fails: an error and no file, or the whole file. */
static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    enum { STEPS_MAX = 400 };
    rom_request request = {.rom_path = rom_path,
                           .mod_paths = mods_of(mod_path, NULL),
                           .mod_count = 1,
                           .out_path = out_path,
                           .no_sync = true};
    bool done = false;
    for (uint64_t fail_after = 0; !done && fail_after < STEPS_MAX; fail_after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, fail_after);
        brisk_engine *engine = make_engine(&fault.base);
        if (engine == NULL) {
            CHECK_U64(fault.bytes_held, ==, 0);
            continue;
        }
        brisk_job *job = NULL;
        brisk_job_opts opts = {.no_cache = true};
        brisk_err err = brisk_job_create(engine, &rom_workload, &request, &opts, &job);
        if (err == BRISK_OK) {
            err = brisk_job_run(job);
        }
        CHECK(err == BRISK_OK || err == BRISK_ERR_NOMEM);
        brisk_job_destroy(job);
        CHECK(out_exists() == (err == BRISK_OK));
        brisk_engine_destroy(engine);
        CHECK_U64(fault.bytes_held, ==, 0);
        done = err == BRISK_OK && fault.fail_after < UINT64_MAX / 2; /* nothing failed at all */
        (void)unlink(out_path);
    }
    CHECK(done);
}

static void test_placing_proves_the_bytes(void **state)
{
    (void)state;
    enum { SIZE = 3 << 20 };
    static uint8_t bytes[SIZE];
    uint64_t seed = check_seed();
    for (int i = 0; i < SIZE; i++) {
        bytes[i] = (uint8_t)check_random(&seed);
    }
    brisk_hash128 right = brisk_hash128_of(bytes, SIZE, 0);
    brisk_hash128 wrong = {.lo = right.lo ^ 1, .hi = right.hi};
    char source[PATH_BYTES];
    write_file(source, "out.bin", bytes, SIZE);
    for (int in_memory = 0; in_memory < 2; in_memory++) {
        brisk_value *value = NULL;
        if (in_memory != 0) {
            CHECK_OK(brisk_value_copy(bytes, SIZE, NULL, &value));
        } else {
            CHECK_OK(brisk_value_from_fd(open(source, O_RDONLY), SIZE, NULL, &value));
        }
        for (int bad = 0; bad < 2; bad++) {
            int fd = open(folder, O_TMPFILE | O_RDWR, 0600);
            CHECK(fd >= 0);
            const char *how = NULL;
            brisk_err err = rom_place(value, bad != 0 ? wrong : right, fd, &how);
            assert_int_equal(err, bad != 0 ? BRISK_ERR_CORRUPT : BRISK_OK);
            if (bad == 0) {
                static uint8_t back[SIZE];
                CHECK_OK(brisk_file_pread_all(fd, back, SIZE, 0));
                CHECK(memcmp(back, bytes, SIZE) == 0);
                CHECK(how != NULL);
            }
            (void)close(fd);
        }
        brisk_value_unref(value);
    }
    brisk_value *longer = NULL;
    CHECK_OK(brisk_value_from_fd(open(source, O_RDONLY), SIZE + 1, NULL, &longer));
    int fd = open(folder, O_TMPFILE | O_RDWR, 0600);
    const char *how = NULL;
    assert_int_equal(rom_place(longer, right, fd, &how), BRISK_ERR_CORRUPT);
    (void)close(fd);
    brisk_value_unref(longer);
    (void)unlink(source);
}

static void test_declining_has_a_margin(void **state)
{
    (void)state;
    enum { SIZE = 2 << 20 };
    int fd = open(folder, O_TMPFILE | O_RDWR, 0600);
    CHECK(fd >= 0 && ftruncate(fd, SIZE) == 0);
    brisk_hit hit = {.store_ns = 1000000};
    CHECK_OK(brisk_value_from_fd(fd, SIZE, NULL, &hit.value));
    int out = open(folder, O_TMPFILE | O_RDWR, 0600);
    CHECK(out >= 0);
    uint64_t place_ns = 0;
    CHECK(!rom_place_is_slower(&hit, out, &place_ns)); /* the cost is not known */
    CHECK_U64(place_ns, ==, hit.store_ns);
    hit.cost_ns = hit.store_ns * 9 / 10; /* cheaper, but not clearly */
    CHECK(!rom_place_is_slower(&hit, out, &place_ns));
    CHECK_U64(place_ns, ==, hit.store_ns);
    hit.cost_ns = 1; /* no machine places 2 MiB in a nanosecond */
    CHECK(rom_place_is_slower(&hit, out, &place_ns));
    hit.store_ns = UINT64_MAX / 2; /* one terrible store, but the piece is quick enough */
    hit.cost_ns = UINT64_MAX / 8;
    CHECK(!rom_place_is_slower(&hit, out, &place_ns));
    CHECK_U64(place_ns, <, hit.cost_ns);
    struct stat st;
    CHECK(fstat(out, &st) == 0 && st.st_size == 0 && lseek(out, 0, SEEK_CUR) == 0);
    hit.cost_ns = 1;
    hit.store_ns = 0; /* what placing takes is not known */
    CHECK(!rom_place_is_slower(&hit, out, &place_ns));
    brisk_value_unref(hit.value);
    CHECK_OK(brisk_value_copy("x", 1, NULL, &hit.value));
    hit.store_ns = 1000000;
    CHECK(!rom_place_is_slower(&hit, out, &place_ns)); /* in memory: always */
    brisk_value_unref(hit.value);
    (void)close(out);
}

static void test_results_survive_their_encoding(void **state)
{
    (void)state;
    rom_result result = {.size = UINT64_C(0x1122334455667788),
                         .crc32 = 0x99AABBCC,
                         .flags = ROM_RESULT_CHECKSUM_FIXED,
                         .writes = 3,
                         .write_bytes = 7,
                         .content = {.lo = 1, .hi = UINT64_MAX}};
    unsigned char bytes[ROM_RESULT_BYTES];
    rom_result_encode(&result, bytes);
    rom_result back;
    CHECK(rom_result_decode(bytes, sizeof bytes, &back));
    CHECK(back.size == result.size && back.crc32 == result.crc32 && back.flags == result.flags);
    CHECK(back.writes == 3 && back.write_bytes == 7);
    CHECK(back.content.lo == 1 && back.content.hi == UINT64_MAX);
    CHECK(!rom_result_decode(bytes, sizeof bytes - 1, &back));
    bytes[0] ^= 1;
    CHECK(!rom_result_decode(bytes, sizeof bytes, &back));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_component_has_a_span_under_its_stage),
        cmocka_unit_test(test_an_engine_remembers),
        cmocka_unit_test(test_an_input_that_changes_is_not_remembered),
        cmocka_unit_test(test_cancelled_and_late_jobs_leave_nothing),
        cmocka_unit_test(test_no_mods_and_too_many_are_refused),
        cmocka_unit_test(test_every_allocation_may_fail),
        cmocka_unit_test(test_placing_proves_the_bytes),
        cmocka_unit_test(test_declining_has_a_margin),
        cmocka_unit_test(test_results_survive_their_encoding),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
