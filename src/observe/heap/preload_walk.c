/*
 * preload_walk.c -- the callers of malloc, from within.
 *
 * Code of distributions has no frame pointers, and C++'s operator new hides its caller from a walk by frame
 * pointers, so a step is by .eh_frame: the entry of the function is found by the binary search table
 * (.eh_frame_hdr), the profiler's cfi.c makes rows of that entry alone, and the row for the address is kept in a
 * cache.  An address costs some microseconds the first time and some nanoseconds then.  Where there are no tables
 * the frame pointer is followed.
 *
 * Only the thread's own stack is read, between the caller's stack pointer and the end that is known for it; a
 * stack of another kind (coroutines, sigaltstack) is copied with process_vm_readv first, which does not fault.  The
 * tables are read by it, too: a library may be unloaded meanwhile.
 *
 * Sources: LSB 5, .eh_frame_hdr; others as cfi.h.
 */
#include <elf.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <unistd.h>

#include "observe/heap/preload.h"
#include "observe/profile/cfi.h"

extern void *__libc_stack_end; /* of ld.so: where the main thread's stack began */

enum {
    ROWS = 4096,
    ENTRY_MAX = 16384,
    ROOM_BYTES = 65536,
    COPY_BYTES = 4096,
    WORD = 8,
    HEADERS_MAX = 64,
    MAIN_STACK_MAX = 128 << 20, /* no mapping is nearer to its end: the kernel's gap */
};

#if defined(__x86_64__)
enum { HAS_TABLES = 1 };
#else
enum { HAS_TABLES = 0 };
#endif

typedef struct regs {
    uint64_t ip;
    uint64_t sp;
    uint64_t bp;
} regs;

/* The stack, or a copy of its lowest piece. */
typedef struct stack {
    const unsigned char *bytes; /* of address `low` */
    uint64_t low;
    uint64_t high;
} stack;

bool heap_peek(uintptr_t from, void *to, size_t size)
{
    struct iovec here = {.iov_base = to, .iov_len = size};
    struct iovec there = {.iov_base = (void *)from, .iov_len = size};
    return process_vm_readv(getpid(), &here, 1, &there, 1, 0) == (ssize_t)size;
}

/* --- rows ----------------------------------------------------------------------------------- */

typedef struct row_entry {
    uint64_t pc; /* 0: none; stored last */
    prof_cfi_row row;
} row_entry;

static row_entry rows[ROWS];

/* Memory for cfi.c: taken from the start of `room` for each entry anew; under the lock `walk`. */
static _Alignas(16) unsigned char room[ROOM_BYTES];
static size_t room_used;

static void *room_acquire(void *ctx, size_t size, size_t align)
{
    (void)ctx;
    size_t at = (room_used + align - 1) & ~(align - 1);
    if (at > ROOM_BYTES || ROOM_BYTES - at < size) {
        return NULL;
    }
    room_used = at + size;
    return room + at;
}

static void room_release(void *ctx, void *ptr, size_t size, size_t align)
{
    (void)ctx;
    (void)ptr;
    (void)size;
    (void)align;
}

static const brisk_alloc room_alloc = {.acquire = room_acquire, .release = room_release};

/* Where .eh_frame_hdr of the module is; 0: none. */
static uintptr_t find_hdr(const heap_module *m)
{
    Elf64_Ehdr head;
    Elf64_Phdr part;
    uintptr_t bias = 0;
    uintptr_t found = 0;
    bool biased = false;
    if (m->base == 0 || !heap_peek(m->base, &head, sizeof head) ||
        memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 || head.e_phentsize != sizeof part) {
        return 0;
    }
    for (uint32_t i = 0; i < head.e_phnum && i < HEADERS_MAX; i++) {
        if (!heap_peek(m->base + head.e_phoff + i * sizeof part, &part, sizeof part)) {
            return 0;
        }
        if (part.p_type == PT_LOAD && !biased) {
            bias = m->base - (part.p_vaddr - part.p_offset);
            biased = true;
        }
        found = part.p_type == PT_GNU_EH_FRAME ? part.p_vaddr : found;
    }
    return biased && found != 0 ? bias + found : 0;
}

/* The entry (FDE) whose function may hold `pc`; 0: none. */
static uintptr_t find_entry(uintptr_t hdr, uint64_t pc)
{
    unsigned char head[4];
    uint32_t count;
    int32_t pair[2];
    if (!heap_peek(hdr, head, sizeof head) || head[0] != 1 || head[2] != 0x03 || head[3] != 0x3b ||
        !heap_peek(hdr + 8, &count, sizeof count)) {
        return 0; /* not the form that every linker writes */
    }
    uint32_t low = 0; /* entries below begin at or before pc */
    uint32_t high = count < (1U << 24) ? count : 1U << 24;
    uintptr_t found = 0;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (!heap_peek(hdr + 12 + middle * sizeof pair, pair, sizeof pair)) {
            return 0;
        }
        if (hdr + (uint64_t)(int64_t)pair[0] <= pc) {
            found = hdr + (uint64_t)(int64_t)pair[1];
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return found;
}

/* Length with its own four bytes; 0: damaged, or larger than there is room for. */
static uint32_t entry_size(uintptr_t at, uint32_t *id)
{
    uint32_t words[2];
    if (!heap_peek(at, words, sizeof words) || words[0] < 4 || words[0] > ENTRY_MAX) {
        return 0;
    }
    *id = words[1];
    return words[0] + 4;
}

/*
 * A section of two entries: the CIE moved to just before the FDE, and the FDE at its own address, because what
 * it holds is relative to that.
 */
static bool make_rows(uintptr_t fde, prof_cfi *cfi)
{
    static unsigned char section[2 * ENTRY_MAX + 16];
    uint32_t to_cie;
    uint32_t id;
    uint32_t fde_size = entry_size(fde, &to_cie);
    uintptr_t cie = fde + 4 - to_cie;
    uint32_t cie_size = fde_size > 0 && to_cie != 0 ? entry_size(cie, &id) : 0;
    if (cie_size == 0 || id != 0 || cie_size > ENTRY_MAX) {
        return false;
    }
    uint32_t back = cie_size + 4;
    if (!heap_peek(cie, section, cie_size) || !heap_peek(fde, section + cie_size, fde_size)) {
        return false;
    }
    memcpy(section + cie_size + 4, &back, sizeof back);
    memset(section + cie_size + fde_size, 0, 4);
    room_used = 0;
    return prof_cfi_build(section, cie_size + fde_size + 4, fde - cie_size, &room_alloc, cfi) ==
           BRISK_OK;
}

static prof_cfi_row read_row(uint64_t pc)
{
    prof_cfi cfi;
    const heap_module *m = heap_module_of((uintptr_t)pc);
    if (m == NULL) {
        heap_read_maps();
        m = heap_module_of((uintptr_t)pc);
    }
    if (m == NULL) {
        return (prof_cfi_row){.kind = PROF_CFI_NONE};
    }
    heap_module *known = &heap_modules[m - heap_modules];
    if (known->eh_hdr == 1) {
        known->eh_hdr = find_hdr(known);
    }
    uintptr_t fde = known->eh_hdr != 0 ? find_entry(known->eh_hdr, pc) : 0;
    return fde != 0 && make_rows(fde, &cfi) ? *prof_cfi_find(&cfi, pc)
                                            : (prof_cfi_row){.kind = PROF_CFI_NONE};
}

static void learn(row_entry *entry, uint64_t pc, prof_cfi_row *ret)
{
    heap_lock_take(&heap_lock->walk);
    *ret = read_row(pc);
    __atomic_store_n(&entry->pc, 0, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    entry->row = *ret;
    __atomic_store_n(&entry->pc, pc, __ATOMIC_RELEASE);
    heap_lock_drop(&heap_lock->walk);
}

static prof_cfi_row row_of(uint64_t pc)
{
    row_entry *entry = &rows[(pc * UINT64_C(0x9e3779b97f4a7c15)) >> 52];
    prof_cfi_row row;
    if (__atomic_load_n(&entry->pc, __ATOMIC_ACQUIRE) == pc) {
        row = entry->row;
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (__atomic_load_n(&entry->pc, __ATOMIC_RELAXED) == pc) {
            return row;
        }
    }
    learn(entry, pc, &row);
    return row;
}

/* --- steps ---------------------------------------------------------------------------------- */

static bool load(const stack *s, uint64_t address, uint64_t *ret)
{
    if (address < s->low || address > s->high - WORD || s->high < s->low + WORD) {
        return false;
    }
    memcpy(ret, s->bytes + (address - s->low), sizeof *ret);
    return true;
}

static bool step_fp(const stack *s, regs *r)
{
    uint64_t next;
    uint64_t ra;
    if (r->bp < r->sp || (r->bp & 7) != 0 || !load(s, r->bp, &next) ||
        !load(s, r->bp + WORD, &ra)) {
        return false;
    }
    *r = (regs){.ip = ra, .sp = r->bp + 2 * WORD, .bp = next};
    return true;
}

static bool step_row(const stack *s, const prof_cfi_row *row, regs *r)
{
    uint64_t offset = (uint64_t)(int64_t)row->cfa_offset;
    uint64_t cfa = (row->kind == PROF_CFI_RBP || row->kind == PROF_CFI_RBP_DEREF ? r->bp : r->sp);
    uint64_t ra;
    uint64_t bp = r->bp;
    cfa += row->kind == PROF_CFI_PLT ? WORD : offset;
    if (row->kind == PROF_CFI_RBP_DEREF && !load(s, cfa, &cfa)) {
        return false;
    }
    if (cfa <= r->sp || !load(s, cfa - WORD, &ra)) {
        return false;
    }
    if (row->rbp_offset != PROF_CFI_RBP_SAME) {
        uint64_t at =
            row->kind == PROF_CFI_RBP_DEREF ? r->bp : cfa + (uint64_t)(int64_t)row->rbp_offset;
        if (!load(s, at, &bp)) {
            return false;
        }
    }
    *r = (regs){.ip = ra, .sp = cfa, .bp = bp};
    return true;
}

static uint32_t walk(const stack *s, regs r, uint64_t pcs[HEAP_DEPTH_MAX])
{
    uint32_t count = 0;
    while (count < HEAP_DEPTH_MAX && r.ip >= 4096) {
        pcs[count++] = r.ip;
        prof_cfi_row row = {.kind = PROF_CFI_NONE};
        if (HAS_TABLES) {
            row = row_of(r.ip - 1);
        }
        if (row.kind == PROF_CFI_END || row.kind == PROF_CFI_SIGNAL) {
            break; /* what a handler interrupted did not call it */
        }
        if (!(row.kind == PROF_CFI_NONE ? step_fp(s, &r) : step_row(s, &row, &r))) {
            break;
        }
    }
    return count;
}

/* --- whose stack ----------------------------------------------------------------------------- */

static void find_main_stack(void)
{
    struct rlimit limit;
    uintptr_t high = (uintptr_t)__libc_stack_end;
    uintptr_t size = MAIN_STACK_MAX;
    if (getrlimit(RLIMIT_STACK, &limit) == 0 && limit.rlim_cur < size) {
        size = (uintptr_t)limit.rlim_cur;
    }
    heap_self.stack_high = high;
    heap_self.stack_low = high - size;
}

static uintptr_t number_of(const char **at)
{
    uintptr_t value = 0;
    for (;; (*at)++) {
        char c = **at;
        if (c >= '0' && c <= '9') {
            value = value << 4 | (uintptr_t)(c - '0');
        } else if (c >= 'a' && c <= 'f') {
            value = value << 4 | (uintptr_t)(c - 'a' + 10);
        } else {
            return value;
        }
    }
}

/* The start of the mapping that holds both addresses; 0: there is none.  Under the lock `walk`. */
static uintptr_t mapping_of(uintptr_t low, uintptr_t high)
{
    static char text[8192];
    uintptr_t found = 0;
    size_t have = 0;
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && found == 0) {
        ssize_t got = read(fd, text + have, sizeof text - 1 - have);
        if (got <= 0) {
            break;
        }
        have += (size_t)got;
        const char *line = text;
        const char *end;
        while ((end = memchr(line, '\n', have - (size_t)(line - text))) != NULL) {
            const char *at = line;
            uintptr_t from = number_of(&at);
            at++;
            uintptr_t to = number_of(&at);
            found = low >= from && low < to && high < to ? from : found;
            line = end + 1;
        }
        have -= (size_t)(line - text);
        have = have == sizeof text - 1 ? 0 : have;
        memmove(text, line, have);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return found;
}

/* The thread's control block stands at the end of its stack, in the same mapping. */
static void find_thread_stack(uintptr_t sp)
{
    uintptr_t high = (uintptr_t)__builtin_thread_pointer();
    heap_lock_take(&heap_lock->walk);
    uintptr_t low = sp < high ? mapping_of(sp, high) : 0;
    heap_lock_drop(&heap_lock->walk);
    if (low != 0) {
        heap_self.stack_low = low;
        heap_self.stack_high = high;
    }
}

/* Whether the thread's own stack holds `sp`; its ends are then known. */
static bool is_own_stack(uintptr_t sp)
{
    if (heap_self.stack_high == 0) {
        find_main_stack();
        if (sp < heap_self.stack_low || sp >= heap_self.stack_high) {
            find_thread_stack(sp);
        }
    }
    return sp >= heap_self.stack_low && sp < heap_self.stack_high;
}

static uint32_t walk_copy(regs r, uint64_t pcs[HEAP_DEPTH_MAX])
{
    unsigned char bytes[COPY_BYTES];
    struct iovec here = {.iov_base = bytes, .iov_len = sizeof bytes};
    struct iovec there = {.iov_base = (void *)(uintptr_t)r.sp, .iov_len = sizeof bytes};
    ssize_t got = process_vm_readv(getpid(), &here, 1, &there, 1, 0);
    stack copy = {.bytes = bytes, .low = r.sp, .high = r.sp + (got > 0 ? (uint64_t)got : 0)};
    return walk(&copy, r, pcs);
}

uint32_t heap_walk(const void *frame, uint64_t pcs[HEAP_DEPTH_MAX])
{
    const uint64_t *words = frame;
    uint64_t sp = (uint64_t)(uintptr_t)frame;
    regs r = {.ip = words[1], .sp = sp + 2 * WORD, .bp = words[0]};
    if (!is_own_stack((uintptr_t)sp)) {
        return walk_copy(r, pcs);
    }
    stack own = {.bytes = frame, .low = sp, .high = heap_self.stack_high};
    return walk(&own, r, pcs);
}
