/*
 * protobuf.c -- the encoding behind protobuf.h.
 */
#include "wire/protobuf.h"

#include <string.h>

enum { VARINT_BYTES_MAX = 10 };

void wire_pb_varint(brisk_str *out, uint64_t value)
{
    char bytes[VARINT_BYTES_MAX];
    size_t size = 0;
    while (value >= 0x80) {
        bytes[size++] = (char)((value & 0x7f) | 0x80);
        value >>= 7;
    }
    bytes[size++] = (char)value;
    brisk_str_append(out, bytes, size);
}

void wire_pb_u64(brisk_str *out, uint32_t field, uint64_t value)
{
    if (value != 0) {
        wire_pb_varint(out, ((uint64_t)field << 3) | WIRE_PB_VARINT);
        wire_pb_varint(out, value);
    }
}

void wire_pb_bytes(brisk_str *out, uint32_t field, const void *data, size_t size)
{
    wire_pb_varint(out, ((uint64_t)field << 3) | WIRE_PB_BYTES);
    wire_pb_varint(out, size);
    brisk_str_append(out, data, size);
}

brisk_err wire_pb_next_varint(wire_pb_reader *reader, uint64_t *ret)
{
    uint64_t value = 0;
    if (reader->at == reader->end) {
        return BRISK_ERR_NOT_FOUND;
    }
    for (uint32_t shift = 0; shift < 64 && reader->at < reader->end; shift += 7) {
        uint8_t byte = *reader->at++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) {
            *ret = value;
            return BRISK_OK;
        }
    }
    return BRISK_ERR_CORRUPT;
}

static brisk_err read_fixed(wire_pb_reader *reader, size_t size, uint64_t *ret)
{
    uint64_t value = 0;
    if ((size_t)(reader->end - reader->at) < size) {
        return BRISK_ERR_CORRUPT;
    }
    memcpy(&value, reader->at, size); /* little-endian, as this machine */
    reader->at += size;
    *ret = value;
    return BRISK_OK;
}

brisk_err wire_pb_next(wire_pb_reader *reader, wire_pb_field *ret)
{
    uint64_t key;
    brisk_err err = wire_pb_next_varint(reader, &key);
    if (err != BRISK_OK) {
        return err;
    }
    if (key >> 3 == 0 || key >> 3 > 0x1fffffff) {
        return BRISK_ERR_CORRUPT;
    }
    *ret = (wire_pb_field){.number = (uint32_t)(key >> 3), .type = (wire_pb_type)(key & 7)};
    switch (key & 7) {
    case WIRE_PB_VARINT: err = wire_pb_next_varint(reader, &ret->value); break;
    case WIRE_PB_FIXED64: err = read_fixed(reader, 8, &ret->value); break;
    case WIRE_PB_FIXED32: err = read_fixed(reader, 4, &ret->value); break;
    case WIRE_PB_BYTES: {
        uint64_t size = 0;
        err = wire_pb_next_varint(reader, &size);
        if (err == BRISK_OK && size > (uint64_t)(reader->end - reader->at)) {
            err = BRISK_ERR_CORRUPT;
        }
        if (err == BRISK_OK) {
            ret->data = reader->at;
            ret->size = (size_t)size;
            reader->at += size;
        }
        break;
    }
    default: return BRISK_ERR_CORRUPT; /* groups are of another age */
    }
    return err == BRISK_ERR_NOT_FOUND ? BRISK_ERR_CORRUPT : err;
}
