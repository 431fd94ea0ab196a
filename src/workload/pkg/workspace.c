/*
 * workspace.c -- globs over paths, and the patterns of "workspaces".
 *
 * A pattern is walked with the path; a star remembers where it began, to take one more character
 * when what follows does not fit.  A double star remembers a part in the same way.  Steps are
 * counted: a pattern that would go on for ever fits nothing.
 *
 * Threads: pure.
 */
#include "workload/pkg/workspace.h"

#include "workload/pkg/jsonscan.h"

/* A star that may take more: where the pattern goes on, and how much was taken. */
typedef struct retry {
    size_t pattern;
    size_t path;
    bool set;
} retry;

static char at(pkg_text text, size_t i)
{
    return i < text.size ? text.data[i] : '\0';
}

/* "**" that is a part of its own. */
static bool is_double(pkg_text pattern, size_t p)
{
    return at(pattern, p) == '*' && at(pattern, p + 1) == '*' &&
           (p == 0 || pattern.data[p - 1] == '/') &&
           (p + 2 == pattern.size || at(pattern, p + 2) == '/');
}

/* Take more with the innermost star that can.  False: none can. */
static bool go_back(pkg_text path, retry *star, retry *part, size_t *p, size_t *i)
{
    if (star->set && star->path < path.size && path.data[star->path] != '/') {
        star->path++;
        *p = star->pattern;
        *i = star->path;
        return true;
    }
    star->set = false;
    if (!part->set || part->path >= path.size) {
        return false;
    }
    while (part->path < path.size && path.data[part->path] != '/') {
        part->path++;
    }
    part->path += part->path < path.size;
    *p = part->pattern;
    *i = part->path;
    return true;
}

/* *ret_steps: how many it took. */
static bool glob_matches(pkg_text pattern, pkg_text path, int *ret_steps)
{
    retry star = {0};
    retry part = {0};
    size_t p = 0;
    size_t i = 0;
    for (*ret_steps = 0; *ret_steps < PKG_GLOB_STEPS_MAX; ++*ret_steps) {
        if (p == pattern.size && i == path.size) {
            return true;
        }
        if (is_double(pattern, p)) {
            p += p + 2 < pattern.size ? 3 : 2;
            if (p == pattern.size) {
                return true;
            }
            part = (retry){.pattern = p, .path = i, .set = true};
            star.set = false;
        } else if (at(pattern, p) == '*') {
            p++;
            star = (retry){.pattern = p, .path = i, .set = true};
        } else if (p < pattern.size && i < path.size &&
                   (pattern.data[p] == path.data[i] ||
                    (pattern.data[p] == '?' && path.data[i] != '/'))) {
            p++;
            i++;
        } else if (!go_back(path, &star, &part, &p, &i)) {
            return false;
        }
    }
    return false;
}

bool pkg_glob_matches(pkg_text pattern, pkg_text path)
{
    int steps;
    return glob_matches(pattern, path, &steps);
}

static void spend(uint64_t *left, uint64_t work)
{
    *left -= work < *left ? work : *left;
}

/* Without "!", "./" and "/" before and slashes behind. */
static pkg_text trim(pkg_text pattern, bool *negated)
{
    *negated = pattern.size > 0 && pattern.data[0] == '!';
    size_t from = *negated ? 1 : 0;
    if (at(pattern, from) == '.' && at(pattern, from + 1) == '/') {
        from += 2;
    }
    while (at(pattern, from) == '/') {
        from++;
    }
    size_t end = pattern.size;
    while (end > from && pattern.data[end - 1] == '/') {
        end--;
    }
    return (pkg_text){.data = pattern.data + from, .size = end - from};
}

static bool list_has(pkg_scan *scan, pkg_text path, uint64_t *left)
{
    bool has = false;
    for (bool more = pkg_scan_enter(scan, '['); more && *left > 0;
         more = pkg_scan_more(scan, ']')) {
        pkg_text raw;
        bool plain;
        if (pkg_scan_peek(scan) != '"') {
            (void)pkg_scan_value(scan, &raw);
        } else if (pkg_scan_string(scan, &raw, &plain)) {
            bool negated;
            int steps;
            raw = trim(raw, &negated);
            has = glob_matches(raw, path, &steps) ? !negated : has;
            spend(left, (uint64_t)steps);
        }
    }
    return has;
}

bool pkg_workspaces_has(pkg_text raw, pkg_text path, uint64_t *left)
{
    spend(left, raw.size);
    pkg_scan scan;
    pkg_scan_init(&scan, raw);
    char c = pkg_scan_peek(&scan);
    if (c == '[') {
        return list_has(&scan, path, left);
    }
    bool has = false;
    bool more = c == '{' && pkg_scan_enter(&scan, '{');
    for (; more; more = pkg_scan_more(&scan, '}')) {
        pkg_text key;
        pkg_text value;
        bool plain;
        (void)pkg_scan_key(&scan, &key, &plain);
        if (pkg_text_is(key, "packages") && pkg_scan_peek(&scan) == '[') {
            has = list_has(&scan, path, left);
        } else {
            (void)pkg_scan_value(&scan, &value);
        }
    }
    return has;
}
