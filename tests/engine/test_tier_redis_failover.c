/*
 * test_tier_redis_failover.c -- a cluster under TLS: three masters with a replica each on the
 * loopback.  A master is killed, its replica takes over, and the tier finds it by itself.
 */
#include "engine/tier_redis_route.h"
#include "engine/tier_redis_test.h"
#include "support/certificates.h"

enum { NODES = 6, MASTERS = 3, KEYS = 120, PATIENCE_MS = 30000, STEP_MS = 50 };

static temp_dir *folder;
static redis_server nodes[NODES];
static bool there;

static const char *file(const char *name)
{
    return temp_dir_path(folder, name);
}

/* redis-cli under TLS: its output, as much as fits. */
static bool ask_node(const redis_server *node, const char *words, char *text, size_t size)
{
    char command[1024];
    (void)snprintf(command, sizeof command,
                   "timeout 20 redis-cli --tls --cacert '%.250s' --cert '%.250s' --key '%.250s' "
                   "-p %u %s 2>/dev/null",
                   file("ca.pem"), file("server.pem"), file("server.key"), node->port, words);
    FILE *pipe = popen(command, "re"); /* NOLINT: a test's own words */
    assert_non_null(pipe);
    size_t have = fread(text, 1, size - 1, pipe);
    text[have] = '\0';
    char rest[256];
    while (fread(rest, 1, sizeof rest, pipe) > 0) {
    }
    return pclose(pipe) == 0;
}

static bool start_node(redis_server *node)
{
    const char *const args[] = {"--tls-cert-file",
                                file("server.pem"),
                                "--tls-key-file",
                                file("server.key"),
                                "--tls-ca-cert-file",
                                file("ca.pem"),
                                "--tls-auth-clients",
                                "optional",
                                "--tls-cluster",
                                "yes",
                                "--tls-replication",
                                "yes",
                                "--cluster-enabled",
                                "yes",
                                "--cluster-node-timeout",
                                "1000",
                                "--cluster-require-full-coverage",
                                "no",
                                "--repl-diskless-sync-delay",
                                "0",
                                NULL};
    return redis_server_start_at(node, folder->path, redis_server_free_port(), true, args);
}

/* All replicas are connected to their masters, and everybody agrees on the slots. */
static bool is_whole(void)
{
    char text[4096];
    for (int i = 0; i < NODES; i++) {
        if (!ask_node(&nodes[i], "CLUSTER INFO", text, sizeof text) ||
            strstr(text, "cluster_state:ok") == NULL) {
            return false;
        }
        if (!ask_node(&nodes[i], "INFO replication", text, sizeof text) ||
            (strstr(text, "role:master") != NULL && strstr(text, "state=online") == NULL)) {
            return false;
        }
    }
    return true;
}

static bool wait_whole(void)
{
    for (int waited = 0; waited < PATIENCE_MS; waited += STEP_MS) {
        if (is_whole()) {
            return true;
        }
        redis_server_sleep(STEP_MS);
    }
    return false;
}

static bool start_cluster(void)
{
    char command[1536];
    if (!redis_server_is_there("redis-server") || !redis_server_is_there("redis-cli") ||
        !certificates_make(folder->path)) {
        return false;
    }
    int used = snprintf(command, sizeof command,
                        "redis-cli --tls --cacert '%.250s' --cert '%.250s' --key '%.250s' "
                        "--cluster create",
                        file("ca.pem"), file("server.pem"), file("server.key"));
    for (int i = 0; i < NODES; i++) {
        if (!start_node(&nodes[i])) {
            return false;
        }
        used +=
            snprintf(command + used, sizeof command - (size_t)used, " 127.0.0.1:%u", nodes[i].port);
    }
    (void)snprintf(command + used, sizeof command - (size_t)used,
                   " --cluster-replicas 1 --cluster-yes >'%.250s' 2>&1", file("create.log"));
    return system(command) == 0 && wait_whole(); /* NOLINT: our own words */
}

static brisk_tier *open_cluster(const char *ca, bool events)
{
    char url[128];
    (void)snprintf(url, sizeof url, "rediss-cluster://127.0.0.1:%u,127.0.0.1:%u", nodes[1].port,
                   nodes[4].port);
    return open_with(
        &(brisk_redis_tier_opts){.url = url, .tls_ca_file = file(ca), .no_events = !events});
}

static int count_good(brisk_tier *tier, const char *prefix)
{
    int good = 0;
    for (int i = 0; i < KEYS; i++) {
        char key[32];
        char text[256];
        (void)snprintf(key, sizeof key, "%s%d", prefix, i);
        good += strcmp(get_text(tier, key, text), key) == 0;
    }
    return good;
}

static int put_all(brisk_tier *tier, const char *prefix)
{
    int good = 0;
    for (int i = 0; i < KEYS; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "%s%d", prefix, i);
        good += put_text(tier, key, key) == BRISK_OK;
    }
    return good;
}

static void test_all_nodes_under_tls(void **state)
{
    (void)state;
    if (!there) {
        skip();
    }
    BRISK_CLEANUP(brisk_tier_destroy) brisk_tier *tier = open_cluster("ca.pem", true);
    CHECK_U64(put_all(tier, "k"), ==, KEYS);
    CHECK_U64(count_good(tier, "k"), ==, KEYS);
    for (int i = 0; i < NODES; i++) {
        char text[256];
        CHECK(ask_node(&nodes[i], "DBSIZE", text, sizeof text));
        CHECK(strtol(text, NULL, 10) > KEYS / 10); /* replicas have them, too */
    }
    brisk_log_set_sink(quiet, NULL, NULL);
    BRISK_CLEANUP(brisk_tier_destroy) brisk_tier *stranger = open_cluster("other.pem", true);
    CHECK_U64(count_good(stranger, "k"), ==, 0); /* nobody whose certificate is not known */
    CHECK(put_text(stranger, "x", "x") != BRISK_OK);
    brisk_log_set_sink(NULL, NULL, NULL);
}

static int find_master(void)
{
    for (int i = 0; i < NODES; i++) {
        char text[256];
        if (nodes[i].port != nodes[1].port && ask_node(&nodes[i], "ROLE", text, sizeof text) &&
            strncmp(text, "master", 6) == 0) {
            return i;
        }
    }
    return -1;
}

static void test_a_replica_takes_over(void **state)
{
    (void)state;
    if (!there) {
        skip();
    }
    BRISK_CLEANUP(brisk_tier_destroy) brisk_tier *tier = open_cluster("ca.pem", true);
    BRISK_CLEANUP(brisk_tier_destroy) brisk_tier *plain = open_cluster("ca.pem", false);
    CHECK_U64(put_all(tier, "f"), ==, KEYS);
    CHECK(wait_whole());
    redis_server_sleep(500); /* replication does not wait for anybody */
    int master = find_master();
    CHECK(master >= 0);
    brisk_log_set_sink(quiet, NULL, NULL);
    redis_server_stop(&nodes[master]);
    /* The others' slots are answered all the time, unless it is the node that tells of changes. */
    CHECK(count_good(plain, "f") >= KEYS / 3);
    int good = 0;
    int waited = 0;
    for (; good < KEYS && waited < PATIENCE_MS; waited += STEP_MS) {
        good = count_good(tier, "f");
        redis_server_sleep(good < KEYS ? STEP_MS : 0);
    }
    print_message("all %d of %d answered again after %d ms or a little more\n", good, KEYS, waited);
    CHECK_U64(count_good(plain, "f"), ==, KEYS);
    CHECK_U64(good, ==, KEYS); /* what was stored before, from the replica */
    CHECK_U64(put_all(tier, "g"), ==, KEYS);
    CHECK_U64(count_good(tier, "g"), ==, KEYS);
    brisk_log_set_sink(NULL, NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_nodes_under_tls),
        cmocka_unit_test(test_a_replica_takes_over),
    };
    folder = temp_dir_make();
    there = start_cluster();
    if (!there) {
        print_message("skipped: no cluster could be made\n");
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    for (int i = 0; i < NODES; i++) {
        redis_server_stop(&nodes[i]);
    }
    temp_dir_remove(folder);
    return failed;
}
