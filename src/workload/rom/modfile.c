/*
 * modfile.c -- from the YAML tree to components, behind modfile.h.
 *
 * One pass down the tree with a reader that carries document, arena and error text.  Every
 * function leaves on the first fault, with the line of the value that is wrong and the form that
 * would be right.  Nothing here knows the ROM: addresses are resolved later.
 */
#include <limits.h>
#include <stdarg.h>
#include <string.h>

#include <brisk/yaml.h>

#include "base/assert.h"
#include "base/cleanup.h"

#include "workload/rom/modfile.h"

BRISK_DEFINE_CLEANUP(brisk_yaml_doc, brisk_yaml_destroy)

typedef struct reader {
    const char *path;
    const brisk_yaml_doc *doc;
    brisk_arena *arena;
    brisk_errinfo *info;
} reader;

#define FAIL(r, line, ...) fail((r), BRISK_ERR_INVALID, (line), __VA_ARGS__)

static brisk_err fail(const reader *r, brisk_err code, uint32_t line, const char *format, ...)
    BRISK_PRINTF(4, 5);

static brisk_err fail(const reader *r, brisk_err code, uint32_t line, const char *format, ...)
{
    char text[BRISK_ERRINFO_TEXT_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return brisk_errinfo_set(r->info, code, "%s:%u: %s", r->path, line, text);
}

static brisk_err no_memory(const reader *r)
{
    return brisk_errinfo_set(r->info, BRISK_ERR_NOMEM, "%s: out of memory", r->path);
}

/* Anything that a terminal would obey, U+0080 to U+009F included? */
static bool has_control(const char *text)
{
    for (const unsigned char *at = (const unsigned char *)text; *at != '\0'; at++) {
        if (*at < 0x20 || *at == 0x7f || (at[0] == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0)) {
            return true;
        }
    }
    return false;
}

/* A short name that can be shown on a terminal: no control characters, not empty. */
static brisk_err read_name(const reader *r, const brisk_yaml_node *node, const char *what,
                           const char **ret)
{
    if (node->kind != BRISK_YAML_SCALAR) {
        return FAIL(r, node->line, "%s must be a text", what);
    }
    size_t size = strlen(node->text);
    if (size == 0 || size > ROM_MODFILE_NAME_MAX) {
        return FAIL(r, node->line, "%s must have 1 to %d characters", what, ROM_MODFILE_NAME_MAX);
    }
    if (has_control(node->text)) {
        return FAIL(r, node->line, "%s contains a control character", what);
    }
    const char *copy = brisk_arena_copy(r->arena, node->text, size);
    if (copy == NULL) {
        return no_memory(r);
    }
    *ret = copy;
    return BRISK_OK;
}

/* Value of a hexadecimal digit, or -1. */
static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* All of `text` as hexadecimal digits, 1 to `digits_max` of them. */
static bool hex_number(const char *text, size_t digits_max, uint64_t *ret)
{
    uint64_t value = 0;
    size_t i = 0;
    for (; text[i] != '\0'; i++) {
        int digit = hex_digit(text[i]);
        if (digit < 0 || i >= digits_max) {
            return false;
        }
        value = value << 4 | (uint64_t)digit;
    }
    *ret = value;
    return i > 0;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* "EA EA" or "EAEA": pairs of digits, blanks only between pairs. */
static brisk_err read_hex_text(const reader *r, const brisk_yaml_node *node, const char *what,
                               const uint8_t **ret, uint32_t *ret_size)
{
    size_t length = strlen(node->text);
    uint8_t *bytes = brisk_arena_alloc(r->arena, length / 2 + 1);
    if (bytes == NULL) {
        return no_memory(r);
    }
    uint32_t size = 0;
    for (size_t i = 0; i < length;) {
        if (is_blank(node->text[i])) {
            i++;
            continue;
        }
        int high = hex_digit(node->text[i]);
        int low = hex_digit(node->text[i + 1]); /* at worst the terminator */
        if (high < 0 || low < 0) {
            return FAIL(r, node->line,
                        "%s: '%.12s' is no pair of hexadecimal digits; write bytes as in \"EA EA\"",
                        what, node->text + i);
        }
        bytes[size++] = (uint8_t)(high << 4 | low);
        i += 2;
    }
    if (size == 0) {
        return FAIL(r, node->line, "%s is empty; write at least one byte, as in \"EA\"", what);
    }
    *ret = bytes;
    *ret_size = size;
    return BRISK_OK;
}

static brisk_err read_list(const reader *r, const brisk_yaml_node *node, const char *what,
                           const uint8_t **ret, uint32_t *ret_size)
{
    if (node->count == 0) {
        return FAIL(r, node->line, "%s is empty; write at least one byte, as in [0xEA]", what);
    }
    uint8_t *bytes = brisk_arena_alloc(r->arena, node->count);
    if (bytes == NULL) {
        return no_memory(r);
    }
    uint32_t size = 0;
    for (const brisk_yaml_node *item = node->child; item != NULL; item = item->next) {
        uint64_t value = 0;
        if (item->kind != BRISK_YAML_SCALAR ||
            brisk_yaml_u64(r->doc, item, &value, NULL) != BRISK_OK || value > UINT8_MAX) {
            return FAIL(r, item->line,
                        "%s: every item of a list is a number from 0 to 255, as in [0xEA, 234]; "
                        "hexadecimal digits alone are a text: \"EA EA\"",
                        what);
        }
        BRISK_ASSERT(size < node->count);
        bytes[size++] = (uint8_t)value;
    }
    *ret = bytes;
    *ret_size = size;
    return BRISK_OK;
}

static brisk_err read_bytes(const reader *r, const brisk_yaml_node *node, const char *what,
                            const uint8_t **ret, uint32_t *ret_size)
{
    switch (node->kind) {
    case BRISK_YAML_SCALAR: return read_hex_text(r, node, what, ret, ret_size);
    case BRISK_YAML_SEQUENCE: return read_list(r, node, what, ret, ret_size);
    case BRISK_YAML_MAPPING: break;
    }
    return FAIL(r, node->line, "%s must be bytes, as in \"EA EA\" or [0xEA, 0xEA]", what);
}

/* `$0780AB`, `$07:80AB` or `0x380AB`. */
static brisk_err read_at(const reader *r, const brisk_yaml_node *node, rom_mod_write *ret)
{
    enum { BUS_DIGITS_MAX = 6, OFFSET_DIGITS_MAX = 8, TEXT_MAX = 16 };
    const char *text = node->kind == BRISK_YAML_SCALAR ? node->text : "";
    size_t length = strlen(text);
    char digits[TEXT_MAX] = "";
    if (length > 1 && length < TEXT_MAX && text[0] == '$') {
        const char *colon = strchr(text, ':');
        size_t bank = colon != NULL ? (size_t)(colon - text) - 1 : 0;
        memcpy(digits, text + 1, bank);
        memcpy(digits + bank, text + 1 + bank + (colon != NULL), length - bank - (colon != NULL));
        bool colon_fits = colon == NULL || (bank <= 2 && bank > 0 && strlen(colon + 1) == 4);
        if (colon_fits && hex_number(digits, BUS_DIGITS_MAX, &ret->at)) {
            ret->is_bus = true;
            ret->line = node->line;
            ret->at_text = brisk_arena_copy(r->arena, text, length);
            return ret->at_text != NULL ? BRISK_OK : no_memory(r);
        }
    }
    if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X') &&
        hex_number(text + 2, OFFSET_DIGITS_MAX, &ret->at)) {
        ret->is_bus = false;
        ret->line = node->line;
        ret->at_text = brisk_arena_copy(r->arena, text, length);
        return ret->at_text != NULL ? BRISK_OK : no_memory(r);
    }
    return FAIL(r, node->line,
                "at: '%.40s' is no address; write a bus address as $0780AB or a file offset as "
                "0x380AB",
                text);
}

static brisk_err read_write(const reader *r, const brisk_yaml_node *node, rom_mod_write *ret)
{
    static const char *const keys[] = {"at", "expect", "bytes", NULL};
    if (node->kind != BRISK_YAML_MAPPING) {
        return FAIL(r, node->line,
                    "write must have at, bytes and perhaps expect, as in {at: "
                    "$0780AB, expect: \"A9 01\", bytes: \"EA EA\"}");
    }
    brisk_err err = brisk_yaml_check_keys(r->doc, node, keys, r->info);
    if (err != BRISK_OK) {
        return err;
    }
    const brisk_yaml_node *at = brisk_yaml_get(node, "at");
    const brisk_yaml_node *bytes = brisk_yaml_get(node, "bytes");
    const brisk_yaml_node *expect = brisk_yaml_get(node, "expect");
    if (at == NULL || bytes == NULL) {
        return FAIL(r, node->line, "write has no '%s'; add %s", at == NULL ? "at" : "bytes",
                    at == NULL ? "the address, as in at: $0780AB"
                               : "what to write there, as in bytes: \"EA EA\"");
    }
    err = read_at(r, at, ret);
    if (err == BRISK_OK) {
        err = read_bytes(r, bytes, "bytes", &ret->bytes, &ret->size);
    }
    if (err == BRISK_OK && expect != NULL) {
        err = read_bytes(r, expect, "expect", &ret->expect, &ret->expect_size);
    }
    return err;
}

static brisk_err read_writes(const reader *r, const brisk_yaml_node *node, rom_mod_component *ret)
{
    bool many = node->kind == BRISK_YAML_SEQUENCE;
    uint32_t count = many ? node->count : 1;
    if (count == 0) {
        return FAIL(r, node->line, "write is an empty list; give at least one {at, bytes}");
    }
    rom_mod_write *writes = brisk_arena_calloc(r->arena, count, sizeof *writes);
    if (writes == NULL) {
        return no_memory(r);
    }
    const brisk_yaml_node *item = many ? node->child : node;
    for (uint32_t i = 0; i < count; i++, item = item->next) {
        brisk_err err = read_write(r, item, &writes[i]);
        if (err != BRISK_OK) {
            return err;
        }
    }
    ret->writes = writes;
    ret->write_count = count;
    return BRISK_OK;
}

/* No absolute path, no "..", nothing that a terminal would obey. */
static bool stays_below(const char *file)
{
    if (has_control(file)) {
        return false;
    }
    const char *part = file;
    while (part != NULL) {
        size_t size = strcspn(part, "/");
        if (size == 0 || (size == 2 && memcmp(part, "..", 2) == 0)) {
            return false;
        }
        part = part[size] == '/' ? part + size + 1 : NULL;
    }
    return true;
}

static brisk_err read_patch(const reader *r, const brisk_yaml_node *node, rom_mod_component *ret)
{
    static const char *const keys[] = {"file", NULL};
    const brisk_yaml_node *file = brisk_yaml_get(node, "file");
    brisk_err err = BRISK_OK;
    if (node->kind == BRISK_YAML_MAPPING) {
        err = brisk_yaml_check_keys(r->doc, node, keys, r->info);
    }
    if (err != BRISK_OK) {
        return err;
    }
    if (file == NULL || file->kind != BRISK_YAML_SCALAR) {
        return FAIL(r, node->line, "patch has no 'file'; write it as {file: font.ips}");
    }
    size_t size = strlen(file->text);
    if (size > ROM_MODFILE_PATH_MAX || !stays_below(file->text)) {
        return FAIL(r, file->line,
                    "file must lie in the mod file's folder or below it: give a relative path "
                    "without '..'");
    }
    const char *slash = strrchr(r->path, '/');
    size_t folder = slash != NULL ? (size_t)(slash - r->path) + 1 : 0;
    if (folder > INT_MAX) {
        return FAIL(r, file->line, "the path of the mod file is too long");
    }
    ret->patch_path = brisk_arena_printf(r->arena, "%.*s%s", (int)folder, r->path, file->text);
    return ret->patch_path != NULL ? BRISK_OK : no_memory(r);
}

static brisk_err read_component(const reader *r, const brisk_yaml_node *node,
                                rom_mod_component *ret)
{
    static const char *const keys[] = {"name", "write", "patch", NULL};
    if (node->kind != BRISK_YAML_MAPPING) {
        return FAIL(r, node->line, "a component must have a name and a write or a patch");
    }
    brisk_err err = brisk_yaml_check_keys(r->doc, node, keys, r->info);
    if (err != BRISK_OK) {
        return err;
    }
    const brisk_yaml_node *name = brisk_yaml_get(node, "name");
    const brisk_yaml_node *write = brisk_yaml_get(node, "write");
    const brisk_yaml_node *patch = brisk_yaml_get(node, "patch");
    if (name == NULL) {
        return FAIL(r, node->line,
                    "the component has no 'name'; give it one, conflicts and "
                    "traces are reported by it");
    }
    ret->line = node->line;
    err = read_name(r, name, "name", &ret->name);
    if (err != BRISK_OK) {
        return err;
    }
    if ((write == NULL) == (patch == NULL)) {
        return FAIL(r, node->line, "component '%s' must have either a write or a patch", ret->name);
    }
    return write != NULL ? read_writes(r, write, ret) : read_patch(r, patch, ret);
}

/* A component's name and line, to be sorted. */
typedef struct label {
    const char *name;
    uint32_t line;
} label;

static int compare_labels(const void *a, const void *b)
{
    const label *x = a;
    const label *y = b;
    int order = strcmp(x->name, y->name);
    return order != 0 ? order : (x->line > y->line) - (x->line < y->line);
}

static brisk_err check_unique(const reader *r, const rom_modfile *mod)
{
    label *labels = brisk_arena_calloc(r->arena, mod->component_count, sizeof *labels);
    if (labels == NULL) {
        return no_memory(r);
    }
    for (uint32_t i = 0; i < mod->component_count; i++) {
        labels[i] = (label){mod->components[i].name, mod->components[i].line};
    }
    qsort(labels, mod->component_count, sizeof *labels, compare_labels);
    for (uint32_t i = 1; i < mod->component_count; i++) {
        if (strcmp(labels[i - 1].name, labels[i].name) == 0) {
            return FAIL(r, labels[i].line,
                        "component '%s' has the name of the one at line %u; rename one of them",
                        labels[i].name, labels[i - 1].line);
        }
    }
    return BRISK_OK;
}

static brisk_err read_components(const reader *r, const brisk_yaml_node *node, rom_modfile *ret)
{
    if (node->kind != BRISK_YAML_SEQUENCE || node->count == 0) {
        return FAIL(r, node->line, "components must be a list with at least one component");
    }
    if (node->count > ROM_MODFILE_COMPONENTS_MAX) {
        return fail(r, BRISK_ERR_LIMIT, node->line, "%u components, more than the %d allowed",
                    node->count, ROM_MODFILE_COMPONENTS_MAX);
    }
    rom_mod_component *components = brisk_arena_calloc(r->arena, node->count, sizeof *components);
    if (components == NULL) {
        return no_memory(r);
    }
    uint32_t count = 0;
    for (const brisk_yaml_node *item = node->child; item != NULL; item = item->next) {
        brisk_err err = read_component(r, item, &components[count++]);
        if (err != BRISK_OK) {
            return err;
        }
    }
    ret->components = components;
    ret->component_count = count;
    return check_unique(r, ret);
}

static brisk_err read_crc(const reader *r, const brisk_yaml_node *node, uint32_t *ret)
{
    enum { DIGITS = 8 };
    const char *text = node->kind == BRISK_YAML_SCALAR ? node->text : "";
    if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
        text += 2;
    }
    uint64_t value = 0;
    if (strlen(text) != DIGITS || !hex_number(text, DIGITS, &value)) {
        return FAIL(r, node->line,
                    "crc32 must be eight hexadecimal digits as `brisk rom info` prints them");
    }
    *ret = (uint32_t)value;
    return BRISK_OK;
}

static brisk_err read_crcs(const reader *r, const brisk_yaml_node *node, rom_modfile *ret)
{
    bool many = node->kind == BRISK_YAML_SEQUENCE;
    uint32_t count = many ? node->count : 1;
    if (count == 0 || count > ROM_MODFILE_TARGETS_MAX) {
        return FAIL(r, node->line, "crc32 must be one checksum or a list of 1 to %d",
                    ROM_MODFILE_TARGETS_MAX);
    }
    uint32_t *crcs = brisk_arena_calloc(r->arena, count, sizeof *crcs);
    if (crcs == NULL) {
        return no_memory(r);
    }
    const brisk_yaml_node *item = many ? node->child : node;
    for (uint32_t i = 0; i < count; i++, item = item->next) {
        brisk_err err = read_crc(r, item, &crcs[i]);
        if (err != BRISK_OK) {
            return err;
        }
    }
    ret->target_crcs = crcs;
    ret->target_crc_count = count;
    return BRISK_OK;
}

static brisk_err read_target(const reader *r, const brisk_yaml_node *node, rom_modfile *ret)
{
    static const char *const keys[] = {"crc32", "title", NULL};
    if (node->kind != BRISK_YAML_MAPPING || node->count == 0) {
        return FAIL(r, node->line,
                    "target must have crc32, title or both, as in {crc32: "
                    "1A2B3C4D, title: BRISK QUEST}");
    }
    brisk_err err = brisk_yaml_check_keys(r->doc, node, keys, r->info);
    const brisk_yaml_node *crc = brisk_yaml_get(node, "crc32");
    const brisk_yaml_node *title = brisk_yaml_get(node, "title");
    if (err == BRISK_OK && crc != NULL) {
        err = read_crcs(r, crc, ret);
    }
    if (err == BRISK_OK && title != NULL) {
        err = read_name(r, title, "title", &ret->target_title);
    }
    ret->target_line = node->line;
    ret->has_target = true;
    return err;
}

static brisk_err read_root(const reader *r, const brisk_yaml_node *root, rom_modfile *ret)
{
    static const char *const keys[] = {"mod", "title", "system", "target", "components", NULL};
    if (root->kind != BRISK_YAML_MAPPING) {
        return FAIL(r, root->line, "not a mod file: it begins with 'mod: NAME'");
    }
    const brisk_yaml_node *mod = brisk_yaml_get(root, "mod");
    const brisk_yaml_node *components = brisk_yaml_get(root, "components");
    if (mod == NULL && components == NULL) {
        return FAIL(r, root->line, "not a mod file: it has neither 'mod' nor 'components'");
    }
    brisk_err err = brisk_yaml_check_keys(r->doc, root, keys, r->info);
    if (err != BRISK_OK) {
        return err;
    }
    if (mod == NULL || components == NULL) {
        return FAIL(r, root->line, "the mod file has no '%s'", mod == NULL ? "mod" : "components");
    }
    const brisk_yaml_node *title = brisk_yaml_get(root, "title");
    const brisk_yaml_node *system = brisk_yaml_get(root, "system");
    const brisk_yaml_node *target = brisk_yaml_get(root, "target");
    ret->title = "";
    err = read_name(r, mod, "mod", &ret->mod);
    if (err == BRISK_OK && title != NULL) {
        err = read_name(r, title, "title", &ret->title);
    }
    if (err == BRISK_OK && system != NULL) {
        ret->system_line = system->line;
        err = read_name(r, system, "system", &ret->system);
    }
    if (err == BRISK_OK && target != NULL) {
        err = read_target(r, target, ret);
    }
    return err == BRISK_OK ? read_components(r, components, ret) : err;
}

brisk_err rom_modfile_parse(const rom_bytes *file, brisk_arena *arena, rom_modfile *ret,
                            brisk_errinfo *info)
{
    if (file->size > ROM_MODFILE_BYTES_MAX) {
        return brisk_errinfo_set(info, BRISK_ERR_LIMIT,
                                 "%s: %zu bytes, more than the %d allowed for a mod file",
                                 file->name, file->size, ROM_MODFILE_BYTES_MAX);
    }
    BRISK_CLEANUP(brisk_yaml_destroy) brisk_yaml_doc *doc = NULL;
    brisk_err err = brisk_yaml_parse(file->name, file->data, file->size, NULL, &doc, info);
    if (err != BRISK_OK) {
        return err;
    }
    reader r = {.path = file->name, .doc = doc, .arena = arena, .info = info};
    rom_modfile mod = {.path = file->name};
    err = read_root(&r, brisk_yaml_root(doc), &mod);
    if (err == BRISK_OK) {
        *ret = mod;
    }
    return err;
}
