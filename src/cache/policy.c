/*
 * policy.c -- the list of policies.
 */
#include <string.h>

#include "cache/policy.h"

const policy_ops *policy_find(const char *name)
{
    static const policy_ops *const known[] = {
        &policy_lru,    &policy_lfu,      &policy_fifo, &policy_ttl,  &policy_sieve,
        &policy_s3fifo, &policy_wtinylfu, &policy_arc,  &policy_lirs, &policy_auto,
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(known[i]->name, name) == 0) {
            return known[i];
        }
    }
    return NULL;
}
