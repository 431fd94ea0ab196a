/*
 * fuzz_monitor_answers.c -- any bytes as what a server says to the monitor: as replies, each taken as the answer to
 * each of its questions.  Oracle: texts are terminated and plain, shares lie between 0 and 1, nothing is infinite.
 */
#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "observe/monitor/monitor.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text, size_t room)
{
    const char *end = memchr(text, '\0', room);
    BRISK_ASSERT(end != NULL);
    for (const char *c = text; c < end; c++) {
        BRISK_ASSERT((unsigned char)*c >= ' ' && *c != 127);
    }
}

static void check_figures(const monitor_server *s)
{
    static monitor_numbers n;
    monitor_numbers_init(&n);
    monitor_server_figures(s, &n);
    for (int i = 0; i < FIGURE_COUNT; i++) {
        double value = n.now[i];
        BRISK_ASSERT(!isinf(value) && !(value < 0));
        BRISK_ASSERT(monitor_figures[i].unit != UNIT_SHARE || !(value > 1));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static monitor_server s;
    memset(&s, 0, sizeof s);
    s.up = true;
    s.next = (monitor_totals){.memory = (double)NAN, .connections = (double)NAN};
    s.round_trip_ns = (double)NAN;
    resp_replies replies;
    resp_replies_init(
        &replies, &(resp_reply_limits){.bulk_max = MONITOR_ANSWER_MAX, .nodes_max = 10000}, NULL);
    uint64_t now_ns = 1;
    for (size_t at = 0; at < size;) {
        if (resp_replies_read(&replies, data + at, size - at) != RESP_DONE) {
            break;
        }
        at += replies.used;
        for (uint32_t which = 0; which < MONITOR_ANSWERS; which++) {
            monitor_answer_take(&s, which, &replies);
        }
        monitor_answers_end(&s, now_ns += 500000000);
        check_figures(&s);
    }
    resp_replies_deinit(&replies);
    check_text(s.name, sizeof s.name);
    check_text(s.policy, sizeof s.policy);
    return 0;
}
