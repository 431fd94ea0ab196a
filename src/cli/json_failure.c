/*
 * json_failure.c -- a command that was asked for JSON gives one object when it fails, too.
 *
 * While such a command runs, its two streams pass through counters: when it failed without a byte
 * on standard output, the object is made from the last line that it said on standard error.
 * Commands that know more print their own.
 */
#include <string.h>

#include <brisk/json.h>

#include "cli/cli.h"

enum { WORDS_MAX = 1024 };

/** What passed through a stream on its way to another one. */
typedef struct passage {
    FILE *to;
    size_t total;
    size_t used;
    char words[WORDS_MAX]; /* the last ones */
} passage;

static ssize_t pass(void *cookie, const char *data, size_t size)
{
    passage *p = cookie;
    size_t most = sizeof p->words - 1;
    size_t kept = size < most ? size : most;
    size_t before = p->used < most - kept ? p->used : most - kept;
    memmove(p->words, p->words + p->used - before, before);
    memcpy(p->words + before, data + size - kept, kept);
    p->used = before + kept;
    p->total += size;
    return fwrite(data, 1, size, p->to) == size ? (ssize_t)size : 0;
}

static FILE *open_passage(passage *p, FILE *to, int mode)
{
    *p = (passage){.to = to};
    FILE *stream = fopencookie(p, "w", (cookie_io_functions_t){.write = pass});
    if (stream != NULL) {
        (void)setvbuf(stream, NULL, mode, 0);
    }
    return stream;
}

/** The last line without "brisk: " in front; changes the passage. */
static const char *message_of(passage *p)
{
    static const char prefix[] = "brisk: ";
    while (p->used > 0 && p->words[p->used - 1] == '\n') {
        p->used--;
    }
    p->words[p->used] = '\0';
    const char *last = strrchr(p->words, '\n');
    const char *words = last != NULL ? last + 1 : p->words;
    bool has_prefix = strncmp(words, prefix, sizeof prefix - 1) == 0;
    return words + (has_prefix ? sizeof prefix - 1 : 0);
}

static void print_failure(FILE *out, passage *words)
{
    brisk_json json;
    brisk_json_init(&json, brisk_out_file(out), 2);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "schema", 1);
    brisk_json_object_begin(&json, "error");
    brisk_json_str(&json, "code", "FAILED");
    brisk_json_str(&json, "message", message_of(words));
    brisk_json_null(&json, "stage");
    brisk_json_object_end(&json);
    brisk_json_object_end(&json);
    (void)!brisk_json_finish(&json); /* main checks that the output arrived */
}

static bool wants_json(const brisk_invocation *invocation)
{
    const brisk_command *command = invocation->command;
    for (uint32_t i = 0; i < command->option_count; i++) {
        if (strcmp(command->options[i].name, "json") == 0) {
            return invocation->values[i].set;
        }
    }
    return false;
}

brisk_exit cli_run(cli_state *cli, brisk_invocation *invocation)
{
    if (!wants_json(invocation)) {
        return invocation->command->run(invocation);
    }
    passage data;
    passage words;
    FILE *out = open_passage(&data, stdout, _IOFBF);
    FILE *err = open_passage(&words, stderr, _IONBF);
    invocation->out = out != NULL ? out : stdout;
    invocation->err = err != NULL ? err : stderr;
    cli->err = invocation->err;
    brisk_exit status = invocation->command->run(invocation);
    cli->err = NULL;
    if (err != NULL) {
        (void)fclose(err);
    }
    bool arrived = out != NULL && fclose(out) == 0;
    if (arrived && err != NULL && status == BRISK_EXIT_FAILED && data.total == 0) {
        print_failure(stdout, &words);
    }
    return status;
}
