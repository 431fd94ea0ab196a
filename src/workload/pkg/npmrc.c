/*
 * npmrc.c -- behind npmrc.h.
 *
 * A line is "key = value", "key" (true), "key[] = value" (one of a list), "[section]", or begins with
 * ';' or '#'.  Values may stand in quotes; unquoted, ';' and '#' begin a comment unless a backslash
 * is before them.  Variables are put in after that, in keys and values.
 *
 * Threads: no state.  Sources: npm's documentation of npmrc; behaviour of ini 5 and @npmcli/config.
 */
#include "workload/pkg/npmrc.h"

#include <string.h>
#include <strings.h>

#include "workload/pkg/jsontext.h"
#include "workload/pkg/semver_scan.h"

typedef struct rc_reader {
    const char *file;
    char *const *environment;
    brisk_arena *arena;
    brisk_errinfo *info;
    npmrc_entry *entries;
    uint32_t count;
    uint32_t capacity;
    uint32_t line;
} rc_reader;

static brisk_err fail(const rc_reader *r, brisk_err err, const char *what)
{
    if (r->file == NULL) {
        return brisk_errinfo_set(r->info, err, "npm_config_ variables of the environment: %s",
                                 what);
    }
    return brisk_errinfo_set(r->info, err, "%s: line %u: %s", r->file, r->line, what);
}

/* --- text ---------------------------------------------------------------------------------- */

static pkg_text trimmed(pkg_text text)
{
    const char *at = text.data;
    const char *end = at + text.size;
    for (size_t n; (n = semver_scan_space(at, end)) > 0; at += n) {
    }
    while (end > at && (end[-1] == ' ' || (end[-1] >= '\t' && end[-1] <= '\r'))) {
        end--;
    }
    return (pkg_text){.data = at, .size = (size_t)(end - at)};
}

static bool is_quoted(pkg_text text)
{
    char quote = text.size > 0 ? text.data[0] : '\0';
    return (quote == '"' || quote == '\'') && text.data[text.size - 1] == quote;
}

/* Inside quotes: JSON's escapes where it is a JSON text, else what is there. */
static pkg_text unquoted(const rc_reader *r, pkg_text text)
{
    if (text.data[0] == '\'' && text.size > 1) {
        text = (pkg_text){.data = text.data + 1, .size = text.size - 2};
    }
    const pkg_json *value = NULL;
    if (text.size > 1 && text.data[0] == '"' &&
        pkg_json_parse(text, r->arena, &value, NULL) == BRISK_OK &&
        value->type == PKG_JSON_STRING) {
        return value->text;
    }
    return text;
}

/* Without comment and backslashes before ';', '#' and '\'; data NULL: out of memory. */
static pkg_text unescaped(const rc_reader *r, pkg_text text)
{
    char *copy = brisk_arena_copy(r->arena, text.data, text.size);
    if (copy == NULL) {
        return (pkg_text){0};
    }
    size_t size = 0;
    for (size_t i = 0; i < text.size && text.data[i] != ';' && text.data[i] != '#'; i++) {
        if (text.data[i] == '\\' && i + 1 < text.size && strchr("\\;#", text.data[i + 1]) != NULL &&
            text.data[i + 1] != '\0') {
            i++;
        }
        copy[size++] = text.data[i];
    }
    return trimmed((pkg_text){.data = copy, .size = size});
}

static pkg_text plain(const rc_reader *r, pkg_text text)
{
    text = trimmed(text);
    return is_quoted(text) ? unquoted(r, text) : unescaped(r, text);
}

/* --- variables ----------------------------------------------------------------------------- */

pkg_text npmrc_variable(char *const *environment, pkg_text name)
{
    for (; name.size > 0 && *environment != NULL; environment++) {
        if (strncmp(*environment, name.data, name.size) == 0 && (*environment)[name.size] == '=') {
            return pkg_text_of(*environment + name.size + 1);
        }
    }
    return (pkg_text){0};
}

typedef struct variable {
    pkg_text name;
    size_t size;   /* of all of "${NAME?}" */
    bool optional; /* with the question mark */
} variable;

/* At "${". */
static bool scan_variable(pkg_text text, size_t at, variable *ret)
{
    if (at + 2 >= text.size || text.data[at] != '$' || text.data[at + 1] != '{') {
        return false;
    }
    size_t i = at + 2;
    while (i < text.size && text.data[i] != '\0' && strchr("${}?", text.data[i]) == NULL) {
        i++;
    }
    ret->name = (pkg_text){.data = text.data + at + 2, .size = i - at - 2};
    ret->optional = i < text.size && text.data[i] == '?';
    i += ret->optional ? 1 : 0;
    ret->size = i + 1 - at;
    return ret->name.size > 0 && i < text.size && text.data[i] == '}';
}

typedef struct filled {
    char *data; /* NULL: only the size is counted */
    size_t size;
} filled;

static void put(filled *to, const char *data, size_t size)
{
    if (to->data != NULL && size > 0) {
        memcpy(to->data + to->size, data, size);
    }
    to->size += size;
}

/* An odd number of backslashes before it: the text stays, one of two backslashes goes. */
static void fill(const rc_reader *r, pkg_text text, filled *to)
{
    for (size_t i = 0; i < text.size;) {
        size_t slashes = 0;
        while (i + slashes < text.size && text.data[i + slashes] == '\\') {
            slashes++;
        }
        variable v;
        if (!scan_variable(text, i + slashes, &v)) {
            size_t size = slashes > 0 ? slashes : 1;
            put(to, text.data + i, size);
            i += size;
            continue;
        }
        put(to, text.data + i, slashes / 2);
        pkg_text value = slashes % 2 == 0 ? npmrc_variable(r->environment, v.name) : (pkg_text){0};
        if (value.data != NULL) {
            put(to, value.data, value.size);
        } else if (slashes % 2 != 0 || !v.optional) {
            put(to, text.data + i + slashes, v.size);
        }
        i += slashes + v.size;
    }
}

/* Variables put in; the text itself when there are none. */
static brisk_err with_variables(const rc_reader *r, pkg_text *text)
{
    if (text->size == 0 || memmem(text->data, text->size, "${", 2) == NULL) {
        return BRISK_OK;
    }
    filled to = {0};
    fill(r, *text, &to);
    if (to.size > NPMRC_VALUE_MAX) {
        return fail(r, BRISK_ERR_LIMIT,
                    "with its variables put in, the line is longer than 64 KiB");
    }
    to.data = brisk_arena_alloc(r->arena, to.size);
    if (to.data == NULL) {
        return fail(r, BRISK_ERR_NOMEM, "out of memory");
    }
    to.size = 0;
    fill(r, *text, &to);
    *text = (pkg_text){.data = to.data, .size = to.size};
    return BRISK_OK;
}

/* --- entries ------------------------------------------------------------------------------- */

static brisk_err add(rc_reader *r, pkg_text key, pkg_text value)
{
    if (key.data == NULL || value.data == NULL) {
        return fail(r, BRISK_ERR_NOMEM, "out of memory");
    }
    if (r->count == NPMRC_ENTRIES_MAX) {
        return fail(r, BRISK_ERR_LIMIT, "there are more than 20000 settings");
    }
    bool list = key.size > 2 && memcmp(key.data + key.size - 2, "[]", 2) == 0;
    key.size -= list ? 2 : 0;
    brisk_err err = with_variables(r, &key);
    err = err != BRISK_OK ? err : with_variables(r, &value);
    if (err != BRISK_OK) {
        return err;
    }
    if (r->count == r->capacity) {
        uint32_t capacity = r->capacity > 0 ? r->capacity * 2 : 16;
        npmrc_entry *more = brisk_arena_calloc(r->arena, capacity, sizeof *more);
        if (more == NULL) {
            return fail(r, BRISK_ERR_NOMEM, "out of memory");
        }
        if (r->count > 0) {
            memcpy(more, r->entries, r->count * sizeof *more);
        }
        r->entries = more;
        r->capacity = capacity;
    }
    r->entries[r->count++] =
        (npmrc_entry){.key = key, .value = value, .line = r->line, .list = list};
    return BRISK_OK;
}

static brisk_err read_line(rc_reader *r, pkg_text line, bool *section)
{
    pkg_text bare = trimmed(line);
    if (bare.size == 0 || bare.data[0] == ';' || bare.data[0] == '#') {
        return BRISK_OK;
    }
    if (line.data[0] == '[' && bare.data[bare.size - 1] == ']' &&
        memchr(bare.data, ']', bare.size) == bare.data + bare.size - 1) {
        *section = true;
        return BRISK_OK;
    }
    const char *equals = memchr(line.data, '=', line.size);
    if (*section || equals == line.data) {
        return BRISK_OK;
    }
    if (equals == NULL) {
        return add(r, plain(r, line), PKG_TEXT("true"));
    }
    size_t size = (size_t)(equals - line.data);
    pkg_text key = plain(r, (pkg_text){.data = line.data, .size = size});
    pkg_text value = plain(r, (pkg_text){.data = equals + 1, .size = line.size - size - 1});
    return add(r, key, value);
}

brisk_err npmrc_parse(pkg_text text, const char *file, char *const *environment, brisk_arena *arena,
                      npmrc *ret, brisk_errinfo *info)
{
    rc_reader r = {.file = file, .environment = environment, .arena = arena, .info = info};
    bool section = false;
    if (text.size >= 3 && memcmp(text.data, "\xEF\xBB\xBF", 3) == 0) {
        text = (pkg_text){.data = text.data + 3, .size = text.size - 3};
    }
    const char *end = text.data + text.size;
    for (const char *at = text.data; at < end;) {
        const char *stop = at;
        while (stop < end && *stop != '\n' && *stop != '\r') {
            stop++;
        }
        r.line++;
        pkg_text line = {.data = at, .size = (size_t)(stop - at)};
        brisk_err err = line.size > 0 ? read_line(&r, line, &section) : BRISK_OK;
        if (err != BRISK_OK) {
            return err;
        }
        at = stop + 1 < end && stop[0] == '\r' && stop[1] == '\n' ? stop + 2 : stop + 1;
    }
    *ret = (npmrc){.file = file, .entries = r.entries, .count = r.count};
    return BRISK_OK;
}

/* "npm_config_Some_Key" as "some-key"; keys of a host ("//host/:_auth") stay as they are. */
static char *environment_key(const rc_reader *r, const char *name, size_t size)
{
    char *key = brisk_arena_copy(r->arena, name, size);
    bool host = size >= 2 && name[0] == '/' && name[1] == '/';
    for (size_t i = 0; key != NULL && !host && i < size; i++) {
        if (key[i] >= 'A' && key[i] <= 'Z') {
            key[i] = (char)(key[i] | 0x20);
        } else if (key[i] == '_' && i > 0) {
            key[i] = '-';
        }
    }
    return key;
}

brisk_err npmrc_from_environment(char *const *environment, brisk_arena *arena, npmrc *ret,
                                 brisk_errinfo *info)
{
    static const char prefix[] = "npm_config_";
    rc_reader r = {.environment = environment, .arena = arena, .info = info};
    for (char *const *at = environment; *at != NULL; at++) {
        const char *equals = strchr(*at, '=');
        if (strncasecmp(*at, prefix, sizeof prefix - 1) != 0 || equals == NULL ||
            equals[1] == '\0' || equals - *at <= (ptrdiff_t)sizeof prefix - 1) {
            continue;
        }
        const char *name = *at + sizeof prefix - 1;
        pkg_text key = {.size = (size_t)(equals - name)};
        key.data = environment_key(&r, name, key.size);
        brisk_err err = add(&r, key, trimmed(pkg_text_of(equals + 1)));
        if (err != BRISK_OK) {
            return err;
        }
    }
    *ret = (npmrc){.entries = r.entries, .count = r.count};
    return BRISK_OK;
}

const npmrc_entry *npmrc_find(const npmrc *rc, pkg_text key)
{
    for (uint32_t i = rc->count; i-- > 0;) {
        if (pkg_text_equal(rc->entries[i].key, key)) {
            return &rc->entries[i];
        }
    }
    return NULL;
}
