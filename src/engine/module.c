/*
 * module.c -- loads plug-ins: finds NAME.so, opens it, believes its descriptor only after checks.
 *
 * The version stands first in the descriptor and is checked first, so that a module of another
 * time is told from a damaged one; the size of the exported object is compared before anything
 * behind the version is read.  Loaded modules are kept in one table for the whole process and are
 * never closed: threads may be inside them, and answers may point at their code.
 *
 * Locks: `state.lock`, held while the dynamic linker runs; a module's constructors must not load
 * modules.
 */
#include "engine/module.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

#include <brisk/module.h>

#include "base/assert.h"

enum { LOADED_MAX = 64 };

/* File-scope state: what is mapped into a process is the process's. */
static struct {
    pthread_mutex_t lock;
    uint32_t count;
    const brisk_module *modules[LOADED_MAX];
} state = {.lock = PTHREAD_MUTEX_INITIALIZER};

bool module_is_name(const char *name)
{
    if (name == NULL || name[0] < 'a' || name[0] > 'z') {
        return false;
    }
    size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");
    return name[length] == '\0' && length < MODULE_NAME_MAX;
}

bool module_env_folder(uint32_t index, char path[MODULE_PATH_MAX])
{
    const char *at = secure_getenv("BRISK_MODULE_PATH");
    if (at == NULL || index >= MODULE_FOLDERS_MAX) {
        return false;
    }
    uint32_t found = 0;
    while (*at != '\0') {
        size_t length = strcspn(at, ":");
        if (length > 0 && length < MODULE_PATH_MAX && found++ == index) {
            memcpy(path, at, length);
            path[length] = '\0';
            return true;
        }
        at += length + (at[length] == ':' ? 1 : 0);
    }
    return false;
}

bool module_library_folder(char path[MODULE_PATH_MAX])
{
    static const char anchor = 0; /* any address inside this library */
    Dl_info found;
    if (dladdr(&anchor, &found) == 0 || found.dli_fname == NULL) {
        return false;
    }
    const char *slash = strrchr(found.dli_fname, '/');
    size_t length = slash != NULL ? (size_t)(slash - found.dli_fname) : 0;
    if (slash == NULL || length >= MODULE_PATH_MAX) {
        return false;
    }
    memcpy(path, found.dli_fname, length);
    path[length] = '\0';
    return true;
}

/* --- finding ------------------------------------------------------------------------------ */

static bool is_file(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

static uint32_t count_env_folders(void)
{
    char folder[MODULE_PATH_MAX];
    uint32_t count = 0;
    while (module_env_folder(count, folder)) {
        count++;
    }
    return count;
}

/* Candidate number `index`; false past the last.  One that is too long is "". */
static bool candidate(uint32_t index, const char *name, char path[MODULE_PATH_MAX])
{
    char folder[MODULE_PATH_MAX];
    uint32_t env = count_env_folders();
    int length = 0;
    if (index < env && module_env_folder(index, folder)) {
        length = snprintf(path, MODULE_PATH_MAX, "%s/%s.so", folder, name);
    } else if (index >= env && index < env + 4 && module_library_folder(folder)) {
        static const char *const places[] = {"brisk", "workload", "daemon", "observe/modules"};
        const char *place = places[index - env];
        length = place == places[1]
                     ? snprintf(path, MODULE_PATH_MAX, "%s/%s/%s/%s.so", folder, place, name, name)
                     : snprintf(path, MODULE_PATH_MAX, "%s/%s/%s.so", folder, place, name);
    } else {
        return false;
    }
    if (length < 0 || length >= MODULE_PATH_MAX) {
        path[0] = '\0';
    }
    return true;
}

/* The first file that is there, or NOT_FOUND with the list of those that are not. */
static brisk_err find(const char *name, char path[MODULE_PATH_MAX], brisk_errinfo *info)
{
    for (uint32_t i = 0; candidate(i, name, path); i++) {
        if (path[0] != '\0' && is_file(path)) {
            return BRISK_OK;
        }
    }
    char list[BRISK_ERRINFO_TEXT_MAX] = "";
    size_t used = 0;
    for (uint32_t i = 0; candidate(i, name, path) && used < sizeof list; i++) {
        int more = snprintf(list + used, sizeof list - used, "%s%s", i > 0 ? ", " : "", path);
        used += more > 0 ? (size_t)more : 0;
    }
    return brisk_errinfo_set(info, BRISK_ERR_NOT_FOUND, "no module '%s'; looked for %s", name,
                             list);
}

/* --- believing ---------------------------------------------------------------------------- */

static brisk_err damaged(brisk_errinfo *info, const char *name, const char *path, const char *what)
{
    return brisk_errinfo_set(info, BRISK_ERR_CORRUPT, "module %s (%s): %s", name, path, what);
}

static const char *bad_option(const brisk_option *option)
{
    if (option->name == NULL || option->name[0] == '\0' || option->summary == NULL) {
        return "an option without name or summary";
    }
    if ((int)option->type < BRISK_OPTION_FLAG || option->type > BRISK_OPTION_LIST) {
        return "an option of an unknown type";
    }
    return NULL;
}

static const char *bad_command(const brisk_command *command)
{
    if (command == NULL || command->name == NULL || command->name[0] == '\0' ||
        command->summary == NULL || command->run == NULL) {
        return "a command without name, summary or function";
    }
    if (command->option_count > MODULE_OPTIONS_MAX ||
        (command->option_count > 0 && command->options == NULL)) {
        return "a command with impossible options";
    }
    const char *bad = NULL;
    for (uint32_t i = 0; i < command->option_count && bad == NULL; i++) {
        bad = bad_option(&command->options[i]);
    }
    return bad;
}

static const char *bad_knob(const brisk_module *module, const brisk_knob *knob)
{
    size_t length = strlen(module->name);
    if (knob->name == NULL || strncmp(knob->name, module->name, length) != 0 ||
        knob->name[length] != '.' || knob->summary == NULL) {
        return "a knob whose name does not begin with the module's";
    }
    return NULL;
}

/* What contradicts itself in a descriptor of the right version and size, or NULL. */
static const char *bad_module(const brisk_module *module, const char *name)
{
    if (module->name == NULL || strcmp(module->name, name) != 0) {
        return "its descriptor has another name";
    }
    if (module->summary == NULL) {
        return "no summary";
    }
    if (module->workload != NULL &&
        (module->workload->name == NULL || strcmp(module->workload->name, name) != 0)) {
        return "its workload has another name, and names are part of keys";
    }
    if (module->command_count > MODULE_COMMANDS_MAX ||
        (module->command_count > 0 && module->commands == NULL) ||
        module->knob_count > MODULE_KNOBS_MAX ||
        (module->knob_count > 0 && module->knobs == NULL)) {
        return "an impossible number of commands or knobs";
    }
    const char *bad = NULL;
    for (uint32_t i = 0; i < module->command_count && bad == NULL; i++) {
        bad = bad_command(module->commands[i]);
    }
    for (uint32_t i = 0; i < module->knob_count && bad == NULL; i++) {
        bad = bad_knob(module, &module->knobs[i]);
    }
    return bad;
}

/* Bytes of the object at `address`; 0 when the linker does not know. */
static size_t object_bytes(const void *address)
{
    Dl_info found;
    void *symbol = NULL; /* ElfW(Sym) * */
    if (dladdr1(address, &found, &symbol, RTLD_DL_SYMENT) == 0 || symbol == NULL) {
        return 0;
    }
    const ElfW(Sym) *entry = symbol;
    return found.dli_saddr == address ? (size_t)entry->st_size : 0;
}

static brisk_err check(const brisk_module *module, const char *name, const char *path,
                       brisk_errinfo *info)
{
    size_t bytes = object_bytes(module);
    if (bytes < sizeof module->abi_version) {
        return damaged(info, name, path, "brisk_module_descriptor is no descriptor");
    }
    if (module->abi_version != BRISK_ABI_VERSION) {
        return brisk_errinfo_set(
            info, BRISK_ERR_ABI,
            "module %s (%s) was built for brisk ABI %u, this brisk has %d; rebuild it", name, path,
            module->abi_version, BRISK_ABI_VERSION);
    }
    if (bytes < sizeof *module || module->size != sizeof *module) {
        return damaged(info, name, path, "its descriptor has the wrong size");
    }
    const char *bad = bad_module(module, name);
    return bad != NULL ? damaged(info, name, path, bad) : BRISK_OK;
}

/* --- loading ------------------------------------------------------------------------------ */

static brisk_err open_module(const char *name, const brisk_module **ret, brisk_errinfo *info)
{
    char path[MODULE_PATH_MAX];
    brisk_err err = find(name, path, info);
    if (err != BRISK_OK) {
        return err;
    }
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL) {
        const char *why = dlerror();
        return brisk_errinfo_set(info, BRISK_ERR_IO, "module %s: %s", name,
                                 why != NULL ? why : path);
    }
    /* A refused one stays open too: its constructors have run and may have left threads. */
    const brisk_module *module = dlsym(handle, "brisk_module_descriptor");
    if (module == NULL) {
        return damaged(info, name, path, "it exports no brisk_module_descriptor");
    }
    err = check(module, name, path, info);
    if (err == BRISK_OK) {
        *ret = module;
    }
    return err;
}

static const brisk_module *find_loaded(const char *name)
{
    for (uint32_t i = 0; i < state.count; i++) {
        if (strcmp(state.modules[i]->name, name) == 0) {
            return state.modules[i];
        }
    }
    return NULL;
}

brisk_err brisk_module_load(const char *name, const brisk_module **ret, brisk_errinfo *info)
{
    BRISK_ASSERT(ret != NULL);
    if (!module_is_name(name)) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "'%.*s' is no name of a module",
                                 MODULE_NAME_MAX, name != NULL ? name : "");
    }
    brisk_err err = BRISK_OK;
    (void)pthread_mutex_lock(&state.lock);
    const brisk_module *module = find_loaded(name);
    if (module == NULL && state.count == LOADED_MAX) {
        err = brisk_errinfo_set(info, BRISK_ERR_LIMIT, "module %s: %d modules are loaded", name,
                                LOADED_MAX);
    } else if (module == NULL) {
        err = open_module(name, &module, info);
        if (err == BRISK_OK) {
            state.modules[state.count++] = module;
        }
    }
    (void)pthread_mutex_unlock(&state.lock);
    if (err == BRISK_OK) {
        *ret = module;
    }
    return err;
}
