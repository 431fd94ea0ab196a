/*
 * http_curl.h -- libcurl's functions, loaded with the first need.
 *
 * Source: D. Stenberg, libcurl, https://curl.se (library).  Linked, it would cost every start of the
 * program 4.7 ms.
 */
#ifndef BRISK_SRC_IO_HTTP_CURL_H
#define BRISK_SRC_IO_HTTP_CURL_H

#define CURL_DISABLE_TYPECHECK /* its macros do not know calls through a table */
#include <curl/curl.h>

#include <brisk/base.h>
#include <brisk/err.h>

#include "wire/library.h"

#define HTTP_CURL_FUNCTIONS(X)                                                                     \
    X(curl_easy_cleanup)                                                                           \
    X(curl_easy_getinfo)                                                                           \
    X(curl_easy_init)                                                                              \
    X(curl_easy_reset)                                                                             \
    X(curl_easy_setopt)                                                                            \
    X(curl_easy_strerror)                                                                          \
    X(curl_free)                                                                                   \
    X(curl_global_init)                                                                            \
    X(curl_multi_add_handle)                                                                       \
    X(curl_multi_cleanup)                                                                          \
    X(curl_multi_info_read)                                                                        \
    X(curl_multi_init)                                                                             \
    X(curl_multi_perform)                                                                          \
    X(curl_multi_poll)                                                                             \
    X(curl_multi_remove_handle)                                                                    \
    X(curl_multi_setopt)                                                                           \
    X(curl_multi_wakeup)                                                                           \
    X(curl_slist_append)                                                                           \
    X(curl_slist_free_all)                                                                         \
    X(curl_url)                                                                                    \
    X(curl_url_cleanup)                                                                            \
    X(curl_url_get)                                                                                \
    X(curl_url_set)

typedef struct http_curl {
    HTTP_CURL_FUNCTIONS(WIRE_LIBRARY_POINTER)
} http_curl;

/* Load it once for the process.  Errors with `info`: UNSUPPORTED, NOMEM; the same each time. */
BRISK_NODISCARD brisk_err http_curl_load(brisk_errinfo *info);
/* After http_curl_load succeeded in this thread, or in one that this one has heard from since. */
const http_curl *http_curl_get(void);

#endif /* BRISK_SRC_IO_HTTP_CURL_H */
