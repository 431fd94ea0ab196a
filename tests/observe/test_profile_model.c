/*
 * test_profile_model.c -- tables without doubles, their limits, and every allocation that fails.
 */
#include "support/check.h"
#include "support/fault_alloc.h"

#include <string.h>

#include "observe/profile/model.h"
#include "observe/profile/tally.h"

static prof_model *model_of(const brisk_alloc *alloc)
{
    prof_model *model = NULL;
    CHECK_OK(prof_model_create(alloc, &model));
    return model;
}

static uint32_t frame_named(prof_model *model, const char *name)
{
    prof_frame frame = {.name = prof_text_of(model, name)};
    return prof_frame_of(model, &frame);
}

static void strings_are_kept_once(void **state)
{
    (void)state;
    prof_model *model = model_of(NULL);
    uint32_t a = prof_text_of(model, "alpha");
    CHECK(prof_text_of(model, "beta") != a);
    CHECK(prof_text_of(model, "alpha") == a);
    CHECK(strcmp(prof_text(model, a), "alpha") == 0);
    CHECK(prof_text_of(model, "") == 0);
    prof_model_destroy(model);
}

static void names_of_a_megabyte_are_cut_and_stay_two(void **state)
{
    (void)state;
    enum { SIZE = 1 << 20 };
    prof_model *model = model_of(NULL);
    char *text = malloc(SIZE);
    assert_non_null(text);
    memset(text, 'x', SIZE);
    uint32_t a = prof_string_of(model, text, SIZE);
    text[SIZE - 1] = 'y';
    uint32_t b = prof_string_of(model, text, SIZE);
    CHECK(a != b);
    CHECK_U64(strlen(prof_text(model, a)), <=, PROF_NAME_MAX);
    CHECK_OK(prof_model_err(model));
    free(text);
    prof_model_destroy(model);
}

static void stacks_share_their_outer_part_and_end_at_the_limit(void **state)
{
    (void)state;
    prof_model *model = model_of(NULL);
    uint32_t f = frame_named(model, "f");
    uint32_t g = frame_named(model, "g");
    uint32_t a = prof_stack_of(model, 0, f);
    CHECK(prof_stack_of(model, 0, f) == a);
    CHECK(prof_stack_of(model, a, g) != prof_stack_of(model, 0, g));
    uint32_t deep = 0;
    for (int i = 0; i < PROF_DEPTH_MAX + 100; i++) {
        deep = prof_stack_of(model, deep, f);
    }
    CHECK_U64(model->stacks.nodes.items[deep].depth, ==, PROF_DEPTH_MAX);
    CHECK_OK(prof_model_err(model));
    prof_model_destroy(model);
}

static void sums_stop_at_the_largest_number(void **state)
{
    (void)state;
    prof_model *model = model_of(NULL);
    uint32_t stack = prof_stack_of(model, 0, frame_named(model, "f"));
    prof_sample_add(model, stack, 0, 0, UINT64_MAX - 1);
    prof_sample_add(model, stack, 0, 0, 7);
    CHECK_U64(model->samples.count, ==, 1);
    CHECK_U64(model->samples.items[0].values[0], ==, UINT64_MAX);
    prof_model_destroy(model);
}

/* main calls a (3) and b; b calls itself and a (5), and does 2 itself. */
static void fill(prof_model *model)
{
    (void)prof_type_of(model, "cpu", "nanoseconds");
    uint32_t main_of = prof_stack_of(model, 0, frame_named(model, "main"));
    uint32_t a = frame_named(model, "a");
    uint32_t b = frame_named(model, "b");
    uint32_t in_b = prof_stack_of(model, main_of, b);
    uint32_t in_bb = prof_stack_of(model, in_b, b);
    prof_sample_add(model, prof_stack_of(model, main_of, a), 0, 0, 3);
    prof_sample_add(model, prof_stack_of(model, in_bb, a), 0, 0, 5);
    prof_sample_add(model, in_bb, 0, 0, 2);
}

static void own_time_and_total_and_callers(void **state)
{
    (void)state;
    prof_model *model = model_of(NULL);
    prof_tally tally;
    fill(model);
    CHECK_OK(prof_tally_make(model, 0, false, &tally));
    CHECK_U64(tally.total, ==, 10);
    const prof_row *first = &tally.rows.items[0];
    CHECK(strcmp(prof_text(model, first->name), "a") == 0);
    CHECK_U64(first->self, ==, 8);
    CHECK_U64(first->total, ==, 8);
    const prof_row *second = &tally.rows.items[1];
    CHECK(strcmp(prof_text(model, second->name), "b") == 0);
    CHECK_U64(second->self, ==, 2);
    CHECK_U64(second->total, ==, 7); /* twice in a stack counts once */
    prof_caller callers[4];
    CHECK_U64(prof_tally_callers(&tally, model, 0, callers, 4), ==, 2);
    CHECK(callers[0].row == 1 && callers[0].self == 5);
    CHECK(strcmp(prof_text(model, tally.rows.items[callers[1].row].name), "main") == 0);
    prof_tally_deinit(&tally);
    prof_model_destroy(model);
}

/* What the kernel does for a function is that function's, when that is asked for. */
static void waits_belong_to_the_programs_function(void **state)
{
    (void)state;
    prof_model *model = model_of(NULL);
    prof_tally tally;
    prof_frame kernel = {.name = prof_text_of(model, "schedule"), .flags = PROF_FRAME_KERNEL};
    uint32_t in_read = prof_stack_of(model, 0, frame_named(model, "read"));
    uint32_t in_kernel = prof_stack_of(model, in_read, prof_frame_of(model, &kernel));
    (void)prof_type_of(model, "off-cpu", "nanoseconds");
    prof_sample_add(model, in_kernel, 0, 0, 9);
    CHECK_OK(prof_tally_make(model, 0, true, &tally));
    CHECK(strcmp(prof_text(model, tally.rows.items[0].name), "read") == 0);
    CHECK_U64(tally.rows.items[0].self, ==, 9);
    prof_tally_deinit(&tally);
    CHECK_OK(prof_tally_make(model, 0, false, &tally));
    CHECK(strcmp(prof_text(model, tally.rows.items[0].name), "schedule") == 0);
    prof_tally_deinit(&tally);
    prof_model_destroy(model);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    bool done = false;
    for (uint64_t n = 0; !done; n++) {
        fault_alloc fault;
        fault_alloc_init(&fault, n);
        prof_model *model = NULL;
        brisk_err err = prof_model_create(&fault.base, &model);
        if (err == BRISK_OK) {
            prof_tally tally;
            fill(model);
            (void)prof_thread_of(model, 1, 2, "thread");
            prof_note(model, "note %d", 1);
            err = prof_model_err(model);
            brisk_err tallied = prof_tally_make(model, 0, false, &tally);
            if (tallied == BRISK_OK) {
                prof_tally_deinit(&tally);
            }
            done = err == BRISK_OK && tallied == BRISK_OK;
            err = err == BRISK_OK ? tallied : err;
        }
        CHECK(done || err == BRISK_ERR_NOMEM);
        prof_model_destroy(model);
        CHECK_U64(fault.bytes_held, ==, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_are_kept_once),
        cmocka_unit_test(names_of_a_megabyte_are_cut_and_stay_two),
        cmocka_unit_test(stacks_share_their_outer_part_and_end_at_the_limit),
        cmocka_unit_test(sums_stop_at_the_largest_number),
        cmocka_unit_test(own_time_and_total_and_callers),
        cmocka_unit_test(waits_belong_to_the_programs_function),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
