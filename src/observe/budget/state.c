/*
 * state.c -- what a watch remembers, in a file for the next one: alerts and the totals that burn rates are made of.
 *
 *     "BRSKBDG1"  time of writing  count  { name  fingerprint  alert  burn }*  hash of all before
 *
 * Numbers are 64 bits in this machine's order; the file is for this machine.  Times are ages when it was written, for
 * the monotonic clock begins anew with the machine.  The gap between two watches:
 *
 *   - burn rates: totals go on counting in between when who counts them ran on, and so nothing is missing; when they
 *     began anew, what was counted in between and lost with it is in no window.
 *   - a firing alert fires on and is not told as new; whether it is over is seen as always, from then on.
 *   - waits (`for`) count the time that was watched: the gap is no part of them.  A pending alert that nobody
 *     looked at for more than a minute is none any more.
 *
 * A budget whose rules were changed begins anew.  Whatever is wrong with the file, nothing of it is used.
 *
 * Threads: none of its own.
 */
#include <string.h>

#include <brisk/hash.h>

#include "observe/budget/budget.h"

enum { MAGIC_BYTES = 8, NAME_MAX_BYTES = 4096, FORMAT_SEED = 1 };

static const char magic[MAGIC_BYTES + 1] = "BRSKBDG1";
static const uint64_t pending_gap_ns = 60 * UINT64_C(1000000000);
static const uint64_t window_ns = (3 * 86400 + 600) * UINT64_C(1000000000);

/* --- writing -------------------------------------------------------------------------------- */

static void put(brisk_str *out, uint64_t number)
{
    brisk_str_append(out, (const char *)&number, sizeof number);
}

static void put_age(brisk_str *out, uint64_t now_ns, uint64_t then_ns)
{
    put(out, now_ns - then_ns); /* alerts' clocks may wrap, see alert_from */
}

/* All that decides what a result means. */
static uint64_t fingerprint_of(const brisk_budget *b)
{
    brisk_hasher h;
    const char *texts[] = {b->metric, b->bad, b->stage, b->workload};
    const double numbers[] = {b->warning, b->critical, b->objective};
    const uint64_t whole[] = {(uint64_t)b->statistic, b->above, b->for_ns, b->window_ns};
    brisk_hasher_init(&h, FORMAT_SEED);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        brisk_hasher_update(&h, texts[i], strlen(texts[i]) + 1);
    }
    for (uint32_t i = 0; i < b->label_count; i++) {
        brisk_hasher_update(&h, b->labels[i].name, strlen(b->labels[i].name) + 1);
        brisk_hasher_update(&h, b->labels[i].value, strlen(b->labels[i].value) + 1);
    }
    brisk_hasher_update(&h, numbers, sizeof numbers);
    brisk_hasher_update(&h, whole, sizeof whole);
    return brisk_hasher_digest64(&h);
}

static void put_points(brisk_str *out, const burn_point *points, uint64_t count, uint32_t capacity,
                       uint64_t now_ns)
{
    uint64_t kept = count < capacity ? count : capacity;
    put(out, kept);
    for (uint64_t i = count - kept; i < count; i++) {
        const burn_point *p = &points[i % capacity];
        put_age(out, now_ns, p->at_ns);
        put(out, p->bad);
        put(out, p->total);
    }
}

void budget_state_begin(brisk_str *out, uint64_t wall_ns, uint32_t count)
{
    brisk_str_append(out, magic, MAGIC_BYTES);
    put(out, wall_ns);
    put(out, count);
}

void budget_state_add(brisk_str *out, const brisk_budget *budget, const budget_memory *memory,
                      uint64_t now_ns)
{
    const budget_alert *a = memory->alert;
    const budget_burn *burn = memory->burn;
    size_t name = strlen(budget->name);
    put(out, name);
    brisk_str_append(out, budget->name, name);
    put(out, fingerprint_of(budget));
    put(out, (uint64_t)a->state);
    put(out, (uint64_t)a->severity);
    put(out, a->count);
    put(out, *memory->state_wall_ns);
    put_age(out, now_ns, a->since_ns);
    put_age(out, now_ns, a->told_ns);
    put(out, a->good_ns != 0);
    put_age(out, now_ns, a->good_ns);
    put(out, a->lower_ns != 0);
    put_age(out, now_ns, a->lower_ns);
    put(out, burn != NULL);
    if (burn != NULL) {
        put(out, burn->bad_raw);
        put(out, burn->total_raw);
        put(out, burn->bad_base);
        put(out, burn->total_base);
        put_points(out, burn->fine, burn->fine_count, BURN_FINE + 1, now_ns + BURN_EPOCH_NS);
        put_points(out, burn->coarse, burn->coarse_count, BURN_COARSE + 1, now_ns + BURN_EPOCH_NS);
    }
}

void budget_state_end(brisk_str *out)
{
    put(out, brisk_hash64(brisk_str_text(out), brisk_str_size(out), FORMAT_SEED));
}

/* --- reading -------------------------------------------------------------------------------- */

typedef struct input {
    const unsigned char *data;
    size_t size;
    size_t at;
    bool bad;
} input;

static uint64_t get(input *in)
{
    uint64_t number = 0;
    if (in->bad || in->size - in->at < sizeof number) {
        in->bad = true;
        return 0;
    }
    memcpy(&number, in->data + in->at, sizeof number);
    in->at += sizeof number;
    return number;
}

/* At most `most`, else it is bad. */
static uint64_t get_max(input *in, uint64_t most)
{
    uint64_t number = get(in);
    in->bad = in->bad || number > most;
    return in->bad ? 0 : number;
}

/* Times of an alert: differences to now, which may wrap when the machine is younger than they are. */
static void get_alert(input *in, const budget_gap *gap, budget_alert *a, uint64_t *wall_ns)
{
    a->state = (brisk_alert_state)get_max(in, BRISK_ALERT_FIRING);
    a->severity = (brisk_severity)get_max(in, BRISK_SEVERITY_CRITICAL);
    a->count = get(in);
    *wall_ns = get(in);
    uint64_t gap_of_since = a->state == BRISK_ALERT_PENDING ? 0 : gap->gap_ns;
    a->since_ns = gap->now_ns - get(in) - gap_of_since;
    a->told_ns = gap->now_ns - get(in) - gap->gap_ns;
    bool is_good = get_max(in, 1) != 0;
    uint64_t good_ns = gap->now_ns - get(in);
    a->good_ns = is_good ? good_ns : 0;
    bool is_lower = get_max(in, 1) != 0;
    uint64_t lower_ns = gap->now_ns - get(in);
    a->lower_ns = is_lower ? lower_ns : 0;
    if (a->state == BRISK_ALERT_PENDING && gap->gap_ns > pending_gap_ns) {
        a->state = BRISK_ALERT_IDLE;
    }
}

/* Points must go forward in all three numbers; those that no window reaches are left out. */
static void get_points(input *in, const budget_gap *gap, burn_point *points, uint64_t *count,
                       uint32_t capacity)
{
    uint64_t listed = get_max(in, capacity);
    burn_point last = {0};
    *count = 0;
    for (uint64_t i = 0; i < listed && !in->bad; i++) {
        uint64_t age = get(in);
        burn_point p = {.bad = get(in), .total = get(in)};
        bool reached = age <= window_ns && gap->gap_ns <= window_ns - age;
        p.at_ns = reached ? gap->now_ns + BURN_EPOCH_NS - gap->gap_ns - age : 0;
        in->bad = in->bad || p.bad > p.total || p.bad < last.bad || p.total < last.total ||
                  (reached && p.at_ns < last.at_ns);
        last = p;
        if (reached && !in->bad) {
            points[(*count)++] = p;
        }
    }
}

static void get_burn(input *in, const budget_gap *gap, budget_burn *burn)
{
    burn->bad_raw = get(in);
    burn->total_raw = get(in);
    burn->bad_base = get(in);
    burn->total_base = get(in);
    get_points(in, gap, burn->fine, &burn->fine_count, BURN_FINE + 1);
    get_points(in, gap, burn->coarse, &burn->coarse_count, BURN_COARSE + 1);
}

/* One that the budgets have and that is as it was; NULL: none. */
static const budget_memory *find(const brisk_budgets *budgets, const budget_memory *memories,
                                 const char *name, size_t size, uint64_t fingerprint)
{
    for (uint32_t i = 0; i < budgets->count; i++) {
        const brisk_budget *b = &budgets->items[i];
        if (strlen(b->name) == size && memcmp(b->name, name, size) == 0) {
            return fingerprint_of(b) == fingerprint ? &memories[i] : NULL;
        }
    }
    return NULL;
}

/* The next budget of the file, into `scratch` first. */
static void get_budget(input *in, const brisk_budgets *budgets, const budget_memory *memories,
                       budget_burn *scratch, budget_gap *gap)
{
    size_t size = (size_t)get_max(in, NAME_MAX_BYTES);
    if (in->bad || in->size - in->at < size) {
        in->bad = true;
        return;
    }
    const char *name = (const char *)in->data + in->at;
    in->at += size;
    uint64_t fingerprint = get(in);
    budget_alert alert = {0};
    uint64_t wall_ns = 0;
    get_alert(in, gap, &alert, &wall_ns);
    bool burns = get_max(in, 1) != 0;
    if (burns) {
        get_burn(in, gap, scratch);
    }
    const budget_memory *to = in->bad ? NULL : find(budgets, memories, name, size, fingerprint);
    if (to == NULL || burns != (to->burn != NULL)) {
        return;
    }
    *to->alert = alert;
    *to->state_wall_ns = wall_ns;
    if (burns) {
        *to->burn = *scratch;
    }
    gap->restored++;
}

brisk_err budget_state_read(const void *data, size_t size, const brisk_budgets *budgets,
                            const budget_memory *memories, budget_burn *scratch, budget_gap *gap)
{
    input in = {.data = data, .size = size, .at = MAGIC_BYTES};
    uint64_t hash = 0;
    if (size < MAGIC_BYTES + sizeof hash || memcmp(data, magic, MAGIC_BYTES) != 0) {
        return BRISK_ERR_CORRUPT;
    }
    in.size -= sizeof hash;
    memcpy(&hash, in.data + in.size, sizeof hash);
    if (hash != brisk_hash64(data, in.size, FORMAT_SEED)) {
        return BRISK_ERR_CORRUPT;
    }
    uint64_t wall_ns = get(&in);
    uint64_t count = get_max(&in, BRISK_BUDGETS_MAX);
    /* A clock that was set back: the gap is not known, and taken for none. */
    gap->gap_ns = gap->wall_ns > wall_ns ? gap->wall_ns - wall_ns : 0;
    for (uint64_t i = 0; i < count && !in.bad; i++) {
        get_budget(&in, budgets, memories, scratch, gap);
    }
    return in.bad || in.at != in.size ? BRISK_ERR_CORRUPT : BRISK_OK;
}
