/*
 * yaml.c -- libyaml's events become the tree of <brisk/yaml.h>.
 *
 * libyaml splits text into events and knows nothing of what we refuse; this file keeps a stack of
 * open collections, hangs each event's node on the top one and refuses anchors, aliases, tags,
 * further documents, keys that are no scalars, and sizes above the limits.  libyaml is used
 * directly because an error found in the finished tree must still name its line.
 *
 * Nodes and texts are carved from a list of blocks that grow from 4 to 64 KiB and go all at once;
 * libyaml's own memory (malloc) is bounded by the text and gone when parsing ends.
 *
 * Line of a node: where its value begins, but the key's for a collection in a mapping, which is
 * where a reader looks for it.
 */
#include <stdbool.h>
#include <string.h>

#include <yaml.h>

#include <brisk/yaml.h>

#include "base/assert.h"
#include "base/map.h"
#include "base/text.h"
#include "base/yaml_text.h"

enum {
    BLOCK_BYTES_FIRST = 4096,
    BLOCK_BYTES_MAX = 65536,
    KEYS_LINEAR = 16, /* up to this many keys are compared pairwise, more are hashed */
    QUOTE_MAX = 60,   /* bytes of a user's word shown in an error */
};

typedef struct block {
    struct block *next;
    size_t size;
} block;

struct brisk_yaml_doc {
    const brisk_alloc *alloc;
    block *blocks;
    char *cursor;
    char *end;
    const char *name;
    brisk_yaml_node *root;
};

typedef struct level {
    brisk_yaml_node *node;
    brisk_yaml_node *last; /* child */
    const char *key;       /* read, its value still to come */
    uint32_t key_line;
} level;

typedef struct builder {
    brisk_yaml_doc *doc;
    brisk_errinfo *info;
    uint32_t lines_before; /* the text, in that which it is part of */
    uint32_t nodes;
    uint32_t depth; /* open collections; levels[depth - 1] is the innermost */
    level levels[BRISK_YAML_DEPTH_MAX];
} builder;

/* Zeroed memory of the document, or NULL. */
static void *doc_alloc(brisk_yaml_doc *doc, size_t size, size_t align)
{
    size_t pad = (size_t)(-(uintptr_t)doc->cursor & (align - 1));
    if (doc->cursor == NULL || size > SIZE_MAX / 2 ||
        pad + size > (size_t)(doc->end - doc->cursor)) {
        size_t usual = doc->blocks == NULL ? BLOCK_BYTES_FIRST : doc->blocks->size * 2;
        usual = usual < BLOCK_BYTES_MAX ? usual : BLOCK_BYTES_MAX;
        if (size > SIZE_MAX / 2) {
            return NULL;
        }
        size_t wanted = sizeof(block) + size;
        size_t bytes = wanted > usual ? wanted : usual;
        block *fresh = doc->alloc->acquire(doc->alloc->ctx, bytes, _Alignof(max_align_t));
        if (fresh == NULL) {
            return NULL;
        }
        *fresh = (block){.next = doc->blocks, .size = bytes};
        doc->blocks = fresh;
        doc->cursor = (char *)fresh + sizeof *fresh;
        doc->end = (char *)fresh + bytes;
        pad = 0;
    }
    char *at = doc->cursor + pad;
    doc->cursor = at + size;
    return memset(at, 0, size);
}

static const char *doc_copy(brisk_yaml_doc *doc, const void *text, size_t size)
{
    char *copy = doc_alloc(doc, size + 1, 1);
    if (copy != NULL && size != 0) {
        memcpy(copy, text, size);
    }
    return copy;
}

void brisk_yaml_destroy(brisk_yaml_doc *doc)
{
    if (doc == NULL) {
        return;
    }
    const brisk_alloc *alloc = doc->alloc;
    while (doc->blocks != NULL) {
        block *next = doc->blocks->next;
        alloc->release(alloc->ctx, doc->blocks, doc->blocks->size, _Alignof(max_align_t));
        doc->blocks = next;
    }
    alloc->release(alloc->ctx, doc, sizeof *doc, _Alignof(brisk_yaml_doc));
}

const brisk_yaml_node *brisk_yaml_root(const brisk_yaml_doc *doc)
{
    return doc->root;
}

const char *brisk_yaml_name(const brisk_yaml_doc *doc)
{
    return doc->name;
}

static brisk_err refuse(const builder *b, brisk_err code, uint32_t line, const char *what)
{
    return brisk_errinfo_set(b->info, code, "%s:%u: %s", b->doc->name, line, what);
}

static uint32_t line_at(const builder *b, size_t line)
{
    uint32_t most = UINT32_MAX - 1 - b->lines_before;
    return b->lines_before + 1 + (line < most ? (uint32_t)line : most);
}

static uint32_t line_of(const builder *b, const yaml_event_t *event)
{
    return line_at(b, event->start_mark.line);
}

/* A scalar's bytes as a string of the document. */
static brisk_err take_text(const builder *b, const yaml_event_t *event, const char **ret)
{
    size_t size = event->data.scalar.length;
    if (size != 0 && memchr(event->data.scalar.value, '\0', size) != NULL) {
        return refuse(b, BRISK_ERR_INVALID, line_of(b, event),
                      "a text must not contain a NUL byte");
    }
    const char *text = doc_copy(b->doc, event->data.scalar.value, size);
    if (text == NULL) {
        return refuse(b, BRISK_ERR_NOMEM, line_of(b, event), "out of memory");
    }
    *ret = text;
    return BRISK_OK;
}

static brisk_err check_plain(const builder *b, const yaml_event_t *event, const void *anchor,
                             const void *tag)
{
    if (anchor != NULL) {
        return refuse(b, BRISK_ERR_INVALID, line_of(b, event), "anchors (&name) are not supported");
    }
    if (tag != NULL) {
        return refuse(b, BRISK_ERR_INVALID, line_of(b, event), "tags (!name) are not supported");
    }
    return BRISK_OK;
}

/* A node hung on the innermost collection, or the root. */
static brisk_err add_node(builder *b, brisk_yaml_kind kind, uint32_t line, brisk_yaml_node **ret)
{
    if (b->nodes >= BRISK_YAML_NODES_MAX) {
        return refuse(b, BRISK_ERR_LIMIT, line, "more than 1000000 values");
    }
    brisk_yaml_node *node = doc_alloc(b->doc, sizeof *node, _Alignof(brisk_yaml_node));
    if (node == NULL) {
        return refuse(b, BRISK_ERR_NOMEM, line, "out of memory");
    }
    b->nodes++;
    *node = (brisk_yaml_node){.kind = kind, .line = line};
    if (b->depth == 0) {
        b->doc->root = node;
    } else {
        level *top = &b->levels[b->depth - 1];
        if (top->key != NULL) {
            node->key = top->key;
            node->line = kind == BRISK_YAML_SCALAR ? line : top->key_line;
            top->key = NULL;
        }
        if (top->last == NULL) {
            top->node->child = node;
        } else {
            top->last->next = node;
        }
        top->last = node;
        top->node->count++;
    }
    *ret = node;
    return BRISK_OK;
}

static bool wants_key(const builder *b)
{
    const level *top = b->depth != 0 ? &b->levels[b->depth - 1] : NULL;
    return top != NULL && top->node->kind == BRISK_YAML_MAPPING && top->key == NULL;
}

static brisk_err on_scalar(builder *b, const yaml_event_t *event)
{
    const char *text = NULL;
    brisk_err err = check_plain(b, event, event->data.scalar.anchor, event->data.scalar.tag);
    if (err == BRISK_OK) {
        err = take_text(b, event, &text);
    }
    if (err != BRISK_OK) {
        return err;
    }
    if (wants_key(b)) {
        level *top = &b->levels[b->depth - 1];
        top->key = text;
        top->key_line = line_of(b, event);
        return BRISK_OK;
    }
    brisk_yaml_node *node = NULL;
    err = add_node(b, BRISK_YAML_SCALAR, line_of(b, event), &node);
    if (err == BRISK_OK) {
        node->text = text;
        node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    }
    return err;
}

static brisk_err on_begin(builder *b, const yaml_event_t *event, brisk_yaml_kind kind)
{
    bool mapping = kind == BRISK_YAML_MAPPING;
    brisk_err err = check_plain(
        b, event, mapping ? event->data.mapping_start.anchor : event->data.sequence_start.anchor,
        mapping ? event->data.mapping_start.tag : event->data.sequence_start.tag);
    if (err != BRISK_OK) {
        return err;
    }
    if (wants_key(b)) {
        return refuse(b, BRISK_ERR_INVALID, line_of(b, event),
                      "a key must be a single word or text");
    }
    if (b->depth == BRISK_YAML_DEPTH_MAX) {
        return refuse(b, BRISK_ERR_LIMIT, line_of(b, event), "nested more than 32 levels deep");
    }
    brisk_yaml_node *node = NULL;
    err = add_node(b, kind, line_of(b, event), &node);
    if (err == BRISK_OK) {
        b->levels[b->depth++] = (level){.node = node};
    }
    return err;
}

static brisk_err refuse_twice(const builder *b, const brisk_yaml_node *node,
                              const brisk_yaml_node *before)
{
    return brisk_errinfo_set(b->info, BRISK_ERR_INVALID,
                             "%s:%u: '%.*s' is given twice, first in line %u", b->doc->name,
                             node->line, QUOTE_MAX, node->key, before->line);
}

static brisk_err check_unique_linear(const builder *b, const brisk_yaml_node *mapping)
{
    for (const brisk_yaml_node *n = mapping->child; n != NULL; n = n->next) {
        for (const brisk_yaml_node *m = mapping->child; m != n; m = m->next) {
            if (strcmp(n->key, m->key) == 0) {
                return refuse_twice(b, n, m);
            }
        }
    }
    return BRISK_OK;
}

static brisk_err check_unique(const builder *b, const brisk_yaml_node *mapping)
{
    if (mapping->count <= KEYS_LINEAR) {
        return check_unique_linear(b, mapping);
    }
    brisk_map seen;
    brisk_map_init(&seen, b->doc->alloc);
    brisk_err err = BRISK_OK;
    for (const brisk_yaml_node *n = mapping->child; err == BRISK_OK && n != NULL; n = n->next) {
        err = brisk_map_add(&seen, n->key, NULL);
        if (err == BRISK_ERR_CONFLICT) {
            const brisk_yaml_node *before = mapping->child; /* entries are in their order */
            for (size_t i = (size_t)(brisk_map_find(&seen, n->key) - seen.entries.items); i > 0;
                 i--) {
                before = before->next;
            }
            err = refuse_twice(b, n, before);
        } else if (err != BRISK_OK) {
            err = refuse(b, err, n->line, "out of memory");
        }
    }
    brisk_map_deinit(&seen);
    return err;
}

static brisk_err on_end(builder *b)
{
    BRISK_ASSERT(b->depth > 0);
    const level *top = &b->levels[--b->depth];
    BRISK_ASSERT(top->key == NULL);
    return top->node->kind == BRISK_YAML_MAPPING ? check_unique(b, top->node) : BRISK_OK;
}

static brisk_err on_document(const builder *b, const yaml_event_t *event)
{
    if (b->doc->root != NULL) {
        return refuse(b, BRISK_ERR_INVALID, line_of(b, event),
                      "a second document is not supported");
    }
    if (event->data.document_start.tag_directives.start !=
        event->data.document_start.tag_directives.end) {
        return refuse(b, BRISK_ERR_INVALID, line_of(b, event), "tags (%TAG) are not supported");
    }
    return BRISK_OK;
}

static brisk_err on_event(builder *b, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT: return on_document(b, event);
    case YAML_ALIAS_EVENT:
        return refuse(b, BRISK_ERR_INVALID, line_of(b, event), "aliases (*name) are not supported");
    case YAML_SCALAR_EVENT: return on_scalar(b, event);
    case YAML_SEQUENCE_START_EVENT: return on_begin(b, event, BRISK_YAML_SEQUENCE);
    case YAML_MAPPING_START_EVENT: return on_begin(b, event, BRISK_YAML_MAPPING);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT: return on_end(b);
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_END_EVENT: return BRISK_OK;
    }
    return BRISK_OK;
}

static uint32_t count_lines(const char *text, size_t size)
{
    uint32_t lines = 1;
    for (const char *at = text; (at = memchr(at, '\n', size - (size_t)(at - text))) != NULL; at++) {
        lines++;
    }
    return lines;
}

/* libyaml's words for what is wrong with the text itself. */
static brisk_err syntax_error(const builder *b, const yaml_parser_t *parser, const char *text,
                              size_t size)
{
    const char *problem = parser->problem != NULL ? parser->problem : "not YAML";
    if (parser->error == YAML_MEMORY_ERROR) {
        return brisk_errinfo_set(b->info, BRISK_ERR_NOMEM, "%s: out of memory", b->doc->name);
    }
    if (parser->error == YAML_READER_ERROR) {
        size_t at = parser->problem_offset < size ? parser->problem_offset : size;
        return brisk_errinfo_set(b->info, BRISK_ERR_INVALID, "%s:%u: %s at byte %zu", b->doc->name,
                                 line_at(b, count_lines(text, at) - 1), problem, at);
    }
    uint32_t line = line_at(b, parser->problem_mark.line);
    if (parser->context != NULL) {
        return brisk_errinfo_set(b->info, BRISK_ERR_INVALID, "%s:%u: %s %s", b->doc->name, line,
                                 problem, parser->context);
    }
    return brisk_errinfo_set(b->info, BRISK_ERR_INVALID, "%s:%u: %s", b->doc->name, line, problem);
}

static brisk_err build(builder *b, const char *text, size_t size)
{
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser)) {
        return brisk_errinfo_set(b->info, BRISK_ERR_NOMEM, "%s: out of memory", b->doc->name);
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, size);
    brisk_err err = BRISK_OK;
    for (bool done = false; err == BRISK_OK && !done;) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parser, &event)) {
            err = syntax_error(b, &parser, text, size);
            break;
        }
        done = event.type == YAML_STREAM_END_EVENT;
        err = on_event(b, &event);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    if (err != BRISK_OK) {
        return err;
    }
    BRISK_ASSERT(b->depth == 0);
    const brisk_yaml_node *root = b->doc->root;
    bool empty =
        root == NULL || (root->kind == BRISK_YAML_SCALAR && !root->quoted && root->text[0] == '\0');
    brisk_yaml_node *mapping = NULL;
    return empty ? add_node(b, BRISK_YAML_MAPPING, line_at(b, 0), &mapping) : BRISK_OK;
}

brisk_err yaml_parse_text(const yaml_text *text, const brisk_alloc *alloc, brisk_yaml_doc **ret,
                          brisk_errinfo *info)
{
    BRISK_ASSERT(ret != NULL && text->first_line > 0);
    alloc = alloc != NULL ? alloc : brisk_alloc_libc();
    brisk_yaml_doc *doc = alloc->acquire(alloc->ctx, sizeof *doc, _Alignof(brisk_yaml_doc));
    if (doc == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "%s: out of memory", text->name);
    }
    *doc = (brisk_yaml_doc){.alloc = alloc};
    doc->name = doc_copy(doc, text->name, strlen(text->name));
    if (doc->name == NULL) {
        brisk_yaml_destroy(doc);
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "%s: out of memory", text->name);
    }
    builder b = {.doc = doc, .info = info, .lines_before = text->first_line - 1};
    brisk_err err = build(&b, text->size != 0 ? text->data : "", text->size);
    if (err != BRISK_OK) {
        brisk_yaml_destroy(doc);
        return err;
    }
    *ret = doc;
    return BRISK_OK;
}

brisk_err brisk_yaml_parse(const char *name, const void *text, size_t size,
                           const brisk_alloc *alloc, brisk_yaml_doc **ret, brisk_errinfo *info)
{
    yaml_text whole = {.name = name, .first_line = 1, .data = text, .size = size};
    return yaml_parse_text(&whole, alloc, ret, info);
}

const brisk_yaml_node *brisk_yaml_get(const brisk_yaml_node *mapping, const char *key)
{
    if (mapping == NULL || mapping->kind != BRISK_YAML_MAPPING) {
        return NULL;
    }
    for (const brisk_yaml_node *n = mapping->child; n != NULL; n = n->next) {
        if (strcmp(n->key, key) == 0) {
            return n;
        }
    }
    return NULL;
}

static bool is_listed(const char *const *allowed, const char *key)
{
    for (; *allowed != NULL; allowed++) {
        if (strcmp(*allowed, key) == 0) {
            return true;
        }
    }
    return false;
}

brisk_err brisk_yaml_check_keys(const brisk_yaml_doc *doc, const brisk_yaml_node *mapping,
                                const char *const *allowed, brisk_errinfo *info)
{
    if (mapping->kind != BRISK_YAML_MAPPING) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "%s:%u: expected keys and values here",
                                 doc->name, mapping->line);
    }
    for (const brisk_yaml_node *n = mapping->child; n != NULL; n = n->next) {
        if (is_listed(allowed, n->key)) {
            continue;
        }
        brisk_text_nearest nearest = {0};
        for (const char *const *name = allowed; *name != NULL; name++) {
            brisk_text_offer(&nearest, n->key, *name);
        }
        if (nearest.name != NULL) {
            return brisk_errinfo_set(info, BRISK_ERR_INVALID,
                                     "%s:%u: unknown key '%.*s' (did you mean '%s'?)", doc->name,
                                     n->line, QUOTE_MAX, n->key, nearest.name);
        }
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "%s:%u: unknown key '%.*s'", doc->name,
                                 n->line, QUOTE_MAX, n->key);
    }
    return BRISK_OK;
}

brisk_err brisk_yaml_u64(const brisk_yaml_doc *doc, const brisk_yaml_node *node, uint64_t *ret,
                         brisk_errinfo *info)
{
    if (node->kind != BRISK_YAML_SCALAR) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "%s:%u: expected a number, not a %s",
                                 doc->name, node->line,
                                 node->kind == BRISK_YAML_SEQUENCE ? "list" : "mapping");
    }
    brisk_err err = node->quoted ? BRISK_ERR_INVALID : brisk_text_u64(node->text, ret);
    if (err == BRISK_OK) {
        return BRISK_OK;
    }
    return brisk_errinfo_set(info, BRISK_ERR_INVALID, "%s:%u: '%.*s' is %s", doc->name, node->line,
                             QUOTE_MAX, node->text,
                             err == BRISK_ERR_LIMIT ? "too large a number" : "not a number");
}
