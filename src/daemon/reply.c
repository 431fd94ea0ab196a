/*
 * reply.c -- what all families of commands say and parse the same way, in Redis's words.
 */
#include <stdarg.h>

#include "daemon/command.h"
#include "daemon/server.h"

enum { ERROR_TEXT_MAX = 512 };

void reply_error(client *c, const char *format, ...)
{
    char text[ERROR_TEXT_MAX];
    va_list list;
    va_start(list, format);
    (void)vsnprintf(text, sizeof text, format, list);
    va_end(list);
    resp_put_error(&c->worker->out, text);
}

void reply_ok(client *c)
{
    resp_put_raw(&c->worker->out, "+OK\r\n", 5);
}

void reply_syntax_error(client *c)
{
    reply_error(c, "ERR syntax error");
}

void reply_wrong_arity(client *c, const command *cmd)
{
    char name[64];
    command_full_name(cmd, name, sizeof name);
    reply_error(c, "ERR wrong number of arguments for '%s' command", name);
}

void reply_unknown_subcommand(client *c, const command *parent, resp_bytes sub)
{
    char upper[32];
    size_t i = 0;
    for (; parent->name[i] != '\0' && i < sizeof upper - 1; i++) {
        char ch = parent->name[i];
        upper[i] = (char)(ch >= 'a' && ch <= 'z' ? ch - 32 : ch);
    }
    upper[i] = '\0';
    reply_error(c, "ERR unknown subcommand '%.*s'. Try %s HELP.",
                (int)(sub.size < 128 ? sub.size : 128), (const char *)sub.data, upper);
}

bool arg_i64(client *c, resp_bytes text, int64_t *ret)
{
    if (!resp_parse_i64(text.data, text.size, ret)) {
        reply_error(c, "ERR value is not an integer or out of range");
        return false;
    }
    return true;
}

bool arg_range(client *c, resp_bytes text, int64_t min, int64_t max, int64_t *ret)
{
    int64_t value;
    if (!resp_parse_i64(text.data, text.size, &value) || value < min || value > max) {
        reply_error(c, "ERR value is out of range, must be %s",
                    min == 0 && max == INT64_MAX ? "positive" : "in range");
        return false;
    }
    *ret = value;
    return true;
}

void reply_help(client *c, const command *parent, const char *const *lines)
{
    resp_writer *out = &c->worker->out;
    size_t count = 0;
    while (lines[count] != NULL) {
        count++;
    }
    char head[96];
    char upper[32];
    size_t i = 0;
    for (; parent->name[i] != '\0' && i < sizeof upper - 1; i++) {
        char ch = parent->name[i];
        upper[i] = (char)(ch >= 'a' && ch <= 'z' ? ch - 32 : ch);
    }
    upper[i] = '\0';
    (void)snprintf(head, sizeof head,
                   "%s <subcommand> [<arg> [value] [opt] ...]. Subcommands are:", upper);
    resp_put_array(out, count + 3);
    resp_put_status(out, head);
    for (size_t l = 0; l < count; l++) {
        resp_put_status(out, lines[l]);
    }
    resp_put_status(out, "HELP");
    resp_put_status(out, "    Print this help.");
}

bool reply_stored(client *c, brisk_err err)
{
    switch (err) {
    case BRISK_OK: return true;
    case BRISK_ERR_FULL:
        reply_error(c, "OOM command not allowed when used memory > 'maxmemory'.");
        return false;
    case BRISK_ERR_DECLINED:
        reply_error(c, "ERR the value is too large for the memory of this server");
        return false;
    case BRISK_ERR_NOMEM: reply_error(c, "OOM out of memory"); return false;
    case BRISK_ERR_LIMIT:
        reply_error(c, "ERR string exceeds maximum allowed size (proto-max-bulk-len)");
        return false;
    case BRISK_ERR_INVALID:
    case BRISK_ERR_MISMATCH:
    case BRISK_ERR_IO:
    case BRISK_ERR_UNSUPPORTED:
    case BRISK_ERR_CORRUPT:
    case BRISK_ERR_NOT_FOUND:
    case BRISK_ERR_CANCELLED:
    case BRISK_ERR_DEADLINE:
    case BRISK_ERR_CONFLICT:
    case BRISK_ERR_PERMISSION:
    case BRISK_ERR_CYCLE:
    case BRISK_ERR_ABI:
    default: reply_error(c, "ERR %s", brisk_err_message(err)); return false;
    }
}
