/*
 * serve.h -- the command and the knobs of the module.
 */
#ifndef BRISK_SRC_DAEMON_SERVE_H
#define BRISK_SRC_DAEMON_SERVE_H

#include <brisk/command.h>
#include <brisk/knob.h>

enum { SERVE_KNOBS = 83 };

extern const brisk_command serve_command;
extern const brisk_knob serve_knobs[SERVE_KNOBS];

#endif /* BRISK_SRC_DAEMON_SERVE_H */
