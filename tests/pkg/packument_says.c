/*
 * packument_says.c -- what our reader makes of packuments, for test_packument.py to judge.
 *
 * Reads "NAME SIZE\n" and a document of SIZE bytes, again and again; answers each with
 *
 *     ERR\n                  it was refused
 *     OK SIZE\n              and SIZE bytes: records ended by 0x1e of fields ended by 0x1f
 *
 * The first record is the name, the numbers of versions and of those left out, and what `latest` is;
 * then one for each version, in order.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <brisk/arena.h>

#include "base/assert.h"
#include "workload/pkg/packument.h"

typedef struct answer {
    char *data;
    size_t size;
    size_t capacity;
} answer;

static void add(answer *a, const char *data, size_t size, char end)
{
    if (a->size + size + 1 > a->capacity) {
        a->capacity = (a->size + size + 1) * 2;
        a->data = realloc(a->data, a->capacity);
        BRISK_ASSERT(a->data != NULL);
    }
    if (size > 0) {
        memcpy(a->data + a->size, data, size);
    }
    a->size += size;
    a->data[a->size++] = end;
}

static void field(answer *a, pkg_text text)
{
    add(a, text.data, text.size, 0x1f);
}

static void number(answer *a, int64_t value)
{
    char text[32];
    add(a, text, (size_t)snprintf(text, sizeof text, "%lld", (long long)value), 0x1f);
}

static void list(answer *a, pkg_texts texts)
{
    number(a, texts.count);
    for (uint32_t i = 0; i < texts.count; i++) {
        field(a, texts.items[i]);
    }
}

static void version(answer *a, const pkg_package *package, uint32_t index, brisk_arena *arena)
{
    const pkg_manifest *m;
    BRISK_ASSERT(pkg_package_manifest(package, index, arena, &m) == BRISK_OK);
    field(a, m->version);
    number(a, m->flags);
    number(a, m->published_ms);
    field(a, m->engine_node);
    field(a, m->engine_npm);
    field(a, m->license);
    field(a, m->deprecated);
    field(a, m->engines);
    field(a, m->bin);
    field(a, m->funding);
    field(a, m->integrity);
    field(a, m->tarball);
    list(a, m->bundled);
    list(a, m->os);
    list(a, m->cpu);
    list(a, m->libc);
    number(a, m->dep_count);
    for (uint32_t i = 0; i < m->dep_count; i++) {
        field(a, m->deps[i].name);
        field(a, m->deps[i].spec);
        number(a, m->deps[i].kind);
    }
    add(a, NULL, 0, 0x1e);
}

static void say(const pkg_package *package, brisk_arena *arena)
{
    answer a = {0};
    uint32_t count = pkg_package_count(package);
    uint32_t latest = pkg_package_tag(package, PKG_TEXT("latest"));
    field(&a, pkg_package_name(package));
    number(&a, count);
    number(&a, pkg_package_left_out(package));
    pkg_version tagged = {0};
    if (latest != PKG_NO_VERSION) {
        pkg_package_version(package, latest, &tagged);
    }
    field(&a, tagged.text);
    add(&a, NULL, 0, 0x1e);
    for (uint32_t i = 0; i < count; i++) {
        version(&a, package, i, arena);
    }
    printf("OK %zu\n", a.size);
    (void)fwrite(a.data, 1, a.size, stdout);
    free(a.data);
}

int main(void)
{
    pkg_packument_reader *reader;
    brisk_arena *arena;
    char name[256];
    size_t size;
    BRISK_ASSERT(pkg_packument_reader_create(NULL, &reader) == BRISK_OK);
    BRISK_ASSERT(brisk_arena_create(NULL, &arena) == BRISK_OK);
    while (scanf("%255s %zu", name, &size) == 2 && getchar() == '\n') {
        char *json = malloc(size + 1);
        BRISK_ASSERT(json != NULL && fread(json, 1, size, stdin) == size);
        const pkg_package *package;
        pkg_text text = {.data = json, .size = size};
        if (pkg_packument_read(reader, pkg_text_of(name), text, &package, NULL) == BRISK_OK) {
            say(package, arena);
        } else {
            printf("ERR\n");
        }
        (void)fflush(stdout);
        brisk_arena_reset(arena);
        free(json);
    }
    pkg_packument_reader_destroy(reader);
    brisk_arena_destroy(arena);
    return 0;
}
