/*
 * rowtext.c -- rows of any table as JSON and CSV, by the table's own description.
 *
 * What a column holds as JSON (details, evidence) is written as JSON again, through the strict parser: the
 * database is a file and may hold anything.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <brisk/yaml.h>

#include "observe/history/command.h"

enum { NESTED_MAX = 20 /* the writer's depth, less what is around a row */ };

static void put_scalar(brisk_json *json, const char *key, const brisk_yaml_node *node)
{
    char *end = NULL;
    if (!node->quoted && strcmp(node->text, "null") == 0) {
        brisk_json_null(json, key);
        return;
    }
    if (!node->quoted && (strcmp(node->text, "true") == 0 || strcmp(node->text, "false") == 0)) {
        brisk_json_bool(json, key, node->text[0] == 't');
        return;
    }
    size_t digits = strspn(node->text, "0123456789");
    if (!node->quoted && digits > 0 && digits < 20 && node->text[digits] == '\0') {
        brisk_json_u64(json, key, strtoull(node->text, NULL, 10));
        return;
    }
    bool number = !node->quoted && node->text[0] != '\0' &&
                  node->text[strspn(node->text, "0123456789+-.eE")] == '\0';
    double value = number ? strtod(node->text, &end) : 0.0;
    if (number && *end == '\0') {
        brisk_json_double(json, key, value);
    } else {
        brisk_json_str(json, key, node->text);
    }
}

static void put_node(brisk_json *json, const char *key, const brisk_yaml_node *node, uint32_t depth)
{
    if (node->kind == BRISK_YAML_SCALAR) {
        put_scalar(json, key, node);
        return;
    }
    if (depth >= NESTED_MAX) {
        brisk_json_null(json, key);
        return;
    }
    bool object = node->kind == BRISK_YAML_MAPPING;
    if (object) {
        brisk_json_object_begin(json, key);
    } else {
        brisk_json_array_begin(json, key);
    }
    for (const brisk_yaml_node *child = node->child; child != NULL; child = child->next) {
        put_node(json, object ? child->key : NULL, child, depth + 1);
    }
    if (object) {
        brisk_json_object_end(json);
    } else {
        brisk_json_array_end(json);
    }
}

static void put_nested(brisk_json *json, const char *key, const char *text)
{
    brisk_yaml_doc *doc = NULL;
    if (text[0] == '\0') {
        brisk_json_null(json, key);
    } else if (brisk_yaml_parse(key, text, strlen(text), NULL, &doc, NULL) == BRISK_OK) {
        put_node(json, key, brisk_yaml_root(doc), 0);
        brisk_yaml_destroy(doc);
    } else {
        brisk_json_str(json, key, text);
    }
}

typedef union field {
    uint64_t u64;
    int64_t i64;
    double real;
    const char *text;
} field;

static field read_field(const table_column *column, const void *row)
{
    field value;
    _Static_assert(sizeof value == 8, "every field of a row has eight bytes");
    memcpy(&value, (const char *)row + column->offset, sizeof value);
    return value;
}

static bool is_nested(const table_column *column)
{
    return strcmp(column->name, "details") == 0 || strcmp(column->name, "evidence") == 0;
}

void history_json_row(brisk_json *json, const history_table *table, const void *row)
{
    brisk_json_object_begin(json, NULL);
    for (uint32_t i = 0; i < table->column_count; i++) {
        const table_column *column = &table->columns[i];
        field value = read_field(column, row);
        if (column->kind == COLUMN_U64) {
            brisk_json_u64(json, column->name, value.u64);
        } else if (column->kind == COLUMN_I64) {
            brisk_json_i64(json, column->name, value.i64);
        } else if (column->kind == COLUMN_REAL) {
            brisk_json_double(json, column->name, value.real);
        } else if (is_nested(column)) {
            put_nested(json, column->name, value.text);
        } else {
            brisk_json_str(json, column->name, value.text);
        }
    }
    brisk_json_object_end(json);
}

void history_csv_heading(FILE *out, const history_table *table)
{
    (void)fputs("table", out);
    for (uint32_t i = 0; i < table->column_count; i++) {
        (void)fprintf(out, ",%s", table->columns[i].name);
    }
    (void)fputc('\n', out);
}

/* A spreadsheet takes a text that begins with these for a formula; RFC 4180 for the rest. */
static void put_csv_text(FILE *out, const char *text)
{
    bool formula = text[0] != '\0' && strchr("=+-@\t\r", text[0]) != NULL;
    if (!formula && text[strcspn(text, ",\"\r\n")] == '\0') {
        (void)fputs(text, out);
        return;
    }
    (void)fputs(formula ? "\"'" : "\"", out);
    for (; *text != '\0'; text++) {
        if (*text == '"') {
            (void)fputc('"', out);
        }
        (void)fputc(*text, out);
    }
    (void)fputc('"', out);
}

void history_csv_row(FILE *out, const history_table *table, const void *row)
{
    (void)fputs(table->name, out);
    for (uint32_t i = 0; i < table->column_count; i++) {
        const table_column *column = &table->columns[i];
        field value = read_field(column, row);
        (void)fputc(',', out);
        if (column->kind == COLUMN_U64) {
            (void)fprintf(out, "%" PRIu64, value.u64);
        } else if (column->kind == COLUMN_I64) {
            (void)fprintf(out, "%" PRId64, value.i64);
        } else if (column->kind == COLUMN_TEXT) {
            put_csv_text(out, value.text);
        } else if (isfinite(value.real)) {
            (void)fprintf(out, "%.17g", value.real);
        }
    }
    (void)fputc('\n', out);
}
