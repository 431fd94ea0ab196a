/*
 * gitspec.c -- addresses of repositories and commits behind gitspec.h.
 *
 * Threads: no state.
 */
#include "workload/pkg/gitspec.h"

#include <string.h>

/* By the index that pkg_hosted has. */
static const struct {
    const char *domain;
    bool owner; /* a path has two parts */
    bool git;   /* ".git" is written behind the path, and "git+" before https: */
} hosts[] = {
    {"github.com", true, true},       {"bitbucket.org", true, true}, {"gitlab.com", true, true},
    {"gist.github.com", false, true}, {"git.sr.ht", true, false},
};
enum { HOSTS = sizeof hosts / sizeof *hosts, GITHUB = 0, GITLAB = 2 };

/* --- text ----------------------------------------------------------------------------------- */

static size_t find(pkg_text text, char c, size_t begin)
{
    const char *at = begin < text.size ? memchr(text.data + begin, c, text.size - begin) : NULL;
    return at != NULL ? (size_t)(at - text.data) : text.size;
}

/* The last place of `c`, or NULL. */
static const char *last_of(pkg_text text, char c)
{
    return text.data != NULL && text.size > 0 ? memrchr(text.data, c, text.size) : NULL;
}

/* The first place of `part`, or NULL. */
static const char *find_part(pkg_text text, const char *part)
{
    return text.data != NULL && text.size > 0 ? memmem(text.data, text.size, part, strlen(part))
                                              : NULL;
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

static bool begins(pkg_text text, const char *with)
{
    size_t size = strlen(with);
    return text.size >= size && memcmp(text.data, with, size) == 0;
}

static pkg_text without_git(pkg_text name)
{
    bool git = name.size > 4 && memcmp(name.data + name.size - 4, ".git", 4) == 0;
    return up_to(name, git ? name.size - 4 : name.size);
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "%20" becomes ' '.  NULL data: out of memory; what is no escape stays. */
static pkg_text decode(pkg_text text, brisk_arena *arena)
{
    if (find(text, '%', 0) == text.size) {
        return text;
    }
    char *data = brisk_arena_alloc(arena, text.size + 1);
    size_t size = 0;
    for (size_t i = 0; data != NULL && i < text.size; i++) {
        int high = text.data[i] == '%' && text.size - i > 2 ? digit_of(text.data[i + 1]) : -1;
        int low = high >= 0 ? digit_of(text.data[i + 2]) : -1;
        data[size++] = low >= 0 ? (char)(high * 16 + low) : text.data[i];
        i += low >= 0 ? 2 : 0;
    }
    return (pkg_text){.data = data, .size = size};
}

/* Nothing that an argument of a program, an URL or a message may not have. */
static bool is_clean(pkg_text text)
{
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c <= ' ' || c >= 0x7F || strchr("\"'`\\$<>|^{}", c) != NULL) {
            return false;
        }
    }
    return text.size == 0 || text.data[0] != '-';
}

bool pkg_git_is_hash(pkg_text text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (digit_of(text.data[i]) < 0) {
            return false;
        }
    }
    return text.size == PKG_GIT_HASH_SIZE;
}

/* --- known hosts ----------------------------------------------------------------------------- */

/* Owner and repository of a path; a commit that the path names (".../tree/main"). */
typedef struct spot {
    int host;
    pkg_text owner;
    pkg_text repository;
    pkg_text tree;
    bool has_tree;
} spot;

static bool place_of(pkg_text spec, pkg_hosted *at, spot *ret)
{
    if (!pkg_hosted_find(spec, at) || at->host < 0 || at->host >= HOSTS) {
        return false;
    }
    pkg_text path = at->path;
    path = path.size > 0 && path.data[0] == '/' ? from(path, 1) : path;
    *ret = (spot){.host = at->host};
    if (at->shortcut && find(path, '@', 0) < path.size) {
        path = from(path, find(path, '@', 0) + 1);
    }
    size_t slash = find(path, '/', 0);
    if (at->shortcut || at->host == GITLAB) { /* the last slash counts */
        const char *last = last_of(path, '/');
        slash = last != NULL ? (size_t)(last - path.data) : path.size;
    }
    bool has_owner = slash < path.size;
    ret->owner = has_owner ? up_to(path, slash) : PKG_TEXT("");
    ret->repository = has_owner ? from(path, slash + 1) : path;
    if (!at->shortcut && at->host != GITLAB) {
        pkg_text rest = ret->repository;
        ret->repository = up_to(rest, find(rest, '/', 0));
        rest = from(rest, ret->repository.size + 1);
        ret->has_tree = at->host == GITHUB && begins(rest, "tree/");
        ret->tree = ret->has_tree ? from(rest, sizeof "tree/" - 1) : PKG_TEXT("");
        ret->tree = up_to(ret->tree, find(ret->tree, '/', 0));
    }
    ret->repository = without_git(ret->repository);
    if (!hosts[ret->host].owner) {
        ret->owner = PKG_TEXT("");
    }
    return ret->repository.size > 0 && (ret->owner.size > 0 || !hosts[ret->host].owner);
}

/* A part of a path that can be put into an URL as it is. */
static bool is_part(pkg_text part)
{
    return is_clean(part) && find(part, '#', 0) == part.size && find(part, '?', 0) == part.size &&
           find(part, '@', 0) == part.size && find(part, ':', 0) == part.size &&
           find(part, '%', 0) == part.size;
}

static brisk_err refuse(brisk_errinfo *info, const char *what)
{
    return brisk_errinfo_set(info, BRISK_ERR_INVALID, "%s", what);
}

static pkg_text printed(char *text)
{
    return text != NULL ? pkg_text_of(text) : (pkg_text){0};
}

static brisk_err parse_hosted(const pkg_hosted *at, const spot *p, brisk_arena *arena, pkg_git *ret,
                              brisk_errinfo *info)
{
    pkg_text owner = decode(p->owner, arena);
    pkg_text name = decode(p->repository, arena);
    if (owner.data == NULL || name.data == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "out of memory");
    }
    if (!is_part(owner) || !is_part(name) || !is_clean(at->auth)) {
        return refuse(info, "the name of the repository has characters that none has");
    }
    const char *domain = hosts[p->host].domain;
    const char *slash = owner.size > 0 ? "/" : "";
    const char *end = hosts[p->host].git ? ".git" : "";
    bool web = begins(at->protocol, "http") || begins(at->protocol, "git:") ||
               begins(at->protocol, "git+http");
    pkg_text auth = web && hosts[p->host].owner && hosts[p->host].git ? at->auth : PKG_TEXT("");
    const char *mark = auth.size > 0 ? "@" : "";
    ret->hosted = true;
    ret->urls[0] = printed(brisk_arena_printf(
        arena, "https://%.*s%s%s/%.*s%s%.*s%s", (int)auth.size, auth.data, mark, domain,
        (int)owner.size, owner.data, slash, (int)name.size, name.data, end));
    pkg_text ssh =
        printed(brisk_arena_printf(arena, "git+ssh://git@%s/%.*s%s%.*s.git", domain,
                                   (int)owner.size, owner.data, slash, (int)name.size, name.data));
    if (ret->urls[0].data == NULL || ssh.data == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "out of memory");
    }
    if (auth.size > 0) { /* as npm has it: with what is in package.json anyway */
        ret->base = printed(brisk_arena_printf(arena, "git+%s", ret->urls[0].data));
        return ret->base.data != NULL ? BRISK_OK : BRISK_ERR_NOMEM;
    }
    ret->base = ssh;
    ret->urls[1] = from(ssh, 4);
    return BRISK_OK;
}

/* --- other addresses ------------------------------------------------------------------------- */

/* Of "//user@host:port/path" the host, and whether it is the scp form "user@host:path". */
static bool is_scp(pkg_text rest)
{
    pkg_text before = up_to(rest, find(rest, '/', 0));
    const char *at = last_of(before, '@');
    before = at != NULL ? from(before, (size_t)(at - before.data) + 1) : before;
    pkg_text port = from(before, find(before, ':', 0) + 1);
    for (size_t i = 0; i < port.size; i++) {
        if (port.data[i] < '0' || port.data[i] > '9') {
            return true;
        }
    }
    return false;
}

/* Neither user nor host nor path may look like an option to ssh or git. */
static const char *judge_address(pkg_text rest)
{
    pkg_text place = up_to(rest, find(rest, '/', 0));
    const char *at = last_of(place, '@');
    pkg_text host = at != NULL ? from(place, (size_t)(at - place.data) + 1) : place;
    pkg_text behind = from(host, find(host, ':', 0) + 1);
    if (!is_clean(rest) || !is_clean(host) || !is_clean(behind)) {
        return "the address has characters or a form that none has";
    }
    if (find_part(rest, "::") != NULL) {
        return "the address names a helper (\"::\"), which is not run";
    }
    return NULL;
}

static brisk_err parse_plain(pkg_text spec, pkg_git *ret, brisk_errinfo *info)
{
    static const char *const taken[] = {"git://", "git+https://", "git+http://", "git+ssh://",
                                        "git+file://"};
    pkg_text base = up_to(spec, find(spec, '#', 0));
    size_t i = 0;
    while (i < sizeof taken / sizeof *taken && !begins(base, taken[i])) {
        i++;
    }
    if (i == sizeof taken / sizeof *taken) {
        return refuse(info, "repositories are fetched by git:, git+https:, git+http:, git+ssh: and "
                            "git+file: only");
    }
    pkg_text rest = from(base, strlen(taken[i]));
    const char *wrong = judge_address(rest);
    ret->local = strcmp(taken[i], "git+file://") == 0;
    if (wrong == NULL && (rest.size == 0 || (rest.data[0] == '/') != ret->local)) {
        wrong = ret->local ? "git+file:// takes an absolute path" : "the address has no host";
    }
    if (wrong != NULL) {
        return refuse(info, wrong);
    }
    bool scp = strcmp(taken[i], "git+ssh://") == 0 && is_scp(rest);
    ret->base = base;
    ret->urls[0] = scp ? rest : begins(base, "git+") ? from(base, 4) : base;
    return BRISK_OK;
}

/* --- commits --------------------------------------------------------------------------------- */

static brisk_err parse_fragment(pkg_text fragment, brisk_arena *arena, pkg_git *ret,
                                brisk_errinfo *info)
{
    while (fragment.size > 0) {
        const char *next = find_part(fragment, "::");
        pkg_text part =
            up_to(fragment, next != NULL ? (size_t)(next - fragment.data) : fragment.size);
        fragment = from(fragment, part.size + 2);
        pkg_text value = from(part, find(part, ':', 0) + 1);
        value = up_to(value, find(value, ':', 0));
        if (find(part, ':', 0) == part.size) {
            ret->committish = part;
        } else if (begins(part, "semver:")) {
            ret->range_text = decode(value, arena);
        } else if (begins(part, "path:")) {
            ret->subdir = value;
        }
    }
    if (!is_clean(ret->committish) || ret->committish.size > 255 ||
        find_part(ret->committish, "..") != NULL ||
        find(ret->committish, ':', 0) < ret->committish.size) {
        return refuse(info, "what is behind '#' is no commit, branch or tag");
    }
    while (ret->subdir.size > 0 && ret->subdir.data[0] == '/') {
        ret->subdir = from(ret->subdir, 1);
    }
    while (ret->subdir.size > 0 && ret->subdir.data[ret->subdir.size - 1] == '/') {
        ret->subdir.size--;
    }
    if (!is_clean(ret->subdir) || find_part(ret->subdir, "..") != NULL) {
        return refuse(info, "the path behind '#' leads out of the repository");
    }
    if (ret->range_text.size == 0) {
        return BRISK_OK;
    }
    brisk_err err = semver_range_parse(arena, ret->range_text, SEMVER_LOOSE, &ret->range);
    return err == BRISK_ERR_INVALID ? refuse(info, "\"#semver:\" is followed by no range") : err;
}

static pkg_text fragment_of(pkg_text spec, const spot *p)
{
    return p != NULL && p->has_tree ? p->tree : from(spec, find(spec, '#', 0) + 1);
}

brisk_err pkg_git_parse(pkg_text spec, brisk_arena *arena, pkg_git *ret, brisk_errinfo *info)
{
    pkg_git git = {.committish = PKG_TEXT(""),
                   .range_text = PKG_TEXT(""),
                   .subdir = PKG_TEXT(""),
                   .urls = {PKG_TEXT(""), PKG_TEXT("")}};
    pkg_hosted at;
    spot p;
    bool hosted = place_of(spec, &at, &p);
    brisk_err err =
        hosted ? parse_hosted(&at, &p, arena, &git, info) : parse_plain(spec, &git, info);
    pkg_text fragment = fragment_of(spec, hosted ? &p : NULL);
    if (err == BRISK_OK && hosted) {
        fragment = decode(fragment, arena);
        err =
            fragment.data != NULL ? err : brisk_errinfo_set(info, BRISK_ERR_NOMEM, "out of memory");
    }
    err = err == BRISK_OK ? parse_fragment(fragment, arena, &git, info) : err;
    if (err == BRISK_OK) {
        *ret = git;
    }
    return err;
}

bool pkg_git_same_commit(pkg_text a, pkg_text b)
{
    pkg_hosted at;
    spot p;
    spot q;
    pkg_text x = fragment_of(a, place_of(a, &at, &p) ? &p : NULL);
    pkg_text y = fragment_of(b, place_of(b, &at, &q) ? &q : NULL);
    return pkg_text_equal(x, y);
}

bool pkg_git_same(pkg_text wanted, pkg_text resolved)
{
    pkg_hosted at;
    spot p;
    spot q;
    bool known = place_of(wanted, &at, &p);
    if (known != place_of(resolved, &at, &q)) {
        return false;
    }
    bool same = known ? p.host == q.host && pkg_text_equal(p.owner, q.owner) &&
                            pkg_text_equal(p.repository, q.repository)
                      : pkg_text_equal(up_to(wanted, find(wanted, '#', 0)),
                                       up_to(resolved, find(resolved, '#', 0)));
    pkg_text commit = fragment_of(wanted, known ? &p : NULL);
    return same && (!pkg_git_is_hash(commit) ||
                    pkg_text_equal(commit, fragment_of(resolved, known ? &q : NULL)));
}

/* --- refs ------------------------------------------------------------------------------------ */

typedef struct ref {
    pkg_text hash;
    pkg_text name; /* whole */
    pkg_text word; /* as a dependency names it: "v1.0.0", "main", "pull/1" */
    bool tag;
} ref;

static pkg_text word_of(pkg_text name)
{
    if (begins(name, "refs/tags/")) {
        return from(name, sizeof "refs/tags/" - 1);
    }
    if (begins(name, "refs/heads/")) {
        return from(name, sizeof "refs/heads/" - 1);
    }
    if (begins(name, "refs/pull/")) {
        pkg_text word = from(name, sizeof "refs/" - 1);
        bool head = word.size > 5 && memcmp(word.data + word.size - 5, "/head", 5) == 0;
        return up_to(word, head ? word.size - 5 : word.size);
    }
    return name;
}

/* The next line of *text; false: it is none. */
static bool take_line(pkg_text *text, ref *ret)
{
    size_t end = find(*text, '\n', 0);
    pkg_text line = up_to(*text, end);
    *text = from(*text, end + 1);
    size_t tab = find(line, '\t', 0);
    *ret = (ref){.hash = up_to(line, tab), .name = from(line, tab + 1)};
    ret->tag = begins(ret->name, "refs/tags/");
    ret->word = word_of(ret->name);
    return tab < line.size && pkg_git_is_hash(ret->hash) && ret->name.size > 0;
}

/* "^{}" behind a tag: the commit that it names rather than the tag itself. */
static bool is_peeled(pkg_text name)
{
    return name.size > 3 && memcmp(name.data + name.size - 3, "^{}", 3) == 0;
}

static brisk_err read_refs(pkg_text lines, brisk_arena *scratch, ref **ret, uint32_t *count)
{
    uint32_t most = 1;
    for (size_t i = 0; i < lines.size; i++) {
        most += lines.data[i] == '\n';
        if (most > PKG_GIT_REFS_MAX) {
            return BRISK_ERR_LIMIT;
        }
    }
    ref *refs = brisk_arena_calloc(scratch, most, sizeof *refs);
    if (refs == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *count = 0;
    while (lines.size > 0) {
        ref r;
        if (!take_line(&lines, &r)) {
            return BRISK_ERR_CORRUPT;
        }
        ref *last = *count > 0 ? &refs[*count - 1] : NULL;
        if (is_peeled(r.name)) { /* git tells it right behind its tag */
            if (last != NULL && pkg_text_equal(last->name, up_to(r.name, r.name.size - 3))) {
                last->hash = r.hash;
            }
            continue;
        }
        refs[(*count)++] = r;
    }
    *ret = refs;
    return BRISK_OK;
}

/* "release-v1.2.3" is version 1.2.3: the first place from which the rest is one. */
static bool version_of(pkg_text tag, semver *ret)
{
    for (size_t i = 0; i < tag.size; i++) {
        pkg_text rest = from(tag, i);
        if (rest.data[0] >= '0' && rest.data[0] <= '9' && semver_parse(rest, 0, ret)) {
            return true;
        }
    }
    return false;
}

static const ref *find_word(const ref *refs, uint32_t count, pkg_text word)
{
    const ref *found = NULL; /* the last: a tag counts more than a branch */
    for (uint32_t i = 0; i < count; i++) {
        if (pkg_text_equal(refs[i].word, word) || pkg_text_equal(refs[i].name, word)) {
            found = &refs[i];
        }
    }
    return found;
}

/* As npm picks of versions: what the default branch stands at, if it fits; else the highest. */
static const ref *find_version(const ref *refs, uint32_t count, const semver_range *range)
{
    const ref *latest = find_word(refs, count, PKG_TEXT("latest"));
    const ref *head = latest != NULL ? latest : find_word(refs, count, PKG_TEXT("HEAD"));
    const ref *best = NULL;
    const ref *favourite = NULL;
    semver best_version = {0};
    for (uint32_t i = 0; i < count; i++) {
        semver version;
        if (!refs[i].tag || !version_of(refs[i].word, &version) ||
            !semver_range_has(range, &version)) {
            continue;
        }
        if (head != NULL && pkg_text_equal(refs[i].hash, head->hash)) {
            favourite = &refs[i];
        }
        if (best == NULL || semver_compare(&version, &best_version) >= 0) {
            best = &refs[i];
            best_version = version;
        }
    }
    return favourite != NULL ? favourite : best;
}

brisk_err pkg_git_pick(pkg_text lines, const pkg_git *git, brisk_arena *scratch, pkg_text *ret_hash,
                       pkg_text *ret_ref)
{
    ref *refs = NULL;
    uint32_t count = 0;
    brisk_err err = read_refs(lines, scratch, &refs, &count);
    if (err != BRISK_OK) {
        return err;
    }
    pkg_text word = git->committish.size > 0 ? git->committish : PKG_TEXT("HEAD");
    const ref *found =
        git->range != NULL ? find_version(refs, count, git->range) : find_word(refs, count, word);
    if (found == NULL) {
        return BRISK_ERR_NOT_FOUND;
    }
    *ret_hash = found->hash;
    *ret_ref = found->name;
    return BRISK_OK;
}
