/*
 * symbols.c -- tables of symbols behind symbols.h.
 */
#include "observe/profile/symbols.h"

#include <elf.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- tables --------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    const prof_symbol *x = a;
    const prof_symbol *y = b;
    if (x->address != y->address) {
        return x->address < y->address ? -1 : 1;
    }
    return x->rank < y->rank ? -1 : x->rank > y->rank;
}

static void sort(prof_symbols *symbols)
{
    size_t kept = 0;
    qsort(symbols->items.items, symbols->items.count, sizeof *symbols->items.items, compare);
    for (size_t i = 0; i < symbols->items.count; i++) {
        const prof_symbol *s = &symbols->items.items[i];
        if (kept == 0 || symbols->items.items[kept - 1].address != s->address) {
            symbols->items.items[kept++] = *s;
        }
    }
    symbols->items.count = kept;
}

void prof_symbols_deinit(prof_symbols *symbols)
{
    if (symbols->alloc == NULL) {
        return;
    }
    if (symbols->names != NULL) {
        symbols->alloc->release(symbols->alloc->ctx, symbols->names, symbols->names_size, 16);
    }
    BRISK_VEC_DEINIT(&symbols->items);
    *symbols = (prof_symbols){0};
}

const char *prof_symbols_find(const prof_symbols *symbols, uint64_t address, size_t *size)
{
    size_t low = 0;
    size_t high = symbols->items.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (symbols->items.items[middle].address <= address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == 0) {
        return NULL;
    }
    const prof_symbol *s = &symbols->items.items[low - 1];
    if (s->size > 0 && address - s->address >= s->size) {
        return NULL;
    }
    const char *name = symbols->names + s->name;
    *size = strcspn(name, "\n"); /* in ELF names end in NUL, in texts with the line */
    return name;
}

/* --- ELF ------------------------------------------------------------------------------------ */

/* Prefer what is called from outside, and names without decoration. */
static uint32_t rank_of(const Elf64_Sym *symbol, const char *name)
{
    uint32_t binding = ELF64_ST_BIND(symbol->st_info);
    uint32_t rank = binding == STB_GLOBAL ? 0 : binding == STB_WEAK ? 100 : 200;
    rank += symbol->st_size == 0 ? 1000 : 0;
    while (*name == '_' && rank % 100 < 90) {
        rank += 10;
        name++;
    }
    return rank;
}

// NOLINTNEXTLINE(readability-function-size): the macros of vec.h count
static brisk_err take_symbols(prof_symbols *ret, const unsigned char *bytes, size_t size)
{
    for (size_t at = 0; size - at >= sizeof(Elf64_Sym); at += sizeof(Elf64_Sym)) {
        Elf64_Sym s;
        memcpy(&s, bytes + at, sizeof s);
        uint32_t type = ELF64_ST_TYPE(s.st_info);
        bool code = type == STT_FUNC || type == STT_GNU_IFUNC || type == STT_NOTYPE;
        if (!code || s.st_shndx == SHN_UNDEF || s.st_shndx == SHN_ABS || s.st_value == 0 ||
            s.st_name == 0 || s.st_name >= ret->names_size) {
            continue;
        }
        const char *name = ret->names + s.st_name;
        if (type == STT_NOTYPE && (name[0] == '$' || name[0] == '.' || name[0] == '\0')) {
            continue; /* marks of assemblers */
        }
        prof_symbol symbol = {
            .address = s.st_value, .size = s.st_size, .name = s.st_name, .rank = rank_of(&s, name)};
        if (ret->items.count >= PROF_SYMBOLS_MAX) {
            break;
        }
        if (!BRISK_VEC_PUSH(&ret->items, symbol)) {
            return BRISK_ERR_NOMEM;
        }
    }
    return BRISK_OK;
}

brisk_err prof_symbols_of_elf(const prof_elf *elf, const brisk_alloc *alloc, prof_symbols *ret)
{
    bool own = elf->symbols.size > 0 && elf->symbol_names.size > 0;
    const prof_elf_part *table = own ? &elf->symbols : &elf->dynamic_symbols;
    const prof_elf_part *names = own ? &elf->symbol_names : &elf->dynamic_names;
    prof_symbols symbols = {.items = BRISK_VEC_INIT(alloc), .alloc = alloc};
    unsigned char *text = NULL;
    unsigned char *bytes = NULL;
    brisk_err err = prof_elf_read(elf, names, alloc, &text);
    if (err != BRISK_OK) {
        return err;
    }
    symbols.names = (char *)text;
    symbols.names_size = (size_t)names->size;
    text[names->size - 1] = '\0';
    err = prof_elf_read(elf, table, alloc, &bytes);
    if (err == BRISK_OK) {
        err = take_symbols(&symbols, bytes, (size_t)table->size);
        alloc->release(alloc->ctx, bytes, (size_t)table->size, 16);
    }
    if (err == BRISK_OK && symbols.items.count == 0) {
        err = BRISK_ERR_NOT_FOUND;
    }
    if (err != BRISK_OK) {
        prof_symbols_deinit(&symbols);
        return err;
    }
    sort(&symbols);
    *ret = symbols;
    return BRISK_OK;
}

/* --- texts ---------------------------------------------------------------------------------- */

/* Grow the block by what the file still has; /proc tells no size. */
static brisk_err read_text(int fd, prof_symbols *ret)
{
    const brisk_alloc *alloc = ret->alloc;
    size_t used = 0;
    for (;;) {
        if (ret->names_size - used < 2) {
            size_t size = ret->names_size > 0 ? ret->names_size * 2 : 1 << 20;
            char *more = size <= PROF_SYMBOL_TEXT_MAX ? alloc->acquire(alloc->ctx, size, 16) : NULL;
            if (more == NULL) {
                return BRISK_ERR_NOMEM;
            }
            if (ret->names != NULL) {
                memcpy(more, ret->names, used);
                alloc->release(alloc->ctx, ret->names, ret->names_size, 16);
            }
            ret->names = more;
            ret->names_size = size;
        }
        ssize_t got = read(fd, ret->names + used, ret->names_size - used - 1);
        if (got <= 0) {
            break;
        }
        used += (size_t)got;
    }
    ret->names[used] = '\0';
    return BRISK_OK;
}

static bool take_line(prof_symbols *ret, char *line, bool kernel)
{
    char *at;
    prof_symbol s = {.address = strtoull(line, &at, 16)};
    if (at == line || *at != ' ') {
        return true;
    }
    at++;
    if (kernel) {
        if (strchr("tTwW", at[0]) == NULL || at[0] == '\0' || at[1] != ' ' || s.address == 0) {
            return true;
        }
        at += 2;
    } else {
        char *size = at;
        s.size = strtoull(size, &at, 16);
        if (at == size || *at != ' ' || s.size == 0) {
            return true;
        }
        at++;
    }
    size_t length = strcspn(at, kernel ? "\t\n" : "\n");
    if (length == 0 || (size_t)(at - ret->names) > UINT32_MAX ||
        ret->items.count >= PROF_SYMBOLS_MAX) {
        return true;
    }
    if (at[length] == '\t') {
        at[length] = '\n'; /* "name\t[module]" */
    }
    s.name = (uint32_t)(at - ret->names);
    s.rank = kernel && at[0] == '_' ? 1 : 0;
    return BRISK_VEC_PUSH(&ret->items, s);
}

/* Anybody may put a map of names into /tmp: it counts when it is root's, ours or the profiled process's. */
static bool is_trusted(int fd, int64_t owner)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
           (st.st_uid == 0 || st.st_uid == geteuid() || st.st_uid == owner);
}

brisk_err prof_symbols_of_text(const char *path, int64_t owner, const brisk_alloc *alloc,
                               prof_symbols *ret)
{
    prof_symbols symbols = {.items = BRISK_VEC_INIT(alloc), .alloc = alloc};
    bool kernel = owner == PROF_OWNER_KERNEL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        return BRISK_ERR_NOT_FOUND;
    }
    if (!kernel && !is_trusted(fd, owner)) {
        (void)close(fd);
        return BRISK_ERR_PERMISSION;
    }
    brisk_err err = read_text(fd, &symbols);
    (void)close(fd);
    char *line = symbols.names;
    while (err == BRISK_OK && line != NULL && *line != '\0') {
        char *end = strchr(line, '\n');
        err = take_line(&symbols, line, kernel) ? BRISK_OK : BRISK_ERR_NOMEM;
        line = end != NULL ? end + 1 : NULL;
    }
    if (err == BRISK_OK && symbols.items.count == 0) {
        err = BRISK_ERR_NOT_FOUND;
    }
    if (err != BRISK_OK) {
        prof_symbols_deinit(&symbols);
        return err;
    }
    sort(&symbols);
    *ret = symbols;
    return BRISK_OK;
}

/* --- debug files ---------------------------------------------------------------------------- */

static int open_debug(const prof_elf *elf, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    prof_elf debug;
    if (fd < 0) {
        return -1;
    }
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    bool same = prof_elf_open(fd, &debug, NULL) == BRISK_OK;
    if (same) {
        same = elf->build_id_size == 0 || debug.build_id_size == 0 ||
               (debug.build_id_size == elf->build_id_size &&
                memcmp(debug.build_id, elf->build_id, elf->build_id_size) == 0);
        prof_elf_close(&debug);
    }
    if (!same && copy >= 0) {
        (void)close(copy);
        copy = -1;
    }
    return copy;
}

int prof_debug_file(const prof_elf *elf, const char *path)
{
    char name[8192];
    int fd = -1;
    if (elf->build_id_size >= 2) {
        int size = snprintf(name, sizeof name, "/usr/lib/debug/.build-id/%02x/", elf->build_id[0]);
        for (uint32_t i = 1; i < elf->build_id_size; i++) {
            size += snprintf(name + size, sizeof name - (size_t)size, "%02x", elf->build_id[i]);
        }
        (void)snprintf(name + size, sizeof name - (size_t)size, ".debug");
        fd = open_debug(elf, name);
    }
    const char *slash = strrchr(path, '/');
    static const char *const places[][2] = {{"", "/"}, {"", "/.debug/"}, {"/usr/lib/debug", "/"}};
    for (size_t i = 0; fd < 0 && slash != NULL && elf->debug_link[0] != '\0' && i < 3; i++) {
        int size = snprintf(name, sizeof name, "%s%.*s%s%s", places[i][0], (int)(slash - path),
                            path, places[i][1], elf->debug_link);
        if (size > 0 && (size_t)size < sizeof name) {
            fd = open_debug(elf, name);
        }
    }
    return fd;
}
