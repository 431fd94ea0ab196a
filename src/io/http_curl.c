/*
 * http_curl.c -- the table behind io/http_curl.h.
 *
 * Invariant: `so` and `result` are written once, under `once`.
 */
#include "io/http_curl.h"

#include <pthread.h>
#include <string.h>

static const char *const names[] = {HTTP_CURL_FUNCTIONS(WIRE_LIBRARY_NAME)};

static http_curl so;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static brisk_errinfo result;

static void load(void)
{
    void *table[sizeof names / sizeof names[0]];
    result.code =
        wire_library_load("libcurl.so.4", names, table, sizeof names / sizeof names[0], &result);
    if (result.code != BRISK_OK) {
        return;
    }
    memcpy(&so, table, sizeof so);
    if (so.curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        result.code = brisk_errinfo_set(&result, BRISK_ERR_NOMEM, "libcurl does not start");
    }
}

brisk_err http_curl_load(brisk_errinfo *info)
{
    (void)pthread_once(&once, load);
    return result.code == BRISK_OK ? BRISK_OK
                                   : brisk_errinfo_set(info, result.code, "HTTP: %s", result.text);
}

const http_curl *http_curl_get(void)
{
    return &so;
}
