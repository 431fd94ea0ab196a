/*
 * knob.c -- the registry of settings behind <brisk/knob.h>.
 *
 * Entries stand in one array sorted by name.  Registration builds a new array beside the old one
 * (declarations checked, environment read, texts copied) and swaps it in when nothing can fail
 * any more, so that a refused registration leaves the registry as it was.
 *
 * Precedence is a number: a value is taken when its source is at least as strong as that of the
 * value in force.
 *
 * Locks: `lock` covers everything; `changed` callbacks run under it.
 */
#include <pthread.h>
#include <string.h>

#include <brisk/knob.h>

#include "base/assert.h"
#include "base/knob_node.h"
#include "base/knob_reload.h"
#include "base/str.h"
#include "base/text.h"
#include "base/yaml_text.h"

enum { NAME_BYTES_MAX = 64, ENV_BYTES_MAX = 80, QUOTE_MAX = 60 };

typedef struct entry {
    const brisk_knob *knob;
    uint64_t value;
    char *text;    /* of another value than the default's, otherwise NULL; YAML keeps its lines */
    char *origin;  /* YAML with a text: the file it is from, or what else gave it ... */
    uint32_t line; /* ... and where it begins there */
    brisk_knob_source source;
} entry;

struct brisk_knobs {
    const brisk_alloc *alloc;
    pthread_mutex_t *lock; /* = &mutex: reading locks too, and readers hold a const registry */
    pthread_mutex_t mutex;
    entry *entries;
    size_t count;
    bool quiet; /* nobody is told of changes */
};

/* A value on its way into an entry: as written, and under which label errors mention it ... */
typedef struct given {
    const char *label;
    const char *text;
    const brisk_yaml_doc *doc; /* instead of `text`: part of a file */
    const brisk_yaml_node *node;
} given;

/* ... and as understood. */
typedef struct parsed {
    uint64_t value;
    char *text;
    char *origin;
    uint32_t line;
} parsed;

static bool is_text(const brisk_knob *knob)
{
    return knob->type == BRISK_KNOB_TEXT || knob->type == BRISK_KNOB_YAML;
}

static void lock(const brisk_knobs *knobs)
{
    int failed = pthread_mutex_lock(knobs->lock);
    BRISK_ASSERT(failed == 0);
}

static void unlock(const brisk_knobs *knobs)
{
    int failed = pthread_mutex_unlock(knobs->lock);
    BRISK_ASSERT(failed == 0);
}

static void free_text(const brisk_knobs *knobs, char *text)
{
    if (text != NULL) {
        knobs->alloc->release(knobs->alloc->ctx, text, strlen(text) + 1, 1);
    }
}

static void free_entries(const brisk_knobs *knobs, entry *entries, size_t count)
{
    if (entries != NULL) {
        knobs->alloc->release(knobs->alloc->ctx, entries, count * sizeof *entries, _Alignof(entry));
    }
}

brisk_err brisk_knobs_create(const brisk_alloc *alloc, brisk_knobs **ret)
{
    BRISK_ASSERT(ret != NULL);
    alloc = alloc != NULL ? alloc : brisk_alloc_libc();
    brisk_knobs *knobs = alloc->acquire(alloc->ctx, sizeof *knobs, _Alignof(brisk_knobs));
    if (knobs == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *knobs = (brisk_knobs){.alloc = alloc, .lock = &knobs->mutex};
    if (pthread_mutex_init(&knobs->mutex, NULL) != 0) {
        alloc->release(alloc->ctx, knobs, sizeof *knobs, _Alignof(brisk_knobs));
        return BRISK_ERR_NOMEM;
    }
    *ret = knobs;
    return BRISK_OK;
}

void brisk_knobs_destroy(brisk_knobs *knobs)
{
    if (knobs == NULL) {
        return;
    }
    for (size_t i = 0; i < knobs->count; i++) {
        free_text(knobs, knobs->entries[i].text);
        free_text(knobs, knobs->entries[i].origin);
    }
    free_entries(knobs, knobs->entries, knobs->count);
    (void)pthread_mutex_destroy(&knobs->mutex);
    const brisk_alloc *alloc = knobs->alloc;
    alloc->release(alloc->ctx, knobs, sizeof *knobs, _Alignof(brisk_knobs));
}

/* Index of the first entry not before `name`. */
static size_t place_of(const entry *entries, size_t count, const char *name)
{
    size_t low = 0;
    while (low < count) {
        size_t middle = low + (count - low) / 2;
        if (strcmp(entries[middle].knob->name, name) < 0) {
            low = middle + 1;
        } else {
            count = middle;
        }
    }
    return low;
}

static entry *find_in(entry *entries, size_t count, const char *name)
{
    size_t at = place_of(entries, count, name);
    return at < count && strcmp(entries[at].knob->name, name) == 0 ? &entries[at] : NULL;
}

static bool name_is_valid(const char *name)
{
    size_t size = strnlen(name, NAME_BYTES_MAX + 1);
    return size >= 1 && size <= NAME_BYTES_MAX &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-") == size;
}

static uint64_t max_of(const brisk_knob *knob)
{
    return knob->max != 0 ? knob->max : UINT64_MAX;
}

static bool has_range(const brisk_knob *knob)
{
    return !is_text(knob) && knob->type != BRISK_KNOB_BOOL;
}

static bool knob_is_valid(const brisk_knob *knob)
{
    if (knob->name == NULL || !name_is_valid(knob->name)) {
        return false;
    }
    if (knob->type == BRISK_KNOB_TEXT) {
        return knob->def_text == NULL || strlen(knob->def_text) < BRISK_KNOB_TEXT_MAX;
    }
    if (knob->type == BRISK_KNOB_YAML) {
        return knob->def_text == NULL || strlen(knob->def_text) < BRISK_KNOB_YAML_MAX;
    }
    if (knob->type == BRISK_KNOB_BOOL) {
        return knob->def <= 1;
    }
    return knob->def >= knob->min && knob->def <= max_of(knob);
}

/* "BRISK_CACHE_DISK_BYTES" for "cache.disk.bytes". */
static void env_name(const char *name, char env[static ENV_BYTES_MAX])
{
    (void)snprintf(env, ENV_BYTES_MAX, "BRISK_%s", name);
    for (char *c = env; *c != '\0'; c++) {
        if (*c == '.' || *c == '-') {
            *c = '_';
        } else if (*c >= 'a' && *c <= 'z') {
            *c = (char)(*c - 'a' + 'A');
        }
    }
}

static const char *wanted_form(brisk_knob_type type)
{
    switch (type) {
    case BRISK_KNOB_U64: return "a number";
    case BRISK_KNOB_BYTES: return "a size such as 64MiB";
    case BRISK_KNOB_DURATION: return "a duration such as 10s or 1.5ms";
    case BRISK_KNOB_BOOL: return "true or false";
    case BRISK_KNOB_TEXT: return "a text";
    case BRISK_KNOB_YAML: return "a list or a mapping";
    }
    return "a value";
}

/* A limit in the largest unit that shows it exactly. */
static void show(brisk_knob_type type, uint64_t value, char *to, size_t size)
{
    static const char *const byte_units[] = {"", "KiB", "MiB", "GiB", "TiB"};
    static const char *const time_units[] = {"ns", "us", "ms", "s", "m", "h"};
    static const uint64_t time_steps[] = {1000, 1000, 1000, 60, 60};
    size_t unit = 0;
    if (type == BRISK_KNOB_BYTES) {
        for (; unit < 4 && value != 0 && value % 1024 == 0; unit++) {
            value /= 1024;
        }
        (void)snprintf(to, size, "%llu%s", (unsigned long long)value, byte_units[unit]);
    } else if (type == BRISK_KNOB_DURATION) {
        for (; unit < 5 && value != 0 && value % time_steps[unit] == 0; unit++) {
            value /= time_steps[unit];
        }
        (void)snprintf(to, size, "%llu%s", (unsigned long long)value, time_units[unit]);
    } else {
        (void)snprintf(to, size, "%llu", (unsigned long long)value);
    }
}

static brisk_err refuse_range(const brisk_knob *knob, given in, brisk_errinfo *info)
{
    char min[32];
    char max[32];
    show(knob->type, knob->min, min, sizeof min);
    show(knob->type, max_of(knob), max, sizeof max);
    return brisk_errinfo_set(info, BRISK_ERR_LIMIT, "%s: '%.*s' is outside %s to %s", in.label,
                             QUOTE_MAX, in.text, min, max);
}

static char *copy_text(const brisk_alloc *alloc, const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = alloc->acquire(alloc->ctx, size, 1);
    return copy != NULL ? memcpy(copy, text, size) : NULL;
}

/* A node in flow style, with where it is from; what it gives is parsed once more, so that whoever
 * asks for it later can rely on that. */
static brisk_err keep_node(const brisk_knobs *knobs, given in, parsed *ret, brisk_errinfo *info)
{
    brisk_str str;
    brisk_str_init(&str, knobs->alloc, BRISK_KNOB_YAML_MAX - 1);
    const brisk_yaml_node *node = in.node;
    bool empty = node->count == 0 && node->kind != BRISK_YAML_SCALAR;
    empty = empty || (node->kind == BRISK_YAML_SCALAR && !node->quoted && node->text[0] == '\0');
    if (!empty) {
        yaml_write_flow(node, &str);
    }
    brisk_err err = brisk_str_err(&str);
    brisk_yaml_doc *again = NULL;
    if (err == BRISK_OK) {
        yaml_text text = {.name = in.label,
                          .first_line = node->line,
                          .data = brisk_str_text(&str),
                          .size = brisk_str_size(&str)};
        err = yaml_parse_text(&text, knobs->alloc, &again, info);
        brisk_yaml_destroy(again);
    } else {
        (void)brisk_errinfo_set(info, err, "%s: %s", in.label,
                                err == BRISK_ERR_LIMIT ? "too large" : "out of memory");
    }
    if (err == BRISK_OK) {
        *ret = (parsed){.text = copy_text(knobs->alloc, brisk_str_text(&str)),
                        .origin = copy_text(knobs->alloc, brisk_yaml_name(in.doc)),
                        .line = node->line};
        if (ret->text == NULL || ret->origin == NULL) {
            free_text(knobs, ret->text);
            free_text(knobs, ret->origin);
            err = brisk_errinfo_set(info, BRISK_ERR_NOMEM, "%s: out of memory", in.label);
        }
    }
    brisk_str_deinit(&str);
    return err;
}

static brisk_err parse_yaml(const brisk_knobs *knobs, given in, parsed *ret, brisk_errinfo *info)
{
    if (in.node != NULL) {
        return keep_node(knobs, in, ret, info);
    }
    size_t size = strlen(in.text);
    if (size >= BRISK_KNOB_YAML_MAX) {
        return brisk_errinfo_set(info, BRISK_ERR_LIMIT, "%s: more than %d bytes", in.label,
                                 BRISK_KNOB_YAML_MAX - 1);
    }
    brisk_yaml_doc *doc = NULL;
    brisk_err err = brisk_yaml_parse(in.label, in.text, size, knobs->alloc, &doc, info);
    if (err == BRISK_OK) {
        in.doc = doc;
        in.node = brisk_yaml_root(doc);
        err = keep_node(knobs, in, ret, info);
    }
    brisk_yaml_destroy(doc);
    return err;
}

/* The text as a value of `knob`.  The caller owns ret->text and ret->origin. */
static brisk_err parse_value(const brisk_knobs *knobs, const brisk_knob *knob, given in,
                             parsed *ret, brisk_errinfo *info)
{
    if (knob->type == BRISK_KNOB_TEXT) {
        size_t size = strlen(in.text) + 1;
        if (size > BRISK_KNOB_TEXT_MAX) {
            return brisk_errinfo_set(info, BRISK_ERR_LIMIT, "%s: more than %d bytes", in.label,
                                     BRISK_KNOB_TEXT_MAX - 1);
        }
        char *copy = copy_text(knobs->alloc, in.text);
        if (copy == NULL) {
            return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "%s: out of memory", in.label);
        }
        *ret = (parsed){.text = copy};
        return BRISK_OK;
    }
    if (knob->type == BRISK_KNOB_YAML) {
        return parse_yaml(knobs, in, ret, info);
    }
    uint64_t value;
    if (brisk_knob_parse(knob->type, in.text, &value) != BRISK_OK) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "%s: '%.*s' is not %s", in.label,
                                 QUOTE_MAX, in.text, wanted_form(knob->type));
    }
    if (has_range(knob) && (value < knob->min || value > max_of(knob))) {
        return refuse_range(knob, in, info);
    }
    *ret = (parsed){.value = value};
    return BRISK_OK;
}

static const char *text_of(const entry *e)
{
    if (!is_text(e->knob)) {
        return NULL;
    }
    if (e->text != NULL) {
        return e->text;
    }
    return e->knob->def_text != NULL ? e->knob->def_text : "";
}

static entry default_entry(const brisk_knob *knob)
{
    return (entry){.knob = knob, .value = knob->def, .source = BRISK_KNOB_DEFAULT};
}

/* Put the value into its entry; says whether it is another one than before. */
static bool take_value(const brisk_knobs *knobs, entry *e, parsed value, brisk_knob_source source)
{
    bool same = is_text(e->knob) ? strcmp(text_of(e), value.text) == 0 : e->value == value.value;
    e->source = source;
    e->value = value.value;
    free_text(knobs, e->text);
    free_text(knobs, e->origin);
    e->text = value.text;
    e->origin = value.origin;
    e->line = value.line;
    return !same;
}

static brisk_err read_environment(const brisk_knobs *knobs, entry *e, brisk_errinfo *info)
{
    char env[ENV_BYTES_MAX];
    env_name(e->knob->name, env);
    const char *text = secure_getenv(env);
    if (text == NULL) {
        return BRISK_OK;
    }
    parsed value = {0};
    brisk_err err = parse_value(knobs, e->knob, (given){.label = env, .text = text}, &value, info);
    if (err == BRISK_OK) {
        (void)take_value(knobs, e, value, BRISK_KNOB_ENVIRONMENT);
    }
    return err;
}

/* Add one declaration to the array under construction, which has room. */
static brisk_err stage_knob(const brisk_knobs *knobs, entry *entries, size_t *count,
                            const brisk_knob *knob, brisk_errinfo *info)
{
    if (!knob_is_valid(knob)) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "setting '%s' is declared wrongly",
                                 knob->name != NULL ? knob->name : "");
    }
    const entry *taken = find_in(entries, *count, knob->name);
    if (taken != NULL) {
        return taken->knob == knob
                   ? BRISK_OK
                   : brisk_errinfo_set(info, BRISK_ERR_CONFLICT,
                                       "setting '%s' is declared by two modules", knob->name);
    }
    entry fresh = default_entry(knob);
    brisk_err err = read_environment(knobs, &fresh, info);
    if (err == BRISK_OK) {
        size_t at = place_of(entries, *count, knob->name);
        memmove(&entries[at + 1], &entries[at], (*count - at) * sizeof *entries);
        entries[at] = fresh;
        ++*count;
    }
    return err;
}

/* Whether the old array has this declaration; then its text belongs to it. */
static bool is_old(const brisk_knobs *knobs, const entry *e)
{
    const entry *old = find_in(knobs->entries, knobs->count, e->knob->name);
    return old != NULL && old->knob == e->knob;
}

static void call_changed(const brisk_knobs *knobs, const entry *e)
{
    if (!knobs->quiet && e->knob->changed != NULL) {
        e->knob->changed(e->knob, e->value, text_of(e));
    }
}

static brisk_err register_locked(brisk_knobs *knobs, const brisk_knob *array, size_t count,
                                 brisk_errinfo *info)
{
    size_t fresh = 0;
    for (size_t i = 0; i < count; i++) {
        const char *name = array[i].name;
        const entry *old = name != NULL ? find_in(knobs->entries, knobs->count, name) : NULL;
        fresh += old == NULL || old->knob != &array[i] ? 1 : 0;
    }
    if (fresh == 0) {
        return BRISK_OK;
    }
    size_t room = knobs->count + fresh;
    entry *entries =
        knobs->alloc->acquire(knobs->alloc->ctx, room * sizeof *entries, _Alignof(entry));
    if (entries == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "out of memory for settings");
    }
    size_t staged = knobs->count;
    if (staged != 0) {
        memcpy(entries, knobs->entries, staged * sizeof *entries);
    }
    brisk_err err = BRISK_OK;
    for (size_t i = 0; i < count && err == BRISK_OK; i++) {
        err = stage_knob(knobs, entries, &staged, &array[i], info);
    }
    if (err != BRISK_OK) {
        for (size_t i = 0; i < staged; i++) {
            if (!is_old(knobs, &entries[i])) {
                free_text(knobs, entries[i].text);
                free_text(knobs, entries[i].origin);
            }
        }
        free_entries(knobs, entries, room);
        return err;
    }
    BRISK_ASSERT(staged == room);
    for (size_t i = 0; i < staged; i++) {
        if (entries[i].source == BRISK_KNOB_ENVIRONMENT && !is_old(knobs, &entries[i])) {
            call_changed(knobs, &entries[i]);
        }
    }
    free_entries(knobs, knobs->entries, knobs->count);
    knobs->entries = entries;
    knobs->count = staged;
    return BRISK_OK;
}

brisk_err brisk_knobs_register(brisk_knobs *knobs, const brisk_knob *array, size_t count,
                               brisk_errinfo *info)
{
    lock(knobs);
    brisk_err err = register_locked(knobs, array, count, info);
    unlock(knobs);
    return err;
}

const brisk_knob *brisk_knobs_find(const brisk_knobs *knobs, const char *name)
{
    lock(knobs);
    const entry *e = find_in(knobs->entries, knobs->count, name);
    const brisk_knob *knob = e != NULL ? e->knob : NULL;
    unlock(knobs);
    return knob;
}

const brisk_knob *brisk_knobs_at(const brisk_knobs *knobs, size_t index)
{
    lock(knobs);
    const brisk_knob *knob = index < knobs->count ? knobs->entries[index].knob : NULL;
    unlock(knobs);
    return knob;
}

uint64_t brisk_knobs_u64(const brisk_knobs *knobs, const char *name)
{
    lock(knobs);
    const entry *e = find_in(knobs->entries, knobs->count, name);
    BRISK_ASSERT(e != NULL);
    BRISK_ASSERT(!is_text(e->knob));
    uint64_t value = e->value;
    unlock(knobs);
    return value;
}

/* Line breaks of kept YAML stand between words; a blank follows the last of several. */
static void in_one_line(char *text)
{
    char *to = text;
    for (; *text != '\0'; text++) {
        if (*text != '\n') {
            *to++ = *text;
        }
    }
    *to = '\0';
}

void brisk_knobs_text(const brisk_knobs *knobs, const char *name, char *buffer, size_t size)
{
    BRISK_ASSERT(size > 0);
    lock(knobs);
    const entry *e = find_in(knobs->entries, knobs->count, name);
    BRISK_ASSERT(e != NULL);
    BRISK_ASSERT(is_text(e->knob));
    (void)snprintf(buffer, size, "%s", text_of(e));
    if (e->knob->type == BRISK_KNOB_YAML) {
        in_one_line(buffer);
    }
    unlock(knobs);
}

brisk_err brisk_knobs_text_copy(const brisk_knobs *knobs, const char *name,
                                const brisk_alloc *alloc, char **ret)
{
    lock(knobs);
    const entry *e = find_in(knobs->entries, knobs->count, name);
    BRISK_ASSERT(e != NULL);
    BRISK_ASSERT(is_text(e->knob));
    char *copy = copy_text(alloc != NULL ? alloc : brisk_alloc_libc(), text_of(e));
    if (copy != NULL && e->knob->type == BRISK_KNOB_YAML) {
        in_one_line(copy);
    }
    unlock(knobs);
    if (copy == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *ret = copy;
    return BRISK_OK;
}

brisk_err brisk_knobs_yaml(const brisk_knobs *knobs, const char *name, const brisk_alloc *alloc,
                           brisk_yaml_doc **ret, brisk_errinfo *info)
{
    lock(knobs);
    const entry *e = find_in(knobs->entries, knobs->count, name);
    BRISK_ASSERT(e != NULL);
    BRISK_ASSERT(e->knob->type == BRISK_KNOB_YAML);
    const char *text = text_of(e);
    bool given_by_file = e->origin != NULL;
    yaml_text whole = {.name = given_by_file ? e->origin : name,
                       .first_line = given_by_file ? e->line : 1,
                       .data = text,
                       .size = strlen(text)};
    brisk_err err = yaml_parse_text(&whole, alloc, ret, info);
    unlock(knobs);
    return err;
}

brisk_knob_source brisk_knobs_source(const brisk_knobs *knobs, const char *name)
{
    lock(knobs);
    const entry *e = find_in(knobs->entries, knobs->count, name);
    BRISK_ASSERT(e != NULL);
    brisk_knob_source source = e->source;
    unlock(knobs);
    return source;
}

static brisk_err refuse_name(const brisk_knobs *knobs, const char *name, brisk_errinfo *info)
{
    brisk_text_nearest nearest = {0};
    for (size_t i = 0; i < knobs->count; i++) {
        brisk_text_offer(&nearest, name, knobs->entries[i].knob->name);
    }
    if (nearest.name != NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOT_FOUND,
                                 "unknown setting '%.*s' (did you mean '%s'?)", QUOTE_MAX, name,
                                 nearest.name);
    }
    return brisk_errinfo_set(info, BRISK_ERR_NOT_FOUND, "unknown setting '%.*s'", QUOTE_MAX, name);
}

static brisk_err set_given(brisk_knobs *knobs, const char *name, given in, brisk_knob_source source,
                           brisk_errinfo *info)
{
    lock(knobs);
    entry *e = find_in(knobs->entries, knobs->count, name);
    parsed value = {0};
    brisk_err err =
        e == NULL ? refuse_name(knobs, name, info) : parse_value(knobs, e->knob, in, &value, info);
    if (err == BRISK_OK && e->source > source) {
        free_text(knobs, value.text); /* understood, but a stronger source has spoken */
        free_text(knobs, value.origin);
    } else if (err == BRISK_OK && take_value(knobs, e, value, source)) {
        call_changed(knobs, e);
    }
    unlock(knobs);
    return err;
}

brisk_err brisk_knobs_set(brisk_knobs *knobs, const char *name, const char *text,
                          brisk_knob_source source, brisk_errinfo *info)
{
    return set_given(knobs, name, (given){.label = name, .text = text}, source, info);
}

brisk_err knobs_set_node(brisk_knobs *knobs, const char *name, const knob_node *node,
                         brisk_knob_source source, brisk_errinfo *info)
{
    given in = {.label = name, .text = "", .doc = node->doc, .node = node->node};
    return set_given(knobs, name, in, source, info);
}

/* --- read again --------------------------------------------------------------------------- */

brisk_err knobs_create_quiet(const brisk_alloc *alloc, brisk_knobs **ret)
{
    brisk_err err = brisk_knobs_create(alloc, ret);
    if (err == BRISK_OK) {
        (*ret)->quiet = true;
    }
    return err;
}

brisk_err knobs_join(brisk_knobs *to, const brisk_knobs *from, brisk_errinfo *info)
{
    const brisk_knob *knob;
    brisk_err err = BRISK_OK;
    for (size_t i = 0; err == BRISK_OK && (knob = brisk_knobs_at(from, i)) != NULL; i++) {
        err = brisk_knobs_register(to, knob, 1, info);
    }
    return err;
}

/* Move what `fresh` has into `e`; says whether it is another value. */
static bool adopt(entry *e, entry *fresh)
{
    bool same =
        is_text(e->knob) ? strcmp(text_of(e), text_of(fresh)) == 0 : e->value == fresh->value;
    entry old = *e;
    *e = *fresh;
    *fresh = old; /* freed with its registry */
    return !same;
}

void knobs_adopt(brisk_knobs *knobs, brisk_knobs *fresh,
                 void (*tell)(void *ctx, const brisk_knob *knob), void *ctx)
{
    BRISK_ASSERT(knobs->alloc == fresh->alloc);
    for (size_t i = 0; i < fresh->count; i++) {
        lock(knobs);
        entry *e = find_in(knobs->entries, knobs->count, fresh->entries[i].knob->name);
        bool changed = e != NULL && e->source != BRISK_KNOB_FLAG && adopt(e, &fresh->entries[i]);
        const brisk_knob *knob = changed ? e->knob : NULL;
        if (changed) {
            call_changed(knobs, e);
        }
        unlock(knobs);
        if (changed && tell != NULL) {
            tell(ctx, knob);
        }
    }
}
