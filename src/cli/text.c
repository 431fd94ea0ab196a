/*
 * text.c -- the nearest name; quantities and quoting are base/text.h's.
 */
#include <string.h>

#include "cli/cli.h"

enum { NEAREST_LENGTH_MAX = 48 };

static uint32_t min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/*
 * Edit distance in which swapping two neighbours costs one (optimal string alignment): three rows
 * of the table are enough.
 */
static uint32_t distance_of(const char *a, const char *b)
{
    size_t a_length = strlen(a);
    size_t b_length = strlen(b);
    if (a_length > NEAREST_LENGTH_MAX || b_length > NEAREST_LENGTH_MAX) {
        return UINT32_MAX;
    }
    uint32_t rows[3][NEAREST_LENGTH_MAX + 1];
    for (uint32_t j = 0; j <= b_length; j++) {
        rows[0][j] = j;
    }
    for (uint32_t i = 1; i <= a_length; i++) {
        uint32_t *row = rows[i % 3];
        const uint32_t *above = rows[(i + 2) % 3];
        row[0] = i;
        for (uint32_t j = 1; j <= b_length; j++) {
            uint32_t changed = above[j - 1] + (a[i - 1] != b[j - 1] ? 1 : 0);
            row[j] = min_u32(min_u32(above[j] + 1, row[j - 1] + 1), changed);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                row[j] = min_u32(row[j], rows[(i + 1) % 3][j - 2] + 1);
            }
        }
    }
    return rows[a_length % 3][b_length];
}

void cli_nearest_try(cli_nearest *nearest, const char *name)
{
    uint32_t distance = distance_of(nearest->word, name);
    if (nearest->best == NULL || distance < nearest->distance) {
        nearest->best = name;
        nearest->distance = distance;
    }
}

const char *cli_nearest_get(const cli_nearest *nearest)
{
    /* A third of the letters may be wrong, and at least one; a word with none in common is not. */
    size_t length = strlen(nearest->word);
    uint32_t limit = length < 6 ? 1 + (length > 3 ? 1 : 0) : (uint32_t)(length / 3);
    bool near = nearest->best != NULL && nearest->distance <= limit && nearest->distance < length;
    return near ? nearest->best : NULL;
}
