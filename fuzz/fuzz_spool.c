/*
 * fuzz_spool.c -- any bytes as a line of the history's spool.  Oracle: a line that is taken is written as a line
 * that is taken again and says the same.
 */
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "observe/history/spool.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_again(const history_spool_line *line)
{
    brisk_str text;
    brisk_str_init(&text, NULL, 4 * (size_t)BRISK_HISTORY_LINE_BYTES);
    history_spool_write(&text, &line->run, line->stages, line->stage_count);
    BRISK_ASSERT(brisk_str_err(&text) == BRISK_OK);
    history_spool_line again;
    if (brisk_str_size(&text) <= BRISK_HISTORY_LINE_BYTES) {
        brisk_err err =
            history_spool_read(brisk_str_text(&text), brisk_str_size(&text), NULL, &again);
        BRISK_ASSERT(err == BRISK_OK);
        BRISK_ASSERT(again.run.wall_ns == line->run.wall_ns && again.run.bytes == line->run.bytes);
        BRISK_ASSERT(again.stage_count == line->stage_count);
        for (uint32_t i = 0; i < again.stage_count; i++) {
            BRISK_ASSERT(again.stages[i].duration_ns == line->stages[i].duration_ns);
            BRISK_ASSERT(again.stages[i].worker == line->stages[i].worker);
        }
        history_spool_line_deinit(&again);
    }
    brisk_str_deinit(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    history_spool_line line;
    if (history_spool_read((const char *)data, size, NULL, &line) == BRISK_OK) {
        check_again(&line);
        history_spool_line_deinit(&line);
    }
    return 0;
}
