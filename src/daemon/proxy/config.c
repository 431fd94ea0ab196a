/*
 * config.c -- see config.h.
 */
#include "daemon/proxy/config.h"

#include <stdio.h>
#include <string.h>

#include <brisk/knob.h>

static const uint64_t ms = UINT64_C(1000000);
static const uint64_t second = UINT64_C(1000000000);

/* What is being read; the first error stays. */
typedef struct reader {
    const brisk_yaml_doc *doc;
    brisk_errinfo *info;
    brisk_err err;
} reader;

static void refuse(reader *r, const brisk_yaml_node *node, const char *why)
{
    if (r->err == BRISK_OK) {
        r->err = brisk_errinfo_set(
            r->info, BRISK_ERR_INVALID, "%s:%u: %s%s%s", brisk_yaml_name(r->doc), node->line,
            node->key != NULL ? node->key : "", node->key != NULL ? ": " : "", why);
    }
}

static void check_keys(reader *r, const brisk_yaml_node *node, const char *const *allowed)
{
    if (r->err != BRISK_OK) {
        return;
    }
    if (node->kind != BRISK_YAML_MAPPING) {
        refuse(r, node, "a mapping is wanted");
        return;
    }
    r->err = brisk_yaml_check_keys(r->doc, node, allowed, r->info);
}

/* The scalar of that key, or NULL. */
static const brisk_yaml_node *scalar(reader *r, const brisk_yaml_node *map, const char *key)
{
    const brisk_yaml_node *node = brisk_yaml_get(map, key);
    if (node != NULL && node->kind != BRISK_YAML_SCALAR) {
        refuse(r, node, "one value is wanted");
        return NULL;
    }
    return r->err == BRISK_OK ? node : NULL;
}

static uint64_t value(reader *r, const brisk_yaml_node *map, const char *key, brisk_knob_type type,
                      uint64_t def)
{
    const brisk_yaml_node *node = scalar(r, map, key);
    uint64_t got = def;
    if (node != NULL && brisk_knob_parse(type, node->text, &got) != BRISK_OK) {
        refuse(r, node,
               type == BRISK_KNOB_DURATION ? "a duration is wanted (\"50ms\", \"10s\")"
               : type == BRISK_KNOB_BYTES  ? "a size is wanted (\"16MiB\")"
               : type == BRISK_KNOB_BOOL   ? "true or false is wanted"
                                           : "a number is wanted");
        return def;
    }
    return got;
}

static uint32_t number(reader *r, const brisk_yaml_node *map, const char *key, uint32_t def,
                       uint32_t max)
{
    uint64_t got = value(r, map, key, BRISK_KNOB_U64, def);
    if (got > max) {
        refuse(r, brisk_yaml_get(map, key), "the number is too large");
        return def;
    }
    return (uint32_t)got;
}

static uint64_t duration(reader *r, const brisk_yaml_node *map, const char *key, uint64_t def)
{
    return value(r, map, key, BRISK_KNOB_DURATION, def);
}

static uint32_t seconds(reader *r, const brisk_yaml_node *map, const char *key, uint32_t def)
{
    uint64_t got = duration(r, map, key, def * second) / second;
    return got < PROXY_SECONDS_MAX ? (uint32_t)got : PROXY_SECONDS_MAX;
}

static bool truth(reader *r, const brisk_yaml_node *map, const char *key, bool def)
{
    return value(r, map, key, BRISK_KNOB_BOOL, def) != 0;
}

static void text(reader *r, const brisk_yaml_node *map, const char *key, char *ret, size_t size)
{
    const brisk_yaml_node *node = scalar(r, map, key);
    if (node == NULL) {
        return;
    }
    if (strlen(node->text) >= size) {
        refuse(r, node, "the text is too long");
        return;
    }
    memcpy(ret, node->text, strlen(node->text) + 1);
}

/* --- upstreams ----------------------------------------------------------------------------- */

static void read_upstream(reader *r, const brisk_yaml_node *node, upstream *up)
{
    static const char *const keys[] = {"url", "weight", NULL};
    const char *url = node->text;
    uint32_t weight = 1;
    if (node->kind != BRISK_YAML_SCALAR) {
        check_keys(r, node, keys);
        const brisk_yaml_node *at = r->err == BRISK_OK ? scalar(r, node, "url") : NULL;
        if (at == NULL) {
            refuse(r, node, "an upstream has a url");
            return;
        }
        url = at->text;
        weight = number(r, node, "weight", 1, 1000);
        if (weight == 0) {
            refuse(r, node, "the weight of an upstream is 1 or more");
        }
    }
    if (r->err == BRISK_OK) {
        r->err = upstream_parse(url, up, r->info);
        up->weight = weight;
    }
}

static void read_upstreams(reader *r, const brisk_yaml_node *map, proxy_mount *mount)
{
    const brisk_yaml_node *list = brisk_yaml_get(map, "upstreams");
    upstreams *group = &mount->group;
    if (list == NULL || list->kind != BRISK_YAML_SEQUENCE || list->count == 0) {
        refuse(r, list != NULL ? list : map, "upstreams: a list of one address at least is wanted");
        return;
    }
    if (list->count > UPSTREAMS_MAX) {
        refuse(r, list, "too many upstreams");
        return;
    }
    group->items = group->alloc->acquire(group->alloc->ctx, list->count * sizeof *group->items,
                                         _Alignof(upstream));
    if (group->items == NULL) {
        r->err = BRISK_ERR_NOMEM;
        return;
    }
    group->count = list->count;
    memset(group->items, 0, list->count * sizeof *group->items);
    uint32_t i = 0;
    for (const brisk_yaml_node *n = list->child; n != NULL && r->err == BRISK_OK; n = n->next) {
        read_upstream(r, n, &group->items[i]);
        group->items[i].index = i;
        i++;
    }
}

static void read_tls(reader *r, const brisk_yaml_node *map, proxy_mount *mount)
{
    bool secure = false;
    char ca[1024] = "";
    text(r, map, "ca", ca, sizeof ca);
    for (uint32_t i = 0; i < mount->group.count; i++) {
        secure = secure || mount->group.items[i].secure;
    }
    if (!secure || r->err != BRISK_OK) {
        return;
    }
    wire_tls_opts opts = {
        .ca_file = ca[0] != '\0' ? ca : NULL, .alpn = "http/1.1", .alloc = mount->group.alloc};
    r->err = wire_tls_context_create(&opts, &mount->group.tls, r->info);
}

/* --- the rest ------------------------------------------------------------------------------ */

static void read_health(reader *r, const brisk_yaml_node *map, proxy_health *health)
{
    static const char *const keys[] = {"path", "interval", "healthy", "unhealthy", NULL};
    const brisk_yaml_node *node = brisk_yaml_get(map, "health");
    *health = (proxy_health){.interval_ns = 5 * second, .good = 2, .bad = 3};
    if (node == NULL) {
        return;
    }
    check_keys(r, node, keys);
    text(r, node, "path", health->path, sizeof health->path);
    health->interval_ns = duration(r, node, "interval", health->interval_ns);
    health->good = number(r, node, "healthy", health->good, 1000);
    health->bad = number(r, node, "unhealthy", health->bad, 1000);
    if (r->err == BRISK_OK && health->path[0] != '/') {
        refuse(r, node, "a path that begins with '/' is wanted");
    }
    if (r->err == BRISK_OK &&
        (health->interval_ns < 100 * ms || health->good == 0 || health->bad == 0)) {
        refuse(r, node, "an interval of 100ms or more and thresholds of 1 or more are wanted");
    }
}

/* "50ms", or "p95". */
static void read_hedge(reader *r, const brisk_yaml_node *map, proxy_manners *manners)
{
    const brisk_yaml_node *node = scalar(r, map, "hedge_after");
    if (node == NULL) {
        return;
    }
    const char *t = node->text;
    if (t[0] == 'p' && t[1] >= '5' && t[1] <= '9' && t[2] >= '0' && t[2] <= '9' && t[3] == '\0') {
        manners->hedge_percent = (uint32_t)(t[1] - '0') * 10 + (uint32_t)(t[2] - '0');
        return;
    }
    if (brisk_knob_parse(BRISK_KNOB_DURATION, t, &manners->hedge_ns) != BRISK_OK ||
        (manners->hedge_ns != 0 && manners->hedge_ns < ms)) {
        refuse(r, node, "a duration of 1ms or more, or a percentile (\"p95\"), is wanted");
    }
}

static void read_host(reader *r, const brisk_yaml_node *map, proxy_mount *mount)
{
    text(r, map, "host_header", mount->host_fixed, sizeof mount->host_fixed);
    const char *t = mount->host_fixed;
    for (size_t i = 0; t[i] != '\0'; i++) {
        if (t[i] <= ' ' || t[i] == 0x7f || t[i] == '/' || t[i] == '@') {
            refuse(r, brisk_yaml_get(map, "host_header"),
                   "\"pass\", \"upstream\" or a host is wanted");
        }
    }
    mount->host_policy = t[0] == '\0' || strcmp(t, "pass") == 0 ? PROXY_HOST_PASS
                         : strcmp(t, "upstream") == 0           ? PROXY_HOST_UPSTREAM
                                                                : PROXY_HOST_FIXED;
}

static void read_forwarded(reader *r, const brisk_yaml_node *map, proxy_mount *mount)
{
    const brisk_yaml_node *node = scalar(r, map, "forwarded");
    uint64_t told = 1;
    if (node == NULL) {
        return;
    }
    if (strcmp(node->text, "pass") == 0) {
        mount->forwarded = PROXY_FORWARDED_PASS;
    } else if (brisk_knob_parse(BRISK_KNOB_BOOL, node->text, &told) != BRISK_OK) {
        refuse(r, node, "true, false or \"pass\" is wanted");
    } else {
        mount->forwarded = told != 0 ? PROXY_FORWARDED_ADD : PROXY_FORWARDED_NONE;
    }
}

static void read_manners(reader *r, const brisk_yaml_node *map, proxy_mount *mount)
{
    proxy_manners *m = &mount->manners;
    m->connect_ns = duration(r, map, "connect_timeout", 2 * second);
    m->first_byte_ns = duration(r, map, "first_byte_timeout", 60 * second);
    m->idle_ns = duration(r, map, "idle_timeout", 60 * second);
    m->keep_ns = duration(r, map, "keep_alive", 30 * second);
    m->idle_max = number(r, map, "connections_kept", 256, 65536);
    m->retries = number(r, map, "retries", 2, 10);
    mount->group.failures_max = number(r, map, "eject_after", 5, 1000000);
    read_hedge(r, map, m);
}

static void read_policy(reader *r, const brisk_yaml_node *map, proxy_mount *mount)
{
    proxy_policy *p = &mount->policy;
    p->heuristic_percent = number(r, map, "heuristic_percent", 10, 100);
    p->heuristic_max_s = seconds(r, map, "heuristic_max", 86400);
    p->stale_while_s = seconds(r, map, "stale_while_revalidate", 0);
    p->stale_error_s = seconds(r, map, "stale_if_error", 60);
    p->stale_on_status = brisk_yaml_get(map, "stale_if_error") != NULL;
    p->no_cookies = !truth(r, map, "cache_cookies", false);
    p->deaf = !truth(r, map, "client_directives", true);
    mount->cache = truth(r, map, "cache", true);
    mount->compress = truth(r, map, "compress", true);
    mount->object_max = value(r, map, "object_max", BRISK_KNOB_BYTES, UINT64_C(16) << 20);
    mount->body_max = value(r, map, "body_max", BRISK_KNOB_BYTES, UINT64_C(1) << 30);
}

static const char *const mount_keys[] = {
    "at",
    "host",
    "upstreams",
    "ca",
    "cache",
    "compress",
    "retries",
    "hedge_after",
    "connect_timeout",
    "idle_timeout",
    "keep_alive",
    "first_byte_timeout",
    "connections_kept",
    "eject_after",
    "health",
    "stale_while_revalidate",
    "stale_if_error",
    "heuristic_percent",
    "heuristic_max",
    "cache_cookies",
    "client_directives",
    "object_max",
    "body_max",
    "host_header",
    "forwarded",
    "strip",
    NULL,
};

static void read_mount(reader *r, const brisk_yaml_node *node, proxy_mount *mount)
{
    check_keys(r, node, mount_keys);
    if (r->err != BRISK_OK) {
        return;
    }
    memcpy(mount->at, "/", 2);
    text(r, node, "at", mount->at, sizeof mount->at);
    text(r, node, "host", mount->host, sizeof mount->host);
    if (r->err == BRISK_OK && mount->at[0] != '/') {
        refuse(r, node, "at: a path that begins with '/' is wanted");
    }
    read_upstreams(r, node, mount);
    read_tls(r, node, mount);
    read_manners(r, node, mount);
    read_policy(r, node, mount);
    read_health(r, node, &mount->health);
    read_host(r, node, mount);
    read_forwarded(r, node, mount);
    mount->strip = truth(r, node, "strip", false);
}

static void read_mounts(reader *r, const brisk_yaml_node *root, proxy_mounts *mounts)
{
    if (root->kind != BRISK_YAML_SEQUENCE || root->count > PROXY_MOUNTS_MAX) {
        refuse(r, root,
               root->kind == BRISK_YAML_SEQUENCE ? "too many mounts"
                                                 : "a list of mounts is wanted");
        return;
    }
    if (root->count == 0) {
        return;
    }
    const brisk_alloc *alloc = mounts->alloc;
    size_t size = root->count * sizeof *mounts->items;
    mounts->items = alloc->acquire(alloc->ctx, size, _Alignof(proxy_mount));
    if (mounts->items == NULL) {
        r->err = BRISK_ERR_NOMEM;
        return;
    }
    memset(mounts->items, 0, size);
    mounts->capacity = root->count;
    for (const brisk_yaml_node *n = root->child; n != NULL && r->err == BRISK_OK; n = n->next) {
        proxy_mount *mount = &mounts->items[mounts->count];
        mount->index = mounts->count++;
        mount->group.alloc = alloc;
        read_mount(r, n, mount);
    }
}

brisk_err proxy_config_read(const brisk_yaml_doc *doc, const brisk_alloc *alloc, proxy_mounts *ret,
                            brisk_errinfo *info)
{
    proxy_mounts mounts = {.alloc = alloc};
    reader r = {.doc = doc, .info = info};
    const brisk_yaml_node *root = doc != NULL ? brisk_yaml_root(doc) : NULL;
    if (root != NULL && (root->kind != BRISK_YAML_MAPPING || root->count > 0)) {
        read_mounts(&r, root, &mounts);
    }
    if (r.err != BRISK_OK) {
        proxy_config_deinit(&mounts);
        return r.err;
    }
    *ret = mounts;
    return BRISK_OK;
}

void proxy_config_deinit(proxy_mounts *mounts)
{
    const brisk_alloc *alloc = mounts->alloc;
    for (uint32_t i = 0; i < mounts->count; i++) {
        upstreams *group = &mounts->items[i].group;
        wire_tls_context_destroy(group->tls);
        if (group->items != NULL) {
            alloc->release(alloc->ctx, group->items, group->count * sizeof *group->items,
                           _Alignof(upstream));
        }
    }
    if (mounts->items != NULL) {
        alloc->release(alloc->ctx, mounts->items, mounts->capacity * sizeof *mounts->items,
                       _Alignof(proxy_mount));
    }
    *mounts = (proxy_mounts){.alloc = alloc};
}
