/*
 * thread_id.h -- a small number per operating-system thread, from 1, given on first use.
 *
 * Numbers are not reused, so that a trace never shows two threads under one number.
 */
#ifndef BRISK_SRC_METRICS_THREAD_ID_H
#define BRISK_SRC_METRICS_THREAD_ID_H

#include <stdint.h>

uint32_t metrics_thread_id(void);

#endif /* BRISK_SRC_METRICS_THREAD_ID_H */
