/*
 * preload_sample.c -- what a sample costs and keeps: about half a microsecond, and some adding.
 *
 * The live table is open addressing with linear probing in HEAP_SHARDS parts, each with its lock.  The top bits of
 * one hash are shard, slot and bucket of the filter alike, so a bucket's counter is guarded by its shard's lock.  A
 * part that is three quarters full takes no more: such a sample counts as allocated and as lost, and the countdown
 * begins anew with a new distance, so that what follows has its own weight and not that of what was lost.
 *
 * Stacks are numbered in the order of their first sample and never removed; equality is that of a 64-bit hash.
 *
 * The random distance is -T ln(u).  T is what was asked for; by default it begins at an eighth of 512 KiB and stays
 * finer while samples are few for the time, so that small and slow programs show something, and becomes coarser when
 * the live table fills.  Each sample has the weight of its own T, so sums stay without bias.
 *
 * The file is mapped where the program writes, and a wild pointer may write there, too: what is read from it is never a
 * place or a bound without being held against the format's, and every walk has an end.
 *
 * Sources: T. Lee et al., tcmalloc's sampling (exponential distances, weight n / (1 - exp(-n / T))); D. Horvitz,
 * D. Thompson 1952 (the estimate); S. Vigna, xorshift* (random numbers).
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "observe/heap/preload.h"

enum {
    SLOT_BITS = 11,
    SHARD_BITS = 4,
    SHARD_FULL = HEAP_SHARD_ENTRIES * 3 / 4,
    INDEX_SIZE = HEAP_STACKS_MAX * 2,
    PEAK_STEP = 20, /* a peak is kept in detail when it is a twentieth higher */
};

_Static_assert(1 << SLOT_BITS == HEAP_SHARD_ENTRIES && 1 << SHARD_BITS == HEAP_SHARDS,
               "one hash gives shard and slot");
_Static_assert(SLOT_BITS + SHARD_BITS <= HEAP_FILTER_BITS, "and the bucket");

uint64_t heap_filter[(1 << HEAP_FILTER_BITS) / 64];
static uint8_t filter_counts[1 << HEAP_FILTER_BITS]; /* 255 stays */
static uint32_t shard_used[HEAP_SHARDS];
static uint32_t stack_index[INDEX_SIZE]; /* stack + 1; 0: free */
static uint32_t stacks_used = 1;         /* the head's are for readers */
static uint32_t frames_used;
static uint64_t peak_detailed;

void heap_reset_tables(void)
{
    memset(heap_filter, 0, sizeof heap_filter);
    memset(filter_counts, 0, sizeof filter_counts);
    memset(shard_used, 0, sizeof shard_used);
    memset(stack_index, 0, sizeof stack_index);
    stacks_used = 1; /* 0: those that do not fit */
    frames_used = 0;
    peak_detailed = 0;
}

static uint32_t live_count(void)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < HEAP_SHARDS; i++) {
        count += __atomic_load_n(&shard_used[i], __ATOMIC_RELAXED);
    }
    return count;
}

static void add(uint64_t *sum, uint64_t value)
{
    (void)__atomic_fetch_add(sum, value, __ATOMIC_RELAXED);
}

static void subtract(uint64_t *sum, uint64_t value)
{
    (void)__atomic_fetch_sub(sum, value, __ATOMIC_RELAXED);
}

/* --- numbers (libm is not loaded into every program for this) -------------------------------- */

/* ln(x), 0 < x <= 1; error below 1e-7. */
static double log_of(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    int exponent = (int)(bits >> 52) - 1023;
    bits = (bits & UINT64_C(0x000fffffffffffff)) | UINT64_C(0x3ff0000000000000);
    double m;
    memcpy(&m, &bits, sizeof m);
    if (m > 1.4142135623730951) {
        m *= 0.5;
        exponent++;
    }
    double s = (m - 1) / (m + 1);
    double q = s * s;
    double series = 1 + q * (1.0 / 3 + q * (1.0 / 5 + q * (1.0 / 7 + q * (1.0 / 9))));
    return exponent * 0.6931471805599453 + 2 * s * series;
}

/* 1 - exp(-x), x > 0: the chance of a block of x distances to be hit. */
static double chance_of(double x)
{
    if (x > 40) {
        return 1;
    }
    /* exp(-x) = exp(-x / 2^k)^(2^k); 1 - that, kept as a small number: f(2x) = 2 f(x) - f(x)^2. */
    uint32_t halvings = 0;
    while (x > 0.0625) {
        x *= 0.5;
        halvings++;
    }
    double f = x * (1 - x / 2 * (1 - x / 3 * (1 - x / 4 * (1 - x / 5))));
    while (halvings-- > 0) {
        f = 2 * f - f * f;
    }
    return f;
}

static uint64_t random_of(heap_thread *self)
{
    uint64_t x = self->random;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    self->random = x;
    return x * UINT64_C(0x2545f4914f6cdd1d);
}

static void draw(heap_thread *self)
{
    self->period = heap_period();
    double u = ((double)(random_of(self) >> 11) + 0.5) * 0x1p-53;
    double distance = -log_of(u) * (double)self->period;
    self->left = distance < 1 ? 1 : (uint64_t)distance;
}

/* --- filter and live table; under the shard's lock ------------------------------------------- */

static void filter_add(uint32_t bucket)
{
    if (filter_counts[bucket] < UINT8_MAX) {
        filter_counts[bucket]++;
    }
    uint64_t word = __atomic_load_n(&heap_filter[bucket >> 6], __ATOMIC_RELAXED);
    __atomic_store_n(&heap_filter[bucket >> 6], word | UINT64_C(1) << (bucket & 63),
                     __ATOMIC_RELAXED);
}

static void filter_remove(uint32_t bucket)
{
    if (filter_counts[bucket] == UINT8_MAX || --filter_counts[bucket] > 0) {
        return;
    }
    uint64_t word = __atomic_load_n(&heap_filter[bucket >> 6], __ATOMIC_RELAXED);
    __atomic_store_n(&heap_filter[bucket >> 6], word & ~(UINT64_C(1) << (bucket & 63)),
                     __ATOMIC_RELAXED);
}

static uint32_t slot_of(uint64_t address)
{
    uint32_t bucket = heap_bucket((const void *)(uintptr_t)address);
    return (bucket >> (HEAP_FILTER_BITS - SHARD_BITS - SLOT_BITS)) & (HEAP_SHARD_ENTRIES - 1);
}

static uint32_t shard_of(const void *block)
{
    return heap_bucket(block) >> (HEAP_FILTER_BITS - SHARD_BITS);
}

/* Where `address` is, or the free place where it belongs; HEAP_SHARD_ENTRIES: neither, the table is damaged. */
static uint32_t find(const heap_live *table, uint64_t address)
{
    uint32_t at = slot_of(address);
    for (uint32_t i = 0; i < HEAP_SHARD_ENTRIES; i++) {
        if (table[at].address == 0 || table[at].address == address) {
            return at;
        }
        at = (at + 1) & (HEAP_SHARD_ENTRIES - 1);
    }
    return HEAP_SHARD_ENTRIES;
}

/* Close the gap: what was moved past it by collisions moves back. */
static void erase(heap_live *table, uint32_t gap)
{
    uint32_t at = gap;
    for (uint32_t i = 0; i < HEAP_SHARD_ENTRIES; i++) {
        at = (at + 1) & (HEAP_SHARD_ENTRIES - 1);
        if (table[at].address == 0) {
            break;
        }
        uint32_t home = slot_of(table[at].address);
        uint32_t from_home = (at - home) & (HEAP_SHARD_ENTRIES - 1);
        uint32_t from_gap = (at - gap) & (HEAP_SHARD_ENTRIES - 1);
        if (from_home >= from_gap) {
            table[gap] = table[at];
            gap = at;
        }
    }
    table[gap] = (heap_live){0};
}

static uint64_t blocks_of(const heap_live *live)
{
    uint64_t blocks = live->size > 0 ? (live->weight + live->size / 2) / live->size : 1;
    return blocks > 0 ? blocks : 1;
}

static heap_stack *stack_at(uint32_t id)
{
    return &heap_file.stacks[id < HEAP_STACKS_MAX ? id : 0];
}

static void count_live(const heap_live *live)
{
    heap_stack *stack = stack_at(live->stack);
    add(&stack->live_bytes, live->weight);
    add(&stack->live_blocks, blocks_of(live));
    add(&heap_file.head->live_bytes, live->weight);
    (void)__atomic_fetch_add(&stack->live_samples, 1, __ATOMIC_RELAXED);
}

static void count_dead(const heap_live *live)
{
    heap_stack *stack = stack_at(live->stack);
    subtract(&stack->live_bytes, live->weight);
    subtract(&stack->live_blocks, blocks_of(live));
    subtract(&heap_file.head->live_bytes, live->weight);
    (void)__atomic_fetch_sub(&stack->live_samples, 1, __ATOMIC_RELAXED);
}

/* False: no room. */
static bool put(const heap_live *live)
{
    const void *block = (const void *)(uintptr_t)live->address;
    uint32_t shard = shard_of(block);
    heap_live *table = &heap_file.live[shard * HEAP_SHARD_ENTRIES];
    heap_lock_take(&heap_lock->shards[shard]);
    uint32_t at = find(table, live->address);
    bool whole = at < HEAP_SHARD_ENTRIES;
    bool taken = whole && table[at].address != 0;
    heap_live was = whole ? table[at] : (heap_live){0};
    bool fits = taken || (whole && shard_used[shard] < SHARD_FULL);
    if (fits) {
        table[at] = *live;
        if (!taken) {
            __atomic_store_n(&shard_used[shard], shard_used[shard] + 1, __ATOMIC_RELAXED);
            filter_add(heap_bucket(block));
        }
    }
    heap_lock_drop(&heap_lock->shards[shard]);
    if (taken) { /* freed behind our back */
        count_dead(&was);
    }
    if (fits) {
        count_live(live);
    }
    return fits;
}

static bool take(const void *block, heap_live *was)
{
    uint32_t shard = shard_of(block);
    heap_live *table = &heap_file.live[shard * HEAP_SHARD_ENTRIES];
    heap_lock_take(&heap_lock->shards[shard]);
    uint32_t at = find(table, (uint64_t)(uintptr_t)block);
    bool found = at < HEAP_SHARD_ENTRIES && table[at].address != 0;
    if (found) {
        *was = table[at];
        erase(table, at);
        uint32_t used = shard_used[shard];
        __atomic_store_n(&shard_used[shard], used > 0 ? used - 1 : 0, __ATOMIC_RELAXED);
        filter_remove(heap_bucket(block));
    }
    heap_lock_drop(&heap_lock->shards[shard]);
    if (found) {
        count_dead(was);
    }
    return found;
}

/* --- stacks --------------------------------------------------------------------------------- */

static uint64_t hash_of(const uint64_t *pcs, uint32_t count)
{
    uint64_t hash = count;
    for (uint32_t i = 0; i < count; i++) {
        hash = (hash ^ pcs[i]) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 29;
    }
    return hash;
}

/* The stack's place in the index: it, or a free one. */
static uint32_t index_find(uint64_t hash)
{
    uint32_t at = (uint32_t)(hash >> 20) & (INDEX_SIZE - 1);
    for (;;) {
        uint32_t id = __atomic_load_n(&stack_index[at], __ATOMIC_ACQUIRE);
        if (id == 0 || heap_file.stacks[id - 1].hash == hash) {
            return at;
        }
        at = (at + 1) & (INDEX_SIZE - 1);
    }
}

static bool is_mapped_code(const uint64_t *pcs, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (heap_module_of((uintptr_t)pcs[i] - 1) == NULL) {
            return false;
        }
    }
    return true;
}

/* Under the lock `stacks`.  0: no room. */
static uint32_t add_stack(const uint64_t *pcs, uint32_t count, uint64_t hash)
{
    heap_head *head = heap_file.head;
    uint32_t id = stacks_used;
    if (id >= HEAP_STACKS_MAX || HEAP_FRAMES_MAX - frames_used < count) {
        return 0;
    }
    memcpy(&heap_file.frames[frames_used], pcs, count * sizeof *pcs);
    heap_file.stacks[id] = (heap_stack){.hash = hash, .first = frames_used, .depth = count};
    frames_used += count;
    stacks_used++;
    __atomic_store_n(&head->frame_count, frames_used, __ATOMIC_RELEASE);
    __atomic_store_n(&head->stack_count, stacks_used, __ATOMIC_RELEASE);
    return id;
}

static uint32_t stack_of(const uint64_t *pcs, uint32_t count)
{
    uint64_t hash = hash_of(pcs, count);
    uint32_t known = __atomic_load_n(&stack_index[index_find(hash)], __ATOMIC_ACQUIRE);
    if (known != 0) {
        return known - 1;
    }
    heap_lock_take(&heap_lock->stacks);
    uint32_t at = index_find(hash);
    uint32_t id = 0;
    if (stack_index[at] != 0) {
        id = stack_index[at] - 1;
    } else {
        id = add_stack(pcs, count, hash);
        if (id != 0) {
            __atomic_store_n(&stack_index[at], id + 1, __ATOMIC_RELEASE);
        }
    }
    heap_lock_drop(&heap_lock->stacks);
    if (!is_mapped_code(pcs, count)) {
        heap_lock_take(&heap_lock->walk);
        heap_read_maps();
        heap_lock_drop(&heap_lock->walk);
    }
    return id;
}

/* --- a sample ------------------------------------------------------------------------------- */

static void keep_peak(uint64_t now_ns)
{
    heap_head *head = heap_file.head;
    uint64_t live = __atomic_load_n(&head->live_bytes, __ATOMIC_RELAXED);
    if (live <= __atomic_load_n(&head->peak_bytes, __ATOMIC_RELAXED) || live > INT64_MAX) {
        return;
    }
    __atomic_store_n(&head->peak_bytes, live, __ATOMIC_RELAXED);
    __atomic_store_n(&head->peak_ns, now_ns, __ATOMIC_RELAXED);
    uint64_t before = __atomic_load_n(&peak_detailed, __ATOMIC_RELAXED);
    if (live < before + before / PEAK_STEP) {
        return;
    }
    __atomic_store_n(&peak_detailed, live, __ATOMIC_RELAXED);
    uint32_t count = __atomic_load_n(&head->stack_count, __ATOMIC_ACQUIRE);
    for (uint32_t i = 0; i < count && i < HEAP_STACKS_MAX; i++) {
        __atomic_store_n(&heap_file.stacks[i].peak_bytes,
                         __atomic_load_n(&heap_file.stacks[i].live_bytes, __ATOMIC_RELAXED),
                         __ATOMIC_RELAXED);
    }
}

static void sample(heap_thread *self, void *block, size_t size, const void *frame)
{
    uint64_t pcs[HEAP_DEPTH_MAX];
    heap_head *head = heap_file.head;
    double weight = (double)size / chance_of((double)size / (double)self->period);
    uint64_t now = heap_now_ns();
    self->samples++;
    uint32_t count = heap_walk(frame, pcs);
    heap_live live = {.address = (uint64_t)(uintptr_t)block,
                      .size = size,
                      .weight = weight < 1e18 ? (uint64_t)weight : (uint64_t)1e18,
                      .stack = stack_of(pcs, count),
                      .born_ms = (uint32_t)((now - head->start_ns) / 1000000)};
    heap_stack *stack = &heap_file.stacks[live.stack];
    uint64_t samples = __atomic_add_fetch(&head->samples, 1, __ATOMIC_RELAXED);
    add(&head->alloc_bytes, live.weight);
    add(&stack->alloc_bytes, live.weight);
    add(&stack->alloc_blocks, blocks_of(&live));
    (void)__atomic_fetch_add(&stack->samples, 1, __ATOMIC_RELAXED);
    if (!put(&live)) {
        add(&head->lost_samples, 1);
        add(&head->lost_bytes, live.weight);
    }
    __atomic_store_n(&head->now_ns, now, __ATOMIC_RELAXED);
    keep_peak(now);
    heap_adjust(samples, live_count(), now);
    heap_tick(now);
}

/*
 * Inside, nothing is sampled, and the thread is not cancelled: malloc is no place where that happens, but open and
 * read are, and a thread that ended there would leave a lock held.
 */
static int enter(heap_thread *self)
{
    int before = PTHREAD_CANCEL_ENABLE;
    self->busy = 1;
    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
    return before;
}

static void leave(heap_thread *self, int before)
{
    (void)pthread_setcancelstate(before, NULL);
    self->busy = 0;
}

/* What signal handlers freed while this thread was inside. */
static void settle(heap_thread *self)
{
    heap_live was;
    while (self->pending_count > 0) {
        void *block = self->pending[--self->pending_count];
        if (heap_file.head != NULL) {
            (void)take(block, &was);
        }
    }
}

static void count_inside(heap_thread *self, void *block, size_t size, const void *frame)
{
    if (self->period == 0) {
        if (heap_period() == 0) {
            self->left = heap_is_off() ? UINT64_MAX : 0;
            return;
        }
        self->random = heap_seed() | 1;
        draw(self);
        if (size < self->left) { /* a thread's first block is nothing special */
            self->left -= size;
            return;
        }
    }
    if (!heap_ready()) {
        self->left = UINT64_MAX;
        return;
    }
    if (block != NULL) {
        sample(self, block, size, frame);
    }
    draw(self);
}

void heap_count(void *block, size_t size, const void *frame)
{
    heap_thread *self = &heap_self;
    if (self->busy != 0) {
        return;
    }
    int saved = errno;
    int before = enter(self);
    count_inside(self, block, size, frame);
    settle(self);
    leave(self, before);
    errno = saved;
}

bool heap_forget(void *block, heap_live *was)
{
    heap_thread *self = &heap_self;
    if (self->busy != 0) { /* a signal handler: this thread may hold a lock */
        if (self->pending_count < HEAP_PENDING_MAX) {
            self->pending[self->pending_count++] = block;
        }
        return false;
    }
    if (heap_lock == NULL) {
        return false;
    }
    int saved = errno;
    int before = enter(self);
    bool found = heap_ready() && take(block, was);
    settle(self);
    leave(self, before);
    errno = saved;
    return found;
}

void heap_restore(const heap_live *was)
{
    heap_thread *self = &heap_self;
    if (self->busy == 0) {
        int before = enter(self);
        (void)put(was);
        settle(self);
        leave(self, before);
    }
}
