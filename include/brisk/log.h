/*
 * brisk/log.h -- one log sink for the process.
 *
 * The library returns errors; only engine, cli and daemon log, and the tiers log what they turn
 * into a miss.  Lines with the same format string are limited to BRISK_LOG_BURST a second; the
 * next line after a pause says how many were left out.
 *
 * Threads: every function may be called from any thread; the sink is called under a lock.
 */
#ifndef BRISK_LOG_H
#define BRISK_LOG_H

#include <brisk/base.h>
#include <brisk/clock.h>

BRISK_BEGIN_DECLS

typedef enum brisk_log_level {
    BRISK_LOG_ERROR = 0,
    BRISK_LOG_WARNING = 1,
    BRISK_LOG_INFO = 2,
    BRISK_LOG_DEBUG = 3,
} brisk_log_level;

enum { BRISK_LOG_BURST = 10, BRISK_LOG_LINE_MAX = 1024 };

/** Receives one line without newline; `area` is the layer ("cache").  Must not log. */
typedef void (*brisk_log_sink)(void *ctx, brisk_log_level level, const char *area,
                               const char *line);

/** Replace the sink (NULL: the default, "brisk: area: line" on standard error) and its clock. */
BRISK_API void brisk_log_set_sink(brisk_log_sink sink, void *ctx, const brisk_clock *clock);

/** Lines above `level` are dropped before they are formatted.  Default: BRISK_LOG_WARNING. */
BRISK_API void brisk_log_set_level(brisk_log_level level);

/** Write one line; longer than BRISK_LOG_LINE_MAX is cut.  Control characters become '?'. */
BRISK_API void brisk_log(brisk_log_level level, const char *area, const char *format, ...)
    BRISK_PRINTF(3, 4);

BRISK_END_DECLS

#endif /* BRISK_LOG_H */
