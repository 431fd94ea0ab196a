/*
 * predict_gate.c -- watching guesses behind predict_gate.h.
 *
 * A watched guess sits in one of WAYS places after its tag's; when all are taken the oldest is
 * judged early, as wrong.  Each request looks at SWEEP places for what is overdue, so that a guess
 * is judged at most GATE_WATCHED / SWEEP requests after its time.
 *
 * Opening needs OPEN_JUDGED guesses of which OPEN_SHARE were right; two more are held against the
 * kind, so that few are not enough.  Closing is by the long share or by the recent one, whichever
 * tells first: a trace that changes costs a dozen loads.
 */
#include <assert.h>
#include <string.h>

#include "base/assert.h"
#include "cache/predict_gate.h"

static_assert(GATE_KINDS <= UINT8_MAX + 1, "a kind is a byte");

enum {
    WAYS = 8,
    SWEEP = 8,
    JUDGED_MAX = 512,
    OPEN_JUDGED = 16,
    PURSE_FIRST = 8,
    PURSE_MAX = 1000,
    LEAD_FADES = 4096, /* requests after which `lead` is halved */
};

static const float open_share = 0.92f;
static const float close_share = 0.88f;
static const float close_recent = 0.6f;
static const double undecided_cost = 0.1; /* more than open kinds waste */
static const float recent_weight = 1.0f / 16;
static const float lead_weight = 1.0f / 8;

void predict_gate_init(predict_gate *gate, double waste)
{
    memset(gate, 0, sizeof *gate);
    gate->waste = waste;
    gate->purse = PURSE_FIRST;
}

uint32_t predict_gate_kind(uint32_t order, uint32_t count, double probability, uint32_t depth)
{
    BRISK_ASSERT(order >= 1 && order <= GATE_ORDERS && depth >= 1 && depth <= GATE_DEPTHS);
    uint32_t counts = count < 3 ? 0 : count < 5 ? 1 : count < 12 ? 2 : 3;
    uint32_t shares = probability < 0.8 ? 0 : probability < 0.9 ? 1 : probability < 0.97 ? 2 : 3;
    return (((order - 1) * GATE_COUNTS + counts) * GATE_SHARES + shares) * GATE_DEPTHS + depth - 1;
}

bool predict_gate_is_open(const predict_gate *gate, uint32_t kind)
{
    return gate->kinds[kind].open;
}

bool predict_gate_trusts(const predict_gate *gate, uint32_t kind)
{
    return gate->kinds[kind].open && gate->purse - gate->undecided * undecided_cost >= 1;
}

static void pay_in(predict_gate *gate, double loads)
{
    gate->purse += loads;
    gate->purse = gate->purse < PURSE_MAX ? gate->purse : PURSE_MAX;
}

static void judge_kind(predict_gate *gate, uint32_t index, bool right)
{
    gate_kind *kind = &gate->kinds[index];
    kind->judged += 1;
    kind->right += right ? 1 : 0;
    kind->recent += ((right ? 1.0f : 0.0f) - kind->recent) * recent_weight;
    if (kind->judged >= JUDGED_MAX) {
        kind->judged /= 2;
        kind->right /= 2;
    }
    if (kind->open && (kind->right < kind->judged * close_share || kind->recent < close_recent)) {
        *kind = (gate_kind){.recent = 0};
        gate->stats.kinds_open--;
        gate->stats.closed++;
    } else if (!kind->open && kind->judged >= OPEN_JUDGED &&
               kind->right >= (kind->judged + 2) * open_share) {
        kind->open = true;
        kind->recent = kind->recent > open_share ? kind->recent : open_share;
        gate->stats.kinds_open++;
    }
}

/* The guess is decided, and its place free.  `pays`: loading it was, or would have been, of use. */
static void judge(predict_gate *gate, gate_watch *watch, bool right, bool pays)
{
    if (watch->trusted) {
        gate->stats.guesses++;
        gate->stats.right += right ? 1 : 0;
    }
    if (watch->state != GATE_CACHED) {
        judge_kind(gate, watch->kind, pays);
    }
    if (watch->state == GATE_LOADED || watch->state == GATE_LOADING) {
        gate->undecided--;
    }
    watch->state = GATE_FREE;
}

/* A load for nothing: it was not asked for in time, or was gone when it was. */
static void count_wasted(predict_gate *gate)
{
    gate->stats.wasted++;
    gate->purse -= 1;
}

static void judge_wrong(predict_gate *gate, gate_watch *watch)
{
    if (watch->state == GATE_LOADED || watch->state == GATE_LOADING) {
        count_wasted(gate);
        gate->overdue[watch->tag % GATE_OVERDUE] = watch->tag;
    }
    judge(gate, watch, false, false);
}

static uint32_t home_of(uint32_t tag)
{
    return tag * UINT32_C(2654435761) >> 16;
}

static gate_watch *place(predict_gate *gate, uint32_t tag, uint32_t way)
{
    return &gate->watched[(home_of(tag) + way) & (GATE_WATCHED - 1)];
}

bool predict_gate_watches(const predict_gate *gate, uint32_t tag, uint32_t kind)
{
    for (uint32_t way = 0; way < WAYS; way++) {
        const gate_watch *watch = &gate->watched[(home_of(tag) + way) & (GATE_WATCHED - 1)];
        if (watch->state != GATE_FREE && watch->tag == tag &&
            (watch->state != GATE_TRIAL || watch->kind == kind)) {
            return true;
        }
    }
    return false;
}

static uint32_t age_of(const predict_gate *gate, const gate_watch *watch)
{
    return (uint32_t)gate->stats.requests - watch->when;
}

static bool is_overdue(const predict_gate *gate, const gate_watch *watch)
{
    return age_of(gate, watch) > BRISK_PREDICT_WINDOW;
}

static void sweep(predict_gate *gate)
{
    for (uint32_t i = 0; i < SWEEP; i++) {
        gate_watch *watch = &gate->watched[gate->hand++ & (GATE_WATCHED - 1)];
        if (watch->state != GATE_FREE && is_overdue(gate, watch)) {
            judge_wrong(gate, watch);
        }
    }
}

/* A load took `requests` requests, or more than one less. */
static void note_lead(predict_gate *gate, uint32_t requests)
{
    gate->lead += ((float)requests - gate->lead) * lead_weight;
}

/* The key of a watched guess was asked for; `ours`: it is cached because we loaded it. */
static void meet(predict_gate *gate, gate_watch *watch, bool hit, bool ours)
{
    switch ((gate_state)watch->state) {
    case GATE_LOADED:
        if (hit) {
            gate->stats.used++;
        } else {
            count_wasted(gate); /* gone already: loading it so early does not pay */
        }
        judge(gate, watch, hit, hit);
        return;
    case GATE_LOADING:
        gate->stats.late++;
        note_lead(gate, age_of(gate, watch) + 1);
        judge(gate, watch, true, false);
        return;
    case GATE_CACHED: judge(gate, watch, !is_overdue(gate, watch), true); return;
    case GATE_TRIAL:
        if (is_overdue(gate, watch)) {
            judge(gate, watch, false, false);
        } else if (!hit || ours) {
            judge(gate, watch, true, (float)age_of(gate, watch) >= gate->lead);
        } else {
            watch->state = GATE_FREE; /* somebody else loaded it: says nothing about us */
        }
        return;
    case GATE_FREE: return;
    }
}

static void meet_all(predict_gate *gate, uint32_t tag, bool hit)
{
    gate_watch *met[WAYS];
    uint32_t count = 0;
    bool ours = false;
    for (uint32_t way = 0; way < WAYS; way++) {
        gate_watch *watch = place(gate, tag, way);
        if (watch->state != GATE_FREE && watch->tag == tag) {
            met[count++] = watch;
            ours = ours || watch->state == GATE_LOADED;
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        meet(gate, met[i], hit, ours);
    }
}

void predict_gate_request(predict_gate *gate, uint32_t tag, bool hit)
{
    gate->stats.requests++;
    if (!hit) {
        gate->stats.misses++;
        pay_in(gate, gate->waste);
    }
    if (gate->stats.requests % LEAD_FADES == 0) {
        gate->lead /= 2;
    }
    sweep(gate);
    uint32_t *overdue = &gate->overdue[tag % GATE_OVERDUE];
    if (*overdue == tag) {
        *overdue = 0;
        if (hit) {
            gate->stats.wasted--;
            gate->stats.used++;
            pay_in(gate, 1);
        }
    }
    meet_all(gate, tag, hit);
}

void predict_gate_watch(predict_gate *gate, uint32_t tag, uint32_t kind, bool trusted,
                        brisk_guess_fate fate)
{
    BRISK_ASSERT(kind < GATE_KINDS && tag != 0);
    if (fate == BRISK_GUESS_LOADING) {
        gate->stats.loads++;
        gate->undecided++;
        pay_in(gate, gate->waste);
    }
    gate->stats.trials += fate == BRISK_GUESS_SKIPPED ? 1 : 0;
    if (fate == BRISK_GUESS_CACHED && !trusted) {
        return;
    }
    gate_watch *oldest = place(gate, tag, 0);
    for (uint32_t way = 0; way < WAYS; way++) {
        gate_watch *watch = place(gate, tag, way);
        if (watch->state == GATE_FREE) {
            oldest = watch;
            break;
        }
        if ((int32_t)(watch->when - oldest->when) < 0) {
            oldest = watch;
        }
    }
    if (oldest->state != GATE_FREE) {
        judge_wrong(gate, oldest);
    }
    static const uint8_t states[] = {
        [BRISK_GUESS_CACHED] = GATE_CACHED,
        [BRISK_GUESS_SKIPPED] = GATE_TRIAL,
        [BRISK_GUESS_LOADING] = GATE_LOADING,
    };
    *oldest = (gate_watch){
        .tag = tag,
        .state = states[fate],
        .kind = (uint8_t)kind,
        .trusted = trusted,
        .when = (uint32_t)gate->stats.requests,
    };
}

void predict_gate_loaded(predict_gate *gate, uint32_t tag, bool ok)
{
    gate->stats.failed += ok ? 0 : 1;
    for (uint32_t way = 0; way < WAYS; way++) {
        gate_watch *watch = place(gate, tag, way);
        if (watch->state == GATE_LOADING && watch->tag == tag) {
            watch->state = ok ? GATE_LOADED : GATE_TRIAL;
            note_lead(gate, age_of(gate, watch));
            gate->undecided -= ok ? 0 : 1;
            return;
        }
    }
}
