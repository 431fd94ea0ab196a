/*
 * multipart.h -- the parts of a multipart/form-data body, where they lie.
 *
 * Nothing is copied but names and types.  Strict about what decides where a part ends: every delimiter
 * stands at the beginning of a line, the last one is closed, nothing but white space follows it, each
 * part has a name and none has the name of another.
 *
 * Threads: no state.  Sources: RFC 2046 5.1 (delimiters), RFC 7578 (form-data).
 */
#ifndef BRISK_SRC_DAEMON_API_MULTIPART_H
#define BRISK_SRC_DAEMON_API_MULTIPART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <brisk/arena.h>
#include <brisk/err.h>
#include <brisk/form.h>

enum { MULTIPART_PARTS_MAX = 1024, MULTIPART_BOUNDARY_MAX = 70, MULTIPART_HEAD_MAX = 4096 };

/*
 * `type` is the Content-Type.  The boundary into `ret` (terminated); false: it is not
 * multipart/form-data, or has no boundary of 1 .. MULTIPART_BOUNDARY_MAX characters that may be in one.
 */
bool multipart_boundary(const char *type, size_t size, char ret[MULTIPART_BOUNDARY_MAX + 1]);
/*
 * Parts whose data points into `body`; names and types live in `arena`.
 * Errors (`info` says which part): INVALID, LIMIT, NOMEM.
 */
BRISK_NODISCARD brisk_err multipart_read(const char *boundary, const char *body, size_t size,
                                         brisk_arena *arena, brisk_form_part **ret,
                                         uint32_t *ret_count, brisk_errinfo *info);

#endif /* BRISK_SRC_DAEMON_API_MULTIPART_H */
