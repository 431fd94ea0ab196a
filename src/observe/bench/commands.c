/*
 * commands.c -- from arguments to programs that can be started.
 *
 *     arguments ──► templates (words) ──► times every combination of parameters ──► subjects
 *
 * An argument is a command line of its own, split into words without a shell.  Words behind `--`
 * are one command, as they are.  Several words that are not all commands by themselves are taken
 * for one command too (`brisk bench rom info game.sfc`).
 *
 * A command whose first word is `brisk` or a command of it is a job of this very program; any other
 * is looked for in PATH, here and once, so that no run pays for the search.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <brisk/module.h>
#include <brisk/yaml.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "observe/bench/bench.h"

BRISK_DEFINE_CLEANUP(brisk_manifests, brisk_manifests_destroy)

enum {
    PARAMETER_NAME_MAX = 32,
    TEXT_BYTES_MAX = 131072, /* of one command, parameters filled in */
};

/** A command line before parameters are filled in. */
typedef struct template
{
    char **words;
    uint32_t count;
}
template;

typedef struct parameter {
    const char *name;
    const char **values;
    uint32_t count;
} parameter;

/** One reading of the arguments. */
typedef struct reader {
    const bench_request *request;
    brisk_arena *arena;
    FILE *err;
    brisk_manifests *manifests;
    template *templates;
    uint32_t template_count;
    parameter parameters[BENCH_PARAMETERS_MAX];
    uint32_t parameter_count;
} reader;

static brisk_exit no_memory(const reader *r)
{
    (void)fprintf(r->err, "brisk: bench: %s\n", brisk_err_message(BRISK_ERR_NOMEM));
    return BRISK_EXIT_FAILED;
}

/* --- what a first word is ------------------------------------------------------------------- */

/** A word of the program itself or of a module. */
static bool is_job_word(const reader *r, const char *word)
{
    static const char *const own[] = {"bench", "brisk", "cache", "config", "help", "version"};
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
        if (strcmp(word, own[i]) == 0) {
            return true;
        }
    }
    for (uint32_t i = 0; r->manifests != NULL && i < brisk_manifests_count(r->manifests); i++) {
        const brisk_yaml_node *name = brisk_yaml_get(brisk_manifests_at(r->manifests, i), "name");
        if (name != NULL && name->text != NULL && strcmp(name->text, word) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_program(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/** The file that a shell would start for `word`, or NULL; *no_memory tells why. */
static const char *find_program(brisk_arena *arena, const char *word, bool *out_of_memory)
{
    *out_of_memory = false;
    if (strchr(word, '/') != NULL) {
        return is_program(word) ? word : NULL;
    }
    const char *path = getenv("PATH");
    for (const char *at = path != NULL ? path : "/usr/bin:/bin"; word[0] != '\0';) {
        size_t length = strcspn(at, ":");
        char *candidate = length == 0 ? brisk_arena_printf(arena, "./%s", word)
                                      : brisk_arena_printf(arena, "%.*s/%s", (int)length, at, word);
        if (candidate == NULL) {
            *out_of_memory = true;
            return NULL;
        }
        if (is_program(candidate)) {
            return candidate;
        }
        if (at[length] == '\0') {
            break;
        }
        at += length + 1;
    }
    return NULL;
}

static bool starts_something(const reader *r, const char *word)
{
    bool out_of_memory = false;
    return is_job_word(r, word) || find_program(r->arena, word, &out_of_memory) != NULL;
}

/* --- templates ------------------------------------------------------------------------------- */

/** `text` as words, or as one line for a shell. */
static brisk_exit read_line(const reader *r, const char *text, template *ret)
{
    char quoted[BRISK_TEXT_QUOTED_MAX];
    if (r->request->shell) {
        char **words = brisk_arena_calloc(r->arena, 4, sizeof *words);
        if (words == NULL) {
            return no_memory(r);
        }
        words[0] = brisk_arena_copy(r->arena, "/bin/sh", 7);
        words[1] = brisk_arena_copy(r->arena, "-c", 2);
        words[2] = brisk_arena_copy(r->arena, text, strlen(text));
        *ret = (template){.words = words, .count = 3};
        return words[0] != NULL && words[1] != NULL && words[2] != NULL ? BRISK_EXIT_OK
                                                                        : no_memory(r);
    }
    brisk_err err = bench_split(r->arena, text, &ret->words, &ret->count);
    if (err == BRISK_ERR_NOMEM) {
        return no_memory(r);
    }
    if (err != BRISK_OK) {
        (void)fprintf(r->err, "brisk: bench: %s: '%s'\n",
                      err == BRISK_ERR_LIMIT ? "too many words" : "no command, or an open quote in",
                      brisk_text_quote(quoted, text));
        return BRISK_EXIT_USAGE;
    }
    return BRISK_EXIT_OK;
}

static brisk_exit add_line(reader *r, const char *text)
{
    brisk_exit status = read_line(r, text, &r->templates[r->template_count]);
    r->template_count += status == BRISK_EXIT_OK ? 1 : 0;
    return status;
}

/** Words as they are; behind --shell they become one line again. */
static brisk_exit add_words(reader *r, char *const *words, uint32_t count)
{
    if (count > BENCH_WORDS_MAX) {
        (void)fputs("brisk: bench: too many words\n", r->err);
        return BRISK_EXIT_USAGE;
    }
    if (r->request->shell) {
        char *line = count == 1 ? words[0] : bench_join(r->arena, words, count);
        return line != NULL ? add_line(r, line) : no_memory(r);
    }
    template *t = &r->templates[r->template_count];
    t->words = brisk_arena_calloc(r->arena, (size_t)count + 1, sizeof *t->words);
    if (t->words == NULL) {
        return no_memory(r);
    }
    memcpy(t->words, words, count * sizeof *words);
    t->count = count;
    r->template_count++;
    return BRISK_EXIT_OK;
}

static bool has_blank(const char *text)
{
    return strpbrk(text, " \t\n") != NULL;
}

/** Are these the words of one command rather than commands?  Only then is one not a command. */
static bool are_words(const reader *r, char *const *words, uint32_t count)
{
    bool all_start = true;
    for (uint32_t i = 0; i < count; i++) {
        if (words[i][0] == '\0' || has_blank(words[i])) {
            return false;
        }
        all_start = all_start && starts_something(r, words[i]);
    }
    return count > 1 && !r->request->shell && !all_start && starts_something(r, words[0]);
}

static brisk_exit read_templates(reader *r)
{
    const brisk_invocation *invocation = r->request->invocation;
    char *const *words = invocation->argv;
    uint32_t count = (uint32_t)invocation->argc;
    uint32_t before = (uint32_t)invocation->argc_before_dashes;
    if (count > BENCH_COMMANDS_MAX && before == count) {
        (void)fprintf(r->err, "brisk: bench: more than %d commands\n", BENCH_COMMANDS_MAX);
        return BRISK_EXIT_USAGE;
    }
    r->templates = brisk_arena_calloc(r->arena, (size_t)count + 1, sizeof *r->templates);
    if (r->templates == NULL) {
        return no_memory(r);
    }
    brisk_exit status = BRISK_EXIT_OK;
    if (are_words(r, words, before)) {
        status = add_words(r, words, before);
    } else {
        for (uint32_t i = 0; i < before && status == BRISK_EXIT_OK; i++) {
            status = add_line(r, words[i]);
        }
    }
    if (status != BRISK_EXIT_OK || before == count) {
        return status;
    }
    /* Behind `--`: a line in quotes is not meant as the name of a program, unless it is one. */
    if (!has_blank(words[before]) || is_program(words[before])) {
        return add_words(r, words + before, count - before);
    }
    for (uint32_t i = before; i < count && status == BRISK_EXIT_OK; i++) {
        status = add_line(r, words[i]);
    }
    return status;
}

/* --- parameters ------------------------------------------------------------------------------ */

static brisk_exit bad_parameter(const reader *r, const char *text, const char *what)
{
    char quoted[BRISK_TEXT_QUOTED_MAX];
    (void)fprintf(r->err, "brisk: bench: --parameter '%s': %s\n", brisk_text_quote(quoted, text),
                  what);
    return BRISK_EXIT_USAGE;
}

/** "1..8" and "1..64:8". */
static bool read_range(const char *text, uint64_t *low, uint64_t *high, uint64_t *step)
{
    char parts[3][24] = {"", "", "1"};
    const char *dots = strstr(text, "..");
    const char *colon = dots != NULL ? strchr(dots, ':') : NULL;
    if (dots == NULL || (size_t)(dots - text) >= sizeof parts[0] ||
        strlen(dots + 2) >= sizeof parts[1]) {
        return false;
    }
    memcpy(parts[0], text, (size_t)(dots - text));
    size_t high_length = colon != NULL ? (size_t)(colon - dots - 2) : strlen(dots + 2);
    memcpy(parts[1], dots + 2, high_length);
    if (colon != NULL) {
        (void)snprintf(parts[2], sizeof parts[2], "%s", colon + 1);
    }
    return brisk_text_u64(parts[0], low) == BRISK_OK &&
           brisk_text_u64(parts[1], high) == BRISK_OK && brisk_text_u64(parts[2], step) == BRISK_OK;
}

static brisk_exit read_values(const reader *r, const char *text, parameter *p)
{
    uint64_t low = 0;
    uint64_t high = 0;
    uint64_t step = 1;
    bool range = read_range(text, &low, &high, &step);
    if (range && (low > high || step == 0 || (high - low) / step >= BENCH_COMMANDS_MAX)) {
        return bad_parameter(r, text, "a range is LOW..HIGH or LOW..HIGH:STEP of at most 256");
    }
    for (uint64_t value = low; range; value += step) {
        p->values[p->count] = brisk_arena_printf(r->arena, "%llu", (unsigned long long)value);
        if (p->values[p->count++] == NULL) {
            return no_memory(r);
        }
        if (high - value < step) {
            return BRISK_EXIT_OK;
        }
    }
    for (const char *at = text;; at++) {
        size_t length = strcspn(at, ",");
        if (p->count == BENCH_COMMANDS_MAX) {
            return bad_parameter(r, text, "more than 256 values");
        }
        p->values[p->count] = brisk_arena_copy(r->arena, at, length);
        if (p->values[p->count++] == NULL) {
            return no_memory(r);
        }
        at += length;
        if (*at == '\0') {
            return BRISK_EXIT_OK;
        }
    }
}

static brisk_exit read_parameter(reader *r, const char *name, size_t length, const char *values)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";
    if (r->parameter_count == BENCH_PARAMETERS_MAX) {
        return bad_parameter(r, name, "more than 8 parameters");
    }
    parameter *p = &r->parameters[r->parameter_count];
    p->name = brisk_arena_copy(r->arena, name, length);
    p->values = brisk_arena_calloc(r->arena, BENCH_COMMANDS_MAX, sizeof *p->values);
    if (p->name == NULL || p->values == NULL) {
        return no_memory(r);
    }
    if (length == 0 || length > PARAMETER_NAME_MAX || strspn(p->name, letters) != length) {
        return bad_parameter(r, name, "a name is letters, digits and '_'");
    }
    for (uint32_t i = 0; i < r->parameter_count; i++) {
        if (strcmp(r->parameters[i].name, p->name) == 0) {
            return bad_parameter(r, p->name, "given twice");
        }
    }
    r->parameter_count++;
    return read_values(r, values, p);
}

static brisk_exit read_parameters(reader *r)
{
    const bench_request *request = r->request;
    brisk_exit status = BRISK_EXIT_OK;
    for (uint32_t i = 0; i < request->parameter_count && status == BRISK_EXIT_OK; i++) {
        const char *text = request->parameters[i];
        const char *equals = strchr(text, '=');
        if (equals != NULL) {
            status = read_parameter(r, text, (size_t)(equals - text), equals + 1);
        } else {
            /* The option parser gives names and values in turn. */
            status = ++i < request->parameter_count
                         ? read_parameter(r, text, strlen(text), request->parameters[i])
                         : bad_parameter(r, text, "its values are missing");
        }
    }
    return status;
}

/* --- subjects -------------------------------------------------------------------------------- */

/** `word` with every {NAME} filled in. */
static char *fill_in(brisk_arena *arena, const char *word, const bench_binding *bindings,
                     uint32_t count)
{
    size_t size = 1;
    char *out = NULL;
    for (int pass = 0; pass < 2; pass++) {
        size_t used = 0;
        for (const char *at = word; *at != '\0';) {
            const char *insert = NULL;
            size_t length = 0;
            for (uint32_t i = 0; i < count && *at == '{' && insert == NULL; i++) {
                length = strlen(bindings[i].name);
                bool here = strncmp(at + 1, bindings[i].name, length) == 0 && at[length + 1] == '}';
                insert = here ? bindings[i].value : NULL;
            }
            size_t more = insert != NULL ? strlen(insert) : 1;
            if (out != NULL) {
                memcpy(out + used, insert != NULL ? insert : at, more);
            }
            used += more;
            at += insert != NULL ? length + 2 : 1;
            if (used > TEXT_BYTES_MAX) {
                return NULL;
            }
        }
        size = used + 1;
        if (out != NULL) {
            out[used] = '\0';
            break;
        }
        out = brisk_arena_alloc(arena, size);
        if (out == NULL) {
            return NULL;
        }
    }
    return out;
}

static brisk_exit make_program(const reader *r, const template *t, const bench_subject *subject,
                               bench_program *ret, bool *ret_job)
{
    /* Room for "brisk" in front and NULL behind. */
    char **words = brisk_arena_calloc(r->arena, (size_t)t->count + 2, sizeof *words);
    if (words == NULL) {
        return no_memory(r);
    }
    char **first = words + 1;
    for (uint32_t i = 0; i < t->count; i++) {
        first[i] = fill_in(r->arena, t->words[i], subject->bindings, subject->binding_count);
        if (first[i] == NULL) {
            return no_memory(r);
        }
    }
    uint32_t count = t->count;
    bool job = !r->request->shell && is_job_word(r, first[0]);
    if (job && strcmp(first[0], "brisk") != 0) {
        words[0] = brisk_arena_copy(r->arena, "brisk", 5);
        if (words[0] == NULL) {
            return no_memory(r);
        }
        first = words;
        count++;
    }
    bool out_of_memory = false;
    const char *program = job ? "/proc/self/exe" : find_program(r->arena, first[0], &out_of_memory);
    if (program == NULL) {
        char quoted[BRISK_TEXT_QUOTED_MAX];
        if (out_of_memory) {
            return no_memory(r);
        }
        (void)fprintf(r->err, "brisk: bench: '%s': there is no such program%s\n",
                      brisk_text_quote(quoted, first[0]),
                      has_blank(first[0]) ? "" : ", and no such command of brisk");
        return BRISK_EXIT_FAILED;
    }
    *ret = (bench_program){.program = program, .words = first, .word_count = count};
    if (ret_job != NULL) {
        *ret_job = job;
    }
    return BRISK_EXIT_OK;
}

static brisk_exit make_hook(const reader *r, const char *text, const bench_subject *subject,
                            bench_program *ret)
{
    template t = {0};
    brisk_exit status = text != NULL ? read_line(r, text, &t) : BRISK_EXIT_OK;
    return status == BRISK_EXIT_OK && text != NULL ? make_program(r, &t, subject, ret, NULL)
                                                   : status;
}

static brisk_exit name_subject(const reader *r, uint32_t index, bench_subject *subject)
{
    const bench_program *main = &subject->main;
    subject->text =
        r->request->shell ? main->words[2] : bench_join(r->arena, main->words, main->word_count);
    subject->name = subject->text;
    if (subject->name == NULL) {
        return no_memory(r);
    }
    if (index < r->request->name_count) {
        const char *name = r->request->names[index];
        for (uint32_t i = 0; i < subject->binding_count && name != NULL; i++) {
            name = brisk_arena_printf(r->arena, "%s %s=%s", name, subject->bindings[i].name,
                                      subject->bindings[i].value);
        }
        subject->name = name;
    }
    return subject->name != NULL ? BRISK_EXIT_OK : no_memory(r);
}

static brisk_exit make_subject(const reader *r, uint32_t index, bench_subject *subject)
{
    const bench_request *request = r->request;
    const char *prepare = request->prepare_count == 0   ? NULL
                          : request->prepare_count == 1 ? request->prepares[0]
                                                        : request->prepares[index];
    brisk_exit status =
        make_program(r, &r->templates[index], subject, &subject->main, &subject->job);
    if (status == BRISK_EXIT_OK) {
        status = make_hook(r, prepare, subject, &subject->prepare);
    }
    if (status == BRISK_EXIT_OK) {
        status = make_hook(r, request->setup, subject, &subject->setup);
    }
    if (status == BRISK_EXIT_OK) {
        status = make_hook(r, request->cleanup, subject, &subject->cleanup);
    }
    return status == BRISK_EXIT_OK ? name_subject(r, index, subject) : status;
}

/** Combination number `n` of parameter values: the last parameter changes fastest. */
static bench_binding *bind(const reader *r, uint64_t n)
{
    bench_binding *bindings =
        brisk_arena_calloc(r->arena, (size_t)r->parameter_count + 1, sizeof *bindings);
    for (uint32_t i = r->parameter_count; i > 0 && bindings != NULL; i--) {
        const parameter *p = &r->parameters[i - 1];
        bindings[i - 1] = (bench_binding){.name = p->name, .value = p->values[n % p->count]};
        n /= p->count;
    }
    return bindings;
}

static brisk_exit make_subjects(reader *r, bench_subject **ret, uint32_t *ret_count)
{
    uint64_t combinations = 1;
    for (uint32_t i = 0; i < r->parameter_count; i++) {
        combinations *= r->parameters[i].count;
        if (combinations > BENCH_COMMANDS_MAX) {
            break;
        }
    }
    uint64_t total = combinations * r->template_count;
    if (total > BENCH_COMMANDS_MAX) {
        (void)fprintf(r->err, "brisk: bench: more than %d commands\n", BENCH_COMMANDS_MAX);
        return BRISK_EXIT_USAGE;
    }
    bench_subject *subjects = brisk_arena_calloc(r->arena, total, sizeof *subjects);
    if (subjects == NULL) {
        return no_memory(r);
    }
    brisk_exit status = BRISK_EXIT_OK;
    for (uint32_t i = 0; i < total && status == BRISK_EXIT_OK; i++) {
        subjects[i].bindings = bind(r, i % combinations);
        subjects[i].binding_count = r->parameter_count;
        status = subjects[i].bindings != NULL
                     ? make_subject(r, (uint32_t)(i / combinations), &subjects[i])
                     : no_memory(r);
    }
    *ret = subjects;
    *ret_count = (uint32_t)total;
    return status;
}

brisk_exit bench_read_commands(const bench_request *request, bench_subject **ret,
                               uint32_t *ret_count)
{
    BRISK_CLEANUP(brisk_manifests_destroy) brisk_manifests *manifests = NULL;
    reader r = {.request = request, .arena = request->arena, .err = request->invocation->err};
    if (brisk_manifests_load(NULL, &manifests) != BRISK_OK) {
        return no_memory(&r);
    }
    r.manifests = manifests;
    brisk_exit status = read_templates(&r);
    if (status == BRISK_EXIT_OK) {
        status = read_parameters(&r);
    }
    bool fits = request->prepare_count <= 1 || request->prepare_count == r.template_count;
    if (status == BRISK_EXIT_OK && (!fits || request->name_count > r.template_count)) {
        (void)fprintf(r.err, "brisk: bench: %u commands, but %u %s\n", r.template_count,
                      !fits ? request->prepare_count : request->name_count,
                      !fits ? "--prepare; one for all, or one for each" : "--name");
        status = BRISK_EXIT_USAGE;
    }
    return status == BRISK_EXIT_OK ? make_subjects(&r, ret, ret_count) : status;
}
