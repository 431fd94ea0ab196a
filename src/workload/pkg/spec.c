/*
 * spec.c -- what a dependency's text asks for, as npm-package-arg reads it.
 *
 * The order of the questions decides: a path, an alias, a known git host (also in the short form
 * owner/repo), any other URL, something with a slash or a tarball's name, and only then a version,
 * a range or a tag.  Beyond npm, "link:" is read as a folder and "workspace:" as a workspace.
 *
 * Whether an URL of a known git host is a repository depends on its path: .../archive/... is a
 * tarball.  Nothing is fetched here, and nothing is rewritten: `wanted` is a part of the text.
 *
 * Threads: no state.  Sources: npm's documentation of package specs; behaviour of npm-package-arg
 * 13, hosted-git-info 9 and validate-npm-package-name 7 in npm 11.19.1.
 */
#include "workload/pkg/gitspec.h"

#include <string.h>
#include <strings.h>

enum {
    NAME_LENGTH_MAX = 214,
    SPEC_LENGTH_MAX = 65536,
};

/* --- text ---------------------------------------------------------------------------------- */

static bool starts_with(pkg_text text, const char *prefix)
{
    size_t size = strlen(prefix);
    return text.size >= size && memcmp(text.data, prefix, size) == 0;
}

static bool starts_with_case(pkg_text text, const char *prefix)
{
    size_t size = strlen(prefix);
    return text.size >= size && strncasecmp(text.data, prefix, size) == 0;
}

static bool ends_with_case(pkg_text text, const char *suffix)
{
    size_t size = strlen(suffix);
    return text.size >= size && strncasecmp(text.data + text.size - size, suffix, size) == 0;
}

static pkg_text from(pkg_text text, size_t begin)
{
    begin = begin < text.size ? begin : text.size;
    return (pkg_text){.data = text.data + begin, .size = text.size - begin};
}

static pkg_text up_to(pkg_text text, size_t size)
{
    return (pkg_text){.data = text.data, .size = size < text.size ? size : text.size};
}

/* Where `c` is at or behind `begin`, or text.size. */
static size_t find(pkg_text text, char c, size_t begin)
{
    const char *at = begin < text.size ? memchr(text.data + begin, c, text.size - begin) : NULL;
    return at != NULL ? (size_t)(at - text.data) : text.size;
}

static bool contains(pkg_text text, const char *part)
{
    return text.data != NULL && text.size > 0 &&
           memmem(text.data, text.size, part, strlen(part)) != NULL;
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static pkg_text trimmed(pkg_text text)
{
    while (text.size > 0 && is_space(text.data[0])) {
        text = from(text, 1);
    }
    while (text.size > 0 && is_space(text.data[text.size - 1])) {
        text.size--;
    }
    return text;
}

/* Characters that need no escape in a part of an URL, as encodeURIComponent has them. */
static bool is_url_friendly(pkg_text text)
{
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (!is_letter(c) && !(c >= '0' && c <= '9') && (c == '\0' || !strchr("-_.!~*'()", c))) {
            return false;
        }
    }
    return true;
}

/* Every '%' begins an escape of two digits, and they make UTF-8 (roughly: bytes are not judged). */
static bool is_decodable(pkg_text text)
{
    for (size_t i = find(text, '%', 0); i < text.size; i = find(text, '%', i + 1)) {
        if (text.size - i < 3 || !is_hex(text.data[i + 1]) || !is_hex(text.data[i + 2])) {
            return false;
        }
    }
    return true;
}

/* --- names --------------------------------------------------------------------------------- */

static bool is_reserved(pkg_text name)
{
    return (name.size == 12 && starts_with_case(name, "node_modules")) ||
           (name.size == 11 && starts_with_case(name, "favicon.ico"));
}

bool pkg_name_is_valid(pkg_text name)
{
    if (name.size == 0 || name.size > NAME_LENGTH_MAX || strchr("._-", name.data[0]) != NULL ||
        is_reserved(name)) {
        return false;
    }
    if (is_url_friendly(name)) {
        return true;
    }
    size_t slash = find(name, '/', 0);
    if (name.data[0] != '@' || slash < 2 || slash + 1 >= name.size) {
        return false;
    }
    pkg_text scope = {.data = name.data + 1, .size = slash - 1};
    pkg_text rest = from(name, slash + 1);
    return rest.data[0] != '.' && is_url_friendly(scope) && is_url_friendly(rest);
}

bool pkg_tag_is_valid(pkg_text tag)
{
    return is_url_friendly(trimmed(tag));
}

/* --- kinds of text ------------------------------------------------------------------------- */

static bool is_path(pkg_text spec)
{
    if (spec.size == 0) {
        return false;
    }
    char c = spec.data[0];
    return starts_with_case(spec, "file:") || c == '.' || c == '/' || starts_with(spec, "~/") ||
           (spec.size > 1 && is_letter(c) && spec.data[1] == ':');
}

static bool is_tarball_name(pkg_text spec)
{
    return ends_with_case(spec, ".tgz") || ends_with_case(spec, ".tar.gz") ||
           ends_with_case(spec, ".tar");
}

/* "word:" or "git+word:" at the beginning; the size of it with its colon, or 0. */
static size_t protocol_size(pkg_text spec)
{
    size_t begin = starts_with_case(spec, "git+") ? 4 : 0;
    size_t i = begin;
    while (i < spec.size && is_letter(spec.data[i])) {
        i++;
    }
    return i > begin && i < spec.size && spec.data[i] == ':' ? i + 1 : 0;
}

/* owner/repo, with or without #commit: npm's rules for the short form. */
static bool is_short_form(pkg_text spec)
{
    size_t hash = find(spec, '#', 0);
    pkg_text before = up_to(spec, hash);
    size_t slash = find(spec, '/', 0);
    if (slash == 0 || slash == spec.size || spec.data[0] == '.') {
        return false;
    }
    for (size_t i = 0; i < before.size; i++) {
        if (is_space(before.data[i])) {
            return false;
        }
    }
    size_t second = find(spec, '/', slash + 1);
    return find(before, '@', 0) == before.size && find(before, ':', 0) == before.size &&
           second >= before.size && (before.size == 0 || before.data[before.size - 1] != '/');
}

/* --- known git hosts ----------------------------------------------------------------------- */

typedef struct git_host {
    const char *shortcut;
    const char *domain;
    const char *protocols; /* each between blanks */
    const char *refused;   /* a third part of the path that means no repository; NULL: see below */
} git_host;

static const git_host git_hosts[] = {
    {"github:", "github.com", " git: http: git+ssh: git+https: ssh: https: ", NULL},
    {"bitbucket:", "bitbucket.org", " git+ssh: git+https: ssh: https: ", "get"},
    {"gitlab:", "gitlab.com", " git+ssh: git+https: ssh: https: ", NULL},
    {"gist:", "gist.github.com", " git: git+ssh: git+https: ssh: https: ", "raw"},
    {"sourcehut:", "git.sr.ht", " git+ssh: https: ", "archive"},
};
enum { HOSTS = sizeof git_hosts / sizeof *git_hosts, GITHUB = 0, GITLAB = 2, GIST = 3 };

static bool has_shortcut(pkg_text spec, pkg_hosted *ret)
{
    for (int i = 0; i < HOSTS; i++) {
        if (starts_with(spec, git_hosts[i].shortcut)) {
            *ret = (pkg_hosted){
                .host = i, .shortcut = true, .path = from(spec, strlen(git_hosts[i].shortcut))};
            ret->path = up_to(ret->path, find(ret->path, '#', 0));
            return is_decodable(spec);
        }
    }
    return false;
}

/* Part `n` of a path without its first slash: "a/b/c". */
static pkg_text path_part(pkg_text path, int n)
{
    for (; n > 0; n--) {
        path = from(path, find(path, '/', 0) + 1);
    }
    return up_to(path, find(path, '/', 0));
}

/* Does the path belong to a repository of this host? */
static bool is_repository(int host, pkg_text path)
{
    pkg_text owner = path_part(path, 0);
    pkg_text project = path_part(path, 1);
    pkg_text third = path_part(path, 2);
    if (!is_decodable(path)) {
        return false;
    }
    if (host == GITHUB) {
        return owner.size > 0 && project.size > 0 && !pkg_text_is(project, ".git") &&
               (third.size == 0 || pkg_text_is(third, "tree"));
    }
    if (host == GITLAB) {
        const char *last =
            path.data != NULL && path.size > 0 ? memrchr(path.data, '/', path.size) : NULL;
        pkg_text rest = last != NULL ? from(path, (size_t)(last - path.data) + 1) : (pkg_text){0};
        return !contains(path, "/-/") && !contains(path, "/archive.tar.gz") && last != path.data &&
               rest.size > 0 && !pkg_text_is(rest, ".git");
    }
    if (pkg_text_is(third, git_hosts[host].refused)) {
        return false;
    }
    if (host == GIST) {
        return project.size > 0 || owner.size > 0;
    }
    return owner.size > 0 && project.size > 0 && !pkg_text_is(project, ".git");
}

static bool speaks(int host, pkg_text protocol)
{
    char word[16];
    if (protocol.size + 3 > sizeof word) {
        return false;
    }
    word[0] = ' ';
    for (size_t i = 0; i < protocol.size; i++) {
        char c = protocol.data[i];
        word[i + 1] = (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
    }
    word[protocol.size + 1] = ' ';
    word[protocol.size + 2] = '\0';
    return strstr(git_hosts[host].protocols, word) != NULL;
}

/* What is behind "//": its host and its path. */
static bool is_hosted_at(pkg_text protocol, pkg_text rest, pkg_hosted *ret)
{
    size_t hash = find(rest, '#', 0);
    size_t query = find(rest, '?', 0);
    rest = up_to(rest, hash < query ? hash : query);
    size_t slash = find(rest, '/', 0);
    pkg_text place = up_to(rest, slash);
    const char *at = place.size > 0 ? memrchr(place.data, '@', place.size) : NULL;
    pkg_text auth = up_to(place, at != NULL ? (size_t)(at - place.data) : 0);
    place = at != NULL ? from(place, (size_t)(at - place.data) + 1) : place;
    pkg_text path = from(rest, slash + 1);
    size_t colon = find(place, ':', 0);
    if (colon < place.size) { /* a port, or the scp form host:owner/repo */
        bool port = colon + 1 < place.size;
        for (size_t i = colon + 1; i < place.size; i++) {
            port = port && place.data[i] >= '0' && place.data[i] <= '9';
        }
        if (!port) {
            path = from(rest, (size_t)(place.data - rest.data) + colon + 1);
        }
        place = up_to(place, colon);
    }
    if (starts_with_case(place, "www.")) {
        place = from(place, 4);
    }
    bool web =
        starts_with_case(protocol, "http"); /* there, capitals in a host's name do not count */
    for (int i = 0; i < HOSTS; i++) {
        const char *domain = git_hosts[i].domain;
        if (place.size == strlen(domain) &&
            (web ? starts_with_case(place, domain) : starts_with(place, domain))) {
            *ret = (pkg_hosted){.host = i, .protocol = protocol, .auth = auth, .path = path};
            return speaks(i, protocol) && is_repository(i, path);
        }
    }
    return false;
}

static pkg_text fragment_of(pkg_text spec)
{
    return from(spec, find(spec, '#', 0) + 1);
}

bool pkg_hosted_find(pkg_text spec, pkg_hosted *ret)
{
    if (is_short_form(spec)) {
        *ret =
            (pkg_hosted){.host = GITHUB, .shortcut = true, .path = up_to(spec, find(spec, '#', 0))};
        return is_decodable(spec);
    }
    if (!is_decodable(fragment_of(spec))) {
        return false;
    }
    if (has_shortcut(spec, ret)) {
        return true;
    }
    size_t size = protocol_size(spec);
    if (size > 0) {
        pkg_text rest = from(spec, size);
        rest = starts_with(rest, "//") ? from(rest, 2) : rest;
        return is_hosted_at(up_to(spec, size), rest, ret);
    }
    pkg_text before = up_to(spec, find(spec, '#', 0)); /* user@host:owner/repo */
    size_t at = find(before, '@', 0);
    return at < before.size && find(before, ':', at) < before.size &&
           is_hosted_at(PKG_TEXT("git+ssh:"), spec, ret);
}

/* --- URLs and paths ------------------------------------------------------------------------ */

/* "#semver:^1.0.0::path:a" and the like: each word at most once, a commit or a range. */
static bool is_git_fragment(pkg_text fragment)
{
    int commits = 0;
    int ranges = 0;
    int paths = 0;
    while (fragment.size > 0) {
        const char *next = memmem(fragment.data, fragment.size, "::", 2);
        pkg_text part = next != NULL ? up_to(fragment, (size_t)(next - fragment.data)) : fragment;
        fragment = next != NULL ? from(fragment, part.size + 2) : (pkg_text){0};
        if (find(part, ':', 0) == part.size) {
            commits++;
        } else if (starts_with(part, "semver:")) {
            ranges++;
            if (!is_decodable(part)) {
                return false;
            }
        } else if (starts_with(part, "path:")) {
            paths++;
        }
    }
    return commits + ranges <= 1 && paths <= 1;
}

/*
 * Is the place behind "//" one that an URL may have?  A port is a number; only "git+ssh://" may have
 * the scp form behind it, "host:owner/repo".
 */
static bool is_place(pkg_text spec, pkg_text rest)
{
    if (!starts_with(rest, "//")) {
        return true;
    }
    rest = from(rest, 2);
    size_t end = 0;
    while (end < rest.size && strchr("/?#", rest.data[end]) == NULL) {
        end++;
    }
    pkg_text place = up_to(rest, end);
    const char *at = place.size > 0 ? memrchr(place.data, '@', place.size) : NULL;
    place = at != NULL ? from(place, (size_t)(at - place.data) + 1) : place;
    size_t colon = find(place, ':', 0);
    uint32_t port = 0;
    for (size_t i = colon + 1; i < place.size; i++) {
        if (place.data[i] < '0' || place.data[i] > '9' || port > UINT16_MAX) {
            return starts_with(spec, "git+ssh:");
        }
        port = port * 10 + (uint32_t)(place.data[i] - '0');
    }
    return port <= UINT16_MAX && (colon > 0 || place.size == 0);
}

static pkg_spec_type url_type(pkg_text spec)
{
    static const char *const git[] = {
        "git:", "git+http:", "git+https:", "git+rsync:", "git+ftp:", "git+file:", "git+ssh:"};
    pkg_text protocol = up_to(spec, protocol_size(spec));
    pkg_text rest = from(spec, protocol.size);
    if (starts_with_case(spec, "link:")) {
        return rest.size > 0 ? PKG_SPEC_FOLDER : PKG_SPEC_INVALID;
    }
    if (starts_with_case(spec, "workspace:")) {
        return PKG_SPEC_WORKSPACE;
    }
    bool named = starts_with(rest, "//") && rest.size > 2 && rest.data[2] != '/';
    if (!is_place(spec, rest)) {
        return PKG_SPEC_INVALID;
    }
    if (starts_with_case(protocol, "http:") || starts_with_case(protocol, "https:")) {
        return named ? PKG_SPEC_TARBALL : PKG_SPEC_INVALID;
    }
    for (size_t i = 0; i < sizeof git / sizeof *git; i++) {
        if (protocol.size == strlen(git[i]) && starts_with_case(protocol, git[i])) {
            return rest.size > 2 && is_git_fragment(fragment_of(spec)) ? PKG_SPEC_GIT
                                                                       : PKG_SPEC_INVALID;
        }
    }
    return PKG_SPEC_INVALID;
}

/* The path that a spec names: "file:../a" and "file:///../a" are "../a", "file://a" is "/a". */
static pkg_text path_of(pkg_text spec)
{
    pkg_text path = spec; /* "FILE:a" is a path like any other: npm looks for "file:" alone */
    if (starts_with(path, "file:") || starts_with_case(path, "link:")) {
        path = from(path, 5);
    }
    size_t slashes = 0;
    while (slashes < path.size && slashes < 3 && path.data[slashes] == '/') {
        slashes++;
    }
    pkg_text rest = from(path, slashes);
    bool dots = pkg_text_is(rest, ".") || pkg_text_is(rest, "..") || starts_with(rest, "./") ||
                starts_with(rest, "../");
    if (slashes > 0 && (dots || starts_with(rest, "~/"))) {
        return rest;
    }
    return slashes > 0 ? from(path, slashes - 1) : path;
}

static pkg_spec_type set_path(pkg_text spec, pkg_spec *ret)
{
    ret->wanted = path_of(spec);
    return is_tarball_name(spec) ? PKG_SPEC_FILE : PKG_SPEC_FOLDER;
}

/* --- the whole ----------------------------------------------------------------------------- */

static brisk_err parse_registry(pkg_text spec, brisk_arena *arena, pkg_spec *ret)
{
    ret->wanted = trimmed(spec);
    brisk_err err = semver_range_parse(arena, ret->wanted, SEMVER_LOOSE, &ret->range);
    if (err == BRISK_OK) {
        semver version;
        ret->type = PKG_SPEC_RANGE;
        ret->is_version = semver_parse(ret->wanted, SEMVER_LOOSE, &version);
        return BRISK_OK;
    }
    if (err == BRISK_ERR_INVALID) {
        ret->type = is_url_friendly(ret->wanted) ? PKG_SPEC_TAG : PKG_SPEC_INVALID;
        return BRISK_OK;
    }
    return err;
}

/* The kinds that are told apart by their text alone; RANGE stands for all that a registry knows. */
static pkg_spec_type type_of(pkg_text spec)
{
    if (is_path(spec)) {
        return PKG_SPEC_FOLDER;
    }
    if (starts_with_case(spec, "npm:")) {
        return PKG_SPEC_ALIAS;
    }
    pkg_hosted hosted;
    if (spec.size > 0 && pkg_hosted_find(spec, &hosted)) {
        return is_git_fragment(fragment_of(spec)) ? PKG_SPEC_GIT : PKG_SPEC_INVALID;
    }
    if (protocol_size(spec) > 0) {
        return url_type(spec);
    }
    return find(spec, '/', 0) < spec.size || is_tarball_name(spec) ? PKG_SPEC_FOLDER
                                                                   : PKG_SPEC_RANGE;
}

/* "npm:name" or "npm:name@spec" where spec is for a registry. */
static brisk_err parse_alias(pkg_text rest, brisk_arena *arena, pkg_spec *ret)
{
    size_t at = find(rest, '@', 1);
    pkg_text name = up_to(rest, at);
    pkg_text spec = from(rest, at + 1);
    spec = spec.size > 0 ? spec : PKG_TEXT("*");
    if (protocol_size(rest) > 0 || !pkg_name_is_valid(name) ||
        (name.data[0] != '@' && is_tarball_name(name)) || type_of(spec) != PKG_SPEC_RANGE) {
        ret->type = PKG_SPEC_INVALID;
        return BRISK_OK;
    }
    brisk_err err = parse_registry(spec, arena, ret);
    if (err == BRISK_OK && ret->type != PKG_SPEC_INVALID) {
        ret->type = PKG_SPEC_ALIAS;
        ret->name = name;
    }
    return err;
}

/* The range of "#semver:RANGE", where the rest is good, too. */
static brisk_err parse_git_range(pkg_text spec, brisk_arena *arena, pkg_spec *ret)
{
    pkg_text fragment = fragment_of(spec);
    const char *at = fragment.size > 0 ? memmem(fragment.data, fragment.size, "semver:", 7) : NULL;
    if (at == NULL) {
        return BRISK_OK;
    }
    pkg_git git;
    brisk_errinfo info;
    brisk_err err = pkg_git_parse(spec, arena, &git, &info);
    ret->git_range = err == BRISK_OK ? git.range : NULL;
    return err == BRISK_ERR_NOMEM ? err : BRISK_OK;
}

brisk_err pkg_spec_parse(pkg_text name, pkg_text spec, brisk_arena *arena, pkg_spec *ret)
{
    *ret = (pkg_spec){.type = PKG_SPEC_INVALID, .name = name, .wanted = spec};
    if ((name.size > 0 && !pkg_name_is_valid(name)) || spec.size > SPEC_LENGTH_MAX) {
        return BRISK_OK;
    }
    ret->type = type_of(spec);
    switch (ret->type) {
    case PKG_SPEC_ALIAS: return parse_alias(from(spec, 4), arena, ret);
    case PKG_SPEC_FOLDER: ret->type = set_path(spec, ret); return BRISK_OK;
    case PKG_SPEC_WORKSPACE: ret->wanted = from(spec, sizeof "workspace:" - 1); return BRISK_OK;
    case PKG_SPEC_RANGE: return parse_registry(spec, arena, ret);
    case PKG_SPEC_GIT: return parse_git_range(spec, arena, ret);
    case PKG_SPEC_TAG:
    case PKG_SPEC_TARBALL:
    case PKG_SPEC_FILE:
    case PKG_SPEC_INVALID: break;
    }
    return BRISK_OK;
}
