/*
 * preload.c -- malloc and its kin, before the real ones: a countdown of bytes per thread, and a look at a bit on
 * free.  What is not sampled leaves by a tail call.
 *
 * The real functions are found with dlsym(RTLD_NEXT), so that whatever allocator the program has is the one that
 * is measured.  dlsym may allocate: until they are found, blocks come from a small static room and are never given
 * back.  C++'s new and delete, strdup, getline ... come by malloc.
 *
 * `left` is compared as an unsigned number, so a size of any magnitude ends the countdown and never wraps it.
 */
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <brisk/base.h>

#include "base/assert.h"
#include "observe/heap/preload.h"

enum { ROOM_BYTES = 65536, PAGE_BYTES = 4096 };

__thread heap_thread heap_self __attribute__((tls_model("initial-exec")));

/* Interposed functions are public, whatever brisk's own visibility. */
#define EXPORT __attribute__((visibility("default")))

static void *first_malloc(size_t size);
static void first_free(void *block);
static void *first_calloc(size_t count, size_t size);
static void *first_realloc(void *block, size_t size);
static void *first_memalign(size_t align, size_t size);
static int first_posix_memalign(void **ret, size_t align, size_t size);

typedef struct real_functions {
    void *(*malloc)(size_t);
    void (*free)(void *);
    void *(*calloc)(size_t, size_t);
    void *(*realloc)(void *, size_t);
    void *(*memalign)(size_t, size_t);
    void *(*aligned_alloc)(size_t, size_t);
    int (*posix_memalign)(void **, size_t, size_t);
    struct mallinfo2 (*mallinfo2)(void);
} real_functions;

static real_functions real = {
    .malloc = first_malloc,
    .free = first_free,
    .calloc = first_calloc,
    .realloc = first_realloc,
    .memalign = first_memalign,
    .aligned_alloc = first_memalign,
    .posix_memalign = first_posix_memalign,
};

/* --- before the real ones are found --------------------------------------------------------- */

static _Alignas(64) char room[ROOM_BYTES];
static size_t room_used;
static uint32_t finding; /* 1: by somebody, 2: done */

static bool is_of_room(const void *block)
{
    return (uintptr_t)block - (uintptr_t)room < sizeof room;
}

/* The size stands 16 bytes before the block. */
static void *room_get(size_t size, size_t align)
{
    align = align < 16 ? 16 : align;
    if (size > ROOM_BYTES || align > PAGE_BYTES) {
        return NULL;
    }
    size_t at = __atomic_fetch_add(&room_used, size + align + 16, __ATOMIC_RELAXED);
    if (at > ROOM_BYTES || ROOM_BYTES - at < size + align + 16) {
        errno = ENOMEM;
        return NULL;
    }
    uintptr_t block = ((uintptr_t)room + at + 16 + align - 1) & ~(align - 1);
    memcpy((char *)block - sizeof size, &size, sizeof size);
    return (void *)block;
}

static void *next(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

#define FIND(name)                                                                                 \
    do {                                                                                           \
        void *found_ = next(#name);                                                                \
        if (found_ != NULL) {                                                                      \
            memcpy(&found.name, &found_, sizeof found_);                                           \
        }                                                                                          \
    } while (0)

/* True when the real functions are there. */
static bool find_real(void)
{
    uint32_t nobody = 0;
    if (__atomic_load_n(&finding, __ATOMIC_ACQUIRE) == 2) {
        return true;
    }
    if (!__atomic_compare_exchange_n(&finding, &nobody, 1, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE)) {
        return nobody == 2; /* dlsym itself, or another thread: the room will do */
    }
    real_functions found = real;
    FIND(calloc);
    FIND(malloc);
    FIND(free);
    FIND(realloc);
    FIND(memalign);
    FIND(aligned_alloc);
    FIND(posix_memalign);
    void *libc_malloc = next("__libc_malloc");
    if (libc_malloc != NULL && memcmp(&libc_malloc, &found.malloc, sizeof libc_malloc) == 0) {
        FIND(mallinfo2);
    }
    real = found;
    __atomic_store_n(&finding, 2, __ATOMIC_RELEASE);
    return true;
}

static void *first_malloc(size_t size)
{
    return find_real() ? real.malloc(size) : room_get(size, 16);
}

static void first_free(void *block)
{
    if (find_real() && !is_of_room(block)) {
        real.free(block);
    }
}

static void *first_calloc(size_t count, size_t size)
{
    size_t bytes;
    if (find_real()) {
        return real.calloc(count, size);
    }
    return __builtin_mul_overflow(count, size, &bytes) ? NULL : room_get(bytes, 16);
}

static void *first_realloc(void *block, size_t size)
{
    if (find_real()) {
        return real.realloc(block, size);
    }
    void *fresh = room_get(size, 16);
    if (fresh != NULL && block != NULL) {
        size_t old;
        memcpy(&old, (char *)block - sizeof old, sizeof old);
        memcpy(fresh, block, old < size ? old : size);
    }
    return fresh;
}

static void *first_memalign(size_t align, size_t size)
{
    return find_real() ? real.memalign(align, size) : room_get(size, align);
}

static int first_posix_memalign(void **ret, size_t align, size_t size)
{
    if (find_real()) {
        return real.posix_memalign(ret, align, size);
    }
    void *block = room_get(size, align);
    *ret = block != NULL ? block : *ret;
    return block != NULL ? 0 : ENOMEM;
}

__attribute__((constructor)) static void begin(void)
{
    (void)find_real();
    heap_configure();
}

__attribute__((destructor)) static void end(void)
{
    heap_self.busy = 1; /* nothing is sampled from here on by this thread */
    heap_finish();
    heap_self.busy = 0;
}

bool heap_malloc_figures(uint64_t *system, uint64_t *used)
{
    if (real.mallinfo2 == NULL) {
        return false;
    }
    struct mallinfo2 info = real.mallinfo2();
    *system = info.arena + info.hblkhd;
    *used = info.uordblks + info.hblkhd;
    return true;
}

/* base/vec.h ends here when it is misused. */
_Noreturn void brisk_panic(const char *file, int line, const char *what)
{
    (void)file;
    (void)line;
    (void)what;
    abort();
}

/* --- the ways that are rare ----------------------------------------------------------------- */

#define SLOW static __attribute__((noinline))
#define HERE __builtin_frame_address(0)

SLOW void *malloc_slow(size_t size)
{
    void *block = real.malloc(size);
    heap_count(block, size, HERE);
    return block;
}

SLOW void *calloc_slow(size_t count, size_t size)
{
    size_t bytes;
    void *block = real.calloc(count, size);
    if (!__builtin_mul_overflow(count, size, &bytes)) {
        heap_count(block, bytes, HERE);
    }
    return block;
}

SLOW void *memalign_slow(size_t align, size_t size)
{
    void *block = real.memalign(align, size);
    heap_count(block, size, HERE);
    return block;
}

SLOW void *aligned_alloc_slow(size_t align, size_t size)
{
    void *block = real.aligned_alloc(align, size);
    heap_count(block, size, HERE);
    return block;
}

SLOW int posix_memalign_slow(void **ret, size_t align, size_t size)
{
    int error = real.posix_memalign(ret, align, size);
    heap_count(error == 0 ? *ret : NULL, size, HERE);
    return error;
}

SLOW void free_slow(void *block)
{
    heap_live was;
    int saved = errno;
    if (!is_of_room(block)) {
        (void)heap_forget(block, &was);
        errno = saved;
        real.free(block);
    }
}

/* A block of the room moves to the real heap. */
static void *leave_room(void *block, size_t size)
{
    size_t old;
    memcpy(&old, (char *)block - sizeof old, sizeof old);
    void *fresh = real.malloc(size);
    if (fresh != NULL) {
        memcpy(fresh, block, old < size ? old : size);
    }
    return fresh;
}

SLOW void *realloc_slow(void *block, size_t size)
{
    heap_live was;
    if (is_of_room(block)) {
        return leave_room(block, size);
    }
    bool known = block != NULL && heap_may_be_sampled(block) && heap_forget(block, &was);
    void *fresh = real.realloc(block, size);
    if (fresh == NULL && size != 0) {
        int saved = errno;
        if (known) {
            heap_restore(&was);
        }
        errno = saved;
        return NULL;
    }
    if (size >= heap_self.left) {
        heap_count(fresh, size, HERE);
    } else {
        heap_self.left -= size;
    }
    return fresh;
}

/* --- the ways that are usual ---------------------------------------------------------------- */

static inline bool counted(size_t size)
{
    if (HEAP_LIKELY(size < heap_self.left)) {
        heap_self.left -= size;
        return true;
    }
    return false;
}

EXPORT void *malloc(size_t size)
{
    return counted(size) ? real.malloc(size) : malloc_slow(size);
}

EXPORT void free(void *block)
{
    if (HEAP_LIKELY(!heap_may_be_sampled(block) && !is_of_room(block))) {
        real.free(block);
    } else {
        free_slow(block);
    }
}

EXPORT void *calloc(size_t count, size_t size)
{
    size_t bytes;
    if (HEAP_LIKELY(!__builtin_mul_overflow(count, size, &bytes) && counted(bytes))) {
        return real.calloc(count, size);
    }
    return calloc_slow(count, size);
}

EXPORT void *realloc(void *block, size_t size)
{
    if (HEAP_LIKELY(!heap_may_be_sampled(block) && !is_of_room(block) && counted(size))) {
        return real.realloc(block, size);
    }
    return realloc_slow(block, size);
}

EXPORT void *reallocarray(void *block, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(block, bytes);
}

EXPORT void *memalign(size_t align, size_t size)
{
    return counted(size) ? real.memalign(align, size) : memalign_slow(align, size);
}

EXPORT void *aligned_alloc(size_t align, size_t size)
{
    return counted(size) ? real.aligned_alloc(align, size) : aligned_alloc_slow(align, size);
}

EXPORT int posix_memalign(void **ret, size_t align, size_t size)
{
    return counted(size) ? real.posix_memalign(ret, align, size)
                         : posix_memalign_slow(ret, align, size);
}

EXPORT void *valloc(size_t size)
{
    return memalign(PAGE_BYTES, size);
}

EXPORT void *pvalloc(size_t size)
{
    size_t bytes;
    if (__builtin_add_overflow(size, (size_t)PAGE_BYTES - 1, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    bytes &= ~((size_t)PAGE_BYTES - 1);
    return memalign(PAGE_BYTES, bytes != 0 ? bytes : PAGE_BYTES);
}
