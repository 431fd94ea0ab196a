/*
 * brisk/command.h -- what a command of the program is: one table entry, from which usage, help,
 * man page and completion come.  The program's own commands and those of modules look alike.
 */
#ifndef BRISK_COMMAND_H
#define BRISK_COMMAND_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <brisk/base.h>
#include <brisk/engine.h>
#include <brisk/err.h>

BRISK_BEGIN_DECLS

/** Exit codes of the program. */
typedef enum brisk_exit {
    BRISK_EXIT_OK = 0,
    BRISK_EXIT_FAILED = 1,
    BRISK_EXIT_USAGE = 2,
} brisk_exit;

typedef enum brisk_option_type {
    BRISK_OPTION_FLAG = 0, /**< No argument. */
    BRISK_OPTION_TEXT,
    BRISK_OPTION_FILE, /**< As TEXT; completion offers files. */
    BRISK_OPTION_U64,
    BRISK_OPTION_BYTES,    /**< "64MiB" */
    BRISK_OPTION_DURATION, /**< "10s", kept in nanoseconds */
    /**
     * As TEXT; may be given several times, see brisk_option_list.  With a metavar of two words
     * ("NAME VALUES") it takes two, unless the first has a '=' in it; both stand in the list.
     */
    BRISK_OPTION_LIST,
} brisk_option_type;

typedef struct brisk_option {
    const char *name; /**< Long name without dashes. */
    char letter;      /**< Short name, or 0. */
    brisk_option_type type;
    const char *metavar; /**< "FILE"; NULL for flags. */
    const char *summary; /**< One phrase, no full stop. */
    bool required;
} brisk_option;

/** What the user gave for an option; values stand in the order of the command's options. */
typedef struct brisk_option_value {
    bool set;
    const char *text; /**< As written; the last one when repeated. */
    uint64_t number;  /**< U64, BYTES and DURATION. */
} brisk_option_value;

/** All that was given for an option of type LIST, in the order of the words. */
typedef struct brisk_option_list {
    const char *const *texts;
    uint32_t count;
} brisk_option_list;

typedef struct brisk_command brisk_command;

/** One call of a command.  Data goes to `out`, words to `err`; the program checks `out`. */
typedef struct brisk_invocation {
    const brisk_command *command;
    const brisk_option_value *values; /**< Parallel to command->options. */
    int argc;                         /**< Arguments that are no options. */
    char *const *argv;
    FILE *out;
    FILE *err;
    bool quiet; /**< --quiet was given: errors only. */
    /**
     * The engine as configured by global flags, environment and files, created at the first call
     * and destroyed by the program.  On failure the program has already said why; return
     * BRISK_EXIT_FAILED.
     */
    brisk_err (*engine)(const struct brisk_invocation *invocation, brisk_engine **ret);
    void *private_;
    const brisk_option_list *lists; /**< Parallel to command->options; empty for other types. */
    int argc_before_dashes;         /**< How many of the arguments stood before a `--`. */
} brisk_invocation;

struct brisk_command {
    const char *name;        /**< "apply"; called as `brisk rom apply`, or `brisk bench`. */
    const char *group;       /**< Heading under which help lists it; NULL: not listed. */
    const char *synopsis;    /**< Arguments only: "ROM MOD... -o OUT". */
    const char *summary;     /**< One phrase, no full stop. */
    const char *description; /**< Paragraphs for help and man page; NULL when summary is enough. */
    const char *examples;    /**< Lines "COMMAND\tWHAT IT DOES\n"; NULL for none. */
    const brisk_option *options;
    uint32_t option_count;
    int args_min;
    int args_max; /**< -1: any number. */
    brisk_exit (*run)(const brisk_invocation *invocation);
};

BRISK_END_DECLS

#endif /* BRISK_COMMAND_H */
