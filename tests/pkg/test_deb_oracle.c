/*
 * test_deb_oracle.c -- apt's lists on this machine: can a package be installed?  As libsolv says,
 * for a sample of all packages, or with BRISK_DEB_ALL=1 for each of them; and every answer is
 * checked against the stanzas (deb_check.h), every proof by the verifier (deb_resolve does that).
 *
 * Skips without lists, and without libsolv (and under sanitizers) compares nothing but still checks the answers.
 */
#include <time.h>

#include <brisk/brisk.h>

#include "pkg/deb_check.h"
#include "support/check.h"

/* Watched, libsolv takes minutes to read the lists, since it enlarges its arrays step by step; the plain builds ask it. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#    undef BRISK_HAVE_LIBSOLV
#endif
#ifdef BRISK_HAVE_LIBSOLV
#    include <solv/pool.h>
#    include <solv/repo.h>
#    include <solv/repo_deb.h>
#    include <solv/solver.h>
#endif

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SAMPLE = 25 }; /* arrays as large as the index for each: mapped and cleared anew each time */
#else
enum { SAMPLE = 400 };
#endif

#define LISTS "/var/lib/apt/lists"

typedef struct world {
    brisk_arena *arena;
    deb_index index;
    stanzas stanzas;
    deb_input *inputs;
    uint32_t input_count;
    bool ready;
#ifdef BRISK_HAVE_LIBSOLV
    Pool *pool;
    Solver *solver;
#endif
} world;

static world w;

static int read_world(void **state)
{
    (void)state;
    deb_index_opts opts = {.lists = LISTS, .archs = "amd64"};
    deb_lists lists = {0};
    brisk_errinfo info = {0};
    CHECK_OK(brisk_arena_create(NULL, &w.arena));
    brisk_err err = deb_lists_find(&opts, w.arena, &lists, &info);
    if (err != BRISK_OK) {
        print_message("%s: skipped\n", info.text);
        return 0;
    }
    w.inputs = brisk_arena_calloc(w.arena, lists.count, sizeof *w.inputs);
    w.input_count = lists.count;
    for (uint32_t i = 0; i < lists.count; i++) {
        w.inputs[i].name = lists.items[i].name;
        if (deb_list_read(&lists.items[i], w.arena, &w.inputs[i].text, &info) != BRISK_OK) {
            print_message("%s: skipped\n", info.text);
            return 0;
        }
    }
    pkg_text image;
    CHECK_OK(deb_index_build(w.inputs, lists.count, "amd64", 1, w.arena, &image, &info));
    CHECK_OK(deb_index_load(image, &w.index));
    CHECK(stanzas_read(w.inputs, lists.count, w.arena, &w.stanzas));
    w.ready = w.index.version_count > 0;
#ifdef BRISK_HAVE_LIBSOLV
    w.pool = pool_create();
    (void)pool_setdisttype(w.pool, DISTTYPE_DEB);
    pool_setarch(w.pool, "amd64");
    Repo *repo = repo_create(w.pool, "lists");
    for (uint32_t i = 0; i < lists.count; i++) {
        pkg_text text = w.inputs[i].text;
        char *copy = malloc(text.size + 1); /* fmemopen wants it writable */
        CHECK(copy != NULL);
        memcpy(copy, text.data, text.size);
        FILE *file = fmemopen(copy, text.size, "r");
        CHECK(file != NULL && repo_add_debpackages(repo, file, REPO_REUSE_REPODATA) == 0);
        (void)fclose(file);
        free(copy);
    }
    pool_createwhatprovides(w.pool);
    w.solver = solver_create(w.pool);
    solver_set_flag(w.solver, SOLVER_FLAG_IGNORE_RECOMMENDED, 1);
#endif
    return 0;
}

static int free_world(void **state)
{
    (void)state;
#ifdef BRISK_HAVE_LIBSOLV
    if (w.solver != NULL) {
        solver_free(w.solver);
        pool_free(w.pool);
    }
#endif
    brisk_arena_destroy(w.arena);
    return 0;
}

static void resolve(const char *text, bool recommends, brisk_arena *arena, deb_answer *answer)
{
    deb_request request = {.packages = &text, .count = 1, .recommends = recommends};
    brisk_errinfo info = {0};
    if (deb_resolve(&w.index, &request, arena, answer, &info) != BRISK_OK) {
        fail_msg("%s: %s", text, info.text);
    }
    const char *flaw = answer->solved ? deb_check(&w.index, answer, &w.stanzas, arena) : NULL;
    if (flaw != NULL) {
        fail_msg("%s: %s", text, flaw);
    }
}

static bool all_wanted(void)
{
    const char *all = getenv("BRISK_DEB_ALL");
    return all != NULL && all[0] == '1';
}

/* Every answer with everything recommended is valid too. */
static void test_answers_are_valid(void **state)
{
    (void)state;
    if (!w.ready) {
        skip();
    }
    brisk_arena *arena = NULL;
    CHECK_OK(brisk_arena_create(NULL, &arena));
    uint32_t stride = all_wanted() ? 1 : w.index.package_count / SAMPLE * 8 + 1;
    uint64_t state_of_chance = check_seed();
    uint32_t tried = 0;
    for (uint32_t p = (uint32_t)(check_random(&state_of_chance) % stride);
         p < w.index.package_count; p += stride) {
        pkg_text name = deb_text(&w.index, w.index.names[w.index.packages[p].name].text);
        deb_answer answer;
        resolve(brisk_arena_copy(arena, name.data, name.size), true, arena, &answer);
        brisk_arena_reset(arena);
        tried++;
    }
    print_message("%u answers with recommends are valid\n", tried);
    CHECK_U64(tried, >, 0);
    brisk_arena_destroy(arena);
}

#ifdef BRISK_HAVE_LIBSOLV
static bool libsolv_says(Id solvable)
{
    Queue job;
    queue_init(&job);
    queue_push2(&job, SOLVER_SOLVABLE | SOLVER_INSTALL, solvable);
    int problems = solver_solve(w.solver, &job);
    queue_free(&job);
    return problems == 0;
}

static void test_satisfiable_as_libsolv_says(void **state)
{
    (void)state;
    if (!w.ready) {
        skip();
    }
    brisk_arena *arena = NULL;
    CHECK_OK(brisk_arena_create(NULL, &arena));
    uint64_t chance = check_seed();
    Id stride = all_wanted() ? 1 : w.pool->nsolvables / SAMPLE + 1;
    uint32_t tried = 0;
    uint32_t solved = 0;
    uint32_t differ = 0;
    for (Id id = 2 + (Id)(check_random(&chance) % (uint64_t)stride); id < w.pool->nsolvables;
         id += stride) {
        const Solvable *s = pool_id2solvable(w.pool, id);
        if (s->repo == NULL) {
            continue;
        }
        const char *text = brisk_arena_printf(arena, "%s=%s", pool_id2str(w.pool, s->name),
                                              pool_id2str(w.pool, s->evr));
        deb_answer answer;
        resolve(text, false, arena, &answer);
        bool theirs = libsolv_says(id);
        if (answer.solved != theirs) {
            print_message("%s: %s here, libsolv says %s\n", text, answer.solved ? "yes" : "no",
                          theirs ? "yes" : "no");
            for (uint32_t i = 0; !answer.solved && i < answer.proof.count; i++) {
                print_message("    %s\n", answer.proof.items[i]);
            }
            differ++;
        }
        tried++;
        solved += answer.solved ? 1 : 0;
        brisk_arena_reset(arena);
    }
    print_message("%u versions tried, %u installable, %u differ from libsolv\n", tried, solved,
                  differ);
    CHECK_U64(tried, >, 0);
    CHECK_U64(differ, ==, 0);
    brisk_arena_destroy(arena);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_are_valid),
#ifdef BRISK_HAVE_LIBSOLV
        cmocka_unit_test(test_satisfiable_as_libsolv_says),
#endif
    };
    return cmocka_run_group_tests(tests, read_world, free_world);
}
