/*
 * remote_git.c -- a commit of a repository, by the git program.
 *
 * One bare folder for each address, to which single commits are fetched, nothing else; no hooks (it
 * has none, and core.hooksPath says so), no submodules, no checkout.  git may speak the one protocol
 * that the address has.  What the user's own configuration says of ssh, proxies and credentials
 * counts, but nobody is asked for a password.  Variables that would lead git to another repository
 * or another program are taken out of its environment.
 *
 * One process at a time works in a folder (a lock file beside it).
 *
 * Source: git's documentation (ls-remote, fetch, ls-tree, cat-file; GIT_ALLOW_PROTOCOL).
 */
#include "workload/pkg/remote_internal.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include <brisk/clock.h>
#include <brisk/file.h>

#include "workload/pkg/file_read.h"
#include "workload/pkg/process.h"

extern char **environ;

enum {
    REFS_BYTES_MAX = 64 << 20,
    MANIFEST_BYTES_MAX = 16 << 20,
    TREE_BYTES_MAX = 16 << 20,
    ARGS_MAX = 40,
};

/* What a call needs beyond the remote. */
typedef struct git_call {
    pkg_remote *remote;
    const pkg_git *git;
    const char *folder;
    int lock; /* descriptor of the lock file; -1: none */
    brisk_errinfo *info;
} git_call;

/* --- the program ----------------------------------------------------------------------------- */

/* Variables that the user may have set on purpose for any repository; other GIT_... go. */
static bool is_kept(const char *variable)
{
    static const char *const kept[] = {
        "GIT_SSH=",   "GIT_SSH_COMMAND=",   "GIT_SSH_VARIANT=",   "GIT_ASKPASS=",        "GIT_SSL_",
        "GIT_PROXY_", "GIT_CONFIG_GLOBAL=", "GIT_CONFIG_SYSTEM=", "GIT_CONFIG_NOSYSTEM="};
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        if (strncmp(variable, kept[i], strlen(kept[i])) == 0) {
            return true;
        }
    }
    return strncmp(variable, "GIT_", 4) != 0 && strncmp(variable, "LC_", 3) != 0 &&
           strncmp(variable, "LANG", 4) != 0;
}

static bool is_set(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0';
}

/* The first entry is free for GIT_ALLOW_PROTOCOL. */
static char **environment_of(pkg_remote *remote)
{
    static char prompt[] = "GIT_TERMINAL_PROMPT=0";
    static char askpass[] = "GIT_ASKPASS=true";
    static char ssh[] = "GIT_SSH_COMMAND=ssh -oBatchMode=yes -oStrictHostKeyChecking=accept-new";
    static char locale[] = "LC_ALL=C";
    static char replace[] = "GIT_NO_REPLACE_OBJECTS=1";
    enum { OWN = 8 };
    if (remote->environment != NULL) {
        return remote->environment;
    }
    size_t count = 0;
    while (environ[count] != NULL) {
        count++;
    }
    char **all = brisk_arena_calloc(remote->arena, count + OWN, sizeof *all);
    size_t used = 1;
    for (size_t i = 0; all != NULL && i < count; i++) {
        if (is_kept(environ[i])) {
            all[used++] = environ[i];
        }
    }
    if (all != NULL) {
        all[used++] = prompt;
        all[used++] = locale;
        all[used++] = replace;
        if (!is_set("GIT_ASKPASS")) {
            all[used++] = askpass;
        }
        if (!is_set("GIT_SSH_COMMAND") && !is_set("GIT_SSH")) {
            all[used++] = ssh;
        }
    }
    remote->environment = all;
    return all;
}

/* The protocol of an address as git names it. */
static const char *protocol_of(pkg_text url)
{
    static const char *const names[] = {"https", "http", "git", "file"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t size = strlen(names[i]);
        if (url.size > size + 3 && memcmp(url.data, names[i], size) == 0 &&
            memcmp(url.data + size, "://", 3) == 0) {
            return names[i];
        }
    }
    return "ssh";
}

/* Run git with `words` (ended by NULL) behind what is always said; `url` decides what it may speak. */
static brisk_err run_git(const git_call *call, pkg_text url, const char *const *words,
                         size_t out_max, pkg_process_result *ret)
{
    static const char *const always[] = {
        "git",
        "-c",
        "core.hooksPath=/dev/null",
        "-c",
        "core.fsmonitor=false",
        "-c",
        "core.askPass=true",
        "-c",
        "credential.interactive=never",
        "-c",
        "gc.auto=0",
        "-c",
        "maintenance.auto=false",
        "-c",
        "fetch.recurseSubmodules=false",
        "-c",
        "fetch.writeCommitGraph=false",
        "-c",
        "fetch.fsckObjects=true",
        "-c",
        "protocol.ext.allow=never",
    };
    pkg_remote *remote = call->remote;
    const char *argv[ARGS_MAX];
    size_t count = sizeof always / sizeof *always;
    memcpy(argv, always, sizeof always);
    for (size_t i = 0; words[i] != NULL && count < ARGS_MAX - 1; i++) {
        argv[count++] = words[i];
    }
    argv[count] = NULL;
    char **env = environment_of(remote);
    char *allow = brisk_arena_printf(remote->arena, "GIT_ALLOW_PROTOCOL=%s",
                                     url.size > 0 ? protocol_of(url) : "none");
    if (env == NULL || allow == NULL) {
        return brisk_errinfo_set(call->info, BRISK_ERR_NOMEM, "out of memory");
    }
    env[0] = allow;
    const pkg_process_opts opts = {.argv = (char *const *)(uintptr_t)argv,
                                   .env = env,
                                   .out_max = out_max,
                                   .file_max = PKG_REMOTE_GIT_MAX,
                                   .timeout_ns = PKG_REMOTE_TIME_NS,
                                   .cancelled = remote->opts.cancelled,
                                   .ctx = remote->opts.ctx};
    return pkg_process_run(&opts, remote->arena, ret, call->info);
}

/* What git said, unless it may have said a password. */
static brisk_err git_failed(const git_call *call, const char *what, const pkg_process_result *r)
{
    pkg_text url = call->git->urls[0];
    bool secret = !call->git->local && memchr(url.data, '@', url.size) != NULL &&
                  memcmp(url.data, "http", 4) == 0;
    const char *words = secret ? "" : r->words;
    return brisk_errinfo_set(call->info, BRISK_ERR_IO, "git cannot %s it (exit %d)%s%s", what,
                             r->status, words[0] != '\0' ? ": " : "", words);
}

static const char *text_of(const git_call *call, pkg_text text)
{
    return brisk_arena_copy(call->remote->arena, text.data, text.size);
}

/* --- what a committish means ----------------------------------------------------------------- */

static brisk_err list_refs(const git_call *call, pkg_text url, pkg_text *ret)
{
    pkg_remote *remote = call->remote;
    for (remote_refs *r = remote->refs; r != NULL; r = r->next) {
        if (pkg_text_equal(r->url, url)) {
            *ret = r->lines;
            return BRISK_OK;
        }
    }
    const char *words[] = {"ls-remote", "-q", "--", text_of(call, url), NULL};
    remote_refs *refs = brisk_arena_calloc(remote->arena, 1, sizeof *refs);
    pkg_process_result out;
    if (words[3] == NULL || refs == NULL) {
        return brisk_errinfo_set(call->info, BRISK_ERR_NOMEM, "out of memory");
    }
    brisk_err err = run_git(call, url, words, REFS_BYTES_MAX, &out);
    if (err != BRISK_OK) {
        return err;
    }
    if (out.status != 0) {
        return git_failed(call, "list the branches and tags of", &out);
    }
    *refs = (remote_refs){.next = remote->refs, .url = url, .lines = out.out};
    remote->refs = refs;
    *ret = out.out;
    return BRISK_OK;
}

/* Where the commit of a branch or range is remembered. */
static char *memory_of(const git_call *call)
{
    const pkg_git *git = call->git;
    char *key = brisk_arena_printf(call->remote->arena, "%.*s#%.*s:%.*s", (int)git->base.size,
                                   git->base.data, (int)git->committish.size, git->committish.data,
                                   (int)git->range_text.size, git->range_text.data);
    return key != NULL ? remote_place(call->remote, "git-refs", pkg_text_of(key)) : NULL;
}

static bool recall(const git_call *call, pkg_text *ret)
{
    const pkg_file_opts opts = {.size_max = PKG_GIT_HASH_SIZE};
    brisk_errinfo info;
    char *path = memory_of(call);
    return path != NULL &&
           pkg_file_read(path, &opts, call->remote->arena, ret, &info) == BRISK_OK &&
           pkg_git_is_hash(*ret);
}

/* As far as it can: without it --offline will not know. */
static void remember(const git_call *call, pkg_text hash)
{
    brisk_file_replace *file;
    brisk_errinfo info;
    char *path = memory_of(call);
    if (path == NULL || brisk_file_replace_open(path, NULL, &file, &info) != BRISK_OK) {
        return;
    }
    if (brisk_file_write_all(brisk_file_replace_fd(file), hash.data, hash.size) != BRISK_OK) {
        brisk_file_replace_abort(file);
        return;
    }
    brisk_err err = brisk_file_replace_commit(file, false, &info);
    (void)err;
}

/* --- the folder ------------------------------------------------------------------------------ */

static brisk_err lock_folder(git_call *call)
{
    enum { TRIES = 1200 };
    const struct timespec pause = {.tv_nsec = 100000000};
    char *path = brisk_arena_printf(call->remote->arena, "%s.lock", call->folder);
    call->lock = path != NULL ? open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600) : -1;
    if (call->lock < 0) {
        return brisk_errinfo_set(call->info, BRISK_ERR_IO, "the cache cannot be written");
    }
    for (int i = 0; flock(call->lock, LOCK_EX | LOCK_NB) != 0; i++) {
        bool (*cancelled)(void *) = call->remote->opts.cancelled;
        if (cancelled != NULL && cancelled(call->remote->opts.ctx)) {
            return brisk_errinfo_set(call->info, BRISK_ERR_CANCELLED, "cancelled");
        }
        if (i == TRIES) {
            return brisk_errinfo_set(call->info, BRISK_ERR_DEADLINE,
                                     "another process has been fetching it for two minutes");
        }
        (void)nanosleep(&pause, NULL);
    }
    return BRISK_OK;
}

static void unlock_folder(git_call *call)
{
    if (call->lock >= 0) {
        (void)close(call->lock);
        call->lock = -1;
    }
}

static brisk_err make_folder(const git_call *call)
{
    pkg_process_result out;
    char *head = brisk_arena_printf(call->remote->arena, "%s/HEAD", call->folder);
    const char *words[] = {"init", "--bare", "-q", "--template=", "--", call->folder, NULL};
    if (head == NULL) {
        return brisk_errinfo_set(call->info, BRISK_ERR_NOMEM, "out of memory");
    }
    if (access(head, F_OK) == 0) {
        return BRISK_OK;
    }
    brisk_err err = run_git(call, PKG_TEXT(""), words, REFS_BYTES_MAX, &out);
    return err == BRISK_OK && out.status != 0 ? git_failed(call, "make a folder for", &out) : err;
}

/* Fetch one commit, or (`what` NULL) all that the repository shows. */
static brisk_err fetch(const git_call *call, pkg_text url, const char *what,
                       pkg_process_result *out)
{
    brisk_arena *arena = call->remote->arena;
    char *folder = brisk_arena_printf(arena, "--git-dir=%s", call->folder);
    const char *address = text_of(call, url);
    const char *one[] = {folder,
                         "fetch",
                         "-q",
                         "--no-tags",
                         "--no-write-fetch-head",
                         "--depth=1",
                         "--no-recurse-submodules",
                         "--",
                         address,
                         what,
                         NULL};
    const char *all[] = {folder,
                         "fetch",
                         "-q",
                         "--no-tags",
                         "--no-write-fetch-head",
                         "--force",
                         "--no-recurse-submodules",
                         "--",
                         address,
                         "+refs/*:refs/remote/*",
                         NULL};
    if (folder == NULL || address == NULL) {
        return brisk_errinfo_set(call->info, BRISK_ERR_NOMEM, "out of memory");
    }
    call->remote->stats.fetched++;
    return run_git(call, url, what != NULL ? one : all, REFS_BYTES_MAX, out);
}

/* From the first address that has it. */
static brisk_err fetch_from_any(const git_call *call, const char *what)
{
    pkg_process_result out = {0};
    brisk_err err = BRISK_OK;
    for (int i = 0; i < 2 && call->git->urls[i].size > 0; i++) {
        err = fetch(call, call->git->urls[i], what, &out);
        if (err != BRISK_OK || out.status == 0) {
            return err;
        }
    }
    return git_failed(call, "fetch", &out);
}

/* --- what is in a commit --------------------------------------------------------------------- */

/* The line of `name` in what ls-tree said: "100644 blob HASH  SIZE\tname". */
static bool find_file(pkg_text lines, const char *name, pkg_text *ret_hash)
{
    size_t size = strlen(name);
    while (lines.size > 0) {
        const char *end = memchr(lines.data, '\0', lines.size);
        size_t length = end != NULL ? (size_t)(end - lines.data) : lines.size;
        const char *tab = memchr(lines.data, '\t', length);
        size_t at = tab != NULL ? (size_t)(tab - lines.data) : length;
        enum { HASH_AT = sizeof "100644 blob " - 1 };
        if (length - at == size + 1 && memcmp(tab + 1, name, size) == 0 &&
            at > HASH_AT + PKG_GIT_HASH_SIZE && memcmp(lines.data, "100", 3) == 0 &&
            memcmp(lines.data + 7, "blob ", 5) == 0) {
            *ret_hash = (pkg_text){.data = lines.data + HASH_AT, .size = PKG_GIT_HASH_SIZE};
            return pkg_git_is_hash(*ret_hash);
        }
        lines.data += length + (end != NULL);
        lines.size -= length + (end != NULL);
    }
    return false;
}

/* The commit's files.  *ret_there false: the commit is not in the folder. */
static brisk_err list_files(const git_call *call, pkg_text hash, pkg_text *ret, bool *ret_there)
{
    brisk_arena *arena = call->remote->arena;
    pkg_text subdir = call->git->subdir;
    pkg_process_result out;
    char *folder = brisk_arena_printf(arena, "--git-dir=%s", call->folder);
    char *tree = brisk_arena_printf(arena, "%.*s%s%.*s", (int)hash.size, hash.data,
                                    subdir.size > 0 ? ":" : "", (int)subdir.size, subdir.data);
    const char *words[] = {folder, "ls-tree", "-l", "-z", "--full-tree", tree, NULL};
    if (folder == NULL || tree == NULL) {
        return brisk_errinfo_set(call->info, BRISK_ERR_NOMEM, "out of memory");
    }
    brisk_err err = run_git(call, PKG_TEXT(""), words, TREE_BYTES_MAX, &out);
    *ret_there = err == BRISK_OK && out.status == 0;
    *ret = out.out;
    return err;
}

static brisk_err read_commit(const git_call *call, pkg_text hash, pkg_text files, remote_found *ret)
{
    brisk_arena *arena = call->remote->arena;
    pkg_text blob;
    pkg_text other;
    if (!find_file(files, "package.json", &blob)) {
        return brisk_errinfo_set(call->info, BRISK_ERR_NOT_FOUND, "commit %.*s has no package.json",
                                 (int)hash.size, hash.data);
    }
    char *folder = brisk_arena_printf(arena, "--git-dir=%s", call->folder);
    const char *name = text_of(call, blob);
    const char *words[] = {folder, "cat-file", "blob", name, NULL};
    pkg_process_result out;
    if (folder == NULL || name == NULL) {
        return brisk_errinfo_set(call->info, BRISK_ERR_NOMEM, "out of memory");
    }
    brisk_err err = run_git(call, PKG_TEXT(""), words, MANIFEST_BYTES_MAX, &out);
    if (err != BRISK_OK || out.status != 0) {
        return err != BRISK_OK ? err : git_failed(call, "read", &out);
    }
    ret->manifest = out.out;
    ret->has_shrinkwrap = find_file(files, "npm-shrinkwrap.json", &other);
    ret->has_gyp = find_file(files, "binding.gyp", &other);
    char *resolved = brisk_arena_printf(arena, "%.*s#%.*s", (int)call->git->base.size,
                                        call->git->base.data, (int)hash.size, hash.data);
    ret->resolved = resolved != NULL ? pkg_text_of(resolved) : (pkg_text){0};
    return resolved != NULL ? BRISK_OK
                            : brisk_errinfo_set(call->info, BRISK_ERR_NOMEM, "out of memory");
}

/* --- the whole ------------------------------------------------------------------------------- */

/* A committish that is no ref: an abbreviated commit, say.  All is fetched, and git asked. */
static brisk_err ask_git(const git_call *call, pkg_text *ret)
{
    brisk_arena *arena = call->remote->arena;
    pkg_process_result out;
    brisk_err err = fetch_from_any(call, NULL);
    char *folder = brisk_arena_printf(arena, "--git-dir=%s", call->folder);
    char *what = brisk_arena_printf(arena, "%.*s^{commit}", (int)call->git->committish.size,
                                    call->git->committish.data);
    const char *words[] = {folder, "rev-parse", "-q", "--verify", "--end-of-options", what, NULL};
    if (err != BRISK_OK || folder == NULL || what == NULL) {
        return err != BRISK_OK ? err
                               : brisk_errinfo_set(call->info, BRISK_ERR_NOMEM, "out of memory");
    }
    err = run_git(call, PKG_TEXT(""), words, REFS_BYTES_MAX, &out);
    if (err != BRISK_OK) {
        return err;
    }
    *ret = (pkg_text){.data = out.out.data, .size = PKG_GIT_HASH_SIZE};
    return out.status == 0 && out.out.size > PKG_GIT_HASH_SIZE && pkg_git_is_hash(*ret)
               ? BRISK_OK
               : brisk_errinfo_set(call->info, BRISK_ERR_NOT_FOUND,
                                   "the repository has no branch, tag or commit \"%.*s\"",
                                   (int)call->git->committish.size, call->git->committish.data);
}

static brisk_err look_up(const git_call *call, pkg_text *ret)
{
    const pkg_git *git = call->git;
    pkg_text lines;
    pkg_text ref;
    brisk_err err = BRISK_ERR_IO;
    for (int i = 0; i < 2 && git->urls[i].size > 0 && err == BRISK_ERR_IO; i++) {
        err = list_refs(call, git->urls[i], &lines);
    }
    if (err != BRISK_OK) {
        return err;
    }
    err = pkg_git_pick(lines, git, call->remote->arena, ret, &ref);
    if (err == BRISK_ERR_NOT_FOUND && git->range == NULL && git->committish.size > 0) {
        return ask_git(call, ret);
    }
    if (err == BRISK_ERR_NOT_FOUND) {
        return git->range != NULL
                   ? brisk_errinfo_set(call->info, err,
                                       "the repository has no tag whose version fits \"%.*s\"",
                                       (int)git->range_text.size, git->range_text.data)
                   : brisk_errinfo_set(call->info, err, "the repository has no commit");
    }
    return err == BRISK_OK ? err
                           : brisk_errinfo_set(call->info, err,
                                               "what git ls-remote says of it is "
                                               "not understood");
}

static brisk_err commit_of(const git_call *call, pkg_text *ret)
{
    pkg_fetch_mode mode = call->remote->opts.mode;
    if (pkg_git_is_hash(call->git->committish)) {
        *ret = call->git->committish;
        return BRISK_OK;
    }
    if (mode != PKG_FETCH_NORMAL && recall(call, ret)) {
        return BRISK_OK;
    }
    if (mode == PKG_FETCH_OFFLINE) {
        return brisk_errinfo_set(call->info, BRISK_ERR_NOT_FOUND,
                                 "--offline, and its commit is not known; resolve once without");
    }
    brisk_err err = look_up(call, ret);
    if (err == BRISK_OK) {
        remember(call, *ret);
    }
    return err;
}

static brisk_err find_commit(const git_call *call, remote_found *ret)
{
    pkg_text hash;
    pkg_text files;
    bool there = false;
    brisk_err err = commit_of(call, &hash);
    err = err == BRISK_OK ? list_files(call, hash, &files, &there) : err;
    if (err != BRISK_OK || there) {
        return err != BRISK_OK ? err : read_commit(call, hash, files, ret);
    }
    if (call->remote->opts.mode == PKG_FETCH_OFFLINE) {
        return brisk_errinfo_set(call->info, BRISK_ERR_NOT_FOUND,
                                 "--offline, but commit %.*s was never fetched; resolve once "
                                 "without",
                                 (int)hash.size, hash.data);
    }
    const char *what = text_of(call, hash);
    err = what != NULL ? fetch_from_any(call, what) : BRISK_ERR_NOMEM;
    if (err == BRISK_ERR_IO) { /* some servers give only what they show */
        err = fetch_from_any(call, NULL);
    }
    err = err == BRISK_OK ? list_files(call, hash, &files, &there) : err;
    if (err == BRISK_OK && !there) {
        return brisk_errinfo_set(call->info, BRISK_ERR_NOT_FOUND,
                                 call->git->subdir.size > 0
                                     ? "the commit, or the path in it, is not in the repository"
                                     : "the commit is not in the repository");
    }
    return err == BRISK_OK ? read_commit(call, hash, files, ret) : err;
}

brisk_err remote_git(pkg_remote *remote, pkg_text spec, remote_found *ret, brisk_errinfo *info)
{
    pkg_git git;
    brisk_err err = pkg_git_parse(spec, remote->arena, &git, info);
    if (err != BRISK_OK) {
        return err;
    }
    git_call call = {.remote = remote, .git = &git, .lock = -1, .info = info};
    call.folder = remote_place(remote, "git", git.urls[0]);
    if (call.folder == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_IO,
                                 "git needs a cache folder to work in; set "
                                 "XDG_CACHE_HOME or HOME");
    }
    err = lock_folder(&call);
    err = err == BRISK_OK ? make_folder(&call) : err;
    err = err == BRISK_OK ? find_commit(&call, ret) : err;
    unlock_folder(&call);
    return err;
}
