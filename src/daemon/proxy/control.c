/*
 * control.c -- see control.h: one table of directives for both grammars.
 */
#include "daemon/proxy/control.h"

#include <string.h>

typedef struct directive {
    http_text name;
    uint32_t flag;
    size_t number;   /* where its number goes; 0: it has none */
    uint32_t absent; /* what its number is when none is given */
    uint32_t named;  /* the flag when its argument names fields; 0: arguments do not matter */
} directive;

#define NUMBER(field) offsetof(proxy_control, field)

static const directive directives[] = {
    {HTTP_TEXT_INIT("no-store"), CONTROL_NO_STORE, 0, 0, 0},
    {HTTP_TEXT_INIT("no-cache"), CONTROL_NO_CACHE, 0, 0, CONTROL_NO_CACHE_FIELDS},
    {HTTP_TEXT_INIT("private"), CONTROL_PRIVATE, 0, 0, CONTROL_PRIVATE_FIELDS},
    {HTTP_TEXT_INIT("public"), CONTROL_PUBLIC, 0, 0, 0},
    {HTTP_TEXT_INIT("must-revalidate"), CONTROL_MUST_REVALIDATE, 0, 0, 0},
    {HTTP_TEXT_INIT("proxy-revalidate"), CONTROL_PROXY_REVALIDATE, 0, 0, 0},
    {HTTP_TEXT_INIT("must-understand"), CONTROL_MUST_UNDERSTAND, 0, 0, 0},
    {HTTP_TEXT_INIT("no-transform"), CONTROL_NO_TRANSFORM, 0, 0, 0},
    {HTTP_TEXT_INIT("only-if-cached"), CONTROL_ONLY_IF_CACHED, 0, 0, 0},
    {HTTP_TEXT_INIT("immutable"), CONTROL_IMMUTABLE, 0, 0, 0},
    {HTTP_TEXT_INIT("max-age"), CONTROL_MAX_AGE, NUMBER(max_age), 0, 0},
    {HTTP_TEXT_INIT("s-maxage"), CONTROL_S_MAXAGE, NUMBER(s_maxage), 0, 0},
    {HTTP_TEXT_INIT("stale-while-revalidate"), CONTROL_STALE_WHILE, NUMBER(stale_while), 0, 0},
    {HTTP_TEXT_INIT("stale-if-error"), CONTROL_STALE_ERROR, NUMBER(stale_error), 0, 0},
    {HTTP_TEXT_INIT("max-stale"), CONTROL_MAX_STALE, NUMBER(max_stale), PROXY_SECONDS_MAX, 0},
    {HTTP_TEXT_INIT("min-fresh"), CONTROL_MIN_FRESH, NUMBER(min_fresh), PROXY_SECONDS_MAX, 0},
};

static const directive *find(http_text name)
{
    for (size_t i = 0; i < sizeof directives / sizeof directives[0]; i++) {
        if (proxy_like(directives[i].name, name)) {
            return &directives[i];
        }
    }
    return NULL;
}

static void set_number(proxy_control *control, const directive *d, uint32_t value)
{
    if ((control->flags & d->flag) == 0) { /* of two the first counts */
        memcpy((char *)control + d->number, &value, sizeof value);
        control->flags |= d->flag;
    }
}

/* The name and argument of one element; *has_argument tells "a" from "a=". */
static http_text split(http_text item, http_text *argument, bool *has_argument)
{
    const char *equals = memchr(item.data, '=', item.size);
    *has_argument = equals != NULL;
    if (equals == NULL) {
        *argument = (http_text){0};
        return item;
    }
    size_t size = (size_t)(equals - item.data);
    *argument = (http_text){equals + 1, item.size - size - 1};
    return (http_text){item.data, size};
}

static void apply(proxy_control *control, http_text item)
{
    http_text argument;
    bool has_argument;
    const directive *d = find(split(item, &argument, &has_argument));
    if (d == NULL) {
        return;
    }
    if (d->number != 0) {
        uint32_t value = d->absent;
        if (has_argument && !proxy_seconds(proxy_unquote(argument), &value)) {
            value = d->flag == CONTROL_MIN_FRESH ? PROXY_SECONDS_MAX : 0;
        }
        set_number(control, d, value);
    } else if (d->named != 0 && has_argument && proxy_unquote(argument).size > 0) {
        control->flags |= d->named;
    } else {
        control->flags |= d->flag;
    }
}

proxy_control proxy_control_read(proxy_fields fields, const char *name)
{
    proxy_control control = {0};
    proxy_list list = proxy_list_of(fields, name);
    http_text item;
    while (proxy_list_next(&list, &item)) {
        apply(&control, item);
    }
    return control;
}

bool proxy_control_names(proxy_fields fields, http_text name)
{
    proxy_list list = proxy_list_of(fields, "cache-control");
    http_text item;
    while (proxy_list_next(&list, &item)) {
        http_text argument;
        bool has_argument;
        const directive *d = find(split(item, &argument, &has_argument));
        if (d == NULL || d->named == 0 || !has_argument) {
            continue;
        }
        http_text names = proxy_unquote(argument);
        http_text one;
        while (proxy_element_next(&names, &one)) {
            if (one.size > 0 && proxy_like(one, name)) {
                return true;
            }
        }
    }
    return false;
}

proxy_control proxy_control_of_request(proxy_fields fields)
{
    proxy_control control = proxy_control_read(fields, "cache-control");
    if (control.flags == 0 && proxy_field(fields, "cache-control") == NULL &&
        proxy_list_has(fields, "pragma", HTTP_TEXT("no-cache"))) {
        control.flags |= CONTROL_NO_CACHE;
    }
    return control;
}

proxy_control proxy_control_of_response(proxy_fields fields)
{
    proxy_control control;
    if (proxy_control_targeted(fields, "cdn-cache-control", &control)) {
        return control;
    }
    return proxy_control_read(fields, "cache-control");
}

/* --- structured dictionaries ------------------------------------------------------------- */

typedef enum sf_type { SF_BOOLEAN, SF_INTEGER, SF_OTHER } sf_type;

typedef struct sf_value {
    sf_type type;
    bool is_true;
    int64_t integer;
} sf_value;

typedef struct sf_reader {
    const char *at;
    const char *end;
} sf_reader;

static bool sf_is(const sf_reader *r, char c)
{
    return r->at < r->end && *r->at == c;
}

static void sf_blanks(sf_reader *r, bool tabs)
{
    while (sf_is(r, ' ') || (tabs && sf_is(r, '\t'))) {
        r->at++;
    }
}

static bool sf_key(sf_reader *r, http_text *ret)
{
    const char *begin = r->at;
    if (r->at >= r->end || !(*r->at == '*' || (*r->at >= 'a' && *r->at <= 'z'))) {
        return false;
    }
    while (r->at < r->end &&
           ((*r->at >= 'a' && *r->at <= 'z') || (*r->at >= '0' && *r->at <= '9') ||
            strchr("_-.*", *r->at) != NULL) &&
           *r->at != '\0') {
        r->at++;
    }
    *ret = (http_text){begin, (size_t)(r->at - begin)};
    return true;
}

static bool sf_number(sf_reader *r, sf_value *ret)
{
    bool negative = sf_is(r, '-');
    r->at += negative ? 1 : 0;
    int digits = 0;
    int behind = -1; /* digits behind the point */
    int64_t value = 0;
    for (; r->at < r->end; r->at++) {
        if (*r->at == '.' && behind < 0 && digits > 0) {
            behind = 0;
        } else if (*r->at >= '0' && *r->at <= '9') {
            value = behind < 0 ? value * 10 + (*r->at - '0') : value;
            behind += behind >= 0 ? 1 : 0;
            digits++;
        } else {
            break;
        }
        if (digits > 15) {
            return false;
        }
    }
    *ret = (sf_value){.type = behind >= 0 ? SF_OTHER : SF_INTEGER,
                      .integer = negative ? -value : value};
    return digits > 0 && behind != 0 && behind <= 3;
}

static bool sf_string(sf_reader *r)
{
    for (r->at++; r->at < r->end; r->at++) {
        if (*r->at == '"') {
            r->at++;
            return true;
        }
        if (*r->at == '\\') {
            r->at++;
            if (r->at >= r->end || (*r->at != '"' && *r->at != '\\')) {
                return false;
            }
        } else if (*r->at < 0x20 || *r->at >= 0x7f) {
            return false;
        }
    }
    return false;
}

static bool sf_token(sf_reader *r)
{
    while (r->at<r->end && * r->at> 0x20 && *r->at < 0x7f &&
           strchr("\"(),;<=>?@[\\]{}", *r->at) == NULL) {
        r->at++;
    }
    return true;
}

static bool sf_bytes(sf_reader *r)
{
    for (r->at++; r->at < r->end; r->at++) {
        if (*r->at == ':') {
            r->at++;
            return true;
        }
        char c = *r->at;
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '+' || c == '/' || c == '=')) {
            return false;
        }
    }
    return false;
}

static bool sf_item(sf_reader *r, sf_value *ret)
{
    *ret = (sf_value){.type = SF_OTHER};
    if (r->at >= r->end) {
        return false;
    }
    char c = *r->at;
    if (c == '-' || (c >= '0' && c <= '9')) {
        return sf_number(r, ret);
    }
    if (c == '"') {
        return sf_string(r);
    }
    if (c == ':') {
        return sf_bytes(r);
    }
    if (c == '?') {
        r->at++;
        *ret = (sf_value){.type = SF_BOOLEAN, .is_true = sf_is(r, '1')};
        return (sf_is(r, '0') || sf_is(r, '1')) && r->at++ < r->end;
    }
    if (c == '*' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) {
        return sf_token(r);
    }
    return false;
}

static bool sf_parameters(sf_reader *r)
{
    while (sf_is(r, ';')) {
        r->at++;
        sf_blanks(r, false);
        http_text key;
        sf_value ignored;
        if (!sf_key(r, &key)) {
            return false;
        }
        if (sf_is(r, '=')) {
            r->at++;
            if (!sf_item(r, &ignored)) {
                return false;
            }
        }
    }
    return true;
}

static bool sf_inner_list(sf_reader *r)
{
    r->at++;
    for (;;) {
        sf_blanks(r, false);
        if (sf_is(r, ')')) {
            r->at++;
            return true;
        }
        sf_value ignored;
        if (!sf_item(r, &ignored) || !sf_parameters(r) || !(sf_is(r, ' ') || sf_is(r, ')'))) {
            return false;
        }
    }
}

static bool sf_member(sf_reader *r, http_text *key, sf_value *value)
{
    *value = (sf_value){.type = SF_BOOLEAN, .is_true = true};
    if (!sf_key(r, key)) {
        return false;
    }
    if (sf_is(r, '=')) {
        r->at++;
        bool is_list = sf_is(r, '(');
        value->type = SF_OTHER;
        if (is_list ? !sf_inner_list(r) : !sf_item(r, value)) {
            return false;
        }
    }
    return sf_parameters(r);
}

/* A directive of a dictionary; false: a value of the wrong type. */
static bool sf_apply(proxy_control *control, http_text key, sf_value value)
{
    const directive *d = find(key);
    if (d == NULL) {
        return true;
    }
    if (d->number != 0) {
        if (value.type != SF_INTEGER) {
            return false;
        }
        int64_t n = value.integer < 0 ? 0 : value.integer;
        control->flags &= ~d->flag; /* of two the last counts (RFC 8941 3.2) */
        set_number(control, d, (uint32_t)(n < PROXY_SECONDS_MAX ? n : PROXY_SECONDS_MAX));
        return true;
    }
    if (value.type == SF_BOOLEAN) {
        control->flags = value.is_true ? control->flags | d->flag : control->flags & ~d->flag;
        return true;
    }
    control->flags |= d->flag; /* an argument: the safe reading */
    return d->named != 0;
}

/* One line of the field.  The lines of a list are one list, so each must be good by itself but for
 * the comma between them. */
static bool sf_line(proxy_control *control, http_text line)
{
    sf_reader r = {line.data, line.data + line.size};
    sf_blanks(&r, false);
    while (r.at < r.end) {
        http_text key;
        sf_value value;
        if (!sf_member(&r, &key, &value) || !sf_apply(control, key, value)) {
            return false;
        }
        sf_blanks(&r, true);
        if (r.at == r.end) {
            break;
        }
        if (!sf_is(&r, ',')) {
            return false;
        }
        r.at++;
        sf_blanks(&r, true);
        if (r.at == r.end) {
            return false; /* a comma with nothing behind it */
        }
    }
    return true;
}

bool proxy_control_targeted(proxy_fields fields, const char *name, proxy_control *ret)
{
    proxy_control control = {.flags = CONTROL_TARGETED};
    size_t size = strlen(name);
    bool any = false;
    for (uint32_t i = 0; i < fields.count; i++) {
        const http_field *f = &fields.items[i];
        if (f->name.size != size || memcmp(f->name.data, name, size) != 0) {
            continue;
        }
        if (!sf_line(&control, f->value)) {
            return false;
        }
        any = any || proxy_trim(f->value).size > 0;
    }
    if (!any) {
        return false;
    }
    *ret = control;
    return true;
}
