/*
 * line.c -- the grammar of a StatsD line:
 *
 *     name ':' value { ':' value } '|' type { '|' '@' rate | '|' '#' tag { ',' tag } | '|' other }
 *     tag = key [ ':' value ]
 *
 * Pieces are found by memchr within the line, numbers are copied to a small buffer for strtod: the line is
 * not terminated.  Fields that are not known (containers, timestamps) are skipped, as the format asks.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "observe/statsd/line.h"

enum { NUMBER_MAX = 48 };

typedef struct span {
    const char *at;
    size_t size;
} span;

/* Cut what stands before `mark` off *rest; false when there is no mark: everything is cut off. */
static bool cut(span *rest, char mark, span *ret)
{
    const char *found = rest->size > 0 ? memchr(rest->at, mark, rest->size) : NULL;
    ret->at = rest->at;
    if (found == NULL) {
        ret->size = rest->size;
        rest->at += rest->size;
        rest->size = 0;
        return false;
    }
    ret->size = (size_t)(found - rest->at);
    rest->at = found + 1;
    rest->size -= ret->size + 1;
    return true;
}

/* Digits, sign, point and exponent only: no "nan", "inf", hexadecimal or blanks. */
static bool to_number(span text, double *ret)
{
    char copy[NUMBER_MAX];
    if (text.size == 0 || text.size >= sizeof copy) {
        return false;
    }
    for (size_t i = 0; i < text.size; i++) {
        char c = text.at[i];
        if (!(c >= '0' && c <= '9') && strchr("+-.eE", c) == NULL) {
            return false;
        }
        copy[i] = c;
    }
    if (memchr(copy, '\0', text.size) != NULL) {
        return false; /* strchr finds the terminator, too */
    }
    copy[text.size] = '\0';
    char *end;
    double value = strtod(copy, &end);
    if (end != copy + text.size || !isfinite(value)) {
        return false;
    }
    *ret = value;
    return true;
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/*
 * Append a name to `to` that has `used` bytes, '_' for what must not be; dots part words unless `dots` is
 * false.  The bytes used then, or 0 when it does not fit.
 */
static size_t add_name(char *to, size_t used, size_t size_max, span name, bool dots)
{
    bool first = used == 0 || to[used - 1] == '.';
    for (size_t i = 0; i < name.size; i++) {
        char c = name.at[i];
        bool digit = c >= '0' && c <= '9';
        if (dots && c == '.') {
            if (first) {
                continue; /* "a..b", ".a" */
            }
            first = true;
        } else {
            if (digit && first && used + 1 < size_max) {
                to[used++] = '_';
            }
            c = is_letter(c) || digit ? c : '_';
            first = false;
        }
        if (used + 1 >= size_max) {
            return 0;
        }
        to[used++] = c;
    }
    if (used > 0 && to[used - 1] == '.') {
        used--;
    }
    to[used] = '\0';
    return used;
}

static bool take_values(span values, statsd_line *ret)
{
    bool more = true;
    while (more) {
        span one;
        more = cut(&values, ':', &one);
        if (ret->value_count == STATSD_VALUES_MAX ||
            !to_number(one, &ret->values[ret->value_count])) {
            return false;
        }
        ret->value_count++;
    }
    return true;
}

static bool take_type(span type, bool has_sign, statsd_line *ret)
{
    if (type.size == 2 && memcmp(type.at, "ms", 2) == 0) {
        ret->type = STATSD_TIME;
        return true;
    }
    if (type.size != 1) {
        return false;
    }
    switch (type.at[0]) {
    case 'c': ret->type = STATSD_COUNTER; return true;
    case 'g': ret->type = has_sign ? STATSD_GAUGE_CHANGE : STATSD_GAUGE; return true;
    case 'h':
    case 'd': ret->type = STATSD_HISTOGRAM; return true;
    default: return false;
    }
}

static bool has_label(const statsd_line *line, const char *name)
{
    for (uint32_t i = 0; i < line->label_count; i++) {
        if (strcmp(line->labels[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* Tags; of one key the first counts.  A tag without value is "true". */
static bool take_tags(span tags, statsd_line *ret)
{
    size_t used = 0;
    bool more = true;
    while (more) {
        span tag;
        span key;
        more = cut(&tags, ',', &tag);
        bool has_value = cut(&tag, ':', &key);
        if (key.size == 0) {
            continue;
        }
        char *name = ret->texts + used;
        size_t room = sizeof ret->texts - used;
        size_t length = add_name(name, 0, room < BRISK_LABEL_NAME_MAX ? room : BRISK_LABEL_NAME_MAX,
                                 key, false);
        span value = has_value ? tag : (span){"true", 4};
        if (length == 0 || ret->label_count == BRISK_LABELS_MAX ||
            used + length + 2 + value.size > sizeof ret->texts ||
            memchr(value.at, '\0', value.size) != NULL) {
            return false;
        }
        if (has_label(ret, name)) {
            continue;
        }
        char *text = name + length + 1;
        memcpy(text, value.at, value.size);
        text[value.size] = '\0';
        ret->labels[ret->label_count++] = (brisk_label){name, text};
        used += length + 2 + value.size;
    }
    return true;
}

bool statsd_parse(const char *data, size_t size, const char *prefix, statsd_line *ret)
{
    span rest = {data, size};
    span name;
    span values;
    span type;
    ret->value_count = 0;
    ret->label_count = 0;
    ret->rate = 1;
    if (!cut(&rest, ':', &name) || name.size == 0 || !cut(&rest, '|', &values)) {
        return false;
    }
    bool more = cut(&rest, '|', &type);
    bool has_sign = values.size > 0 && (values.at[0] == '+' || values.at[0] == '-');
    if (!take_values(values, ret) || !take_type(type, has_sign, ret)) {
        return false;
    }
    while (more) {
        span field;
        more = cut(&rest, '|', &field);
        span body = {field.at + 1, field.size - 1};
        if (field.size > 1 && field.at[0] == '@') {
            if (!to_number(body, &ret->rate) || !(ret->rate > 0) || ret->rate > 1) {
                return false;
            }
        } else if (field.size > 1 && field.at[0] == '#' && ret->label_count == 0) {
            if (!take_tags(body, ret)) {
                return false;
            }
        }
    }
    size_t used = add_name(ret->name, 0, sizeof ret->name, (span){prefix, strlen(prefix)}, true);
    if (used > 0 && prefix[strlen(prefix) - 1] == '.' && used + 1 < sizeof ret->name) {
        ret->name[used++] = '.';
    }
    used = add_name(ret->name, used, sizeof ret->name, name, true);
    return used > 0;
}
