/*
 * control.c -- Packages files: stanzas of fields, and what stands in fields of relations.
 *
 * A line that begins with a blank goes on with the field before it; an empty line ends a stanza.
 * Lines are found with memchr, and most of their fields are told apart by the first character and
 * the length alone.  Nothing is copied.
 *
 * Threads: plain functions.
 * Source: Debian Policy, 5.1 and 7.1.
 */
#include "workload/pkg/deb/deb.h"

#include <strings.h>

static const struct {
    const char *name;
    size_t size;
    deb_field field;
} fields[] = {
    {"Package", 7, DEB_FIELD_PACKAGE},
    {"Version", 7, DEB_FIELD_VERSION},
    {"Architecture", 12, DEB_FIELD_ARCHITECTURE},
    {"Multi-Arch", 10, DEB_FIELD_MULTI_ARCH},
    {"Essential", 9, DEB_FIELD_ESSENTIAL},
    {"Priority", 8, DEB_FIELD_PRIORITY},
    {"Pre-Depends", 11, DEB_FIELD_PRE_DEPENDS},
    {"Depends", 7, DEB_FIELD_DEPENDS},
    {"Recommends", 10, DEB_FIELD_RECOMMENDS},
    {"Provides", 8, DEB_FIELD_PROVIDES},
    {"Conflicts", 9, DEB_FIELD_CONFLICTS},
    {"Breaks", 6, DEB_FIELD_BREAKS},
    {"Replaces", 8, DEB_FIELD_REPLACES},
    {"Size", 4, DEB_FIELD_SIZE},
    {"Installed-Size", 14, DEB_FIELD_INSTALLED_SIZE},
};

/* Which field a line begins, or DEB_FIELD_COUNT; *value is what stands behind the colon. */
static deb_field field_of(const char *line, const char *end, const char **value)
{
    char first = (char)(*line | 0x20); /* lower case, of letters */
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        size_t size = fields[i].size;
        if ((fields[i].name[0] | 0x20) == first && (size_t)(end - line) > size &&
            line[size] == ':' && strncasecmp(line, fields[i].name, size) == 0) {
            *value = line + size + 1;
            return fields[i].field;
        }
    }
    return DEB_FIELD_COUNT;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static pkg_text trim(const char *from, const char *to)
{
    while (from < to && is_blank(*from)) {
        from++;
    }
    while (from < to && is_blank(to[-1])) {
        to--;
    }
    return (pkg_text){.data = from, .size = (size_t)(to - from)};
}

bool deb_control_next(deb_control *control, deb_stanza *ret)
{
    deb_field open = DEB_FIELD_COUNT;
    const char *value = NULL;
    bool any = false;
    memset(ret, 0, sizeof *ret);
    while (control->at < control->end) {
        const char *line = control->at;
        const char *end = memchr(line, '\n', (size_t)(control->end - line));
        end = end != NULL ? end : control->end;
        control->at = end < control->end ? end + 1 : end;
        control->line++;
        if (line == end || (*line == '\r' && line + 1 == end)) {
            if (any) {
                return true;
            }
            continue;
        }
        if (!any) {
            any = true;
            ret->line = control->line;
        }
        if (*line != ' ' && *line != '\t') {
            open = field_of(line, end, &value);
        }
        if (open != DEB_FIELD_COUNT) {
            ret->fields[open] = trim(value, end); /* of a folded one up to here */
        }
    }
    return any;
}

bool deb_list_next(pkg_text *rest, char separator, pkg_text *ret)
{
    while (rest->size > 0) {
        const char *end = memchr(rest->data, separator, rest->size);
        size_t size = end != NULL ? (size_t)(end - rest->data) : rest->size;
        *ret = trim(rest->data, rest->data + size);
        size_t cut = end != NULL ? size + 1 : size;
        rest->data += cut;
        rest->size -= cut;
        if (ret->size > 0) {
            return true;
        }
    }
    return false;
}

/* The operator at the start of `text`, which is moved behind it. */
static bool op_parse(pkg_text *text, deb_op *ret)
{
    static const struct {
        const char *text;
        deb_op op;
    } ops[] = {{"<<", DEB_LT}, {"<=", DEB_LE}, {"=", DEB_EQ}, {">=", DEB_GE},
               {">>", DEB_GT}, {"<", DEB_LE},  {">", DEB_GE}};
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        size_t size = strlen(ops[i].text);
        if (text->size >= size && memcmp(text->data, ops[i].text, size) == 0) {
            *ret = ops[i].op;
            *text = trim(text->data + size, text->data + text->size);
            return true;
        }
    }
    return false;
}

static bool is_name(pkg_text text)
{
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c <= ' ' || c == '(' || c == ')' || c == ',' || c == '|' || c == ':' || c == '=') {
            return false;
        }
    }
    return text.size > 0;
}

bool deb_relation_parse(pkg_text text, deb_relation *ret)
{
    deb_relation r = {.op = DEB_ANY};
    const char *end = text.data + text.size;
    const char *paren = text.size > 0 ? memchr(text.data, '(', text.size) : NULL;
    r.name = trim(text.data, paren != NULL ? paren : end);
    if (paren != NULL) {
        const char *close = memchr(paren, ')', (size_t)(end - paren));
        if (close == NULL || trim(close + 1, end).size != 0) {
            return false;
        }
        r.version = trim(paren + 1, close);
        if (!op_parse(&r.version, &r.op) || r.version.size == 0) {
            return false;
        }
    }
    const char *colon = r.name.size > 0 ? memchr(r.name.data, ':', r.name.size) : NULL;
    if (colon != NULL) {
        const char *name_end = r.name.data + r.name.size;
        r.arch = (pkg_text){.data = colon + 1, .size = (size_t)(name_end - colon - 1)};
        r.name.size = (size_t)(colon - r.name.data);
        if (!is_name(r.arch)) {
            return false;
        }
    }
    if (!is_name(r.name)) {
        return false;
    }
    *ret = r;
    return true;
}

bool deb_op_holds(deb_op op, int order)
{
    switch (op) {
    case DEB_ANY: return true;
    case DEB_LT: return order < 0;
    case DEB_LE: return order <= 0;
    case DEB_EQ: return order == 0;
    case DEB_GE: return order >= 0;
    case DEB_GT: return order > 0;
    }
    return false;
}
