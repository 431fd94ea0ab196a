/*
 * manifest.c -- what modules say without being loaded: NAME.manifest, written and read.
 *
 * Written as JSON, which is YAML too, by the one JSON writer; read by the one YAML reader.  A
 * manifest comes from a folder that anybody may have filled: everything that is read from it is
 * checked here, kinds and numbers included, so that help and completion need not; one that does
 * not fit is logged and left out.
 *
 * Threads: writing any; a brisk_manifests is immutable.
 */
#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

#include <brisk/file.h>
#include <brisk/log.h>
#include <brisk/module.h>

#include "base/assert.h"
#include "engine/module.h"

enum { MANIFESTS_MAX = 128, MANIFEST_BYTES_MAX = 1048576 };

static const char suffix[] = ".manifest";

struct brisk_manifests {
    const brisk_alloc *alloc;
    uint32_t count;
    brisk_yaml_doc *docs[MANIFESTS_MAX]; /* by name */
};

/* --- writing ------------------------------------------------------------------------------ */

static void write_text(brisk_json *json, const char *key, const char *text)
{
    if (text != NULL) {
        brisk_json_str(json, key, text);
    }
}

static void write_option(brisk_json *json, const brisk_option *option)
{
    brisk_json_object_begin(json, NULL);
    write_text(json, "name", option->name);
    if (option->letter != 0) {
        char letter[2] = {option->letter, '\0'};
        write_text(json, "letter", letter);
    }
    brisk_json_u64(json, "type", (uint64_t)option->type);
    write_text(json, "metavar", option->metavar);
    write_text(json, "summary", option->summary);
    brisk_json_bool(json, "required", option->required);
    brisk_json_object_end(json);
}

static void write_command(brisk_json *json, const brisk_command *command)
{
    brisk_json_object_begin(json, NULL);
    write_text(json, "name", command->name);
    write_text(json, "group", command->group);
    write_text(json, "synopsis", command->synopsis);
    write_text(json, "summary", command->summary);
    write_text(json, "description", command->description);
    write_text(json, "examples", command->examples);
    brisk_json_array_begin(json, "options");
    for (uint32_t i = 0; i < command->option_count; i++) {
        write_option(json, &command->options[i]);
    }
    brisk_json_array_end(json);
    brisk_json_object_end(json);
}

static void write_knob(brisk_json *json, const brisk_knob *knob)
{
    brisk_json_object_begin(json, NULL);
    write_text(json, "name", knob->name);
    write_text(json, "summary", knob->summary);
    brisk_json_u64(json, "type", (uint64_t)knob->type);
    brisk_json_u64(json, "min", knob->min);
    brisk_json_u64(json, "max", knob->max);
    brisk_json_u64(json, "def", knob->def);
    brisk_json_str(json, "def_text", knob->def_text != NULL ? knob->def_text : "");
    brisk_json_object_end(json);
}

brisk_err brisk_module_write_manifest(const brisk_module *module, brisk_out out)
{
    brisk_json json;
    brisk_json_init(&json, out, 2);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "abi", module->abi_version);
    write_text(&json, "name", module->name);
    write_text(&json, "summary", module->summary);
    brisk_json_array_begin(&json, "commands");
    for (uint32_t i = 0; i < module->command_count; i++) {
        write_command(&json, module->commands[i]);
    }
    brisk_json_array_end(&json);
    brisk_json_array_begin(&json, "knobs");
    for (uint32_t i = 0; i < module->knob_count; i++) {
        write_knob(&json, &module->knobs[i]);
    }
    brisk_json_array_end(&json);
    brisk_json_object_end(&json);
    return brisk_json_finish(&json);
}

/* --- checking ----------------------------------------------------------------------------- */

static brisk_err refuse(const brisk_yaml_doc *doc, const brisk_yaml_node *node, const char *what,
                        brisk_errinfo *info)
{
    return brisk_errinfo_set(info, BRISK_ERR_INVALID, "%s:%u: %s", brisk_yaml_name(doc), node->line,
                             what);
}

/* Keys of a mapping: the first `required` must be there; all of them scalars but the sequences. */
typedef struct shape {
    const char *const *keys; /* NULL-terminated */
    uint32_t required;
    const char *sequences[2]; /* keys that hold sequences */
} shape;

static bool is_sequence_key(const shape *s, const char *key)
{
    return (s->sequences[0] != NULL && strcmp(s->sequences[0], key) == 0) ||
           (s->sequences[1] != NULL && strcmp(s->sequences[1], key) == 0);
}

static brisk_err check_shape(const brisk_yaml_doc *doc, const brisk_yaml_node *node, const shape *s,
                             brisk_errinfo *info)
{
    if (node->kind != BRISK_YAML_MAPPING) {
        return refuse(doc, node, "not a mapping", info);
    }
    brisk_err err = brisk_yaml_check_keys(doc, node, s->keys, info);
    for (uint32_t i = 0; i < s->required && err == BRISK_OK; i++) {
        if (brisk_yaml_get(node, s->keys[i]) == NULL) {
            err = brisk_errinfo_set(info, BRISK_ERR_INVALID, "%s:%u: '%s' is missing",
                                    brisk_yaml_name(doc), node->line, s->keys[i]);
        }
    }
    for (const brisk_yaml_node *n = node->child; n != NULL && err == BRISK_OK; n = n->next) {
        bool sequence = is_sequence_key(s, n->key);
        if (n->kind != (sequence ? BRISK_YAML_SEQUENCE : BRISK_YAML_SCALAR)) {
            err = refuse(doc, n, sequence ? "not a list" : "not a single value", info);
        }
    }
    return err;
}

/* A number of at most `max`; missing is fine. */
static brisk_err check_number(const brisk_yaml_doc *doc, const brisk_yaml_node *node, uint64_t max,
                              brisk_errinfo *info)
{
    uint64_t value = 0;
    brisk_err err = node != NULL ? brisk_yaml_u64(doc, node, &value, info) : BRISK_OK;
    if (err == BRISK_OK && value > max) {
        err = refuse(doc, node, "number out of range", info);
    }
    return err;
}

static brisk_err check_option(const brisk_yaml_doc *doc, const brisk_yaml_node *node,
                              brisk_errinfo *info)
{
    static const char *const keys[] = {"name",    "type",     "summary", "letter",
                                       "metavar", "required", NULL};
    static const shape option_shape = {.keys = keys, .required = 3};
    brisk_err err = check_shape(doc, node, &option_shape, info);
    if (err == BRISK_OK) {
        err = check_number(doc, brisk_yaml_get(node, "type"), BRISK_OPTION_LIST, info);
    }
    const brisk_yaml_node *letter = err == BRISK_OK ? brisk_yaml_get(node, "letter") : NULL;
    if (letter != NULL && strlen(letter->text) != 1) {
        err = refuse(doc, letter, "not one letter", info);
    }
    return err;
}

static brisk_err check_command(const brisk_yaml_doc *doc, const brisk_yaml_node *node,
                               brisk_errinfo *info)
{
    static const char *const keys[] = {"name",        "summary",  "group",   "synopsis",
                                       "description", "examples", "options", NULL};
    static const shape command_shape = {.keys = keys, .required = 2, .sequences = {"options"}};
    brisk_err err = check_shape(doc, node, &command_shape, info);
    const brisk_yaml_node *options = err == BRISK_OK ? brisk_yaml_get(node, "options") : NULL;
    if (options != NULL && options->count > MODULE_OPTIONS_MAX) {
        return refuse(doc, options, "too many options", info);
    }
    const brisk_yaml_node *option = options != NULL ? options->child : NULL;
    for (; option != NULL && err == BRISK_OK; option = option->next) {
        err = check_option(doc, option, info);
    }
    return err;
}

static brisk_err check_knob(const brisk_yaml_doc *doc, const brisk_yaml_node *node,
                            const char *module, brisk_errinfo *info)
{
    static const char *const keys[] = {"name", "summary", "type",     "min",
                                       "max",  "def",     "def_text", NULL};
    static const shape knob_shape = {.keys = keys, .required = 6};
    brisk_err err = check_shape(doc, node, &knob_shape, info);
    if (err == BRISK_OK) {
        err = check_number(doc, brisk_yaml_get(node, "type"), BRISK_KNOB_YAML, info);
    }
    for (int i = 3; i < 6 && err == BRISK_OK; i++) {
        err = check_number(doc, brisk_yaml_get(node, keys[i]), UINT64_MAX, info);
    }
    const brisk_yaml_node *name = err == BRISK_OK ? brisk_yaml_get(node, "name") : NULL;
    size_t length = strlen(module);
    if (name != NULL && (strncmp(name->text, module, length) != 0 || name->text[length] != '.')) {
        err = refuse(doc, name, "a knob's name begins with the module's", info);
    }
    return err;
}

static brisk_err check_manifest(const brisk_yaml_doc *doc, const char *name, brisk_errinfo *info)
{
    static const char *const keys[] = {"abi", "name", "summary", "commands", "knobs", NULL};
    static const shape manifest_shape = {
        .keys = keys, .required = 3, .sequences = {"commands", "knobs"}};
    const brisk_yaml_node *root = brisk_yaml_root(doc);
    const brisk_yaml_node *abi = brisk_yaml_get(root, "abi");
    uint64_t version = 0;
    if (abi != NULL && brisk_yaml_u64(doc, abi, &version, NULL) == BRISK_OK &&
        version != BRISK_ABI_VERSION) {
        return brisk_errinfo_set(
            info, BRISK_ERR_ABI, "%s: made for brisk ABI %llu, this brisk has %d",
            brisk_yaml_name(doc), (unsigned long long)version, BRISK_ABI_VERSION);
    }
    brisk_err err = check_shape(doc, root, &manifest_shape, info);
    if (err == BRISK_OK) {
        err = check_number(doc, abi, BRISK_ABI_VERSION, info);
    }
    if (err == BRISK_OK && strcmp(brisk_yaml_get(root, "name")->text, name) != 0) {
        err = refuse(doc, brisk_yaml_get(root, "name"), "another name than the file's", info);
    }
    const brisk_yaml_node *commands = err == BRISK_OK ? brisk_yaml_get(root, "commands") : NULL;
    const brisk_yaml_node *knobs = err == BRISK_OK ? brisk_yaml_get(root, "knobs") : NULL;
    if ((commands != NULL && commands->count > MODULE_COMMANDS_MAX) ||
        (knobs != NULL && knobs->count > MODULE_KNOBS_MAX)) {
        return refuse(doc, root, "too many commands or knobs", info);
    }
    const brisk_yaml_node *n = commands != NULL ? commands->child : NULL;
    for (; n != NULL && err == BRISK_OK; n = n->next) {
        err = check_command(doc, n, info);
    }
    n = knobs != NULL ? knobs->child : NULL;
    for (; n != NULL && err == BRISK_OK; n = n->next) {
        err = check_knob(doc, n, name, info);
    }
    return err;
}

/* --- reading ------------------------------------------------------------------------------ */

static const char *name_at(const brisk_manifests *manifests, uint32_t index)
{
    return brisk_yaml_get(brisk_yaml_root(manifests->docs[index]), "name")->text;
}

/* Where `name` stands or belongs. */
static uint32_t place_of(const brisk_manifests *manifests, const char *name)
{
    uint32_t at = 0;
    while (at < manifests->count && strcmp(name_at(manifests, at), name) < 0) {
        at++;
    }
    return at;
}

brisk_err manifest_parse(const manifest_text *text, const brisk_alloc *alloc, brisk_yaml_doc **ret,
                         brisk_errinfo *info)
{
    brisk_yaml_doc *doc = NULL;
    brisk_err err = brisk_yaml_parse(text->path, text->data, text->size, alloc, &doc, info);
    if (err == BRISK_OK) {
        err = check_manifest(doc, text->name, info);
    }
    if (err != BRISK_OK) {
        brisk_yaml_destroy(doc);
        return err;
    }
    *ret = doc;
    return BRISK_OK;
}

/* Read one file.  Only running out of memory is an error of the caller. */
static brisk_err read_manifest(const char *path, const char *name, const brisk_alloc *alloc,
                               brisk_yaml_doc **ret)
{
    brisk_errinfo info = {.text = ""};
    brisk_file_view view = {.size = 0};
    brisk_err err = brisk_file_view_open(path, MANIFEST_BYTES_MAX, &view, &info);
    if (err == BRISK_OK) {
        manifest_text text = {.path = path, .name = name, .data = view.data, .size = view.size};
        err = manifest_parse(&text, alloc, ret, &info);
    }
    brisk_file_view_close(&view);
    if (err != BRISK_OK && err != BRISK_ERR_NOMEM) {
        brisk_log(BRISK_LOG_WARNING, "engine", "manifest left out: %s", info.text);
    }
    return err == BRISK_ERR_NOMEM ? err : BRISK_OK;
}

static brisk_err add(brisk_manifests *manifests, const char *path, const char *name)
{
    uint32_t at = place_of(manifests, name);
    if ((at < manifests->count && strcmp(name_at(manifests, at), name) == 0) ||
        manifests->count == MANIFESTS_MAX) {
        return BRISK_OK; /* the first of a name wins */
    }
    brisk_yaml_doc *doc = NULL;
    brisk_err err = read_manifest(path, name, manifests->alloc, &doc);
    if (doc != NULL) {
        memmove(&manifests->docs[at + 1], &manifests->docs[at],
                (manifests->count - at) * sizeof(brisk_yaml_doc *));
        manifests->docs[at] = doc;
        manifests->count++;
    }
    return err;
}

/* Every NAME.manifest of a folder. */
static brisk_err scan(brisk_manifests *manifests, const char *folder)
{
    DIR *dir = opendir(folder);
    if (dir == NULL) {
        return BRISK_OK; /* no such folder, no manifests */
    }
    brisk_err err = BRISK_OK;
    const struct dirent *entry;
    while (err == BRISK_OK && (entry = readdir(dir)) != NULL) {
        size_t length = strlen(entry->d_name);
        size_t tail = sizeof suffix - 1;
        char name[MODULE_NAME_MAX];
        char path[MODULE_PATH_MAX];
        if (length <= tail || length - tail >= sizeof name ||
            strcmp(entry->d_name + length - tail, suffix) != 0) {
            continue;
        }
        memcpy(name, entry->d_name, length - tail);
        name[length - tail] = '\0';
        int size = snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (module_is_name(name) && size > 0 && (size_t)size < sizeof path) {
            err = add(manifests, path, name);
        }
    }
    (void)closedir(dir);
    return err;
}

/* The build tree: workload/NAME/NAME.manifest beside the library (and daemon/NAME.manifest). */
static brisk_err scan_build_tree(brisk_manifests *manifests, const char *folder)
{
    DIR *dir = opendir(folder);
    if (dir == NULL) {
        return BRISK_OK;
    }
    brisk_err err = BRISK_OK;
    const struct dirent *entry;
    while (err == BRISK_OK && (entry = readdir(dir)) != NULL) {
        char path[MODULE_PATH_MAX];
        struct stat st;
        int size =
            snprintf(path, sizeof path, "%s/%s/%s%s", folder, entry->d_name, entry->d_name, suffix);
        if (module_is_name(entry->d_name) && size > 0 && (size_t)size < sizeof path &&
            stat(path, &st) == 0) {
            err = add(manifests, path, entry->d_name);
        }
    }
    (void)closedir(dir);
    return err;
}

brisk_err brisk_manifests_load(const brisk_alloc *alloc, brisk_manifests **ret)
{
    BRISK_ASSERT(ret != NULL);
    alloc = alloc != NULL ? alloc : brisk_alloc_libc();
    brisk_manifests *manifests =
        alloc->acquire(alloc->ctx, sizeof *manifests, _Alignof(brisk_manifests));
    if (manifests == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *manifests = (brisk_manifests){.alloc = alloc};
    brisk_err err = BRISK_OK;
    char folder[MODULE_PATH_MAX];
    for (uint32_t i = 0; err == BRISK_OK && module_env_folder(i, folder); i++) {
        err = scan(manifests, folder);
    }
    static const struct {
        const char *place;
        brisk_err (*scan)(brisk_manifests *manifests, const char *folder);
    } beside[] = {{"brisk", scan},
                  {"workload", scan_build_tree},
                  {"daemon", scan},
                  {"observe/modules", scan}};
    char library[MODULE_PATH_MAX];
    bool found = module_library_folder(library);
    for (size_t i = 0; found && err == BRISK_OK && i < sizeof beside / sizeof beside[0]; i++) {
        int size = snprintf(folder, sizeof folder, "%s/%s", library, beside[i].place);
        if (size > 0 && (size_t)size < sizeof folder) {
            err = beside[i].scan(manifests, folder);
        }
    }
    if (err != BRISK_OK) {
        brisk_manifests_destroy(manifests);
        return err;
    }
    *ret = manifests;
    return BRISK_OK;
}

void brisk_manifests_destroy(brisk_manifests *manifests)
{
    if (manifests != NULL) {
        for (uint32_t i = 0; i < manifests->count; i++) {
            brisk_yaml_destroy(manifests->docs[i]);
        }
        manifests->alloc->release(manifests->alloc->ctx, manifests, sizeof *manifests,
                                  _Alignof(brisk_manifests));
    }
}

uint32_t brisk_manifests_count(const brisk_manifests *manifests)
{
    return manifests->count;
}

const brisk_yaml_node *brisk_manifests_at(const brisk_manifests *manifests, uint32_t index)
{
    BRISK_ASSERT(index < manifests->count);
    return brisk_yaml_root(manifests->docs[index]);
}
