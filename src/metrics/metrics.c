/*
 * metrics.c -- the registry behind <brisk/metrics.h>: names, labels, instruments, collectors.
 *
 * A family is a name, a series a name with labels.  Both are found by texts: the name with '_' for '.',
 * behind it for a series each label as "\1name\2value", sorted by name; \1 and \2 cannot be in a name, and
 * are replaced in values, so that two different lists of labels never have one key.
 *
 * Everything but histograms lies in one arena: instruments live as long as the registry.
 */
#include <assert.h>
#include <string.h>

#include "base/assert.h"
#include "metrics/registry.h"

enum { ARENA_CHUNK = 65536 };

static_assert(BRISK_LABEL_NAME_MAX + BRISK_LABEL_VALUE_MAX + 2 <= 330,
              "REGISTRY_KEY_MAX is enough");

static const brisk_label overflow_label = {"overflow", "true"};

const char *brisk_metric_kind_name(brisk_metric_kind kind)
{
    static const char *const names[] = {"counter", "gauge", "histogram"};
    return (size_t)kind < sizeof names / sizeof names[0] ? names[kind] : "unknown";
}

const char *brisk_unit_name(brisk_unit unit)
{
    static const char *const names[] = {"", "ns", "bytes", "ratio", "celsius", "hertz"};
    return (size_t)unit < sizeof names / sizeof names[0] ? names[unit] : "";
}

/* ---- single numbers ------------------------------------------------------------------------ */

static double to_double(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint64_t to_bits(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* Relaxed, all of them: a figure publishes nothing but itself. */
void brisk_gauge_set(brisk_gauge *gauge, double value)
{
    __atomic_store_n(&gauge->bits_, to_bits(value), __ATOMIC_RELAXED);
}

void brisk_gauge_add(brisk_gauge *gauge, double amount)
{
    uint64_t old = __atomic_load_n(&gauge->bits_, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&gauge->bits_, &old, to_bits(to_double(old) + amount), 1,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
}

double brisk_gauge_read(const brisk_gauge *gauge)
{
    return to_double(__atomic_load_n(&gauge->bits_, __ATOMIC_RELAXED));
}

void brisk_total_set(brisk_total *total, uint64_t value)
{
    __atomic_store_n(&total->value_, value, __ATOMIC_RELAXED);
}

uint64_t brisk_total_read(const brisk_total *total)
{
    return __atomic_load_n(&total->value_, __ATOMIC_RELAXED);
}

/* ---- the registry -------------------------------------------------------------------------- */

void registry_lock(pthread_mutex_t *lock)
{
    int failed = pthread_mutex_lock(lock);
    BRISK_ASSERT(failed == 0);
}

void registry_unlock(pthread_mutex_t *lock)
{
    int failed = pthread_mutex_unlock(lock);
    BRISK_ASSERT(failed == 0);
}

static void init(brisk_metrics *metrics, const brisk_metrics_opts *opts)
{
    brisk_metrics_opts o = opts != NULL ? *opts : (brisk_metrics_opts){0};
    *metrics = (brisk_metrics){
        .alloc = o.alloc != NULL ? o.alloc : brisk_alloc_libc(),
        .clock = o.clock != NULL ? o.clock : brisk_clock_system(),
        .series_max = o.series_max != 0 ? o.series_max : BRISK_METRICS_SERIES_DEFAULT,
    };
    int failed = pthread_mutex_init(&metrics->lock, NULL);
    BRISK_ASSERT(failed == 0);
    failed = pthread_mutex_init(&metrics->collecting, NULL);
    BRISK_ASSERT(failed == 0);
    brisk_map_init(&metrics->families, metrics->alloc);
    brisk_map_init(&metrics->series, metrics->alloc);
}

/* File-scope state: the process's registry, so that any layer can count. */
static brisk_metrics process;

static void init_process(void)
{
    init(&process, NULL);
}

brisk_metrics *brisk_metrics_default(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    int failed = pthread_once(&once, init_process);
    BRISK_ASSERT(failed == 0);
    return &process;
}

brisk_err brisk_metrics_create(const brisk_metrics_opts *opts, brisk_metrics **ret)
{
    BRISK_ASSERT(ret != NULL);
    const brisk_alloc *alloc =
        opts != NULL && opts->alloc != NULL ? opts->alloc : brisk_alloc_libc();
    brisk_metrics *metrics = alloc->acquire(alloc->ctx, sizeof *metrics, _Alignof(brisk_metrics));
    if (metrics == NULL) {
        return BRISK_ERR_NOMEM;
    }
    init(metrics, opts);
    *ret = metrics;
    return BRISK_OK;
}

void brisk_metrics_destroy(brisk_metrics *metrics)
{
    if (metrics == NULL) {
        return;
    }
    BRISK_ASSERT(metrics != &process);
    for (size_t i = 0; i < metrics->series.entries.count; i++) {
        registry_series *series = metrics->series.entries.items[i].value;
        if (series->family->source == REGISTRY_HISTOGRAM) {
            brisk_histogram_destroy(series->of.histogram);
        }
    }
    brisk_map_deinit(&metrics->series);
    brisk_map_deinit(&metrics->families);
    brisk_arena_destroy(metrics->arena);
    (void)pthread_mutex_destroy(&metrics->lock);
    (void)pthread_mutex_destroy(&metrics->collecting);
    metrics->alloc->release(metrics->alloc->ctx, metrics, sizeof *metrics, _Alignof(brisk_metrics));
}

/* ---- names --------------------------------------------------------------------------------- */

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_name(const char *name, size_t size_max, bool dots)
{
    size_t length = name != NULL ? strnlen(name, size_max) : 0;
    if (length == 0 || length == size_max) {
        return false;
    }
    bool first = true;
    for (size_t i = 0; i < length; i++) {
        bool digit = name[i] >= '0' && name[i] <= '9';
        if (dots && name[i] == '.' && !first) {
            first = true;
        } else if (is_letter(name[i]) || (digit && !first)) {
            first = false;
        } else {
            return false;
        }
    }
    return !first;
}

/* Bytes of `text` that fit into `size_max` with a terminator, not ending within a character. */
static size_t cut(const char *text, size_t size_max)
{
    size_t length = strnlen(text, size_max);
    if (length == size_max) {
        length--;
        while (length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80) {
            length--;
        }
    }
    return length;
}

static size_t add_plain(char *to, const char *name)
{
    size_t length = strlen(name);
    for (size_t i = 0; i < length; i++) {
        to[i] = (char)(name[i] == '.' ? '_' : name[i]);
    }
    to[length] = '\0';
    return length;
}

static size_t add_label(char *to, const brisk_label *label)
{
    size_t size = 0;
    size_t name = strlen(label->name);
    size_t value = cut(label->value, BRISK_LABEL_VALUE_MAX);
    to[size++] = '\1';
    memcpy(to + size, label->name, name);
    size += name;
    to[size++] = '\2';
    for (size_t i = 0; i < value; i++) {
        char c = label->value[i];
        to[size++] = (char)(c == '\1' || c == '\2' ? '?' : c);
    }
    to[size] = '\0';
    return size;
}

brisk_err registry_key(const char *name, const brisk_label *labels, uint32_t count,
                       brisk_label sorted[BRISK_LABELS_MAX], char key[REGISTRY_KEY_MAX])
{
    if (!is_name(name, BRISK_METRIC_NAME_MAX, true) || count > BRISK_LABELS_MAX) {
        return BRISK_ERR_INVALID;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!is_name(labels[i].name, BRISK_LABEL_NAME_MAX, false) || labels[i].value == NULL) {
            return BRISK_ERR_INVALID;
        }
        uint32_t at = i;
        for (; at > 0; at--) {
            int order = strcmp(sorted[at - 1].name, labels[i].name);
            if (order == 0) {
                return BRISK_ERR_INVALID;
            }
            if (order < 0) {
                break;
            }
            sorted[at] = sorted[at - 1];
        }
        sorted[at] = labels[i];
    }
    size_t size = add_plain(key, name);
    for (uint32_t i = 0; i < count; i++) {
        size += add_label(key + size, &sorted[i]);
    }
    BRISK_ASSERT(size < REGISTRY_KEY_MAX);
    return BRISK_OK;
}

/* ---- making -------------------------------------------------------------------------------- */

static brisk_metric_kind kind_of(registry_source source)
{
    switch (source) {
    case REGISTRY_GAUGE:
    case REGISTRY_RATIO: return BRISK_METRIC_GAUGE;
    case REGISTRY_HISTOGRAM: return BRISK_METRIC_HISTOGRAM;
    case REGISTRY_COUNTER:
    case REGISTRY_TOTAL:
    default: return BRISK_METRIC_COUNTER;
    }
}

static bool have_arena(brisk_metrics *metrics)
{
    brisk_arena_opts opts = {.chunk_bytes = ARENA_CHUNK, .alloc = metrics->alloc};
    return metrics->arena != NULL || brisk_arena_create(&opts, &metrics->arena) == BRISK_OK;
}

static brisk_err add_family(brisk_metrics *metrics, const brisk_metric_desc *desc,
                            registry_source source, registry_family **ret)
{
    if (metrics->families.entries.count >= BRISK_METRICS_NAMES_MAX) {
        return BRISK_ERR_LIMIT;
    }
    const char *help = desc->help != NULL ? desc->help : "";
    registry_family *family = brisk_arena_calloc(metrics->arena, 1, sizeof *family);
    char *name = brisk_arena_copy(metrics->arena, desc->name, strlen(desc->name));
    char *plain = brisk_arena_copy(metrics->arena, desc->name, strlen(desc->name));
    char *copy = brisk_arena_copy(metrics->arena, help, cut(help, BRISK_METRIC_HELP_MAX));
    if (family == NULL || name == NULL || plain == NULL || copy == NULL) {
        return BRISK_ERR_NOMEM;
    }
    (void)add_plain(plain, name);
    *family = (registry_family){
        .name = name, .plain = plain, .help = copy, .unit = desc->unit, .source = source};
    brisk_err err = brisk_map_add(&metrics->families, plain, family);
    if (err == BRISK_OK) {
        *ret = family;
    }
    return err;
}

static brisk_err need_family(brisk_metrics *metrics, const brisk_metric_desc *desc,
                             registry_source source, registry_family **ret)
{
    char plain[BRISK_METRIC_NAME_MAX];
    (void)add_plain(plain, desc->name);
    registry_family *family = brisk_map_get(&metrics->families, plain);
    if (family == NULL) {
        return add_family(metrics, desc, source, ret);
    }
    if (family->source != source || family->unit != desc->unit ||
        strcmp(family->name, desc->name) != 0) {
        return BRISK_ERR_CONFLICT;
    }
    *ret = family;
    return BRISK_OK;
}

static brisk_err make_instrument(brisk_metrics *metrics, registry_series *series)
{
    brisk_arena *arena = metrics->arena;
    switch (series->family->source) {
    case REGISTRY_COUNTER:
        series->of.counter = brisk_arena_alloc_aligned(arena, sizeof(brisk_counter), 64);
        if (series->of.counter != NULL) {
            memset(series->of.counter, 0, sizeof(brisk_counter));
        }
        return series->of.counter != NULL ? BRISK_OK : BRISK_ERR_NOMEM;
    case REGISTRY_TOTAL:
        series->of.total = brisk_arena_calloc(arena, 1, sizeof(brisk_total));
        return series->of.total != NULL ? BRISK_OK : BRISK_ERR_NOMEM;
    case REGISTRY_GAUGE:
        series->of.gauge = brisk_arena_calloc(arena, 1, sizeof(brisk_gauge));
        return series->of.gauge != NULL ? BRISK_OK : BRISK_ERR_NOMEM;
    case REGISTRY_RATIO:
        series->of.ratio = brisk_arena_calloc(arena, 1, sizeof(registry_ratio));
        return series->of.ratio != NULL ? BRISK_OK : BRISK_ERR_NOMEM;
    case REGISTRY_HISTOGRAM:
    default: return brisk_histogram_create(metrics->alloc, &series->of.histogram);
    }
}

static const brisk_label *copy_labels(brisk_arena *arena, const brisk_label *labels, uint32_t count)
{
    brisk_label *copies = brisk_arena_calloc(arena, count + 1, sizeof *copies);
    for (uint32_t i = 0; copies != NULL && i < count; i++) {
        copies[i].name = brisk_arena_copy(arena, labels[i].name, strlen(labels[i].name));
        copies[i].value =
            brisk_arena_copy(arena, labels[i].value, cut(labels[i].value, BRISK_LABEL_VALUE_MAX));
        if (copies[i].name == NULL || copies[i].value == NULL) {
            return NULL;
        }
    }
    return copies;
}

/* Sorted labels and the key they make. */
typedef struct identity {
    const brisk_label *labels;
    uint32_t count;
    const char *key;
} identity;

/* A series that is not there yet. */
static brisk_err add_series(brisk_metrics *metrics, registry_family *family, const identity *id,
                            registry_series **ret)
{
    registry_series *series = brisk_arena_calloc(metrics->arena, 1, sizeof *series);
    const brisk_label *copies = copy_labels(metrics->arena, id->labels, id->count);
    char *key_copy = brisk_arena_copy(metrics->arena, id->key, strlen(id->key));
    if (series == NULL || copies == NULL || key_copy == NULL) {
        return BRISK_ERR_NOMEM;
    }
    series->family = family;
    series->key = key_copy;
    series->labels = copies;
    series->label_count = id->count;
    brisk_err err = make_instrument(metrics, series);
    if (err != BRISK_OK) {
        return err;
    }
    err = brisk_map_add(&metrics->series, key_copy, series);
    if (err != BRISK_OK) {
        if (family->source == REGISTRY_HISTOGRAM) {
            brisk_histogram_destroy(series->of.histogram);
        }
        return err;
    }
    family->series_count++;
    *ret = series;
    return BRISK_OK;
}

/* The series for whatever comes beyond series_max. */
static brisk_err need_overflow(brisk_metrics *metrics, registry_family *family,
                               registry_series **ret)
{
    if (family->overflow == NULL) {
        brisk_label sorted[BRISK_LABELS_MAX];
        char key[REGISTRY_KEY_MAX];
        brisk_err err = registry_key(family->name, &overflow_label, 1, sorted, key);
        BRISK_ASSERT(err == BRISK_OK);
        family->overflow = brisk_map_get(&metrics->series, key); /* a user's own, perhaps */
        if (family->overflow == NULL) {
            identity id = {&overflow_label, 1, key};
            err = add_series(metrics, family, &id, &family->overflow);
            if (err != BRISK_OK) {
                return err;
            }
        }
    }
    *ret = family->overflow;
    return BRISK_OK;
}

brisk_err registry_need(brisk_metrics *metrics, const brisk_metric_desc *desc,
                        registry_source source, registry_series **ret)
{
    brisk_label sorted[BRISK_LABELS_MAX];
    char key[REGISTRY_KEY_MAX];
    brisk_err err = registry_key(desc->name, desc->labels, desc->label_count, sorted, key);
    if (err != BRISK_OK) {
        return err;
    }
    if (!have_arena(metrics)) {
        return BRISK_ERR_NOMEM;
    }
    registry_family *family;
    err = need_family(metrics, desc, source, &family);
    if (err != BRISK_OK) {
        return err;
    }
    registry_series *series = brisk_map_get(&metrics->series, key);
    if (series != NULL) {
        *ret = series;
        return BRISK_OK;
    }
    if (family->series_count >= metrics->series_max ||
        metrics->series.entries.count >= BRISK_METRICS_TOTAL_MAX) {
        return need_overflow(metrics, family, ret);
    }
    return add_series(metrics, family, &(identity){sorted, desc->label_count, key}, ret);
}

static brisk_err need(brisk_metrics *metrics, const brisk_metric_desc *desc, registry_source source,
                      registry_series **ret)
{
    BRISK_ASSERT(desc != NULL);
    registry_lock(&metrics->lock);
    brisk_err err = registry_need(metrics, desc, source, ret);
    registry_unlock(&metrics->lock);
    return err;
}

brisk_err brisk_metrics_counter(brisk_metrics *metrics, const brisk_metric_desc *desc,
                                brisk_counter **ret)
{
    registry_series *series;
    brisk_err err = need(metrics, desc, REGISTRY_COUNTER, &series);
    if (err == BRISK_OK) {
        *ret = series->of.counter;
    }
    return err;
}

brisk_err brisk_metrics_total(brisk_metrics *metrics, const brisk_metric_desc *desc,
                              brisk_total **ret)
{
    registry_series *series;
    brisk_err err = need(metrics, desc, REGISTRY_TOTAL, &series);
    if (err == BRISK_OK) {
        *ret = series->of.total;
    }
    return err;
}

brisk_err brisk_metrics_gauge(brisk_metrics *metrics, const brisk_metric_desc *desc,
                              brisk_gauge **ret)
{
    registry_series *series;
    brisk_err err = need(metrics, desc, REGISTRY_GAUGE, &series);
    if (err == BRISK_OK) {
        *ret = series->of.gauge;
    }
    return err;
}

brisk_err brisk_metrics_histogram(brisk_metrics *metrics, const brisk_metric_desc *desc,
                                  brisk_histogram **ret)
{
    registry_series *series;
    brisk_err err = need(metrics, desc, REGISTRY_HISTOGRAM, &series);
    if (err == BRISK_OK) {
        *ret = series->of.histogram;
    }
    return err;
}

brisk_metric_kind registry_kind(const registry_series *series)
{
    return kind_of(series->family->source);
}
