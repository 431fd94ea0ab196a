/*
 * fuzz_pkg_deb.c -- any bytes as a list of packages: indexed or refused, never more.
 *
 * What was indexed is loaded again, each of its packages is resolved, and every answer is checked
 * against the stanzas (tests/pkg/deb_check.h).  The same bytes as a damaged index file are refused or
 * stay within themselves.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <brisk/brisk.h>

#include "../tests/pkg/deb_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(cond) ((cond) ? (void)0 : abort())

enum { RESOLVED_MAX = 12 };

/* Checking is by version's text, and dpkg's order has equal ones of different texts. */
static bool has_twins(const stanzas *all)
{
    for (uint32_t i = 1; i < all->count; i++) {
        if (pkg_text_equal(stanza_name(&all->items[i - 1]), stanza_name(&all->items[i]))) {
            return true;
        }
    }
    return false;
}

static void resolve_some(const deb_index *index, const stanzas *all, brisk_arena *arena)
{
    bool twins = has_twins(all);
    for (uint32_t p = 0; p < index->package_count && p < RESOLVED_MAX; p++) {
        pkg_text name = deb_text(index, index->names[index->packages[p].name].text);
        const char *text = brisk_arena_copy(arena, name.data, name.size);
        deb_request request = {.packages = &text, .count = 1, .recommends = p % 2 == 0};
        deb_answer answer;
        brisk_errinfo info = {0};
        brisk_err err = deb_resolve(index, &request, arena, &answer, &info);
        REQUIRE(err == BRISK_OK || err == BRISK_ERR_INVALID); /* a name with a NUL in it */
        REQUIRE(err != BRISK_OK || !answer.solved || twins ||
                deb_check(index, &answer, all, arena) == NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    brisk_arena *arena = NULL;
    if (brisk_arena_create(NULL, &arena) != BRISK_OK) {
        return 0;
    }
    deb_input input = {.text = {.data = (const char *)data, .size = size}, .name = "Packages"};
    pkg_text image = {0};
    brisk_errinfo info = {0};
    brisk_err err = deb_index_build(&input, 1, "amd64", 1, arena, &image, &info);
    deb_index index;
    if (err == BRISK_OK) {
        stanzas all;
        REQUIRE(deb_index_load(image, &index) == BRISK_OK);
        REQUIRE(stanzas_read(&input, 1, arena, &all));
        resolve_some(&index, &all, arena);
    } else {
        REQUIRE(err == BRISK_ERR_LIMIT && info.text[0] != '\0');
    }
    char *copy = brisk_arena_alloc(arena, size); /* aligned, as a mapping is */
    if (copy != NULL && size > 0) {
        memcpy(copy, data, size);
    }
    if (copy != NULL &&
        deb_index_load((pkg_text){.data = copy, .size = size}, &index) == BRISK_OK) {
        stanzas none = {0};
        resolve_some(&index, &none, arena);
    }
    brisk_arena_destroy(arena);
    return 0;
}
