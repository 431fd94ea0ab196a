/*
 * registry.c -- bench_registry: a package registry on loopback, fast enough not to be what is
 * measured, for npm, pnpm, bun and brisk alike, and a badly behaved one for tests (/-/try/).
 *
 *     bench_registry --docs registry-snapshot.tar.zst --signatures --ca ca.pem
 *     ready at https://127.0.0.1:40123/ http://127.0.0.1:40123/
 *
 * Tarballs are not served.  Delays and failures are for every document, not for tests' paths.
 */
#include "registry.h"

#include <sched.h>
#include <sys/prctl.h>

#include <signal.h>

typedef struct options {
    reg_docs_opts docs;
    const char *ca_file;
    uint16_t port;
    int cpu;
    bool stdin_ends;
    bool rewrite;
} options;

static int usage(void)
{
    (void)fputs(
        "usage: bench_registry [--docs FOLDER|ARCHIVE.tar.zst] [--ca FILE] [--port N] [--cpu N]\n"
        "    [--delay MS] [--fail-rate P] [--seed N] [--max-age S] [--level 1..12] [--http1]\n"
        "    [--streams N] [--signatures] [--rewrite-tarballs] [--until-stdin-closes]\n"
        "The archive is $BRISK_CORPUS/pkg/registry-snapshot.tar.zst, say.  Counters: /-/stats\n",
        stderr);
    return 2;
}

static bool read_flag(reg_server *server, options *o, const char *name)
{
    if (strcmp(name, "--signatures") == 0) {
        o->docs.signatures = true;
    } else if (strcmp(name, "--rewrite-tarballs") == 0) {
        o->rewrite = true;
    } else if (strcmp(name, "--until-stdin-closes") == 0) {
        o->stdin_ends = true;
    } else if (strcmp(name, "--http1") == 0) {
        server->http1 = true;
    } else {
        return false;
    }
    return true;
}

static bool read_value(reg_server *server, options *o, const char *name, const char *value)
{
    if (strcmp(name, "--docs") == 0) {
        o->docs.path = value;
    } else if (strcmp(name, "--ca") == 0) {
        o->ca_file = value;
    } else if (strcmp(name, "--port") == 0) {
        o->port = (uint16_t)strtoul(value, NULL, 10);
    } else if (strcmp(name, "--cpu") == 0) {
        o->cpu = (int)strtol(value, NULL, 10);
    } else if (strcmp(name, "--delay") == 0) {
        server->delay_ns = (uint64_t)(strtod(value, NULL) * 1e6);
    } else if (strcmp(name, "--fail-rate") == 0) {
        server->fail_rate = strtod(value, NULL);
    } else if (strcmp(name, "--seed") == 0) {
        server->random = strtoull(value, NULL, 10);
    } else if (strcmp(name, "--max-age") == 0) {
        server->max_age_s = (uint32_t)strtoul(value, NULL, 10);
    } else if (strcmp(name, "--level") == 0) {
        o->docs.level = (int)strtol(value, NULL, 10);
    } else if (strcmp(name, "--streams") == 0) {
        server->streams_max = (uint32_t)strtoul(value, NULL, 10);
    } else {
        return false;
    }
    return true;
}

static void pin(int cpu)
{
    if (cpu >= 0) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET((size_t)cpu, &set);
        (void)sched_setaffinity(0, sizeof set, &set);
    }
}

int main(int argc, char **argv)
{
    static reg_server server = {.max_age_s = 300, .streams_max = 256, .random = 1};
    options o = {.docs = {.level = 6}, .cpu = -1};
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* not without who started it */
    for (int i = 1; i < argc; i++) {
        if (read_flag(&server, &o, argv[i])) {
            continue;
        }
        if (i + 1 == argc || !read_value(&server, &o, argv[i], argv[i + 1])) {
            return usage();
        }
        i++;
    }
    pin(o.cpu);
    if (!reg_server_open(&server, o.ca_file, o.port)) {
        (void)fputs("bench_registry: cannot open the port or make the certificate\n", stderr);
        return 1;
    }
    char base[64];
    (void)snprintf(base, sizeof base, "\"http://127.0.0.1:%u/", server.port);
    o.docs.tarball_base = o.rewrite ? base : NULL;
    if (!reg_docs_load(&server.docs, &o.docs)) {
        return 1;
    }
    (void)printf("ready at https://127.0.0.1:%u/ http://127.0.0.1:%u/\n", server.port, server.port);
    (void)fflush(stdout);
    return reg_server_run(&server, o.stdin_ends);
}
