/*
 * brisk/err.h -- the one error type.
 *
 * A function that can fail returns brisk_err and nothing else; results leave through `ret`
 * pointers, written only on success.  Values are part of the ABI: append, never renumber.
 */
#ifndef BRISK_ERR_H
#define BRISK_ERR_H

#include <brisk/base.h>

BRISK_BEGIN_DECLS

/* X(name, value, message): the only place where an error is added. */
#define BRISK_ERR_MAP(X)                                                                           \
    X(OK, 0, "success")                                                                            \
    X(ERR_INVALID, -1, "invalid argument")                                                         \
    X(ERR_NOMEM, -2, "out of memory")                                                              \
    X(ERR_MISMATCH, -3, "objects do not fit each other")                                           \
    X(ERR_LIMIT, -4, "configured limit reached")                                                   \
    X(ERR_IO, -5, "input/output error")                                                            \
    X(ERR_UNSUPPORTED, -6, "not supported here")                                                   \
    X(ERR_CORRUPT, -7, "data is damaged")                                                          \
    X(ERR_NOT_FOUND, -8, "not found")                                                              \
    X(ERR_CANCELLED, -9, "cancelled")                                                              \
    X(ERR_DEADLINE, -10, "deadline passed")                                                        \
    X(ERR_CONFLICT, -11, "conflicting changes")                                                    \
    X(ERR_FULL, -12, "no room left")                                                               \
    X(ERR_PERMISSION, -13, "permission denied")                                                    \
    X(ERR_CYCLE, -14, "dependencies form a cycle")                                                 \
    X(ERR_ABI, -15, "module was built for another version")                                        \
    X(ERR_DECLINED, -16, "declined")

typedef enum brisk_err {
#define X(name, value, message) BRISK_##name = (value),
    BRISK_ERR_MAP(X)
#undef X
} brisk_err;

/** Symbolic name ("BRISK_ERR_NOMEM").  Static storage; never NULL, any value accepted. */
BRISK_API const char *brisk_err_name(brisk_err err);

/** One lower-case English phrase, no full stop.  Static storage; never NULL. */
BRISK_API const char *brisk_err_message(brisk_err err);

/** The error that stands for an errno value (ENOENT: NOT_FOUND, ENOSPC: FULL, EACCES ...). */
BRISK_API brisk_err brisk_err_from_errno(int os_errno);

enum { BRISK_ERRINFO_TEXT_MAX = 500 };

/** Where a caller needs more than a code: owned by the caller, passed as the last parameter. */
typedef struct brisk_errinfo {
    brisk_err code;
    int os_errno;                      /**< 0 when no system call was involved. */
    char text[BRISK_ERRINFO_TEXT_MAX]; /**< One line without full stop; names file, line, offset. */
} brisk_errinfo;

/**
 * Fill `info` (NULL is accepted) and return `code`, so that a failing function can say
 * `return brisk_errinfo_set(info, BRISK_ERR_CORRUPT, "%s: ...", path)`.
 * A text that does not fit ends in "...".  os_errno is set to 0.
 */
BRISK_API brisk_err brisk_errinfo_set(brisk_errinfo *info, brisk_err code, const char *format, ...)
    BRISK_PRINTF(3, 4);

/** Likewise for a failed system call: code from `os_errno`; ": <strerror>" is appended. */
BRISK_API brisk_err brisk_errinfo_set_errno(brisk_errinfo *info, int os_errno, const char *format,
                                            ...) BRISK_PRINTF(3, 4);

BRISK_END_DECLS

#endif /* BRISK_ERR_H */
