/*
 * yaml_write.c -- a tree of YAML as text in flow style: yaml_write_flow.
 *
 * Scalars are written in one of two ways: as they are, when they are made of signs that mean
 * nothing to YAML wherever they stand, or between double quotes.  Inside those, whatever YAML would
 * fold, refuse or take for a line break is escaped; other UTF-8 stays readable.
 *
 * Invariant: between two quotes there is no line break, so that a caller may replace each by a
 * space.
 *
 * Source:  YAML 1.1, sections 5.1 (printable), 5.6 (escapes), 9.1.
 */
#include <stdbool.h>
#include <string.h>

#include "base/yaml_text.h"

typedef struct writer {
    brisk_str *to;
    uint32_t line; /* at hand */
} writer;

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Whether YAML reads the same word when nothing is put around it. */
static bool is_safe(const char *text)
{
    char first = text[0];
    bool begins_well = is_alnum(first) || first == '/' || first == '_' ||
                       ((first == '-' || first == '.' || first == '+') && is_alnum(text[1]));
    return begins_well && text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                            "0123456789_/+%@.-")] == '\0';
}

/* The code point at `text` (valid UTF-8, as libyaml leaves it), and its bytes. */
static uint32_t code_point(const unsigned char *text, size_t *bytes)
{
    if (text[0] < 0x80) {
        *bytes = 1;
        return text[0];
    }
    *bytes = text[0] < 0xe0 ? 2 : text[0] < 0xf0 ? 3 : 4;
    uint32_t code = text[0] & (0x7fu >> *bytes);
    for (size_t i = 1; i < *bytes; i++) {
        if (text[i] == '\0') { /* not from libyaml after all */
            *bytes = i;
            break;
        }
        code = code << 6 | (text[i] & 0x3fu);
    }
    return code;
}

static bool is_printable(uint32_t code)
{
    return (code >= 0x20 && code < 0x7f) ||
           (code >= 0xa0 && code <= 0xfffd && code != 0x2028 && code != 0x2029 && code != 0xfeff) ||
           code >= 0x10000;
}

static void write_quoted(brisk_str *to, const char *text)
{
    brisk_str_append(to, "\"", 1);
    const unsigned char *at = (const unsigned char *)text;
    size_t bytes;
    for (; *at != '\0'; at += bytes) {
        uint32_t code = code_point(at, &bytes);
        if (code == '"' || code == '\\') {
            brisk_str_printf(to, "\\%c", (char)code);
        } else if (code == '\n') {
            brisk_str_add(to, "\\n");
        } else if (!is_printable(code)) {
            brisk_str_printf(to, "\\u%04x", (unsigned)code);
        } else {
            brisk_str_append(to, (const char *)at, bytes);
        }
    }
    brisk_str_append(to, "\"", 1);
}

static void write_word(brisk_str *to, const char *text)
{
    if (is_safe(text)) {
        brisk_str_add(to, text);
    } else {
        write_quoted(to, text);
    }
}

static void write_node(writer *w, const brisk_yaml_node *node);

static void write_children(writer *w, const brisk_yaml_node *parent)
{
    for (const brisk_yaml_node *n = parent->child; n != NULL; n = n->next) {
        bool broken = w->line < n->line;
        for (; w->line < n->line && brisk_str_err(w->to) == BRISK_OK; w->line++) {
            brisk_str_append(w->to, "\n", 1);
        }
        if (broken || n != parent->child) { /* "---" at the beginning of a line is no word */
            brisk_str_append(w->to, " ", 1);
        }
        if (n->key != NULL) {
            write_word(w->to, n->key);
            brisk_str_add(w->to, ": ");
        }
        write_node(w, n);
        if (n->next != NULL) {
            brisk_str_append(w->to, ",", 1);
        }
    }
}

static void write_node(writer *w, const brisk_yaml_node *node) /* depth: BRISK_YAML_DEPTH_MAX */
{
    bool mapping = node->kind == BRISK_YAML_MAPPING;
    if (node->kind != BRISK_YAML_SCALAR) {
        brisk_str_add(w->to, mapping ? "{" : "[");
        write_children(w, node);
        brisk_str_add(w->to, mapping ? "}" : "]");
    } else if (node->quoted) {
        write_quoted(w->to, node->text);
    } else if (node->text[0] != '\0') {
        write_word(w->to, node->text);
    } else if (node->key == NULL) { /* an entry of a list must be something */
        brisk_str_add(w->to, "\"\"");
    }
}

void yaml_write_flow(const brisk_yaml_node *node, brisk_str *to)
{
    writer w = {.to = to, .line = node->line};
    write_node(&w, node);
}
