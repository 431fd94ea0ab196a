/*
 * simulate.h -- one run replayed on threads and processors.
 *
 * A node is a stage: `serial` of work by one thread, then `units` pieces of `unit` each, which any threads share.
 * Times are nanoseconds as doubles.
 */
#ifndef BRISK_SRC_OBSERVE_STAGE_SIMULATE_H
#define BRISK_SRC_OBSERVE_STAGE_SIMULATE_H

#include "observe/stage/profile.h"

enum { SIM_UNITS_MAX = 64 /* pieces that a stage is simulated with; more are taken together */ };

typedef struct sim_node {
    uint64_t after[BRISK_WHATIF_STAGES_MAX / 64];
    double lag; /* from the end of what it waits for until it may begin */
    double
        wake; /* from then until a thread that had nothing to do has it; one that works finds it at once */
    double serial; /* work of its own thread */
    double unit;   /* work of one piece */
    double cpu;    /* share of the work that needs a processor, 0..1 */
    uint32_t units;
    uint32_t rank; /* of those that become ready together the lowest goes first */
    bool own_thread;
} sim_node;

typedef struct sim_graph {
    sim_node nodes[BRISK_WHATIF_STAGES_MAX];
    uint32_t count;
    uint32_t threads; /* >= 1 */
    uint32_t workers; /* of them */
    uint32_t cores;   /* 0: enough */
    double tail;      /* after the last stage */
} sim_graph;

/*
 * What was measured, as a graph.  With `pure` the times stay as they are and processors are not looked at: the
 * replay must then take what was measured.  Otherwise the time in which a thread was runnable but not running
 * (`delay_ns`) is taken out as far as the job's own threads were more than the processors, because the simulation
 * puts that in again; what other programs took remains, as a part of the work.
 */
void sim_from_run(const brisk_stage_run *run, bool pure, sim_graph *ret);
/* Of each node: when it ended, and how much longer it took because processors were shared. */
typedef struct sim_ends {
    double end[BRISK_WHATIF_STAGES_MAX];
    double delay[BRISK_WHATIF_STAGES_MAX];
} sim_ends;

/* How long it takes; `ends` may be NULL. */
double sim_run(const sim_graph *graph, sim_ends *ends);

#endif /* BRISK_SRC_OBSERVE_STAGE_SIMULATE_H */
