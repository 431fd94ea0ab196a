/*
 * knob_reload.h -- the values of files, read again: a second registry takes them, then the first one
 * takes over what changed.
 *
 * Threads: the second registry is one thread's.
 */
#ifndef BRISK_SRC_BASE_KNOB_RELOAD_H
#define BRISK_SRC_BASE_KNOB_RELOAD_H

#include <brisk/knob.h>

/* A registry in which nobody is told of changes. */
BRISK_NODISCARD brisk_err knobs_create_quiet(const brisk_alloc *alloc, brisk_knobs **ret);
/* Give `to` all declarations of `from` that it has not. */
BRISK_NODISCARD brisk_err knobs_join(brisk_knobs *to, const brisk_knobs *from, brisk_errinfo *info);
/* Values of `fresh` go to `knobs`, but where a flag has spoken; `fresh` is only fit to be destroyed
 * afterwards.  `tell` is called for each that changed, without the lock of `knobs`. */
void knobs_adopt(brisk_knobs *knobs, brisk_knobs *fresh,
                 void (*tell)(void *ctx, const brisk_knob *knob), void *ctx);

#endif /* BRISK_SRC_BASE_KNOB_RELOAD_H */
