/*
 * cancel.c -- the cancel token of <brisk/executor.h>.
 *
 * state_ is 0 while work may go on and minus the reason afterwards; it changes once, so the first
 * reason wins.  A passed deadline becomes such a reason when somebody looks: no timer is needed.
 * The struct is public, hence plain fields and the compiler's __atomic built-ins.
 */
#include <brisk/executor.h>

#include "base/assert.h"

void brisk_cancel_init(brisk_cancel *cancel, uint64_t deadline_ns, const brisk_clock *clock)
{
    *cancel = (brisk_cancel){.deadline_ns_ = deadline_ns, .clock_ = clock};
}

void brisk_cancel_request(brisk_cancel *cancel, brisk_err reason)
{
    BRISK_ASSERT((int)reason < 0);
    if (cancel == NULL) {
        return;
    }
    uint32_t none = 0;
    /* Release: pairs with the acquire in check; what led to the reason is visible with it. */
    (void)__atomic_compare_exchange_n(&cancel->state_, &none, (uint32_t) - (int)reason, 0,
                                      __ATOMIC_RELEASE, __ATOMIC_RELAXED);
}

static brisk_err reason_of(const brisk_cancel *cancel)
{
    /* Acquire: pairs with the release in request. */
    return (brisk_err) - (int)__atomic_load_n(&cancel->state_, __ATOMIC_ACQUIRE);
}

brisk_err brisk_cancel_check(brisk_cancel *cancel)
{
    if (cancel == NULL) {
        return BRISK_OK;
    }
    brisk_err reason = reason_of(cancel);
    if (reason != BRISK_OK || cancel->deadline_ns_ == 0) {
        return reason;
    }
    if (brisk_clock_now_ns(cancel->clock_) < cancel->deadline_ns_) {
        return BRISK_OK;
    }
    brisk_cancel_request(cancel, BRISK_ERR_DEADLINE);
    return reason_of(cancel); /* somebody else may have been first */
}
