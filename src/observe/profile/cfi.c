/*
 * cfi.c -- runs the programs of .eh_frame into rows.
 *
 * A reader is a position and an end; a read past the end gives 0 and sets `bad`, which is looked
 * at once an entry.  An entry that is bad leaves no rows.  The rows of the whole section are sorted
 * by address at the end; a row that ends a function gives way to one that begins another there.
 */
#include "observe/profile/cfi.h"

#include <stdlib.h>
#include <string.h>

enum {
    ROWS_MAX = 1 << 25,
    REMEMBER_MAX = 16,
    CIE_PROGRAM_MAX =
        1024, /* it is run again for each of its functions; compilers write ten bytes */
    REG_RBP = 6,
    REG_RSP = 7,
    REG_RA = 16,
};

enum {
    ENC_ABSPTR = 0,
    ENC_UDATA2 = 2,
    ENC_UDATA4 = 3,
    ENC_UDATA8 = 4,
    ENC_SDATA2 = 10,
    ENC_SDATA4 = 11,
    ENC_SDATA8 = 12,
    ENC_PCREL = 0x10,
    ENC_OMIT = 0xff,
};

typedef struct reader {
    const unsigned char *at;
    const unsigned char *end;
    uint64_t address; /* of `start` */
    const unsigned char *start;
    bool bad;
} reader;

typedef struct cie {
    uint64_t code_align;
    int64_t data_align;
    uint8_t pointer_encoding;
    bool has_augmentation;
    bool is_signal;
    bool usable;
    const unsigned char *program;
    const unsigned char *program_end;
} cie;

typedef struct state {
    uint8_t kind;
    int32_t cfa_offset;
    int16_t rbp_offset;
    bool ra_undefined;
    bool odd; /* the return address lies elsewhere, or rbp is computed */
} state;

typedef struct build {
    prof_cfi *cfi;
    const unsigned char *bytes;
    size_t size;
    uint64_t address;
    uint64_t last_cie_at;
    cie last_cie;
    brisk_err err;
} build;

/* --- reading -------------------------------------------------------------------------------- */

static uint64_t read_fixed(reader *r, size_t size)
{
    uint64_t value = 0;
    if ((size_t)(r->end - r->at) < size) {
        r->bad = true;
        r->at = r->end;
        return 0;
    }
    memcpy(&value, r->at, size);
    r->at += size;
    return value;
}

static uint64_t read_uleb(reader *r)
{
    uint64_t value = 0;
    for (uint32_t shift = 0; r->at < r->end; shift += 7) {
        uint8_t byte = *r->at++;
        if (shift < 64) {
            value |= (uint64_t)(byte & 0x7f) << shift;
        }
        if ((byte & 0x80) == 0) {
            return value;
        }
    }
    r->bad = true;
    return 0;
}

static int64_t read_sleb(reader *r)
{
    uint64_t value = 0;
    for (uint32_t shift = 0; r->at < r->end;) {
        uint8_t byte = *r->at++;
        if (shift < 64) {
            value |= (uint64_t)(byte & 0x7f) << shift;
        }
        shift += 7;
        if ((byte & 0x80) == 0) {
            if ((byte & 0x40) != 0 && shift < 64) {
                value |= ~UINT64_C(0) << shift;
            }
            return (int64_t)value;
        }
    }
    r->bad = true;
    return 0;
}

static uint64_t read_pointer(reader *r, uint8_t encoding)
{
    uint64_t here = r->address + (uint64_t)(r->at - r->start);
    uint64_t value = 0;
    switch (encoding & 0x0f) {
    case ENC_ABSPTR:
    case ENC_UDATA8:
    case ENC_SDATA8: value = read_fixed(r, 8); break;
    case ENC_UDATA4: value = read_fixed(r, 4); break;
    case ENC_UDATA2: value = read_fixed(r, 2); break;
    case ENC_SDATA4: value = (uint64_t)(int64_t)(int32_t)read_fixed(r, 4); break;
    case ENC_SDATA2: value = (uint64_t)(int64_t)(int16_t)read_fixed(r, 2); break;
    default: r->bad = true; return 0;
    }
    switch (encoding & 0x70) {
    case 0: return value;
    case ENC_PCREL: return here + value;
    default: r->bad = true; return 0; /* relative to data or text: nobody writes it in .eh_frame */
    }
}

/* Hostile numbers may be any size: what does not fit is as far away as can be. */
static int64_t scale(uint64_t value, const cie *c)
{
    int64_t product;
    return __builtin_mul_overflow((int64_t)value, c->data_align, &product) ? INT64_MAX : product;
}

/* --- programs ------------------------------------------------------------------------------- */

static void emit(build *b, uint64_t pc, const state *s, const cie *c)
{
    prof_cfi *cfi = b->cfi;
    uint64_t from = pc - cfi->base;
    if (b->err != BRISK_OK || from > UINT32_MAX || cfi->rows.count >= ROWS_MAX) {
        return;
    }
    prof_cfi_row row = {.from = (uint32_t)from,
                        .cfa_offset = s->cfa_offset,
                        .rbp_offset = s->rbp_offset,
                        .kind = s->kind};
    if (c->is_signal) {
        row.kind = PROF_CFI_SIGNAL;
    } else if (s->ra_undefined) {
        row.kind = PROF_CFI_END;
    } else if (s->odd) {
        row.kind = PROF_CFI_NONE;
    }
    if (!BRISK_VEC_PUSH(&cfi->rows, row)) {
        b->err = BRISK_ERR_NOMEM;
    }
}

static void set_cfa(state *s, uint64_t reg, int64_t offset)
{
    s->kind = reg == REG_RSP ? PROF_CFI_RSP : reg == REG_RBP ? PROF_CFI_RBP : PROF_CFI_NONE;
    if (offset < INT32_MIN || offset > INT32_MAX) {
        s->kind = PROF_CFI_NONE;
        offset = 0;
    }
    s->cfa_offset = (int32_t)offset;
}

static void set_saved(state *s, uint64_t reg, int64_t offset)
{
    if (reg == REG_RBP) {
        bool small = offset > INT16_MIN && offset <= INT16_MAX;
        s->rbp_offset = small ? (int16_t)offset : (int16_t)0;
        s->odd = s->odd || !small;
    } else if (reg == REG_RA) {
        s->odd = s->odd || offset != -8;
        s->ra_undefined = false;
    }
}

/* The CFA as an expression: two forms are known. */
static void set_cfa_expression(state *s, const unsigned char *bytes, size_t size)
{
    /* breg7 (rsp) 8; breg16 (rip) 0; lit15; and; lit10 or 11; ge; lit3; shl; plus */
    static const unsigned char plt[] = {0x77, 8, 0x80, 0, 0x3f, 0x1a};
    static const unsigned char plt_end[] = {0x2a, 0x33, 0x24, 0x22};
    s->kind = PROF_CFI_NONE;
    if (size == 11 && memcmp(bytes, plt, sizeof plt) == 0 &&
        (bytes[6] == 0x3a || bytes[6] == 0x3b) && memcmp(bytes + 7, plt_end, sizeof plt_end) == 0) {
        s->kind = PROF_CFI_PLT;
        s->cfa_offset = bytes[6] - 0x30; /* from this byte of an entry on there is one word more */
        return;
    }
    reader r = {.at = bytes + 1, .end = bytes + size};
    if (size >= 3 && bytes[0] == 0x70 + REG_RBP) {
        int64_t offset = read_sleb(&r);
        if (!r.bad && r.end - r.at == 1 && *r.at == 0x06 && offset >= INT32_MIN &&
            offset <= INT32_MAX) {
            s->kind = PROF_CFI_RBP_DEREF;
            s->cfa_offset = (int32_t)offset;
        }
    }
}

static void set_expression(reader *r, state *s, bool of_value)
{
    uint64_t reg = read_uleb(r);
    uint64_t size = read_uleb(r);
    if (size > (uint64_t)(r->end - r->at)) {
        r->bad = true;
        return;
    }
    /* rbp saved at rbp + 0: what gcc writes for a realigned stack, where the frame is rbp's. */
    bool plain =
        !of_value && reg == REG_RBP && size == 2 && r->at[0] == 0x70 + REG_RBP && r->at[1] == 0;
    if (plain) {
        s->rbp_offset = 0;
        s->odd =
            s->kind != PROF_CFI_RBP_DEREF && s->kind != PROF_CFI_RBP && s->kind != PROF_CFI_NONE;
    } else if (reg == REG_RBP || reg == REG_RA) {
        s->odd = true;
    }
    r->at += size;
}

typedef struct program {
    reader r;
    state s;
    state first; /* after the CIE's part, for restore */
    state saved[REMEMBER_MAX];
    uint32_t saved_count;
    uint64_t pc;
    bool emits;
} program;

static void advance(build *b, program *p, const cie *c, uint64_t delta)
{
    if (p->emits) {
        emit(b, p->pc, &p->s, c);
    }
    p->pc += delta * c->code_align;
}

static void restore_register(program *p, uint64_t reg)
{
    if (reg == REG_RBP) {
        p->s.rbp_offset = p->first.rbp_offset;
    } else if (reg == REG_RA) {
        p->s.ra_undefined = p->first.ra_undefined;
    }
}

static void run_low(build *b, program *p, const cie *c, uint8_t op)
{
    reader *r = &p->r;
    uint64_t reg;
    switch (op) {
    case 0x00: break;
    case 0x02: advance(b, p, c, read_fixed(r, 1)); break;
    case 0x03: advance(b, p, c, read_fixed(r, 2)); break;
    case 0x04: advance(b, p, c, read_fixed(r, 4)); break;
    case 0x05:
        reg = read_uleb(r);
        set_saved(&p->s, reg, scale(read_uleb(r), c));
        break;
    case 0x06: restore_register(p, read_uleb(r)); break;
    case 0x07: /* undefined */ p->s.ra_undefined |= read_uleb(r) == REG_RA; break;
    case 0x08: /* same value */
        if (read_uleb(r) == REG_RBP) {
            p->s.rbp_offset = PROF_CFI_RBP_SAME;
        }
        break;
    case 0x09: /* in another register */
        p->s.odd |= read_uleb(r) == REG_RA;
        (void)read_uleb(r);
        break;
    case 0x0a:
        if (p->saved_count == REMEMBER_MAX) {
            r->bad = true;
        } else {
            p->saved[p->saved_count++] = p->s;
        }
        break;
    case 0x0b:
        if (p->saved_count == 0) {
            r->bad = true;
        } else {
            p->s = p->saved[--p->saved_count];
        }
        break;
    case 0x0c:
        reg = read_uleb(r);
        set_cfa(&p->s, reg, (int64_t)read_uleb(r));
        break;
    case 0x0d: set_cfa(&p->s, read_uleb(r), p->s.cfa_offset); break;
    case 0x0e: p->s.cfa_offset = (int32_t)(read_uleb(r) & 0x7fffffff); break;
    default: r->bad = true; break;
    }
}

static void run_high(program *p, const cie *c, uint8_t op)
{
    reader *r = &p->r;
    uint64_t reg;
    uint64_t size;
    switch (op) {
    case 0x0f:
        size = read_uleb(r);
        if (size > (uint64_t)(r->end - r->at)) {
            r->bad = true;
            break;
        }
        set_cfa_expression(&p->s, r->at, (size_t)size);
        r->at += size;
        break;
    case 0x10: set_expression(r, &p->s, false); break;
    case 0x16: set_expression(r, &p->s, true); break;
    case 0x11:
        reg = read_uleb(r);
        set_saved(&p->s, reg, scale((uint64_t)read_sleb(r), c));
        break;
    case 0x12:
        reg = read_uleb(r);
        set_cfa(&p->s, reg, scale((uint64_t)read_sleb(r), c));
        break;
    case 0x13: p->s.cfa_offset = (int32_t)(scale((uint64_t)read_sleb(r), c)); break;
    case 0x2e: (void)read_uleb(r); break; /* GNU_args_size */
    default: r->bad = true; break;
    }
}

static bool run(build *b, program *p, const cie *c)
{
    reader *r = &p->r;
    while (r->at < r->end && !r->bad) {
        uint8_t byte = *r->at++;
        switch (byte & 0xc0) {
        case 0x40: advance(b, p, c, byte & 0x3f); break;
        case 0x80: set_saved(&p->s, byte & 0x3f, scale(read_uleb(r), c)); break;
        case 0xc0: restore_register(p, byte & 0x3f); break;
        default:
            if (byte <= 0x0e) {
                run_low(b, p, c, byte);
            } else {
                run_high(p, c, byte);
            }
            break;
        }
    }
    return !r->bad;
}

/* --- entries -------------------------------------------------------------------------------- */

static bool read_augmentation(reader *r, const char *augmentation, cie *ret)
{
    uint64_t size = read_uleb(r);
    if (r->bad || size > (uint64_t)(r->end - r->at)) {
        return false;
    }
    const unsigned char *end = r->at + size;
    for (const char *letter = augmentation + 1; *letter != '\0'; letter++) {
        switch (*letter) {
        case 'R': ret->pointer_encoding = (uint8_t)read_fixed(r, 1); break;
        case 'L': (void)read_fixed(r, 1); break;
        case 'P': {
            uint8_t encoding = (uint8_t)read_fixed(r, 1);
            (void)read_pointer(r, encoding & 0x0f); /* who handles exceptions does not matter */
            break;
        }
        case 'S': ret->is_signal = true; break;
        case 'B': break;
        default: r->at = end; break;
        }
    }
    if (r->at > end) {
        return false;
    }
    r->at = end;
    return !r->bad;
}

static bool read_cie(reader r, cie *ret)
{
    *ret = (cie){.pointer_encoding = ENC_ABSPTR};
    uint64_t version = read_fixed(&r, 1);
    const char *augmentation = (const char *)r.at;
    const unsigned char *nul = memchr(r.at, 0, (size_t)(r.end - r.at));
    if (nul == NULL || (version != 1 && version != 3)) {
        return false;
    }
    r.at = nul + 1;
    ret->code_align = read_uleb(&r);
    ret->data_align = read_sleb(&r);
    uint64_t ra = version == 1 ? read_fixed(&r, 1) : read_uleb(&r);
    ret->has_augmentation = augmentation[0] == 'z';
    if (r.bad || ra != REG_RA || (augmentation[0] != '\0' && !ret->has_augmentation) ||
        ret->code_align > 16 || ret->data_align > 64 || ret->data_align < -64) {
        return false;
    }
    if (ret->has_augmentation && !read_augmentation(&r, augmentation, ret)) {
        return false;
    }
    if (r.end - r.at > CIE_PROGRAM_MAX) {
        return false;
    }
    ret->program = r.at;
    ret->program_end = r.end;
    ret->usable = true;
    return true;
}

static bool read_fde(build *b, reader r, const cie *c)
{
    uint64_t begin = read_pointer(&r, c->pointer_encoding);
    uint64_t length = read_pointer(&r, c->pointer_encoding & 0x0f);
    if (c->has_augmentation) {
        uint64_t size = read_uleb(&r);
        if (r.bad || size > (uint64_t)(r.end - r.at)) {
            return false;
        }
        r.at += size;
    }
    if (r.bad || length == 0 || begin < b->cfi->base || begin + length < begin) {
        return false;
    }
    size_t before = b->cfi->rows.count;
    program p = {.r = {.at = c->program, .end = c->program_end},
                 .s = {.rbp_offset = PROF_CFI_RBP_SAME},
                 .pc = begin};
    bool good = run(b, &p, c);
    p.first = p.s;
    p.r = (reader){.at = r.at, .end = r.end};
    p.saved_count = 0;
    p.emits = true;
    good = good && run(b, &p, c);
    if (!good || p.pc - begin > length) {
        b->cfi->rows.count = before;
        return false;
    }
    emit(b, p.pc, &p.s, c);
    emit(b, begin + length, &(state){.odd = true}, &(cie){0});
    return true;
}

static const cie *cie_at(build *b, uint64_t at)
{
    if (b->last_cie.usable && b->last_cie_at == at) {
        return &b->last_cie;
    }
    b->last_cie = (cie){0};
    if (at > b->size || b->size - at < 8) {
        return NULL;
    }
    reader r = {.at = b->bytes + at, .end = b->bytes + b->size};
    uint64_t length = read_fixed(&r, 4);
    if (length < 4 || length > (uint64_t)(r.end - r.at)) {
        return NULL;
    }
    r.end = r.at + length;
    if (read_fixed(&r, 4) != 0 || !read_cie(r, &b->last_cie)) {
        return NULL;
    }
    b->last_cie_at = at;
    return &b->last_cie;
}

static void read_entries(build *b)
{
    size_t at = 0;
    while (b->size - at >= 4 && b->err == BRISK_OK) {
        reader r = {.at = b->bytes + at,
                    .end = b->bytes + b->size,
                    .start = b->bytes,
                    .address = b->address};
        uint64_t length = read_fixed(&r, 4);
        if (length == 0) {
            at += 4; /* an end in the middle: several objects were put together */
            continue;
        }
        if (length < 4 || length > (uint64_t)(r.end - r.at)) {
            b->cfi->bad++; /* 64-bit lengths are not used */
            return;
        }
        r.end = r.at + length;
        uint64_t id_at = (uint64_t)(r.at - b->bytes);
        uint64_t id = read_fixed(&r, 4);
        if (id != 0) {
            const cie *c = id <= id_at ? cie_at(b, id_at - id) : NULL;
            if (c == NULL || !read_fde(b, r, c)) {
                b->cfi->bad++;
            }
        }
        at = (size_t)(r.end - b->bytes);
    }
}

/* --- the table ------------------------------------------------------------------------------ */

static int compare(const void *a, const void *b)
{
    const prof_cfi_row *x = a;
    const prof_cfi_row *y = b;
    if (x->from != y->from) {
        return x->from < y->from ? -1 : 1;
    }
    return (x->kind != PROF_CFI_NONE) - (y->kind != PROF_CFI_NONE);
}

static void sort(prof_cfi *cfi)
{
    bool sorted = true;
    for (size_t i = 1; i < cfi->rows.count && sorted; i++) {
        sorted = compare(&cfi->rows.items[i - 1], &cfi->rows.items[i]) <= 0;
    }
    if (!sorted) {
        qsort(cfi->rows.items, cfi->rows.count, sizeof *cfi->rows.items, compare);
    }
    size_t kept = 0;
    for (size_t i = 0; i < cfi->rows.count; i++) {
        if (kept > 0 && cfi->rows.items[kept - 1].from == cfi->rows.items[i].from) {
            kept--; /* the last of an address stays */
        }
        cfi->rows.items[kept++] = cfi->rows.items[i];
    }
    cfi->rows.count = kept;
}

brisk_err prof_cfi_build(const unsigned char *bytes, size_t size, uint64_t address,
                         const brisk_alloc *alloc, prof_cfi *ret)
{
    prof_cfi cfi = {.rows = BRISK_VEC_INIT(alloc)};
    /* Rows hold 32 bits from here on; code lies within 2 GiB of the section on both sides. */
    cfi.base = address > (UINT64_C(1) << 31) ? address - (UINT64_C(1) << 31) : 0;
    build b = {.cfi = &cfi, .bytes = bytes, .size = size, .address = address};
    read_entries(&b);
    if (b.err != BRISK_OK) {
        prof_cfi_deinit(&cfi);
        return b.err;
    }
    sort(&cfi);
    *ret = cfi;
    return BRISK_OK;
}

void prof_cfi_deinit(prof_cfi *cfi)
{
    if (cfi->rows.alloc != NULL) {
        BRISK_VEC_DEINIT(&cfi->rows);
    }
}

const prof_cfi_row *prof_cfi_find(const prof_cfi *cfi, uint64_t address)
{
    static const prof_cfi_row none = {.kind = PROF_CFI_NONE};
    uint64_t wanted = address - cfi->base;
    size_t low = 0;
    size_t high = cfi->rows.count;
    if (address < cfi->base || wanted > UINT32_MAX) {
        return &none;
    }
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (cfi->rows.items[middle].from <= wanted) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low > 0 ? &cfi->rows.items[low - 1] : &none;
}
