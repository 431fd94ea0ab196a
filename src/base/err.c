/*
 * err.c -- error names and messages, generated from BRISK_ERR_MAP, and the filling of errinfo.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <brisk/err.h>

#include "base/text.h"

enum { REASON_MAX = 128 };

const char *brisk_err_name(brisk_err err)
{
    switch (err) {
#define X(name, value, message)                                                                    \
    case BRISK_##name: return "BRISK_" #name;
        BRISK_ERR_MAP(X)
#undef X
    }
    return "BRISK_ERR_UNKNOWN";
}

const char *brisk_err_message(brisk_err err)
{
    switch (err) {
#define X(name, value, message)                                                                    \
    case BRISK_##name: return message;
        BRISK_ERR_MAP(X)
#undef X
    }
    return "unknown error";
}

brisk_err brisk_err_from_errno(int os_errno)
{
    switch (os_errno) {
    case 0: return BRISK_OK;
    case ENOENT:
    case ENOTDIR: return BRISK_ERR_NOT_FOUND;
    case EACCES:
    case EPERM:
    case EROFS: return BRISK_ERR_PERMISSION;
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return BRISK_ERR_FULL;
    case ENOMEM: return BRISK_ERR_NOMEM;
    case EINVAL:
    case EISDIR:
    case ENAMETOOLONG:
    case ELOOP: return BRISK_ERR_INVALID;
    case EMFILE:
    case ENFILE: return BRISK_ERR_LIMIT;
    case ENOSYS:
    case EOPNOTSUPP: return BRISK_ERR_UNSUPPORTED;
    default: return BRISK_ERR_IO;
    }
}

static void fill(brisk_errinfo *info, size_t room, const char *format, va_list args)
    BRISK_PRINTF(3, 0);

/* Fill the first `room` bytes of the text; one that does not fit ends in "...". */
static void fill(brisk_errinfo *info, size_t room, const char *format, va_list args)
{
    static const char ellipsis[] = "...";
    int wanted = vsnprintf(info->text, room, format, args);
    if (wanted < 0 || (size_t)wanted >= room) {
        memcpy(info->text + room - sizeof ellipsis, ellipsis, sizeof ellipsis);
    }
    /* A path or a value may hold anything; the text must stay one line on any terminal. */
    brisk_text_make_plain(info->text, strlen(info->text));
}

brisk_err brisk_errinfo_set(brisk_errinfo *info, brisk_err code, const char *format, ...)
{
    if (info != NULL) {
        info->code = code;
        info->os_errno = 0;
        va_list args;
        va_start(args, format);
        fill(info, sizeof info->text, format, args);
        va_end(args);
    }
    return code;
}

/* strerror, but for the cases that users should understand at once. */
static const char *reason_of(int os_errno, char *buffer, size_t size)
{
    switch (os_errno) {
    case ENOSPC: return "no room left on the device";
    case EFBIG: return "file too large (limit of the process or file system)";
    default: return strerror_r(os_errno, buffer, size);
    }
}

brisk_err brisk_errinfo_set_errno(brisk_errinfo *info, int os_errno, const char *format, ...)
{
    brisk_err code = brisk_err_from_errno(os_errno);
    if (info != NULL) {
        info->code = code;
        info->os_errno = os_errno;
        va_list args;
        va_start(args, format);
        char buffer[REASON_MAX];
        const char *reason = reason_of(os_errno, buffer, sizeof buffer);
        size_t reason_size = strnlen(reason, REASON_MAX);
        fill(info, sizeof info->text - 2 - reason_size, format, args); /* a long path keeps it */
        va_end(args);
        size_t used = strlen(info->text);
        (void)snprintf(info->text + used, sizeof info->text - used, ": %.*s", (int)reason_size,
                       reason);
    }
    return code;
}
