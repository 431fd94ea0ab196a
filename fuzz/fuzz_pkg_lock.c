/*
 * fuzz_pkg_lock.c -- any bytes as a lock: refused with a line, or a tree whose lock, read again, is
 * the same to the byte.
 *
 * The cursor must take and refuse what the parser of values does.  Of a tree, order and picture
 * must keep their promises.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <brisk/brisk.h>

#include "workload/pkg/graph.h"
#include "workload/pkg/jsonscan.h"
#include "workload/pkg/lock.h"
#include "workload/pkg/order.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(cond) ((cond) ? (void)0 : abort())

typedef struct buffer {
    char *data;
    size_t size;
    size_t capacity;
} buffer;

static brisk_err put(void *ctx, const char *data, size_t size)
{
    buffer *to = ctx;
    if (to->size + size > to->capacity) {
        to->capacity = (to->size + size) * 2;
        to->data = realloc(to->data, to->capacity);
        REQUIRE(to->data != NULL);
    }
    memcpy(to->data + to->size, data, size);
    to->size += size;
    return BRISK_OK;
}

static void write_lock(const pkg_tree *tree, const pkg_lock_format *format, buffer *to)
{
    const pkg_lock_opts opts = {.format = *format};
    REQUIRE(pkg_lock_write(tree, &opts, (brisk_out){.write = put, .ctx = to}) == BRISK_OK);
}

static void check_tree(const pkg_tree *tree, brisk_arena *arena)
{
    pkg_order order;
    pkg_graph graph;
    REQUIRE(pkg_order_make(tree, arena, &order) == BRISK_OK);
    for (uint32_t i = 0; i < order.count; i++) {
        REQUIRE(order.steps[i].count > 0);
        REQUIRE(i == 0 || order.steps[i - 1].group <= order.steps[i].group);
    }
    REQUIRE(pkg_graph_make(tree, false, arena, &graph) == BRISK_OK);
    REQUIRE(graph.count > 0 && graph.points[0].size == graph.count);
    buffer page = {0};
    REQUIRE(pkg_graph_write_svg(&graph, (brisk_out){.write = put, .ctx = &page}) == BRISK_OK);
    free(page.data);
}

/* What was written is a lock, and writing it again changes nothing. */
static void check_round(const pkg_tree *tree, const pkg_lock_format *format, brisk_arena *arena)
{
    buffer first = {0};
    buffer second = {0};
    pkg_tree again;
    pkg_lock_format other;
    write_lock(tree, format, &first);
    pkg_text text = {first.data, first.size};
    REQUIRE(pkg_lock_read(text, arena, &again, &other, NULL) == BRISK_OK);
    write_lock(&again, &other, &second);
    REQUIRE(first.size == second.size && memcmp(first.data, second.data, first.size) == 0);
    free(first.data);
    free(second.data);
}

/* Cursor and parser agree on what is JSON. */
static void check_cursor(pkg_text text, brisk_arena *arena)
{
    pkg_scan scan;
    pkg_text raw;
    const pkg_json *json;
    pkg_scan_init(&scan, text);
    bool taken = pkg_scan_value(&scan, &raw) && pkg_scan_end(&scan);
    brisk_err err = pkg_json_parse(text, arena, &json, NULL);
    REQUIRE(err == BRISK_OK || err == BRISK_ERR_CORRUPT || err == BRISK_ERR_LIMIT);
    REQUIRE(taken == (err == BRISK_OK));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    brisk_arena *arena = NULL;
    if (brisk_arena_create(NULL, &arena) != BRISK_OK) {
        return 0;
    }
    pkg_text text = {(const char *)data, size};
    pkg_tree tree;
    pkg_lock_format format;
    brisk_errinfo info = {0};
    check_cursor(text, arena);
    if (pkg_lock_read(text, arena, &tree, &format, &info) == BRISK_OK) {
        check_tree(&tree, arena);
        check_round(&tree, &format, arena);
    } else {
        REQUIRE(strncmp(info.text, "line ", 5) == 0);
    }
    brisk_arena_destroy(arena);
    return 0;
}
