/*
 * privileges.c -- groups first, then the group, then the user: later is too late.
 *
 * Whether it worked is tried: a process that can still become root has not given anything up.
 *
 * Source:  setresuid(2), initgroups(3), capabilities(7), prctl(2).
 */
#include "daemon/privileges.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RECORD_MAX = 65536, CAPABILITIES_END = 64 };

typedef struct identity {
    uid_t user;
    gid_t group;
    char name[256];
} identity;

static brisk_err find_user(const char *name, identity *ret, brisk_errinfo *info)
{
    char text[RECORD_MAX];
    struct passwd record;
    struct passwd *found = NULL;
    int failed = getpwnam_r(name, &record, text, sizeof text, &found);
    if (found == NULL || strlen(name) >= sizeof ret->name) {
        return failed != 0 ? brisk_errinfo_set_errno(info, failed, "serve.user '%.60s'", name)
                           : brisk_errinfo_set(info, BRISK_ERR_NOT_FOUND,
                                               "serve.user: there is no user '%.60s'", name);
    }
    *ret = (identity){.user = record.pw_uid, .group = record.pw_gid};
    memcpy(ret->name, name, strlen(name) + 1);
    return BRISK_OK;
}

static brisk_err find_group(const char *name, identity *ret, brisk_errinfo *info)
{
    char text[RECORD_MAX];
    struct group record;
    struct group *found = NULL;
    int failed = getgrnam_r(name, &record, text, sizeof text, &found);
    if (found == NULL) {
        return failed != 0 ? brisk_errinfo_set_errno(info, failed, "serve.group '%.60s'", name)
                           : brisk_errinfo_set(info, BRISK_ERR_NOT_FOUND,
                                               "serve.group: there is no group '%.60s'", name);
    }
    ret->group = record.gr_gid;
    return BRISK_OK;
}

/* No program that is run later finds any of them either; needs to be root still. */
static void drop_bounding_set(void)
{
    for (unsigned long i = 0; i < CAPABILITIES_END; i++) {
        (void)prctl(PR_CAPBSET_DROP, i, 0, 0, 0); /* those that this kernel has not fail */
    }
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
}

static bool change(const identity *who)
{
    drop_bounding_set();
    return initgroups(who->name, who->group) == 0 &&
           setresgid(who->group, who->group, who->group) == 0 &&
           setresuid(who->user, who->user, who->user) == 0;
}

static bool may_return(const identity *who)
{
    return who->user != 0 && (setresuid(0, 0, 0) == 0 || geteuid() == 0);
}

brisk_err privileges_become(const char *user, const char *group, brisk_errinfo *info)
{
    identity who;
    if (user[0] == '\0') {
        return group[0] == '\0'
                   ? BRISK_OK
                   : brisk_errinfo_set(info, BRISK_ERR_INVALID, "serve.group needs serve.user");
    }
    brisk_err err = find_user(user, &who, info);
    if (err == BRISK_OK && group[0] != '\0') {
        err = find_group(group, &who, info);
    }
    if (err != BRISK_OK) {
        return err;
    }
    if (geteuid() == who.user && getuid() == who.user && getegid() == who.group) {
        return BRISK_OK; /* its supervisor already was, or whoever started it */
    }
    if (!change(&who)) {
        return brisk_errinfo_set_errno(info, errno, "cannot become user '%.60s'", user);
    }
    return may_return(&who) ? brisk_errinfo_set(info, BRISK_ERR_PERMISSION, "still root after all")
                            : BRISK_OK;
}

void privileges_limit(bool keep_cores)
{
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    (void)umask(0077);
    if (!keep_cores) {
        struct rlimit none = {0, 0};
        (void)setrlimit(RLIMIT_CORE, &none);
    }
}
