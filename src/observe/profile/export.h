/*
 * export.h -- profiles in the formats of other tools.
 *
 * collapsed    one line a stack, "comm;outer;inner VALUE"    FlameGraph, inferno, speedscope
 * pprof        protocol buffer, gzip                          pprof, Grafana, Parca
 * speedscope   JSON                                           speedscope.app
 * firefox      processed profile, JSON                        profiler.firefox.com
 * chrome       trace events, JSON                             Perfetto, chrome://tracing
 * html         a flame graph that needs nothing else          any browser
 */
#ifndef BRISK_SRC_OBSERVE_PROFILE_EXPORT_H
#define BRISK_SRC_OBSERVE_PROFILE_EXPORT_H

#include <stdbool.h>
#include <stdio.h>

#include "observe/profile/model.h"

typedef enum prof_format {
    PROF_FORMAT_COLLAPSED,
    PROF_FORMAT_PPROF,
    PROF_FORMAT_SPEEDSCOPE,
    PROF_FORMAT_FIREFOX,
    PROF_FORMAT_CHROME,
    PROF_FORMAT_HTML,
    PROF_FORMAT_COUNT,
} prof_format;

/* How frames of collapsed stacks are written. */
enum {
    PROF_COLLAPSE_KERNEL = 1,    /* "_[k]" behind names of the kernel */
    PROF_COLLAPSE_JIT = 2,       /* "_[j]" behind names of compilers at run time */
    PROF_COLLAPSE_PID = 4,       /* "comm-PID" */
    PROF_COLLAPSE_TID = 8,       /* "comm-PID/TID" */
    PROF_COLLAPSE_ADDRESSES = 16 /* "[name <ADDRESS>]" for what has no symbol */
};

/* By its name; NULL: PROF_FORMAT_COUNT. */
prof_format prof_format_find(const char *name);
/* By the end of a file's name; PROF_FORMAT_COUNT: none. */
prof_format prof_format_of_path(const char *path);

/* Write `type` of value (pprof and firefox: all).  Errors: NOMEM, IO. */
BRISK_NODISCARD brisk_err prof_export(const prof_model *model, prof_format format, uint32_t type,
                                      FILE *out);

BRISK_NODISCARD brisk_err prof_export_collapsed(const prof_model *model, uint32_t type,
                                                uint32_t flags, FILE *out);
BRISK_NODISCARD brisk_err prof_export_pprof(const prof_model *model, FILE *out);
BRISK_NODISCARD brisk_err prof_export_speedscope(const prof_model *model, uint32_t type, FILE *out);
BRISK_NODISCARD brisk_err prof_export_firefox(const prof_model *model, uint32_t type, FILE *out);
BRISK_NODISCARD brisk_err prof_export_chrome(const prof_model *model, uint32_t type, FILE *out);
/* `before` may be NULL; with it colours show what grew and what shrank. */
BRISK_NODISCARD brisk_err prof_export_html(const prof_model *model, const prof_model *before,
                                           uint32_t type, FILE *out);

/* The type of `model` that has the name of type `type` of `other`; the default one when none has. */
uint32_t prof_same_type(const prof_model *model, const prof_model *other, uint32_t type);

#endif /* BRISK_SRC_OBSERVE_PROFILE_EXPORT_H */
