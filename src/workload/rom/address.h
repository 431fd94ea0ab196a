/*
 * address.h -- from the address a console's processor uses to the offset in the ROM, and back.
 *
 * Written $BBAAAA, bank and address, as debuggers and disassemblies print it:
 *
 *     SNES   24-bit bus address.  RAM, registers and SRAM areas are refused.  LoROM: banks 70-7D
 *            low halves are SRAM, other low halves of banks 40-6F mirror the high ones.
 *     NES    up to 32 KiB of PRG: $8000-$FFFF as the processor sees it, a 16 KiB PRG repeating.
 *            More: BB is the number of a 16 KiB PRG bank, AAAA any address it could stand at
 *            ($03A123: byte $2123 of bank 3).  CHR has no address of the processor: use offsets.
 *     GB     $00AAAA, AAAA < $4000: bank 0.  $BBAAAA, AAAA in $4000-$7FFF: bank BB (up to $1FF),
 *            bank 0 there meaning the ROM's second bank only in ROMs of 32 KiB.
 *     GBA    $08000000-$0DFFFFFF: three mirrors of the cartridge.
 *
 * Offsets count behind the copier header; for the NES the iNES header is part of the ROM, so that
 * offset 0 is 'N'.
 *
 * Source: https://snes.nesdev.org/wiki/Memory_map, https://gbdev.io/pandocs/MBCs (facts).
 */
#ifndef BRISK_SRC_WORKLOAD_ROM_ADDRESS_H
#define BRISK_SRC_WORKLOAD_ROM_ADDRESS_H

#include <stddef.h>
#include <stdint.h>

#include <brisk/err.h>

#include "workload/rom/system.h"

enum { ROM_ADDRESS_TEXT_MAX = 16 };

/*
 * The offset of `address` in the ROM that `info` describes.
 * Errors (`errinfo` names the address and why): INVALID (RAM, registers, beyond the end of the
 * ROM, no address of this system), UNSUPPORTED (a system without known mapping).
 */
BRISK_NODISCARD brisk_err rom_address_to_offset(const rom_info *info, uint64_t address,
                                                uint64_t *ret, brisk_errinfo *errinfo);

/*
 * The usual address of `offset` as text ("$80F123"; "0x12345" where no address leads there, as in
 * a file header or in CHR).  Always the form that rom_address_to_offset gives back.
 */
void rom_offset_to_text(const rom_info *info, uint64_t offset, char ret[ROM_ADDRESS_TEXT_MAX]);

#endif /* BRISK_SRC_WORKLOAD_ROM_ADDRESS_H */
