/*
 * import_collapsed.c -- "outer;inner VALUE": the last blank of a line stands before its value.
 *
 * Names may have blanks.  "_[k]" and "_[j]" behind a name tell whose code it is.
 */
#include "observe/profile/lines.h"

static bool ends_in(prof_piece p, const char *end)
{
    size_t size = strlen(end);
    return p.size > size && memcmp(p.text + p.size - size, end, size) == 0;
}

static uint32_t frame_of(prof_model *model, prof_piece name)
{
    prof_frame frame = {0};
    if (ends_in(name, "_[k]")) {
        frame.flags = PROF_FRAME_KERNEL;
        name.size -= 4;
    } else if (ends_in(name, "_[j]")) {
        frame.flags = PROF_FRAME_JIT;
        name.size -= 4;
    } else if (ends_in(name, "_[i]")) {
        frame.flags = PROF_FRAME_INLINED;
        name.size -= 4;
    }
    frame.name = prof_string_of(model, name.text, name.size);
    return prof_frame_of(model, &frame);
}

brisk_err prof_import_collapsed(prof_bytes bytes, prof_model *model, brisk_errinfo *info)
{
    prof_lines lines = prof_lines_of(bytes);
    prof_piece line;
    uint32_t type = prof_type_of(model, "samples", "count");
    while (prof_lines_next(&lines, &line) && prof_model_err(model) == BRISK_OK) {
        line = prof_trimmed(line);
        if (line.size == 0 || line.text[0] == '#') {
            continue;
        }
        size_t at = line.size;
        while (at > 0 && line.text[at - 1] != ' ') {
            at--;
        }
        uint64_t value;
        if (at == 0 || !prof_number((prof_piece){line.text + at, line.size - at}, 10, &value)) {
            return brisk_errinfo_set(info, BRISK_ERR_CORRUPT, "%s:%llu: no value behind the stack",
                                     bytes.name, (unsigned long long)lines.number);
        }
        prof_piece rest = prof_trimmed((prof_piece){line.text, at});
        uint32_t stack = 0;
        while (rest.size > 0) {
            const char *sign = memchr(rest.text, ';', rest.size);
            size_t size = sign != NULL ? (size_t)(sign - rest.text) : rest.size;
            stack = prof_stack_of(model, stack, frame_of(model, (prof_piece){rest.text, size}));
            size_t used = size + (sign != NULL ? 1 : 0);
            rest = (prof_piece){rest.text + used, rest.size - used};
        }
        prof_sample_add(model, stack, 0, type, value);
        model->meta.samples = prof_add(model->meta.samples, value);
    }
    return BRISK_OK;
}
