/*
 * fuzz_modfile.c -- any bytes as a mod file: parsed or refused with a line, never more.
 *
 * What was accepted must keep its promises: names without control characters, counts within the
 * limits, patch paths that stay below the mod file's folder.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <brisk/brisk.h>

#include "workload/rom/modfile.h"

#define FOLDER "mods/"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(cond) ((cond) ? (void)0 : abort())

static void check_component(const rom_mod_component *component)
{
    REQUIRE(component->name[0] != '\0' && strlen(component->name) <= ROM_MODFILE_NAME_MAX);
    REQUIRE((component->write_count == 0) == (component->patch_path != NULL));
    for (uint32_t i = 0; i < component->write_count; i++) {
        const rom_mod_write *write = &component->writes[i];
        REQUIRE(write->size > 0 && write->bytes != NULL && write->line > 0);
        REQUIRE((write->expect == NULL) == (write->expect_size == 0));
        REQUIRE(write->at <= UINT32_MAX);
    }
    if (component->patch_path != NULL) {
        REQUIRE(strncmp(component->patch_path, FOLDER, sizeof FOLDER - 1) == 0);
        REQUIRE(strstr(component->patch_path, "/../") == NULL);
        REQUIRE(component->patch_path[sizeof FOLDER - 1] != '/');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    brisk_arena *arena = NULL;
    if (brisk_arena_create(NULL, &arena) != BRISK_OK) {
        return 0;
    }
    rom_bytes file = {.name = FOLDER "m.yaml", .data = data, .size = size};
    rom_modfile mod;
    brisk_errinfo info = {0};
    brisk_err err = rom_modfile_parse(&file, arena, &mod, &info);
    if (err == BRISK_OK) {
        REQUIRE(mod.component_count > 0 && mod.component_count <= ROM_MODFILE_COMPONENTS_MAX);
        for (uint32_t i = 0; i < mod.component_count; i++) {
            check_component(&mod.components[i]);
        }
    } else {
        REQUIRE(strncmp(info.text, FOLDER "m.yaml:", sizeof FOLDER - 1) == 0);
    }
    brisk_arena_destroy(arena);
    return 0;
}
