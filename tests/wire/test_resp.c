/*
 * test_resp.c -- requests and replies, whole and in pieces; hostile ones; what the writer writes is
 * what the readers read.
 */
#include <math.h>
#include <string.h>

#include "support/check.h"
#include "support/fault_alloc.h"
#include "wire/resp.h"

#define LITERAL(text) (text), sizeof(text) - 1

static void check_arg(const resp_requests *requests, size_t i, const char *text)
{
    resp_bytes arg = requests->args.items[requests->first + i];
    if (!resp_bytes_equal(arg, text)) {
        fail_msg("argument %zu is '%.*s', not '%s'", i, (int)arg.size, (const char *)arg.data,
                 text);
    }
}

/* Give `text` in two pieces, the second in another place, cut at `cut`. */
static resp_status read_cut(resp_requests *requests, const char *text, size_t size, size_t cut)
{
    static unsigned char place[2][4096];
    memcpy(place[0], text, cut);
    resp_status status = resp_requests_read(requests, place[0], cut);
    if (status != RESP_MORE) {
        return status;
    }
    memcpy(place[1], place[0], cut); /* what was unescaped stays so */
    memcpy(place[1] + cut, text + cut, size - cut);
    memset(place[0], 'x', sizeof place[0]);
    return resp_requests_read(requests, place[1], size);
}

static void test_array_cut_anywhere(void **state)
{
    (void)state;
    static const char text[] = "*3\r\n$3\r\nSET\r\n$5\r\nhello\r\n$13\r\nwor\r\nld 12345\r\n";
    for (size_t cut = 0; cut < sizeof text - 1; cut++) {
        resp_requests requests;
        resp_requests_init(&requests, NULL, NULL);
        assert_int_equal(read_cut(&requests, LITERAL(text), cut), RESP_DONE);
        CHECK_U64(requests.count, ==, 3);
        CHECK_U64(requests.used, ==, sizeof text - 1);
        check_arg(&requests, 0, "SET");
        check_arg(&requests, 1, "hello");
        check_arg(&requests, 2, "wor\r\nld 12345");
        resp_requests_deinit(&requests);
    }
}

static void test_inline_cut_anywhere(void **state)
{
    (void)state;
    static const char text[] = "  set \"a\\x41\\n\\\"b\"  'c\\'d' plain\\n\r\n";
    for (size_t cut = 0; cut < sizeof text - 1; cut++) {
        resp_requests requests;
        resp_requests_init(&requests, NULL, NULL);
        assert_int_equal(read_cut(&requests, LITERAL(text), cut), RESP_DONE);
        CHECK_U64(requests.count, ==, 4);
        CHECK_U64(requests.used, ==, sizeof text - 1);
        check_arg(&requests, 0, "set");
        check_arg(&requests, 1, "aA\n\"b");
        check_arg(&requests, 2, "c'd");
        check_arg(&requests, 3, "plain\\n");
        resp_requests_deinit(&requests);
    }
}

static void test_batch_keeps_arguments(void **state)
{
    (void)state;
    unsigned char text[] =
        "*1\r\n$4\r\nPING\r\nget x\r\n*2\r\n$3\r\nGET\r\n$1\r\ny\r\n*2\r\n$3\r\nGE";
    resp_requests requests;
    resp_requests_init(&requests, NULL, NULL);
    size_t at = 0;
    size_t size = sizeof text - 1;
    size_t firsts[3];
    for (int i = 0; i < 3; i++) {
        assert_int_equal(resp_requests_read(&requests, text + at, size - at), RESP_DONE);
        firsts[i] = requests.first;
        at += requests.used;
    }
    assert_int_equal(resp_requests_read(&requests, text + at, size - at), RESP_MORE);
    CHECK(resp_bytes_equal(requests.args.items[firsts[0]], "PING"));
    CHECK(resp_bytes_equal(requests.args.items[firsts[1] + 1], "x"));
    CHECK(resp_bytes_equal(requests.args.items[firsts[2] + 1], "y"));
    resp_requests_clear(&requests);
    unsigned char rest[] = "*2\r\n$3\r\nGET\r\n$1\r\nz\r\n";
    assert_int_equal(resp_requests_read(&requests, rest, sizeof rest - 1), RESP_DONE);
    check_arg(&requests, 0, "GET");
    check_arg(&requests, 1, "z");
    resp_requests_deinit(&requests);
}

static void check_bad(const char *text, size_t size, const char *error)
{
    static unsigned char copy[RESP_LINE_MAX + 4096];
    resp_requests requests;
    resp_requests_init(&requests, NULL, NULL);
    memcpy(copy, text, size);
    assert_int_equal(resp_requests_read(&requests, copy, size), RESP_BAD);
    assert_string_equal(requests.error, error);
    resp_requests_deinit(&requests);
}

static void test_bad_requests(void **state)
{
    (void)state;
    check_bad(LITERAL("*3\r\n$3\r\nSET\r\nx\r\n"), "expected '$', got 'x'");
    check_bad(LITERAL("*3000000000\r\n"), "invalid multibulk length");
    check_bad(LITERAL("*1x\r\n"), "invalid multibulk length");
    check_bad(LITERAL("*01\r\n"), "invalid multibulk length");
    check_bad(LITERAL("*99999999999999999999\r\n"), "invalid multibulk length");
    check_bad(LITERAL("*1\r\n$-10\r\n"), "invalid bulk length");
    check_bad(LITERAL("*1\r\n$2000000000\r\n"), "invalid bulk length");
    check_bad(LITERAL("*1\r\n$blabla\r\n"), "invalid bulk length");
    check_bad(LITERAL("set \"a\r\n"), "unbalanced quotes in request");
    check_bad(LITERAL("set \"a\"b\r\n"), "unbalanced quotes in request");
    static char line[RESP_LINE_MAX + 100];
    memset(line, '1', sizeof line);
    check_bad(line, sizeof line, "too big inline request");
    line[0] = '*';
    check_bad(line, sizeof line, "too big mbulk count string");
    memcpy(line, "*1\r\n$", 5);
    check_bad(line, sizeof line, "too big bulk count string");
}

static void test_empty_and_negative_counts_do_nothing(void **state)
{
    (void)state;
    static const char *const texts[] = {"*0\r\n", "*-10\r\n", "\r\n", "  \r\n", "\n"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        resp_requests requests;
        resp_requests_init(&requests, NULL, NULL);
        unsigned char copy[16];
        memcpy(copy, texts[i], strlen(texts[i]));
        assert_int_equal(resp_requests_read(&requests, copy, strlen(texts[i])), RESP_DONE);
        CHECK_U64(requests.count, ==, 0);
        CHECK_U64(requests.used, ==, strlen(texts[i]));
        resp_requests_deinit(&requests);
    }
}

static void test_strangers_have_small_limits(void **state)
{
    (void)state;
    resp_request_limits limits = {.args_max = 10, .bulk_max = 16384};
    resp_requests requests;
    unsigned char many[] = "*11\r\n";
    resp_requests_init(&requests, &limits, NULL);
    assert_int_equal(resp_requests_read(&requests, many, sizeof many - 1), RESP_BAD);
    assert_string_equal(requests.error, "unauthenticated multibulk length");
    resp_requests_deinit(&requests);
    unsigned char large[] = "*1\r\n$16385\r\n";
    resp_requests_init(&requests, &limits, NULL);
    assert_int_equal(resp_requests_read(&requests, large, sizeof large - 1), RESP_BAD);
    assert_string_equal(requests.error, "unauthenticated bulk length");
    resp_requests_deinit(&requests);
}

/* --- replies ------------------------------------------------------------------------------ */

static const char every_type[] =
    "*14\r\n+ok\r\n-ERR "
    "no\r\n:-12\r\n$3\r\na\r\n\r\n$-1\r\n*-1\r\n_\r\n#t\r\n,1.5\r\n(123456789012345678901\r\n"
    "!5\r\nERR x\r\n=7\r\ntxt:abc\r\n%1\r\n+k\r\n*0\r\n~2\r\n:1\r\n:2\r\n";

static void check_every_type(const resp_replies *replies)
{
    const resp_node *n = resp_replies_value(replies);
    CHECK_U64(replies->used, ==, sizeof every_type - 1);
    CHECK(n[0].type == RESP_ARRAY && n[0].count == 14 && n[0].nodes == 19);
    CHECK(n[1].type == RESP_STRING && resp_bytes_equal(n[1].bytes, "ok"));
    CHECK(n[2].type == RESP_ERROR && resp_bytes_equal(n[2].bytes, "ERR no"));
    CHECK(n[3].type == RESP_INTEGER && n[3].integer == -12);
    CHECK(n[4].type == RESP_BULK && resp_bytes_equal(n[4].bytes, "a\r\n"));
    CHECK(n[5].type == RESP_NULL && n[6].type == RESP_NULL && n[7].type == RESP_NULL);
    CHECK(n[8].type == RESP_BOOLEAN && n[8].integer == 1);
    CHECK(n[9].type == RESP_DOUBLE && fabs(n[9].number - 1.5) < 1e-9);
    CHECK(n[10].type == RESP_BIG_NUMBER && n[10].bytes.size == 21);
    CHECK(n[11].type == RESP_ERROR && resp_bytes_equal(n[11].bytes, "ERR x"));
    CHECK(n[12].type == RESP_BULK && resp_bytes_equal(n[12].bytes, "abc"));
    CHECK(n[13].type == RESP_MAP && n[13].count == 2 && n[13].nodes == 3);
    CHECK(n[15].type == RESP_ARRAY && n[15].count == 0);
    CHECK(n[16].type == RESP_SET && n[16].count == 2 && n[18].integer == 2);
}

static void test_every_reply_cut_anywhere(void **state)
{
    (void)state;
    static unsigned char place[2][4096];
    for (size_t cut = 0; cut < sizeof every_type - 1; cut++) {
        resp_replies replies;
        resp_replies_init(&replies, NULL, NULL);
        memcpy(place[0], every_type, cut);
        assert_int_equal(resp_replies_read(&replies, place[0], cut), RESP_MORE);
        memset(place[0], 'x', cut);
        memcpy(place[1], every_type, sizeof every_type - 1);
        assert_int_equal(resp_replies_read(&replies, place[1], sizeof every_type - 1), RESP_DONE);
        check_every_type(&replies);
        resp_replies_deinit(&replies);
    }
}

static void test_attributes_stand_before_their_value(void **state)
{
    (void)state;
    static const char text[] =
        "|1\r\n+ttl\r\n*1\r\n:3\r\n*2\r\n|0\r\n+a\r\n|1\r\n+x\r\n+y\r\n+b\r\n:7\r\n";
    resp_replies replies;
    resp_replies_init(&replies, NULL, NULL);
    assert_int_equal(resp_replies_read(&replies, (const unsigned char *)text, sizeof text - 1),
                     RESP_DONE);
    CHECK_U64(replies.value, ==, 4);
    CHECK_U64(replies.used, ==, sizeof text - 1 - 4);
    const resp_node *n = resp_replies_value(&replies);
    CHECK(n->type == RESP_ARRAY && n->count == 2 && n->nodes == 7);
    resp_replies_deinit(&replies);
}

static void test_bad_replies(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "hello\r\n",     ":x\r\n",    ":\r\n",    "$5x\r\n",        "$3\r\nabcd\r\n",
        "#x\r\n",        ",1.5x\r\n", "(12a\r\n", "*-2\r\n",        "%-1\r\n",
        "=3\r\nabc\r\n", "+a\rb\r\n", "$?\r\n",   "*99999999\r\n",  "!-1\r\n",
        "_x\r\n",        ",0x10\r\n", "(\r\n",    "$600000000\r\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        resp_replies replies;
        resp_replies_init(&replies, NULL, NULL);
        resp_status status =
            resp_replies_read(&replies, (const unsigned char *)texts[i], strlen(texts[i]));
        if (status != RESP_BAD) {
            fail_msg("'%s' was not refused", texts[i]);
        }
        CHECK(replies.error != NULL);
        resp_replies_deinit(&replies);
    }
}

static void test_nesting_is_limited(void **state)
{
    (void)state;
    char text[4 * (RESP_DEPTH_MAX + 2)];
    for (uint32_t depth = RESP_DEPTH_MAX; depth <= RESP_DEPTH_MAX + 1; depth++) {
        for (uint32_t i = 0; i < depth; i++) {
            memcpy(text + (size_t)4 * i, "*1\r\n", 4);
        }
        memcpy(text + (size_t)4 * depth, ":1\r\n", 4);
        resp_replies replies;
        resp_replies_init(&replies, NULL, NULL);
        assert_int_equal(
            resp_replies_read(&replies, (const unsigned char *)text, (size_t)4 * depth + 4),
            depth <= RESP_DEPTH_MAX ? RESP_DONE : RESP_BAD);
        resp_replies_deinit(&replies);
    }
}

/* --- writing ------------------------------------------------------------------------------ */

static void write_all(resp_writer *w)
{
    size_t mark = w->size;
    resp_put_status(w, "OK");
    resp_put_error(w, "ERR a\r\nb");
    resp_put_integer(w, INT64_MIN);
    resp_put_bulk(w, "x\0y", 3);
    resp_put_integer_bulk(w, -42);
    resp_put_null(w);
    resp_put_null_array(w);
    resp_put_bool(w, true);
    resp_put_double(w, 2.5);
    resp_put_verbatim(w, "abc", 3);
    resp_put_array(w, 0);
    resp_put_map(w, 1);
    resp_put_text(w, "k");
    resp_put_integer(w, 7);
    resp_put_set(w, 1);
    resp_put_integer(w, 1234567890);
    resp_put_push(w, 0);
    resp_put_count_before(w, mark, RESP_ARRAY, 14);
}

static void test_what_is_written_is_read(void **state)
{
    (void)state;
    for (uint8_t protocol = 2; protocol <= 3; protocol++) {
        resp_writer w;
        resp_writer_init(&w, NULL, 0);
        w.protocol = protocol;
        write_all(&w);
        CHECK_OK(w.err);
        resp_replies replies;
        resp_replies_init(&replies, NULL, NULL);
        assert_int_equal(resp_replies_read(&replies, w.data, w.size), RESP_DONE);
        CHECK_U64(replies.used, ==, w.size);
        const resp_node *n = resp_replies_value(&replies);
        CHECK_U64(n->count, ==, 14);
        CHECK(resp_bytes_equal(n[2].bytes, "ERR a  b"));
        CHECK(n[3].integer == INT64_MIN);
        CHECK(n[4].bytes.size == 3 && resp_bytes_equal(n[5].bytes, "-42"));
        CHECK(n[8].type == (protocol == 3 ? RESP_BOOLEAN : RESP_INTEGER) && n[8].integer == 1);
        CHECK(n[9].type == (protocol == 3 ? RESP_DOUBLE : RESP_BULK));
        CHECK(resp_bytes_equal(n[10].bytes, "abc"));
        CHECK(n[12].type == (protocol == 3 ? RESP_MAP : RESP_ARRAY) && n[12].count == 2);
        CHECK(n[15].type == (protocol == 3 ? RESP_SET : RESP_ARRAY));
        CHECK(n[17].type == (protocol == 3 ? RESP_PUSH : RESP_ARRAY));
        resp_replies_deinit(&replies);
        resp_writer_deinit(&w);
    }
}

static void test_writer_limit_is_kept(void **state)
{
    (void)state;
    resp_writer w;
    resp_writer_init(&w, NULL, 1000);
    for (int i = 0; i < 100; i++) {
        resp_put_bulk(&w, "0123456789", 10);
    }
    assert_int_equal(w.err, BRISK_ERR_LIMIT);
    CHECK_U64(w.size, <=, 1000);
    size_t size = w.size;
    resp_put_status(&w, "OK");
    CHECK_U64(w.size, ==, size);
    resp_writer_reset(&w, 0);
    resp_put_status(&w, "OK");
    CHECK(w.err == BRISK_OK && w.size == 5);
    resp_writer_deinit(&w);
}

static void test_numbers(void **state)
{
    (void)state;
    static const int64_t values[] = {0, 1, -1, 9, 10, 99, INT64_MAX, INT64_MIN, 1234567890123};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        char text[RESP_I64_TEXT];
        int64_t back = 77;
        size_t size = resp_format_i64(text, values[i]);
        CHECK(resp_parse_i64((const unsigned char *)text, size, &back) && back == values[i]);
    }
    static const char *const bad[] = {"",
                                      "-",
                                      "+1",
                                      "01",
                                      "-0",
                                      " 1",
                                      "1 ",
                                      "9223372036854775808",
                                      "-9223372036854775809",
                                      "99999999999999999999",
                                      "1e3"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int64_t back = 77;
        CHECK(!resp_parse_i64((const unsigned char *)bad[i], strlen(bad[i]), &back) && back == 77);
    }
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    bool whole = false;
    for (uint64_t fail_after = 0; !whole; fail_after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, fail_after);
        resp_writer w;
        resp_requests requests;
        resp_replies replies;
        resp_writer_init(&w, &fault.base, 0);
        resp_requests_init(&requests, NULL, &fault.base);
        resp_replies_init(&replies, NULL, &fault.base);
        resp_put_array(&w, 40);
        for (int i = 0; i < 40; i++) {
            resp_put_bulk(&w, "0123456789", 10);
        }
        bool wrote = w.err == BRISK_OK;
        CHECK(wrote || w.err == BRISK_ERR_NOMEM);
        bool read = wrote && resp_requests_read(&requests, w.data, w.size) == RESP_DONE;
        whole = read && resp_replies_read(&replies, w.data, w.size) == RESP_DONE;
        CHECK(whole || !wrote || requests.error != NULL || replies.error != NULL);
        resp_writer_deinit(&w);
        resp_requests_deinit(&requests);
        resp_replies_deinit(&replies);
        CHECK_U64(fault.bytes_held, ==, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_array_cut_anywhere),
        cmocka_unit_test(test_inline_cut_anywhere),
        cmocka_unit_test(test_batch_keeps_arguments),
        cmocka_unit_test(test_bad_requests),
        cmocka_unit_test(test_empty_and_negative_counts_do_nothing),
        cmocka_unit_test(test_strangers_have_small_limits),
        cmocka_unit_test(test_every_reply_cut_anywhere),
        cmocka_unit_test(test_attributes_stand_before_their_value),
        cmocka_unit_test(test_bad_replies),
        cmocka_unit_test(test_nesting_is_limited),
        cmocka_unit_test(test_what_is_written_is_read),
        cmocka_unit_test(test_writer_limit_is_kept),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
