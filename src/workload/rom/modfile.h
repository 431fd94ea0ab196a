/*
 * modfile.h -- mod files: what to change in a ROM, written in YAML by people.
 *
 *     mod: infinite_magic            # required, names the mod in messages
 *     title: Infinite magic          # optional
 *     system: snes                   # optional; refused for a ROM of another system
 *     target:                        # optional; one that fits is enough
 *       crc32: [1A2B3C4D, 55AA55AA]  # of the ROM without copier header; one or a list
 *       title: BRISK QUEST           # as the ROM's header has it
 *     components:
 *       - name: spend_magic          # required, unique in the file
 *         write:                     # one, or a list of them
 *           at: $00810A              # bus address; or 0x10A: offset without copier header
 *           expect: C6 22            # optional: refused when the ROM has something else there
 *           bytes: EA EA             # hexadecimal text, or a list of numbers: [0xEA, 234]
 *       - name: new_font
 *         patch: {file: font.ips}    # in the mod file's folder or below it
 *
 * A patch file's path is relative, with no "..": a mod that was downloaded reads only what lies
 * beside it.  A symbolic link is followed only where it stays in that folder (beside.h).
 *
 * Text is hostile: sizes, counts and characters are bounded, every error names file and line.
 */
#ifndef BRISK_SRC_WORKLOAD_ROM_MODFILE_H
#define BRISK_SRC_WORKLOAD_ROM_MODFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <brisk/arena.h>
#include <brisk/err.h>

#include "workload/rom/rom.h"

enum {
    ROM_MODFILE_BYTES_MAX = 16 << 20,
    ROM_MODFILE_COMPONENTS_MAX = 65536,
    ROM_MODFILE_TARGETS_MAX = 256,
    ROM_MODFILE_NAME_MAX = 100, /* bytes of a mod's, title's or component's name */
    ROM_MODFILE_PATH_MAX = 1000,
};

/* One `write`. */
typedef struct rom_mod_write {
    uint32_t line; /* of the value of `at` */
    bool is_bus;   /* `at` is a bus address, otherwise an offset without copier header */
    uint64_t at;   /* as written */
    const char *at_text;
    const uint8_t *expect; /* NULL when there is none */
    const uint8_t *bytes;
    uint32_t expect_size;
    uint32_t size; /* at least 1 */
} rom_mod_write;

typedef struct rom_mod_component {
    const char *name;
    uint32_t line;
    uint32_t write_count; /* 0: a patch */
    const rom_mod_write *writes;
    const char *patch_path; /* folder of the mod file and `file` joined, or NULL */
} rom_mod_component;

typedef struct rom_modfile {
    const char *path; /* borrowed, as given */
    const char *mod;
    const char *title;  /* "" when there is none */
    const char *system; /* NULL when there is none */
    uint32_t system_line;
    uint32_t target_line;
    bool has_target;
    uint32_t target_crc_count;
    const uint32_t *target_crcs;
    const char *target_title; /* NULL when there is none */
    uint32_t component_count;
    const rom_mod_component *components;
} rom_modfile;

/*
 * Parse `file`; everything in *ret lives in `arena`, except `path`, which is file->name.
 * Errors (`info` says "path:line: ..." and what to do): INVALID, LIMIT, NOMEM.
 */
BRISK_NODISCARD brisk_err rom_modfile_parse(const rom_bytes *file, brisk_arena *arena,
                                            rom_modfile *ret, brisk_errinfo *info);

#endif /* BRISK_SRC_WORKLOAD_ROM_MODFILE_H */
