/*
 * test_encode_accept.c -- Accept-Encoding: weights, what is refused, what is not understood.
 */
#include <string.h>

#include "daemon/encode/accept.h"
#include "support/check.h"

enum {
    I = 1 << ENCODE_IDENTITY,
    G = 1 << ENCODE_GZIP,
    B = 1 << ENCODE_BROTLI,
    Z = 1 << ENCODE_ZSTD,
    D = 1 << ENCODE_DCZ,
};

static const struct {
    const char *text;
    uint32_t set;
} cases[] = {
    {"", I},
    {"gzip", I | G},
    {"gzip, br, zstd", I | G | B | Z},
    {"gzip, deflate, br, zstd, dcb, dcz", I | G | B | Z | D},
    {"  GZIP  ,\tBr", I | G | B},
    {"x-gzip", I | G},
    {"deflate, compress", I},
    {"gzip;q=1.0, br;q=0.5", I | G},
    {"gzip;q=0.5, br;q=0.5", I | G | B},
    {"gzip;q=0.501, br;q=0.5", I | G},
    {"gzip;q=0", I},
    {"gzip;q=0.000, br;q=0.001", I | B},
    {"*", I | G | B | Z},
    {"*;q=0", 0},
    {"*;q=0, gzip", G},
    {"identity;q=0", 0},
    {"identity;q=0, gzip", G},
    {"identity;q=0, gzip;q=0", 0},
    {"identity;q=0, *;q=0.1", G | B | Z},
    {"identity, gzip;q=0.5", I},
    {"identity;q=0.5, gzip", I | G},
    {"identity;q=0.5, gzip;q=0.5", I | G},
    {"br;q=1.001", I},
    {"br;q=2", I},
    {"br;q=-1", I},
    {"br;q=", I},
    {"br;q=0.1234", I},
    {"br;q=.5", I},
    {"br;Q=1", I | B},
    {"br;x=y;q=1", I | B},
    {"br ; q = 1", I | B},
    {"br;q=0.x, gzip", I | G},
    {",,, gzip,,", I | G},
    {"gzip, gzip;q=0", I},
    {"zstdx, xbr, gzi", I},
    {";q=1", I},
    {"gzip;q=1;q=0", I},
};

static void test_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        http_text text = {cases[i].text, strlen(cases[i].text)};
        uint32_t set = encode_accept(&text);
        if (set != cases[i].set) {
            fail_msg("\"%s\": %u, not %u", cases[i].text, set, cases[i].set);
        }
    }
}

static void test_no_field_is_identity(void **state)
{
    (void)state;
    CHECK_U64(encode_accept(NULL), ==, I);
}

/* Whatever comes: only known bits, and a refused coding never. */
static void test_random_bytes(void **state)
{
    (void)state;
    static const char *const words[] = {"gzip", "br", "zstd", "identity", "*",  ";q=0", ";q=1",
                                        ",",    ";",  "=",    " ",        "q=", "0.5",  "dcz"};
    uint64_t random = check_seed();
    for (int round = 0; round < 20000; round++) {
        char text[128];
        size_t size = 0;
        for (uint64_t n = check_random(&random) % 12; n > 0; n--) {
            const char *word = words[check_random(&random) % (sizeof words / sizeof words[0])];
            memcpy(text + size, word, strlen(word));
            size += strlen(word);
        }
        static const char last[] = ",gzip;q=0";
        memcpy(text + size, last, sizeof last - 1);
        http_text value = {text, size + sizeof last - 1};
        uint32_t set = encode_accept(&value);
        CHECK_U64(set & ~(uint32_t)ENCODE_ANY, ==, 0);
        CHECK_U64(set & G, ==, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_no_field_is_identity),
        cmocka_unit_test(test_random_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
