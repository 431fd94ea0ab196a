/*
 * fuzz_bps.c -- any bytes as a BPS patch; input and oracle: fuzz_patch.h.
 */
#include "fuzz_patch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_patch("BPS1", data, size);
    return 0;
}
