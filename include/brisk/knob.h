/*
 * brisk/knob.h -- settings with name, unit and range in one registry, and where they come from.
 *
 * A knob's name is dotted ("cache.disk.bytes").  Its value is set by flag, environment
 * (BRISK_CACHE_DISK_BYTES), project file (brisk.yaml), user file, system file, in this
 * precedence: a weaker source never overrides a stronger one.  The registry is the only way by
 * which tuning touches a module.
 *
 * Threads: reads and writes of values are safe from any thread; registration comes first.
 */
#ifndef BRISK_KNOB_H
#define BRISK_KNOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/base.h>
#include <brisk/err.h>
#include <brisk/yaml.h>

BRISK_BEGIN_DECLS

typedef enum brisk_knob_type {
    BRISK_KNOB_U64 = 0,  /**< A plain number. */
    BRISK_KNOB_BYTES,    /**< "64MiB", "4GB", "123". */
    BRISK_KNOB_DURATION, /**< Nanoseconds; "10s", "1.5ms", "2h". */
    BRISK_KNOB_BOOL,     /**< true/false, yes/no, on/off, 1/0; kept as 1 or 0. */
    BRISK_KNOB_TEXT,     /**< A string of at most BRISK_KNOB_TEXT_MAX - 1 bytes. */
    /**
     * A list or a mapping: nested YAML of a file, or a text of YAML from elsewhere.  Its text is
     * flow style of at most BRISK_KNOB_YAML_MAX - 1 bytes; "" when nothing was given.
     */
    BRISK_KNOB_YAML,
} brisk_knob_type;

typedef enum brisk_knob_source {
    BRISK_KNOB_DEFAULT = 0,
    BRISK_KNOB_SYSTEM_FILE,
    BRISK_KNOB_USER_FILE,
    BRISK_KNOB_PROJECT_FILE,
    BRISK_KNOB_ENVIRONMENT,
    BRISK_KNOB_FLAG,
} brisk_knob_source;

enum { BRISK_KNOB_TEXT_MAX = 4096, BRISK_KNOB_YAML_MAX = 65536 };

/** A declaration; static data of the module that owns the knob. */
typedef struct brisk_knob {
    const char *name;
    const char *summary; /**< One phrase, no full stop. */
    brisk_knob_type type;
    uint64_t min; /**< Numbers only; inclusive. */
    uint64_t max; /**< 0 means none. */
    uint64_t def;
    const char *def_text; /**< TEXT and YAML only; NULL means "". */
    /** Called after a change, under the registry's lock; may be NULL.  Must not use the registry. */
    void (*changed)(const struct brisk_knob *knob, uint64_t value, const char *text);
} brisk_knob;

typedef struct brisk_knobs brisk_knobs;

BRISK_API BRISK_NODISCARD brisk_err brisk_knobs_create(const brisk_alloc *alloc, brisk_knobs **ret);
BRISK_API void brisk_knobs_destroy(brisk_knobs *knobs);
/**
 * Add `count` knobs; the array is borrowed for the registry's life.  The environment is read for
 * each.  Errors: NOMEM; CONFLICT (name taken by another declaration; the same array again is
 * fine); INVALID, LIMIT (an environment variable does not parse or is out of range: `info` names
 * it; or a declaration is wrong).  On failure none of the array is registered.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_knobs_register(brisk_knobs *knobs,
                                                         const brisk_knob *array, size_t count,
                                                         brisk_errinfo *info);
/** The declaration, or NULL. */
BRISK_API const brisk_knob *brisk_knobs_find(const brisk_knobs *knobs, const char *name);
/** Numeric value; asserts that the knob exists and is a number. */
BRISK_API uint64_t brisk_knobs_u64(const brisk_knobs *knobs, const char *name);
/**
 * Copy of a text value (YAML: in one line) into `buffer`, always terminated, cut to `size`; asserts
 * that the knob exists and is a text.
 */
BRISK_API void brisk_knobs_text(const brisk_knobs *knobs, const char *name, char *buffer,
                                size_t size);
/**
 * Likewise the whole text, of any size: strlen(*ret) + 1 bytes that the caller releases with
 * `alloc` (NULL: libc's).  Errors: NOMEM.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_knobs_text_copy(const brisk_knobs *knobs,
                                                          const char *name,
                                                          const brisk_alloc *alloc, char **ret);
/**
 * The value of a YAML knob as a document that the caller destroys; an empty mapping when nothing
 * was given.  The document's name and its nodes' lines are those of the file that set the knob, so
 * that errors about it can name them.  Errors: NOMEM.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_knobs_yaml(const brisk_knobs *knobs, const char *name,
                                                     const brisk_alloc *alloc, brisk_yaml_doc **ret,
                                                     brisk_errinfo *info);
/** Where the value in force came from. */
BRISK_API brisk_knob_source brisk_knobs_source(const brisk_knobs *knobs, const char *name);
/**
 * Parse `text` and set the knob unless a stronger source has.  Errors: NOT_FOUND (`info` names
 * the nearest knob), INVALID (does not parse), LIMIT (outside min..max, which `info` shows, or too
 * long a text).
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_knobs_set(brisk_knobs *knobs, const char *name,
                                                    const char *text, brisk_knob_source source,
                                                    brisk_errinfo *info);
/** Knob number `index` in name order, or NULL past the end. */
BRISK_API const brisk_knob *brisk_knobs_at(const brisk_knobs *knobs, size_t index);

/**
 * Parse one value as knobs and command-line options do.  M, K, G, T and MiB ... are powers of 1024,
 * MB ... powers of 1000, in any case; decimals are fine ("1.5GiB"); a duration needs its unit.
 * Errors: INVALID.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_knob_parse(brisk_knob_type type, const char *text,
                                                     uint64_t *ret);

/**
 * Apply a YAML file of nested mappings ("cache: {disk: {bytes: 4GiB}}").  A missing file is
 * BRISK_ERR_NOT_FOUND.  Before a key is called unknown, `resolve` (may be NULL) is asked once for
 * its first word, so that a module's knobs can be registered; it returns BRISK_ERR_NOT_FOUND for a
 * word that is no module's.  Errors name file and line; an unknown key is BRISK_ERR_INVALID, so
 * that it cannot be taken for a missing file.  What stands before an error has been applied.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_config_load(
    brisk_knobs *knobs, const char *path, brisk_knob_source source,
    brisk_err (*resolve)(void *ctx, const char *section), void *ctx, brisk_errinfo *info);

BRISK_END_DECLS

#endif /* BRISK_KNOB_H */
