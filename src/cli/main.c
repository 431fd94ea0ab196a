/*
 * main.c -- dispatch: find the command, run it, and make sure that its output arrived.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <brisk/module.h>

#include "cli/commands.h"
#include "cli/options.h"

/** A file opened later must not become standard output by accident. */
static void occupy_standard_streams(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF) {
            /* The wrong direction on purpose: using a closed stream stays an error. */
            (void)open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
        }
    }
}

/** Global options in front of the next word; its position, or -1 after saying what is wrong. */
static int parse_globals(cli_state *cli, int argc, char **argv)
{
    cli_parse parse = {.cli = cli, .first_word = true};
    int used = cli_parse_args(&parse, argc, argv);
    if (used < 0) {
        (void)fprintf(stderr, "brisk: %s\ntry 'brisk help'\n", parse.message);
    }
    return used;
}

/** `brisk -h rom apply`: help on the words that follow. */
static brisk_exit help_on_words(cli_state *cli, int argc, char **argv)
{
    int count = 0;
    while (count < argc && argv[count][0] != '-') {
        count++;
    }
    return cli_help(cli, stdout, count, argv);
}

/** argv[0] is the group's name. */
static brisk_exit run_group(cli_state *cli, const cli_group *group, int argc, char **argv)
{
    int used = parse_globals(cli, argc - 1, argv + 1);
    if (used < 0) {
        return BRISK_EXIT_USAGE;
    }
    int at = used + 1;
    if (at >= argc) {
        if (!cli->help) {
            (void)fprintf(stderr, "brisk: %s: a command is missing\n", group->name);
        }
        cli_print_group(cli->help ? stdout : stderr, group);
        return cli->help ? BRISK_EXIT_OK : BRISK_EXIT_USAGE;
    }
    const brisk_command *command = cli_find_command(group, argv[at]);
    if (command == NULL) {
        return cli_unknown(cli, group->name, group, argv[at]);
    }
    return cli_invoke(cli, group->name, command, argc - at - 1, argv + at + 1);
}

static brisk_exit run_module(cli_state *cli, int argc, char **argv)
{
    const brisk_module *module = NULL;
    brisk_errinfo info = {0};
    brisk_err err = brisk_module_load(argv[0], &module, &info);
    if (err == BRISK_ERR_NOT_FOUND || err == BRISK_ERR_INVALID) {
        return cli_unknown(cli, NULL, NULL, argv[0]);
    }
    if (err != BRISK_OK) {
        (void)fprintf(stderr, "brisk: %s\n",
                      info.text[0] != '\0' ? info.text : brisk_err_message(err));
        return BRISK_EXIT_FAILED;
    }
    cli_group group = {.name = module->name,
                       .summary = module->summary,
                       .commands = module->commands,
                       .command_count = module->command_count,
                       .module = true};
    const brisk_command *own = cli_own_command(&group);
    if (own == NULL) {
        return run_group(cli, &group, argc, argv);
    }
    const brisk_command *other = argc > 1 ? cli_find_command(&group, argv[1]) : NULL;
    if (other != NULL && other != own) {
        return cli_invoke(cli, group.name, other, argc - 2, argv + 2);
    }
    brisk_exit status = cli_invoke(cli, NULL, own, argc - 1, argv + 1);
    if (cli->help) {
        cli_print_more_commands(stdout, &group, own);
    }
    return status;
}

static brisk_exit dispatch(cli_state *cli, int argc, char **argv)
{
    int at = parse_globals(cli, argc, argv);
    if (at < 0) {
        return BRISK_EXIT_USAGE;
    }
    argc -= at;
    argv += at;
    if (cli->help) {
        return help_on_words(cli, argc, argv);
    }
    if (cli->version) {
        return cli_invoke(cli, NULL, &cmd_version, 0, argv);
    }
    if (argc == 0) {
        (void)cli_help(cli, stderr, 0, NULL);
        return BRISK_EXIT_USAGE;
    }
    cli_catalog builtin = cli_builtin();
    const brisk_command *command = cli_find_command(&builtin.groups[0], argv[0]);
    if (command != NULL) {
        return cli_invoke(cli, NULL, command, argc - 1, argv + 1);
    }
    const cli_group *group = cli_find_group(builtin, argv[0]);
    return group != NULL ? run_group(cli, group, argc, argv) : run_module(cli, argc, argv);
}

/** Has whoever read our output closed its end?  Asked when the write that failed is long past. */
static bool reader_is_gone(void)
{
    struct pollfd output = {.fd = STDOUT_FILENO, .events = POLLOUT};
    return poll(&output, 1, 0) == 1 && (output.revents & (POLLERR | POLLHUP)) != 0;
}

/** Data that did not arrive is a failure; a reader that went away needs no words. */
static brisk_exit finish_output(brisk_exit status)
{
    errno = 0;
    bool lost = ferror(stdout) != 0;
    bool failed = fflush(stdout) != 0;
    if (!lost && !failed) {
        return status;
    }
    if (errno != EPIPE && !reader_is_gone()) {
        (void)fprintf(stderr, "brisk: cannot write the output: %s\n",
                      errno != 0 ? strerror(errno) : brisk_err_message(BRISK_ERR_IO));
    }
    return status == BRISK_EXIT_OK ? BRISK_EXIT_FAILED : status;
}

/** Inputs are mapped; a page that is gone because somebody cut the file is a SIGBUS. */
static void end_on_lost_page(int signal_number, siginfo_t *info, void *context)
{
    static const char text[] = "brisk: a file became shorter while it was read\n";
    (void)context;
    if (info->si_code == BUS_ADRERR) {
        (void)!write(STDERR_FILENO, text, sizeof text - 1);
        _exit((int)BRISK_EXIT_FAILED); /* the output has no name yet and vanishes */
    }
    (void)signal(signal_number, SIG_DFL);
    (void)raise(signal_number);
}

static void expect_lost_pages(void)
{
    struct sigaction action = {.sa_flags = SA_SIGINFO};
    action.sa_sigaction = end_on_lost_page;
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGBUS, &action, NULL);
}

int main(int argc, char **argv)
{
    occupy_standard_streams();
    expect_lost_pages();
    /* A reader that goes away must not end a job between two steps: writing fails instead. */
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN); /* likewise a file that reaches the limit of ulimit -f */
    cli_state cli = {0};
    cli_note_command(&cli, argc, argv);
    brisk_exit status = dispatch(&cli, argc > 0 ? argc - 1 : 0, argv + (argc > 0 ? 1 : 0));
    cli_deinit(&cli);
    return (int)finish_output(status);
}
