/*
 * hash.c -- XXH3 behind <brisk/hash.h>, and the key builder.
 *
 * XXH_INLINE_ALL compiles xxHash into this file alone: no symbol of it leaves, and the streaming
 * state can live in the caller's storage.  XXH3 wants that state on a 64-byte boundary, which a
 * byte array does not promise, so the state stands at the first such boundary inside opaque[].
 * (One state serves both widths: XXH3 builds the 64 and 128-bit result from the same lanes.)
 *
 * A key is a version byte and then fields, each
 *
 *     type:1  name_size:4  name  value_size:8  value          (little-endian)
 *
 * The namespace is the first field, of type 'n' and without name.  Every part is preceded by its
 * size, so the bytes can be read back in one way only: different field lists, different bytes.
 */
#include <assert.h>
#include <stdbool.h>
#include <string.h>

#define XXH_INLINE_ALL
#define XXH_NO_STDLIB /* no XXH3_createState: nothing here may allocate */
#include <xxhash.h>

#include <brisk/hash.h>

#include "base/assert.h"
#include "base/hash_wide.h"

enum {
    STATE_ALIGN = 64,
    KEY_FORMAT_VERSION = 1,
    KEY_BYTES_FIRST = 256, /* most job keys fit, so that one allocation is enough */
};

static_assert(sizeof(XXH3_state_t) + STATE_ALIGN - 1 <= sizeof(brisk_hasher),
              "the state must fit wherever the boundary falls");

uint64_t brisk_hash64(const void *data, size_t size, uint64_t seed)
{
    if (size >= HASH_WIDE_MIN && hash_wide_exists()) {
        return hash_wide_64(data, size, seed);
    }
    return XXH3_64bits_withSeed(data, size, seed);
}

brisk_hash128 brisk_hash128_of(const void *data, size_t size, uint64_t seed)
{
    if (size >= HASH_WIDE_MIN && hash_wide_exists()) {
        return hash_wide_128(data, size, seed);
    }
    XXH128_hash_t hash = XXH3_128bits_withSeed(data, size, seed);
    return (brisk_hash128){.lo = hash.low64, .hi = hash.high64};
}

static size_t state_offset(const brisk_hasher *hasher)
{
    return (size_t)(-(uintptr_t)hasher->opaque & (STATE_ALIGN - 1));
}

static XXH3_state_t *state_of(brisk_hasher *hasher)
{
    return __builtin_assume_aligned(hasher->opaque + state_offset(hasher), STATE_ALIGN);
}

static const XXH3_state_t *state_of_const(const brisk_hasher *hasher)
{
    return __builtin_assume_aligned(hasher->opaque + state_offset(hasher), STATE_ALIGN);
}

void brisk_hasher_init(brisk_hasher *hasher, uint64_t seed)
{
    XXH3_state_t *state = state_of(hasher);
    XXH3_INITSTATE(state); /* a reset compares its seed with the one it finds */
    XXH_errorcode failed = XXH3_128bits_reset_withSeed(state, seed);
    BRISK_ASSERT(failed == XXH_OK);
}

void brisk_hasher_update(brisk_hasher *hasher, const void *data, size_t size)
{
    if (size == 0) {
        return; /* NULL with size 0 is fine for us, not for XXH3 */
    }
    XXH_errorcode failed = XXH3_128bits_update(state_of(hasher), data, size);
    BRISK_ASSERT(failed == XXH_OK);
}

uint64_t brisk_hasher_digest64(const brisk_hasher *hasher)
{
    return XXH3_64bits_digest(state_of_const(hasher));
}

brisk_hash128 brisk_hasher_digest128(const brisk_hasher *hasher)
{
    XXH128_hash_t hash = XXH3_128bits_digest(state_of_const(hasher));
    return (brisk_hash128){.lo = hash.low64, .hi = hash.high64};
}

brisk_key brisk_key_of(const void *bytes, size_t size)
{
    BRISK_ASSERT(bytes != NULL);
    BRISK_ASSERT(size >= 1);
    BRISK_ASSERT(size <= BRISK_KEY_BYTES_MAX);
    return (brisk_key){.bytes = bytes, .size = size, .hash = brisk_hash128_of(bytes, size, 0)};
}

/* Make room for `more` bytes, or keep the error. */
static bool key_reserve(brisk_key_builder *builder, size_t more)
{
    if (builder->err_ != BRISK_OK) {
        return false;
    }
    if (more > BRISK_KEY_BYTES_MAX - builder->size_) {
        builder->err_ = BRISK_ERR_LIMIT;
        return false;
    }
    size_t wanted = builder->size_ + more;
    if (wanted <= builder->capacity_) {
        return true;
    }
    size_t capacity = builder->capacity_ != 0 ? builder->capacity_ : KEY_BYTES_FIRST;
    while (capacity < wanted) {
        capacity *= 2;
    }
    const brisk_alloc *alloc = builder->alloc_;
    unsigned char *bytes = alloc->acquire(alloc->ctx, capacity, 1);
    if (bytes == NULL) {
        builder->err_ = BRISK_ERR_NOMEM;
        return false;
    }
    if (builder->bytes_ != NULL) {
        memcpy(bytes, builder->bytes_, builder->size_);
        alloc->release(alloc->ctx, builder->bytes_, builder->capacity_, 1);
    }
    builder->bytes_ = bytes;
    builder->capacity_ = capacity;
    return true;
}

static void key_put(brisk_key_builder *builder, const void *data, size_t size)
{
    if (size != 0) {
        memcpy(builder->bytes_ + builder->size_, data, size);
        builder->size_ += size;
    }
}

static void key_put_number(brisk_key_builder *builder, uint64_t value, size_t width)
{
    for (size_t i = 0; i < width; i++) {
        builder->bytes_[builder->size_++] = (unsigned char)(value >> (8 * i));
    }
}

static void key_field(brisk_key_builder *builder, char type, const char *field, const void *data,
                      size_t size)
{
    enum { FRAME_BYTES = 1 + 4 + 8 };
    BRISK_ASSERT(field != NULL);
    size_t field_size = strlen(field);
    if (field_size > BRISK_KEY_BYTES_MAX || size > BRISK_KEY_BYTES_MAX) {
        builder->err_ = builder->err_ != BRISK_OK ? builder->err_ : BRISK_ERR_LIMIT;
        return;
    }
    if (!key_reserve(builder, FRAME_BYTES + field_size + size)) {
        return;
    }
    builder->bytes_[builder->size_++] = (unsigned char)type;
    key_put_number(builder, field_size, 4);
    key_put(builder, field, field_size);
    key_put_number(builder, size, 8);
    key_put(builder, data, size);
}

void brisk_key_builder_init(brisk_key_builder *builder, const brisk_alloc *alloc,
                            const char *name_space)
{
    BRISK_ASSERT(name_space != NULL);
    *builder = (brisk_key_builder){.alloc_ = alloc != NULL ? alloc : brisk_alloc_libc()};
    if (key_reserve(builder, 1)) {
        builder->bytes_[builder->size_++] = KEY_FORMAT_VERSION;
    }
    key_field(builder, 'n', "", name_space, strlen(name_space));
}

void brisk_key_builder_deinit(brisk_key_builder *builder)
{
    if (builder->bytes_ != NULL) {
        builder->alloc_->release(builder->alloc_->ctx, builder->bytes_, builder->capacity_, 1);
    }
    *builder = (brisk_key_builder){.alloc_ = builder->alloc_, .err_ = BRISK_ERR_INVALID};
}

static void store_u64(unsigned char *to, uint64_t value)
{
    for (size_t i = 0; i < 8; i++) {
        to[i] = (unsigned char)(value >> (8 * i));
    }
}

void brisk_key_u64(brisk_key_builder *builder, const char *field, uint64_t value)
{
    unsigned char bytes[8];
    store_u64(bytes, value);
    key_field(builder, 'u', field, bytes, sizeof bytes);
}

void brisk_key_str(brisk_key_builder *builder, const char *field, const char *value)
{
    if (value == NULL) {
        key_field(builder, 'z', field, NULL, 0);
    } else {
        key_field(builder, 's', field, value, strlen(value));
    }
}

void brisk_key_bytes(brisk_key_builder *builder, const char *field, const void *data, size_t size)
{
    key_field(builder, 'b', field, data, size);
}

void brisk_key_content(brisk_key_builder *builder, const char *field, brisk_hash128 hash,
                       uint64_t size)
{
    unsigned char bytes[24];
    store_u64(bytes, hash.lo);
    store_u64(bytes + 8, hash.hi);
    store_u64(bytes + 16, size);
    key_field(builder, 'c', field, bytes, sizeof bytes);
}

brisk_err brisk_key_builder_finish(const brisk_key_builder *builder, brisk_key *ret)
{
    if (builder->err_ != BRISK_OK) {
        return builder->err_;
    }
    *ret = brisk_key_of(builder->bytes_, builder->size_);
    return BRISK_OK;
}
