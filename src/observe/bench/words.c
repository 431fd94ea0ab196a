/*
 * words.c -- a command line in one string, as words.  No shell, hence no expansion.
 */
#include <string.h>

#include "observe/bench/bench.h"

/** One word at *at into `out`, quotes taken off.  Returns its length, or SIZE_MAX when unclosed. */
static size_t read_word(const char **at, char *out)
{
    size_t used = 0;
    char quote = '\0';
    const char *text = *at;
    for (; *text != '\0' && (quote != '\0' || strchr(" \t\n", *text) == NULL); text++) {
        bool escapes = quote == '\0' || (quote == '"' && (text[1] == '"' || text[1] == '\\'));
        if (*text == '\\' && escapes) {
            text++;
            if (*text == '\0') {
                return SIZE_MAX;
            }
            out[used++] = *text;
        } else if (*text == quote) {
            quote = '\0';
        } else if (quote == '\0' && (*text == '\'' || *text == '"')) {
            quote = *text;
        } else {
            out[used++] = *text;
        }
    }
    *at = text;
    return quote == '\0' ? used : SIZE_MAX;
}

brisk_err bench_split(brisk_arena *arena, const char *text, char ***ret, uint32_t *ret_count)
{
    char **words = brisk_arena_calloc(arena, BENCH_WORDS_MAX + 1, sizeof *words);
    /* A word and its end are never longer than what they were read from and the blank behind. */
    char *out = brisk_arena_alloc(arena, strlen(text) + 1);
    if (words == NULL || out == NULL) {
        return BRISK_ERR_NOMEM;
    }
    uint32_t count = 0;
    for (const char *at = text + strspn(text, " \t\n"); *at != '\0'; at += strspn(at, " \t\n")) {
        if (count == BENCH_WORDS_MAX) {
            return BRISK_ERR_LIMIT;
        }
        size_t length = read_word(&at, out);
        if (length == SIZE_MAX) {
            return BRISK_ERR_INVALID;
        }
        out[length] = '\0';
        words[count++] = out;
        out += length + 1;
    }
    if (count == 0) {
        return BRISK_ERR_INVALID;
    }
    *ret = words;
    *ret_count = count;
    return BRISK_OK;
}

/** Does `word` need quotes to be one word again? */
static bool is_plain(const char *word)
{
    return word[0] != '\0' && strpbrk(word, " \t\n'\"\\") == NULL;
}

/** Bytes of `word` in single quotes, a quote itself as '\''. */
static size_t put_quoted(char *out, const char *word)
{
    size_t used = 0;
    out[used++] = '\'';
    for (; *word != '\0'; word++) {
        if (*word == '\'') {
            memcpy(out + used, "'\\''", 4);
            used += 4;
        } else {
            out[used++] = *word;
        }
    }
    out[used++] = '\'';
    return used;
}

char *bench_join(brisk_arena *arena, char *const *words, uint32_t count)
{
    size_t size = 1;
    for (uint32_t i = 0; i < count; i++) {
        size += 4 * strlen(words[i]) + 3;
    }
    char *text = brisk_arena_alloc(arena, size);
    if (text == NULL) {
        return NULL;
    }
    size_t used = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0) {
            text[used++] = ' ';
        }
        if (is_plain(words[i])) {
            size_t length = strlen(words[i]);
            memcpy(text + used, words[i], length);
            used += length;
        } else {
            used += put_quoted(text + used, words[i]);
        }
    }
    text[used] = '\0';
    return text;
}
