/*
 * bench_deb.c -- `brisk pkg deb resolve` as a whole process, beside libsolv reading a .solv file.
 *
 *     bench_deb BRISK [ROUNDS [PACKAGE...]]     (default: 15 rounds of gnome, kde-full, texlive-full)
 *     bench_deb BRISK apt                       the same with one run of apt-get -s as a figure
 *
 * Each round runs every case once, one after the other, so that a disturbance of the machine hits
 * all of them.  Wall time is from fork to the end of wait4; processor time and memory are what the
 * kernel counted for the process.  The index and the .solv file are made before, the first one timed.
 * Both solve from an empty system, with recommended packages; this is not what apt-get -s does, which
 * also reads what is installed.  Prints one JSON object.  Without libsolv only brisk is measured.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <brisk/brisk.h>

#include "workload/pkg/deb/index.h"

#ifdef BRISK_HAVE_LIBSOLV
#    include <solv/pool.h>
#    include <solv/repo.h>
#    include <solv/repo_deb.h>
#    include <solv/repo_solv.h>
#    include <solv/repo_write.h>
#    include <solv/selection.h>
#    include <solv/solver.h>
#endif

#define LISTS "/var/lib/apt/lists"

enum { ROUNDS = 15, ROUNDS_MAX = 200, PACKAGES_MAX = 8 };

typedef struct figures {
    double wall_ms[ROUNDS_MAX];
    double cpu_ms[ROUNDS_MAX];
    uint64_t peak_kib;
    uint32_t count;
} figures;

static double now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void fail(const char *what)
{
    (void)fprintf(stderr, "bench_deb: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* Run once, its output thrown away; `figures` may be NULL. */
static void run_once(const char *const *argv, figures *f)
{
    double begin = now_ms();
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        if (null < 0 || dup2(null, STDOUT_FILENO) < 0 || dup2(null, STDERR_FILENO) < 0) {
            _exit(126);
        }
        (void)execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    int status = 0;
    struct rusage usage = {0};
    if (pid < 0 || wait4(pid, &status, 0, &usage) != pid || status != 0) {
        fail(argv[0]);
    }
    if (f == NULL) {
        return;
    }
    f->wall_ms[f->count] = now_ms() - begin;
    f->cpu_ms[f->count] = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e3 +
                          (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e3;
    f->count++;
    f->peak_kib = (uint64_t)usage.ru_maxrss > f->peak_kib ? (uint64_t)usage.ru_maxrss : f->peak_kib;
}

/* --- the peer ----------------------------------------------------------------------------- */

#ifdef BRISK_HAVE_LIBSOLV
static Pool *new_pool(Repo **repo)
{
    Pool *pool = pool_create();
    (void)pool_setdisttype(pool, DISTTYPE_DEB);
    pool_setarch(pool, "amd64");
    *repo = repo_create(pool, "lists");
    return pool;
}

/* All lists as one .solv file. */
static void write_solv(const char *path)
{
    Repo *repo = NULL;
    Pool *pool = new_pool(&repo);
    deb_index_opts opts = {.lists = LISTS, .archs = "amd64"};
    deb_lists lists = {0};
    brisk_arena *arena = NULL;
    brisk_errinfo info = {0};
    if (brisk_arena_create(NULL, &arena) != BRISK_OK ||
        deb_lists_find(&opts, arena, &lists, &info) != BRISK_OK) {
        fail(info.text);
    }
    for (uint32_t i = 0; i < lists.count; i++) {
        pkg_text text = {0};
        if (deb_list_read(&lists.items[i], arena, &text, &info) != BRISK_OK) {
            fail(info.text);
        }
        char *copy = brisk_arena_copy(arena, text.data, text.size);
        FILE *file = fmemopen(copy, text.size, "r");
        if (file == NULL || repo_add_debpackages(repo, file, REPO_REUSE_REPODATA) != 0) {
            fail(lists.items[i].path);
        }
        (void)fclose(file);
    }
    FILE *out = fopen(path, "wb");
    if (out == NULL || repo_write(repo, out) != 0 || fclose(out) != 0) {
        fail(path);
    }
    pool_free(pool);
    brisk_arena_destroy(arena);
}

/* The process that is measured: read, solve, print. */
static int solve_peer(const char *path, const char *name)
{
    Repo *repo = NULL;
    Pool *pool = new_pool(&repo);
    FILE *in = fopen(path, "rb");
    if (in == NULL || repo_add_solv(repo, in, 0) != 0) {
        fail(path);
    }
    (void)fclose(in);
    pool_createwhatprovides(pool);
    Queue job;
    queue_init(&job);
    (void)selection_make(pool, &job, name, SELECTION_NAME);
    for (int i = 0; i < job.count; i += 2) {
        job.elements[i] |= SOLVER_INSTALL;
    }
    Solver *solver = solver_create(pool);
    int problems = solver_solve(solver, &job);
    Transaction *transaction = solver_create_transaction(solver);
    for (int i = 0; i < transaction->steps.count; i++) {
        (void)printf("%s\n", pool_solvid2str(pool, transaction->steps.elements[i]));
    }
    return problems != 0;
}
#endif

/* --- figures ------------------------------------------------------------------------------ */

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, uint32_t count)
{
    qsort(values, count, sizeof *values, compare_doubles);
    return count % 2 != 0 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

static double print_figures(brisk_json *json, const char *name, figures *f)
{
    double middle = median(f->wall_ms, f->count);
    brisk_json_object_begin(json, name);
    brisk_json_double(json, "wall_ms_median", middle);
    brisk_json_double(json, "wall_ms_min", f->wall_ms[0]);
    brisk_json_double(json, "cpu_ms_median", median(f->cpu_ms, f->count));
    brisk_json_double(json, "cpu_ms_min", f->cpu_ms[0]);
    brisk_json_u64(json, "peak_kib", f->peak_kib);
    brisk_json_object_end(json);
    return middle;
}

static void measure(brisk_json *json, const char *brisk, const char *self, const char *solv,
                    const char *package, uint32_t rounds)
{
    static figures ours;
    static figures theirs;
    ours = theirs = (figures){0};
    const char *our_argv[] = {brisk, "pkg", "deb", "resolve", package, NULL};
    const char *their_argv[] = {self, "--libsolv", solv, package, NULL};
    run_once(our_argv, NULL);
    for (uint32_t i = 0; i < rounds; i++) {
        run_once(our_argv, &ours);
#ifdef BRISK_HAVE_LIBSOLV
        run_once(their_argv, &theirs);
#endif
    }
    (void)their_argv;
    brisk_json_object_begin(json, package);
    double mine = print_figures(json, "brisk", &ours);
    if (theirs.count > 0) {
        brisk_json_double(json, "libsolv_to_brisk", print_figures(json, "libsolv", &theirs) / mine);
    }
    brisk_json_object_end(json);
}

static void measure_apt(brisk_json *json, const char *package)
{
    static figures apt;
    apt = (figures){0};
    const char *argv[] = {"apt-get", "-s", "install", package, NULL};
    run_once(argv, &apt);
    brisk_json_object_begin(json, package);
    (void)print_figures(json, "apt_get_s_once", &apt);
    brisk_json_object_end(json);
}

int main(int argc, char **argv)
{
#ifdef BRISK_HAVE_LIBSOLV
    if (argc == 4 && strcmp(argv[1], "--libsolv") == 0) {
        return solve_peer(argv[2], argv[3]);
    }
#endif
    if (argc < 2) {
        (void)fprintf(stderr, "usage: bench_deb BRISK [ROUNDS [PACKAGE...]] | BRISK apt\n");
        return 2;
    }
    const char *defaults[] = {"gnome", "kde-full", "texlive-full"};
    const char *const *packages = argc > 3 ? (const char *const *)argv + 3 : defaults;
    int count = argc > 3 ? argc - 3 : 3;
    bool apt = argc > 2 && strcmp(argv[2], "apt") == 0;
    long rounds = argc > 2 && !apt ? strtol(argv[2], NULL, 10) : ROUNDS;
    rounds = rounds < 1 ? 1 : rounds > ROUNDS_MAX ? ROUNDS_MAX : rounds;
    char folder[] = "/tmp/bench-deb-XXXXXX";
    char solv[64];
    if (mkdtemp(folder) == NULL || setenv("XDG_CACHE_HOME", folder, 1) != 0) {
        fail(folder);
    }
    (void)snprintf(solv, sizeof solv, "%s/lists.solv", folder);
#ifdef BRISK_HAVE_LIBSOLV
    write_solv(solv);
#endif
    static figures first;
    const char *first_argv[] = {argv[1], "pkg", "deb", "resolve", packages[0], NULL};
    run_once(first_argv, &first);
    brisk_json json;
    brisk_json_init(&json, brisk_out_file(stdout), 2);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "rounds", (uint64_t)rounds);
    (void)print_figures(&json, "first_run_with_index", &first);
    for (int i = 0; i < count && !apt; i++) {
        measure(&json, argv[1], argv[0], solv, packages[i], (uint32_t)rounds);
    }
    for (int i = 0; i < count && apt; i++) {
        measure_apt(&json, packages[i]);
    }
    brisk_json_object_end(&json);
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    return brisk_json_finish(&json) != BRISK_OK || system(command) != 0;
}
