/*
 * mounts.c -- the YAML of a mount, and its root.
 *
 * The root's descriptor never changes its number: when another folder has taken its place, dup3 puts
 * that behind the same number, so that whoever opens below it needs no lock.
 */
#include "daemon/files/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <brisk/knob.h>

#include "daemon/encode/dictionary.h"

enum { REVALIDATE_MAX_S = 3600 };

#define SECOND_NS UINT64_C(1000000000)

static char *copy_text(const brisk_alloc *alloc, const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = alloc->acquire(alloc->ctx, size, 1);
    if (copy != NULL) {
        memcpy(copy, text, size);
    }
    return copy;
}

static void free_text(const brisk_alloc *alloc, char *text)
{
    if (text != NULL) {
        alloc->release(alloc->ctx, text, strlen(text) + 1, 1);
    }
}

static brisk_err wrong(const brisk_yaml_doc *doc, const brisk_yaml_node *node, const char *what,
                       brisk_errinfo *info)
{
    return brisk_errinfo_set(info, BRISK_ERR_INVALID, "%s:%u: serve.static: %s",
                             brisk_yaml_name(doc), node->line, what);
}

/* What may stand in a field: no control characters. */
static bool is_field_text(const char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < ' ' || *text == 127) {
            return false;
        }
    }
    return true;
}

static brisk_err take_text(const brisk_yaml_doc *doc, const brisk_yaml_node *mapping,
                           const char *key, const char *otherwise, const brisk_alloc *alloc,
                           char **ret, brisk_errinfo *info)
{
    const brisk_yaml_node *node = brisk_yaml_get(mapping, key);
    const char *text = otherwise;
    if (node != NULL) {
        if (node->kind != BRISK_YAML_SCALAR || strlen(node->text) >= MOUNT_TEXT_MAX ||
            !is_field_text(node->text)) {
            return brisk_errinfo_set(info, BRISK_ERR_INVALID,
                                     "%s:%u: serve.static: '%s' is not a short text",
                                     brisk_yaml_name(doc), node->line, key);
        }
        text = node->text;
    }
    *ret = copy_text(alloc, text);
    return *ret != NULL ? BRISK_OK : brisk_errinfo_set(info, BRISK_ERR_NOMEM, "out of memory");
}

static brisk_err take_bool(const brisk_yaml_doc *doc, const brisk_yaml_node *mapping,
                           const char *key, bool otherwise, bool *ret, brisk_errinfo *info)
{
    const brisk_yaml_node *node = brisk_yaml_get(mapping, key);
    uint64_t value = otherwise ? 1 : 0;
    if (node != NULL && (node->kind != BRISK_YAML_SCALAR ||
                         brisk_knob_parse(BRISK_KNOB_BOOL, node->text, &value) != BRISK_OK)) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID,
                                 "%s:%u: serve.static: '%s' is true or false", brisk_yaml_name(doc),
                                 node->line, key);
    }
    *ret = value != 0;
    return BRISK_OK;
}

static brisk_err take_list(const brisk_yaml_doc *doc, const brisk_yaml_node *mapping,
                           const char *key, const brisk_alloc *alloc, char *to[MOUNT_LINKS_MAX],
                           uint32_t *count, brisk_errinfo *info)
{
    const brisk_yaml_node *list = brisk_yaml_get(mapping, key);
    if (list == NULL) {
        return BRISK_OK;
    }
    if (list->kind != BRISK_YAML_SEQUENCE || list->count > MOUNT_LINKS_MAX) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID,
                                 "%s:%u: serve.static: '%s' is a list of at most %d links",
                                 brisk_yaml_name(doc), list->line, key, MOUNT_LINKS_MAX);
    }
    for (const brisk_yaml_node *n = list->child; n != NULL; n = n->next) {
        if (n->kind != BRISK_YAML_SCALAR || n->text[0] != '<' || !is_field_text(n->text) ||
            strlen(n->text) >= MOUNT_TEXT_MAX) {
            return wrong(doc, n, "a link is written as \"</app.css>; rel=preload; as=style\"",
                         info);
        }
        to[*count] = copy_text(alloc, n->text);
        if (to[*count] == NULL) {
            return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "out of memory");
        }
        *count += 1;
    }
    return BRISK_OK;
}

static brisk_err take_links(mount *self, const brisk_yaml_doc *doc, const brisk_yaml_node *node,
                            brisk_errinfo *info)
{
    const brisk_yaml_node *links = brisk_yaml_get(node, "symlinks");
    const char *text = links != NULL && links->kind == BRISK_YAML_SCALAR ? links->text : "inside";
    self->place.links = strcmp(text, "inside") == 0;
    if (!self->place.links && strcmp(text, "never") != 0) {
        return wrong(doc, links, "'symlinks' is inside (followed within the root) or never", info);
    }
    return BRISK_OK;
}

static brisk_err take_revalidate(mount *self, const brisk_yaml_doc *doc,
                                 const brisk_yaml_node *node, brisk_errinfo *info)
{
    const brisk_yaml_node *time = brisk_yaml_get(node, "revalidate");
    uint64_t ns = SECOND_NS;
    if (time != NULL && (time->kind != BRISK_YAML_SCALAR ||
                         brisk_knob_parse(BRISK_KNOB_DURATION, time->text, &ns) != BRISK_OK ||
                         ns > REVALIDATE_MAX_S * SECOND_NS)) {
        return wrong(doc, time, "'revalidate' is a time of at most an hour, as 1s", info);
    }
    self->place.fresh_ns = ns;
    return BRISK_OK;
}

static brisk_err take_dictionary(mount *self, const brisk_yaml_doc *doc,
                                 const brisk_yaml_node *node, const brisk_alloc *alloc,
                                 brisk_errinfo *info)
{
    char field[MOUNT_TEXT_MAX * 2];
    const brisk_yaml_node *match = brisk_yaml_get(node, "dictionary");
    const char *pattern = match != NULL && match->kind == BRISK_YAML_SCALAR ? match->text : "";
    field[0] = '\0';
    if (match != NULL && (pattern[0] != '/' || strlen(pattern) >= MOUNT_TEXT_MAX ||
                          !encode_write_string(pattern, field, sizeof field))) {
        return wrong(doc, match, "'dictionary' is a pattern of paths, as \"/app/*.js\"", info);
    }
    char value[MOUNT_TEXT_MAX * 2 + 16];
    (void)snprintf(value, sizeof value, "%s%s", field[0] != '\0' ? "match=" : "", field);
    self->dictionary = copy_text(alloc, value);
    char *kept = copy_text(alloc, pattern);
    if (self->dictionary == NULL || kept == NULL) {
        free_text(alloc, kept);
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "out of memory");
    }
    self->dictionary_match = (http_text){.data = kept, .size = strlen(kept)};
    return BRISK_OK;
}

static brisk_err take_switches(mount *self, const brisk_yaml_doc *doc, const brisk_yaml_node *node,
                               brisk_errinfo *info)
{
    const struct {
        const char *key;
        bool otherwise;
        bool *to;
    } switches[] = {
        {"listing", false, &self->listing},  {"precompressed", true, &self->precompressed},
        {"variants", true, &self->variants}, {"dotfiles", false, &self->dotfiles},
        {"compress", true, &self->compress},
    };
    brisk_err err = BRISK_OK;
    for (size_t i = 0; i < sizeof switches / sizeof switches[0] && err == BRISK_OK; i++) {
        err = take_bool(doc, node, switches[i].key, switches[i].otherwise, switches[i].to, info);
    }
    return err;
}

static brisk_err open_root(mount *self, const brisk_yaml_doc *doc, const brisk_yaml_node *node,
                           brisk_errinfo *info)
{
    if (self->at[0] != '/') {
        return wrong(doc, node, "'at' is a path and begins with '/'", info);
    }
    if (self->root[0] == '\0') {
        return wrong(doc, node, "a mount needs a 'root'", info);
    }
    if (strchr(self->index, '/') != NULL || self->index[0] == '.') {
        return wrong(doc, node, "'index' is the name of a file", info);
    }
    self->place.root_fd = open(self->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (self->place.root_fd < 0) {
        return brisk_errinfo_set_errno(info, errno, "%s:%u: serve.static: %s", brisk_yaml_name(doc),
                                       node->line, self->root);
    }
    int fd = file_open_beneath(&self->place, "", O_RDONLY | O_DIRECTORY, false);
    if (fd < 0 && errno == ENOSYS) {
        return brisk_errinfo_set(info, BRISK_ERR_UNSUPPORTED,
                                 "serve.static: this kernel has no openat2 (Linux 5.6)");
    }
    if (fd < 0 && !(errno == EACCES && !self->listing)) {
        return brisk_errinfo_set_errno(info, errno, "%s:%u: serve.static: %s", brisk_yaml_name(doc),
                                       node->line, self->root);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return BRISK_OK;
}

static brisk_err take_all(mount *self, const brisk_yaml_doc *doc, const brisk_yaml_node *node,
                          const brisk_alloc *alloc, brisk_errinfo *info)
{
    static const char *const keys[] = {"at",       "host",          "root",       "index",
                                       "listing",  "precompressed", "variants",   "dotfiles",
                                       "compress", "symlinks",      "revalidate", "cache_control",
                                       "hints",    "prefetch",      "dictionary", NULL};
    const struct {
        const char *key;
        const char *otherwise;
        char **to;
    } texts[] = {
        {"at", "/", &self->at},
        {"host", "", &self->host},
        {"root", "", &self->root},
        {"index", "index.html", &self->index},
        {"cache_control", "", &self->cache_control},
    };
    if (node->kind != BRISK_YAML_MAPPING) {
        return wrong(doc, node, "a mount is written as {at: /, root: /srv/www}", info);
    }
    brisk_err err = brisk_yaml_check_keys(doc, node, keys, info);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0] && err == BRISK_OK; i++) {
        err = take_text(doc, node, texts[i].key, texts[i].otherwise, alloc, texts[i].to, info);
    }
    err = err == BRISK_OK ? take_switches(self, doc, node, info) : err;
    err = err == BRISK_OK ? take_links(self, doc, node, info) : err;
    err = err == BRISK_OK ? take_revalidate(self, doc, node, info) : err;
    err = err == BRISK_OK ? take_dictionary(self, doc, node, alloc, info) : err;
    if (err == BRISK_OK) {
        err = take_list(doc, node, "hints", alloc, self->hints, &self->hint_count, info);
    }
    if (err == BRISK_OK) {
        err = take_list(doc, node, "prefetch", alloc, self->prefetch, &self->prefetch_count, info);
    }
    return err == BRISK_OK ? open_root(self, doc, node, info) : err;
}

brisk_err mount_init(mount *self, const brisk_yaml_doc *doc, const brisk_yaml_node *node,
                     const brisk_alloc *alloc, brisk_errinfo *info)
{
    memset(self, 0, sizeof *self);
    self->place.root_fd = -1;
    (void)pthread_mutex_init(&self->root_lock, NULL);
    brisk_err err = take_all(self, doc, node, alloc, info);
    if (err != BRISK_OK) {
        mount_deinit(self, alloc);
    }
    return err;
}

void mount_deinit(mount *self, const brisk_alloc *alloc)
{
    free_text(alloc, self->at);
    free_text(alloc, self->host);
    free_text(alloc, self->root);
    free_text(alloc, self->index);
    free_text(alloc, self->cache_control);
    free_text(alloc, self->dictionary);
    union { /* it was made here */
        const char *from;
        char *to;
    } pattern = {self->dictionary_match.data};
    free_text(alloc, pattern.to);
    for (uint32_t i = 0; i < self->hint_count; i++) {
        free_text(alloc, self->hints[i]);
    }
    for (uint32_t i = 0; i < self->prefetch_count; i++) {
        free_text(alloc, self->prefetch[i]);
    }
    if (self->place.root_fd >= 0) {
        (void)close(self->place.root_fd);
    }
    (void)pthread_mutex_destroy(&self->root_lock);
}

bool mount_is_due(const mount *self, uint64_t now_ns)
{
    /* Relaxed: at worst two look. */
    return now_ns - atomic_load_explicit(&self->root_ns, memory_order_relaxed) >=
           (self->place.fresh_ns > 0 ? self->place.fresh_ns : 1);
}

void mount_look(mount *self, uint64_t now_ns)
{
    struct stat now;
    struct stat ours;
    (void)pthread_mutex_lock(&self->root_lock);
    atomic_store_explicit(&self->root_ns, now_ns, memory_order_relaxed);
    if (stat(self->root, &now) == 0 && fstat(self->place.root_fd, &ours) == 0 &&
        (now.st_dev != ours.st_dev || now.st_ino != ours.st_ino)) {
        int fd = open(self->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0) {
            (void)dup3(fd, self->place.root_fd, O_CLOEXEC);
            (void)close(fd);
        }
    }
    (void)pthread_mutex_unlock(&self->root_lock);
}

bool mount_matches(http_text pattern, http_text path)
{
    size_t p = 0;
    size_t at = 0;
    size_t star = SIZE_MAX; /* the last one seen, and where in the path it was met */
    size_t met = 0;
    while (at < path.size) {
        if (p < pattern.size && pattern.data[p] == '*') {
            star = p++;
            met = at;
        } else if (p < pattern.size && pattern.data[p] == path.data[at]) {
            p++;
            at++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            at = ++met;
        } else {
            return false;
        }
    }
    while (p < pattern.size && pattern.data[p] == '*') {
        p++;
    }
    return p == pattern.size;
}
