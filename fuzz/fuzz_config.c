/*
 * fuzz_config.c -- any bytes as a configuration file, and as the text of one value.
 * Oracle: after any file every value is within its range, and what is kept as YAML is YAML that is
 * kept as the same text once more; a refusal names the file; a number that
 * parses as a plain one reads back from its decimal form.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <brisk/file.h>
#include <brisk/knob.h>

#include "base/assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const brisk_knob KNOBS[] = {
    {.name = "cache.disk.bytes",
     .type = BRISK_KNOB_BYTES,
     .min = 4096,
     .max = 1 << 30,
     .def = 4096},
    {.name = "cache.enabled", .type = BRISK_KNOB_BOOL, .def = 1},
    {.name = "exec.workers", .type = BRISK_KNOB_U64, .min = 1, .max = 64, .def = 2},
    {.name = "exec.deadline", .type = BRISK_KNOB_DURATION, .min = 1, .def = 1000},
    {.name = "rom.title", .type = BRISK_KNOB_TEXT, .def_text = "none"},
    {.name = "rom.rules", .type = BRISK_KNOB_YAML},
    {.name = "rom.rules_again", .type = BRISK_KNOB_YAML},
};
static const brisk_knob LATE[] = {{.name = "late.count", .type = BRISK_KNOB_U64, .max = 9}};

enum { KNOB_COUNT = sizeof KNOBS / sizeof KNOBS[0] };

static brisk_err resolve(void *ctx, const char *section)
{
    return strcmp(section, "late") == 0 ? brisk_knobs_register(ctx, LATE, 1, NULL)
                                        : BRISK_ERR_NOT_FOUND;
}

static void check_yaml(brisk_knobs *knobs)
{
    brisk_yaml_doc *doc = NULL;
    brisk_errinfo info = {0};
    BRISK_ASSERT(brisk_knobs_yaml(knobs, "rom.rules", NULL, &doc, &info) == BRISK_OK);
    brisk_yaml_destroy(doc);
    static char text[BRISK_KNOB_YAML_MAX];
    static char again[BRISK_KNOB_YAML_MAX];
    brisk_knobs_text(knobs, "rom.rules", text, sizeof text);
    BRISK_ASSERT(brisk_knobs_set(knobs, "rom.rules_again", text, BRISK_KNOB_FLAG, &info) ==
                 BRISK_OK);
    brisk_knobs_text(knobs, "rom.rules_again", again, sizeof again);
    size_t at = 0; /* without the blanks that stand for line breaks */
    for (size_t i = 0; text[i] != '\0'; i++) {
        if (text[i] == again[at]) {
            at++;
        } else {
            BRISK_ASSERT(text[i] == ' ');
        }
    }
    BRISK_ASSERT(again[at] == '\0');
}

static void load(const uint8_t *data, size_t size)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    BRISK_ASSERT(fd >= 0);
    BRISK_ASSERT(brisk_file_write_all(fd, data, size) == BRISK_OK);
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    brisk_knobs *knobs = NULL;
    BRISK_ASSERT(brisk_knobs_create(NULL, &knobs) == BRISK_OK);
    BRISK_ASSERT(brisk_knobs_register(knobs, KNOBS, KNOB_COUNT, NULL) == BRISK_OK);
    brisk_errinfo info = {0};
    brisk_err err = brisk_config_load(knobs, path, BRISK_KNOB_PROJECT_FILE, resolve, knobs, &info);
    if (err != BRISK_OK) {
        BRISK_ASSERT(err == info.code);
        BRISK_ASSERT(err != BRISK_ERR_NOT_FOUND);
        BRISK_ASSERT(strncmp(info.text, path, strlen(path)) == 0);
    }
    uint64_t bytes = brisk_knobs_u64(knobs, "cache.disk.bytes");
    BRISK_ASSERT(bytes >= 4096 && bytes <= 1 << 30);
    uint64_t workers = brisk_knobs_u64(knobs, "exec.workers");
    BRISK_ASSERT(workers >= 1 && workers <= 64);
    BRISK_ASSERT(brisk_knobs_u64(knobs, "cache.enabled") <= 1);
    BRISK_ASSERT(brisk_knobs_u64(knobs, "exec.deadline") >= 1);
    char title[BRISK_KNOB_TEXT_MAX];
    brisk_knobs_text(knobs, "rom.title", title, sizeof title);
    check_yaml(knobs);
    brisk_knobs_destroy(knobs);
    (void)close(fd);
}

static void parse_one(const uint8_t *data, size_t size)
{
    char text[64];
    size_t used = size < sizeof text - 1 ? size : sizeof text - 1;
    if (used != 0) {
        memcpy(text, data, used);
    }
    text[used] = '\0';
    for (int type = BRISK_KNOB_U64; type <= BRISK_KNOB_YAML; type++) {
        uint64_t value = 77;
        if (brisk_knob_parse((brisk_knob_type)type, text, &value) != BRISK_OK) {
            BRISK_ASSERT(value == 77);
            continue;
        }
        char again[32];
        uint64_t back = 0;
        (void)snprintf(again, sizeof again, "%llu", (unsigned long long)value);
        BRISK_ASSERT(brisk_knob_parse(BRISK_KNOB_U64, again, &back) == BRISK_OK);
        BRISK_ASSERT(back == value);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    parse_one(data, size);
    load(data, size);
    return 0;
}
