/*
 * dwarf_lines.c -- the child that reads, and the parent that believes only sizes it has checked.
 *
 * What the child writes: for each function a header and two texts behind it.
 */
#include "observe/profile/dwarf_lines.h"

#include <dwarf.h>
#include <elfutils/libdwfl.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <brisk/clock.h>
#include <brisk/file.h>

enum { INLINE_DEPTH_MAX = 64 };

#define DATA_BYTES_MAX (UINT64_C(4) << 30)

typedef struct head {
    uint64_t index;
    uint32_t line;
    uint16_t name_size;
    uint16_t file_size;
    uint32_t inlined;
    uint32_t spare;
} head;

/* --- the child ------------------------------------------------------------------------------ */

typedef struct answer {
    FILE *out;
    uint64_t index;
} answer;

static void put(const answer *a, const char *name, const char *file, int line, bool inlined)
{
    name = name != NULL ? name : "";
    file = file != NULL ? file : "";
    size_t name_size = strnlen(name, PROF_DWARF_TEXT_MAX);
    size_t file_size = strnlen(file, PROF_DWARF_TEXT_MAX);
    head h = {.index = a->index,
              .line = line > 0 ? (uint32_t)line : 0,
              .name_size = (uint16_t)name_size,
              .file_size = (uint16_t)file_size,
              .inlined = inlined};
    (void)fwrite(&h, sizeof h, 1, a->out);
    (void)fwrite(name, 1, name_size, a->out);
    (void)fwrite(file, 1, file_size, a->out);
}

static const char *name_of(Dwarf_Die *die)
{
    Dwarf_Attribute attribute;
    const char *name = NULL;
    if (dwarf_attr_integrate(die, DW_AT_linkage_name, &attribute) != NULL ||
        dwarf_attr_integrate(die, DW_AT_MIPS_linkage_name, &attribute) != NULL) {
        name = dwarf_formstring(&attribute);
    }
    return name != NULL ? name : dwarf_diename(die);
}

static Dwarf_Word number_of(Dwarf_Die *die, unsigned int which)
{
    Dwarf_Attribute attribute;
    Dwarf_Word value = 0;
    if (dwarf_attr(die, which, &attribute) == NULL || dwarf_formudata(&attribute, &value) != 0) {
        return 0;
    }
    return value;
}

/* Scopes from the innermost outwards, until the function that is really there. */
static void put_scopes(const answer *a, Dwarf_Die *unit, Dwarf_Addr address, const char *file,
                       int line)
{
    Dwarf_Die *inner = NULL;
    Dwarf_Die *scopes = NULL;
    int count = dwarf_getscopes(unit, address, &inner);
    if (count > 0) {
        count = dwarf_getscopes_die(&inner[0], &scopes);
    }
    Dwarf_Files *files = NULL;
    size_t file_count = 0;
    if (dwarf_getsrcfiles(unit, &files, &file_count) != 0) {
        files = NULL;
    }
    bool found = false;
    for (int i = 0; i < count && i < INLINE_DEPTH_MAX && !found; i++) {
        int tag = dwarf_tag(&scopes[i]);
        if (tag == DW_TAG_inlined_subroutine) {
            put(a, name_of(&scopes[i]), file, line, true);
            line = (int)number_of(&scopes[i], DW_AT_call_line);
            Dwarf_Word at = number_of(&scopes[i], DW_AT_call_file);
            file = files != NULL && at < file_count ? dwarf_filesrc(files, at, NULL, NULL) : NULL;
        } else if (tag == DW_TAG_subprogram || tag == DW_TAG_entry_point) {
            put(a, name_of(&scopes[i]), file, line, false);
            found = true;
        }
    }
    if (!found) {
        put(a, NULL, file, line, false); /* the caller knows a symbol */
    }
    free(scopes); // elfutils took them from malloc
    free(inner);
}

static void read_address(const answer *a, Dwfl_Module *module, Dwarf_Addr address)
{
    Dwarf_Addr bias = 0;
    Dwarf_Die *unit = dwfl_module_addrdie(module, address, &bias);
    Dwfl_Line *line = dwfl_module_getsrc(module, address);
    int number = 0;
    const char *file = line != NULL ? dwfl_lineinfo(line, NULL, &number, NULL, NULL, NULL) : NULL;
    if (unit != NULL) {
        put_scopes(a, unit, address - bias, file, number);
    }
}

/* No file but the one that was given: nothing is looked for, least of all in a network. */
// NOLINTNEXTLINE(readability-function-size): elfutils calls it so
static int find_nothing(Dwfl_Module *module, void **user, const char *name, Dwarf_Addr base,
                        const char *file, const char *link, GElf_Word crc, char **debug)
{
    (void)module;
    (void)user;
    (void)name;
    (void)base;
    (void)file;
    (void)link;
    (void)crc;
    (void)debug;
    return -1;
}

static int read_all(const prof_dwarf_job *job, int out)
{
    static const Dwfl_Callbacks callbacks = {.find_debuginfo = find_nothing,
                                             .section_address = dwfl_offline_section_address,
                                             .find_elf = dwfl_build_id_find_elf};
    answer a = {.out = fdopen(out, "w")};
    Dwfl *dwfl = dwfl_begin(&callbacks);
    int fd = dup(job->fd);
    Dwfl_Module *module = dwfl != NULL ? dwfl_report_offline(dwfl, "", "module", fd) : NULL;
    if (a.out == NULL || module == NULL || dwfl_report_end(dwfl, NULL, NULL) != 0) {
        return 1;
    }
    Dwarf_Addr bias = 0;
    if (dwfl_module_getdwarf(module, &bias) == NULL) {
        return 1;
    }
    for (size_t i = 0; i < job->count; i++) {
        a.index = i;
        read_address(&a, module, job->addresses[i] + bias);
    }
    return fflush(a.out) == 0 ? 0 : 1;
}

static _Noreturn void run_child(const prof_dwarf_job *job, int out)
{
    /* Half of an answer is good; a core file of a profiler that read rubbish is not. */
    (void)setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    (void)setrlimit(RLIMIT_CPU, &(struct rlimit){PROF_DWARF_SECONDS_MAX, PROF_DWARF_SECONDS_MAX});
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    (void)setrlimit(RLIMIT_DATA,
                    &(struct rlimit){DATA_BYTES_MAX, DATA_BYTES_MAX}); /* they map terabytes */
#endif
    static const int fatal[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};
    for (size_t i = 0; i < sizeof fatal / sizeof fatal[0]; i++) {
        (void)signal(fatal[i], SIG_DFL);
    }
    _exit(read_all(job, out));
}

/* --- the parent ----------------------------------------------------------------------------- */

typedef struct incoming {
    int fd;
    uint64_t until_ns;
} incoming;

/* BRISK_ERR_NOT_FOUND: the end. */
static brisk_err take(const incoming *in, void *to, size_t size)
{
    size_t got = 0;
    while (got < size) {
        uint64_t now = brisk_clock_now_ns(NULL);
        struct pollfd p = {.fd = in->fd, .events = POLLIN};
        if (now >= in->until_ns || poll(&p, 1, (int)((in->until_ns - now) / 1000000) + 1) == 0) {
            return BRISK_ERR_DEADLINE;
        }
        ssize_t part = read(in->fd, (char *)to + got, size - got);
        if (part < 0 && errno == EINTR) {
            continue;
        }
        if (part <= 0) {
            return got == 0 && part == 0 ? BRISK_ERR_NOT_FOUND : BRISK_ERR_CORRUPT;
        }
        got += (size_t)part;
    }
    return BRISK_OK;
}

static brisk_err take_all(const prof_dwarf_job *job, const incoming *in, prof_dwarf_fn fn,
                          void *ctx)
{
    char name[PROF_DWARF_TEXT_MAX + 1];
    char file[PROF_DWARF_TEXT_MAX + 1];
    for (;;) {
        head h;
        brisk_err err = take(in, &h, sizeof h);
        if (err == BRISK_ERR_NOT_FOUND) {
            return BRISK_OK;
        }
        if (err == BRISK_OK && (h.index >= job->count || h.name_size > PROF_DWARF_TEXT_MAX ||
                                h.file_size > PROF_DWARF_TEXT_MAX)) {
            err = BRISK_ERR_CORRUPT;
        }
        if (err == BRISK_OK && h.name_size > 0) {
            err = take(in, name, h.name_size);
        }
        if (err == BRISK_OK && h.file_size > 0) {
            err = take(in, file, h.file_size);
        }
        if (err != BRISK_OK) {
            return err == BRISK_ERR_NOT_FOUND ? BRISK_ERR_CORRUPT : err;
        }
        name[h.name_size] = '\0';
        file[h.file_size] = '\0';
        fn(ctx, &(prof_dwarf_frame){.index = (size_t)h.index,
                                    .inlined = h.inlined != 0,
                                    .line = h.line,
                                    .name = name,
                                    .file = file});
    }
}

brisk_err prof_dwarf_read(const prof_dwarf_job *job, prof_dwarf_fn fn, void *ctx)
{
    int ends[2];
    if (job->count == 0) {
        return BRISK_OK;
    }
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return brisk_err_from_errno(errno);
    }
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        (void)close(ends[0]);
        run_child(job, ends[1]);
    }
    (void)close(ends[1]);
    if (pid < 0) {
        (void)close(ends[0]);
        return BRISK_ERR_NOMEM;
    }
    incoming in = {ends[0],
                   brisk_clock_now_ns(NULL) + PROF_DWARF_SECONDS_MAX * UINT64_C(1000000000)};
    brisk_err err = take_all(job, &in, fn, ctx);
    (void)close(ends[0]);
    if (err != BRISK_OK) {
        (void)kill(pid, SIGKILL);
    }
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (err == BRISK_OK && (!WIFEXITED(status) || WEXITSTATUS(status) != 0)) {
        err = BRISK_ERR_CORRUPT;
    }
    return err;
}
