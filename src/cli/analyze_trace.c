/*
 * analyze_trace.c -- reading a trace, and every policy at every size over it.
 *
 * Beyond SAMPLE_MAX requests only one key in 2, 4, ... is kept, chosen by its hash, and caches are
 * as much smaller; with --exact all of them.  What was read is then thinned out again, so that
 * memory stays bounded whatever the length of the trace.
 */
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include <brisk/clock.h>

#include "cli/analyze.h"

enum { SAMPLE_MAX = 1 << 20, SEEN_MIN = 1024 };

static const double shares[ANALYZE_SIZES] = {0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.7};
static const uint64_t second_ns = UINT64_C(1000000000);

void *analyze_acquire(size_t bytes)
{
    const brisk_alloc *alloc = brisk_alloc_libc();
    void *memory = alloc->acquire(alloc->ctx, bytes, _Alignof(max_align_t));
    if (memory != NULL) {
        memset(memory, 0, bytes);
    }
    return memory;
}

void analyze_release(void *memory, size_t bytes)
{
    const brisk_alloc *alloc = brisk_alloc_libc();
    if (memory != NULL) {
        alloc->release(alloc->ctx, memory, bytes, _Alignof(max_align_t));
    }
}

/* --- words while it takes long ----------------------------------------------------------- */

typedef struct progress {
    const analysis *a;
    const brisk_clock *clock;
    uint64_t begun_ns;
    uint64_t said_ns;
} progress;

static void say_progress(progress *p, const char *what, uint64_t done, uint64_t all)
{
    uint64_t now = brisk_clock_now_ns(p->clock);
    if (p->a->quiet || now - p->begun_ns < second_ns || now - p->said_ns < second_ns / 2) {
        return;
    }
    p->said_ns = now;
    if (all != 0) {
        (void)fprintf(p->a->err, "brisk: %s: %.0f %%\n", what, 100 * (double)done / (double)all);
    } else {
        (void)fprintf(p->a->err, "brisk: %s: %" PRIu64 "\n", what, done);
    }
}

/* --- keys -------------------------------------------------------------------------------- */

typedef struct seen {
    uint64_t *keys; /* 0: empty */
    uint64_t mask;
    uint64_t count;
} seen;

static void forget(seen *s)
{
    analyze_release(s->keys, (s->mask + 1) * sizeof *s->keys);
    s->keys = NULL;
}

/* Was it there?  NOMEM when the table cannot grow. */
static brisk_err see(seen *s, uint64_t key, bool *ret_new)
{
    key |= 1;
    if ((s->count + 1) * 2 > s->mask) {
        seen larger = {.mask = s->mask * 2 + 1};
        larger.keys = analyze_acquire((larger.mask + 1) * sizeof *larger.keys);
        if (larger.keys == NULL) {
            return BRISK_ERR_NOMEM;
        }
        for (uint64_t i = 0; i <= s->mask && s->keys != NULL; i++) {
            bool is_new;
            if (s->keys[i] != 0 && see(&larger, s->keys[i], &is_new) != BRISK_OK) {
                break; /* not: it is large enough */
            }
        }
        forget(s);
        *s = larger;
    }
    uint64_t at = key >> 20 & s->mask;
    while (s->keys[at] != 0 && s->keys[at] != key) {
        at = (at + 1) & s->mask;
    }
    *ret_new = s->keys[at] == 0;
    s->count += *ret_new;
    s->keys[at] = key;
    return BRISK_OK;
}

static bool is_kept(const analysis *a, uint64_t key)
{
    return (key & (a->one_in - 1)) == 0;
}

static void thin_out(analysis *a)
{
    a->one_in *= 2;
    uint64_t kept = 0;
    for (uint64_t i = 0; i < a->key_count; i++) {
        if (is_kept(a, a->keys[i])) {
            a->keys[kept++] = a->keys[i];
        }
    }
    a->key_count = kept;
}

static brisk_err keep(analysis *a, uint64_t key)
{
    if (a->key_count == a->key_capacity) {
        uint64_t capacity = a->key_capacity != 0 ? a->key_capacity * 2 : SEEN_MIN;
        uint64_t *keys = analyze_acquire(capacity * sizeof *keys);
        if (keys == NULL) {
            return BRISK_ERR_NOMEM;
        }
        if (a->keys != NULL) {
            memcpy(keys, a->keys, a->key_count * sizeof *keys);
            analyze_release(a->keys, a->key_capacity * sizeof *keys);
        }
        a->keys = keys;
        a->key_capacity = capacity;
    }
    a->keys[a->key_count++] = key;
    if (!a->exact && a->key_count > SAMPLE_MAX && a->one_in < UINT32_C(1) << 30) {
        thin_out(a);
    }
    return BRISK_OK;
}

static brisk_err read_requests(analysis *a, brisk_trace_file *file, progress *p, seen *known,
                               brisk_errinfo *info)
{
    uint64_t size_sum = 0;
    brisk_trace_request request;
    brisk_err err;
    while ((err = brisk_trace_file_next(file, &request, info)) == BRISK_OK) {
        a->requests++;
        if ((a->requests & 0xffff) == 0) {
            uint64_t done;
            uint64_t all;
            brisk_trace_file_progress(file, &done, &all);
            say_progress(p, "reading", done, all);
        }
        if (!is_kept(a, request.key)) {
            continue;
        }
        bool is_new = false;
        err = see(known, request.key, &is_new);
        size_sum += is_new ? request.size : 0;
        if (err == BRISK_OK) {
            err = keep(a, request.key);
        }
        if (err != BRISK_OK) {
            return brisk_errinfo_set(info, err, "%s: out of memory", a->path);
        }
    }
    a->bytes_each = known->count != 0 ? size_sum / known->count : 0;
    return err == BRISK_ERR_NOT_FOUND ? BRISK_OK : err;
}

/* --- simulations ------------------------------------------------------------------------- */

static brisk_err simulate(analysis *a, uint32_t p, uint32_t size)
{
    uint64_t entries = a->sizes[size] / a->one_in;
    brisk_cache_sim *sim = NULL;
    brisk_err err =
        brisk_cache_sim_create(brisk_policy_name(p), entries != 0 ? entries : 1, NULL, &sim);
    if (err != BRISK_OK) {
        return err;
    }
    uint64_t misses = 0;
    for (uint64_t i = 0; i < a->key_count; i++) {
        misses += !brisk_cache_sim_request(sim, a->keys[i]);
    }
    brisk_cache_sim_destroy(sim);
    a->misses[p][size] = (double)misses / (double)a->key_count;
    return BRISK_OK;
}

static brisk_err simulate_all(analysis *a, progress *p)
{
    brisk_mrc_opts opts = {.keys_max = 1 << 16};
    brisk_err err = brisk_mrc_create(&opts, &a->curve);
    for (uint64_t i = 0; i < a->key_count && err == BRISK_OK; i++) {
        brisk_mrc_request(a->curve, a->keys[i]);
    }
    for (uint32_t s = 0; s < ANALYZE_SIZES; s++) {
        a->shares[s] = shares[s];
        a->sizes[s] = (uint64_t)((double)a->unique * shares[s]);
        a->sizes[s] = a->sizes[s] != 0 ? a->sizes[s] : 1;
        for (uint32_t q = 0; q < ANALYZE_POLICIES && err == BRISK_OK; q++) {
            err = simulate(a, q, s);
            say_progress(p, "simulating", s * ANALYZE_POLICIES + q + 1,
                         ANALYZE_SIZES * ANALYZE_POLICIES);
        }
    }
    return err;
}

brisk_err analyze_run(analysis *a, const char *path, brisk_trace_format format)
{
    brisk_errinfo info = {.text = ""};
    brisk_trace_file *file = NULL;
    progress p = {.a = a, .clock = brisk_clock_system()};
    p.begun_ns = brisk_clock_now_ns(p.clock);
    seen known = {.mask = 0};
    a->path = path;
    a->one_in = 1;
    brisk_err err = brisk_trace_file_open(path, format, NULL, &file, &info);
    if (err == BRISK_OK) {
        a->format = brisk_trace_file_format(file);
        err = read_requests(a, file, &p, &known, &info);
    }
    brisk_trace_file_close(file);
    uint64_t sampled = 0;
    for (uint64_t i = 0; i <= known.mask && known.keys != NULL; i++) {
        /* The lowest bit is set in the table: keys that differ in it count as one. */
        sampled +=
            known.keys[i] != 0 && (a->one_in == 1 || is_kept(a, known.keys[i] & ~UINT64_C(1)));
    }
    forget(&known);
    if (err == BRISK_OK && a->key_count == 0) {
        err = brisk_errinfo_set(&info, BRISK_ERR_INVALID, "%s: no requests", path);
    }
    if (err != BRISK_OK) {
        (void)fprintf(a->err, "brisk: %s\n", info.text);
        return err;
    }
    a->unique = sampled * a->one_in;
    a->least = (double)sampled / (double)a->key_count;
    err = simulate_all(a, &p);
    if (err != BRISK_OK) {
        (void)fprintf(a->err, "brisk: %s: %s\n", path, brisk_err_message(err));
    }
    return err;
}

void analyze_deinit(analysis *a)
{
    analyze_release(a->keys, a->key_capacity * sizeof *a->keys);
    brisk_mrc_destroy(a->curve);
}

double analyze_miss_ratio(const analysis *a, uint32_t p, double entries)
{
    double x = 0;
    double y = 1;
    for (uint32_t s = 0; s <= ANALYZE_SIZES; s++) {
        double next_x = s < ANALYZE_SIZES ? (double)a->sizes[s] : (double)a->unique;
        double next_y = s < ANALYZE_SIZES ? a->misses[p][s] : a->least;
        if (entries <= next_x && next_x > x) {
            return y + (next_y - y) * (entries - x) / (next_x - x);
        }
        x = next_x;
        y = next_y;
    }
    return a->least;
}

analyze_choice analyze_best(const analysis *a, double entries)
{
    analyze_choice best = {.entries = (uint64_t)entries, .miss_ratio = 2};
    for (uint32_t p = 0; p + 1 < ANALYZE_POLICIES; p++) {
        double ratio = analyze_miss_ratio(a, p, entries);
        if (ratio < best.miss_ratio) {
            best.miss_ratio = ratio;
            best.policy = brisk_policy_name(p);
        }
    }
    return best;
}
