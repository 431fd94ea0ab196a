/*
 * test_hmac.c -- the vectors of RFC 4231, pieces, copies.
 */
#include <string.h>

#include "support/check.h"
#include "wire/hmac.h"

static void check_vector(const void *key, size_t key_size, const char *data, const char *expected)
{
    wire_hmac hmac;
    wire_hmac_init(&hmac, key, key_size);
    for (size_t cut = 0; cut <= strlen(data); cut++) {
        wire_hmac copy = hmac;
        unsigned char code[WIRE_HMAC_BYTES];
        char text[2 * WIRE_HMAC_BYTES + 1];
        wire_hmac_update(&copy, data, cut);
        wire_hmac_update(&copy, data + cut, strlen(data) - cut);
        wire_hmac_digest(&copy, code);
        for (size_t i = 0; i < sizeof code; i++) {
            (void)snprintf(text + 2 * i, 3, "%02x", code[i]);
        }
        assert_string_equal(text, expected);
    }
}

static void test_vectors(void **state)
{
    (void)state;
    unsigned char key[131];
    memset(key, 0x0b, 20);
    check_vector(key, 20, "Hi There",
                 "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    check_vector("Jefe", 4, "what do ya want for nothing?",
                 "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, sizeof key);
    check_vector(key, 131, "Test Using Larger Than Block-Size Key - Hash Key First",
                 "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

static void test_equal_looks_at_every_byte(void **state)
{
    (void)state;
    unsigned char a[WIRE_HMAC_BYTES] = {1, 2, 3};
    unsigned char b[WIRE_HMAC_BYTES];
    for (int bit = 0; bit < 8 * WIRE_HMAC_BYTES; bit++) {
        memcpy(b, a, sizeof b);
        CHECK(wire_hmac_equal(a, b));
        b[bit / 8] ^= (unsigned char)(1 << bit % 8);
        CHECK(!wire_hmac_equal(a, b));
    }
    wire_hmac hmac;
    wire_hmac_init(&hmac, "secret", 6);
    wire_hmac_wipe(&hmac);
    const wire_hmac nothing = {.opaque = {0}};
    CHECK(memcmp(&hmac, &nothing, sizeof hmac) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_equal_looks_at_every_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
