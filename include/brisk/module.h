/*
 * brisk/module.h -- plug-ins: one shared object, one exported symbol.
 *
 * A module exports `BRISK_API const brisk_module brisk_module_descriptor`.  It is looked for as
 * NAME.so in the folders of the knob-independent search path, in this order: $BRISK_MODULE_PATH
 * (colon-separated; ignored in setuid programs), `brisk/` beside libbrisk, `workload/NAME/`,
 * `daemon/` and `observe/modules/` beside libbrisk (a build tree).  It is never unloaded.  NAME is [a-z][a-z0-9_]*.
 *
 * Beside it may lie NAME.manifest, YAML made by brisk_module_write_manifest, so that help,
 * completion and configuration checks need not load it:
 *
 *     abi: 2
 *     name: rom
 *     summary: ...
 *     commands:
 *       - {name: apply, group: ..., synopsis: ..., summary: ..., description: ..., examples: ...,
 *          options: [{name: output, letter: o, type: 2, metavar: FILE, summary: ...,
 *                     required: true}]}
 *     knobs:
 *       - {name: rom.x, summary: ..., type: 0, min: 0, max: 1, def: 0, def_text: ""}
 *
 * Threads: any.
 */
#ifndef BRISK_MODULE_H
#define BRISK_MODULE_H

#include <stdint.h>

#include <brisk/base.h>
#include <brisk/command.h>
#include <brisk/err.h>
#include <brisk/json.h>
#include <brisk/knob.h>
#include <brisk/workload.h>
#include <brisk/yaml.h>

BRISK_BEGIN_DECLS

/** Raised with every incompatible change of a struct that modules and engine share. */
#define BRISK_ABI_VERSION 2

typedef struct brisk_module {
    uint32_t abi_version; /**< BRISK_ABI_VERSION */
    uint32_t size;        /**< sizeof(brisk_module) */
    const char *name;
    const char *summary;
    const brisk_workload *workload; /**< NULL for a module with commands only. */
    const brisk_command *const *commands;
    uint32_t command_count;
    const brisk_knob *knobs; /**< Names begin with the module's name and a dot. */
    uint32_t knob_count;
} brisk_module;

/**
 * Load module `name`, or give it again.  *ret lives for ever.
 * Errors: INVALID (a name that is none), NOT_FOUND (`info` lists where it was looked for),
 * ABI (another version; `info` says which is wanted and which was found), CORRUPT (no descriptor,
 * or one that contradicts itself), IO (the dynamic linker's words in `info`), LIMIT (64 modules).
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_module_load(const char *name, const brisk_module **ret,
                                                      brisk_errinfo *info);

/** Write `module`'s manifest.  Errors: those of `out`. */
BRISK_API BRISK_NODISCARD brisk_err brisk_module_write_manifest(const brisk_module *module,
                                                                brisk_out out);

/** The manifests of every module on the search path, by name; the first of a name wins. */
typedef struct brisk_manifests brisk_manifests;

/** A manifest that cannot be read is logged and left out.  Errors: NOMEM. */
BRISK_API BRISK_NODISCARD brisk_err brisk_manifests_load(const brisk_alloc *alloc,
                                                         brisk_manifests **ret);
BRISK_API void brisk_manifests_destroy(brisk_manifests *manifests);
BRISK_API uint32_t brisk_manifests_count(const brisk_manifests *manifests);
/** Root mapping of manifest `index`. */
BRISK_API const brisk_yaml_node *brisk_manifests_at(const brisk_manifests *manifests,
                                                    uint32_t index);

BRISK_END_DECLS

#endif /* BRISK_MODULE_H */
