/*
 * module_odd.c -- modules that must be refused; the build makes one of each ODD_... below.
 */
#include <brisk/module.h>

#ifdef ODD_UNRESOLVED
extern int brisk_test_nowhere(void);
int brisk_test_caller(void);
int brisk_test_caller(void)
{
    return brisk_test_nowhere();
}
#endif

#ifndef ODD_NAME
#    define ODD_NAME "odd"
#endif
#ifndef ODD_ABI
#    define ODD_ABI BRISK_ABI_VERSION
#endif
#ifndef ODD_SIZE
#    define ODD_SIZE sizeof(brisk_module)
#endif

#if defined(ODD_TINY)
/* Too small even for a version number. */
extern BRISK_API const char brisk_module_descriptor;
const char brisk_module_descriptor = 1;
#elif defined(ODD_TRUNCATED)
/* The right beginning, and nothing behind it. */
extern BRISK_API const uint32_t brisk_module_descriptor[2];
const uint32_t brisk_module_descriptor[2] = {BRISK_ABI_VERSION, sizeof(brisk_module)};
#elif !defined(ODD_NO_DESCRIPTOR)
#    ifdef ODD_WORKLOAD
static const brisk_workload other_name = {.name = "another"};
#    endif
#    ifdef ODD_KNOB
static const brisk_knob foreign_knob[] = {{.name = "cache.disk.path", .summary = "not mine"}};
#    endif
#    ifdef ODD_COMMAND
static const brisk_command no_function = {.name = "nothing", .summary = "does nothing"};
static const brisk_command *const commands[] = {&no_function};
#    endif

extern BRISK_API const brisk_module brisk_module_descriptor;
const brisk_module brisk_module_descriptor = {
    .abi_version = ODD_ABI,
    .size = ODD_SIZE,
    .name = ODD_NAME,
    .summary = "odd",
#    ifdef ODD_WORKLOAD
    .workload = &other_name,
#    endif
#    ifdef ODD_KNOB
    .knobs = foreign_knob,
    .knob_count = 1,
#    endif
#    ifdef ODD_COMMAND
    .commands = commands,
    .command_count = 1,
#    endif
#    ifdef ODD_COUNT
    .knob_count = 1000000,
#    endif
};
#endif
