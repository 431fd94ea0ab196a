/*
 * version.c -- versions of Debian packages, ordered as dpkg orders them.
 *
 * [epoch:]upstream[-revision]; the revision begins behind the last '-'.  Epochs are compared as
 * numbers, then upstream, then revision, each in turns: a part without digits, then a number.  In
 * the parts without digits '~' comes before everything, even before the end, letters before other
 * characters.  A missing revision is the same as "0".
 *
 * Threads: plain functions.
 * Source: deb-version(7).
 */
#include "workload/pkg/deb/deb.h"

typedef struct parts {
    pkg_text epoch;
    pkg_text upstream;
    pkg_text revision;
} parts;

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static parts split(pkg_text version)
{
    parts p = {.upstream = version};
    const char *colon = version.size > 0 ? memchr(version.data, ':', version.size) : NULL;
    if (colon != NULL) {
        p.epoch = (pkg_text){.data = version.data, .size = (size_t)(colon - version.data)};
        p.upstream.data = colon + 1;
        p.upstream.size = version.size - p.epoch.size - 1;
    }
    const char *dash = p.upstream.size > 0 ? memrchr(p.upstream.data, '-', p.upstream.size) : NULL;
    if (dash != NULL) {
        p.revision.data = dash + 1;
        p.revision.size = p.upstream.size - (size_t)(dash - p.upstream.data) - 1;
        p.upstream.size = (size_t)(dash - p.upstream.data);
    }
    return p;
}

bool deb_version_is_valid(pkg_text version)
{
    parts p = split(version);
    bool has_epoch = p.upstream.data != version.data;
    if (p.upstream.size == 0 || (has_epoch && p.epoch.size == 0) ||
        (p.upstream.data + p.upstream.size != version.data + version.size &&
         p.revision.size == 0)) {
        return false;
    }
    for (size_t i = 0; i < p.epoch.size; i++) {
        if (!is_digit(p.epoch.data[i])) {
            return false;
        }
    }
    for (const char *c = p.upstream.data; c < version.data + version.size; c++) {
        bool in_upstream = c < p.upstream.data + p.upstream.size;
        bool plain = is_digit(*c) || is_letter(*c) || *c == '.' || *c == '+' || *c == '~';
        if (!plain && !(in_upstream && (*c == '-' || *c == ':')) &&
            c != p.upstream.data + p.upstream.size) {
            return false;
        }
    }
    return is_digit(p.upstream.data[0]);
}

/* Where a character without digit stands in the order; the end of the text and digits are 0. */
static int rank(pkg_text text, size_t at)
{
    if (at >= text.size || is_digit(text.data[at])) {
        return 0;
    }
    unsigned char c = (unsigned char)text.data[at];
    return c == '~' ? -1 : is_letter((char)c) ? c : c + 256;
}

static size_t skip_zeros(pkg_text text, size_t at)
{
    while (at < text.size && text.data[at] == '0') {
        at++;
    }
    return at;
}

/* Numbers of any length, from *i and *j on, which are moved behind them. */
static int compare_numbers(pkg_text a, size_t *i, pkg_text b, size_t *j)
{
    int order = 0;
    *i = skip_zeros(a, *i);
    *j = skip_zeros(b, *j);
    for (;; ++*i, ++*j) {
        bool more_a = *i < a.size && is_digit(a.data[*i]);
        bool more_b = *j < b.size && is_digit(b.data[*j]);
        if (!more_a || !more_b) {
            return more_a ? 1 : more_b ? -1 : order;
        }
        if (order == 0) {
            order = a.data[*i] - b.data[*j];
        }
    }
}

static int compare_part(pkg_text a, pkg_text b)
{
    size_t i = 0;
    size_t j = 0;
    while (i < a.size || j < b.size) {
        while ((i < a.size && !is_digit(a.data[i])) || (j < b.size && !is_digit(b.data[j]))) {
            int order = rank(a, i) - rank(b, j);
            if (order != 0) {
                return order;
            }
            i++;
            j++;
        }
        int order = compare_numbers(a, &i, b, &j);
        if (order != 0) {
            return order;
        }
    }
    return 0;
}

int deb_version_compare(pkg_text a, pkg_text b)
{
    parts x = split(a);
    parts y = split(b);
    int order = compare_part(x.epoch, y.epoch);
    if (order == 0) {
        order = compare_part(x.upstream, y.upstream);
    }
    return order != 0 ? order : compare_part(x.revision, y.revision);
}
