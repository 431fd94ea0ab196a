/*
 * cmd_info.c -- `brisk rom info FILE...`: what a ROM is, without changing it.
 *
 * Needs no engine.  A file that cannot be read is told on standard error, the others are still
 * shown, and the exit code is 1; in JSON it stands among them with its `error`.
 */
#include <inttypes.h>
#include <string.h>

#include <brisk/file.h>
#include <brisk/json.h>

#include "workload/rom/apply.h"
#include "workload/rom/apply_print.h"
#include "workload/rom/checksum.h"

enum { OPTION_JSON, SHA1_TEXT_MAX = 2 * ROM_SHA1_BYTES + 1 };

static const brisk_option options[] = {
    [OPTION_JSON] = {.name = "json", .summary = "as one JSON object"},
};

/* Everything that is shown of one file. */
typedef struct report {
    const char *path;
    rom_info info;
    rom_digests digests;
} report;

static void sha1_text(const uint8_t sha1[ROM_SHA1_BYTES], char text[SHA1_TEXT_MAX])
{
    for (size_t i = 0; i < ROM_SHA1_BYTES; i++) {
        (void)snprintf(text + 2 * i, 3, "%02x", sha1[i]);
    }
}

static void print_size(FILE *out, const rom_info *info)
{
    (void)fprintf(out, "  size          %" PRIu64 " bytes", info->rom_size);
    if (info->copier_bytes != 0) {
        (void)fprintf(out, " behind a copier header of %u", info->copier_bytes);
    }
    if (info->declared_size != 0) {
        (void)fprintf(out, ", header says %" PRIu64, info->declared_size);
    }
    (void)fputc('\n', out);
}

static void print_text(FILE *out, const report *r)
{
    const rom_info *info = &r->info;
    char sha1[SHA1_TEXT_MAX] = "";
    rom_print_text(out, r->path);
    (void)fprintf(out, "\n  system        %s\n", rom_system_title(info->system));
    if (info->mapping != ROM_MAPPING_NONE) {
        (void)fprintf(out, "  mapping       %s", rom_mapping_title(info->mapping));
        if (info->runner_up != ROM_MAPPING_NONE) {
            (void)fprintf(out, " (score %d; %s has %d)", info->score,
                          rom_mapping_title(info->runner_up), info->runner_up_score);
        }
        (void)fputc('\n', out);
    }
    if (info->system != ROM_SYSTEM_UNKNOWN) {
        (void)fprintf(out, "  title         %s\n", info->title[0] != '\0' ? info->title : "-");
        (void)fprintf(out, "  header        at 0x%" PRIx64 "\n", info->header_offset);
    }
    print_size(out, info);
    for (uint32_t i = 0; i < info->checksum_count; i++) {
        const rom_checksum *c = &info->checksums[i];
        int digits = (int)c->size * 2;
        (void)fprintf(out, "  %s\n    stored      %0*x\n    computed    %0*x%s\n", c->name, digits,
                      c->stored, digits, c->computed,
                      c->stored == c->computed ? " (right)" : " (stored one is wrong)");
    }
    (void)fprintf(out, "  CRC32         %08x", r->digests.rom_crc32);
    if (info->copier_bytes != 0) {
        (void)fprintf(out, " (with copier header %08x)", r->digests.file_crc32);
    }
    sha1_text(r->digests.rom_sha1, sha1);
    (void)fprintf(out, "\n  SHA-1         %s\n", sha1);
    for (uint32_t i = 0; i < info->warning_count; i++) {
        (void)fprintf(out, "  warning       %s\n", info->warnings[i]);
    }
}

static void print_checksums_json(const rom_info *info, brisk_json *json)
{
    brisk_json_array_begin(json, "checksums");
    for (uint32_t i = 0; i < info->checksum_count; i++) {
        const rom_checksum *c = &info->checksums[i];
        brisk_json_object_begin(json, NULL);
        brisk_json_str(json, "name", c->name);
        brisk_json_u64(json, "offset", c->offset);
        brisk_json_u64(json, "stored", c->stored);
        brisk_json_u64(json, "computed", c->computed);
        brisk_json_bool(json, "right", c->stored == c->computed);
        brisk_json_object_end(json);
    }
    brisk_json_array_end(json);
}

static void print_crc_json(brisk_json *json, const char *key, uint32_t crc32)
{
    char text[16];
    (void)snprintf(text, sizeof text, "%08x", crc32);
    brisk_json_str(json, key, text);
}

static void print_json(brisk_json *json, const report *r)
{
    const rom_info *info = &r->info;
    char sha1[SHA1_TEXT_MAX] = "";
    brisk_json_object_begin(json, NULL);
    brisk_json_str(json, "path", r->path);
    brisk_json_str(json, "system", rom_system_name(info->system));
    brisk_json_str(json, "mapping", rom_mapping_name(info->mapping));
    brisk_json_i64(json, "score", info->score);
    brisk_json_str(json, "runner_up", rom_mapping_name(info->runner_up));
    brisk_json_i64(json, "runner_up_score", info->runner_up_score);
    brisk_json_str(json, "title", info->title);
    brisk_json_u64(json, "header_offset", info->header_offset);
    brisk_json_u64(json, "copier_header_bytes", info->copier_bytes);
    brisk_json_u64(json, "file_bytes", info->file_size);
    brisk_json_u64(json, "rom_bytes", info->rom_size);
    brisk_json_u64(json, "declared_bytes", info->declared_size);
    print_checksums_json(info, json);
    print_crc_json(json, "crc32", r->digests.rom_crc32);
    print_crc_json(json, "file_crc32", r->digests.file_crc32);
    sha1_text(r->digests.rom_sha1, sha1);
    brisk_json_str(json, "sha1", sha1);
    sha1_text(r->digests.file_sha1, sha1);
    brisk_json_str(json, "file_sha1", sha1);
    brisk_json_array_begin(json, "warnings");
    for (uint32_t i = 0; i < info->warning_count; i++) {
        brisk_json_str(json, NULL, info->warnings[i]);
    }
    brisk_json_array_end(json);
    brisk_json_object_end(json);
}

static void print_failure_json(brisk_json *json, const char *path, const brisk_errinfo *info)
{
    brisk_json_object_begin(json, NULL);
    brisk_json_str(json, "path", path);
    brisk_json_object_begin(json, "error");
    brisk_json_str(json, "code", brisk_err_name(info->code));
    brisk_json_str(json, "message", info->text);
    brisk_json_null(json, "stage");
    brisk_json_object_end(json);
    brisk_json_object_end(json);
}

static brisk_err examine(const char *path, report *ret, brisk_errinfo *errinfo)
{
    brisk_file_view view;
    brisk_err err = brisk_file_view_open(path, ROM_BYTES_MAX, &view, errinfo);
    if (err != BRISK_OK) {
        return err;
    }
    if (view.size == 0) {
        brisk_file_view_close(&view);
        return brisk_errinfo_set(errinfo, BRISK_ERR_INVALID, "%s: is empty, not a ROM", path);
    }
    rom_bytes file = {.name = path, .data = view.data, .size = view.size};
    ret->path = path;
    rom_detect(&file, &ret->info);
    rom_checksums_compute(&file, NULL, &ret->info);
    ret->digests = rom_digests_of(&file, ret->info.copier_bytes);
    brisk_file_view_close(&view);
    return BRISK_OK;
}

static brisk_exit run(const brisk_invocation *in)
{
    bool as_json = in->values[OPTION_JSON].set;
    bool failed = false;
    brisk_json json;
    brisk_json_init(&json, brisk_out_file(in->out), 2);
    if (as_json) {
        brisk_json_object_begin(&json, NULL);
        brisk_json_u64(&json, "schema", 1);
        brisk_json_array_begin(&json, "files");
    }
    for (int i = 0; i < in->argc; i++) {
        report r = {0};
        brisk_errinfo info = {0};
        if (examine(in->argv[i], &r, &info) != BRISK_OK) {
            (void)fprintf(in->err, "brisk: %s\n", info.text);
            failed = true;
            if (as_json) {
                print_failure_json(&json, in->argv[i], &info);
            }
        } else if (as_json) {
            print_json(&json, &r);
        } else {
            print_text(in->out, &r);
        }
    }
    if (as_json) {
        brisk_json_array_end(&json);
        brisk_json_object_end(&json);
        failed = brisk_json_finish(&json) != BRISK_OK || failed;
    }
    return failed ? BRISK_EXIT_FAILED : BRISK_EXIT_OK;
}

const brisk_command rom_cmd_info = {
    .name = "info",
    .group = "ROMs",
    .synopsis = "FILE...",
    .summary = "show what a ROM is: system, mapping, title, sizes, checksums",
    .description =
        "Recognises SNES (LoROM, HiROM, ExHiROM), NES (iNES), Game Boy and Game Boy Advance ROMs "
        "and shows their headers, the checksums that are stored and those that would be right, "
        "and the CRC32 and SHA-1 that databases and patches name them by.\n\n"
        "A file that cannot be read is reported, the others are still shown; the exit code is "
        "then 1.",
    .examples = "brisk rom info game.sfc\tshow one ROM\n"
                "brisk rom info --json *.sfc\tas JSON, for scripts\n",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .args_min = 1,
    .args_max = -1,
    .run = run,
};
