/*
 * json_read.h -- JSON of others, one event after another: no tree, nothing allocated.
 *
 *     json_reader r;
 *     json_reader_init(&r, data, size);
 *     while ((event = json_next(&r)) > JSON_END) { ... r.key, r.text, r.number, r.depth ... }
 *
 * Strict RFC 8259, except that a text longer than its buffer is cut.  After JSON_BAD nothing more is
 * read; r.at says where.
 */
#ifndef BRISK_SRC_OBSERVE_IMPORT_JSON_READ_H
#define BRISK_SRC_OBSERVE_IMPORT_JSON_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { JSON_TEXT_MAX = 1024, JSON_DEPTH = 32 };

typedef enum json_event {
    JSON_BAD = 0,
    JSON_END, /* of the document */
    JSON_OBJECT,
    JSON_OBJECT_END,
    JSON_ARRAY,
    JSON_ARRAY_END,
    JSON_STRING, /* r.text */
    JSON_NUMBER, /* r.number, finite */
    JSON_TRUE,
    JSON_FALSE,
    JSON_NULL,
} json_event;

typedef struct json_reader {
    const char *data;
    size_t size;
    size_t at;
    uint32_t depth;       /* of open collections, this event's own included */
    uint32_t object_bits; /* bit i: level i + 1 is an object */
    bool done;            /* the document's value is read */
    bool first;           /* in the innermost collection */
    double number;
    char key[JSON_TEXT_MAX]; /* of the event's member; "" in an array */
    char text[JSON_TEXT_MAX];
} json_reader;

void json_reader_init(json_reader *r, const char *data, size_t size);
json_event json_next(json_reader *r);
/* After JSON_OBJECT or JSON_ARRAY: to its end.  False when the document is bad. */
bool json_skip(json_reader *r, json_event event);

#endif /* BRISK_SRC_OBSERVE_IMPORT_JSON_READ_H */
