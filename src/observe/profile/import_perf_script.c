/*
 * import_perf_script.c -- the text that `perf script` prints for samples with stacks.
 *
 *     COMM PID[/TID] [CPU] TIME: PERIOD EVENT:
 *             ADDRESS FUNCTION+0xOFFSET (MODULE)
 *             ...
 *     (an empty line)
 *
 * A name of a thread may have blanks, and every column but the first two may be missing.  Samples of
 * the first event that is seen are taken, others would be another measure.  Names are made tidy as
 * people know them from collapsed stacks: without arguments, quotes and offsets.
 */
#include "observe/profile/lines.h"

enum { STACK_MAX = PROF_DEPTH_MAX };

typedef struct script {
    prof_model *model;
    uint32_t frames[STACK_MAX]; /* innermost first */
    uint32_t depth;
    uint32_t thread;
    uint32_t type;
    uint64_t period;
    prof_piece event; /* the one that counts; size 0: none seen */
    bool in_sample;
    bool skipped; /* of another event */
} script;

/* --- stacks --------------------------------------------------------------------------------- */

static bool begins(prof_piece p, const char *with)
{
    size_t size = strlen(with);
    return p.size >= size && memcmp(p.text, with, size) == 0;
}

static bool is(prof_piece p, const char *text)
{
    return p.size == strlen(text) && memcmp(p.text, text, p.size) == 0;
}

static prof_piece base_name(prof_piece p)
{
    for (size_t i = p.size; i > 0; i--) {
        if (p.text[i - 1] == '/') {
            return (prof_piece){p.text + i, p.size - i};
        }
    }
    return p;
}

static uint32_t flags_of(prof_piece module)
{
    static const char image[] = "vmlinux";
    bool is_image =
        module.size >= sizeof image - 1 &&
        memcmp(module.text + module.size - (sizeof image - 1), image, sizeof image - 1) == 0;
    if (is_image || (begins(module, "[") && !is(module, "[unknown]") && !is(module, "[vdso]"))) {
        return PROF_FRAME_KERNEL;
    }
    if (begins(module, "/tmp/perf-")) {
        return PROF_FRAME_JIT;
    }
    return is(module, "inlined") ? PROF_FRAME_INLINED : 0;
}

/* "+0x1f" at the end of a function. */
static prof_piece without_offset(prof_piece p)
{
    size_t at = p.size;
    while (at > 0 && strchr("0123456789abcdef", p.text[at - 1]) != NULL && p.text[at - 1] != '\0') {
        at--;
    }
    if (at >= 3 && at < p.size && memcmp(p.text + at - 3, "+0x", 3) == 0) {
        p.size = at - 3;
    }
    return p;
}

/* A method of Go, "pkg.(*Type).Method", keeps its brackets. */
static bool is_go_method(prof_piece p)
{
    const char *open = memmem(p.text, p.size, ".(", 2);
    return open != NULL && memmem(open, p.size - (size_t)(open - p.text), ").", 2) != NULL;
}

static size_t arguments_at(prof_piece p)
{
    static const char anonymous[] = "(anonymous namespace)";
    for (size_t i = 0; i < p.size; i++) {
        if (p.text[i] == '(' && !begins((prof_piece){p.text + i, p.size - i}, anonymous)) {
            return i;
        }
    }
    return p.size;
}

static uint32_t tidy_name(prof_model *model, prof_piece p)
{
    char text[PROF_NAME_MAX];
    size_t size = 0;
    size_t end = is_go_method(p) ? p.size : arguments_at(p);
    for (size_t i = 0; i < end && size < sizeof text; i++) {
        if (p.text[i] != '"' && p.text[i] != '\'') {
            text[size++] = p.text[i] == ';' ? ':' : p.text[i];
        }
    }
    return prof_string_of(model, text, size);
}

static uint32_t unknown_name(prof_model *model, prof_piece module)
{
    char text[PROF_NAME_MAX];
    prof_piece base = base_name(module);
    if (begins(base, "[") || is(module, "[unknown]")) {
        return prof_string_of(model, base.text, base.size);
    }
    int size = snprintf(text, sizeof text, "[%.*s]", (int)(base.size < 4000 ? base.size : 4000),
                        base.text);
    return prof_string_of(model, text, (size_t)size);
}

/* "ADDRESS FUNCTION (MODULE)"; false: it is something else. */
static bool take_frame(script *s, prof_piece line)
{
    uint64_t address;
    size_t end = 0;
    while (end < line.size && !prof_is_blank(line.text[end])) {
        end++;
    }
    size_t open = line.size;
    while (open > 0 && !(line.text[open - 1] == '(' && open > 1 && line.text[open - 2] == ' ')) {
        open--;
    }
    if (line.size < 4 || line.text[line.size - 1] != ')' || open <= end + 1 ||
        !prof_number((prof_piece){line.text, end}, 16, &address)) {
        return false;
    }
    prof_piece module = {line.text + open, line.size - open - 1};
    prof_piece function =
        without_offset(prof_trimmed((prof_piece){line.text + end, open - 1 - end}));
    if (begins(function, "(") || s->depth == STACK_MAX) {
        return true; /* a name of a process */
    }
    prof_frame frame = {.module = prof_string_of(s->model, module.text, module.size),
                        .flags = flags_of(module)};
    if (is(function, "[unknown]") || function.size == 0) {
        frame.name = unknown_name(s->model, module);
        frame.flags |= PROF_FRAME_UNKNOWN;
        frame.address = address;
    } else {
        frame.name = tidy_name(s->model, function);
    }
    s->frames[s->depth++] = prof_frame_of(s->model, &frame);
    return true;
}

static void finish_sample(script *s)
{
    if (s->in_sample && !s->skipped) {
        uint32_t stack = 0;
        while (s->depth > 0) {
            stack = prof_stack_of(s->model, stack, s->frames[--s->depth]);
        }
        prof_sample_add(s->model, stack, s->thread, s->type, s->period);
        s->model->meta.samples++;
    }
    s->in_sample = false;
    s->depth = 0;
}

/* --- headers -------------------------------------------------------------------------------- */

static prof_piece next_word(prof_piece *rest)
{
    *rest = prof_trimmed(*rest);
    size_t size = 0;
    while (size < rest->size && !prof_is_blank(rest->text[size])) {
        size++;
    }
    prof_piece word = {rest->text, size};
    *rest = (prof_piece){rest->text + size, rest->size - size};
    return word;
}

/* "123" or "123/456"; the first number alone is the thread's. */
static bool read_ids(prof_piece word, uint32_t *pid, uint32_t *tid)
{
    const char *slash = memchr(word.text, '/', word.size);
    uint64_t first;
    uint64_t second = 0;
    size_t size = slash != NULL ? (size_t)(slash - word.text) : word.size;
    if (!prof_number((prof_piece){word.text, size}, 10, &first) || first > UINT32_MAX - 1) {
        return false;
    }
    if (slash == NULL) {
        *pid = PROF_PID_UNKNOWN;
        *tid = (uint32_t)first;
        return true;
    }
    if (!prof_number((prof_piece){slash + 1, word.size - size - 1}, 10, &second) ||
        second > UINT32_MAX) {
        return false;
    }
    *pid = (uint32_t)first;
    *tid = (uint32_t)second;
    return true;
}

/* The end of a header: "...: 10101010 cpu-clock:".  False: no event is named. */
static bool read_event(prof_piece rest, prof_piece *event, uint64_t *period)
{
    prof_piece line = prof_trimmed(rest);
    size_t begin = line.size;
    if (line.size < 2 || line.text[line.size - 1] != ':') {
        return false;
    }
    while (begin > 0 && !prof_is_blank(line.text[begin - 1])) {
        begin--;
    }
    *event = (prof_piece){line.text + begin, line.size - begin - 1};
    prof_piece before = prof_trimmed((prof_piece){line.text, begin});
    size_t number = before.size;
    while (number > 0 && before.text[number - 1] >= '0' && before.text[number - 1] <= '9') {
        number--;
    }
    *period = 1;
    prof_piece digits = {before.text + number, before.size - number};
    before = prof_trimmed((prof_piece){before.text, number});
    if (before.size == 0 || before.text[before.size - 1] != ':') {
        return false; /* a number that belongs to something else */
    }
    return digits.size == 0 || prof_number(digits, 10, period);
}

/* False: no header. */
static bool take_header(script *s, prof_piece line)
{
    prof_piece rest = line;
    prof_piece comm = next_word(&rest);
    uint32_t pid = 0;
    uint32_t tid = 0;
    bool found = false;
    while (comm.size > 0 && !found && rest.size > 0) {
        prof_piece ahead = rest;
        prof_piece word = next_word(&ahead);
        found = read_ids(word, &pid, &tid) && ahead.size > 0;
        if (!found) {
            comm.size = (size_t)(word.text + word.size - comm.text);
        }
        rest = ahead;
    }
    if (!found) {
        return false;
    }
    prof_piece event;
    s->period = 1;
    s->skipped = false;
    if (read_event(rest, &event, &s->period)) {
        if (s->event.size == 0) {
            s->event = event;
            if (begins(event, "cpu-clock") || begins(event, "task-clock")) {
                s->model->types[s->type] = (prof_type){prof_text_of(s->model, "cpu"),
                                                       prof_text_of(s->model, "nanoseconds")};
            }
        }
        s->skipped =
            event.size != s->event.size || memcmp(event.text, s->event.text, event.size) != 0;
    }
    char name[256];
    (void)snprintf(name, sizeof name, "%.*s", (int)(comm.size < 255 ? comm.size : 255), comm.text);
    s->thread = prof_thread_of(s->model, pid, tid, name);
    s->in_sample = true;
    s->depth = 0;
    return true;
}

brisk_err prof_import_perf_script(prof_bytes bytes, prof_model *model, brisk_errinfo *info)
{
    const brisk_alloc *alloc = model->alloc;
    prof_lines lines = prof_lines_of(bytes);
    prof_piece line;
    script *s = alloc->acquire(alloc->ctx, sizeof *s, _Alignof(script));
    brisk_err err = s != NULL ? BRISK_OK : BRISK_ERR_NOMEM;
    if (s != NULL) {
        memset(s, 0, sizeof *s);
        s->model = model;
        s->type = prof_type_of(model, "samples", "count");
    }
    while (err == BRISK_OK && prof_lines_next(&lines, &line) && prof_model_err(model) == BRISK_OK) {
        bool indented = line.size > 0 && prof_is_blank(line.text[0]);
        prof_piece plain = prof_trimmed(line);
        if (plain.size == 0) {
            finish_sample(s);
        } else if (plain.text[0] == '#') {
            continue;
        } else if (!(s->in_sample && indented && take_frame(s, plain))) {
            finish_sample(s);
            if (!take_header(s, plain)) {
                err = brisk_errinfo_set(info, BRISK_ERR_CORRUPT,
                                        "%s:%llu: neither a sample nor a frame of a stack",
                                        bytes.name, (unsigned long long)lines.number);
            }
        }
    }
    if (s != NULL) {
        if (err == BRISK_OK && s->in_sample) {
            /* perf ends each stack with an empty line: frames are missing here. */
            prof_note(model, "the last stack of the file is cut off and left out");
        }
        alloc->release(alloc->ctx, s, sizeof *s, _Alignof(script));
    }
    return err;
}
