/*
 * http_lab.h -- what the tests of the HTTP client share: clients over each protocol, one request.
 */
#ifndef BRISK_TESTS_HTTP_LAB_H
#define BRISK_TESTS_HTTP_LAB_H

#include <brisk/clock.h>
#include <brisk/http_client.h>

#include "support/check.h"
#include "support/registry_server.h"

typedef enum lab_protocol { LAB_TLS2, LAB_TLS1, LAB_PLAIN1, LAB_PROTOCOLS } lab_protocol;

static const uint64_t lab_ms = 1000000;

static inline const char *lab_base(const registry_server *s, lab_protocol protocol)
{
    return protocol <= LAB_TLS1 ? s->https : s->http;
}

static inline bool lab_is_h2(lab_protocol protocol)
{
    return protocol == LAB_TLS2;
}

/* A client of that protocol; `opts` may say more. */
static inline brisk_http_client *lab_client(const registry_server *s, lab_protocol protocol,
                                            const brisk_http_client_opts *opts)
{
    brisk_http_client_opts o = opts != NULL ? *opts : (brisk_http_client_opts){0};
    brisk_http_client *client = NULL;
    brisk_errinfo info = {.text = ""};
    o.ca_file = o.ca_file != NULL ? o.ca_file : s->ca;
    o.http1 = protocol == LAB_TLS1 || protocol == LAB_PLAIN1;
    o.seed = 1;
    if (brisk_http_client_create(&o, &client, &info) != BRISK_OK) {
        fail_msg("%s", info.text);
    }
    return client;
}

typedef struct lab_url {
    char text[2048];
} lab_url;

static inline lab_url lab_join(const char *base, const char *path)
{
    lab_url url;
    int size = snprintf(url.text, sizeof url.text, "%s%s", base, path);
    CHECK(size > 0 && (size_t)size < sizeof url.text);
    return url;
}

/* The server under its other name. */
static inline lab_url other_name(const char *base)
{
    lab_url url;
    const char *port = strrchr(base, ':');
    (void)snprintf(url.text, sizeof url.text, "%.*slocalhost%.20s",
                   (int)(strstr(base, "://") + 3 - base), base, port);
    return url;
}

/* The answer to one request; the URL is base and path. */
static inline brisk_http_response *lab_ask(brisk_http_client *client, const char *base,
                                           const char *path, const brisk_http_request *more)
{
    brisk_http_request request = more != NULL ? *more : (brisk_http_request){0};
    brisk_http_response *response = NULL;
    brisk_errinfo info = {.text = ""};
    lab_url url = lab_join(base, path);
    request.url = url.text;
    if (brisk_http_run(client, &request, &response, &info) != BRISK_OK) {
        fail_msg("%s", info.text);
    }
    return response;
}

static inline void lab_check_letters(const unsigned char *body, size_t size, size_t expected)
{
    CHECK_U64(size, ==, expected);
    for (size_t i = 0; i < size; i++) {
        if (body[i] != 'a' + i % 26) {
            fail_msg("byte %zu of %zu is wrong", i, size);
        }
    }
}

static inline brisk_http_stats lab_stats(brisk_http_client *client)
{
    brisk_http_stats stats;
    brisk_http_client_read_stats(client, &stats);
    return stats;
}

/* Skips the program without libcurl or the server. */
static inline bool lab_is_possible(void)
{
    brisk_errinfo info = {.text = ""};
    if (brisk_http_client_probe(&info) != BRISK_OK) {
        print_message("skipped: %s\n", info.text);
        return false;
    }
    return registry_server_is_there();
}

#endif /* BRISK_TESTS_HTTP_LAB_H */
