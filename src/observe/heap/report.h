/*
 * report.h -- a heap profile for people, as JSON, and its growth as a picture.
 */
#ifndef BRISK_SRC_OBSERVE_HEAP_REPORT_H
#define BRISK_SRC_OBSERVE_HEAP_REPORT_H

#include <stdio.h>

#include "observe/heap/view.h"

typedef struct heap_report {
    const heap_profile *profile;
    const heap_view *view;
    const heap_series *series; /* may be empty */
    uint64_t rss_peak;         /* 0: not known */
    uint64_t processes;        /* sampled ones; this is the one with the largest heap */
    uint32_t rows;
    bool ascii;
} heap_report;

void heap_report_text(const heap_report *report, FILE *out);
/* The rows by place only, for a screen that is drawn again. */
void heap_report_screen(const heap_report *report, FILE *out);
/* Errors: those of `out`. */
BRISK_NODISCARD brisk_err heap_report_json(const heap_report *report, FILE *out);
/* Live bytes over time as columns of blocks, with RSS beside. */
void heap_graph_text(const heap_report *report, FILE *out);
/* Live bytes over time by place, one above the other, and RSS as a line.  Errors: IO, NOMEM. */
BRISK_NODISCARD brisk_err heap_graph_svg(const heap_report *report, FILE *out);

/* The part of what malloc has from the kernel that is in no block, 0 .. 1; NaN: not known. */
double heap_fragmentation(const heap_profile *profile);

#endif /* BRISK_SRC_OBSERVE_HEAP_REPORT_H */
