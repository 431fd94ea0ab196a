/*
 * fuzz_info.c -- any bytes as the lines of a server's INFO, as its BRISK.METRICS (twice, for what it gained), and as its
 * address.  Oracle: only names below serve., finite values of INFO, and an address that is taken has a port and a host that end.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "observe/metrics/server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_lines(const char *text, size_t size)
{
    brisk_metrics *metrics;
    brisk_snapshot *snapshot;
    brisk_err err = brisk_metrics_create(NULL, &metrics);
    BRISK_ASSERT(err == BRISK_OK);
    metrics_server_apply(text, size, metrics);
    err = brisk_metrics_snapshot(metrics, NULL, &snapshot);
    BRISK_ASSERT(err == BRISK_OK);
    for (uint32_t i = 0; i < brisk_snapshot_count(snapshot); i++) {
        const brisk_metric_value *value = brisk_snapshot_at(snapshot, i);
        BRISK_ASSERT(strncmp(value->name, "serve.", 6) == 0);
        BRISK_ASSERT(isfinite(value->value));
    }
    brisk_snapshot_unref(snapshot);
    brisk_metrics_destroy(metrics);
}

static void check_names(brisk_metrics *metrics)
{
    brisk_snapshot *snapshot;
    brisk_err err = brisk_metrics_snapshot(metrics, NULL, &snapshot);
    BRISK_ASSERT(err == BRISK_OK);
    for (uint32_t i = 0; i < brisk_snapshot_count(snapshot); i++) {
        BRISK_ASSERT(strncmp(brisk_snapshot_at(snapshot, i)->name, "serve.", 6) == 0);
    }
    brisk_snapshot_unref(snapshot);
}

static void check_mirror(const char *text, size_t size)
{
    metrics_mirror mirror = {0};
    brisk_metrics *metrics;
    brisk_err err = brisk_metrics_create(NULL, &metrics);
    BRISK_ASSERT(err == BRISK_OK);
    if (metrics_mirror_apply(&mirror, text, size, metrics, NULL) == BRISK_OK) {
        err = metrics_mirror_apply(&mirror, text, size, metrics, NULL);
        BRISK_ASSERT(err == BRISK_OK);
        check_names(metrics);
    }
    metrics_mirror_deinit(&mirror);
    brisk_metrics_destroy(metrics);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1); /* so that the sanitizer sees its end */
    BRISK_ASSERT(text != NULL);
    if (size != 0) {
        memcpy(text, data, size);
    }
    text[size] = '\0';
    metrics_server server = {.port = ""};
    if (metrics_server_parse(text, &server, NULL) == BRISK_OK) {
        BRISK_ASSERT(memchr(server.host, '\0', sizeof server.host) != NULL);
        BRISK_ASSERT(server.host[0] != '\0' && server.port[0] != '\0');
    }
    char *exact = malloc(size != 0 ? size : 1);
    BRISK_ASSERT(exact != NULL);
    if (size != 0) {
        memcpy(exact, data, size);
    }
    check_lines(exact, size);
    check_mirror(exact, size);
    free(exact);
    free(text);
    return 0;
}
