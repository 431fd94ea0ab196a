/*
 * test_options.c -- the option parser: every form, every refusal.
 */
#include "support/check.h"

#include <string.h>

#include "cli/options.h"

enum { ALL, OUTPUT, COUNT, SIZE, TIME, TAG, KEY, OPTION_COUNT };

static const brisk_option options[OPTION_COUNT] = {
    [ALL] = {.name = "all", .letter = 'a'},
    [OUTPUT] = {.name = "output", .letter = 'o', .type = BRISK_OPTION_FILE, .metavar = "OUT"},
    [COUNT] = {.name = "count", .letter = 'n', .type = BRISK_OPTION_U64, .metavar = "N"},
    [SIZE] = {.name = "size", .type = BRISK_OPTION_BYTES, .metavar = "BYTES"},
    [TIME] = {.name = "time", .letter = 'v', .type = BRISK_OPTION_DURATION, .metavar = "TIME"},
    [TAG] = {.name = "tag", .letter = 't', .type = BRISK_OPTION_LIST, .metavar = "TAG"},
    [KEY] = {.name = "key", .type = BRISK_OPTION_LIST, .metavar = "KEY"},
};

/** A parse of words separated by single blanks; "_" stands for the empty word. */
typedef struct parsed {
    cli_state cli;
    cli_parse parse;
    brisk_option_value values[OPTION_COUNT];
    brisk_option_list lists[OPTION_COUNT];
    char text[256];
    char *argv[32];
    int argc;
    int used;
} parsed;

static void parse(parsed *p, const char *line, bool first_word)
{
    memset(p, 0, sizeof *p);
    (void)snprintf(p->text, sizeof p->text, "%s", line);
    for (char *at = p->text; *at != '\0';) {
        size_t length = strcspn(at, " ");
        bool more = at[length] == ' ';
        at[length] = '\0';
        p->argv[p->argc++] = strcmp(at, "_") == 0 ? at + 1 : at;
        at += length + (more ? 1 : 0);
    }
    p->parse = (cli_parse){.cli = &p->cli,
                           .options = options,
                           .option_count = OPTION_COUNT,
                           .values = p->values,
                           .lists = p->lists,
                           .first_word = first_word};
    p->used = cli_parse_args(&p->parse, p->argc, p->argv);
}

static void expect_words(const parsed *p, const char *wanted)
{
    char got[256] = "";
    for (int i = 0; i < p->parse.word_count; i++) {
        size_t length = strlen(got);
        (void)snprintf(got + length, sizeof got - length, "%s%s", i > 0 ? " " : "", p->argv[i]);
    }
    assert_string_equal(got, wanted);
}

static void expect_refusal(const char *line, const char *message)
{
    parsed p;
    parse(&p, line, false);
    assert_int_equal(p.used, -1);
    assert_string_equal(p.parse.message, message);
}

static void test_long_forms(void **state)
{
    (void)state;
    parsed p;
    parse(&p, "x --output=a=b --all y --count 7 z", false);
    assert_int_equal(p.used, 7);
    expect_words(&p, "x y z");
    assert_string_equal(p.values[OUTPUT].text, "a=b");
    CHECK(p.values[ALL].set && p.values[COUNT].set && !p.values[SIZE].set);
    CHECK_U64(p.values[COUNT].number, ==, 7);
    parse(&p, "--output --all --size=64KiB --time 1.5ms", false);
    assert_string_equal(p.values[OUTPUT].text, "--all");
    CHECK(!p.values[ALL].set);
    CHECK_U64(p.values[SIZE].number, ==, 65536);
    CHECK_U64(p.values[TIME].number, ==, 1500000);
    parse(&p, "--output= x", false);
    assert_string_equal(p.values[OUTPUT].text, "");
    expect_words(&p, "x");
}

static void test_short_forms(void **state)
{
    (void)state;
    parsed p;
    parse(&p, "-aofile x", false);
    CHECK(p.values[ALL].set);
    assert_string_equal(p.values[OUTPUT].text, "file");
    expect_words(&p, "x");
    parse(&p, "-ao file -n3 -n 4", false);
    assert_string_equal(p.values[OUTPUT].text, "file");
    CHECK_U64(p.values[COUNT].number, ==, 4);
    parse(&p, "-o -", false);
    assert_string_equal(p.values[OUTPUT].text, "-");
}

static void test_lists_keep_their_order(void **state)
{
    (void)state;
    parsed p;
    parse(&p, "--tag a --key x -tb --key=y w --tag=c --key z -t d", false);
    static const char *const tags[] = {"a", "b", "c", "d"};
    static const char *const keys[] = {"x", "y", "z"};
    CHECK_U64(p.lists[TAG].count, ==, 4);
    CHECK_U64(p.lists[KEY].count, ==, 3);
    for (uint32_t i = 0; i < 4; i++) {
        assert_string_equal(p.lists[TAG].texts[i], tags[i]);
    }
    for (uint32_t i = 0; i < 3; i++) {
        assert_string_equal(p.lists[KEY].texts[i], keys[i]);
    }
    CHECK(p.values[TAG].set && p.lists[OUTPUT].count == 0);
    assert_string_equal(p.values[TAG].text, "d");
    expect_words(&p, "w");
    expect_refusal("--tag", "option '--tag' needs a value: TAG");

    static parsed full;
    static char tag[] = "-tx";
    memset(&full, 0, sizeof full);
    full.parse = (cli_parse){.cli = &full.cli,
                             .options = options,
                             .option_count = OPTION_COUNT,
                             .values = full.values,
                             .lists = full.lists};
    char *argv[1] = {tag};
    for (uint32_t i = 0; i < CLI_LISTED_MAX; i++) {
        assert_int_equal(cli_parse_args(&full.parse, 1, argv), 1);
    }
    argv[0] = tag;
    assert_int_equal(cli_parse_args(&full.parse, 1, argv), -1);
    assert_string_equal(full.parse.message, "too many --tag, at 'x'");
}

static void test_words(void **state)
{
    (void)state;
    parsed p;
    parse(&p, "a - _ b", false);
    assert_int_equal(p.parse.word_count, 4);
    parse(&p, "a -- --all -x -- b", false);
    expect_words(&p, "a --all -x -- b");
    CHECK(!p.values[ALL].set);
    parse(&p, "", false);
    assert_int_equal(p.used, 0);
    assert_int_equal(p.parse.word_count, 0);
}

static void test_a_command_hides_a_global_letter(void **state)
{
    (void)state;
    parsed p;
    parse(&p, "-v 10s -q", false);
    CHECK_U64(p.values[TIME].number, ==, UINT64_C(10000000000));
    assert_int_equal(p.cli.verbosity, -1);
}

static void test_globals(void **state)
{
    (void)state;
    parsed p;
    parse(&p, "--verbose --verbose --verbose --config f --set a=b --set=c=d=e x", false);
    assert_int_equal(p.cli.verbosity, 2);
    assert_string_equal(p.cli.config_path, "f");
    CHECK_U64(p.cli.setting_count, ==, 2);
    assert_string_equal(p.cli.settings[1], "c=d=e");
    expect_words(&p, "x");
}

static void test_help_ends_the_parse(void **state)
{
    (void)state;
    parsed p;
    parse(&p, "-ah --nonsense", false);
    CHECK(p.cli.help);
    assert_int_equal(p.used, 2);
    parse(&p, "--nonsense -h", false);
    assert_int_equal(p.used, -1);
}

static void test_stop_before_the_first_word(void **state)
{
    (void)state;
    parsed p;
    parse(&p, "-a --set x=y word -a", true);
    assert_int_equal(p.used, 3);
    assert_string_equal(p.argv[3], "word");
    parse(&p, "-h word", true);
    CHECK(p.cli.help);
    assert_int_equal(p.used, 1);
    parse(&p, "-a -- word", true);
    assert_int_equal(p.used, 2);
    parse(&p, "-a", true);
    assert_int_equal(p.used, 1);
}

static void test_refusals(void **state)
{
    (void)state;
    expect_refusal("--ouput x", "unknown option '--ouput'; did you mean '--output'?");
    expect_refusal("--ouput=x", "unknown option '--ouput'; did you mean '--output'?");
    expect_refusal("--verbsoe", "unknown option '--verbsoe'; did you mean '--verbose'?");
    expect_refusal("--zzzzzz", "unknown option '--zzzzzz'");
    expect_refusal("--outpu x", "unknown option '--outpu'; did you mean '--output'?");
    expect_refusal("-az", "unknown option '-z'");
    expect_refusal("--all=1", "this option takes no value: '--all=1'");
    expect_refusal("--output", "option '--output' needs a value: OUT");
    expect_refusal("-o", "option '--output' needs a value: OUT");
    expect_refusal("--count x", "--count takes a whole number, not 'x'");
    expect_refusal("--count -1", "--count takes a whole number, not '-1'");
    expect_refusal("--count _", "--count takes a whole number, not ''");
    expect_refusal("--count 18446744073709551616",
                   "--count takes a whole number, not '18446744073709551616'");
    expect_refusal("--size 1parsec", "--size takes a size such as 64MiB, not '1parsec'");
    expect_refusal("--time soon", "--time takes a duration such as 10s or 1.5ms, not 'soon'");
    expect_refusal("--set x", "--set takes KNOB=VALUE, not 'x'");
    expect_refusal("--set =x", "--set takes KNOB=VALUE, not '=x'");
    expect_refusal("--=x", "unknown option '--'");
}

/* Property: whatever the arguments, the parse ends, and what it calls words were arguments. */
static void test_any_arguments(void **state)
{
    (void)state;
    static const char *const pieces[] = {"-",      "--",    "--all", "-a", "-o",        "--output",
                                         "--size", "1",     "x",     "",   "--output=", "-an1",
                                         "-an",    "--set", "a=b",   "-q", "--=",       "-\x01"};
    uint64_t random = check_seed();
    for (int round = 0; round < 20000; round++) {
        parsed p;
        memset(&p, 0, sizeof p);
        char *before[16];
        p.argc = (int)(check_random(&random) % 16);
        for (int i = 0; i < p.argc; i++) {
            size_t piece = check_random(&random) % (sizeof pieces / sizeof pieces[0]);
            p.argv[i] = (char *)(uintptr_t)pieces[piece];
            before[i] = p.argv[i];
        }
        p.parse = (cli_parse){
            .cli = &p.cli, .options = options, .option_count = OPTION_COUNT, .values = p.values};
        int used = cli_parse_args(&p.parse, p.argc, p.argv);
        CHECK(used == -1 ? p.parse.message[0] != '\0' : used == p.argc);
        int at = 0;
        for (int w = 0; w < p.parse.word_count; w++) {
            while (at < p.argc && before[at] != p.argv[w]) {
                at++;
            }
            CHECK(at++ < p.argc); /* in their order */
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_long_forms),
        cmocka_unit_test(test_short_forms),
        cmocka_unit_test(test_lists_keep_their_order),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_a_command_hides_a_global_letter),
        cmocka_unit_test(test_globals),
        cmocka_unit_test(test_help_ends_the_parse),
        cmocka_unit_test(test_stop_before_the_first_word),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_any_arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
