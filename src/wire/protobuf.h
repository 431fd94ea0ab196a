/*
 * protobuf.h -- protocol buffers by hand: varints, fixed words and length-delimited fields.
 *
 * Enough for pprof and OTLP, whose messages are small and known; no schema, no generated code.  A
 * writer appends to a brisk_str, which keeps the first failure.  A reader walks the fields of one
 * message in hostile bytes: it never goes beyond its end, and a field it gives lies within.
 *
 * Source: protobuf.dev/programming-guides/encoding.  Threads: one at a time for each object.
 */
#ifndef BRISK_SRC_WIRE_PROTOBUF_H
#define BRISK_SRC_WIRE_PROTOBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <brisk/err.h>

#include "base/str.h"

/* --- writing -------------------------------------------------------------------------------- */

void wire_pb_varint(brisk_str *out, uint64_t value);
/* A field of type uint64, int64 (as its bits), bool or enum; 0 is the default and not written. */
void wire_pb_u64(brisk_str *out, uint32_t field, uint64_t value);
/* A string, bytes, a message or packed numbers. */
void wire_pb_bytes(brisk_str *out, uint32_t field, const void *data, size_t size);

/* --- reading -------------------------------------------------------------------------------- */

typedef enum wire_pb_type {
    WIRE_PB_VARINT = 0,
    WIRE_PB_FIXED64 = 1,
    WIRE_PB_BYTES = 2,
    WIRE_PB_FIXED32 = 5,
} wire_pb_type;

typedef struct wire_pb_reader {
    const unsigned char *at;
    const unsigned char *end;
} wire_pb_reader;

typedef struct wire_pb_field {
    uint32_t number;
    wire_pb_type type;
    uint64_t value;            /* of the numbers */
    const unsigned char *data; /* of WIRE_PB_BYTES */
    size_t size;
} wire_pb_field;

/* Errors: NOT_FOUND (the message ends), CORRUPT. */
BRISK_NODISCARD brisk_err wire_pb_next(wire_pb_reader *reader, wire_pb_field *ret);
/* One number of a packed list.  Errors: NOT_FOUND, CORRUPT. */
BRISK_NODISCARD brisk_err wire_pb_next_varint(wire_pb_reader *reader, uint64_t *ret);

#endif /* BRISK_SRC_WIRE_PROTOBUF_H */
