/*
 * machine.c -- this machine in a few words: "AMD EPYC 7763, 2 cores, 24 GiB, Linux".
 *
 * Only what does not change with a restart or a kernel update, so that figures of one machine stay together.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <brisk/history.h>

#include "base/text.h"

enum { MODEL_MAX = 96, WORDS_MAX = 192 };

static pthread_once_t once = PTHREAD_ONCE_INIT;
static char words[WORDS_MAX]; /* written once, under `once` */

/* The first "model name" of /proc/cpuinfo; other processors have none and are named by their architecture. */
static void read_model(char model[MODEL_MAX], const char *fallback)
{
    (void)snprintf(model, MODEL_MAX, "%s", fallback);
    FILE *file = fopen("/proc/cpuinfo", "re");
    if (file == NULL) {
        return;
    }
    char line[256];
    for (int i = 0; i < 64 && fgets(line, sizeof line, file) != NULL; i++) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) == 0 && colon != NULL) {
            colon += strspn(colon + 1, " \t") + 1;
            (void)snprintf(model, MODEL_MAX, "%.*s", (int)strcspn(colon, "\n"), colon);
            break;
        }
    }
    (void)fclose(file);
}

static void describe(void)
{
    struct utsname name;
    struct sysinfo memory;
    char model[MODEL_MAX];
    bool named = uname(&name) == 0;
    read_model(model, named ? name.machine : "unknown");
    unsigned long long gib = 0;
    if (sysinfo(&memory) == 0) {
        /* what the kernel keeps for itself differs by kernel: to the next full GiB */
        gib = ((unsigned long long)memory.totalram * memory.mem_unit + (1ULL << 30) - 1) >> 30;
    }
    (void)snprintf(words, sizeof words, "%s, %ld cores, %llu GiB, %.32s", model,
                   sysconf(_SC_NPROCESSORS_CONF), gib, named ? name.sysname : "unknown");
    brisk_text_make_plain(words, strlen(words));
}

const char *brisk_history_machine(void)
{
    (void)pthread_once(&once, describe);
    return words;
}
