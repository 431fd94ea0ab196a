/*
 * cmd_manifest.c -- `brisk module-manifest PATH.so`: what the build writes beside a module.
 *
 * Not listed by help.  The module is found by its folder and name, as any module is.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <brisk/module.h>
#include <brisk/text.h>

#include "cli/commands.h"

enum { MANIFEST_NAME_MAX = 64 };

static brisk_exit run(const brisk_invocation *invocation)
{
    const char *path = invocation->argv[0];
    const char *slash = strrchr(path, '/');
    const char *base = slash != NULL ? slash + 1 : path;
    size_t length = strlen(base);
    char quoted[BRISK_TEXT_QUOTED_MAX];
    if (length < 4 || length >= MANIFEST_NAME_MAX || strcmp(base + length - 3, ".so") != 0) {
        (void)fprintf(invocation->err, "brisk: not a module: '%s'\n",
                      brisk_text_quote(quoted, path));
        return BRISK_EXIT_USAGE;
    }
    char name[MANIFEST_NAME_MAX];
    (void)snprintf(name, sizeof name, "%.*s", (int)(length - 3), base);
    brisk_arena *arena = cli_arena(cli_of(invocation));
    char *folder = arena == NULL ? NULL
                   : slash == NULL
                       ? brisk_arena_copy(arena, ".", 1)
                       : brisk_arena_copy(arena, path, (size_t)(slash - path) + (slash == path));
    if (folder == NULL || setenv("BRISK_MODULE_PATH", folder, 1) != 0) {
        (void)fprintf(invocation->err, "brisk: %s\n", brisk_err_message(BRISK_ERR_NOMEM));
        return BRISK_EXIT_FAILED;
    }
    const brisk_module *module = NULL;
    brisk_errinfo info = {0};
    brisk_err err = brisk_module_load(name, &module, &info);
    if (err == BRISK_OK) {
        err = brisk_module_write_manifest(module, brisk_out_file(invocation->out));
    }
    if (err != BRISK_OK) {
        (void)fprintf(invocation->err, "brisk: %s\n",
                      info.text[0] != '\0' ? info.text : brisk_err_message(err));
        return BRISK_EXIT_FAILED;
    }
    return BRISK_EXIT_OK;
}

const brisk_command cmd_module_manifest = {
    .name = "module-manifest",
    .synopsis = "PATH.so",
    .summary = "print the manifest of a module, for its build",
    .args_min = 1,
    .args_max = 1,
    .run = run,
};
