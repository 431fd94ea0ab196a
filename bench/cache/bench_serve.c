/*
 * bench_serve.c -- `brisk serve` beside redis-server: throughput, processor time, memory, latency.
 *
 *   bench_serve BRISK [--seconds N] [--keys N] [--only NAME]
 *
 * Both servers run on processor 0 and the load on processor 1 (without a second one, all on one).
 * They take turns within each measurement, so that what else the machine does hits both.  Every
 * connection draws keys from a generator of its own: a load whose connections all ask for the same
 * keys in the same order measures the processor's cache.  Processor time is what the kernel counted
 * for the server's threads; where the client is the limit it is the honest figure.
 *
 * Without redis-server the figures of brisk are printed alone.  Prints one JSON object.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <brisk/clock.h>
#include <brisk/json.h>
#include <brisk/rng.h>

#include "wire/resp.h"

enum {
    CONNECTIONS = 50,
    PIPELINE_MAX = 64,
    KEY_BYTES = 14,
    VALUE_MAX = 1024,
    IN_BYTES = 65536,
    ROUNDS = 3,
    PORT_BRISK = 17380,
    PORT_REDIS = 17381,
    SAMPLES_MAX = 1 << 20,
};

#define REQUEST_MAX (PIPELINE_MAX * (size_t)(VALUE_MAX + 96))

typedef struct peer {
    const char *name;
    pid_t pid;
    uint16_t port;
} peer;

typedef struct connection {
    int fd;
    brisk_rng rng;
    uint32_t waiting; /* replies to come */
    uint64_t sent_ns;
    resp_replies replies;
    unsigned char *in;
    size_t in_size;
    unsigned char *out;
} connection;

typedef struct load {
    bool set;
    uint32_t connections;
    uint32_t pipeline;
    uint32_t value_bytes;
    uint64_t keys;
    double seconds;
} load;

typedef struct result {
    double ops;    /* a second */
    double cpu_us; /* of the server, an operation */
    double p50_us;
    double p99_us;
    double misses; /* share */
} result;

static uint64_t samples[SAMPLES_MAX];
static unsigned char value_bytes[VALUE_MAX];

static void die(const char *what)
{
    (void)fprintf(stderr, "bench_serve: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* --- servers ------------------------------------------------------------------------------ */

static void pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    (void)sched_setaffinity(0, sizeof set, &set);
}

static int dial(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int on = 1;
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
        if (fd >= 0) {
            (void)close(fd);
        }
        return -1;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

/* Start `argv` on processor 0; false: it does not answer. */
static bool start(peer *p, const char *const *argv)
{
    p->pid = fork();
    if (p->pid < 0) {
        die("fork");
    }
    if (p->pid == 0) {
        int null = open("/dev/null", O_RDWR);
        pin(0);
        (void)dup2(null, 1);
        if (getenv("BENCH_VERBOSE") == NULL) {
            (void)dup2(null, 2);
        }
        char *copy[32] = {NULL};
        for (int i = 0; i < 31 && argv[i] != NULL; i++) {
            copy[i] = strdup(argv[i]);
        }
        (void)execvp(copy[0], copy);
        _exit(127);
    }
    for (int i = 0; i < 100; i++) {
        int fd = dial(p->port);
        if (fd >= 0) {
            struct timespec moment = {.tv_nsec = 20000000};
            (void)close(fd);
            (void)nanosleep(&moment, NULL);
            /* Somebody else may answer there, and ours have given up. */
            return waitpid(p->pid, NULL, WNOHANG) == 0;
        }
        if (waitpid(p->pid, NULL, WNOHANG) == p->pid) {
            p->pid = 0;
            return false;
        }
        struct timespec pause = {.tv_nsec = 50000000};
        (void)nanosleep(&pause, NULL);
    }
    return false;
}

static void stop(peer *p)
{
    if (p->pid > 0) {
        (void)kill(p->pid, SIGTERM);
        (void)waitpid(p->pid, NULL, 0);
    }
    p->pid = 0;
}

/* Nanoseconds on a processor, of all threads. */
static uint64_t cpu_ns(const peer *p)
{
    char path[320];
    uint64_t sum = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/task", (int)p->pid);
    DIR *dir = opendir(path);
    if (dir == NULL) {
        return 0;
    }
    const struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        uint64_t ns = 0;
        (void)snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", (int)p->pid, entry->d_name);
        FILE *file = entry->d_name[0] != '.' ? fopen(path, "re") : NULL;
        if (file != NULL) {
            sum += fscanf(file, "%" SCNu64, &ns) == 1 ? ns : 0;
            (void)fclose(file);
        }
    }
    (void)closedir(dir);
    return sum;
}

static uint64_t resident_bytes(const peer *p)
{
    char path[64];
    unsigned long total = 0;
    unsigned long resident = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/statm", (int)p->pid);
    FILE *file = fopen(path, "re");
    if (file != NULL) {
        if (fscanf(file, "%lu %lu", &total, &resident) != 2) {
            resident = 0;
        }
        (void)fclose(file);
    }
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* --- load --------------------------------------------------------------------------------- */

static size_t write_key(unsigned char *at, uint64_t number)
{
    char text[32];
    (void)snprintf(text, sizeof text, "key:%010" PRIu64, number);
    memcpy(at, text, KEY_BYTES);
    return KEY_BYTES;
}

static size_t write_request(unsigned char *at, const load *l, uint64_t key)
{
    char head[64];
    int n =
        snprintf(head, sizeof head,
                 l->set ? "*3\r\n$3\r\nSET\r\n$%d\r\n" : "*2\r\n$3\r\nGET\r\n$%d\r\n", KEY_BYTES);
    size_t size = (size_t)n;
    memcpy(at, head, size);
    size += write_key(at + size, key);
    memcpy(at + size, "\r\n", 2);
    size += 2;
    if (l->set) {
        n = snprintf(head, sizeof head, "$%u\r\n", l->value_bytes);
        memcpy(at + size, head, (size_t)n);
        size += (size_t)n;
        memcpy(at + size, value_bytes, l->value_bytes);
        size += l->value_bytes;
        memcpy(at + size, "\r\n", 2);
        size += 2;
    }
    return size;
}

static void send_all(int fd, const unsigned char *data, size_t size)
{
    while (size > 0) {
        ssize_t n = send(fd, data, size, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR) {
            die("send");
        }
        data += n > 0 ? n : 0;
        size -= n > 0 ? (size_t)n : 0;
    }
}

static void ask(connection *c, const load *l, uint64_t now)
{
    size_t size = 0;
    for (uint32_t i = 0; i < l->pipeline; i++) {
        size += write_request(c->out + size, l, brisk_rng_below(&c->rng, l->keys));
    }
    c->waiting = l->pipeline;
    c->sent_ns = now;
    send_all(c->fd, c->out, size);
}

/* Replies that are there; returns how many, and counts nulls. */
static uint32_t take(connection *c, uint64_t *nulls)
{
    ssize_t n = recv(c->fd, c->in + c->in_size, IN_BYTES - c->in_size, 0);
    if (n <= 0) {
        die("recv");
    }
    c->in_size += (size_t)n;
    size_t used = 0;
    uint32_t count = 0;
    while (used < c->in_size &&
           resp_replies_read(&c->replies, c->in + used, c->in_size - used) == RESP_DONE) {
        const resp_node *node = resp_replies_value(&c->replies);
        if (node->type == RESP_ERROR) {
            errno = EPROTO;
            die((const char *)node->bytes.data);
        }
        *nulls += node->type == RESP_NULL ? 1 : 0;
        used += c->replies.used;
        count++;
    }
    memmove(c->in, c->in + used, c->in_size - used);
    c->in_size -= used;
    return count;
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static connection *connect_all(const peer *p, const load *l, int epoll_fd, uint64_t seed)
{
    connection *all = calloc(l->connections, sizeof *all);
    if (all == NULL) {
        die("memory");
    }
    for (uint32_t i = 0; i < l->connections; i++) {
        all[i].fd = dial(p->port);
        all[i].in = malloc(IN_BYTES);
        all[i].out = malloc(REQUEST_MAX);
        if (all[i].fd < 0 || all[i].in == NULL || all[i].out == NULL) {
            die("connect");
        }
        brisk_rng_init(&all[i].rng, seed * 1000003 + i);
        resp_replies_init(&all[i].replies, NULL, NULL);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &all[i]};
        (void)epoll_ctl(epoll_fd, EPOLL_CTL_ADD, all[i].fd, &event);
    }
    return all;
}

static void close_all(connection *all, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        (void)close(all[i].fd);
        resp_replies_deinit(&all[i].replies);
        free(all[i].in);
        free(all[i].out);
    }
    free(all);
}

static result run(const peer *p, const load *l, uint64_t seed)
{
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    connection *all = connect_all(p, l, epoll_fd, seed);
    uint64_t cpu = cpu_ns(p);
    uint64_t start_ns = brisk_clock_now_ns(NULL);
    uint64_t now = start_ns;
    uint64_t until = start_ns + (uint64_t)(l->seconds * 1e9);
    uint64_t done = 0;
    uint64_t nulls = 0;
    size_t sample_count = 0;
    uint32_t busy = l->connections;
    for (uint32_t i = 0; i < l->connections; i++) {
        ask(&all[i], l, now);
    }
    while (busy > 0) {
        struct epoll_event events[CONNECTIONS];
        int count = epoll_wait(epoll_fd, events, CONNECTIONS, 1000);
        now = brisk_clock_now_ns(NULL);
        if (count <= 0) {
            die("no answer");
        }
        for (int i = 0; i < count; i++) {
            connection *c = events[i].data.ptr;
            uint32_t got = take(c, &nulls);
            done += got;
            c->waiting -= got;
            if (c->waiting > 0) {
                continue;
            }
            if (sample_count < SAMPLES_MAX) {
                samples[sample_count++] = now - c->sent_ns;
            }
            if (now < until) {
                ask(c, l, now);
            } else {
                busy--;
            }
        }
    }
    double elapsed = (double)(now - start_ns) / 1e9;
    result r = {.ops = (double)done / elapsed,
                .cpu_us = (double)(cpu_ns(p) - cpu) / 1e3 / (double)done,
                .misses = (double)nulls / (double)done};
    qsort(samples, sample_count, sizeof samples[0], compare_u64);
    r.p50_us = (double)samples[sample_count / 2] / 1e3;
    r.p99_us = (double)samples[sample_count * 99 / 100] / 1e3;
    close_all(all, l->connections);
    (void)close(epoll_fd);
    return r;
}

/* Every key once. */
static void fill(const peer *p, uint64_t keys, uint32_t size)
{
    load l = {.set = true, .pipeline = PIPELINE_MAX, .value_bytes = size, .keys = keys};
    connection c = {.fd = dial(p->port)};
    c.in = malloc(IN_BYTES);
    c.out = malloc(REQUEST_MAX);
    if (c.fd < 0 || c.in == NULL || c.out == NULL) {
        die("connect");
    }
    resp_replies_init(&c.replies, NULL, NULL);
    for (uint64_t i = 0; i < keys;) {
        size_t bytes = 0;
        uint32_t count = 0;
        for (; count < PIPELINE_MAX && i < keys; count++, i++) {
            bytes += write_request(c.out + bytes, &l, i);
        }
        send_all(c.fd, c.out, bytes);
        uint64_t nulls = 0;
        while (count > 0) {
            count -= take(&c, &nulls);
        }
    }
    resp_replies_deinit(&c.replies);
    free(c.in);
    free(c.out);
    (void)close(c.fd);
}

/* One connection that asks, spins until the answer is there, and waits a little. */
static double idle_p50_us(const peer *p, uint64_t keys)
{
    enum { ASKS = 2000 };
    load l = {.pipeline = 1, .keys = keys};
    unsigned char out[128];
    char in[2048];
    int fd = dial(p->port);
    brisk_rng rng;
    brisk_rng_init(&rng, 77);
    for (int i = 0; i < ASKS; i++) {
        size_t size = write_request(out, &l, brisk_rng_below(&rng, keys));
        uint64_t start_ns = brisk_clock_now_ns(NULL);
        send_all(fd, out, size);
        while (recv(fd, in, sizeof in, MSG_DONTWAIT) < 0) {
        }
        samples[i] = brisk_clock_now_ns(NULL) - start_ns;
        while (brisk_clock_now_ns(NULL) - start_ns < 100000) {
        }
    }
    (void)close(fd);
    qsort(samples, ASKS, sizeof samples[0], compare_u64);
    return (double)samples[ASKS / 2] / 1e3;
}

/* --- what is measured --------------------------------------------------------------------- */

static int compare_double(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(const result *list, size_t offset)
{
    double values[ROUNDS];
    for (int i = 0; i < ROUNDS; i++) {
        memcpy(&values[i], (const char *)&list[i] + offset, sizeof values[i]);
    }
    qsort(values, ROUNDS, sizeof values[0], compare_double);
    return values[ROUNDS / 2];
}

static void print_result(brisk_json *json, const char *name, const result *list)
{
    brisk_json_object_begin(json, name);
    brisk_json_double(json, "ops_per_second", median(list, offsetof(result, ops)));
    brisk_json_double(json, "cpu_us_per_op", median(list, offsetof(result, cpu_us)));
    brisk_json_double(json, "p50_us", median(list, offsetof(result, p50_us)));
    brisk_json_double(json, "p99_us", median(list, offsetof(result, p99_us)));
    brisk_json_double(json, "miss_ratio", median(list, offsetof(result, misses)));
    brisk_json_object_end(json);
}

static void measure(brisk_json *json, const char *name, const peer *peers, const load *l)
{
    result ours[ROUNDS];
    result theirs[ROUNDS];
    for (int i = 0; i < ROUNDS; i++) {
        ours[i] = run(&peers[0], l, (uint64_t)i + 1);
        if (peers[1].pid > 0) {
            theirs[i] = run(&peers[1], l, (uint64_t)i + 1);
        }
    }
    brisk_json_object_begin(json, name);
    print_result(json, "brisk", ours);
    if (peers[1].pid > 0) {
        print_result(json, "redis", theirs);
        brisk_json_double(json, "throughput_ratio",
                          median(ours, offsetof(result, ops)) /
                              median(theirs, offsetof(result, ops)));
        brisk_json_double(json, "cpu_ratio",
                          median(theirs, offsetof(result, cpu_us)) /
                              median(ours, offsetof(result, cpu_us)));
    }
    brisk_json_object_end(json);
}

typedef struct options {
    const char *brisk;
    const char *only;
    const char *disk;
    uint64_t keys;
    double seconds;
    uint32_t value_bytes;
} options;

static bool wanted(const options *o, const char *name)
{
    return o->only == NULL || strcmp(o->only, name) == 0;
}

static void fill_and_weigh(brisk_json *json, const peer *peers, const options *o)
{
    uint64_t before[2] = {0, 0};
    brisk_json_object_begin(json, "memory");
    brisk_json_u64(json, "keys", o->keys);
    brisk_json_u64(json, "key_bytes", KEY_BYTES);
    brisk_json_u64(json, "value_bytes", o->value_bytes);
    for (int i = 0; i < 2; i++) {
        if (peers[i].pid > 0) {
            before[i] = resident_bytes(&peers[i]);
            fill(&peers[i], o->keys, o->value_bytes);
            char name[64];
            (void)snprintf(name, sizeof name, "%s_rss_per_key", peers[i].name);
            brisk_json_double(json, name,
                              (double)(resident_bytes(&peers[i]) - before[i]) / (double)o->keys);
        }
    }
    brisk_json_object_end(json);
}

static void measure_all(const peer *peers, const options *o)
{
    static const struct {
        const char *name;
        bool set;
        uint32_t pipeline;
    } list[] = {
        {"get_p16", false, 16}, {"set_p16", true, 16}, {"get_p1", false, 1}, {"set_p1", true, 1}};
    brisk_json json;
    brisk_json_init(&json, brisk_out_file(stdout), 2);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "schema", 1);
    brisk_json_str(&json, "bench", "serve");
    brisk_json_bool(&json, "disk", o->disk != NULL);
    brisk_json_u64(&json, "connections", CONNECTIONS);
    fill_and_weigh(&json, peers, o);
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        load l = {.set = list[i].set,
                  .connections = CONNECTIONS,
                  .pipeline = list[i].pipeline,
                  .value_bytes = o->value_bytes,
                  .keys = o->keys,
                  .seconds = o->seconds};
        if (wanted(o, list[i].name)) {
            measure(&json, list[i].name, peers, &l);
        }
    }
    if (wanted(o, "idle")) {
        brisk_json_double(&json, "idle_p50_us_brisk", idle_p50_us(&peers[0], o->keys));
        if (peers[1].pid > 0) {
            brisk_json_double(&json, "idle_p50_us_redis", idle_p50_us(&peers[1], o->keys));
        }
    }
    brisk_json_object_end(&json);
    if (brisk_json_finish(&json) != BRISK_OK) {
        die("output");
    }
}

int main(int argc, char **argv)
{
    options o = {.keys = 1000000, .seconds = 1.0, .value_bytes = 100};
    const char *spin = "serve.spin_us=0";
    const char *track = "serve.track_use=false";
    for (int i = 1; i < argc; i++) {
        bool more = i + 1 < argc;
        if (strcmp(argv[i], "--seconds") == 0 && more) {
            o.seconds = strtod(argv[++i], NULL);
        } else if (strcmp(argv[i], "--keys") == 0 && more) {
            o.keys = strtoull(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--value") == 0 && more) {
            o.value_bytes = (uint32_t)strtoul(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--only") == 0 && more) {
            o.only = argv[++i];
        } else if (strcmp(argv[i], "--disk") == 0 && more) {
            o.disk = argv[++i];
        } else if (strcmp(argv[i], "--track-use") == 0) {
            track = "serve.track_use=true";
        } else if (strcmp(argv[i], "--spin") == 0) {
            spin = "serve.spin_us=1000";
        } else {
            o.brisk = argv[i];
        }
    }
    if (o.brisk == NULL || o.value_bytes > VALUE_MAX || o.keys == 0) {
        (void)fprintf(stderr, "usage: bench_serve BRISK [--seconds N] [--keys N] [--value BYTES] "
                              "[--only NAME] [--disk FOLDER] [--spin] [--track-use]\n");
        return 2;
    }
    memset(value_bytes, 'v', sizeof value_bytes);
    char address[32];
    char port[16];
    (void)snprintf(address, sizeof address, "127.0.0.1:%d", PORT_BRISK);
    (void)snprintf(port, sizeof port, "%d", PORT_REDIS);
    const char *const ours[] = {o.brisk,
                                "--set",
                                spin,
                                "--set",
                                track,
                                "serve",
                                "--foreground",
                                "--listen",
                                address,
                                "--threads",
                                "1",
                                "--memory",
                                "4GiB",
                                o.disk != NULL ? "--disk" : NULL,
                                o.disk,
                                NULL};
    const char *const theirs[] = {"redis-server", "--port",    port, "--save", "",
                                  "--bind",       "127.0.0.1", NULL};
    peer peers[2] = {{.name = "brisk", .port = PORT_BRISK}, {.name = "redis", .port = PORT_REDIS}};
    if (!start(&peers[0], ours)) {
        (void)fprintf(stderr, "bench_serve: %s serve does not answer\n", o.brisk);
        return 1;
    }
    (void)start(&peers[1], theirs);
    pin(1);
    measure_all(peers, &o);
    stop(&peers[0]);
    stop(&peers[1]);
    return 0;
}
