/*
 * ideal_says.c -- the trees of small made-up projects, for test_npm.py to compare with npm's.
 *
 * Reads cases (made_case.h) from standard input, each ended by "run", and writes one line for it:
 * paths with versions and flags, or the error's name.
 */
#include "made_case.h"

enum { LINE_BYTES = 65536 };

int main(void)
{
    static char line[LINE_BYTES];
    made_case c = {0};
    if (brisk_arena_create(NULL, &c.arena) != BRISK_OK) {
        return 1;
    }
    made_case_reset(&c);
    while (fgets(line, sizeof line, stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (strcmp(line, "run") == 0) {
            (void)printf("%s\n", made_case_run(&c));
        } else {
            made_case_take(&c, line);
        }
    }
    brisk_arena_destroy(c.arena);
    return fflush(stdout) == 0 ? 0 : 1;
}
