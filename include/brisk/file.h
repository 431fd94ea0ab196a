/*
 * brisk/file.h -- the file primitives: read-only views, atomic replacement, copying.
 *
 * A view is a private, read-only mapping of a regular file, or a heap copy of something that
 * cannot be mapped.  A replacement is a temporary file beside its target that becomes the target
 * by rename, or disappears; a crash leaves the old target or the new one, never a part.
 *
 * Threads: an object belongs to one thread at a time.
 */
#ifndef BRISK_FILE_H
#define BRISK_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/base.h>
#include <brisk/err.h>

BRISK_BEGIN_DECLS

/** A file's bytes.  `dev`/`ino` identify it, to notice that two paths are one file. */
typedef struct brisk_file_view {
    const unsigned char *data; /**< Never NULL; points at a static byte when size is 0. */
    size_t size;
    uint64_t dev;
    uint64_t ino;
    void *map_; /* mapping, or NULL */
} brisk_file_view;

/**
 * Map `path` read-only.  Do not let others shrink the file meanwhile: reading a page that is gone
 * is a SIGBUS.  Only regular files are accepted, a FIFO is refused without blocking.
 * Errors (`info` names the path): NOT_FOUND, PERMISSION, IO, INVALID (not a regular file),
 * LIMIT (larger than `size_max`), NOMEM.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_file_view_open(const char *path, uint64_t size_max,
                                                         brisk_file_view *ret, brisk_errinfo *info);
/** Release the view.  A zeroed view is accepted. */
BRISK_API void brisk_file_view_close(brisk_file_view *view);

typedef struct brisk_file_replace brisk_file_replace;

/**
 * Start to replace `path`: an unlinked or hidden temporary file in the same folder, mode as the
 * existing target's or 0666 less the umask, owner kept where allowed.  A symbolic link is
 * followed: what it names is replaced.  The caller owns *ret.
 * Errors (`info` names the path): NOT_FOUND (folder), PERMISSION, IO, FULL, NOMEM, INVALID (the
 * target exists and is not a regular file).
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_file_replace_open(const char *path,
                                                            const brisk_alloc *alloc,
                                                            brisk_file_replace **ret,
                                                            brisk_errinfo *info);
/** The temporary file, open for reading and writing at offset 0; owned by the replacement. */
BRISK_API int brisk_file_replace_fd(const brisk_file_replace *replace);
/**
 * Make it the target: optional fsync of file and folder, then rename.  On success and on failure
 * the replacement is closed and freed.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_file_replace_commit(brisk_file_replace *replace,
                                                              bool sync, brisk_errinfo *info);
/** Forget it; the target stays as it was.  NULL is accepted. */
BRISK_API void brisk_file_replace_abort(brisk_file_replace *replace);

/** Write all of `data` at the file's position, restarting after signals.  Errors: IO, FULL. */
BRISK_API BRISK_NODISCARD brisk_err brisk_file_write_all(int fd, const void *data, size_t size);
/** Likewise at `offset`. */
BRISK_API BRISK_NODISCARD brisk_err brisk_file_pwrite_all(int fd, const void *data, size_t size,
                                                          uint64_t offset);
/** Read exactly `size` bytes at `offset`.  Errors: IO, CORRUPT (the file ends before). */
BRISK_API BRISK_NODISCARD brisk_err brisk_file_pread_all(int fd, void *data, size_t size,
                                                         uint64_t offset);

/** How brisk_file_clone moved the bytes. */
typedef enum brisk_file_how {
    BRISK_FILE_REFLINK = 0, /**< FICLONE: no bytes moved. */
    BRISK_FILE_COPY_RANGE,  /**< copy_file_range(2). */
    BRISK_FILE_READ_WRITE,  /**< A loop of read and write. */
    BRISK_FILE_MAPPED,      /**< Written from a mapping of the source. */
} brisk_file_how;

BRISK_API const char *brisk_file_how_name(brisk_file_how how);

/**
 * Copy `size` bytes of `src_fd` from offset 0 to the start of the empty file `dst_fd` by the
 * cheapest way that the file systems allow, and say which (`how` may be NULL).
 * Errors: IO, FULL, CORRUPT (source shorter than `size`).
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_file_clone(int src_fd, int dst_fd, uint64_t size,
                                                     brisk_file_how *how);

/** Create a folder and its parents with mode 0700.  Existing is fine.  Errors: as for open(2). */
BRISK_API BRISK_NODISCARD brisk_err brisk_file_make_dirs(const char *path, brisk_errinfo *info);

BRISK_END_DECLS

#endif /* BRISK_FILE_H */
