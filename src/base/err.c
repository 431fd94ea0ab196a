/*
 * err.c -- error names and messages, generated from BRISK_ERR_MAP, and the filling of errinfo.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <brisk/err.h>

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

/* Append to the text; a text that does not fit ends in "...". */
static void append(brisk_errinfo *info, size_t used, const char *format, va_list args)
{
    static const char ELLIPSIS[] = "...";
    int wanted = vsnprintf(info->text + used, sizeof info->text - used, format, args);
    if (wanted < 0 || used + (size_t)wanted >= sizeof info->text) {
        memcpy(info->text + sizeof info->text - sizeof ELLIPSIS, ELLIPSIS, sizeof ELLIPSIS);
    }
}

static void append_text(brisk_errinfo *info, const char *format, ...) BRISK_PRINTF(2, 3);

static void append_text(brisk_errinfo *info, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    append(info, strlen(info->text), format, args);
    va_end(args);
}

brisk_err brisk_errinfo_set(brisk_errinfo *info, brisk_err code, const char *format, ...)
{
    if (info != NULL) {
        info->code = code;
        info->os_errno = 0;
        va_list args;
        va_start(args, format);
        append(info, 0, format, args);
        va_end(args);
    }
    return code;
}

brisk_err brisk_errinfo_set_errno(brisk_errinfo *info, int os_errno, const char *format, ...)
{
    brisk_err code = brisk_err_from_errno(os_errno);
    if (info != NULL) {
        info->code = code;
        info->os_errno = os_errno;
        va_list args;
        va_start(args, format);
        append(info, 0, format, args);
        va_end(args);
        char reason[128];
        append_text(info, ": %s", strerror_r(os_errno, reason, sizeof reason));
    }
    return code;
}
