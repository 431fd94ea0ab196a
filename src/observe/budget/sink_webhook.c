/*
 * sink_webhook.c -- an alert as a POST of JSON, over the one HTTP client.
 *
 * Any 2xx is taken; other 4xx than 408 and 429 will not become better by asking again.
 *
 * Threads: one hook, one thread.
 */
#include <string.h>

#include "io/http.h"
#include "observe/budget/sinks.h"

enum { ANSWER_BYTES_MAX = 65536 };

struct budget_hook {
    const brisk_alloc *alloc;
    http_client *client;
};

brisk_err budget_hook_create(const budget_sink *sink, const brisk_alloc *alloc, budget_hook **ret,
                             brisk_errinfo *info)
{
    budget_hook *hook = alloc->acquire(alloc->ctx, sizeof *hook, _Alignof(budget_hook));
    if (hook == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "budget: %s",
                                 brisk_err_message(BRISK_ERR_NOMEM));
    }
    *hook = (budget_hook){.alloc = alloc};
    brisk_err err = http_client_create(&(http_opts){.timeout_ns = sink->timeout_ns,
                                                    .connect_timeout_ns = sink->timeout_ns,
                                                    .body_bytes_max = ANSWER_BYTES_MAX,
                                                    .bearer = sink->bearer,
                                                    .alloc = alloc},
                                       &hook->client, info);
    if (err != BRISK_OK) {
        budget_hook_destroy(hook);
        return err;
    }
    *ret = hook;
    return BRISK_OK;
}

void budget_hook_destroy(budget_hook *hook)
{
    if (hook != NULL) {
        http_client_destroy(hook->client);
        hook->alloc->release(hook->alloc->ctx, hook, sizeof *hook, _Alignof(budget_hook));
    }
}

brisk_err budget_hook_post(budget_hook *hook, const budget_sink *sink, const char *json,
                           size_t size, brisk_errinfo *info)
{
    http_request request = {.method = "POST",
                            .url = sink->where,
                            .body = json,
                            .body_size = size,
                            .headers = {"Content-Type: application/json"}};
    http_response response = {0};
    brisk_err err = http_run(hook->client, &request, &response);
    long status = response.status;
    http_response_deinit(&response);
    if (err != BRISK_OK) { /* the address may hold a secret: it is not in the message */
        return brisk_errinfo_set(info, err, "webhook: %s", brisk_err_message(err));
    }
    if (status >= 200 && status < 300) {
        return BRISK_OK;
    }
    bool final = status >= 400 && status < 500 && status != 408 && status != 429;
    return brisk_errinfo_set(info, final ? BRISK_ERR_DECLINED : BRISK_ERR_IO,
                             "webhook: the server answered %ld", status);
}
