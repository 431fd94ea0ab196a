/*
 * test_profile_unwind.c -- walks of this program's own stack against the compiler's view of it; and
 * tables and files that are damaged on purpose.
 */
#include "support/check.h"
#include "support/fault_alloc.h"
#include "support/temp_dir.h"

#include <elf.h>
#include <execinfo.h>
#include <signal.h>
#include <string.h>

#include "observe/profile/symbols.h"
#include "observe/profile/unwind.h"

enum { DEPTH = 40, WALK_MAX = 256 };

typedef struct walk {
    prof_spaces spaces;
    prof_space *space;
    prof_unwinder *unwinder;
    const unsigned char *stack_end;
    uint64_t pcs[WALK_MAX];
    size_t count;
    void *wanted[WALK_MAX];
    int wanted_count;
    size_t cut; /* bytes of stack that are seen; 0: all */
} walk;

static walk *current; /* of the signal's handler */

__attribute__((noinline)) static void look(walk *w)
{
    prof_regs regs;
    __asm__ volatile("leaq (%%rip), %0\n\tmovq %%rsp, %1\n\tmovq %%rbp, %2"
                     : "=r"(regs.ip), "=r"(regs.sp), "=r"(regs.bp));
    size_t size = (size_t)((uint64_t)w->stack_end - regs.sp);
    prof_stack stack = {.bytes = (const unsigned char *)regs.sp,
                        .base = regs.sp,
                        .size = w->cut > 0 && w->cut < size ? w->cut : size};
    w->count =
        prof_unwind(w->unwinder, &(prof_walk){&w->spaces, w->space, regs, stack}, w->pcs, WALK_MAX);
    w->wanted_count = backtrace(w->wanted, WALK_MAX);
}

// NOLINTNEXTLINE(misc-no-recursion)
__attribute__((noinline)) static void descend(walk *w, int depth)
{
    volatile char pad[64]; /* frames of some size */
    pad[depth % 64] = 1;
    if (depth > 0) {
        descend(w, depth - 1);
    } else {
        look(w);
    }
    __asm__ volatile("" ::"r"(pad) : "memory");
}

static walk *walk_make(void)
{
    walk *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->unwinder = calloc(1, sizeof *w->unwinder);
    assert_non_null(w->unwinder);
    CHECK_OK(prof_spaces_init(&w->spaces, brisk_alloc_libc()));
    prof_space_read(&w->spaces, (uint32_t)getpid());
    w->space = prof_space_of(&w->spaces, (uint32_t)getpid());
    w->stack_end = (const unsigned char *)__builtin_frame_address(0) + 2048;
    return w;
}

static void walk_free(walk *w)
{
    prof_spaces_deinit(&w->spaces);
    free(w->unwinder);
    free(w);
}

/* Returns of the same calls, from the innermost caller on, as far as the stack was seen. */
static void check_same(const walk *w, size_t at_least)
{
    CHECK_U64(w->count, >=, at_least);
    /* Sanitizers put a frame of their own around backtrace(). */
    size_t extra = 0;
    while (extra < 3 && w->pcs[1] + 1 != (uint64_t)w->wanted[1 + extra]) {
        extra++;
    }
    for (size_t i = 1; i < w->count && (int)(i + extra) < w->wanted_count; i++) {
        /* Behind a signal stands the instruction that was interrupted, not a return. */
        uint64_t wanted = (uint64_t)w->wanted[i + extra];
        CHECK_U64(w->pcs[i], ==, w->pcs[i] == wanted ? wanted : wanted - 1);
    }
}

#ifdef __SANITIZE_THREAD__
#    define UNDER_TSAN 1
#else
#    define UNDER_TSAN 0
#endif

static void a_deep_stack_is_walked_as_the_compiler_sees_it(void **state)
{
    (void)state;
    walk *w = walk_make();
    descend(w, DEPTH);
    check_same(w, DEPTH + 1);
    CHECK_U64(w->unwinder->by_frame_pointer, ==, 0);
    walk_free(w);
}

static void on_signal(int number)
{
    (void)number;
    look(current);
}

static void a_signals_frame_is_crossed(void **state)
{
    (void)state;
    if (UNDER_TSAN) {
        skip(); /* its handlers run later, from elsewhere */
    }
    walk *w = walk_make();
    struct sigaction act = {.sa_handler = on_signal};
    struct sigaction before;
    current = w;
    CHECK(sigaction(SIGUSR1, &act, &before) == 0);
    CHECK(raise(SIGUSR1) == 0);
    CHECK(sigaction(SIGUSR1, &before, NULL) == 0);
    check_same(w, 5);
    walk_free(w);
}

static void a_piece_of_a_stack_gives_a_piece_of_the_walk(void **state)
{
    (void)state;
    walk *w = walk_make();
    w->cut = 2048;
    descend(w, DEPTH);
    check_same(w, 5);
    CHECK_U64(w->count, <, DEPTH);
    CHECK_U64(w->unwinder->truncated, >, 0);
    walk_free(w);
}

/* --- damage --------------------------------------------------------------------------------- */

/* This program's .eh_frame. */
static unsigned char *own_table(prof_elf *elf, size_t *size)
{
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    unsigned char *bytes = NULL;
    CHECK_OK(prof_elf_open(fd, elf, NULL));
    CHECK_OK(prof_elf_read(elf, &elf->eh_frame, brisk_alloc_libc(), &bytes));
    *size = (size_t)elf->eh_frame.size;
    return bytes;
}

static void damaged_tables_give_fewer_rows_and_nothing_worse(void **state)
{
    (void)state;
    prof_elf elf;
    size_t size;
    uint64_t seed = check_seed();
    unsigned char *bytes = own_table(&elf, &size);
    prof_cfi whole;
    CHECK_OK(prof_cfi_build(bytes, size, elf.eh_frame.address, brisk_alloc_libc(), &whole));
    CHECK_U64(whole.rows.count, >, 100);
    CHECK_U64(whole.bad, ==, 0);
    for (int round = 0; round < 300; round++) {
        unsigned char *copy = malloc(size);
        assert_non_null(copy);
        memcpy(copy, bytes, size);
        size_t cut = round % 3 == 0 ? check_random(&seed) % size : size;
        for (int i = 0; i < 1 << (round % 8); i++) {
            copy[check_random(&seed) % size] = (unsigned char)check_random(&seed);
        }
        prof_cfi cfi;
        CHECK_OK(prof_cfi_build(copy, cut, elf.eh_frame.address, brisk_alloc_libc(), &cfi));
        for (size_t i = 1; i < cfi.rows.count; i++) {
            CHECK_U64(cfi.rows.items[i - 1].from, <, cfi.rows.items[i].from);
        }
        (void)prof_cfi_find(&cfi, check_random(&seed));
        prof_cfi_deinit(&cfi);
        free(copy);
    }
    prof_cfi_deinit(&whole);
    brisk_alloc_libc()->release(NULL, bytes, size, 16);
    prof_elf_close(&elf);
}

static size_t put_words(unsigned char *to, const uint32_t *words, size_t count)
{
    memcpy(to, words, count * sizeof *words);
    return count * sizeof *words;
}

/* A program of a CIE is run for each of its functions: a megabyte of it and a million of these would take hours. */
static void a_common_program_of_a_megabyte_is_refused(void **state)
{
    (void)state;
    enum { FUNCTIONS = 3, ROOM = (1 << 20) + 4096 };
    static const unsigned char head[] = {1, 0, 1, 0x78, 16, 0x0c, 7, 8, 0x90, 1};
    for (uint32_t program = 16; program <= 1 << 20; program += (1 << 20) - 16) {
        unsigned char *bytes = calloc(1, ROOM);
        assert_non_null(bytes);
        uint32_t cie_size = 4 + sizeof head + program + 2;
        size_t at = put_words(bytes, (uint32_t[]){cie_size, 0}, 2);
        memcpy(bytes + at, head, sizeof head);
        at = cie_size + 4;
        for (uint32_t i = 0; i < FUNCTIONS; i++) {
            uint32_t back = (uint32_t)at + 4;
            at += put_words(bytes + at, (uint32_t[]){20, back, 0x1000 + 16 * i, 0, 16, 0}, 6);
        }
        prof_cfi cfi;
        CHECK_OK(prof_cfi_build(bytes, at, 0, brisk_alloc_libc(), &cfi));
        CHECK_U64(cfi.bad, ==, program > 16 ? FUNCTIONS : 0);
        CHECK((prof_cfi_find(&cfi, 0x1008)->kind == PROF_CFI_RSP) == (program == 16));
        prof_cfi_deinit(&cfi);
        free(bytes);
    }
}

/* A fork is 48 bytes of perf.data and copies up to 65,536 mappings: 65,536 of them were 137 GB. */
static void forks_share_one_room_for_mappings(void **state)
{
    (void)state;
    enum { MAPS = 60000, FORKS = 100 };
    prof_spaces spaces;
    CHECK_OK(prof_spaces_init(&spaces, brisk_alloc_libc()));
    spaces.offline = spaces.no_files = true;
    prof_space *parent = prof_space_of(&spaces, 1);
    assert_non_null(parent);
    for (uint64_t i = 0; i < MAPS; i++) {
        prof_space_map(&spaces, parent,
                       &(prof_mapping){.start = (i + 1) << 13, .size = 4096, .path = "/bin/a"});
    }
    CHECK_U64(parent->maps.count, ==, MAPS);
    for (uint32_t i = 0; i < FORKS; i++) {
        prof_space_fork(&spaces, 1, i + 2);
    }
    size_t all = 0;
    for (size_t i = 0; i < spaces.spaces.count; i++) {
        all += spaces.spaces.items[i]->maps.count;
    }
    CHECK_U64(all, ==, spaces.map_count);
    CHECK_U64(all, <=, PROF_MAPS_ALL_MAX);
    CHECK(spaces.err == BRISK_ERR_LIMIT);
    prof_space_exec(&spaces, 2); /* makes room again */
    CHECK_U64(spaces.map_count, ==, all - MAPS);
    prof_spaces_deinit(&spaces);
}

static void a_stack_of_rubbish_ends_the_walk(void **state)
{
    (void)state;
    walk *w = walk_make();
    uint64_t seed = check_seed();
    uint64_t words[512];
    for (int round = 0; round < 2000; round++) {
        for (size_t i = 0; i < 512; i++) {
            /* Addresses of code, of the stack, and anything. */
            uint64_t r = check_random(&seed);
            words[i] = r % 3 == 0   ? (uint64_t)(uintptr_t)&look + r % 4096
                       : r % 3 == 1 ? 0x7000000000 + r % sizeof words
                                    : r;
        }
        prof_regs regs = {.ip = (uint64_t)(uintptr_t)&look + check_random(&seed) % 4096,
                          .sp = 0x7000000000,
                          .bp = 0x7000000000 + check_random(&seed) % sizeof words};
        prof_stack stack = {(const unsigned char *)words, 0x7000000000, sizeof words};
        prof_walk from = {&w->spaces, w->space, regs, stack};
        CHECK_U64(prof_unwind(w->unwinder, &from, w->pcs, WALK_MAX), <=, WALK_MAX);
        CHECK_U64(prof_unwind_fp(&regs, &stack, w->pcs, WALK_MAX), <=, WALK_MAX);
    }
    walk_free(w);
}

/* A file with one symbol whose name is a megabyte. */
static void write_long_symbol(const char *path)
{
    enum { NAME = 1 << 20 };
    Elf64_Ehdr head = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, 1},
                       .e_machine = EM_X86_64,
                       .e_shoff = sizeof head + 2 * sizeof(Elf64_Sym) + NAME + 2,
                       .e_shentsize = sizeof(Elf64_Shdr),
                       .e_shnum = 3,
                       .e_shstrndx = 2};
    Elf64_Sym symbols[2] = {{0},
                            {.st_name = 1,
                             .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC),
                             .st_shndx = 1,
                             .st_value = 0x1000,
                             .st_size = 64}};
    Elf64_Shdr sections[3] = {
        {0},
        {.sh_type = SHT_SYMTAB, .sh_offset = sizeof head, .sh_size = sizeof symbols, .sh_link = 2},
        {.sh_type = SHT_STRTAB, .sh_offset = sizeof head + sizeof symbols, .sh_size = NAME + 2}};
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    (void)fwrite(&head, sizeof head, 1, file);
    (void)fwrite(symbols, sizeof symbols, 1, file);
    (void)fputc('\0', file);
    for (int i = 0; i < NAME; i++) {
        (void)fputc('a' + i % 26, file);
    }
    (void)fputc('\0', file);
    (void)fwrite(sections, sizeof sections, 1, file);
    CHECK(fclose(file) == 0);
}

static void a_symbol_of_a_megabyte_is_read(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    const char *path = temp_dir_path(dir, "long.so");
    write_long_symbol(path);
    prof_elf elf;
    prof_symbols symbols;
    size_t size = 0;
    CHECK_OK(prof_elf_open(open(path, O_RDONLY | O_CLOEXEC), &elf, NULL));
    CHECK_OK(prof_symbols_of_elf(&elf, brisk_alloc_libc(), &symbols));
    CHECK(prof_symbols_find(&symbols, 0x1010, &size) != NULL);
    CHECK_U64(size, ==, 1 << 20);
    CHECK(prof_symbols_find(&symbols, 0x1040, &size) == NULL);
    CHECK(prof_symbols_find(&symbols, 0xfff, &size) == NULL);
    prof_symbols_deinit(&symbols);
    prof_elf_close(&elf);
}

/* Every prefix and many changes of a small file: it opens, or an error says why. */
static void damaged_files_are_refused_or_read_within_bounds(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    const char *path = temp_dir_path(dir, "long.so");
    uint64_t seed = check_seed();
    write_long_symbol(path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    off_t whole = lseek(fd, 0, SEEK_END);
    size_t size = (size_t)whole;
    unsigned char *bytes = malloc(size);
    assert_non_null(bytes);
    assert_int_equal(pread(fd, bytes, size, 0), whole);
    (void)close(fd);
    for (int round = 0; round < 2000; round++) {
        unsigned char saved[8];
        size_t at =
            round % 2 == 0 ? check_random(&seed) % 64 : size - 8 - check_random(&seed) % 192;
        memcpy(saved, bytes + at, sizeof saved);
        uint64_t change = round % 4 < 2 ? check_random(&seed) : check_random(&seed) % 65536;
        memcpy(bytes + at, &change, 1 + (size_t)(round % 8));
        prof_elf elf;
        brisk_errinfo info = {.text = ""};
        size_t seen = round % 5 == 0 ? check_random(&seed) % size : size;
        brisk_err err = prof_elf_open_memory(bytes, seen, &elf, &info);
        if (err == BRISK_OK) {
            prof_symbols symbols;
            if (prof_symbols_of_elf(&elf, brisk_alloc_libc(), &symbols) == BRISK_OK) {
                size_t length;
                (void)prof_symbols_find(&symbols, 0x1010, &length);
                prof_symbols_deinit(&symbols);
            }
        } else {
            CHECK(info.text[0] != '\0');
        }
        memcpy(bytes + at, saved, sizeof saved);
    }
    free(bytes);
}

static void names_are_demangled(void **state)
{
    (void)state;
    char text[256];
    CHECK(strcmp(prof_demangle("main", text, sizeof text), "main") == 0);
    const char *plain = prof_demangle("_ZN3app4workEv", text, sizeof text);
    CHECK(strcmp(plain, "app::work()") == 0 || strcmp(plain, "_ZN3app4workEv") == 0);
    CHECK(strcmp(prof_demangle("_Znonsense", text, sizeof text), "_Znonsense") == 0);
    CHECK(strcmp(prof_demangle("_ZN3app4workEv", text, 4), "_ZN3app4workEv") == 0);
}

static void a_map_of_code_made_at_run_time(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    const char *path = temp_dir_path(dir, "perf-1.map");
    prof_symbols symbols;
    size_t size = 0;
    temp_write_text(path, "1000 20 LazyCompile:one a.js:1\n2000 0 nothing\nrubbish\n1020 8 two\n");
    CHECK_OK(prof_symbols_of_text(path, 0, brisk_alloc_libc(), &symbols));
    CHECK_U64(symbols.items.count, ==, 2);
    const char *name = prof_symbols_find(&symbols, 0x101f, &size);
    CHECK(name != NULL && size == 22 && memcmp(name, "LazyCompile:one a.js:1", 22) == 0);
    CHECK(prof_symbols_find(&symbols, 0x1028, &size) == NULL);
    prof_symbols_deinit(&symbols);
    if (geteuid() == 0 && chown(path, 4242, 4242) == 0) { /* anybody may write to /tmp */
        CHECK(prof_symbols_of_text(path, 1, brisk_alloc_libc(), &symbols) == BRISK_ERR_PERMISSION);
        CHECK_OK(prof_symbols_of_text(path, 4242, brisk_alloc_libc(), &symbols));
        prof_symbols_deinit(&symbols);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_deep_stack_is_walked_as_the_compiler_sees_it),
        cmocka_unit_test(a_signals_frame_is_crossed),
        cmocka_unit_test(a_piece_of_a_stack_gives_a_piece_of_the_walk),
        cmocka_unit_test(damaged_tables_give_fewer_rows_and_nothing_worse),
        cmocka_unit_test(a_common_program_of_a_megabyte_is_refused),
        cmocka_unit_test(forks_share_one_room_for_mappings),
        cmocka_unit_test(a_stack_of_rubbish_ends_the_walk),
        cmocka_unit_test(a_symbol_of_a_megabyte_is_read),
        cmocka_unit_test(damaged_files_are_refused_or_read_within_bounds),
        cmocka_unit_test(names_are_demangled),
        cmocka_unit_test(a_map_of_code_made_at_run_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
