/*
 * cmd_deb.c -- `brisk pkg deb resolve PACKAGE...`: what Debian packages need, out of apt's lists; and
 * `brisk pkg deb why NAME PACKAGE...`: what NAME is there for.
 *
 * Needs no engine: the index of the lists is its own mapped file.  The answer goes to standard
 * output, one package a line; sums and warnings to standard error.  A request that cannot be met
 * gives the proof as sentences and exit code 1.
 */
#include <inttypes.h>
#include <stdlib.h>

#include <brisk/json.h>

#include "workload/pkg/commands.h"
#include "workload/pkg/deb/deb.h"
#include "workload/pkg/report.h"

enum {
    OPTION_LISTS,
    OPTION_ARCH,
    OPTION_NO_RECOMMENDS,
    OPTION_ASSUME_ESSENTIAL,
    OPTION_ORDER,
    OPTION_REFRESH,
    OPTION_JSON,
    SCHEMA = 1,
};

static const brisk_option options[] = {
    [OPTION_LISTS] = {.name = "lists",
                      .type = BRISK_OPTION_FILE,
                      .metavar = "DIR",
                      .summary = "folder of package lists (default: /var/lib/apt/lists)"},
    [OPTION_ARCH] = {.name = "arch",
                     .type = BRISK_OPTION_TEXT,
                     .metavar = "ARCH[,ARCH]",
                     .summary = "architectures, the native one first (default: amd64)"},
    [OPTION_NO_RECOMMENDS] = {.name = "no-recommends",
                              .summary = "only what is depended on, not what is recommended"},
    [OPTION_ASSUME_ESSENTIAL] = {.name = "assume-essential",
                                 .summary = "the essential packages are there; do not list them"},
    [OPTION_ORDER] = {.name = "order",
                      .summary = "dependencies first; what depends on each other on one line"},
    [OPTION_REFRESH] = {.name = "refresh", .summary = "read the lists again in any case"},
    [OPTION_JSON] = {.name = "json", .summary = "as one JSON object"},
};

/* One call and what it came to. */
typedef struct call {
    const brisk_invocation *in;
    deb_index index;
    deb_answer answer;
    deb_order order;
    brisk_arena *arena;
    const char *why; /* the package that is asked about; NULL: none */
} call;

static bool is_set(const call *c, uint32_t option)
{
    return c->in->values[option].set;
}

static const char *text_or(const call *c, uint32_t option, const char *otherwise)
{
    return is_set(c, option) ? c->in->values[option].text : otherwise;
}

static pkg_text name_of(const call *c, const deb_choice *choice)
{
    return deb_text(&c->index, c->index.names[c->index.packages[choice->package].name].text);
}

static pkg_text arch_of(const call *c, const deb_choice *choice)
{
    return (c->index.versions[choice->version].flags & DEB_VERSION_ALL) != 0
               ? PKG_TEXT("all")
               : c->index.archs[c->index.packages[choice->package].arch];
}

static void print_choice(const call *c, const deb_choice *choice, char end)
{
    pkg_text name = name_of(c, choice);
    pkg_text version = deb_text(&c->index, c->index.versions[choice->version].text);
    pkg_text arch = arch_of(c, choice);
    pkg_put(c->in->out, name);
    (void)fputc(':', c->in->out);
    pkg_put(c->in->out, arch);
    (void)fputc('=', c->in->out);
    pkg_put(c->in->out, version);
    (void)fputc(end, c->in->out);
}

static void print_text(const call *c)
{
    const deb_answer *answer = &c->answer;
    uint32_t at = 0;
    for (uint32_t g = 0; is_set(c, OPTION_ORDER) && g < c->order.group_count; g++) {
        for (; at < c->order.group_ends[g]; at++) {
            print_choice(c, &answer->choices[c->order.items[at]],
                         at + 1 == c->order.group_ends[g] ? '\n' : ' ');
        }
    }
    for (uint32_t i = 0; !is_set(c, OPTION_ORDER) && i < answer->choice_count; i++) {
        print_choice(c, &answer->choices[i], '\n');
    }
    if (c->in->quiet) {
        return;
    }
    (void)fprintf(c->in->err, "%u packages, %.1f MB to fetch, %.1f MB installed\n",
                  answer->choice_count, (double)answer->size_bytes / 1e6,
                  (double)answer->installed_kib * 1024 / 1e6);
    for (uint32_t i = 0; i < answer->unmet_count; i++) {
        pkg_text text = deb_text(&c->index, c->index.groups[answer->unmet[i]].text);
        (void)fputs("recommended, and not possible: ", c->in->err);
        pkg_put(c->in->err, text);
        (void)fputc('\n', c->in->err);
    }
}

/* --- why -------------------------------------------------------------------------------------- */

/* The choice of the name, "name" or "name:arch"; SOLVE_NONE: it is not among them. */
static uint32_t find_choice(const call *c, const char *text)
{
    const char *colon = strchr(text, ':');
    pkg_text name = {.data = text, .size = colon != NULL ? (size_t)(colon - text) : strlen(text)};
    for (uint32_t i = 0; i < c->answer.choice_count; i++) {
        const deb_choice *choice = &c->answer.choices[i];
        pkg_text arch = c->index.archs[c->index.packages[choice->package].arch];
        if (pkg_text_equal(name_of(c, choice), name) &&
            (colon == NULL || pkg_text_is(arch, colon + 1) ||
             pkg_text_is(arch_of(c, choice), colon + 1))) {
            return i;
        }
    }
    return SOLVE_NONE;
}

static const char *verb_of(const deb_step *step)
{
    return step->kind == DEB_KIND_DEPENDS ? "depends on" : "recommends";
}

static void print_way(const call *c, uint32_t target, const deb_way *way)
{
    for (uint32_t i = 0; i < way->count; i++) {
        const deb_step *step = &way->steps[i];
        print_choice(c, &c->answer.choices[step->from], ' ');
        (void)fprintf(c->in->out, "%s ", verb_of(step));
        pkg_put(c->in->out, deb_text(&c->index, step->text));
        (void)fputs(": ", c->in->out);
        print_choice(c, &c->answer.choices[step->to], '\n');
    }
    if (way->count == 0) {
        print_choice(c, &c->answer.choices[target], ' ');
        (void)fputs("was asked for\n", c->in->out);
    }
}

static void json_choice(const call *c, brisk_json *json, const char *key, const deb_choice *choice)
{
    brisk_json_object_begin(json, key);
    pkg_json_put(json, "name", name_of(c, choice));
    pkg_json_put(json, "version", deb_text(&c->index, c->index.versions[choice->version].text));
    pkg_json_put(json, "architecture", arch_of(c, choice));
    brisk_json_object_end(json);
}

static brisk_err print_way_json(const call *c, uint32_t target, const deb_way *way)
{
    brisk_json json;
    brisk_json_init(&json, brisk_out_file(c->in->out), 2);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "schema", SCHEMA);
    json_choice(c, &json, "package", &c->answer.choices[target]);
    brisk_json_array_begin(&json, "way");
    for (uint32_t i = 0; i < way->count; i++) {
        const deb_step *step = &way->steps[i];
        brisk_json_object_begin(&json, NULL);
        json_choice(c, &json, "from", &c->answer.choices[step->from]);
        brisk_json_str(&json, "kind", step->kind == DEB_KIND_DEPENDS ? "depends" : "recommends");
        pkg_json_put(&json, "relation", deb_text(&c->index, step->text));
        json_choice(c, &json, "to", &c->answer.choices[step->to]);
        brisk_json_object_end(&json);
    }
    brisk_json_array_end(&json);
    brisk_json_object_end(&json);
    return brisk_json_finish(&json);
}

/* There is an answer: which way leads to the package? */
static brisk_err answer_why(const call *c, brisk_errinfo *info)
{
    uint32_t target = find_choice(c, c->why);
    deb_way way = {0};
    if (target == SOLVE_NONE) {
        return brisk_errinfo_set(info, BRISK_ERR_NOT_FOUND,
                                 "%s is not needed by what was asked for", c->why);
    }
    brisk_err err =
        deb_why(&c->index, &c->answer, target, !is_set(c, OPTION_NO_RECOMMENDS), c->arena, &way);
    if (err == BRISK_ERR_NOT_FOUND) {
        return brisk_errinfo_set(info, err,
                                 "%s is there for none of the packages alone: no way "
                                 "leads to it",
                                 c->why);
    }
    if (err == BRISK_OK && is_set(c, OPTION_JSON)) {
        return print_way_json(c, target, &way);
    }
    if (err == BRISK_OK) {
        print_way(c, target, &way);
    }
    return err;
}

static void print_proof(const call *c)
{
    for (uint32_t i = 0; i < c->answer.proof.count; i++) {
        pkg_put(c->in->out, pkg_text_of(c->answer.proof.items[i]));
        (void)fputc('\n', c->in->out);
    }
}

static void print_choices_json(const call *c, brisk_json *json)
{
    const deb_answer *answer = &c->answer;
    brisk_json_array_begin(json, "packages");
    for (uint32_t i = 0; i < answer->choice_count; i++) {
        uint32_t at = is_set(c, OPTION_ORDER) ? c->order.items[i] : i;
        const deb_choice *choice = &answer->choices[at];
        brisk_json_object_begin(json, NULL);
        pkg_json_put(json, "name", name_of(c, choice));
        pkg_json_put(json, "version", deb_text(&c->index, c->index.versions[choice->version].text));
        pkg_json_put(json, "architecture", arch_of(c, choice));
        brisk_json_bool(json, "asked", choice->asked);
        brisk_json_object_end(json);
    }
    brisk_json_array_end(json);
    if (is_set(c, OPTION_ORDER)) {
        uint32_t from = 0;
        brisk_json_array_begin(json, "group_sizes");
        for (uint32_t g = 0; g < c->order.group_count; g++) {
            brisk_json_u64(json, NULL, c->order.group_ends[g] - from);
            from = c->order.group_ends[g];
        }
        brisk_json_array_end(json);
    }
    brisk_json_u64(json, "fetch_bytes", answer->size_bytes);
    brisk_json_u64(json, "installed_kib", answer->installed_kib);
    brisk_json_array_begin(json, "unmet_recommends");
    for (uint32_t i = 0; i < answer->unmet_count; i++) {
        pkg_json_put(json, NULL, deb_text(&c->index, c->index.groups[answer->unmet[i]].text));
    }
    brisk_json_array_end(json);
}

static brisk_err print_json(const call *c)
{
    brisk_json json;
    brisk_json_init(&json, brisk_out_file(c->in->out), 2);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "schema", SCHEMA);
    brisk_json_bool(&json, "solved", c->answer.solved);
    if (c->answer.solved) {
        print_choices_json(c, &json);
    } else {
        brisk_json_array_begin(&json, "proof");
        for (uint32_t i = 0; i < c->answer.proof.count; i++) {
            brisk_json_str(&json, NULL, c->answer.proof.items[i]);
        }
        brisk_json_array_end(&json);
    }
    brisk_json_u64(&json, "decisions", c->answer.decisions);
    brisk_json_u64(&json, "conflicts", c->answer.conflicts);
    brisk_json_object_end(&json);
    return brisk_json_finish(&json);
}

/* Where index files are kept; NULL: nowhere. */
static const char *cache_folder(brisk_arena *arena)
{
    const char *base = secure_getenv("XDG_CACHE_HOME");
    const char *home = secure_getenv("HOME");
    if (base != NULL && base[0] == '/') {
        return brisk_arena_printf(arena, "%s/brisk", base);
    }
    return home != NULL && home[0] == '/' ? brisk_arena_printf(arena, "%s/.cache/brisk", home)
                                          : NULL;
}

static brisk_err run_call(call *c, brisk_errinfo *info)
{
    deb_index_opts opts = {.lists = text_or(c, OPTION_LISTS, "/var/lib/apt/lists"),
                           .archs = text_or(c, OPTION_ARCH, "amd64"),
                           .cache = cache_folder(c->arena),
                           .refresh = is_set(c, OPTION_REFRESH)};
    brisk_err err = deb_index_open(&opts, &c->index, info);
    if (err != BRISK_OK) {
        return err;
    }
    if (c->index.rebuilt && c->index.skipped > 0 && !c->in->quiet) {
        (void)fprintf(c->in->err, "brisk: %u stanzas cannot be used and were left out; the first: ",
                      c->index.skipped);
        pkg_put(c->in->err, c->index.skip_why);
        (void)fputc('\n', c->in->err);
    }
    int before = c->why != NULL ? 2 : 1;
    deb_request request = {.packages = (const char *const *)(c->in->argv + before),
                           .count = (uint32_t)(c->in->argc - before),
                           .recommends = !is_set(c, OPTION_NO_RECOMMENDS),
                           .assume_essential = is_set(c, OPTION_ASSUME_ESSENTIAL)};
    err = deb_resolve(&c->index, &request, c->arena, &c->answer, info);
    if (err == BRISK_OK && c->answer.solved && is_set(c, OPTION_ORDER)) {
        err = deb_order_of(&c->index, &c->answer, c->arena, &c->order);
    }
    return err;
}

static brisk_exit run(const brisk_invocation *in)
{
    call c = {.in = in};
    brisk_errinfo info = {0};
    bool why = strcmp(in->argv[0], "why") == 0;
    if ((!why && strcmp(in->argv[0], "resolve") != 0) || (why && in->argc < 3)) {
        (void)fprintf(
            in->err,
            "brisk: pkg deb: %s%s%s; try: brisk pkg deb resolve PACKAGE..., or: brisk pkg "
            "deb why NAME PACKAGE...\n",
            why ? "why takes a name and what was asked for" : "'", why ? "" : in->argv[0],
            why ? "" : "' is not known");
        return BRISK_EXIT_USAGE;
    }
    c.why = why ? in->argv[1] : NULL;
    brisk_err err = brisk_arena_create(NULL, &c.arena);
    if (err == BRISK_OK) {
        err = run_call(&c, &info);
    }
    brisk_exit code = err != BRISK_OK || !c.answer.solved ? BRISK_EXIT_FAILED : BRISK_EXIT_OK;
    if (err == BRISK_OK && why && c.answer.solved) {
        err = answer_why(&c, &info);
        code = err != BRISK_OK ? BRISK_EXIT_FAILED : code;
    } else if (err == BRISK_OK && is_set(&c, OPTION_JSON)) {
        err = print_json(&c);
        code = err != BRISK_OK ? BRISK_EXIT_FAILED : code;
    } else if (err == BRISK_OK && c.answer.solved) {
        print_text(&c);
    } else if (err == BRISK_OK) {
        print_proof(&c);
    }
    if (err != BRISK_OK) {
        if (info.text[0] == '\0') {
            (void)brisk_errinfo_set(&info, err, "%s", brisk_err_message(err));
        }
        (void)pkg_fail(in, &info);
    }
    deb_index_close(&c.index);
    brisk_arena_destroy(c.arena);
    return code;
}

const brisk_command pkg_cmd_deb = {
    .name = "deb",
    .group = "Packages",
    .synopsis = "resolve|why [NAME] PACKAGE...",
    .summary = "resolve Debian packages from apt's lists",
    .description =
        "Prints what has to be installed so that every PACKAGE (name, name:arch or name=version) "
        "can be, on an empty system: one version of each package, dependencies, conflicts and "
        "provided names respected, recommended packages where they are possible. When there is no "
        "answer, says why in sentences that were verified, and exits with 1.\n\n"
        "why NAME PACKAGE... prints the shortest way from a PACKAGE to NAME: who depends on whom, "
        "by which relation.\n\n"
        "The lists are read once into an index below $XDG_CACHE_HOME/brisk, which is made again "
        "when they change.",
    .examples =
        "brisk pkg deb resolve gnome\tprint everything that gnome needs and recommends\n"
        "brisk pkg deb resolve --no-recommends --order nginx\tin an order to install it in\n"
        "brisk pkg deb why systemd gnome\twhat brings it in\n",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .args_min = 2,
    .args_max = -1,
    .run = run,
};
