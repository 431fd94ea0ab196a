/*
 * fuzz_ips.c -- any bytes as an IPS patch; input and oracle: fuzz_patch.h.
 */
#include "fuzz_patch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_patch("PATCH", data, size);
    return 0;
}
