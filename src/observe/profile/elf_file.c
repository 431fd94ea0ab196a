/*
 * elf_file.c -- headers first, then what they point at; each part is held against the file's size
 * when it is found, so that later reads need no second look.
 */
#include "observe/profile/elf_file.h"

#include <elf.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <brisk/file.h>

static brisk_err damaged(brisk_errinfo *info, const char *what, uint64_t offset)
{
    return brisk_errinfo_set(info, BRISK_ERR_CORRUPT, "ELF: %s at offset %llu", what,
                             (unsigned long long)offset);
}

static brisk_err read_at(const prof_elf *elf, uint64_t offset, void *to, size_t size)
{
    if (offset > elf->size || size > elf->size - offset) {
        return BRISK_ERR_CORRUPT;
    }
    if (elf->memory != NULL) {
        memcpy(to, elf->memory + offset, size);
        return BRISK_OK;
    }
    return brisk_file_pread_all(elf->fd, to, size, offset);
}

static bool fits(const prof_elf *elf, uint64_t offset, uint64_t size)
{
    return offset <= elf->size && size <= elf->size - offset;
}

static bool read_note(prof_elf *elf, uint64_t offset, uint64_t size)
{
    unsigned char bytes[1024];
    size_t have = size < sizeof bytes ? (size_t)size : sizeof bytes;
    if (read_at(elf, offset, bytes, have) != BRISK_OK) {
        return false;
    }
    for (size_t at = 0; at + sizeof(Elf64_Nhdr) <= have;) {
        Elf64_Nhdr note;
        memcpy(&note, bytes + at, sizeof note);
        size_t name = at + sizeof note;
        size_t body = name + (((size_t)note.n_namesz + 3) & ~(size_t)3);
        size_t end = body + (((size_t)note.n_descsz + 3) & ~(size_t)3);
        if (note.n_namesz > have || note.n_descsz > have || end > have) {
            return false;
        }
        if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 &&
            memcmp(bytes + name, "GNU", 4) == 0 && note.n_descsz <= PROF_ELF_BUILD_ID_MAX) {
            memcpy(elf->build_id, bytes + body, note.n_descsz);
            elf->build_id_size = note.n_descsz;
            return true;
        }
        at = end;
    }
    return false;
}

static brisk_err read_segments(prof_elf *elf, const Elf64_Ehdr *head, brisk_errinfo *info)
{
    for (uint32_t i = 0; i < head->e_phnum; i++) {
        Elf64_Phdr segment;
        uint64_t at = head->e_phoff + (uint64_t)i * sizeof segment;
        brisk_err err =
            at < head->e_phoff ? BRISK_ERR_CORRUPT : read_at(elf, at, &segment, sizeof segment);
        if (err != BRISK_OK) {
            return damaged(info, "a program header outside of the file", at);
        }
        if (segment.p_type == PT_NOTE && elf->build_id_size == 0) {
            (void)read_note(elf, segment.p_offset, segment.p_filesz);
        }
        if (segment.p_type == PT_LOAD && elf->segment_count < PROF_ELF_SEGMENTS_MAX) {
            elf->segments[elf->segment_count++] =
                (prof_elf_part){segment.p_offset, segment.p_filesz, segment.p_vaddr, 0};
        }
    }
    return BRISK_OK;
}

static void take_section(prof_elf *elf, const Elf64_Shdr *s, const char *name)
{
    prof_elf_part part = {s->sh_offset, s->sh_size, s->sh_addr, s->sh_link};
    if (!fits(elf, part.offset, part.size) || part.size > PROF_ELF_BYTES_MAX) {
        return; /* as if it were not there: what else the file has may still be good */
    }
    if (s->sh_type == SHT_SYMTAB) {
        elf->symbols = part;
    } else if (s->sh_type == SHT_DYNSYM) {
        elf->dynamic_symbols = part;
    } else if (strcmp(name, ".eh_frame") == 0) {
        elf->eh_frame = part;
    } else if (strcmp(name, ".debug_info") == 0 || strcmp(name, ".zdebug_info") == 0) {
        elf->has_dwarf = part.size > 0;
    } else if (strcmp(name, ".note.gnu.build-id") == 0 && elf->build_id_size == 0) {
        (void)read_note(elf, part.offset, part.size);
    } else if (strcmp(name, ".gnu_debuglink") == 0 && part.size > 5) {
        size_t size = part.size < PROF_ELF_LINK_MAX ? (size_t)part.size : PROF_ELF_LINK_MAX;
        if (read_at(elf, part.offset, elf->debug_link, size) != BRISK_OK) {
            size = 0;
        }
        elf->debug_link[size < PROF_ELF_LINK_MAX ? size : PROF_ELF_LINK_MAX - 1] = '\0';
        /* A name only: no way out of the folders that are looked in. */
        if (strchr(elf->debug_link, '/') != NULL) {
            elf->debug_link[0] = '\0';
        }
    }
}

static brisk_err read_header_of(const prof_elf *elf, const Elf64_Ehdr *head, uint64_t index,
                                Elf64_Shdr *ret)
{
    uint64_t at = head->e_shoff + index * sizeof *ret;
    return at < head->e_shoff ? BRISK_ERR_CORRUPT : read_at(elf, at, ret, sizeof *ret);
}

static prof_elf_part linked(const prof_elf *elf, const Elf64_Ehdr *head, const prof_elf_part *part)
{
    Elf64_Shdr s;
    if (part->size == 0 || read_header_of(elf, head, part->link, &s) != BRISK_OK ||
        !fits(elf, s.sh_offset, s.sh_size) || s.sh_size > PROF_ELF_BYTES_MAX ||
        s.sh_type != SHT_STRTAB) {
        return (prof_elf_part){0};
    }
    return (prof_elf_part){s.sh_offset, s.sh_size, 0, 0};
}

/* A file without sections, or with damaged ones, is still good for addresses. */
static void read_sections(prof_elf *elf, const Elf64_Ehdr *head)
{
    Elf64_Shdr first;
    if (head->e_shoff == 0 || head->e_shentsize != sizeof first ||
        read_header_of(elf, head, 0, &first) != BRISK_OK) {
        return;
    }
    uint64_t count = head->e_shnum != 0 ? head->e_shnum : first.sh_size;
    uint64_t names_at = head->e_shstrndx != SHN_XINDEX ? head->e_shstrndx : first.sh_link;
    Elf64_Shdr names;
    if (count > PROF_ELF_SECTIONS_MAX || names_at >= count ||
        read_header_of(elf, head, names_at, &names) != BRISK_OK ||
        !fits(elf, names.sh_offset, names.sh_size)) {
        return;
    }
    for (uint64_t i = 1; i < count; i++) {
        Elf64_Shdr s;
        char name[24] = "";
        if (read_header_of(elf, head, i, &s) != BRISK_OK) {
            break;
        }
        if (s.sh_name < names.sh_size) {
            uint64_t room = names.sh_size - s.sh_name;
            size_t size = room < sizeof name - 1 ? (size_t)room : sizeof name - 1;
            if (read_at(elf, names.sh_offset + s.sh_name, name, size) != BRISK_OK) {
                name[0] = '\0';
            }
        }
        if (s.sh_type != SHT_NOBITS) {
            take_section(elf, &s, name);
        }
    }
    elf->symbol_names = linked(elf, head, &elf->symbols);
    elf->dynamic_names = linked(elf, head, &elf->dynamic_symbols);
}

static brisk_err read_all(prof_elf *elf, brisk_errinfo *info)
{
    Elf64_Ehdr head;
    if (read_at(elf, 0, &head, sizeof head) != BRISK_OK ||
        memcmp(head.e_ident, ELFMAG, SELFMAG) != 0) {
        return damaged(info, "no header", 0);
    }
    if (head.e_ident[EI_CLASS] != ELFCLASS64 || head.e_ident[EI_DATA] != ELFDATA2LSB) {
        return brisk_errinfo_set(info, BRISK_ERR_UNSUPPORTED, "ELF: not 64 bits, little-endian");
    }
    if (head.e_phnum > 0 && head.e_phentsize != sizeof(Elf64_Phdr)) {
        return damaged(info, "program headers of another size", offsetof(Elf64_Ehdr, e_phentsize));
    }
    elf->is_x86_64 = head.e_machine == EM_X86_64;
    elf->entry = head.e_entry;
    brisk_err err = read_segments(elf, &head, info);
    if (err == BRISK_OK) {
        read_sections(elf, &head);
    }
    return err;
}

brisk_err prof_elf_open(int fd, prof_elf *ret, brisk_errinfo *info)
{
    prof_elf elf = {.fd = fd};
    struct stat st;
    brisk_err err = BRISK_OK;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size < 0) {
        err = brisk_errinfo_set(info, BRISK_ERR_INVALID, "ELF: not a regular file");
    } else {
        elf.size = (uint64_t)st.st_size;
        err = read_all(&elf, info);
    }
    if (err != BRISK_OK) {
        (void)close(fd);
        return err;
    }
    *ret = elf;
    return BRISK_OK;
}

brisk_err prof_elf_open_memory(const void *data, size_t size, prof_elf *ret, brisk_errinfo *info)
{
    prof_elf elf = {.fd = -1, .memory = data, .size = size};
    brisk_err err = read_all(&elf, info);
    if (err == BRISK_OK) {
        *ret = elf;
    }
    return err;
}

void prof_elf_close(prof_elf *elf)
{
    if (elf->memory == NULL && elf->fd >= 0 && elf->size > 0) {
        (void)close(elf->fd);
    }
    *elf = (prof_elf){.fd = -1};
}

brisk_err prof_elf_read(const prof_elf *elf, const prof_elf_part *part, const brisk_alloc *alloc,
                        unsigned char **ret)
{
    if (part->size == 0) {
        return BRISK_ERR_NOT_FOUND;
    }
    unsigned char *bytes = alloc->acquire(alloc->ctx, (size_t)part->size, 16);
    if (bytes == NULL) {
        return BRISK_ERR_NOMEM;
    }
    brisk_err err = read_at(elf, part->offset, bytes, (size_t)part->size);
    if (err != BRISK_OK) {
        alloc->release(alloc->ctx, bytes, (size_t)part->size, 16);
        return err;
    }
    *ret = bytes;
    return BRISK_OK;
}

bool prof_elf_address_of(const prof_elf *elf, uint64_t offset, uint64_t *ret)
{
    for (uint32_t i = 0; i < elf->segment_count; i++) {
        const prof_elf_part *s = &elf->segments[i];
        /* The kernel maps whole pages: what lies before the segment in its first page, too. */
        uint64_t begin = s->offset & ~UINT64_C(4095);
        if (offset >= begin && offset - begin < s->size + (s->offset - begin)) {
            *ret = offset - s->offset + s->address;
            return true;
        }
    }
    return false;
}
