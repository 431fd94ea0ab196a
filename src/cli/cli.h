/*
 * cli.h -- what the files of the program share: its state, its command table, its words.
 *
 * The program sees the public headers only, like any other user of the library, and loads nothing
 * that the command at hand does not need: engine, manifests and modules come when asked for.
 * Data goes to standard output, words to standard error; main checks that the output arrived.
 *
 * Threads: one.
 */
#ifndef BRISK_SRC_CLI_CLI_H
#define BRISK_SRC_CLI_CLI_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <brisk/arena.h>
#include <brisk/command.h>
#include <brisk/engine.h>
#include <brisk/err.h>

enum {
    CLI_SETTINGS_MAX = 128, /* --set, each a knob */
    CLI_OPTIONS_MAX = 64,   /* options of one command */
    CLI_WIDTH = 79,         /* columns of help */
    CLI_COMMAND_MAX = 512,  /* of a command as the history keeps it */
};

/** Commands under one word: `brisk cache ...`, or a module's; `name` NULL is the top level. */
typedef struct cli_group {
    const char *name;
    const char *summary;
    const brisk_command *const *commands;
    uint32_t command_count;
    bool module;
    bool callable; /* has a command of its own name, too, which stands at the top level */
} cli_group;

/**
 * Every group there is, the top level first.  A module's command with the module's name stands at
 * the top level; when it is the only one (`brisk serve`), the module is no group.
 */
typedef struct cli_catalog {
    const cli_group *groups;
    uint32_t count;
    const char *const *modules; /* names of all modules with a manifest */
    uint32_t module_count;
} cli_catalog;

/** One run of the program. */
typedef struct cli_state {
    bool help;    /* -h was given */
    bool version; /* --version was given */
    int verbosity;
    const char *config_path;
    const char *settings[CLI_SETTINGS_MAX];
    uint32_t setting_count;
    FILE *err;                     /* where words go while a command runs; NULL means stderr */
    brisk_engine *engine;          /* created when first asked for */
    brisk_arena *arena;            /* likewise; lives as long as the engine */
    char command[CLI_COMMAND_MAX]; /* what was called, for the history */
} cli_state;

/* --- table.c: the commands of the program itself ------------------------------------------ */

/** Groups of the program itself, the top level first; static. */
cli_catalog cli_builtin(void);
/** Global options, in the order of enum cli_global. */
extern const brisk_option cli_globals[];
enum cli_global {
    CLI_GLOBAL_HELP,
    CLI_GLOBAL_VERSION,
    CLI_GLOBAL_CONFIG,
    CLI_GLOBAL_SET,
    CLI_GLOBAL_VERBOSE,
    CLI_GLOBAL_QUIET,
    CLI_GLOBAL_COUNT,
};
/** The command of a module's group that has the module's name (`brisk bench`), or NULL. */
const brisk_command *cli_own_command(const cli_group *group);
const cli_group *cli_find_group(cli_catalog catalog, const char *name);
const brisk_command *cli_find_command(const cli_group *group, const char *name);

/* --- catalog.c ---------------------------------------------------------------------------- */

/** The program's commands and those of every manifest on the module path. */
brisk_err cli_catalog_load(cli_state *cli, cli_catalog *ret);

/* --- invoke.c ----------------------------------------------------------------------------- */

/** Parse a command's arguments and run it.  `group` is its first word, or NULL. */
brisk_exit cli_invoke(cli_state *cli, const char *group, const brisk_command *command, int argc,
                      char **argv);
/** The arena of this run, or NULL after saying that memory is short. */
brisk_arena *cli_arena(cli_state *cli);
/** The engine; with `no_disk` without touching the disk tier.  Says why on failure. */
brisk_err cli_engine(cli_state *cli, bool no_disk, brisk_engine **ret);
/** What a command of the program itself finds in its invocation. */
cli_state *cli_of(const brisk_invocation *invocation);
/** Are all --set known and good?  Says what is wrong. */
bool cli_settings_are_good(cli_state *cli);
/** Standard error, or what passes to it. */
FILE *cli_words(const cli_state *cli);
/** Release everything. */
void cli_deinit(cli_state *cli);

/* --- json_failure.c ----------------------------------------------------------------------- */

/** Run the command; one that was asked for JSON gives an object with `error` when it fails. */
brisk_exit cli_run(cli_state *cli, brisk_invocation *invocation);

/* --- spool.c ------------------------------------------------------------------------------ */

/** Remember what was called, before the arguments are parsed; values of --set are left out. */
void cli_note_command(cli_state *cli, int argc, char *const *argv);
/** Every job of this engine goes into the history's spool, unless history.runs is off. */
void cli_spool_jobs(cli_state *cli, brisk_engine *engine);

/* --- environment.c ------------------------------------------------------------------------ */

/** Warn of BRISK_CACHE_..., BRISK_ENGINE_... and BRISK_LOG_... that are no knobs. */
void cli_check_environment(FILE *out, const brisk_knobs *knobs);

/* --- help.c ------------------------------------------------------------------------------- */

void cli_print_usage(FILE *out, const char *group, const brisk_command *command);
void cli_print_command(FILE *out, const char *group, const brisk_command *command);
/** What else a module with a command of its own name can do; `group` may be NULL. */
void cli_print_more_commands(FILE *out, const cli_group *group, const brisk_command *own);
void cli_print_group(FILE *out, const cli_group *group);
void cli_print_overview(FILE *out, cli_catalog catalog);
/** Help on `words` ("rom", "apply"), or the overview when there are none. */
brisk_exit cli_help(cli_state *cli, FILE *out, int count, char *const *words);
/** "brisk: no command 'x'" and the nearest; always BRISK_EXIT_USAGE. */
brisk_exit cli_unknown(cli_state *cli, const char *group, const cli_group *commands,
                       const char *word);
/** "  -o, --output FILE" without the summary. */
int cli_format_option(char *buffer, size_t size, const brisk_option *option);
/** `text` wrapped at CLI_WIDTH columns, every line indented. */
void cli_print_wrapped(FILE *out, int indent, const char *text);

/* --- man.c, completion.c ------------------------------------------------------------------ */

/** The manual page brisk(1) as scdoc source. */
void cli_print_man(FILE *out, cli_catalog catalog);
/** False when `shell` is not bash, zsh or fish. */
bool cli_print_completion(FILE *out, cli_catalog catalog, const char *shell);

/* --- text.c ------------------------------------------------------------------------------- */

/** The nearest of the names tried to a word that is none of them. */
typedef struct cli_nearest {
    const char *word;
    const char *best;
    uint32_t distance;
} cli_nearest;

void cli_nearest_try(cli_nearest *nearest, const char *name);
/** The best name when it is near enough to be meant, or NULL. */
const char *cli_nearest_get(const cli_nearest *nearest);

#endif /* BRISK_SRC_CLI_CLI_H */
