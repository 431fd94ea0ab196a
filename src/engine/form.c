/*
 * form.c -- the bytes that a request names: decoded, looked up, or read from below one folder.
 *
 * A path is opened by openat2 with RESOLVE_BENEATH and without links that the kernel makes up, so
 * that no "..", no link and no race leads out of the folder; what is read is copied, so that nobody
 * can change or shorten it under a running job.
 *
 * Threads: no state.  Source: RFC 4648 (base64); openat2(2).
 */
#include <brisk/form.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <brisk/file.h>

enum { NAME_SHOWN_MAX = 80 };

static brisk_err no_memory(const char *what, brisk_errinfo *info)
{
    return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "\"%s\": out of memory", what);
}

/* `size` more bytes; the budget is the whole request's. */
static brisk_err count_bytes(const brisk_form_input *in, uint64_t size, const char *what,
                             brisk_errinfo *info)
{
    uint64_t used = in->used != NULL ? *in->used : 0;
    if (in->bytes_max != 0 && (size > in->bytes_max || used > in->bytes_max - size)) {
        return brisk_errinfo_set(info, BRISK_ERR_LIMIT,
                                 "\"%s\": more than the %llu bytes that a request may bring", what,
                                 (unsigned long long)in->bytes_max);
    }
    if (in->used != NULL) {
        *in->used = used + size;
    }
    return BRISK_OK;
}

/* --- base64 ------------------------------------------------------------------------------- */

static int value_of(unsigned char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Whole groups, padding at the end only, no stray bits.  False: it is not base64. */
static bool decode(const char *text, size_t size, unsigned char *to, size_t *ret)
{
    size_t padding = 0;
    while (padding < 2 && padding < size && text[size - 1 - padding] == '=') {
        padding++;
    }
    if (size % 4 != 0) {
        return false;
    }
    size_t used = 0;
    uint32_t bits = 0;
    for (size_t i = 0; i < size - padding; i++) {
        int value = value_of((unsigned char)text[i]);
        if (value < 0) {
            return false;
        }
        bits = bits << 6 | (uint32_t)value;
        if (i % 4 == 3) {
            to[used++] = (unsigned char)(bits >> 16);
            to[used++] = (unsigned char)(bits >> 8);
            to[used++] = (unsigned char)bits;
            bits = 0;
        }
    }
    if (padding == 1) {
        to[used++] = (unsigned char)(bits >> 10);
        to[used++] = (unsigned char)(bits >> 2);
    } else if (padding == 2) {
        to[used++] = (unsigned char)(bits >> 4);
    }
    *ret = used;
    return padding == 0 || (bits & (padding == 1 ? 3U : 15U)) == 0;
}

static brisk_err from_base64(const brisk_form_input *in, const brisk_json_node *node,
                             const char *what, brisk_form_part *ret, brisk_errinfo *info)
{
    brisk_err err = count_bytes(in, node->size / 4 * 3, what, info);
    if (err != BRISK_OK) {
        return err;
    }
    unsigned char *data = brisk_arena_alloc(in->arena, node->size / 4 * 3 + 3);
    if (data == NULL) {
        return no_memory(what, info);
    }
    size_t size = 0;
    if (!decode(node->text, node->size, data, &size)) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "\"%s\": \"base64\" is not base64", what);
    }
    ret->data = data;
    ret->size = size;
    return BRISK_OK;
}

/* --- parts, entries ----------------------------------------------------------------------- */

static int shown(size_t size)
{
    return (int)(size < NAME_SHOWN_MAX ? size : NAME_SHOWN_MAX);
}

static brisk_err from_part(const brisk_form_input *in, const brisk_json_node *node,
                           const char *what, brisk_form_part *ret, brisk_errinfo *info)
{
    for (uint32_t i = 0; i < in->part_count; i++) {
        if (brisk_json_is(node, in->parts[i].name)) {
            *ret = in->parts[i];
            return BRISK_OK;
        }
    }
    return brisk_errinfo_set(info, BRISK_ERR_NOT_FOUND, "\"%s\": there is no part \"%.*s\"", what,
                             shown(node->size), node->text);
}

static brisk_err from_entry(const brisk_form_input *in, const brisk_json_node *node,
                            const char *what, brisk_form_part *ret, brisk_errinfo *info)
{
    if (in->entry == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID,
                                 "\"%s\": entries of the cache cannot be named here", what);
    }
    brisk_err err = in->entry(in->ctx, node->text, node->size, in->arena, ret);
    if (err == BRISK_OK) {
        return count_bytes(in, ret->size, what, info);
    }
    return brisk_errinfo_set(info, err, "\"%s\": entry \"%.*s\": %s", what, shown(node->size),
                             node->text, brisk_err_message(err));
}

/* --- files -------------------------------------------------------------------------------- */

static brisk_err read_file(const brisk_form_input *in, int fd, const char *what,
                           brisk_form_part *ret, brisk_errinfo *info)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size < 0) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "\"%s\": not a regular file", what);
    }
    brisk_err err = count_bytes(in, (uint64_t)st.st_size, what, info);
    if (err != BRISK_OK) {
        return err;
    }
    void *data = brisk_arena_alloc(in->arena, (size_t)st.st_size + 1);
    if (data == NULL) {
        return no_memory(what, info);
    }
    err = brisk_file_pread_all(fd, data, (size_t)st.st_size, 0);
    if (err != BRISK_OK) {
        return brisk_errinfo_set(info, err, "\"%s\": %s", what, brisk_err_message(err));
    }
    ret->data = data;
    ret->size = (size_t)st.st_size;
    return BRISK_OK;
}

static brisk_err from_path(const brisk_form_input *in, const brisk_json_node *node,
                           const char *what, brisk_form_part *ret, brisk_errinfo *info)
{
    if (in->root == NULL || in->root[0] == '\0') {
        return brisk_errinfo_set(info, BRISK_ERR_PERMISSION, "\"%s\": no files may be read", what);
    }
    char *path = brisk_arena_copy(in->arena, node->text, node->size);
    if (path == NULL) {
        return no_memory(what, info);
    }
    if (strlen(path) != node->size) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "\"%s\": no path", what);
    }
    int folder = open(in->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) {
        return brisk_errinfo_set(info, BRISK_ERR_PERMISSION, "\"%s\": the folder is not there",
                                 what);
    }
    struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    int fd = (int)syscall(SYS_openat2, folder, path, &how, sizeof how);
    int why = errno;
    (void)close(folder);
    if (fd < 0) {
        bool leaves = why == EXDEV || why == ELOOP || why == EACCES || why == EPERM;
        return brisk_errinfo_set(info, leaves ? BRISK_ERR_PERMISSION : brisk_err_from_errno(why),
                                 "\"%s\": \"%.*s\": %s", what, shown(node->size), node->text,
                                 leaves ? "it may not be read" : "there is no such file");
    }
    brisk_err err = read_file(in, fd, what, ret, info);
    (void)close(fd);
    return err;
}

/* --- one of them -------------------------------------------------------------------------- */

typedef struct source {
    const char *key;
    brisk_err (*read)(const brisk_form_input *in, const brisk_json_node *node, const char *what,
                      brisk_form_part *ret, brisk_errinfo *info);
} source;

static brisk_err from_text(const brisk_form_input *in, const brisk_json_node *node,
                           const char *what, brisk_form_part *ret, brisk_errinfo *info)
{
    (void)in;
    (void)what;
    (void)info;
    ret->data = node->text;
    ret->size = node->size;
    return BRISK_OK;
}

static const source sources[] = {
    {"base64", from_base64}, {"text", from_text}, {"part", from_part},
    {"entry", from_entry},   {"path", from_path},
};

brisk_err brisk_form_bytes(const brisk_form_input *input, const brisk_json_node *node,
                           const char *what, brisk_form_part *ret, brisk_errinfo *info)
{
    static const char *const allowed[] = {"base64", "text", "part", "entry", "path", "name", NULL};
    brisk_errinfo why = {.text = ""};
    const source *found = NULL;
    const brisk_json_node *from = NULL;
    const brisk_json_node *name = NULL;
    uint32_t count = 0;
    brisk_err err = brisk_json_check_members(node, allowed, &why);
    for (size_t i = 0; err == BRISK_OK && i < sizeof sources / sizeof sources[0]; i++) {
        const brisk_json_node *at = NULL;
        err = brisk_json_member(node, sources[i].key, BRISK_JSON_STRING, &at, &why);
        if (at != NULL) {
            found = &sources[i];
            from = at;
            count++;
        }
    }
    err = err == BRISK_OK ? brisk_json_member(node, "name", BRISK_JSON_STRING, &name, &why) : err;
    if (err != BRISK_OK) {
        return brisk_errinfo_set(info, err, "\"%s\": %.*s", what, NAME_SHOWN_MAX, why.text);
    }
    if (count != 1) {
        return brisk_errinfo_set(
            info, BRISK_ERR_INVALID,
            "\"%s\" has to have one of \"base64\", \"text\", \"part\", \"entry\", \"path\"", what);
    }
    brisk_form_part part = {.name = what, .type = ""};
    err = found->read(input, from, what, &part, info);
    if (err != BRISK_OK) {
        return err;
    }
    if (found->read != from_base64 && found->read != from_text) {
        name = name != NULL ? name : from; /* what is named has a name */
    }
    part.name = name != NULL ? brisk_arena_copy(input->arena, name->text, name->size)
                             : brisk_arena_copy(input->arena, what, strlen(what));
    if (part.name == NULL) {
        return no_memory(what, info);
    }
    *ret = part;
    return BRISK_OK;
}
