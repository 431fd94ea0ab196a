/*
 * target.c -- from a request's target to the path that routes are looked up with.
 *
 *     /a%2Fb/./c/../d?x=1   ─►   path "/a/b/d", query "x=1"
 *
 * Escapes are resolved first, all of them, slashes too, and dot segments afterwards: so there is one path for whatever
 * a client wrote, rights are those of what is served, and nothing is decoded a second time.  Refused are escapes that
 * are none, NUL, and a path that leaves the root.  Empty segments stay.
 *
 * A target without escapes and dots is its own path: nothing is copied.
 *
 * Sources: RFC 3986 (2.1, 5.2.4), RFC 9110 (4.2.3).
 */
#include <string.h>

#include "daemon/http/carrier.h"

static int hex_of(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* Resolve escapes into `to`, which has room for all of `from`; false: there is a wrong one, or NUL. */
static bool unescape(http_text from, char *to, size_t *ret_size)
{
    size_t size = 0;
    for (size_t i = 0; i < from.size; i++) {
        if (from.data[i] != '%') {
            to[size++] = from.data[i];
            continue;
        }
        int high = from.size - i > 2 ? hex_of(from.data[i + 1]) : -1;
        int low = from.size - i > 2 ? hex_of(from.data[i + 2]) : -1;
        if (high < 0 || low < 0 || (high == 0 && low == 0)) {
            return false;
        }
        to[size++] = (char)(high * 16 + low);
        i += 2;
    }
    *ret_size = size;
    return true;
}

/* Take "." and ".." out of `path`, in place; false: it leaves the root. */
static bool remove_dots(char *path, size_t *size)
{
    size_t to = 0;
    size_t at = 0;
    while (at < *size) { /* a segment with the '/' before it */
        size_t end = at + 1;
        while (end < *size && path[end] != '/') {
            end++;
        }
        size_t length = end - at;
        bool last = end == *size;
        if (length == 2 && path[at + 1] == '.') {
            if (last) {
                path[to++] = '/';
            }
        } else if (length == 3 && path[at + 1] == '.' && path[at + 2] == '.') {
            if (to == 0) {
                return false;
            }
            do {
                to--;
            } while (path[to] != '/');
            if (last) {
                path[to++] = '/';
            }
        } else {
            memmove(path + to, path + at, length);
            to += length;
        }
        at = end;
    }
    *size = to;
    return true;
}

/* Is it its own path? */
static bool is_plain(http_text path)
{
    if (memchr(path.data, '%', path.size) != NULL) {
        return false;
    }
    const char *at = path.data;
    const char *end = path.data + path.size;
    while ((at = memchr(at, '/', (size_t)(end - at))) != NULL && ++at < end) {
        if (*at == '.') {
            return false;
        }
    }
    return true;
}

bool exchange_set_path(exchange *x)
{
    const char *mark = memchr(x->target.data, '?', x->target.size);
    http_text path = x->target;
    x->query = HTTP_TEXT("");
    if (mark != NULL) {
        path.size = (size_t)(mark - path.data);
        x->query = (http_text){.data = mark + 1, .size = x->target.size - path.size - 1};
    }
    if (path.size == 0 || path.data[0] != '/') {
        return false;
    }
    if (!is_plain(path)) {
        size_t size;
        char *own = exchange_alloc(x, path.size);
        if (own == NULL || !unescape(path, own, &size) || !remove_dots(own, &size)) {
            return false;
        }
        path = (http_text){.data = own, .size = size};
    }
    x->path = path;
    return true;
}

/* "%41+b" in a query; false: a wrong escape, or no memory. */
static bool decode_value(http_text from, brisk_arena *arena, http_text *ret)
{
    char *to = brisk_arena_alloc(arena, from.size + 1);
    size_t size = 0;
    if (to == NULL || !unescape(from, to, &size)) {
        return false;
    }
    *ret = (http_text){.data = to, .size = size};
    to[size] = '\0';
    return true;
}

bool exchange_query(const exchange *x, const char *name, brisk_arena *arena, http_text *ret)
{
    http_text rest = x->query;
    size_t wanted = strlen(name);
    while (rest.size > 0) {
        const char *end = memchr(rest.data, '&', rest.size);
        size_t size = end != NULL ? (size_t)(end - rest.data) : rest.size;
        const char *equals = memchr(rest.data, '=', size);
        size_t name_size = equals != NULL ? (size_t)(equals - rest.data) : size;
        if (name_size == wanted && memcmp(rest.data, name, wanted) == 0) {
            size_t skip = equals != NULL ? name_size + 1 : size;
            return decode_value((http_text){.data = rest.data + skip, .size = size - skip}, arena,
                                ret);
        }
        size_t step = end != NULL ? size + 1 : size;
        rest.data += step;
        rest.size -= step;
    }
    return false;
}
