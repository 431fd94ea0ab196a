/*
 * options.h -- the one option parser.
 *
 * Long options `--name value`, `--name=value`, short ones `-n value`, `-nvalue`, bundled flags
 * `-vq`, options and words in any order, `--` ends the options, `-` is a word.  Global options are
 * known everywhere; a command's own come first.
 */
#ifndef BRISK_SRC_CLI_OPTIONS_H
#define BRISK_SRC_CLI_OPTIONS_H

#include "cli/cli.h"

enum { CLI_MESSAGE_MAX = 480, CLI_LISTED_MAX = 256 };

typedef struct cli_parse {
    cli_state *cli;              /**< Receives the global options. */
    const brisk_option *options; /**< The command's, at most CLI_OPTIONS_MAX. */
    uint32_t option_count;
    bool first_word;                    /**< Stop before the first word. */
    brisk_option_value *values;         /**< Parallel to `options`. */
    brisk_option_list *lists;           /**< Likewise, zeroed; NULL when no option is a LIST. */
    const char *listed[CLI_LISTED_MAX]; /**< What `lists` point into: one run for each option. */
    uint32_t listed_count;
    int word_count;                /**< Words found; argv begins with them. */
    int words_before_dashes;       /**< Of them, those before a `--`. */
    char message[CLI_MESSAGE_MAX]; /**< After a failure: what is wrong. */
} cli_parse;

/**
 * Parse argv[0 .. argc).  Words are moved to the front of argv, in their order; argv is otherwise
 * left alone.  Returns how many arguments were looked at (argc, or the position of the first word),
 * or -1 with a message.  Stops at once, and successfully, at -h.
 */
int cli_parse_args(cli_parse *parse, int argc, char **argv);

#endif /* BRISK_SRC_CLI_OPTIONS_H */
