/*
 * space.c -- mappings of processes, from records of the kernel and from /proc.
 *
 * A file is opened through /proc/PID/root, so that a process in a container is read from its own
 * files; when the process is gone already, by its path.  What was opened must be the file that was
 * mapped: device and inode are compared, an upgraded library is not taken for the old one.
 */
#include "observe/profile/space.h"

#include <elf.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/assert.h"

/* --- modules -------------------------------------------------------------------------------- */

static char *copy_text(const brisk_alloc *alloc, const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = alloc->acquire(alloc->ctx, size, 1);
    if (copy != NULL) {
        memcpy(copy, text, size);
    }
    return copy;
}

static void open_path(prof_module *m, const char *path)
{
    struct stat st;
    /* Names come from outside: a device may do something when it is opened. */
    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode)) {
        return;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        return;
    }
    /* Overlay file systems tell another device than the kernel's records: the inode decides. */
    if (fstat(fd, &st) != 0 || (m->inode != 0 && st.st_ino != m->inode)) {
        (void)close(fd);
        return;
    }
    m->is_elf = prof_elf_open(fd, &m->elf, NULL) == BRISK_OK;
}

/* Every 64-bit process of a boot has the same, so our own will do.  The kernel made it. */
static void open_vdso(prof_module *m)
{
    // NOLINTNEXTLINE(performance-no-int-to-ptr): the kernel gives addresses as numbers
    const Elf64_Ehdr *head = (const Elf64_Ehdr *)getauxval(AT_SYSINFO_EHDR);
    if (head != NULL) {
        size_t size = (size_t)head->e_shoff + (size_t)head->e_shnum * head->e_shentsize;
        m->is_elf = prof_elf_open_memory(head, size, &m->elf, NULL) == BRISK_OK;
    }
}

static void open_module(const prof_spaces *spaces, prof_module *m)
{
    char path[PROF_PATH_MAX + 64];
    if (spaces->no_files) {
        return;
    }
    if (m->kind == PROF_MODULE_VDSO) {
        /* Every 64-bit process of a boot has the same. */
        open_vdso(m);
        return;
    }
    int size = snprintf(path, sizeof path, "/proc/%" PRIu32 "/root%s", m->pid, m->path);
    if (!spaces->offline && size > 0 && (size_t)size < sizeof path) {
        open_path(m, path);
    }
    if (!m->is_elf) {
        open_path(m, m->path);
    }
}

static prof_module_kind kind_of(const prof_mapping *mapping)
{
    if (strcmp(mapping->path, "[vdso]") == 0) {
        return PROF_MODULE_VDSO;
    }
    bool file = mapping->path[0] == '/' && strncmp(mapping->path, "//anon", 6) != 0 &&
                strncmp(mapping->path, "/dev/zero", 9) != 0 &&
                strncmp(mapping->path, "/memfd:", 7) != 0;
    return file ? PROF_MODULE_FILE : PROF_MODULE_JIT;
}

static bool is_module(const prof_module *m, prof_module_kind kind, uint32_t pid,
                      const prof_mapping *mapping)
{
    if (m->kind != kind) {
        return false;
    }
    if (kind == PROF_MODULE_JIT) {
        return m->pid == pid;
    }
    return kind == PROF_MODULE_VDSO ||
           (m->inode == mapping->inode && m->device == mapping->device &&
            strcmp(m->path, mapping->path) == 0);
}

static uint32_t add_module(prof_spaces *spaces, const prof_module *module, const char *path)
{
    prof_module m = *module;
    m.path = copy_text(spaces->alloc, path);
    if (m.path == NULL || spaces->modules.count >= PROF_MODULES_MAX ||
        !BRISK_VEC_PUSH(&spaces->modules, m)) {
        if (m.path != NULL) {
            spaces->alloc->release(spaces->alloc->ctx, m.path, strlen(m.path) + 1, 1);
        }
        spaces->err = BRISK_ERR_NOMEM;
        return 0;
    }
    return (uint32_t)spaces->modules.count - 1;
}

/* Of a process that is gone nobody is told: ours, then. */
static uint32_t owner_of(uint32_t pid)
{
    char path[32];
    struct stat st;
    (void)snprintf(path, sizeof path, "/proc/%" PRIu32, pid);
    return stat(path, &st) == 0 ? st.st_uid : geteuid();
}

static uint32_t module_of(prof_spaces *spaces, uint32_t pid, const prof_mapping *mapping)
{
    prof_module_kind kind = kind_of(mapping);
    for (uint32_t i = 0; i < spaces->modules.count; i++) {
        if (is_module(&spaces->modules.items[i], kind, pid, mapping)) {
            return i;
        }
    }
    prof_module m = {.kind = kind,
                     .pid = pid,
                     .owner = kind == PROF_MODULE_JIT && !spaces->offline ? owner_of(pid) : 0,
                     .device = mapping->device,
                     .inode = kind == PROF_MODULE_FILE ? mapping->inode : 0,
                     .elf = {.fd = -1}};
    uint32_t id = add_module(spaces, &m, kind == PROF_MODULE_JIT ? "[anon]" : mapping->path);
    if (id != 0 && kind != PROF_MODULE_JIT) {
        open_module(spaces, &spaces->modules.items[id]);
    }
    return id;
}

const prof_cfi *prof_module_cfi(prof_spaces *spaces, uint32_t module)
{
    prof_module *m = &spaces->modules.items[module];
    if (!m->cfi_tried) {
        m->cfi_tried = true;
        unsigned char *bytes = NULL;
        if (m->is_elf && m->elf.is_x86_64 &&
            prof_elf_read(&m->elf, &m->elf.eh_frame, spaces->alloc, &bytes) == BRISK_OK) {
            size_t size = (size_t)m->elf.eh_frame.size;
            if (prof_cfi_build(bytes, size, m->elf.eh_frame.address, spaces->alloc, &m->cfi) !=
                BRISK_OK) {
                m->cfi = (prof_cfi){0};
            }
            spaces->alloc->release(spaces->alloc->ctx, bytes, size, 16);
        }
    }
    return m->cfi.rows.count > 0 ? &m->cfi : NULL;
}

/* --- life ----------------------------------------------------------------------------------- */

brisk_err prof_spaces_init(prof_spaces *spaces, const brisk_alloc *alloc)
{
    *spaces = (prof_spaces){
        .alloc = alloc, .modules = BRISK_VEC_INIT(alloc), .spaces = BRISK_VEC_INIT(alloc)};
    prof_module unknown = {.kind = PROF_MODULE_UNKNOWN, .elf = {.fd = -1}};
    prof_module kernel = {.kind = PROF_MODULE_KERNEL, .elf = {.fd = -1}};
    (void)add_module(spaces, &unknown, "[unknown]");
    if (add_module(spaces, &kernel, "[kernel]") != PROF_KERNEL_MODULE) {
        prof_spaces_deinit(spaces);
        return BRISK_ERR_NOMEM;
    }
    return BRISK_OK;
}

void prof_spaces_deinit(prof_spaces *spaces)
{
    const brisk_alloc *alloc = spaces->alloc;
    for (size_t i = 0; i < spaces->modules.count; i++) {
        prof_module *m = &spaces->modules.items[i];
        prof_elf_close(&m->elf);
        prof_cfi_deinit(&m->cfi);
        alloc->release(alloc->ctx, m->path, strlen(m->path) + 1, 1);
    }
    for (size_t i = 0; i < spaces->spaces.count; i++) {
        prof_space *space = spaces->spaces.items[i];
        BRISK_VEC_DEINIT(&space->maps);
        alloc->release(alloc->ctx, space, sizeof *space, _Alignof(prof_space));
    }
    BRISK_VEC_DEINIT(&spaces->modules);
    BRISK_VEC_DEINIT(&spaces->spaces); /* NOLINT(bugprone-sizeof-expression): of pointers */
}

/* --- spaces --------------------------------------------------------------------------------- */

static prof_space *find_space(const prof_spaces *spaces, uint32_t pid)
{
    for (size_t i = spaces->spaces.count; i > 0; i--) {
        if (spaces->spaces.items[i - 1]->pid == pid) {
            return spaces->spaces.items[i - 1];
        }
    }
    return NULL;
}

prof_space *prof_space_of(prof_spaces *spaces, uint32_t pid)
{
    prof_space *space = find_space(spaces, pid);
    if (space != NULL) {
        return space;
    }
    const brisk_alloc *alloc = spaces->alloc;
    if (spaces->spaces.count >= PROF_SPACES_MAX) {
        spaces->err = BRISK_ERR_LIMIT;
        return NULL;
    }
    space = alloc->acquire(alloc->ctx, sizeof *space, _Alignof(prof_space));
    if (space == NULL) {
        spaces->err = BRISK_ERR_NOMEM;
        return NULL;
    }
    *space =
        (prof_space){.pid = pid, .generation = ++spaces->generation, .maps = BRISK_VEC_INIT(alloc)};
    /* NOLINTNEXTLINE(bugprone-sizeof-expression): of pointers */
    if (!BRISK_VEC_PUSH(&spaces->spaces, space)) {
        alloc->release(alloc->ctx, space, sizeof *space, _Alignof(prof_space));
        spaces->err = BRISK_ERR_NOMEM;
        return NULL;
    }
    return space;
}

/* The first mapping that ends behind `address`. */
static size_t first_behind(const prof_space *space, uint64_t address)
{
    size_t low = 0;
    size_t high = space->maps.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (space->maps.items[middle].end <= address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

const prof_map *prof_space_find(const prof_space *space, uint64_t address)
{
    size_t at = first_behind(space, address);
    bool inside = at < space->maps.count && space->maps.items[at].start <= address;
    return inside ? &space->maps.items[at] : NULL;
}

/* Make room for [start, end); returns where a mapping that begins there belongs, or SIZE_MAX. */
static size_t clear(prof_space *space, uint64_t start, uint64_t end)
{
    size_t at = first_behind(space, start);
    /* At most one more is needed to split one, and one for the new mapping. */
    if (!BRISK_VEC_RESERVE(&space->maps, space->maps.count + 2)) {
        return SIZE_MAX;
    }
    prof_map *maps = space->maps.items;
    if (at < space->maps.count && maps[at].start < start) {
        if (maps[at].end > end) {
            memmove(&maps[at + 2], &maps[at + 1], (space->maps.count - at - 1) * sizeof *maps);
            maps[at + 1] = maps[at];
            maps[at + 1].start = end;
            space->maps.count++;
        }
        maps[at].end = start;
        at++;
    }
    size_t gone = 0;
    while (at + gone < space->maps.count && maps[at + gone].end <= end) {
        gone++;
    }
    memmove(&maps[at], &maps[at + gone], (space->maps.count - at - gone) * sizeof *maps);
    space->maps.count -= gone;
    if (at < space->maps.count && maps[at].start < end) {
        maps[at].start = end;
    }
    return at;
}

static uint64_t bias_of(const prof_module *m, const prof_mapping *mapping)
{
    uint64_t address;
    if (m->kind == PROF_MODULE_JIT) {
        return 0;
    }
    if (m->is_elf && prof_elf_address_of(&m->elf, mapping->offset, &address)) {
        return mapping->start - address;
    }
    return mapping->start - mapping->offset;
}

void prof_space_map(prof_spaces *spaces, prof_space *space, const prof_mapping *mapping)
{
    uint64_t end = mapping->start + mapping->size;
    if (mapping->size == 0 || end < mapping->start || space->maps.count + 2 > PROF_MAPS_MAX) {
        return;
    }
    if (spaces->map_count + 2 > PROF_MAPS_ALL_MAX) {
        spaces->err = BRISK_ERR_LIMIT;
        return;
    }
    spaces->map_count -= space->maps.count;
    uint32_t module = module_of(spaces, space->pid, mapping);
    size_t at = clear(space, mapping->start, end);
    space->generation = ++spaces->generation;
    if (at == SIZE_MAX) {
        spaces->map_count += space->maps.count;
        spaces->err = BRISK_ERR_NOMEM;
        return;
    }
    prof_map *maps = space->maps.items;
    memmove(&maps[at + 1], &maps[at], (space->maps.count - at) * sizeof *maps);
    maps[at] = (prof_map){.start = mapping->start,
                          .end = end,
                          .bias = bias_of(&spaces->modules.items[module], mapping),
                          .module = module};
    space->maps.count++;
    spaces->map_count += space->maps.count;
    BRISK_AUDIT(at == 0 || maps[at - 1].end <= maps[at].start);
}

void prof_space_exec(prof_spaces *spaces, uint32_t pid)
{
    prof_space *space = prof_space_of(spaces, pid);
    if (space != NULL) {
        spaces->map_count -= space->maps.count;
        space->maps.count = 0;
        space->generation = ++spaces->generation;
    }
}

void prof_space_fork(prof_spaces *spaces, uint32_t parent, uint32_t child)
{
    const prof_space *from = find_space(spaces, parent);
    prof_space *to = prof_space_of(spaces, child);
    if (from == NULL || to == NULL || from == to) {
        return;
    }
    spaces->map_count -= to->maps.count;
    to->maps.count = 0;
    to->generation = ++spaces->generation;
    bool room = spaces->map_count + from->maps.count <= PROF_MAPS_ALL_MAX;
    if (!room || !BRISK_VEC_RESERVE(&to->maps, from->maps.count)) {
        spaces->err = room ? BRISK_ERR_NOMEM : BRISK_ERR_LIMIT;
        return;
    }
    if (from->maps.count > 0) {
        memcpy(to->maps.items, from->maps.items, from->maps.count * sizeof *to->maps.items);
    }
    to->maps.count = from->maps.count;
    spaces->map_count += to->maps.count;
}

/* One line of /proc/PID/maps: "55e0-55f0 r-xp 00002000 fe:00 1234   /usr/bin/cat". */
static void read_line(prof_spaces *spaces, prof_space *space, char *line)
{
    uint64_t start;
    uint64_t end;
    uint64_t offset;
    unsigned major_of;
    unsigned minor_of;
    uint64_t inode;
    char rights[5];
    int name_at = 0;
    line[strcspn(line, "\n")] = '\0';
    /* NOLINTNEXTLINE(cert-err34-c): numbers of the kernel; how many were read is looked at */
    if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %x:%x %" SCNu64 " %n", &start, &end,
               rights, &offset, &major_of, &minor_of, &inode, &name_at) < 7 ||
        rights[2] != 'x' || start >= end) {
        return;
    }
    char *path = line + name_at;
    size_t length = strlen(path);
    static const char deleted[] = " (deleted)";
    if (length > sizeof deleted && strcmp(path + length - (sizeof deleted - 1), deleted) == 0) {
        path[length - (sizeof deleted - 1)] = '\0';
    }
    if (strcmp(path, "[vsyscall]") == 0) {
        return;
    }
    prof_space_map(spaces, space,
                   &(prof_mapping){.start = start,
                                   .size = end - start,
                                   .offset = offset,
                                   .device = makedev(major_of, minor_of),
                                   .inode = inode,
                                   .path = path});
}

void prof_space_read(prof_spaces *spaces, uint32_t pid)
{
    char path[64];
    char line[PROF_PATH_MAX + 128];
    (void)snprintf(path, sizeof path, "/proc/%" PRIu32 "/maps", pid);
    prof_space *space = prof_space_of(spaces, pid);
    FILE *file = space != NULL ? fopen(path, "re") : NULL;
    if (file == NULL) {
        return;
    }
    while (fgets(line, sizeof line, file) != NULL) {
        read_line(spaces, space, line);
    }
    (void)fclose(file);
}
