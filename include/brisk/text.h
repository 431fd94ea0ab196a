/*
 * brisk/text.h -- quantities for people, and text from outside made fit for a terminal.
 *
 * Threads: any; nothing is kept.
 */
#ifndef BRISK_TEXT_H
#define BRISK_TEXT_H

#include <stdint.h>

#include <brisk/base.h>

BRISK_BEGIN_DECLS

enum { BRISK_TEXT_SHORT_MAX = 32, BRISK_TEXT_QUOTED_MAX = 160 };

/** "1.234 ms"; four significant digits. */
BRISK_API void brisk_text_duration(char buffer[BRISK_TEXT_SHORT_MAX], double ns);

/** "1.5 MiB". */
BRISK_API void brisk_text_bytes(char buffer[BRISK_TEXT_SHORT_MAX], uint64_t bytes);

/**
 * `text` with what a terminal would obey escaped (control characters, those of C1 in UTF-8 included), and cut when it
 * is long.  Returns `buffer`.
 */
BRISK_API const char *brisk_text_quote(char buffer[BRISK_TEXT_QUOTED_MAX], const char *text);

BRISK_END_DECLS

#endif /* BRISK_TEXT_H */
