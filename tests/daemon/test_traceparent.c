/*
 * test_traceparent.c -- the field of W3C Trace Context: what is one, what is none, and how it goes on.
 */
#include <string.h>

#include "daemon/http/traceparent.h"
#include "support/check.h"

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN  "00f067aa0ba902b7"

static bool reads(const char *text, traceparent *ret)
{
    return traceparent_read((http_text){text, strlen(text)}, ret);
}

static void test_good_ones(void **state)
{
    (void)state;
    traceparent t;
    CHECK(reads("00-" TRACE "-" SPAN "-01", &t));
    assert_string_equal(t.trace, TRACE);
    assert_string_equal(t.span, SPAN);
    CHECK_U64(t.flags, ==, TRACEPARENT_SAMPLED);
    CHECK(reads("00-" TRACE "-" SPAN "-fe", &t) && t.flags == 0xfe);
    CHECK(reads("cc-" TRACE "-" SPAN "-00-what-comes-later", &t) && t.flags == 0);
    CHECK(reads("01-" TRACE "-" SPAN "-01", &t));
}

static void test_bad_ones(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "00",
        "00-" TRACE "-" SPAN "-0",
        "00-" TRACE "-" SPAN "-01-more", /* of this version there is no more */
        "00-" TRACE "-" SPAN "-01x",
        "cc-" TRACE "-" SPAN "-01.more",
        "ff-" TRACE "-" SPAN "-01",
        "0g-" TRACE "-" SPAN "-01",
        "00-00000000000000000000000000000000-" SPAN "-01",
        "00-" TRACE "-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-" SPAN "-01",
        "00-" TRACE "-00f067aa0ba902bZ-01",
        "00-" TRACE "-" SPAN "-0 ",
        "00_" TRACE "-" SPAN "-01",
        "00-" TRACE "_" SPAN "-01",
        "00-" TRACE "-" SPAN "_01",
    };
    traceparent t;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (reads(bad[i], &t)) {
            fail_msg("%s was taken", bad[i]);
        }
    }
}

static void test_goes_on(void **state)
{
    (void)state;
    traceparent t;
    traceparent next;
    char text[TRACEPARENT_SIZE + 1];
    CHECK(reads("cc-" TRACE "-" SPAN "-ff-later", &t));
    traceparent_write(&t, 0xab, text);
    assert_string_equal(text, "00-" TRACE "-00000000000000ab-01");
    CHECK(reads(text, &next));
    assert_string_equal(next.trace, TRACE);
    traceparent_span(0xab, text);
    assert_string_equal(next.span, text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_good_ones),
                                       cmocka_unit_test(test_bad_ones),
                                       cmocka_unit_test(test_goes_on)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
