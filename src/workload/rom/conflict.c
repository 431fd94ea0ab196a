/*
 * conflict.c -- who contradicts whom, where, with which bytes; behind conflict.h.
 *
 *     2 conflicting writes, nothing was written:
 *       $00810A (0x10A): infinite_magic/spend_magic wants EA EA, hard.yaml/spend wants C6 24
 *       ...
 */
#include <string.h>

#include "base/assert.h"

#include "workload/rom/address.h"
#include "workload/rom/conflict.h"

const char *rom_owner_name(const rom_job *job, uint32_t owner)
{
    if (owner == ROM_OWNER_CHECKSUM) {
        return "checksum";
    }
    BRISK_ASSERT(owner < job->unit_count);
    return job->units[owner].name;
}

void rom_hex(const uint8_t *bytes, uint64_t size, char ret[ROM_HEX_TEXT_MAX])
{
    size_t used = 0;
    ret[0] = '\0';
    for (uint64_t i = 0; i < size && i < ROM_HEX_SHOWN; i++) {
        used += (size_t)snprintf(ret + used, ROM_HEX_TEXT_MAX - used, i == 0 ? "%02X" : " %02X",
                                 bytes[i]);
    }
    if (size > ROM_HEX_SHOWN) {
        (void)snprintf(ret + used, ROM_HEX_TEXT_MAX - used, "...");
    }
}

void rom_place_text(const rom_job *job, uint64_t file_offset, char ret[ROM_PLACE_TEXT_MAX])
{
    if (file_offset < job->info.copier_bytes) {
        (void)snprintf(ret, ROM_PLACE_TEXT_MAX, "copier header 0x%llX",
                       (unsigned long long)file_offset);
        return;
    }
    unsigned long long offset = file_offset - job->info.copier_bytes;
    char address[ROM_ADDRESS_TEXT_MAX];
    rom_offset_to_text(&job->info, offset, address);
    if (address[0] == '$') {
        (void)snprintf(ret, ROM_PLACE_TEXT_MAX, "%s (0x%llX)", address, offset);
    } else {
        (void)snprintf(ret, ROM_PLACE_TEXT_MAX, "0x%llX", offset);
    }
}

/* Text that grows in an arena; stops growing when memory is short. */
typedef struct text {
    brisk_arena *arena;
    char *data;
    size_t size;
    size_t capacity;
} text;

static brisk_err text_write(void *ctx, const char *data, size_t size)
{
    enum { FIRST = 1024 };
    text *t = ctx;
    if (size >= t->capacity - t->size) {
        size_t capacity = (t->size + size + FIRST) * 2;
        char *grown = brisk_arena_alloc(t->arena, capacity);
        if (grown == NULL) {
            return BRISK_ERR_NOMEM;
        }
        if (t->size != 0) {
            memcpy(grown, t->data, t->size);
        }
        t->data = grown;
        t->capacity = capacity;
    }
    BRISK_ASSERT(t->data != NULL);
    memcpy(t->data + t->size, data, size);
    t->size += size;
    t->data[t->size] = '\0';
    return BRISK_OK;
}

void rom_conflicts_write_json(const rom_job *job, brisk_json *json)
{
    const rom_conflicts *conflicts = &job->conflicts;
    brisk_json_u64(json, "total", conflicts->total);
    brisk_json_array_begin(json, "conflicts");
    for (uint32_t i = 0; i < conflicts->shown; i++) {
        const rom_conflict *c = &conflicts->items[i];
        char place[ROM_PLACE_TEXT_MAX];
        char first[ROM_HEX_TEXT_MAX];
        char second[ROM_HEX_TEXT_MAX];
        rom_place_text(job, c->offset, place);
        rom_hex(c->first_bytes, c->size, first);
        rom_hex(c->second_bytes, c->size, second);
        brisk_json_object_begin(json, NULL);
        brisk_json_str(json, "place", place);
        brisk_json_u64(json, "file_offset", c->offset);
        brisk_json_u64(json, "bytes", c->size);
        brisk_json_str(json, "first", rom_owner_name(job, c->first));
        brisk_json_str(json, "first_bytes", first);
        brisk_json_str(json, "second", rom_owner_name(job, c->second));
        brisk_json_str(json, "second_bytes", second);
        brisk_json_object_end(json);
    }
    brisk_json_array_end(json);
}

static void add_line(text *t, const rom_job *job, const rom_conflict *c)
{
    enum { LINE_MAX_BYTES = 4096 };
    char place[ROM_PLACE_TEXT_MAX];
    char first[ROM_HEX_TEXT_MAX];
    char second[ROM_HEX_TEXT_MAX];
    rom_place_text(job, c->offset, place);
    rom_hex(c->first_bytes, c->size, first);
    rom_hex(c->second_bytes, c->size, second);
    char line[LINE_MAX_BYTES];
    int length = snprintf(line, sizeof line, "\n  %s: %s wants %s, %s%s wants %s", place,
                          rom_owner_name(job, c->first), first, rom_owner_name(job, c->second),
                          c->first == c->second ? " also" : "", second);
    size_t size = length < (int)sizeof line ? (size_t)length : sizeof line - 1;
    (void)text_write(t, line, size);
}

brisk_err rom_conflicts_fail(brisk_stage_ctx *ctx, const rom_job *job)
{
    const rom_conflicts *conflicts = &job->conflicts;
    text json_text = {.arena = brisk_stage_arena(ctx)};
    brisk_json json;
    brisk_json_init(&json, (brisk_out){.write = text_write, .ctx = &json_text}, 0);
    brisk_json_object_begin(&json, NULL);
    rom_conflicts_write_json(job, &json);
    brisk_json_object_end(&json);
    if (brisk_json_finish(&json) == BRISK_OK) {
        brisk_stage_fail_details(ctx, json_text.data);
    }
    text lines = {.arena = brisk_stage_arena(ctx)};
    for (uint32_t i = 0; i < conflicts->shown; i++) {
        add_line(&lines, job, &conflicts->items[i]);
    }
    unsigned long long more = conflicts->total - conflicts->shown;
    char tail[64] = "";
    if (more != 0) {
        (void)snprintf(tail, sizeof tail, "\n  and %llu more", more);
    }
    return brisk_stage_fail(
        ctx, BRISK_ERR_CONFLICT, "%llu conflicting %s, nothing was written:%s%s",
        (unsigned long long)conflicts->total, conflicts->total == 1 ? "write" : "writes",
        lines.data != NULL ? lines.data : "", tail);
}
