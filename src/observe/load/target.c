/*
 * target.c -- the address of a load: scheme, host, port, path; and whether it is this machine.
 *
 * A load generator aimed at somebody else's server is an attack, so whatever is not the loopback needs the user's
 * word for it.  All addresses of a name are looked at, and the one that was looked at is the one connected to.
 */
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>

#include "observe/load/load.h"

static brisk_err invalid(brisk_errinfo *info, const char *text)
{
    return brisk_errinfo_set(info, BRISK_ERR_INVALID,
                             "'%.100s' is neither http://HOST[:PORT][/PATH] nor "
                             "resp://HOST[:PORT][/DATABASE]",
                             text);
}

static bool copy(char *to, size_t room, const char *from, size_t size)
{
    if (size == 0 || size >= room) {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)from[i] <= ' ' ||
            from[i] == 127) { /* would be a line of its own in a head */
            return false;
        }
    }
    memcpy(to, from, size);
    to[size] = '\0';
    return true;
}

static bool read_port(char to[8], const char *text, size_t size)
{
    unsigned value = 0;
    if (size == 0 || size > 5) {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        value = value * 10 + (unsigned)(text[i] - '0');
    }
    (void)snprintf(to, 8, "%u", value);
    return value > 0 && value <= UINT16_MAX;
}

static bool read_authority(load_target *t, const char *text, size_t size)
{
    const char *host = text;
    size_t length = size;
    const char *port = NULL;
    if (size > 0 && text[0] == '[') {
        const char *end = memchr(text, ']', size);
        if (end == NULL) {
            return false;
        }
        host = text + 1;
        length = (size_t)(end - host);
        port = end + 1 < text + size ? end + 1 : NULL;
        if (port != NULL && *port != ':') {
            return false;
        }
    } else {
        port = memchr(text, ':', size);
        length = port != NULL ? (size_t)(port - text) : size;
    }
    (void)snprintf(t->port, sizeof t->port, "%s", t->resp ? "6380" : "80");
    return memchr(host, '@', length) == NULL && copy(t->host, sizeof t->host, host, length) &&
           (port == NULL || read_port(t->port, port + 1, (size_t)(text + size - port) - 1));
}

static bool read_database(load_target *t, const char *text)
{
    uint64_t value = 0;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9' || value > 1000000) {
            return false;
        }
        value = value * 10 + (uint64_t)(*text - '0');
    }
    t->database = (uint32_t)value;
    return true;
}

brisk_err load_target_parse(const char *text, load_target *ret, brisk_errinfo *info)
{
    load_target t = {.resp = strncmp(text, "resp://", 7) == 0};
    if (!t.resp && strncmp(text, "http://", 7) != 0) {
        bool tls = strncmp(text, "https://", 8) == 0;
        return tls ? brisk_errinfo_set(
                         info, BRISK_ERR_INVALID,
                         "https is not measured; put the load on the server behind it")
                   : invalid(info, text);
    }
    const char *authority = text + 7;
    size_t size = strcspn(authority, "/?#");
    const char *path = authority + size;
    if (!read_authority(&t, authority, size)) {
        return invalid(info, text);
    }
    bool good = true;
    if (t.resp) {
        good = path[0] == '\0' || (path[0] == '/' && read_database(&t, path + 1));
    } else {
        bool slash = path[0] == '/';
        t.path[0] = '/';
        size_t length = strcspn(path, "#");
        good = length == 0 || copy(t.path + (slash ? 0 : 1), sizeof t.path - 1, path, length);
    }
    if (!good) {
        return invalid(info, text);
    }
    *ret = t;
    return BRISK_OK;
}

static bool is_loopback(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, address, sizeof in);
        return ntohl(in.sin_addr.s_addr) >> 24 == 127;
    }
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 in;
        memcpy(&in, address, sizeof in);
        return IN6_IS_ADDR_LOOPBACK(&in.sin6_addr) ||
               (IN6_IS_ADDR_V4MAPPED(&in.sin6_addr) && in.sin6_addr.s6_addr[12] == 127);
    }
    return false;
}

brisk_err load_target_resolve(load_target *target, bool remote_ok, brisk_errinfo *info)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    int wrong = getaddrinfo(target->host, target->port, &hints, &list);
    if (wrong != 0) {
        return brisk_errinfo_set(info, BRISK_ERR_NOT_FOUND, "%s: %s", target->host,
                                 gai_strerror(wrong));
    }
    const struct addrinfo *chosen = list;
    if (chosen == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOT_FOUND, "%s: no address", target->host);
    }
    for (const struct addrinfo *a = list; a != NULL; a = a->ai_next) {
        /* Of a name with both, most servers listen on version 4. */
        chosen = chosen->ai_family != AF_INET && a->ai_family == AF_INET ? a : chosen;
    }
    memcpy(&target->address, chosen->ai_addr, chosen->ai_addrlen);
    target->address_size = chosen->ai_addrlen;
    target->loopback = is_loopback(chosen->ai_addr);
    freeaddrinfo(list);
    if (!target->loopback && !remote_ok) {
        return brisk_errinfo_set(info, BRISK_ERR_PERMISSION,
                                 "%s is not this machine; --remote-ok says that you may load it",
                                 target->host);
    }
    return BRISK_OK;
}
