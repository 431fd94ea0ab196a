/*
 * terminal.c -- takes the terminal over and gives it back, whatever happens.
 *
 * While it is ours: the alternate screen, no cursor, no echo, keys without Enter; Ctrl-C and Ctrl-Z stay signals.
 * A crash (SIGSEGV, SIGABRT ...) gives the terminal back from the signal handler, which does nothing but
 * write(2) and tcsetattr(3), both async-signal-safe, and then dies of the same signal.
 *
 * Threads: one terminal for the process; its state is static because a signal handler needs it.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "observe/monitor/monitor.h"

static const char enter_text[] = "\033[?1049h\033[?25l\033[?7l";
static const char leave_text[] = "\033[?2026l\033[0m\033[?7h\033[?25h\033[?1049l";

static const int crashes[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGQUIT};

static struct {
    volatile sig_atomic_t entered;
    int in;
    int out;
    struct termios before;
    struct sigaction actions[sizeof crashes / sizeof crashes[0]];
} terminal;

static void give_back(void)
{
    if (terminal.entered != 0) {
        terminal.entered = 0;
        (void)(write(terminal.out, leave_text, sizeof leave_text - 1) < 0);
        (void)tcsetattr(terminal.in, TCSANOW, &terminal.before);
    }
}

static void crashed(int number)
{
    give_back();
    (void)raise(number); /* its action is the default again */
}

brisk_err terminal_enter(int in, int out)
{
    struct termios settings;
    if (isatty(in) != 1 || isatty(out) != 1) {
        return BRISK_ERR_UNSUPPORTED;
    }
    if (tcgetattr(in, &settings) != 0) {
        return brisk_err_from_errno(errno);
    }
    terminal.in = in;
    terminal.out = out;
    terminal.before = settings;
    settings.c_lflag &= (tcflag_t) ~(ECHO | ICANON | IEXTEN);
    settings.c_cc[VMIN] = 0;
    settings.c_cc[VTIME] = 0;
    terminal.entered = 1;
    struct sigaction action = {.sa_handler = crashed};
    action.sa_flags = (int)(unsigned)SA_RESETHAND; /* its constant is unsigned */
    for (size_t i = 0; i < sizeof crashes / sizeof crashes[0]; i++) {
        (void)sigaction(crashes[i], &action, &terminal.actions[i]);
    }
    if (tcsetattr(in, TCSANOW, &settings) != 0 ||
        write(out, enter_text, sizeof enter_text - 1) != (ssize_t)(sizeof enter_text - 1)) {
        brisk_err err = brisk_err_from_errno(errno);
        terminal_leave();
        return err;
    }
    return BRISK_OK;
}

void terminal_leave(void)
{
    if (terminal.entered == 0) {
        return;
    }
    give_back();
    for (size_t i = 0; i < sizeof crashes / sizeof crashes[0]; i++) {
        (void)sigaction(crashes[i], &terminal.actions[i], NULL);
    }
}

void terminal_size(int out, uint32_t *width, uint32_t *height)
{
    struct winsize size = {0};
    bool known = ioctl(out, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0;
    *width = known ? size.ws_col : 80;
    *height = known ? size.ws_row : 24;
}

/* --- keys --------------------------------------------------------------------------------- */

enum { KEY_START, KEY_ESCAPE, KEY_SEQUENCE };

char terminal_key(terminal_keys *keys, char byte)
{
    unsigned char b = (unsigned char)byte;
    switch (keys->state_) {
    case KEY_ESCAPE: keys->state_ = b == '[' || b == 'O' ? KEY_SEQUENCE : KEY_START; return 0;
    case KEY_SEQUENCE:
        if (b >= 0x40 && b < 0x7f) {
            keys->state_ = KEY_START;
        }
        return 0;
    default:
        if (b == 0x1b) {
            keys->state_ = KEY_ESCAPE;
            return 0;
        }
        return b == '\t' || (b >= ' ' && b < 127) ? byte : 0;
    }
}
