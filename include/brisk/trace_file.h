/*
 * brisk/trace_file.h -- reading recorded requests, whatever they were recorded with.
 *
 *     BRISK_TRACE_ORACLE_GENERAL  libCacheSim's: 24 bytes a request (time, id, size, next), little endian
 *     BRISK_TRACE_ARC             lines "first count ignored number": `count` blocks from `first` on
 *     BRISK_TRACE_LIRS            lines with a number; lines with '*' are marks and skipped
 *     BRISK_TRACE_RECORDING       our own, see brisk/record.h: its gets; not compressed once more
 *     BRISK_TRACE_PLAIN           lines "key" or "key size", separated by blanks or a comma
 *
 * Files may be compressed with zstd.  Empty lines and lines that begin with '#' are skipped in the
 * text formats.  A file is read as a stream and never believed: every error names the file and the
 * line, or the offset.
 *
 * Threads: one at a time for each file.
 */
#ifndef BRISK_TRACE_FILE_H
#define BRISK_TRACE_FILE_H

#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/base.h>
#include <brisk/err.h>

BRISK_BEGIN_DECLS

typedef enum brisk_trace_format {
    BRISK_TRACE_AUTO, /**< By content. */
    BRISK_TRACE_ORACLE_GENERAL,
    BRISK_TRACE_ARC,
    BRISK_TRACE_LIRS,
    BRISK_TRACE_PLAIN,
    BRISK_TRACE_RECORDING,
} brisk_trace_format;

typedef struct brisk_trace_request {
    uint64_t key;  /**< Hash of the key. */
    uint64_t size; /**< Bytes; 0 when the format does not say. */
} brisk_trace_request;

typedef struct brisk_trace_file brisk_trace_file;

/** "auto", "oracleGeneral", "arc", "lirs", "plain", "recording"; INVALID for others. */
BRISK_API BRISK_NODISCARD brisk_err brisk_trace_format_parse(const char *name,
                                                             brisk_trace_format *ret);
BRISK_API const char *brisk_trace_format_name(brisk_trace_format format);

/** Errors: those of opening and reading; CORRUPT; NOMEM; with `info`. */
BRISK_API BRISK_NODISCARD brisk_err brisk_trace_file_open(const char *path,
                                                          brisk_trace_format format,
                                                          const brisk_alloc *alloc,
                                                          brisk_trace_file **ret,
                                                          brisk_errinfo *info);
/** Likewise from bytes that stay where they are; `name` is for error texts. */
BRISK_API BRISK_NODISCARD brisk_err brisk_trace_file_of_bytes(const void *bytes, uint64_t size,
                                                              const char *name,
                                                              brisk_trace_format format,
                                                              brisk_trace_file **ret,
                                                              brisk_errinfo *info);
BRISK_API void brisk_trace_file_close(brisk_trace_file *file); /**< NULL is accepted. */
/** The format that was found. */
BRISK_API brisk_trace_format brisk_trace_file_format(const brisk_trace_file *file);
/** The next request; NOT_FOUND at the end.  Errors: IO, CORRUPT, LIMIT (a line too long). */
BRISK_API BRISK_NODISCARD brisk_err brisk_trace_file_next(brisk_trace_file *file,
                                                          brisk_trace_request *ret,
                                                          brisk_errinfo *info);
/** Bytes of the file that were read, and all of them (0: unknown). */
BRISK_API void brisk_trace_file_progress(const brisk_trace_file *file, uint64_t *ret_read,
                                         uint64_t *ret_all);

BRISK_END_DECLS

#endif /* BRISK_TRACE_FILE_H */
