/*
 * fuzz_pkg_npmrc.c -- any bytes as an .npmrc and an URL that something may be sent to.
 *
 * Input: the .npmrc; if it has a byte 0, the URL is behind it.
 * Oracle: whatever is wrong, no message has a secret of the environment in it, and none of it breaks
 * a header; a secret goes only where the URL's host and path begin as its key says.
 */
#include <string.h>
#include <strings.h>

#include <brisk/arena.h>

#include "base/assert.h"
#include "workload/pkg/config_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char token_variable[] = "T=SECRET-token";
static char empty_variable[] = "E=";
static char host_variable[] = "H=host.test";
static char lines_variable[] = "N=SECRET\nline";
static char *const environment[] = {token_variable, empty_variable, host_variable, lines_variable,
                                    NULL};

static void check_header(pkg_text token)
{
    for (size_t i = 0; i < token.size; i++) {
        BRISK_ASSERT(token.data[i] > ' ' || (unsigned char)token.data[i] >= 0x80);
    }
}

/* The URL without its protocol (and user) has to begin with the prefix without its slashes. */
static void check_sent(const pkg_config *config, pkg_text url)
{
    const pkg_auth *auth = pkg_config_auth(config, url);
    if (auth == NULL) {
        return;
    }
    BRISK_ASSERT(auth->token.size > 0 && auth->prefix.size >= 2);
    size_t begin = strncasecmp(url.data, "https://", 8) == 0 ? 8 : 7;
    size_t end = begin;
    while (end < url.size && strchr("/?#", url.data[end]) == NULL) {
        end++;
    }
    const char *at = memrchr(url.data + begin, '@', end - begin);
    begin = at != NULL ? (size_t)(at - url.data) + 1 : begin;
    size_t host = strcspn(auth->prefix.data + 2, "/");
    host = host < auth->prefix.size - 2 ? host : auth->prefix.size - 2;
    BRISK_ASSERT(url.size - begin >= host &&
                 strncasecmp(url.data + begin, auth->prefix.data + 2, host) == 0);
    BRISK_ASSERT(begin + host == end || url.data[begin + host] == ':'); /* or the usual port */
}

static void check(config_reader *c, pkg_text text, pkg_text url)
{
    pkg_config config = {0};
    brisk_err err =
        npmrc_parse(text, "file", environment, c->arena, &c->sources[CONFIG_PROJECT], c->info);
    err = err != BRISK_OK ? err : config_values(c, &config);
    err = err != BRISK_OK ? err : config_registries(c, &config);
    if (err != BRISK_OK) {
        BRISK_ASSERT(c->info->text[0] != '\0' && strstr(c->info->text, "SECRET") == NULL);
        return;
    }
    BRISK_ASSERT(config.registry_count > 0);
    for (uint32_t i = 0; i < config.auth_count; i++) {
        check_header(config.auths[i].token);
    }
    for (uint32_t i = 0; i < config.registry_count; i++) {
        pkg_text registry = config.registries[i].url;
        check_header(config.registries[i].token);
        BRISK_ASSERT(i == 0 || registry.data[registry.size - 1] == '/');
        check_sent(&config, registry);
    }
    check_sent(&config, url);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    brisk_errinfo info = {0};
    config_reader c = {.environment = environment, .info = &info};
    if (size == 0 || brisk_arena_create(NULL, &c.arena) != BRISK_OK) {
        return 0;
    }
    pkg_text text = {.data = (const char *)data, .size = size};
    const char *zero = memchr(text.data, '\0', text.size);
    pkg_text url = {.data = ""};
    if (zero != NULL) {
        text.size = (size_t)(zero - text.data);
        url = (pkg_text){.data = zero + 1, .size = size - text.size - 1};
    }
    check(&c, text, url);
    brisk_arena_destroy(c.arena);
    return 0;
}
