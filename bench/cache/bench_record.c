/*
 * bench_record.c -- what recording costs the request, and a request the file; prints JSON.
 *
 *     bench_record FILE [TRACE_FOLDER TRACE]
 *
 * Notes are made in batches that the rings hold, with a rest between them, so that the figure is
 * that of the request path alone; with a trace, its keys, otherwise random ones of a thousand.
 * FILE is overwritten with a recording.
 */
#include <inttypes.h>
#include <unistd.h>

#include <brisk/clock.h>
#include <brisk/file.h>
#include <brisk/record.h>
#include <brisk/rng.h>

#include "bench_trace.h"

enum { NOTES = 1000000, BATCH = 2000, REST_US = 6000, KEYS = 1000 };

static const uint32_t *keys_of(int argc, char **argv, bench_trace *trace)
{
    if (argc > 3 && trace_read(argv[2], argv[3], trace) && trace->count >= NOTES) {
        return trace->keys;
    }
    uint32_t *keys = trace_take(NOTES * sizeof *keys);
    brisk_rng rng;
    brisk_rng_init(&rng, 1);
    for (uint32_t i = 0; i < NOTES; i++) {
        keys[i] = (uint32_t)brisk_rng_below(&rng, KEYS);
    }
    return keys;
}

static void run(const char *path, const uint32_t *numbers, bool with_keys)
{
    brisk_recorder *recorder = NULL;
    brisk_errinfo info = {.text = ""};
    (void)unlink(path);
    brisk_recorder_opts opts = {.path = path, .keys = with_keys};
    if (brisk_recorder_create(&opts, &recorder, &info) != BRISK_OK) {
        (void)fprintf(stderr, "bench_record: %s\n", info.text);
        return;
    }
    uint64_t spent = 0;
    static char bytes[BATCH][16];
    static brisk_key keys[BATCH];
    for (uint32_t i = 0; i < NOTES; i += BATCH) {
        for (uint32_t j = 0; j < BATCH; j++) {
            (void)snprintf(bytes[j], sizeof bytes[j], "key:%010" PRIu32, numbers[i + j]);
            keys[j] = brisk_key_of(bytes[j], 14);
        }
        uint64_t begin = brisk_clock_now_ns(NULL);
        for (uint32_t j = 0; j < BATCH; j++) {
            brisk_recorder_note(recorder, BRISK_RECORD_GET, &keys[j], j % 8 == 0 ? UINT32_MAX : 0,
                                100);
        }
        spent += brisk_clock_now_ns(NULL) - begin;
        (void)usleep(REST_US);
    }
    (void)brisk_recorder_destroy(recorder, &info);
    brisk_recording *recording = NULL;
    brisk_recording_stats read = {.records = 0};
    uint64_t begin = brisk_clock_now_ns(NULL);
    if (brisk_recording_open(path, NULL, &recording, &info) == BRISK_OK) {
        brisk_record record;
        while (brisk_recording_next(recording, &record) == BRISK_OK) {
        }
        brisk_recording_read_stats(recording, &read);
        brisk_recording_close(recording);
    }
    uint64_t reading = brisk_clock_now_ns(NULL) - begin;
    brisk_file_view view = {.size = 0};
    (void)!brisk_file_view_open(path, UINT64_MAX, &view, NULL);
    printf("{\"keys\":%s,\"ns_per_note\":%.1f,\"bytes_per_record\":%.2f,\"records\":%" PRIu64
           ",\"dropped\":%" PRIu64 ",\"read_per_second\":%.0f}",
           with_keys ? "true" : "false", (double)spent / NOTES,
           (double)view.size / (double)(read.records != 0 ? read.records : 1), read.records,
           read.dropped, (double)read.records * 1e9 / (double)reading);
    brisk_file_view_close(&view);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        (void)fprintf(stderr, "usage: bench_record FILE [TRACE_FOLDER TRACE]\n");
        return 2;
    }
    bench_trace trace = {.keys = NULL};
    const uint32_t *numbers = keys_of(argc, argv, &trace);
    printf("{\"bench\":\"cache/record\",\"notes\":%d,\"results\":[", NOTES);
    run(argv[1], numbers, false);
    printf(",\n ");
    run(argv[1], numbers, true);
    printf("]}\n");
    return 0;
}
