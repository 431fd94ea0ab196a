/*
 * apply_remote.h -- `brisk rom apply --node URL`: the same request as a job of a node.
 */
#ifndef BRISK_SRC_WORKLOAD_ROM_APPLY_REMOTE_H
#define BRISK_SRC_WORKLOAD_ROM_APPLY_REMOTE_H

#include <brisk/node.h>

#include "workload/rom/apply.h"

/*
 * Read what `request` names, have the node patch it, write the result to request->out_path in one step, and
 * tell of it on in->out (`json`: as one object).
 */
brisk_exit rom_apply_remote(const brisk_invocation *in, const rom_request *request,
                            const brisk_node_opts *where, bool json);

#endif /* BRISK_SRC_WORKLOAD_ROM_APPLY_REMOTE_H */
