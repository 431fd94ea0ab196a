/*
 * stats_json.c -- a sample as JSON.
 */
#include "daemon/api/stats.h"

#include <math.h>

#include "daemon/http/observe.h"

static void put_times(brisk_json *json, const char *key, const stats_times *times)
{
    brisk_json_object_begin(json, key);
    brisk_json_u64(json, "count", times->count);
    brisk_json_u64(json, "p50_ns", times->p50_ns);
    brisk_json_u64(json, "p95_ns", times->p95_ns);
    brisk_json_u64(json, "p99_ns", times->p99_ns);
    brisk_json_u64(json, "p999_ns", times->p999_ns);
    brisk_json_object_end(json);
}

static void put_tiers(brisk_json *json, const stats_sample *sample)
{
    brisk_json_array_begin(json, "tiers");
    for (uint32_t i = 0; i < sample->tier_count; i++) {
        const stats_tier *tier = &sample->tiers[i];
        uint64_t asked = tier->hits + tier->misses;
        brisk_json_object_begin(json, NULL);
        brisk_json_str(json, "name", tier->name);
        brisk_json_u64(json, "hits", tier->hits);
        brisk_json_u64(json, "misses", tier->misses);
        brisk_json_double(json, "hit_rate",
                          asked > 0 ? (double)tier->hits / (double)asked : (double)NAN);
        brisk_json_u64(json, "evictions", tier->evictions);
        brisk_json_u64(json, "expired", tier->expired);
        brisk_json_u64(json, "errors", tier->errors);
        brisk_json_u64(json, "entries", tier->entries);
        brisk_json_u64(json, "bytes", tier->bytes);
        brisk_json_u64(json, "bytes_max", tier->bytes_max);
        brisk_json_bool(json, "down", tier->down);
        brisk_json_object_end(json);
    }
    brisk_json_array_end(json);
}

void stats_put(brisk_json *json, const stats_sample *sample)
{
    brisk_json_double(json, "time_s", (double)(sample->wall_ns / 1000000) / 1000);
    brisk_json_double(json, "length_s", (double)sample->length_ns / 1e9);
    brisk_json_u64(json, "commands", sample->commands);
    brisk_json_u64(json, "command_errors", sample->command_errors);
    brisk_json_u64(json, "responses", sample->responses);
    brisk_json_u64(json, "client_errors", sample->client_errors);
    brisk_json_u64(json, "server_errors", sample->server_errors);
    brisk_json_u64(json, "jobs", sample->jobs);
    brisk_json_u64(json, "job_failures", sample->job_failures);
    brisk_json_u64(json, "job_faults", sample->job_faults);
    brisk_json_u64(json, "bytes_in", sample->bytes_in);
    brisk_json_u64(json, "bytes_out", sample->bytes_out);
    put_times(json, "http", &sample->http);
    put_times(json, "command", &sample->command);
    put_times(json, "job", &sample->job);
    brisk_json_u64(json, "resident_bytes", sample->resident);
    brisk_json_u64(json, "memory_limit_bytes", sample->memory_limit);
    brisk_json_object_begin(json, "connections");
    for (uint32_t i = 0; i < STATS_PROTOCOLS; i++) {
        brisk_json_u64(json, observe_protocol_name((observe_protocol)i), sample->connections[i]);
    }
    brisk_json_object_end(json);
    brisk_json_double(json, "busy", sample->busy);
    brisk_json_double(json, "busy_most", sample->busy_most);
    brisk_json_array_begin(json, "loops");
    for (uint32_t i = 0; i < sample->loop_count; i++) {
        brisk_json_double(json, NULL, round((double)sample->loops[i] * 1e4) / 1e4);
    }
    brisk_json_array_end(json);
    brisk_json_double(json, "cpu", sample->cpu);
    const stats_prediction *p = &sample->prediction;
    brisk_json_double(json, "prediction_precision",
                      p->guesses > 0 ? (double)p->right / (double)p->guesses : (double)NAN);
    brisk_json_u64(json, "prefetches", p->loads);
    brisk_json_u64(json, "prefetches_used", p->used);
    put_tiers(json, sample);
}
