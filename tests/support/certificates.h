/*
 * certificates.h -- self-made certificates in a folder, by the openssl program.
 *
 *     if (!certificates_make(folder)) { skip(); }
 *
 * ca.pem signs server.pem (localhost, 127.0.0.1, ::1) and client.pem; other.pem signs nothing.
 * Keys: the same names with .key.
 */
#ifndef BRISK_TESTS_CERTIFICATES_H
#define BRISK_TESTS_CERTIFICATES_H

#include <stdbool.h>

#include "support/check.h"

static inline bool certificates_run(const char *folder, const char *commands)
{
    char line[2048];
    int length = snprintf(line, sizeof line, "cd '%s' && { %s ; } >log 2>&1", folder, commands);
    assert_true(length > 0 && (size_t)length < sizeof line);
    return system(line) == 0; /* NOLINT: a test's own words */
}

#define CERTIFICATES_KEY "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"

static inline bool certificates_sign(const char *folder, const char *name, const char *more)
{
    char commands[1024];
    (void)snprintf(commands, sizeof commands,
                   "openssl req " CERTIFICATES_KEY " -keyout %s.key -out %s.csr -subj /CN=%s &&"
                   " printf '%s' >%s.cnf && openssl x509 -req -in %s.csr -CA ca.pem -CAkey ca.key"
                   " -CAcreateserial -days 2 -extfile %s.cnf -out %s.pem",
                   name, name, name, more, name, name, name, name);
    return certificates_run(folder, commands);
}

static inline bool certificates_make(const char *folder)
{
    if (!certificates_run(folder, "openssl version")) {
        print_message("skipped: no openssl program\n");
        return false;
    }
    char commands[1024];
    (void)snprintf(commands, sizeof commands,
                   "for n in ca other; do openssl req -x509 " CERTIFICATES_KEY
                   " -days 2 -subj /CN=$n -keyout $n.key -out $n.pem; done");
    assert_true(certificates_run(folder, commands));
    assert_true(
        certificates_sign(folder, "server", "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1"));
    assert_true(certificates_sign(folder, "client", "extendedKeyUsage=clientAuth"));
    return true;
}

#endif /* BRISK_TESTS_CERTIFICATES_H */
