/* Guarded mappings: a page that is gone reads as zeros and is told; other faults end the process. */
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/map_guard.h"
#include "support/check.h"

enum { PAGES = 3 };

static size_t page_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

/* A mapped file of three pages full of 'x'. */
static unsigned char *map_file(int *ret_fd)
{
    size_t size = PAGES * page_bytes();
    FILE *file = tmpfile();
    CHECK(file != NULL);
    *ret_fd = dup(fileno(file));
    (void)fclose(file);
    CHECK(*ret_fd >= 0 && ftruncate(*ret_fd, (off_t)size) == 0);
    void *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, *ret_fd, 0);
    CHECK(map != MAP_FAILED);
    memset(map, 'x', size);
    return map;
}

static void test_cut(void **state)
{
    (void)state;
    int fd;
    unsigned char *mapped = map_file(&fd);
    volatile unsigned char *map = mapped;
    uint32_t guard = brisk_map_guard_take(mapped, PAGES * page_bytes());
    CHECK(guard != 0 && !brisk_map_guard_hit(guard));
    CHECK(map[2 * page_bytes()] == 'x');
    CHECK(!brisk_map_guard_hit(guard));
    CHECK(ftruncate(fd, (off_t)page_bytes()) == 0);
    CHECK(map[0] == 'x' && !brisk_map_guard_hit(guard));
    CHECK(map[2 * page_bytes() + 17] == 0 && brisk_map_guard_hit(guard));
    map[page_bytes()] = 'y'; /* a store, too */
    CHECK(map[page_bytes()] == 'y' && map[0] == 'x');
    brisk_map_guard_leave(guard);
    CHECK(munmap(mapped, PAGES * page_bytes()) == 0);
    CHECK(close(fd) == 0);
}

/* A cut mapping whose guard was left, or never taken, in a child: how it ends. */
static int end_of_unguarded(bool taken_before)
{
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        int fd;
        (void)signal(SIGBUS, SIG_DFL); /* the test's own is in the way; what comes later is ours */
        unsigned char *map = map_file(&fd);
        uint32_t other = brisk_map_guard_take(&fd, sizeof fd); /* so the handler is there */
        if (taken_before) {
            brisk_map_guard_leave(brisk_map_guard_take(map, PAGES * page_bytes()));
        }
        (void)!ftruncate(fd, 0);
        unsigned char byte = *(volatile unsigned char *)map;
        _exit(other != 0 ? byte : 1);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void test_unguarded(void **state)
{
    (void)state;
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
    skip(); /* they report and exit */
#endif
    CHECK(end_of_unguarded(false) == SIGBUS);
    CHECK(end_of_unguarded(true) == SIGBUS);
}

static void test_table(void **state)
{
    (void)state;
    static char byte;
    static uint32_t taken[BRISK_MAP_GUARDS];
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < BRISK_MAP_GUARDS; i++) {
            taken[i] = brisk_map_guard_take(&byte, 1);
            CHECK(taken[i] != 0);
        }
        CHECK(brisk_map_guard_take(&byte, 1) == 0);
        for (int i = 0; i < BRISK_MAP_GUARDS; i++) {
            brisk_map_guard_leave(taken[i]);
        }
    }
    brisk_map_guard_leave(0);
    CHECK(!brisk_map_guard_hit(0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_unguarded),
        cmocka_unit_test(test_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
