/*
 * apply_print.c -- lines, lists and JSON behind apply_print.h.
 *
 * Every figure comes from the job that just ran.
 */
#include <inttypes.h>
#include <string.h>

#include "base/assert.h"

#include "workload/rom/address.h"
#include "workload/rom/apply_print.h"
#include "workload/rom/conflict.h"

enum { LISTED_MAX = 1000, SOURCE_TEXT_MAX = 160 };

static const char *plural(uint64_t count)
{
    return count == 1 ? "" : "s";
}

/* Whose CRC32 it is, where `rom info` shows another one first. */
static const char *with_header(const rom_job *state)
{
    return state->info.copier_bytes != 0 ? " with its copier header" : "";
}

void rom_print_text(FILE *out, const char *text)
{
    for (const unsigned char *at = (const unsigned char *)text; *at != '\0'; at++) {
        bool is_c1 = at[0] == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0;
        bool is_control = (*at < ' ' && *at != '\n') || *at == 0x7f || is_c1;
        (void)fputc(is_control ? '?' : *at, out);
        at += is_c1 ? 1 : 0;
    }
}

/* "computed", or who answered, how fast, and how the answer became a file. */
static void describe_source(const brisk_job *job, const rom_job *state, char text[SOURCE_TEXT_MAX])
{
    const char *tier = brisk_job_answered_by(job);
    if (tier == NULL) {
        (void)snprintf(text, SOURCE_TEXT_MAX, "computed");
        return;
    }
    uint64_t tier_ns = 0;
    for (uint32_t i = 0; i < brisk_job_report_count(job); i++) {
        brisk_stage_report row = brisk_job_report(job, i);
        tier_ns = row.how == BRISK_HOW_ANSWERED ? row.tier_ns : tier_ns;
    }
    (void)snprintf(text, SOURCE_TEXT_MAX, "answered by %s tier in %" PRIu64 " us, placed by %s",
                   tier, (tier_ns + 999) / 1000,
                   state->placed_how != NULL ? state->placed_how : "write");
}

brisk_err rom_print_result(FILE *out, const brisk_job *job, const rom_job *state, bool profile)
{
    char source[SOURCE_TEXT_MAX];
    describe_source(job, state, source);
    bool fixed = (state->result.flags & ROM_RESULT_CHECKSUM_FIXED) != 0;
    rom_print_text(out, state->request->out_path);
    (void)fprintf(out, ": %" PRIu64 " byte%s, CRC32 %08x%s, %u mod%s%s, %.1f ms (%s)\n",
                  state->result.size, plural(state->result.size), state->result.crc32,
                  with_header(state), state->mod_count, plural(state->mod_count),
                  fixed ? ", checksum fixed" : "", (double)brisk_job_elapsed_ns(job) / 1e6, source);
    return profile ? brisk_job_write_report(job, brisk_out_file(out)) : BRISK_OK;
}

/* What stood where `write` goes: bytes of the ROM, or nothing behind its end. */
static void old_hex(const rom_job *state, const rom_write *write, char text[ROM_HEX_TEXT_MAX])
{
    const rom_bytes *rom = &state->source.file;
    uint64_t there = write->offset < rom->size ? rom->size - write->offset : 0;
    if (there == 0) {
        (void)snprintf(text, ROM_HEX_TEXT_MAX, "-");
        return;
    }
    rom_hex(rom->data + write->offset, there < write->size ? there : write->size, text);
}

/* "0x10A" and "$00810A"; the latter "-" where no address leads. */
static void place_columns(const rom_job *state, uint64_t file_offset,
                          char offset[ROM_ADDRESS_TEXT_MAX], char address[ROM_ADDRESS_TEXT_MAX])
{
    uint32_t copier = state->info.copier_bytes;
    (void)snprintf(address, ROM_ADDRESS_TEXT_MAX, "-");
    if (file_offset < copier) {
        (void)snprintf(offset, ROM_ADDRESS_TEXT_MAX, "header+%" PRIx64, file_offset);
        return;
    }
    (void)snprintf(offset, ROM_ADDRESS_TEXT_MAX, "0x%06" PRIx64, file_offset - copier);
    char text[ROM_ADDRESS_TEXT_MAX];
    rom_offset_to_text(&state->info, file_offset - copier, text);
    if (text[0] == '$') {
        memcpy(address, text, ROM_ADDRESS_TEXT_MAX);
    }
}

void rom_print_dry_run(FILE *out, const brisk_job *job, const rom_job *state)
{
    (void)fprintf(out, "%-10s %-10s %-27s %-27s %s\n", "offset", "address", "old", "new",
                  "component");
    for (size_t i = 0; i < state->merged.count && i < LISTED_MAX; i++) {
        const rom_write *write = &state->merged.items[i];
        char offset[ROM_ADDRESS_TEXT_MAX];
        char address[ROM_ADDRESS_TEXT_MAX];
        char before[ROM_HEX_TEXT_MAX];
        char after[ROM_HEX_TEXT_MAX];
        place_columns(state, write->offset, offset, address);
        old_hex(state, write, before);
        rom_hex(write->bytes, write->size, after);
        (void)fprintf(out, "%-10s %-10s %-27s %-27s ", offset, address, before, after);
        rom_print_text(out, rom_owner_name(state, write->owner));
        (void)fputc('\n', out);
    }
    if (state->merged.count > LISTED_MAX) {
        (void)fprintf(out, "... and %zu more; --json lists all\n",
                      state->merged.count - LISTED_MAX);
    }
    const rom_result *result = &state->result;
    (void)fprintf(out,
                  "%" PRIu64 " write%s, %" PRIu64 " byte%s; the result would have %" PRIu64
                  " byte%s and CRC32 %08x%s%s\n",
                  result->writes, plural(result->writes), result->write_bytes,
                  plural(result->write_bytes), result->size, plural(result->size), result->crc32,
                  with_header(state), state->fix_count != 0 ? ", its checksum fixed" : "");
    (void)fprintf(out,
                  "expected time: %.1f ms, measured: this dry run did all of the work with the "
                  "output in memory; the disk's fsync comes on top\n",
                  (double)brisk_job_elapsed_ns(job) / 1e6);
}

static void json_hex(brisk_json *json, const char *key, const uint8_t *bytes, uint64_t size)
{
    enum { BYTES_MAX = 64 };
    char text[2 * BYTES_MAX + 4] = "";
    for (uint64_t i = 0; i < size && i < BYTES_MAX; i++) {
        (void)snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    }
    if (size > BYTES_MAX) {
        (void)snprintf(text + (size_t)2 * BYTES_MAX, 4, "...");
    }
    brisk_json_str(json, key, text);
}

static void print_writes_json(brisk_json *json, const rom_job *state)
{
    const rom_bytes *rom = &state->source.file;
    brisk_json_array_begin(json, "writes");
    for (size_t i = 0; i < state->merged.count; i++) {
        const rom_write *write = &state->merged.items[i];
        char offset[ROM_ADDRESS_TEXT_MAX];
        char address[ROM_ADDRESS_TEXT_MAX];
        place_columns(state, write->offset, offset, address);
        uint64_t there = write->offset < rom->size ? rom->size - write->offset : 0;
        brisk_json_object_begin(json, NULL);
        brisk_json_u64(json, "file_offset", write->offset);
        if (address[0] == '$') {
            brisk_json_str(json, "address", address);
        }
        brisk_json_u64(json, "bytes", write->size);
        json_hex(json, "old", there != 0 ? rom->data + write->offset : rom->data,
                 there < write->size ? there : write->size);
        json_hex(json, "new", write->bytes, write->size);
        brisk_json_str(json, "component", rom_owner_name(state, write->owner));
        brisk_json_object_end(json);
    }
    brisk_json_array_end(json);
}

static void print_success_json(brisk_json *json, const brisk_job *job, const rom_job *state)
{
    const char *tier = brisk_job_answered_by(job);
    char crc32[16];
    (void)snprintf(crc32, sizeof crc32, "%08x", state->result.crc32);
    if (state->request->out_path != NULL) {
        brisk_json_str(json, "output", state->request->out_path);
    }
    brisk_json_u64(json, "bytes", state->result.size);
    brisk_json_str(json, "crc32", crc32);
    brisk_json_u64(json, "mods", state->mod_count);
    brisk_json_bool(json, "checksum_fixed", (state->result.flags & ROM_RESULT_CHECKSUM_FIXED) != 0);
    brisk_json_str(json, "how", tier == NULL ? "computed" : "answered");
    if (tier != NULL) {
        brisk_json_str(json, "tier", tier);
    }
    if (state->placed_how != NULL) {
        brisk_json_str(json, "placed_by", state->placed_how);
    }
    if (state->request->dry_run) {
        brisk_json_u64(json, "write_count", state->result.writes);
        brisk_json_u64(json, "write_bytes", state->result.write_bytes);
        brisk_json_u64(json, "expected_ns", brisk_job_elapsed_ns(job));
        brisk_json_str(json, "expected_from", "this dry run, output in memory, no fsync");
        print_writes_json(json, state);
    }
}

static void print_trace_error(brisk_json *json, const brisk_errinfo *trace)
{
    brisk_json_object_begin(json, "error");
    brisk_json_str(json, "code", brisk_err_name(trace->code));
    brisk_json_str(json, "message", trace->text);
    brisk_json_str(json, "stage", "trace");
    brisk_json_object_end(json);
}

brisk_err rom_print_json(FILE *out, const brisk_job *job, const rom_job *state, brisk_err err,
                         const brisk_errinfo *trace)
{
    brisk_json json;
    brisk_json_init(&json, brisk_out_file(out), 2);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "schema", 1);
    brisk_json_bool(&json, "ok", err == BRISK_OK);
    brisk_json_bool(&json, "dry_run", state->request->dry_run);
    if (err == BRISK_OK) {
        print_success_json(&json, job, state);
        if (trace->code != BRISK_OK) {
            print_trace_error(&json, trace);
        }
    } else if (state->conflicts.total != 0) {
        rom_conflicts_write_json(state, &json);
    }
    brisk_job_write_report_json(job, &json);
    brisk_json_object_end(&json);
    return brisk_json_finish(&json);
}
