/*
 * result.c -- fields of result.h in a row, least significant byte first.
 */
#include "workload/rom/result.h"

#include "base/assert.h"

enum { FORMAT = 0x31524d52 /* "RMR1" */ };

static unsigned char *put(unsigned char *at, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++) {
        *at++ = (unsigned char)(value >> (8 * i));
    }
    return at;
}

static uint64_t take(const unsigned char **at, int bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++) {
        value |= (uint64_t)(*at)[i] << (8 * i);
    }
    *at += bytes;
    return value;
}

void rom_result_encode(const rom_result *result, unsigned char ret[ROM_RESULT_BYTES])
{
    unsigned char *at = put(ret, FORMAT, 4);
    at = put(at, result->size, 8);
    at = put(at, result->crc32, 4);
    at = put(at, result->flags, 4);
    at = put(at, result->writes, 8);
    at = put(at, result->write_bytes, 8);
    at = put(at, result->content.lo, 8);
    at = put(at, result->content.hi, 8);
    BRISK_ASSERT(at == ret + ROM_RESULT_BYTES);
}

bool rom_result_decode(const void *data, size_t size, rom_result *ret)
{
    const unsigned char *at = data;
    if (size != ROM_RESULT_BYTES || take(&at, 4) != FORMAT) {
        return false;
    }
    rom_result result = {0};
    result.size = take(&at, 8);
    result.crc32 = (uint32_t)take(&at, 4);
    result.flags = (uint32_t)take(&at, 4);
    result.writes = take(&at, 8);
    result.write_bytes = take(&at, 8);
    result.content.lo = take(&at, 8);
    result.content.hi = take(&at, 8);
    if ((result.flags & ~(uint32_t)ROM_RESULT_FLAGS) != 0) {
        return false;
    }
    *ret = result;
    return true;
}
