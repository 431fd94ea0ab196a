/*
 * environment.c -- variables that look like a knob and are none: a slip that nobody would notice.
 */
#include <string.h>
#include <unistd.h>

#include <brisk/text.h>

#include "cli/cli.h"

enum { NAME_MAX_BYTES = 64 };

/** "cache.disk.bytes" is BRISK_CACHE_DISK_BYTES; false when it is too long. */
static bool variable_of(const brisk_knob *knob, char name[NAME_MAX_BYTES])
{
    size_t size = (size_t)snprintf(name, NAME_MAX_BYTES, "BRISK_%s", knob->name);
    for (char *at = name; *at != '\0'; at++) {
        bool is_lower = *at >= 'a' && *at <= 'z';
        *at = *at == '.' ? '_' : is_lower ? (char)(*at - 'a' + 'A') : *at;
    }
    return size < NAME_MAX_BYTES;
}

static bool looks_like_knob(const char *entry)
{
    static const char *const sections[] = {"BRISK_CACHE_", "BRISK_ENGINE_", "BRISK_HISTORY_",
                                           "BRISK_LOG_"};
    bool looks = false;
    for (size_t i = 0; i < sizeof sections / sizeof sections[0]; i++) {
        looks = looks || strncmp(entry, sections[i], strlen(sections[i])) == 0;
    }
    return looks;
}

static void check(FILE *out, const brisk_knobs *knobs, const char *name)
{
    char nearest_name[NAME_MAX_BYTES] = "";
    uint32_t nearest_distance = UINT32_MAX;
    const brisk_knob *knob;
    for (size_t i = 0; (knob = brisk_knobs_at(knobs, i)) != NULL; i++) {
        char variable[NAME_MAX_BYTES];
        if (!variable_of(knob, variable)) {
            continue;
        }
        if (strcmp(variable, name) == 0) {
            return;
        }
        cli_nearest nearest = {.word = name};
        cli_nearest_try(&nearest, variable);
        if (cli_nearest_get(&nearest) != NULL && nearest.distance < nearest_distance) {
            nearest_distance = nearest.distance;
            (void)snprintf(nearest_name, sizeof nearest_name, "%s", variable);
        }
    }
    char quoted[BRISK_TEXT_QUOTED_MAX];
    (void)fprintf(out, "brisk: warning: environment: %s is no knob",
                  brisk_text_quote(quoted, name));
    if (nearest_name[0] != '\0') {
        (void)fprintf(out, "; did you mean %s?", nearest_name);
    }
    (void)fputc('\n', out);
}

void cli_check_environment(FILE *out, const brisk_knobs *knobs)
{
    for (char *const *entry = environ; entry != NULL && *entry != NULL; entry++) {
        char name[BRISK_TEXT_QUOTED_MAX];
        size_t size = strcspn(*entry, "=");
        if (looks_like_knob(*entry) && size < sizeof name) {
            memcpy(name, *entry, size);
            name[size] = '\0';
            check(out, knobs, name);
        }
    }
}
