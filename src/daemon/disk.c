/*
 * disk.c -- the disk tier behind the keys in memory.
 */
#include "daemon/disk.h"

#include "daemon/server.h"

brisk_err disk_open(server *s, const char *path, uint64_t bytes_max, disk **ret,
                    brisk_errinfo *info)
{
    (void)s;
    (void)path;
    (void)bytes_max;
    (void)ret;
    return brisk_errinfo_set(info, BRISK_ERR_UNSUPPORTED, "no disk tier yet");
}
void disk_close(disk *d)
{
    (void)d;
}
bool disk_fetch(client *c, const command *cmd, const resp_bytes *argv, uint32_t argc)
{
    (void)c;
    (void)cmd;
    (void)argv;
    (void)argc;
    return false;
}
void disk_changed(server *s, resp_bytes key)
{
    (void)s;
    (void)key;
}
void disk_cleared(server *s)
{
    (void)s;
}
void disk_forget(client *c)
{
    (void)c;
}
void disk_flush(server *s)
{
    (void)s;
}
void disk_stats(server *s, brisk_tier_stats *ret)
{
    (void)s;
    *ret = (brisk_tier_stats){0};
}
