/*
 * table.c -- all commands in one table.
 *
 * The rows of the families are copied, so that each has its number (where its figures are) and its
 * parent.  A name is found by a hash of its length and its first eight bytes in lower case, in a
 * table four times as large as there are names.
 */
#include <string.h>

#include "base/assert.h"
#include "daemon/command.h"
#include "daemon/server.h"

enum { SLOTS = 1024, NAME_MAX_LENGTH = 32, FAMILIES_MAX = 32 };

struct command_table {
    const brisk_alloc *alloc;
    uint32_t count;        /* all */
    uint32_t top;          /* of them: the first `top` rows */
    uint16_t slots[SLOTS]; /* row + 1 */
    command rows[COMMANDS_MAX];
    command_stats stats[COMMANDS_MAX];
};

static const command_family *const families[] = {
    &family_string,     &family_number,  &family_key,    &family_expire,     &family_bit,
    &family_bitfield,   &family_lcs,     &family_scan,   &family_connection, &family_client,
    &family_pubsub,     &family_multi,   &family_server, &family_config,     &family_info,
    &family_introspect, &family_object,  &family_brisk,  &family_tag,        &family_curve,
    &family_record,     &family_metrics,
};

static unsigned char lower(unsigned char c)
{
    return c >= 'A' && c <= 'Z' ? (unsigned char)(c | 0x20) : c;
}

static uint32_t slot_of(const unsigned char *name, size_t size)
{
    uint64_t head = 0;
    memcpy(&head, name, size < sizeof head ? size : sizeof head);
    head |= UINT64_C(0x2020202020202020); /* letters fold; what else does only shares a slot */
    if (size < sizeof head) {
        head &= (UINT64_C(1) << (8 * size)) - 1;
    }
    head = (head + size + (size > 0 ? lower(name[size - 1]) : 0U)) * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(head >> 54) % SLOTS;
}

static bool is_name(resp_bytes name, const char *lower_case)
{
    size_t i = 0;
    while (i < name.size && lower_case[i] != '\0' &&
           lower(name.data[i]) == (unsigned char)lower_case[i]) {
        i++;
    }
    return i == name.size && lower_case[i] == '\0';
}

static command *add_row(command_table *table, const command *from)
{
    BRISK_ASSERT(table->count < COMMANDS_MAX);
    command *row = &table->rows[table->count];
    *row = *from;
    row->number = table->count++;
    return row;
}

static void add_top(command_table *table, const command *from)
{
    command *row = add_row(table, from);
    size_t size = strlen(row->name);
    uint32_t slot = slot_of((const unsigned char *)row->name, size);
    while (table->slots[slot] != 0) {
        slot = (slot + 1) % SLOTS;
    }
    table->slots[slot] = (uint16_t)(row->number + 1);
}

brisk_err command_table_create(const brisk_alloc *alloc, command_table **ret)
{
    command_table *table = alloc->acquire(alloc->ctx, sizeof *table, _Alignof(command_table));
    if (table == NULL) {
        return BRISK_ERR_NOMEM;
    }
    memset(table, 0, sizeof *table);
    table->alloc = alloc;
    for (size_t f = 0; f < sizeof families / sizeof families[0]; f++) {
        for (uint32_t i = 0; i < families[f]->count; i++) {
            add_top(table, &families[f]->rows[i]);
        }
    }
    table->top = table->count;
    for (uint32_t i = 0; i < table->top; i++) {
        command *parent = &table->rows[i];
        const command *from = parent->subcommands;
        for (uint32_t j = 0; j < parent->subcommand_count; j++) {
            command *row = add_row(table, &from[j]);
            row->parent = parent;
            row->group = parent->group;
            if (j == 0) {
                parent->subcommands = row;
            }
        }
    }
    *ret = table;
    return BRISK_OK;
}

void command_table_destroy(command_table *table)
{
    if (table != NULL) {
        table->alloc->release(table->alloc->ctx, table, sizeof *table, _Alignof(command_table));
    }
}

const command *command_find(const command_table *table, resp_bytes name)
{
    uint32_t slot = slot_of(name.data, name.size);
    while (table->slots[slot] != 0) {
        const command *row = &table->rows[table->slots[slot] - 1];
        if (is_name(name, row->name)) {
            return row;
        }
        slot = (slot + 1) % SLOTS;
    }
    return NULL;
}

const command *command_find_sub(const command *parent, resp_bytes name)
{
    for (uint32_t i = 0; i < parent->subcommand_count; i++) {
        if (is_name(name, parent->subcommands[i].name)) {
            return &parent->subcommands[i];
        }
    }
    return NULL;
}

const command *command_find_full(const command_table *table, resp_bytes name)
{
    const unsigned char *bar = name.size > 0 ? memchr(name.data, '|', name.size) : NULL;
    if (bar == NULL) {
        return command_find(table, name);
    }
    size_t head = (size_t)(bar - name.data);
    const command *parent = command_find(table, (resp_bytes){.data = name.data, .size = head});
    resp_bytes sub = {.data = bar + 1, .size = name.size - head - 1};
    return parent != NULL ? command_find_sub(parent, sub) : NULL;
}

uint32_t command_count(const command_table *table)
{
    return table->top;
}

const command *command_at(const command_table *table, uint32_t index)
{
    return index < table->count ? &table->rows[index] : NULL;
}

command_stats *command_stats_of(command_table *table, const command *cmd)
{
    return &table->stats[cmd->number];
}

void command_table_reset_stats(command_table *table)
{
    for (uint32_t i = 0; i < COMMANDS_MAX; i++) {
        table->stats[i] = (command_stats){.times = table->stats[i].times};
    }
}

void command_full_name(const command *cmd, char *text, size_t size)
{
    (void)snprintf(text, size, "%s%s%s", cmd->parent != NULL ? cmd->parent->name : "",
                   cmd->parent != NULL ? "|" : "", cmd->name);
}

uint32_t command_keys(const command *cmd, const resp_bytes *argv, uint32_t argc, uint32_t *ret,
                      uint32_t max)
{
    (void)argv;
    if (cmd->key_first <= 0 || (uint32_t)cmd->key_first >= argc) {
        return 0;
    }
    int64_t last = cmd->key_last >= 0 ? cmd->key_last : (int64_t)argc + cmd->key_last;
    uint32_t count = 0;
    for (int64_t i = cmd->key_first; i <= last && i < (int64_t)argc; i += cmd->key_step) {
        if (ret != NULL && count < max) {
            ret[count] = (uint32_t)i;
        }
        count++;
    }
    return count;
}
