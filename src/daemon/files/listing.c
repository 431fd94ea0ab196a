/*
 * listing.c -- a folder as a page: names, sizes, times.
 *
 * Names are hostile: they are escaped as HTML where they are shown and as a path where they lead,
 * and each link begins with "./", so that none is a scheme.  Hidden names are left out.
 *
 * Sources: RFC 3986 (2.1), HTML (character references).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "daemon/files/internal.h"
#include "daemon/http/carrier.h"

enum { NAMES_MAX = 10000, PAGE_MAX = 16 << 20 };

typedef struct named {
    char *name;
    uint64_t size;
    int64_t modified_s;
    bool folder;
} named;

typedef struct names {
    const brisk_alloc *alloc;
    named *list; /* NAMES_MAX */
    uint32_t count;
    bool more;
} names;

/* --- escaping --------------------------------------------------------------------------------- */

static void add_html(brisk_str *to, const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        switch (text[i]) {
        case '<': brisk_str_add(to, "&lt;"); break;
        case '>': brisk_str_add(to, "&gt;"); break;
        case '&': brisk_str_add(to, "&amp;"); break;
        case '"': brisk_str_add(to, "&quot;"); break;
        case '\'': brisk_str_add(to, "&#39;"); break;
        default: brisk_str_append(to, (unsigned char)text[i] < ' ' ? "?" : text + i, 1);
        }
    }
}

static bool is_path_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           strchr("-._~/!$()*+,=@", c) != NULL;
}

static void add_path(brisk_str *to, const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (text[i] != '\0' && is_path_char(text[i])) {
            brisk_str_append(to, text + i, 1);
        } else {
            brisk_str_printf(to, "%%%02X", (unsigned)(unsigned char)text[i]);
        }
    }
}

brisk_err files_escape_path(http_text text, const brisk_alloc *alloc, char **ret, size_t *size)
{
    brisk_str str;
    brisk_str_init(&str, alloc, PAGE_MAX);
    add_path(&str, text.data, text.size);
    brisk_err err = brisk_str_err(&str);
    size_t escaped = brisk_str_size(&str);
    char *copy = err == BRISK_OK ? alloc->acquire(alloc->ctx, escaped + 1, 1) : NULL;
    if (copy != NULL) {
        memcpy(copy, brisk_str_text(&str), escaped + 1);
        *ret = copy;
        *size = escaped;
    }
    brisk_str_deinit(&str);
    return copy != NULL ? BRISK_OK : BRISK_ERR_NOMEM;
}

/* --- reading ---------------------------------------------------------------------------------- */

static void names_free(names *all)
{
    for (uint32_t i = 0; i < all->count; i++) {
        all->alloc->release(all->alloc->ctx, all->list[i].name, strlen(all->list[i].name) + 1, 1);
    }
    if (all->list != NULL) {
        all->alloc->release(all->alloc->ctx, all->list, NAMES_MAX * sizeof *all->list,
                            _Alignof(named));
    }
}

/* False: no memory. */
static bool take_name(names *all, DIR *folder, const char *name)
{
    struct stat status;
    if (fstatat(dirfd(folder), name, &status, AT_SYMLINK_NOFOLLOW) != 0 ||
        (!S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode) && !S_ISLNK(status.st_mode))) {
        return true;
    }
    size_t size = strlen(name) + 1;
    char *copy = all->alloc->acquire(all->alloc->ctx, size, 1);
    if (copy == NULL) {
        return false;
    }
    memcpy(copy, name, size);
    all->list[all->count++] = (named){.name = copy,
                                      .size = (uint64_t)status.st_size,
                                      .modified_s = status.st_mtim.tv_sec,
                                      .folder = S_ISDIR(status.st_mode)};
    return true;
}

static brisk_err read_names(names *all, const mount *m, DIR *folder)
{
    errno = 0;
    for (struct dirent *one; (one = readdir(folder)) != NULL; errno = 0) {
        bool dots = strcmp(one->d_name, ".") == 0 || strcmp(one->d_name, "..") == 0;
        if (dots || (one->d_name[0] == '.' && !m->dotfiles)) {
            continue;
        }
        if (all->count == NAMES_MAX) {
            all->more = true;
            return BRISK_OK;
        }
        if (!take_name(all, folder, one->d_name)) {
            return BRISK_ERR_NOMEM;
        }
    }
    return errno == 0 ? BRISK_OK : brisk_err_from_errno(errno);
}

/* Folders first, then by name. */
static int compare(const void *a, const void *b)
{
    const named *one = a;
    const named *other = b;
    if (one->folder != other->folder) {
        return one->folder ? -1 : 1;
    }
    return strcmp(one->name, other->name);
}

/* --- the page --------------------------------------------------------------------------------- */

static void add_row(brisk_str *page, const named *one)
{
    char date[HTTP_DATE_SIZE + 1];
    http_date_format(date, one->modified_s > 0 ? (uint64_t)one->modified_s : 0);
    brisk_str_add(page, "<tr><td><a href=\"./");
    add_path(page, one->name, strlen(one->name));
    brisk_str_add(page, one->folder ? "/\">" : "\">");
    add_html(page, one->name, strlen(one->name));
    brisk_str_printf(page, "%s</a></td><td>%s</td><td>", one->folder ? "/" : "", date);
    if (!one->folder) {
        brisk_str_printf(page, "%llu", (unsigned long long)one->size);
    }
    brisk_str_add(page, "</td></tr>\n");
}

static void write_page(brisk_str *page, const names *all, http_text shown)
{
    brisk_str_add(page, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                        "<meta name=\"viewport\" content=\"width=device-width\"><title>");
    add_html(page, shown.data, shown.size);
    brisk_str_add(page, "</title><style>body{font-family:sans-serif;color-scheme:light dark}"
                        "td{padding:0 1em 0 0}td:last-child{text-align:right}</style></head>"
                        "<body><h1>");
    add_html(page, shown.data, shown.size);
    brisk_str_add(page, "</h1><table>\n");
    if (shown.size > 1) {
        brisk_str_add(page, "<tr><td><a href=\"../\">../</a></td><td></td><td></td></tr>\n");
    }
    for (uint32_t i = 0; i < all->count; i++) {
        add_row(page, &all->list[i]);
    }
    brisk_str_add(page, "</table>");
    if (all->more) {
        brisk_str_printf(page, "<p>Only the first %d names are shown.</p>", NAMES_MAX);
    }
    brisk_str_add(page, "</body></html>\n");
}

static brisk_err make_page(const names *all, http_text shown, brisk_value **ret)
{
    brisk_str page;
    brisk_str_init(&page, all->alloc, PAGE_MAX);
    write_page(&page, all, shown);
    brisk_err err = brisk_str_err(&page);
    if (err == BRISK_OK) {
        err = brisk_value_copy(brisk_str_text(&page), brisk_str_size(&page), all->alloc, ret);
    }
    brisk_str_deinit(&page);
    return err;
}

brisk_err files_list(const mount *m, const char *path, http_text shown, const brisk_alloc *alloc,
                     brisk_value **ret)
{
    int fd = file_open_beneath(&m->place, path, O_RDONLY | O_DIRECTORY, false);
    if (fd < 0) {
        return errno == EACCES                                         ? BRISK_ERR_PERMISSION
               : errno == EMFILE || errno == ENFILE || errno == ENOMEM ? BRISK_ERR_LIMIT
                                                                       : BRISK_ERR_NOT_FOUND;
    }
    DIR *folder = fdopendir(fd);
    if (folder == NULL) {
        (void)close(fd);
        return BRISK_ERR_NOMEM;
    }
    names all = {.alloc = alloc};
    all.list = alloc->acquire(alloc->ctx, NAMES_MAX * sizeof *all.list, _Alignof(named));
    brisk_err err = all.list != NULL ? read_names(&all, m, folder) : BRISK_ERR_NOMEM;
    (void)closedir(folder);
    if (err == BRISK_OK) {
        qsort(all.list, all.count, sizeof *all.list, compare);
        err = make_page(&all, shown, ret);
    }
    names_free(&all);
    return err;
}
