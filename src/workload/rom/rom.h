/*
 * rom.h -- what all parts of the rom workload share: a file's bytes, limits, small helpers.
 *
 * Every input is a file that somebody else made: nothing in it is believed before it is checked,
 * every sum is made in 64 bits, and no size that a file declares is ever allocated.
 *
 * Threads: plain data, nothing here has state.
 */
#ifndef BRISK_SRC_WORKLOAD_ROM_ROM_H
#define BRISK_SRC_WORKLOAD_ROM_ROM_H

#include <stddef.h>
#include <stdint.h>

enum {
    ROM_BYTES_MAX = 256 << 20,       /* largest ROM read or written: 4 x the largest cartridge */
    ROM_PATCH_BYTES_MAX = 256 << 20, /* largest patch file */
    ROM_COPIER_BYTES = 512,          /* header that copiers put in front of SNES dumps */
};

/* Borrowed bytes of one file (a mapping, usually) and the name that messages use for it. */
typedef struct rom_bytes {
    const char *name;
    const uint8_t *data;
    size_t size;
} rom_bytes;

/* The same file without its first `skip` bytes; `skip` <= size. */
static inline rom_bytes rom_bytes_behind(const rom_bytes *file, size_t skip)
{
    return (rom_bytes){.name = file->name, .data = file->data + skip, .size = file->size - skip};
}

static inline uint32_t rom_le16(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8;
}

static inline uint32_t rom_le32(const uint8_t *at)
{
    return rom_le16(at) | rom_le16(at + 2) << 16;
}

static inline uint32_t rom_be16(const uint8_t *at)
{
    return (uint32_t)at[0] << 8 | at[1];
}

static inline uint32_t rom_be24(const uint8_t *at)
{
    return (uint32_t)at[0] << 16 | rom_be16(at + 1);
}

#endif /* BRISK_SRC_WORKLOAD_ROM_ROM_H */
