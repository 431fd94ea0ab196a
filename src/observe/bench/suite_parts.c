/*
 * suite_parts.c -- the functions of the standard suite: cache, executor, input and output.
 *
 * What a case needs is made before and warmed by its calibration; keys are walked in a fixed random
 * order, so that neighbours in memory are no help.  A case that fails is remembered: a figure of
 * something that did not work would be no figure.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <brisk/cache.h>
#include <brisk/executor.h>
#include <brisk/file.h>
#include <brisk/hash.h>
#include <brisk/memory.h>
#include <brisk/rng.h>

#include "observe/bench/suite.h"

enum {
    KEYS = 4096,
    KEY_BYTES = 24,
    SMALL_BYTES = 256,
    BLOCK_BYTES = 16384,
    FILE_BYTES = 1 << 20,
    TASKS = 64,
    MEMORY_BYTES = 64 << 20,
    DISK_BYTES = 256 << 20,
};

struct suite_parts {
    brisk_key keys[KEYS];
    brisk_key missing[KEYS];
    char key_bytes[2][KEYS][KEY_BYTES];
    brisk_tier *memory;
    brisk_tier *disk;
    brisk_value *small;
    brisk_value *block;
    brisk_executor *executor;
    brisk_task tasks[TASKS];
    unsigned char *bytes; /* FILE_BYTES */
    const char *source;   /* a file of FILE_BYTES */
    const char *target;   /* another, replaced */
    uint32_t at;          /* key to be used next */
    const char *failed;
};

static void note(suite_parts *p, brisk_err err, const char *name)
{
    p->failed = err != BRISK_OK && p->failed == NULL ? name : p->failed;
}

static const brisk_key *next_key(suite_parts *p, const brisk_key *keys)
{
    p->at = (p->at + 1) % KEYS;
    return &keys[p->at];
}

/* --- cache ------------------------------------------------------------------------------------ */

static void get_all(suite_parts *p, brisk_tier *tier, uint64_t calls, const char *name)
{
    while (calls-- > 0) {
        brisk_hit hit = {0};
        note(p, tier->ops->get(tier, next_key(p, p->keys), &hit), name);
        BRISK_BENCH_KEEP(hit.value);
        brisk_value_unref(hit.value);
    }
}

static void memory_hit(void *ctx, uint64_t calls)
{
    suite_parts *p = ctx;
    get_all(p, p->memory, calls, "cache: memory hit");
}

static void memory_miss(void *ctx, uint64_t calls)
{
    suite_parts *p = ctx;
    while (calls-- > 0) {
        brisk_hit hit = {0};
        brisk_err err = p->memory->ops->get(p->memory, next_key(p, p->missing), &hit);
        note(p, err == BRISK_ERR_NOT_FOUND ? BRISK_OK : BRISK_ERR_MISMATCH, "cache: memory miss");
    }
}

static void memory_put(void *ctx, uint64_t calls)
{
    suite_parts *p = ctx;
    while (calls-- > 0) {
        note(p, p->memory->ops->put(p->memory, next_key(p, p->keys), p->small, NULL),
             "cache: memory put");
    }
}

static void disk_hit(void *ctx, uint64_t calls)
{
    suite_parts *p = ctx;
    get_all(p, p->disk, calls, "cache: disk hit");
}

static void disk_put(void *ctx, uint64_t calls)
{
    suite_parts *p = ctx;
    while (calls-- > 0) {
        note(p, p->disk->ops->put(p->disk, next_key(p, p->keys), p->block, NULL),
             "cache: disk put");
    }
}

static void hash_block(void *ctx, uint64_t calls)
{
    suite_parts *p = ctx;
    while (calls-- > 0) {
        brisk_hash128 hash = brisk_hash128_of(p->bytes, BLOCK_BYTES, calls);
        BRISK_BENCH_KEEP(hash.lo);
    }
}

static void build_key(void *ctx, uint64_t calls)
{
    suite_parts *p = ctx;
    while (calls-- > 0) {
        brisk_key_builder builder;
        brisk_key key = {0};
        brisk_key_builder_init(&builder, NULL, "suite");
        brisk_key_u64(&builder, "number", calls);
        brisk_key_str(&builder, "name", "comprehensive");
        note(p, brisk_key_builder_finish(&builder, &key), "cache: key of two fields");
        BRISK_BENCH_KEEP(key.hash.lo);
        brisk_key_builder_deinit(&builder);
    }
}

/* --- executor --------------------------------------------------------------------------------- */

static void nothing(brisk_task *task)
{
    BRISK_BENCH_KEEP(task);
}

static void run_tasks(suite_parts *p, uint32_t count, uint64_t calls)
{
    while (calls-- > 0) {
        brisk_group group;
        brisk_group_init(&group, p->executor);
        for (uint32_t i = 0; i < count; i++) {
            p->tasks[i].run = nothing;
            brisk_group_run(&group, &p->tasks[i]);
        }
        brisk_group_wait(&group);
    }
}

static void one_task(void *ctx, uint64_t calls)
{
    run_tasks(ctx, 1, calls);
}

static void many_tasks(void *ctx, uint64_t calls)
{
    run_tasks(ctx, TASKS, calls);
}

/* --- input and output ------------------------------------------------------------------------- */

static void view_file(void *ctx, uint64_t calls)
{
    suite_parts *p = ctx;
    while (calls-- > 0) {
        brisk_file_view view = {0};
        note(p, brisk_file_view_open(p->source, FILE_BYTES, &view, NULL), "io: view of 1 MiB");
        for (size_t i = 0; i < view.size; i += 4096) {
            BRISK_BENCH_KEEP(view.data[i]);
        }
        brisk_file_view_close(&view);
    }
}

static brisk_err replace_once(const suite_parts *p, bool clone)
{
    brisk_file_replace *replace = NULL;
    brisk_err err = brisk_file_replace_open(p->target, NULL, &replace, NULL);
    if (err != BRISK_OK) {
        return err;
    }
    int fd = brisk_file_replace_fd(replace);
    if (clone) {
        int source = open(p->source, O_RDONLY | O_CLOEXEC);
        err = source >= 0 ? brisk_file_clone(source, fd, FILE_BYTES, NULL)
                          : brisk_err_from_errno(errno);
        if (source >= 0) {
            (void)close(source);
        }
    } else {
        err = brisk_file_write_all(fd, p->bytes, BLOCK_BYTES);
    }
    if (err != BRISK_OK) {
        brisk_file_replace_abort(replace);
        return err;
    }
    return brisk_file_replace_commit(replace, false, NULL);
}

static void replace_file(void *ctx, uint64_t calls)
{
    suite_parts *p = ctx;
    while (calls-- > 0) {
        note(p, replace_once(p, false), "io: replace by 16 KiB");
    }
}

static void clone_file(void *ctx, uint64_t calls)
{
    suite_parts *p = ctx;
    while (calls-- > 0) {
        note(p, replace_once(p, true), "io: clone of 1 MiB");
    }
}

uint32_t suite_parts_cases(suite_parts *parts, brisk_bench_case cases[SUITE_CASES_MAX])
{
    static const struct {
        const char *name;
        void (*run)(void *ctx, uint64_t calls);
    } all[] = {{"cache: memory hit, 256 B", memory_hit},
               {"cache: memory miss", memory_miss},
               {"cache: memory put, 256 B", memory_put},
               {"cache: disk hit, 16 KiB", disk_hit},
               {"cache: disk put, 16 KiB", disk_put},
               {"cache: key of two fields", build_key},
               {"cache: hash of 16 KiB", hash_block},
               {"executor: one task, waited for", one_task},
               {"executor: 64 tasks, waited for", many_tasks},
               {"io: view of 1 MiB, a byte a page", view_file},
               {"io: file replaced, 16 KiB", replace_file},
               {"io: file cloned, 1 MiB", clone_file}};
    enum { COUNT = sizeof all / sizeof all[0] };
    _Static_assert((int)COUNT <= (int)SUITE_CASES_MAX, "room for all cases");
    for (uint32_t i = 0; i < COUNT; i++) {
        cases[i] = (brisk_bench_case){.name = all[i].name, .run = all[i].run, .ctx = parts};
    }
    return COUNT;
}

const char *suite_parts_failed(const suite_parts *parts)
{
    return parts->failed;
}

/* --- life ------------------------------------------------------------------------------------- */

static void make_keys(suite_parts *p)
{
    for (uint32_t set = 0; set < 2; set++) {
        for (uint32_t i = 0; i < KEYS; i++) {
            (void)snprintf(p->key_bytes[set][i], KEY_BYTES, "%s-%08u",
                           set == 0 ? "suite" : "absent", i * 2654435761u % 100000000u);
            (set == 0 ? p->keys : p->missing)[i] =
                brisk_key_of(p->key_bytes[set][i], strlen(p->key_bytes[set][i]));
        }
    }
}

static brisk_err make_files(suite_parts *p, brisk_arena *arena, const char *folder,
                            brisk_errinfo *info)
{
    brisk_rng rng;
    brisk_rng_init(&rng, 1);
    p->bytes = brisk_arena_alloc(arena, FILE_BYTES);
    p->source = brisk_arena_printf(arena, "%s/source", folder);
    p->target = brisk_arena_printf(arena, "%s/target", folder);
    if (p->bytes == NULL || p->source == NULL || p->target == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "%s", brisk_err_message(BRISK_ERR_NOMEM));
    }
    for (uint32_t i = 0; i < FILE_BYTES; i += 8) {
        uint64_t random = brisk_rng_next(&rng);
        memcpy(p->bytes + i, &random, 8);
    }
    int fd = open(p->source, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return brisk_errinfo_set_errno(info, errno, "%s", p->source);
    }
    brisk_err err = brisk_file_write_all(fd, p->bytes, FILE_BYTES);
    (void)close(fd);
    return err == BRISK_OK
               ? BRISK_OK
               : brisk_errinfo_set(info, err, "%s: %s", p->source, brisk_err_message(err));
}

static brisk_err make_tiers(suite_parts *p, brisk_arena *arena, const char *folder,
                            brisk_errinfo *info)
{
    const char *path = brisk_arena_printf(arena, "%s/tier", folder);
    brisk_disk_tier_opts disk = {.path = path, .bytes_max = DISK_BYTES};
    brisk_memory_tier_opts memory = {.bytes_max = MEMORY_BYTES};
    brisk_err err = path != NULL ? brisk_disk_tier_open(&disk, &p->disk, info) : BRISK_ERR_NOMEM;
    if (err == BRISK_OK) {
        err = brisk_memory_tier_create(&memory, &p->memory);
    }
    if (err == BRISK_OK) {
        err = brisk_value_copy(p->bytes, SMALL_BYTES, NULL, &p->small);
    }
    if (err == BRISK_OK) {
        err = brisk_value_copy(p->bytes, BLOCK_BYTES, NULL, &p->block);
    }
    if (err == BRISK_OK) {
        err = brisk_executor_create(NULL, &p->executor);
    }
    for (uint32_t i = 0; i < KEYS && err == BRISK_OK; i++) {
        err = p->memory->ops->put(p->memory, &p->keys[i], p->small, NULL);
        err = err == BRISK_OK ? p->disk->ops->put(p->disk, &p->keys[i], p->block, NULL) : err;
    }
    if (err != BRISK_OK && info->text[0] == '\0') {
        (void)brisk_errinfo_set(info, err, "%s", brisk_err_message(err));
    }
    return err;
}

brisk_err suite_parts_create(brisk_arena *arena, const char *folder, suite_parts **ret,
                             brisk_errinfo *info)
{
    suite_parts *p = brisk_arena_calloc(arena, 1, sizeof *p);
    if (p == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "%s", brisk_err_message(BRISK_ERR_NOMEM));
    }
    make_keys(p);
    brisk_err err = make_files(p, arena, folder, info);
    if (err == BRISK_OK) {
        err = make_tiers(p, arena, folder, info);
    }
    if (err != BRISK_OK) {
        suite_parts_destroy(p);
        return err;
    }
    *ret = p;
    return BRISK_OK;
}

void suite_parts_destroy(suite_parts *parts)
{
    if (parts != NULL) {
        brisk_executor_destroy(parts->executor);
        brisk_tier_destroy(parts->memory);
        brisk_tier_destroy(parts->disk);
        brisk_value_unref(parts->small);
        brisk_value_unref(parts->block);
    }
}
