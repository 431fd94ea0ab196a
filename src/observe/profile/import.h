/*
 * import.h -- profiles that others (or we) have written.
 *
 *     pprof          protocol buffer, plain or in gzip; also gperftools' binary CPU profiles
 *     perf.data      as `perf record` writes it, not compressed, not from a pipe
 *     perf script    its text, with stacks
 *     collapsed      "outer;inner VALUE" lines
 *
 * All of it is hostile.  What the format is, is found out from the bytes.
 */
#ifndef BRISK_SRC_OBSERVE_PROFILE_IMPORT_H
#define BRISK_SRC_OBSERVE_PROFILE_IMPORT_H

#include <stddef.h>

#include "observe/profile/model.h"

#define PROF_IMPORT_BYTES_MAX (UINT64_C(1) << 30)

typedef struct prof_bytes {
    const unsigned char *data;
    size_t size;
    const char *name; /* for messages */
} prof_bytes;

/* Errors: CORRUPT, UNSUPPORTED, LIMIT (`info` names file and line or offset), NOMEM. */
BRISK_NODISCARD brisk_err prof_import(prof_bytes bytes, const brisk_alloc *alloc, prof_model **ret,
                                      brisk_errinfo *info);
/* Likewise; and those of opening a file. */
BRISK_NODISCARD brisk_err prof_import_file(const char *path, const brisk_alloc *alloc,
                                           prof_model **ret, brisk_errinfo *info);

/* Each adds to an empty model. */
BRISK_NODISCARD brisk_err prof_import_pprof(prof_bytes bytes, prof_model *model,
                                            brisk_errinfo *info);
BRISK_NODISCARD brisk_err prof_import_gperftools(prof_bytes bytes, prof_model *model,
                                                 brisk_errinfo *info);
BRISK_NODISCARD brisk_err prof_import_perf_script(prof_bytes bytes, prof_model *model,
                                                  brisk_errinfo *info);
BRISK_NODISCARD brisk_err prof_import_collapsed(prof_bytes bytes, prof_model *model,
                                                brisk_errinfo *info);
/* `files`: look for symbols in the files that it names. */
BRISK_NODISCARD brisk_err prof_import_perf_data(prof_bytes bytes, bool files,
                                                const brisk_alloc *alloc, prof_model **ret,
                                                brisk_errinfo *info);

#endif /* BRISK_SRC_OBSERVE_PROFILE_IMPORT_H */
