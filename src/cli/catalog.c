/*
 * catalog.c -- the manifests of modules as the same command tables that the program has.
 *
 * A manifest is a file from outside: what does not have the form of a command is left out, and
 * names are checked, because they end up in shell completion.
 */
#include <string.h>

#include <brisk/log.h>
#include <brisk/module.h>
#include <brisk/yaml.h>

#include "cli/cli.h"

enum { NAME_MAX_LENGTH = 32 };

static bool is_name(const char *text)
{
    size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_-");
    return length > 0 && length <= NAME_MAX_LENGTH && text[length] == '\0' && text[0] >= 'a';
}

/** Copies, because the manifests are let go when the catalog is made; NULL when out of memory. */
static const char *text_of(brisk_arena *arena, const brisk_yaml_node *mapping, const char *key)
{
    const brisk_yaml_node *node = brisk_yaml_get(mapping, key);
    const char *text = node != NULL && node->text != NULL ? node->text : "";
    return brisk_arena_copy(arena, text, strlen(text));
}

/** Types are one digit; anything else is none. */
static uint32_t type_of(const brisk_yaml_node *mapping)
{
    const brisk_yaml_node *node = brisk_yaml_get(mapping, "type");
    bool digit = node != NULL && node->text != NULL && node->text[0] >= '0' &&
                 node->text[0] <= '9' && node->text[1] == '\0';
    return digit ? (uint32_t)(node->text[0] - '0') : UINT32_MAX;
}

static bool read_option(brisk_arena *arena, const brisk_yaml_node *node, brisk_option *ret)
{
    const char *name = text_of(arena, node, "name");
    const char *letter = text_of(arena, node, "letter");
    const char *metavar = text_of(arena, node, "metavar");
    const char *summary = text_of(arena, node, "summary");
    const brisk_yaml_node *required = brisk_yaml_get(node, "required");
    uint32_t type = type_of(node);
    if (name == NULL || letter == NULL || metavar == NULL || summary == NULL || !is_name(name) ||
        type > BRISK_OPTION_LIST) {
        return false;
    }
    bool letter_good = letter[0] != '\0' && letter[1] == '\0' &&
                       ((letter[0] | 0x20) >= 'a' && (letter[0] | 0x20) <= 'z');
    *ret = (brisk_option){
        .name = name,
        .letter = letter_good ? letter[0] : '\0',
        .type = (brisk_option_type)type,
        .metavar = metavar[0] != '\0' ? metavar : NULL,
        .summary = summary,
        .required =
            required != NULL && required->text != NULL && strcmp(required->text, "true") == 0,
    };
    return true;
}

static brisk_err read_options(brisk_arena *arena, const brisk_yaml_node *list, brisk_command *ret)
{
    uint32_t count = list != NULL && list->kind == BRISK_YAML_SEQUENCE ? list->count : 0;
    brisk_option *options = brisk_arena_calloc(arena, count, sizeof *options);
    if (options == NULL) {
        return BRISK_ERR_NOMEM;
    }
    ret->options = options;
    for (const brisk_yaml_node *node = count > 0 ? list->child : NULL;
         node != NULL && ret->option_count < CLI_OPTIONS_MAX; node = node->next) {
        if (read_option(arena, node, &options[ret->option_count])) {
            ret->option_count++;
        }
    }
    return BRISK_OK;
}

/** Errors: NOMEM; INVALID means that it is to be left out. */
static brisk_err read_command(brisk_arena *arena, const brisk_yaml_node *node, brisk_command **ret)
{
    brisk_command *command = brisk_arena_calloc(arena, 1, sizeof *command);
    if (command == NULL) {
        return BRISK_ERR_NOMEM;
    }
    command->name = text_of(arena, node, "name");
    command->group = text_of(arena, node, "group");
    command->synopsis = text_of(arena, node, "synopsis");
    command->summary = text_of(arena, node, "summary");
    command->description = text_of(arena, node, "description");
    command->examples = text_of(arena, node, "examples");
    if (command->name == NULL || command->group == NULL || command->synopsis == NULL ||
        command->summary == NULL || command->description == NULL || command->examples == NULL) {
        return BRISK_ERR_NOMEM;
    }
    if (!is_name(command->name)) {
        return BRISK_ERR_INVALID;
    }
    *ret = command;
    return read_options(arena, brisk_yaml_get(node, "options"), command);
}

static brisk_err read_group(brisk_arena *arena, const brisk_yaml_node *root, cli_group *ret)
{
    const char *name = text_of(arena, root, "name");
    const char *summary = text_of(arena, root, "summary");
    const brisk_yaml_node *list = brisk_yaml_get(root, "commands");
    uint32_t count = list != NULL && list->kind == BRISK_YAML_SEQUENCE ? list->count : 0;
    const brisk_command **commands = brisk_arena_calloc(arena, count, sizeof(brisk_command *));
    if (name == NULL || summary == NULL || commands == NULL) {
        return BRISK_ERR_NOMEM;
    }
    if (!is_name(name)) {
        return BRISK_ERR_INVALID;
    }
    *ret = (cli_group){.name = name, .summary = summary, .commands = commands, .module = true};
    for (const brisk_yaml_node *node = count > 0 ? list->child : NULL; node != NULL;
         node = node->next) {
        brisk_command *command = NULL;
        brisk_err err = read_command(arena, node, &command);
        if (err == BRISK_ERR_NOMEM) {
            return err;
        }
        if (err == BRISK_OK) {
            commands[ret->command_count++] = command;
        }
    }
    return BRISK_OK;
}

/** The top level with room for `count` commands more. */
static brisk_err copy_top(brisk_arena *arena, cli_group *top, uint32_t count,
                          const brisk_command ***ret)
{
    size_t total = top->command_count + (size_t)count;
    const brisk_command **commands = brisk_arena_calloc(arena, total, sizeof(brisk_command *));
    if (commands == NULL) {
        return BRISK_ERR_NOMEM;
    }
    memcpy(commands, top->commands, top->command_count * sizeof *commands);
    top->commands = commands;
    *ret = commands;
    return BRISK_OK;
}

static brisk_err read_manifests(brisk_arena *arena, const brisk_manifests *manifests,
                                cli_catalog *ret)
{
    cli_catalog builtin = cli_builtin();
    uint32_t count = brisk_manifests_count(manifests);
    cli_group *groups = brisk_arena_calloc(arena, builtin.count + (size_t)count, sizeof *groups);
    const char **modules = brisk_arena_calloc(arena, count, sizeof *modules);
    const brisk_command **top = NULL;
    if (groups == NULL || modules == NULL) {
        return BRISK_ERR_NOMEM;
    }
    memcpy(groups, builtin.groups, builtin.count * sizeof *groups);
    brisk_err err = copy_top(arena, &groups[0], count, &top);
    uint32_t used = builtin.count;
    uint32_t module_count = 0;
    for (uint32_t i = 0; i < count && err != BRISK_ERR_NOMEM; i++) {
        err = read_group(arena, brisk_manifests_at(manifests, i), &groups[used]);
        if (err != BRISK_OK) {
            continue;
        }
        modules[module_count++] = groups[used].name;
        const brisk_command *own = cli_own_command(&groups[used]);
        groups[used].callable = own != NULL;
        if (own != NULL) {
            top[groups[0].command_count++] = own;
        }
        used += own == NULL || groups[used].command_count > 1 ? 1 : 0;
    }
    if (err == BRISK_ERR_NOMEM) {
        return err;
    }
    *ret = (cli_catalog){
        .groups = groups, .count = used, .modules = modules, .module_count = module_count};
    return BRISK_OK;
}

brisk_err cli_catalog_load(cli_state *cli, cli_catalog *ret)
{
    brisk_arena *arena = cli_arena(cli);
    brisk_manifests *manifests = NULL;
    brisk_err err = arena != NULL ? brisk_manifests_load(NULL, &manifests) : BRISK_ERR_NOMEM;
    if (err == BRISK_OK) {
        err = read_manifests(arena, manifests, ret);
    }
    brisk_manifests_destroy(manifests);
    if (err != BRISK_OK) {
        (void)fprintf(stderr, "brisk: modules: %s\n", brisk_err_message(err));
    }
    return err;
}
