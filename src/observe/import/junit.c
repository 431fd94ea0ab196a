/*
 * junit.c -- <testcase classname="a" name="b" time="0.12"/>: samples in seconds under "a.b".
 *
 * Only as much XML as that takes: tags and their attributes, comments, CDATA and processing instructions
 * passed over.  A document type is refused: entities of a file's own are how XML attacks.  Cases that
 * were skipped have a time of nothing; failed ones are measured like others.
 */
#include <string.h>

#include "observe/import/import.h"

enum { VALUE_MAX = IMPORT_NAME_MAX / 2 - 2, DEPTH_MAX = 64 };

typedef struct test_case {
    char name[VALUE_MAX];
    char class_name[VALUE_MAX];
    double time;
    bool has_time;
    bool skipped;
    bool open;
} test_case;

typedef struct xml {
    import_builder *b;
    size_t at;
    uint32_t depth;
    test_case now;
} xml;

static bool starts(const xml *x, const char *word)
{
    size_t size = strlen(word);
    return x->b->size - x->at >= size && memcmp(x->b->data + x->at, word, size) == 0;
}

/* Past the next `word`; false when there is none. */
static bool skip_past(xml *x, const char *word)
{
    const char *found = memmem(x->b->data + x->at, x->b->size - x->at, word, strlen(word));
    if (found == NULL) {
        return false;
    }
    x->at = (size_t)(found - x->b->data) + strlen(word);
    return true;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void skip_space(xml *x)
{
    while (x->at < x->b->size && is_space(x->b->data[x->at])) {
        x->at++;
    }
}

static bool is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == ':' || c == '.' || (unsigned char)c >= 0x80;
}

/* A name into out[64], cut; false when there is none. */
static bool read_name(xml *x, char out[64])
{
    size_t begin = x->at;
    while (x->at < x->b->size && is_name(x->b->data[x->at])) {
        x->at++;
    }
    (void)snprintf(out, 64, "%.*s", (int)(x->at - begin < 63 ? x->at - begin : 63),
                   x->b->data + begin);
    return x->at > begin;
}

/* The five entities; numbers of characters become '?', which a name can bear. */
static char entity(const char *text, size_t size, size_t *used)
{
    static const struct {
        const char *text;
        char c;
    } known[] = {{"&lt;", '<'}, {"&gt;", '>'}, {"&amp;", '&'}, {"&quot;", '"'}, {"&apos;", '\''}};
    for (size_t i = 0; i < 5; i++) {
        size_t length = strlen(known[i].text);
        if (size >= length && memcmp(text, known[i].text, length) == 0) {
            *used = length;
            return known[i].c;
        }
    }
    const char *end = size > 2 && text[1] == '#' ? memchr(text, ';', size < 12 ? size : 12) : NULL;
    *used = end != NULL ? (size_t)(end - text) + 1 : 1;
    return end != NULL ? '?' : '&';
}

static void decode(const char *text, size_t size, char out[VALUE_MAX])
{
    size_t kept = 0;
    for (size_t i = 0, used = 1; i < size && kept + 1 < VALUE_MAX; i += used) {
        used = 1;
        char c = text[i] == '&' ? entity(text + i, size - i, &used) : text[i];
        out[kept++] = (unsigned char)c < ' ' ? ' ' : c;
    }
    out[kept] = '\0';
}

/* ="value" behind an attribute's name. */
static bool read_value(xml *x, const char **text, size_t *size)
{
    skip_space(x);
    if (!starts(x, "=")) {
        return false;
    }
    x->at++;
    skip_space(x);
    char quote = x->at < x->b->size ? x->b->data[x->at] : '\0';
    if (quote != '"' && quote != '\'') {
        return false;
    }
    *text = x->b->data + ++x->at;
    const char *end = memchr(*text, quote, x->b->size - x->at);
    if (end == NULL) {
        return false;
    }
    *size = (size_t)(end - *text);
    x->at += *size + 1;
    return true;
}

static brisk_err put_case(xml *x)
{
    test_case *c = &x->now;
    c->open = false;
    if (!c->has_time || c->skipped || c->name[0] == '\0') {
        return BRISK_OK;
    }
    char name[IMPORT_NAME_MAX];
    (void)snprintf(name, sizeof name, "%s%s%s", c->class_name, c->class_name[0] != '\0' ? "." : "",
                   c->name);
    return import_add(x->b, &(import_key){name, "sample", "s"}, c->time, NULL);
}

/* Attributes up to '>' or "/>"; those of a test case are kept. */
static brisk_err read_attributes(xml *x, bool of_case, bool *ret_closed)
{
    for (;;) {
        skip_space(x);
        bool closed = starts(x, "/>");
        if (closed || starts(x, ">")) {
            x->at += closed ? 2 : 1;
            *ret_closed = closed;
            return BRISK_OK;
        }
        char name[64];
        const char *text = NULL;
        size_t size = 0;
        size_t begin = x->at;
        if (!read_name(x, name) || !read_value(x, &text, &size)) {
            return import_fail(x->b, BRISK_ERR_CORRUPT, begin, "not an attribute");
        }
        if (of_case && strcmp(name, "name") == 0) {
            decode(text, size, x->now.name);
        } else if (of_case && strcmp(name, "classname") == 0) {
            decode(text, size, x->now.class_name);
        } else if (of_case && strcmp(name, "time") == 0) {
            if (!import_number(text, size, &x->now.time) || x->now.time < 0) {
                return import_fail(x->b, BRISK_ERR_CORRUPT, begin, "a time that is no number");
            }
            x->now.has_time = true;
        }
    }
}

static brisk_err read_open_tag(xml *x)
{
    size_t begin = x->at++;
    char name[64];
    bool closed = false;
    if (!read_name(x, name)) {
        return import_fail(x->b, BRISK_ERR_CORRUPT, begin, "not a tag");
    }
    bool of_case = strcmp(name, "testcase") == 0;
    if (of_case) {
        x->now = (test_case){.open = true};
    } else if (strcmp(name, "skipped") == 0) {
        x->now.skipped = true;
    }
    brisk_err err = read_attributes(x, of_case, &closed);
    if (err != BRISK_OK) {
        return err;
    }
    if (!closed && ++x->depth > DEPTH_MAX) {
        return import_fail(x->b, BRISK_ERR_LIMIT, begin, "nested too deeply");
    }
    return of_case && closed ? put_case(x) : BRISK_OK;
}

static brisk_err read_close_tag(xml *x)
{
    size_t begin = x->at;
    char name[64];
    x->at += 2;
    if (!read_name(x, name) || x->depth == 0 || !skip_past(x, ">")) {
        return import_fail(x->b, BRISK_ERR_CORRUPT, begin, "not a closing tag, or of nothing");
    }
    x->depth--;
    return strcmp(name, "testcase") == 0 && x->now.open ? put_case(x) : BRISK_OK;
}

brisk_err import_junit(import_builder *b)
{
    xml x = {.b = b};
    brisk_err err = BRISK_OK;
    while (err == BRISK_OK && skip_past(&x, "<")) {
        size_t begin = --x.at;
        bool good = true;
        if (starts(&x, "<!--")) {
            good = skip_past(&x, "-->");
        } else if (starts(&x, "<![CDATA[")) {
            good = skip_past(&x, "]]>");
        } else if (starts(&x, "<?")) {
            good = skip_past(&x, "?>");
        } else if (starts(&x, "<!")) {
            err = import_fail(b, BRISK_ERR_UNSUPPORTED, begin, "a document type is not read");
        } else {
            err = starts(&x, "</") ? read_close_tag(&x) : read_open_tag(&x);
        }
        if (!good) {
            err = import_fail(b, BRISK_ERR_CORRUPT, begin, "without an end");
        }
    }
    return err == BRISK_OK && x.depth > 0
               ? import_fail(b, BRISK_ERR_CORRUPT, b->size, "a tag that is not closed")
               : err;
}
