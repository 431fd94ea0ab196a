/*
 * brisk/brisk.h -- the whole public interface.
 */
#ifndef BRISK_BRISK_H
#define BRISK_BRISK_H

#include <brisk/alloc.h>
#include <brisk/arena.h>
#include <brisk/background.h>
#include <brisk/base.h>
#include <brisk/bench.h>
#include <brisk/budget.h>
#include <brisk/cache.h>
#include <brisk/cache_sim.h>
#include <brisk/clock.h>
#include <brisk/command.h>
#include <brisk/counter.h>
#include <brisk/engine.h>
#include <brisk/err.h>
#include <brisk/events.h>
#include <brisk/executor.h>
#include <brisk/expose.h>
#include <brisk/file.h>
#include <brisk/flight.h>
#include <brisk/grade.h>
#include <brisk/graph.h>
#include <brisk/hash.h>
#include <brisk/hist.h>
#include <brisk/histogram.h>
#include <brisk/history.h>
#include <brisk/http_client.h>
#include <brisk/import.h>
#include <brisk/json.h>
#include <brisk/json_read.h>
#include <brisk/knob.h>
#include <brisk/loader.h>
#include <brisk/log.h>
#include <brisk/machine.h>
#include <brisk/memo.h>
#include <brisk/memory.h>
#include <brisk/metrics.h>
#include <brisk/module.h>
#include <brisk/mrc.h>
#include <brisk/otlp.h>
#include <brisk/pool.h>
#include <brisk/predict.h>
#include <brisk/record.h>
#include <brisk/rng.h>
#include <brisk/service.h>
#include <brisk/shared.h>
#include <brisk/sizer.h>
#include <brisk/sizing.h>
#include <brisk/stats.h>
#include <brisk/statsd.h>
#include <brisk/text.h>
#include <brisk/ticker.h>
#include <brisk/trace.h>
#include <brisk/trace_file.h>
#include <brisk/track.h>
#include <brisk/ttl.h>
#include <brisk/value.h>
#include <brisk/version.h>
#include <brisk/warm.h>
#include <brisk/whatif.h>
#include <brisk/workload.h>
#include <brisk/yaml.h>

#endif /* BRISK_BRISK_H */
