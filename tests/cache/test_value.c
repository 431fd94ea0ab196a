/*
 * test_value.c -- who owns a value, when it is freed, and what failing allocations leave behind.
 */
#include "support/check.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include <brisk/value.h>

#include "support/fault_alloc.h"

static void never_fails(fault_alloc *fault)
{
    fault_alloc_init(fault, UINT64_MAX);
}

static void test_copy_is_independent(void **state)
{
    (void)state;
    fault_alloc fault;
    never_fails(&fault);
    char text[] = "hello";
    brisk_value *value = NULL;
    CHECK_OK(brisk_value_copy(text, sizeof text, &fault.base, &value));
    text[0] = 'j';
    CHECK_U64(brisk_value_size(value), ==, sizeof text);
    CHECK(strcmp(brisk_value_data(value), "hello") == 0);
    CHECK(brisk_value_fd(value) == -1);
    brisk_value_unref(value);
    CHECK_U64(fault.bytes_held, ==, 0);
}

static void test_empty_values_have_data(void **state)
{
    (void)state;
    brisk_value *value = NULL;
    CHECK_OK(brisk_value_copy(NULL, 0, NULL, &value));
    CHECK(brisk_value_data(value) != NULL);
    CHECK_U64(brisk_value_size(value), ==, 0);
    brisk_value_unref(value);
    CHECK_OK(brisk_value_wrap(NULL, 0, NULL, NULL, NULL, &value));
    CHECK(brisk_value_data(value) != NULL);
    brisk_value_unref(value);
    brisk_value_unref(NULL);
}

static void test_reserve_is_writable_and_aligned(void **state)
{
    (void)state;
    void *data = NULL;
    brisk_value *value = NULL;
    CHECK_OK(brisk_value_reserve(100, NULL, &data, &value));
    CHECK_U64((uintptr_t)data % 16, ==, 0);
    memset(data, 7, 100);
    CHECK(data == brisk_value_data(value));
    brisk_value_unref(value);
}

static void count_release(void *ctx)
{
    ++*(int *)ctx;
}

static void test_wrap_releases_once_with_the_last_reference(void **state)
{
    (void)state;
    static const char bytes[] = "foreign";
    int released = 0;
    brisk_value *value = NULL;
    CHECK_OK(brisk_value_wrap(bytes, sizeof bytes, count_release, &released, NULL, &value));
    CHECK(brisk_value_data(value) == bytes);
    CHECK(brisk_value_ref(value) == value);
    brisk_value_ref(value);
    brisk_value_unref(value);
    brisk_value_unref(value);
    CHECK(released == 0);
    brisk_value_unref(value);
    CHECK(released == 1);
}

static void test_file_is_owned(void **state)
{
    (void)state;
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0);
    brisk_value *value = NULL;
    CHECK_OK(brisk_value_from_fd(fd, UINT64_C(5000000000), NULL, &value));
    CHECK(brisk_value_data(value) == NULL);
    CHECK(brisk_value_fd(value) == fd);
    CHECK_U64(brisk_value_size(value), ==, UINT64_C(5000000000));
    brisk_value_unref(value);
    CHECK(fcntl(fd, F_GETFD) == -1);
    CHECK(brisk_value_from_fd(-1, 0, NULL, &value) == BRISK_ERR_INVALID);
}

static void test_failed_allocation_takes_nothing(void **state)
{
    (void)state;
    fault_alloc fault;
    int released = 0;
    void *data = NULL;
    brisk_value *value = NULL;
    fault_alloc_init(&fault, 0);
    CHECK(brisk_value_copy("x", 1, &fault.base, &value) == BRISK_ERR_NOMEM);
    fault_alloc_init(&fault, 0);
    CHECK(brisk_value_reserve(1, &fault.base, &data, &value) == BRISK_ERR_NOMEM);
    CHECK(brisk_value_reserve(SIZE_MAX, NULL, &data, &value) == BRISK_ERR_NOMEM);
    fault_alloc_init(&fault, 0);
    CHECK(brisk_value_wrap("x", 1, count_release, &released, &fault.base, &value) ==
          BRISK_ERR_NOMEM);
    CHECK(released == 0); /* still the caller's */
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    fault_alloc_init(&fault, 0);
    CHECK(brisk_value_from_fd(fd, 1, &fault.base, &value) == BRISK_ERR_NOMEM);
    CHECK(fcntl(fd, F_GETFD) != -1); /* still open */
    (void)close(fd);
    CHECK(value == NULL && data == NULL);
}

enum { RACERS = 4, ROUNDS = 20000 };

static void *ref_and_unref(void *arg)
{
    brisk_value *value = arg;
    uintptr_t wrong = 0;
    for (int i = 0; i < ROUNDS; i++) {
        brisk_value_ref(value);
        wrong += *(const char *)brisk_value_data(value) != 'x';
        brisk_value_unref(value);
    }
    brisk_value_unref(value);
    return (void *)wrong;
}

/* Every thread starts with one reference; whoever is last frees, exactly once. */
static void test_threads_share_a_value(void **state)
{
    (void)state;
    int released = 0;
    brisk_value *value = NULL;
    CHECK_OK(brisk_value_wrap("x", 1, count_release, &released, NULL, &value));
    pthread_t threads[RACERS];
    for (int i = 0; i < RACERS; i++) {
        brisk_value_ref(value);
        CHECK(pthread_create(&threads[i], NULL, ref_and_unref, value) == 0);
    }
    brisk_value_unref(value);
    for (int i = 0; i < RACERS; i++) {
        void *wrong = NULL;
        CHECK(pthread_join(threads[i], &wrong) == 0);
        CHECK(wrong == NULL);
    }
    CHECK(released == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copy_is_independent),
        cmocka_unit_test(test_empty_values_have_data),
        cmocka_unit_test(test_reserve_is_writable_and_aligned),
        cmocka_unit_test(test_wrap_releases_once_with_the_last_reference),
        cmocka_unit_test(test_file_is_owned),
        cmocka_unit_test(test_failed_allocation_takes_nothing),
        cmocka_unit_test(test_threads_share_a_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
