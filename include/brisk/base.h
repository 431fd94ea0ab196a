/*
 * brisk/base.h -- the compiler-facing macros every public header needs, and nothing else.
 *
 * Public headers are plain C11 and also compile as C++17; all compiler detection lives here.
 */
#ifndef BRISK_BASE_H
#define BRISK_BASE_H

#ifdef __cplusplus
#    define BRISK_BEGIN_DECLS extern "C" {
#    define BRISK_END_DECLS   }
#else
#    define BRISK_BEGIN_DECLS
#    define BRISK_END_DECLS
#endif

#if defined(__GNUC__)
#    define BRISK_API          __attribute__((visibility("default")))
#    define BRISK_NODISCARD    __attribute__((warn_unused_result))
#    define BRISK_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#    define BRISK_API
#    define BRISK_NODISCARD
#    define BRISK_PRINTF(f, a)
#endif

#endif /* BRISK_BASE_H */
