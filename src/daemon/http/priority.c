/*
 * priority.c -- see priority.h.
 *
 * The reader knows all of a dictionary's grammar (RFC 8941, 3.2), since a value whose end is broken
 * must not count although its beginning is fine: changes are made to a copy that is taken over last.
 */
#include "daemon/http/priority.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <brisk/yaml.h>

#include "base/assert.h"

enum { URGENCY_MAX = 7, INTEGER_DIGITS = 15, FRACTION_DIGITS = 3, RULES_MAX = 256 };

/* --- structured fields -------------------------------------------------------------------- */

typedef enum item_kind { ITEM_INTEGER, ITEM_BOOLEAN, ITEM_OTHER } item_kind;

typedef struct item {
    item_kind kind;
    int64_t integer; /* INTEGER; BOOLEAN: 0 or 1 */
} item;

typedef struct reader {
    const char *at;
    const char *end;
} reader;

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_alpha(char c)
{
    return is_lower((char)(c | 0x20)) && (c & 0x40) != 0;
}

static bool take(reader *r, char c)
{
    if (r->at < r->end && *r->at == c) {
        r->at++;
        return true;
    }
    return false;
}

static void skip_blanks(reader *r, bool tabs)
{
    while (r->at < r->end && (*r->at == ' ' || (tabs && *r->at == '\t'))) {
        r->at++;
    }
}

static size_t take_digits(reader *r, size_t max, int64_t *number)
{
    size_t count = 0;
    for (; r->at < r->end && is_digit(*r->at) && count <= max; count++) {
        *number = *number * 10 + (*r->at++ - '0');
    }
    return count;
}

static bool read_number(reader *r, item *ret)
{
    bool minus = take(r, '-');
    int64_t number = 0;
    size_t digits = take_digits(r, INTEGER_DIGITS, &number);
    if (digits == 0 || digits > INTEGER_DIGITS) {
        return false;
    }
    *ret = (item){.kind = ITEM_INTEGER, .integer = minus ? -number : number};
    if (!take(r, '.')) {
        return true;
    }
    int64_t fraction = 0;
    size_t places = take_digits(r, FRACTION_DIGITS, &fraction);
    *ret = (item){.kind = ITEM_OTHER};
    return digits <= INTEGER_DIGITS - FRACTION_DIGITS && places > 0 && places <= FRACTION_DIGITS;
}

static bool read_string(reader *r)
{
    while (r->at < r->end) {
        char c = *r->at++;
        if (c == '"') {
            return true;
        }
        if (c == '\\') {
            if (r->at == r->end || (*r->at != '"' && *r->at != '\\')) {
                return false;
            }
            r->at++;
        } else if (c < ' ' || c == 0x7f) { /* signed: beyond ASCII, too */
            return false;
        }
    }
    return false;
}

/* Base64 between colons.  Padding may be left out; what it says does not matter here. */
static bool read_bytes(reader *r)
{
    size_t pads = 0;
    size_t letters = 0;
    while (r->at < r->end && *r->at != ':') {
        char c = *r->at++;
        if (c == '=') {
            pads++;
        } else if (pads > 0 || !(is_alpha(c) || is_digit(c) || c == '+' || c == '/')) {
            return false;
        } else {
            letters++;
        }
    }
    return pads <= 2 && letters % 4 != 1 && (pads == 0 || (letters + pads) % 4 == 0) &&
           take(r, ':');
}

static bool is_token_char(char c)
{
    return is_alpha(c) || is_digit(c) || (c != '\0' && strchr("!#$%&'*+-.^_`|~:/", c) != NULL);
}

/* An item without its parameters. */
static bool read_bare(reader *r, item *ret)
{
    *ret = (item){.kind = ITEM_OTHER};
    if (r->at == r->end) {
        return false;
    }
    char c = *r->at;
    if (c == '-' || is_digit(c)) {
        return read_number(r, ret);
    }
    r->at++;
    if (c == '"') {
        return read_string(r);
    }
    if (c == ':') {
        return read_bytes(r);
    }
    if (c == '?') {
        bool yes = take(r, '1');
        *ret = (item){.kind = ITEM_BOOLEAN, .integer = yes};
        return yes || take(r, '0');
    }
    if (!is_alpha(c) && c != '*') {
        return false;
    }
    while (r->at < r->end && is_token_char(*r->at)) {
        r->at++;
    }
    return true;
}

static bool read_key(reader *r, http_text *ret)
{
    const char *from = r->at;
    if (r->at == r->end || (!is_lower(*r->at) && *r->at != '*')) {
        return false;
    }
    while (r->at < r->end && (is_lower(*r->at) || is_digit(*r->at) || *r->at == '_' ||
                              *r->at == '-' || *r->at == '.' || *r->at == '*')) {
        r->at++;
    }
    *ret = (http_text){.data = from, .size = (size_t)(r->at - from)};
    return true;
}

static bool skip_parameters(reader *r)
{
    while (take(r, ';')) {
        http_text key;
        item value;
        skip_blanks(r, false);
        if (!read_key(r, &key) || (take(r, '=') && !read_bare(r, &value))) {
            return false;
        }
    }
    return true;
}

/* Behind its '('. */
static bool skip_inner_list(reader *r)
{
    item value;
    for (;;) {
        skip_blanks(r, false);
        if (take(r, ')')) {
            return true;
        }
        if (!read_bare(r, &value) || !skip_parameters(r) ||
            (r->at < r->end && *r->at != ' ' && *r->at != ')')) {
            return false;
        }
    }
}

static bool read_member(reader *r, http_text *key, item *value)
{
    if (!read_key(r, key)) {
        return false;
    }
    *value = (item){.kind = ITEM_BOOLEAN, .integer = 1};
    if (take(r, '=')) {
        if (take(r, '(')) {
            *value = (item){.kind = ITEM_OTHER};
            if (!skip_inner_list(r)) {
                return false;
            }
        } else if (!read_bare(r, value)) {
            return false;
        }
    }
    return skip_parameters(r);
}

static void apply(http_text key, item value, http_priority *priority)
{
    if (key.size != 1) {
        return;
    }
    if (key.data[0] == 'u' && value.kind == ITEM_INTEGER && value.integer >= 0 &&
        value.integer <= URGENCY_MAX) {
        priority->urgency = (uint8_t)value.integer;
    } else if (key.data[0] == 'i' && value.kind == ITEM_BOOLEAN) {
        priority->incremental = value.integer != 0;
    }
}

bool http_priority_read(http_text value, http_priority *priority)
{
    reader r = {.at = value.data, .end = value.data + value.size};
    http_priority found = *priority;
    skip_blanks(&r, false);
    while (r.end > r.at && r.end[-1] == ' ') {
        r.end--;
    }
    while (r.at < r.end) {
        http_text key;
        item member;
        if (!read_member(&r, &key, &member)) {
            return false;
        }
        apply(key, member, &found);
        skip_blanks(&r, true);
        if (r.at == r.end) {
            break;
        }
        if (!take(&r, ',')) {
            return false;
        }
        skip_blanks(&r, true);
        if (r.at == r.end) {
            return false; /* a comma at the end */
        }
    }
    *priority = found;
    return true;
}

/* --- rules -------------------------------------------------------------------------------- */

typedef struct rule {
    const char *at;     /* NULL: any path */
    const char *header; /* NULL: whatever its fields */
    const char *value;  /* NULL: of any value */
    size_t at_size;
    http_priority priority;
} rule;

struct http_priorities {
    const brisk_alloc *alloc;
    brisk_yaml_doc *doc; /* holds the texts */
    size_t count;
    rule rules[];
};

static brisk_err blame(const brisk_yaml_doc *doc, const brisk_yaml_node *node, const char *what,
                       brisk_errinfo *info)
{
    return brisk_errinfo_set(info, BRISK_ERR_INVALID, "%s:%u: %s", brisk_yaml_name(doc), node->line,
                             what);
}

static brisk_err read_header(const brisk_yaml_doc *doc, const brisk_yaml_node *node, rule *ret,
                             brisk_errinfo *info)
{
    static const char *const keys[] = {"name", "value", NULL};
    if (node == NULL) {
        return BRISK_OK;
    }
    if (node->kind != BRISK_YAML_MAPPING) {
        return blame(doc, node, "header is {name: ..., value: ...}", info);
    }
    brisk_err err = brisk_yaml_check_keys(doc, node, keys, info);
    if (err != BRISK_OK) {
        return err;
    }
    const brisk_yaml_node *name = brisk_yaml_get(node, "name");
    const brisk_yaml_node *value = brisk_yaml_get(node, "value");
    if (name == NULL || name->text == NULL || name->text[0] == '\0') {
        return blame(doc, node, "header needs a name", info);
    }
    for (const char *c = name->text; *c != '\0'; c++) {
        if (*c >= 'A' && *c <= 'Z') {
            return blame(doc, name, "a header's name is written in lower case", info);
        }
    }
    ret->header = name->text;
    ret->value = value != NULL ? value->text : NULL;
    return BRISK_OK;
}

static brisk_err read_urgency(const brisk_yaml_doc *doc, const brisk_yaml_node *node, rule *ret,
                              brisk_errinfo *info)
{
    const brisk_yaml_node *urgency = brisk_yaml_get(node, "urgency");
    const brisk_yaml_node *incremental = brisk_yaml_get(node, "incremental");
    uint64_t number = 3; /* RFC 9218, 4.1 */
    if (urgency != NULL) {
        brisk_err err = brisk_yaml_u64(doc, urgency, &number, info);
        if (err != BRISK_OK) {
            return err;
        }
    }
    if (number > URGENCY_MAX) {
        return blame(doc, urgency, "urgency is 0 (first) to 7 (last)", info);
    }
    bool yes =
        incremental != NULL && incremental->text != NULL && strcmp(incremental->text, "true") == 0;
    if (incremental != NULL && !yes &&
        (incremental->text == NULL || strcmp(incremental->text, "false") != 0)) {
        return blame(doc, incremental, "incremental is true or false", info);
    }
    ret->priority = (http_priority){.urgency = (uint8_t)number, .incremental = yes};
    return BRISK_OK;
}

static brisk_err read_rule(const brisk_yaml_doc *doc, const brisk_yaml_node *node, rule *ret,
                           brisk_errinfo *info)
{
    static const char *const keys[] = {"at", "header", "urgency", "incremental", NULL};
    if (node->kind != BRISK_YAML_MAPPING) {
        return blame(doc, node, "a rule is {at: PATH, urgency: 0..7, incremental: BOOL}", info);
    }
    brisk_err err = brisk_yaml_check_keys(doc, node, keys, info);
    if (err != BRISK_OK) {
        return err;
    }
    const brisk_yaml_node *at = brisk_yaml_get(node, "at");
    if (at != NULL) {
        if (at->text == NULL || at->text[0] != '/') {
            return blame(doc, at, "at is a path that begins with '/'", info);
        }
        ret->at = at->text;
        ret->at_size = strlen(at->text);
    }
    err = read_header(doc, brisk_yaml_get(node, "header"), ret, info);
    if (err == BRISK_OK && ret->at == NULL && ret->header == NULL) {
        err = blame(doc, node, "a rule needs 'at' or 'header'", info);
    }
    return err == BRISK_OK ? read_urgency(doc, node, ret, info) : err;
}

static size_t size_of(size_t count)
{
    return sizeof(http_priorities) + count * sizeof(rule);
}

/* Takes `doc` over when it succeeds. */
static brisk_err build(brisk_yaml_doc *doc, const brisk_alloc *alloc, http_priorities **ret,
                       brisk_errinfo *info)
{
    const brisk_yaml_node *root = brisk_yaml_root(doc);
    bool none = root->kind == BRISK_YAML_MAPPING && root->count == 0;
    if (!none && (root->kind != BRISK_YAML_SEQUENCE || root->count > RULES_MAX)) {
        return blame(doc, root, "priorities are a list of at most 256 rules", info);
    }
    http_priorities *rules =
        alloc->acquire(alloc->ctx, size_of(root->count), _Alignof(http_priorities));
    if (rules == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "out of memory");
    }
    memset(rules, 0, size_of(root->count));
    *rules = (http_priorities){.alloc = alloc, .count = root->count};
    size_t i = 0;
    brisk_err err = BRISK_OK;
    for (const brisk_yaml_node *n = root->child; n != NULL && err == BRISK_OK; n = n->next) {
        err = read_rule(doc, n, &rules->rules[i++], info);
    }
    if (err != BRISK_OK) {
        http_priorities_destroy(rules);
        return err;
    }
    rules->doc = doc;
    *ret = rules;
    return BRISK_OK;
}

brisk_err http_priorities_create(brisk_yaml_doc *doc, const brisk_alloc *alloc,
                                 http_priorities **ret, brisk_errinfo *info)
{
    BRISK_ASSERT(alloc != NULL && ret != NULL);
    if (doc == NULL) {
        *ret = NULL;
        return BRISK_OK;
    }
    return build(doc, alloc, ret, info);
}

void http_priorities_destroy(http_priorities *rules)
{
    if (rules != NULL) {
        brisk_yaml_destroy(rules->doc);
        rules->alloc->release(rules->alloc->ctx, rules, size_of(rules->count),
                              _Alignof(http_priorities));
    }
}

static bool has_value(http_text field, const char *value)
{
    return value == NULL ||
           (field.size == strlen(value) && memcmp(field.data, value, field.size) == 0);
}

static bool has_field(const exchange *x, const rule *r)
{
    for (uint32_t i = 0; i < x->field_count; i++) {
        const http_field *f = &x->fields[i];
        if (f->name.size == strlen(r->header) &&
            memcmp(f->name.data, r->header, f->name.size) == 0 && has_value(f->value, r->value)) {
            return true;
        }
    }
    return false;
}

bool http_priorities_find(const http_priorities *rules, const exchange *x, http_priority *ret)
{
    for (size_t i = 0; rules != NULL && i < rules->count; i++) {
        const rule *r = &rules->rules[i];
        bool here = r->at == NULL ||
                    (x->path.size >= r->at_size && memcmp(x->path.data, r->at, r->at_size) == 0);
        if (here && (r->header == NULL || has_field(x, r))) {
            *ret = r->priority;
            return true;
        }
    }
    return false;
}

void http_priority_choose(exchange *x, const http_priorities *rules)
{
    x->priority = x->route->priority;
    const http_text *field = exchange_field(x, "priority");
    if (field != NULL) {
        (void)http_priority_read(*field, &x->priority);
    }
    (void)http_priorities_find(rules, x, &x->priority);
}
