/*
 * machine.c -- where figures were measured: what must be the same for figures to be comparable.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <brisk/hash.h>

#include "observe/bench/bench.h"

enum { LINE_BYTES = 256 };

/** The first "model name" of the processors, or what the architecture is called. */
static void read_model(char model[LINE_BYTES], const char *otherwise)
{
    (void)snprintf(model, LINE_BYTES, "%s", otherwise);
    FILE *file = fopen("/proc/cpuinfo", "re");
    char line[LINE_BYTES];
    for (int lines = 0; file != NULL && lines < 64 && fgets(line, sizeof line, file) != NULL;
         lines++) {
        if (strncmp(line, "model name", 10) == 0 && strstr(line, ": ") != NULL) {
            (void)snprintf(model, LINE_BYTES, "%s", strstr(line, ": ") + 2);
            break;
        }
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    for (char *c = model; *c != '\0'; c++) {
        *c = (unsigned char)*c < 0x20 || (unsigned char)*c > 0x7e ? ' ' : *c;
    }
    for (size_t length = strlen(model); length > 0 && model[length - 1] == ' ';) {
        model[--length] = '\0';
    }
}

brisk_err bench_machine(brisk_arena *arena, const char **ret_text, const char **ret_fingerprint)
{
    struct utsname names;
    if (uname(&names) != 0) {
        memset(&names, 0, sizeof names);
    }
    char model[LINE_BYTES];
    read_model(model, names.machine);
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    /* Major and minor version of the kernel: a patch level changes no figures.  No host name:
     * the next machine of a kind that is rented by the hour has another one. */
    size_t release = strcspn(names.release, ".");
    release += names.release[release] == '.' ? 1 + strcspn(names.release + release + 1, ".-") : 0;
    const char *text = brisk_arena_printf(arena, "%ld x %s, %s %.*s", processors, model,
                                          names.sysname, (int)release, names.release);
    if (text == NULL) {
        return BRISK_ERR_NOMEM;
    }
    uint64_t hash = brisk_hash64(text, strlen(text), 0);
    const char *fingerprint = brisk_arena_printf(arena, "%016llx", (unsigned long long)hash);
    if (fingerprint == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *ret_text = text;
    *ret_fingerprint = fingerprint;
    return BRISK_OK;
}
