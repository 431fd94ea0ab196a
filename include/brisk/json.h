/*
 * brisk/json.h -- a streaming JSON writer: correct commas, escapes and nesting, no tree.
 *
 * Strings are taken as UTF-8; bytes that are not become U+FFFD.  The writer keeps the first
 * error of its output and does nothing after it; check brisk_json_finish.
 * One thread at a time.
 */
#ifndef BRISK_JSON_H
#define BRISK_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <brisk/base.h>
#include <brisk/err.h>

BRISK_BEGIN_DECLS

enum { BRISK_JSON_DEPTH_MAX = 32 };

/** Where text goes: a file, a buffer.  Returns BRISK_OK or the error that ends the output. */
typedef struct brisk_out {
    brisk_err (*write)(void *ctx, const char *data, size_t size);
    void *ctx;
} brisk_out;

/** Output to a stdio stream; `file` is a FILE *. */
BRISK_API brisk_out brisk_out_file(void *file);

typedef struct brisk_json {
    brisk_out out_;
    brisk_err err_;
    uint32_t depth_;
    uint32_t indent_;
    uint32_t array_bits_;
    uint32_t used_bits_;
} brisk_json;

/** `indent` spaces per level; 0 writes one line. */
BRISK_API void brisk_json_init(brisk_json *json, brisk_out out, uint32_t indent);
/* `key` is the member's name inside an object and must be NULL inside an array and at the top. */
BRISK_API void brisk_json_object_begin(brisk_json *json, const char *key);
BRISK_API void brisk_json_object_end(brisk_json *json);
BRISK_API void brisk_json_array_begin(brisk_json *json, const char *key);
BRISK_API void brisk_json_array_end(brisk_json *json);
BRISK_API void brisk_json_str(brisk_json *json, const char *key, const char *value);
/** Likewise of `size` bytes; those that are 0 are escaped. */
BRISK_API void brisk_json_text(brisk_json *json, const char *key, const char *data, size_t size);
/** A value that is JSON already; it is not looked at, and must not be empty. */
BRISK_API void brisk_json_raw(brisk_json *json, const char *key, const char *data, size_t size);
BRISK_API void brisk_json_u64(brisk_json *json, const char *key, uint64_t value);
BRISK_API void brisk_json_i64(brisk_json *json, const char *key, int64_t value);
/** Not-a-number and infinities become null. */
BRISK_API void brisk_json_double(brisk_json *json, const char *key, double value);
BRISK_API void brisk_json_bool(brisk_json *json, const char *key, bool value);
BRISK_API void brisk_json_null(brisk_json *json, const char *key);
/** Newline at the end, and the first error of the output.  Nesting must be closed. */
BRISK_API BRISK_NODISCARD brisk_err brisk_json_finish(brisk_json *json);

BRISK_END_DECLS

#endif /* BRISK_JSON_H */
