/*
 * fuzz_profile_elf.c -- any bytes as an ELF file, and as .eh_frame.  Oracle: a refusal says why; a
 * table's rows are in order; every name lies in its block.
 */
#include <string.h>

#include "base/assert.h"
#include "observe/profile/cfi.h"
#include "observe/profile/symbols.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_table(const uint8_t *data, size_t size, uint64_t address)
{
    prof_cfi cfi;
    BRISK_ASSERT(prof_cfi_build(data, size, address, brisk_alloc_libc(), &cfi) == BRISK_OK);
    for (size_t i = 1; i < cfi.rows.count; i++) {
        BRISK_ASSERT(cfi.rows.items[i - 1].from < cfi.rows.items[i].from);
    }
    for (uint64_t at = address; at < address + 64; at++) {
        BRISK_ASSERT(prof_cfi_find(&cfi, at)->kind <= PROF_CFI_END);
    }
    prof_cfi_deinit(&cfi);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    prof_elf elf;
    prof_symbols symbols;
    brisk_errinfo info = {.text = ""};
    try_table(data, size, 0x1000);
    if (prof_elf_open_memory(data, size, &elf, &info) != BRISK_OK) {
        BRISK_ASSERT(info.text[0] != '\0');
        return 0;
    }
    uint64_t address = 0;
    (void)prof_elf_address_of(&elf, 0x1000, &address);
    if (prof_symbols_of_elf(&elf, brisk_alloc_libc(), &symbols) == BRISK_OK) {
        for (size_t i = 0; i < symbols.items.count; i++) {
            size_t length = 0;
            const char *name = prof_symbols_find(&symbols, symbols.items.items[i].address, &length);
            BRISK_ASSERT(name != NULL && name + length < symbols.names + symbols.names_size);
        }
        prof_symbols_deinit(&symbols);
    }
    unsigned char *bytes = NULL;
    if (prof_elf_read(&elf, &elf.eh_frame, brisk_alloc_libc(), &bytes) == BRISK_OK) {
        try_table(bytes, (size_t)elf.eh_frame.size, elf.eh_frame.address);
        brisk_alloc_libc()->release(NULL, bytes, (size_t)elf.eh_frame.size, 16);
    }
    return 0;
}
