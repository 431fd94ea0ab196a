/*
 * bench_http_client.c -- many small documents over one client: wall and processor time, by phase.
 *
 *     bench_http_client URL-BASE CA-FILE NAMES [ROUNDS] [expand] [http1] [max N]
 *
 * NAMES has one path a line.  Each round is a client of its own: connection, TLS and all.  The first
 * round includes loading libcurl.  Prints a JSON object a round.  Compare with
 * `curl --http2 --parallel --config FILE`; floors: research page of pkg, 2.5.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <brisk/clock.h>
#include <brisk/http_client.h>

enum { NAMES_MAX = 4096 };

static char *names[NAMES_MAX];
static uint32_t name_count;

static uint64_t cpu_ns(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    return ((uint64_t)usage.ru_utime.tv_sec + (uint64_t)usage.ru_stime.tv_sec) * 1000000000 +
           ((uint64_t)usage.ru_utime.tv_usec + (uint64_t)usage.ru_stime.tv_usec) * 1000;
}

static bool read_names(const char *path)
{
    FILE *file = fopen(path, "re");
    char line[1024];
    if (file == NULL) {
        return false;
    }
    while (name_count < NAMES_MAX && fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        names[name_count++] = strdup(line);
    }
    (void)fclose(file);
    return true;
}

typedef struct totals {
    uint64_t wire;
    uint64_t text;
    uint32_t bad;
} totals;

static bool submit_all(brisk_http_client *client, brisk_http_queue *queue, const char *base)
{
    static const char *const headers[] = {"Accept: application/vnd.npm.install-v1+json"};
    for (uint32_t i = 0; i < name_count; i++) {
        char url[2048];
        (void)snprintf(url, sizeof url, "%s%s", base, names[i]);
        if (brisk_http_submit(
                client,
                &(brisk_http_request){
                    .url = url, .headers = headers, .header_count = 1, .queue = queue, .tag = i},
                NULL, NULL) != BRISK_OK) {
            return false;
        }
    }
    return true;
}

static void take_all(brisk_http_queue *queue, bool expand, totals *sum)
{
    brisk_http_buffer buffer = {.alloc = NULL};
    for (uint32_t i = 0; i < name_count; i++) {
        brisk_http_response *r = NULL;
        if (brisk_http_queue_take(queue, BRISK_HTTP_FOREVER, &r) != BRISK_OK) {
            sum->bad++;
            continue;
        }
        bool good = r->err == BRISK_OK && r->status == 200;
        if (good && expand) {
            good = brisk_http_response_expand_into(r, &buffer, NULL) == BRISK_OK;
            sum->text += buffer.size;
        }
        sum->wire += r->wire_size;
        sum->bad += !good;
        brisk_http_response_destroy(r);
    }
    brisk_http_buffer_deinit(&buffer);
}

static int run_round(const brisk_http_client_opts *opts, const char *base, bool expand)
{
    brisk_http_client *client = NULL;
    brisk_http_queue *queue = NULL;
    brisk_http_stats stats;
    totals sum = {0};
    uint64_t begin = brisk_clock_now_ns(NULL);
    uint64_t cpu = cpu_ns();
    if (brisk_http_queue_create(NULL, &queue) != BRISK_OK ||
        brisk_http_client_create(opts, &client, NULL) != BRISK_OK ||
        !submit_all(client, queue, base)) {
        return 1;
    }
    take_all(queue, expand, &sum);
    uint64_t wall = brisk_clock_now_ns(NULL) - begin;
    uint64_t used = cpu_ns() - cpu;
    brisk_http_client_read_stats(client, &stats);
    brisk_http_client_destroy(client);
    brisk_http_queue_destroy(queue);
    (void)printf("{\"wall_ms\": %.1f, \"cpu_ms\": %.1f, \"documents\": %u, \"bad\": %u, "
                 "\"wire_mb\": %.2f, \"text_mb\": %.2f, \"connections\": %llu, \"peak\": %u, "
                 "\"retries\": %llu}\n",
                 (double)wall / 1e6, (double)used / 1e6, name_count, sum.bad,
                 (double)sum.wire / 1e6, (double)sum.text / 1e6,
                 (unsigned long long)stats.connections, stats.in_flight_peak,
                 (unsigned long long)stats.retries);
    return sum.bad > 0;
}

int main(int argc, char **argv)
{
    if (argc == 1) {
        (void)fputs("bench_http_client: left out, it needs a server and a list of names\n", stderr);
        return 77;
    }
    if (argc < 4 || !read_names(argv[3])) {
        (void)fputs(
            "usage: bench_http_client URL-BASE CA-FILE NAMES [ROUNDS] [expand] [http1] [max N]\n",
            stderr);
        return 2;
    }
    brisk_http_client_opts opts = {.ca_file = argv[2]};
    long rounds = argc > 4 ? strtol(argv[4], NULL, 10) : 5;
    bool expand = false;
    for (int i = 5; i < argc; i++) {
        expand = expand || strcmp(argv[i], "expand") == 0;
        opts.http1 = opts.http1 || strcmp(argv[i], "http1") == 0;
        if (strcmp(argv[i], "max") == 0 && i + 1 < argc) {
            opts.in_flight_max = (uint32_t)strtoul(argv[i + 1], NULL, 10);
        }
    }
    int failed = 0;
    for (long i = 0; i < rounds; i++) {
        failed |= run_round(&opts, argv[1], expand);
    }
    return failed;
}
