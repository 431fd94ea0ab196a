/*
 * trace_file.c -- four formats behind <brisk/trace_file.h>.
 *
 *     file or bytes --raw--> [zstd] --text window--> lines or records --> requests
 *
 * The window is one buffer of WINDOW bytes: what is unread moves to its front and the rest is
 * filled, so that a line or record is always in one piece; a line that does not fit is an error.
 *
 * Invariant: at <= end <= WINDOW; `offset` is the (decompressed) offset of window[at].
 * Source: formats as written by libCacheSim (oracleGeneral), by the authors of ARC and of LIRS.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <zstd.h>

#include <brisk/hash.h>
#include <brisk/record.h>
#include <brisk/trace_file.h>

#include "base/assert.h"

enum {
    WINDOW = 131072,
    RAW = 65536,
    RECORD = 24, /* of oracleGeneral */
    SNIFF = 4096,
    NAME_MAX_ = 200,
    FIELDS_MAX = 4,
};

static const uint64_t arc_count_max = UINT64_C(1) << 24; /* blocks in one line */

struct brisk_trace_file {
    const brisk_alloc *alloc;
    brisk_trace_format format;
    int fd; /* -1: from bytes */
    const unsigned char *bytes;
    uint64_t bytes_left;
    uint64_t raw_read;
    uint64_t raw_all;
    ZSTD_DStream *zstd;         /* NULL: not compressed */
    brisk_recording *recording; /* NULL: another format; then nothing else is read */
    size_t raw_at, raw_end;
    bool raw_over;   /* the file's end was seen */
    bool frame_open; /* in the middle of a zstd frame */
    bool over;       /* nothing will be added to the window */
    size_t at, end;
    uint64_t offset;
    uint64_t line;
    uint64_t arc_next; /* of the line that is being expanded */
    uint64_t arc_left;
    char name[NAME_MAX_];
    unsigned char raw[RAW];
    unsigned char window[WINDOW];
};

static const char *const format_names[] = {"auto", "oracleGeneral", "arc",
                                           "lirs", "plain",         "recording"};

brisk_err brisk_trace_format_parse(const char *name, brisk_trace_format *ret)
{
    for (size_t i = 0; i < sizeof format_names / sizeof format_names[0]; i++) {
        if (strcmp(name, format_names[i]) == 0) {
            *ret = (brisk_trace_format)i;
            return BRISK_OK;
        }
    }
    return BRISK_ERR_INVALID;
}

const char *brisk_trace_format_name(brisk_trace_format format)
{
    size_t i = (size_t)format;
    return i < sizeof format_names / sizeof format_names[0] ? format_names[i] : "?";
}

/* --- bytes ------------------------------------------------------------------------------- */

static brisk_err read_raw(brisk_trace_file *file, void *to, size_t size, size_t *ret,
                          brisk_errinfo *info)
{
    if (file->fd < 0) {
        *ret = size < file->bytes_left ? size : (size_t)file->bytes_left;
        memcpy(to, file->bytes, *ret);
        file->bytes += *ret;
        file->bytes_left -= *ret;
        file->raw_read += *ret;
        return BRISK_OK;
    }
    ssize_t got;
    do {
        got = read(file->fd, to, size);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        return brisk_errinfo_set_errno(info, errno, "%s: cannot read", file->name);
    }
    *ret = (size_t)got;
    file->raw_read += *ret;
    return BRISK_OK;
}

/* Raw bytes for the decompressor. */
static brisk_err refill_raw(brisk_trace_file *file, brisk_errinfo *info)
{
    if (file->raw_at != file->raw_end || file->raw_over) {
        return BRISK_OK;
    }
    file->raw_at = 0;
    brisk_err err = read_raw(file, file->raw, RAW, &file->raw_end, info);
    file->raw_over = err == BRISK_OK && file->raw_end == 0;
    return err;
}

static brisk_err fill_plain(brisk_trace_file *file, brisk_errinfo *info)
{
    size_t got = 0;
    if (file->raw_at != file->raw_end) { /* what was read to find out what it is */
        got = file->raw_end - file->raw_at;
        got = got < WINDOW - file->end ? got : WINDOW - file->end;
        memcpy(file->window + file->end, file->raw + file->raw_at, got);
        file->raw_at += got;
    } else {
        brisk_err err = read_raw(file, file->window + file->end, WINDOW - file->end, &got, info);
        if (err != BRISK_OK) {
            return err;
        }
        file->over = got == 0;
    }
    file->end += got;
    return BRISK_OK;
}

static brisk_err fill_zstd(brisk_trace_file *file, brisk_errinfo *info)
{
    ZSTD_outBuffer out = {.dst = file->window, .size = WINDOW, .pos = file->end};
    while (out.pos == file->end) {
        brisk_err err = refill_raw(file, info);
        if (err != BRISK_OK) {
            return err;
        }
        ZSTD_inBuffer in = {.src = file->raw, .size = file->raw_end, .pos = file->raw_at};
        size_t left = ZSTD_decompressStream(file->zstd, &out, &in);
        bool stuck = in.pos == file->raw_at && out.pos == file->end && file->raw_over;
        file->raw_at = in.pos;
        if (ZSTD_isError(left)) {
            return brisk_errinfo_set(info, BRISK_ERR_CORRUPT,
                                     "%s: bad zstd data near offset %" PRIu64, file->name,
                                     file->raw_read - (file->raw_end - file->raw_at));
        }
        if (stuck && file->frame_open) {
            return brisk_errinfo_set(info, BRISK_ERR_CORRUPT, "%s: zstd data ends too early",
                                     file->name);
        }
        if (stuck) {
            file->over = true;
            return BRISK_OK;
        }
        file->frame_open = left != 0;
    }
    file->end = out.pos;
    return BRISK_OK;
}

/* More bytes into the window, or `over`. */
static brisk_err fill(brisk_trace_file *file, brisk_errinfo *info)
{
    memmove(file->window, file->window + file->at, file->end - file->at);
    file->end -= file->at;
    file->at = 0;
    if (file->end == WINDOW || file->over) {
        return BRISK_OK;
    }
    return file->zstd != NULL ? fill_zstd(file, info) : fill_plain(file, info);
}

/* --- lines ------------------------------------------------------------------------------- */

/* The next line without its end; NOT_FOUND when there is none. */
static brisk_err next_line(brisk_trace_file *file, const char **ret, size_t *ret_size,
                           brisk_errinfo *info)
{
    for (;;) {
        unsigned char *begin = file->window + file->at;
        size_t have = file->end - file->at;
        unsigned char *stop = have != 0 ? memchr(begin, '\n', have) : NULL;
        if (stop == NULL && !file->over && have < WINDOW) {
            brisk_err err = fill(file, info);
            if (err != BRISK_OK) {
                return err;
            }
            continue;
        }
        if (stop == NULL && have == 0) {
            return BRISK_ERR_NOT_FOUND;
        }
        file->line++;
        if (stop == NULL && have == WINDOW) {
            return brisk_errinfo_set(info, BRISK_ERR_LIMIT,
                                     "%s:%" PRIu64 ": line of more than %d bytes", file->name,
                                     file->line, WINDOW);
        }
        size_t size = stop != NULL ? (size_t)(stop - begin) : have;
        file->at += size + (stop != NULL);
        file->offset += size + (stop != NULL);
        *ret = (const char *)begin;
        *ret_size = size;
        return BRISK_OK;
    }
}

typedef struct field {
    const char *text;
    size_t size;
} field;

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == ',';
}

/* How many fields the line has; the first FIELDS_MAX of them. */
static uint32_t split(const char *line, size_t size, field fields[FIELDS_MAX])
{
    uint32_t count = 0;
    size_t i = 0;
    for (;;) {
        while (i < size && is_blank(line[i])) {
            i++;
        }
        if (i == size) {
            return count;
        }
        size_t begin = i;
        while (i < size && !is_blank(line[i])) {
            i++;
        }
        if (count < FIELDS_MAX) {
            fields[count] = (field){.text = line + begin, .size = i - begin};
        }
        count++;
    }
}

static bool parse_u64(field text, uint64_t *ret)
{
    uint64_t value = 0;
    for (size_t i = 0; i < text.size; i++) {
        uint64_t digit = (uint64_t)(unsigned char)text.text[i] - '0';
        if (digit > 9 || value > (UINT64_MAX - digit) / 10) {
            return false;
        }
        value = value * 10 + digit;
    }
    *ret = value;
    return text.size != 0;
}

static uint64_t hash_number(uint64_t number)
{
    unsigned char bytes[8];
    for (uint32_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (unsigned char)(number >> (8 * i));
    }
    return brisk_hash64(bytes, sizeof bytes, 0);
}

static brisk_err bad_line(const brisk_trace_file *file, const char *what, brisk_errinfo *info)
{
    return brisk_errinfo_set(info, BRISK_ERR_CORRUPT, "%s:%" PRIu64 ": %s", file->name, file->line,
                             what);
}

static brisk_err next_arc(brisk_trace_file *file, brisk_trace_request *ret, brisk_errinfo *info)
{
    while (file->arc_left == 0) {
        const char *line = NULL;
        size_t size = 0;
        brisk_err err = next_line(file, &line, &size, info);
        if (err != BRISK_OK) {
            return err;
        }
        field fields[FIELDS_MAX];
        uint32_t count = split(line, size, fields);
        if (count == 0 || fields[0].text[0] == '#') {
            continue;
        }
        if (count < 2 || !parse_u64(fields[0], &file->arc_next) ||
            !parse_u64(fields[1], &file->arc_left) || file->arc_left > arc_count_max ||
            file->arc_next > UINT64_MAX - file->arc_left) {
            file->arc_left = 0;
            return bad_line(file, "not \"first count ...\" with a count up to 16777216", info);
        }
    }
    file->arc_left--;
    *ret = (brisk_trace_request){.key = hash_number(file->arc_next++)};
    return BRISK_OK;
}

static brisk_err next_text(brisk_trace_file *file, brisk_trace_request *ret, brisk_errinfo *info)
{
    for (;;) {
        const char *line = NULL;
        size_t size = 0;
        brisk_err err = next_line(file, &line, &size, info);
        if (err != BRISK_OK) {
            return err;
        }
        field fields[FIELDS_MAX];
        uint32_t count = split(line, size, fields);
        if (count == 0 || fields[0].text[0] == '#') {
            continue;
        }
        if (file->format == BRISK_TRACE_LIRS) {
            uint64_t number;
            if (count == 1 && fields[0].size == 1 && fields[0].text[0] == '*') {
                continue;
            }
            if (count != 1 || !parse_u64(fields[0], &number)) {
                return bad_line(file, "not a number", info);
            }
            *ret = (brisk_trace_request){.key = hash_number(number)};
            return BRISK_OK;
        }
        uint64_t bytes = 0;
        if (count > 2 || (count == 2 && !parse_u64(fields[1], &bytes))) {
            return bad_line(file, "not \"key\" or \"key size\"", info);
        }
        *ret = (brisk_trace_request){.key = brisk_hash64(fields[0].text, fields[0].size, 0),
                                     .size = bytes};
        return BRISK_OK;
    }
}

static uint64_t little(const unsigned char *bytes, uint32_t count)
{
    uint64_t value = 0;
    for (uint32_t i = count; i-- != 0;) {
        value = value << 8 | bytes[i];
    }
    return value;
}

static brisk_err next_record(brisk_trace_file *file, brisk_trace_request *ret, brisk_errinfo *info)
{
    while (file->end - file->at < RECORD && !file->over) {
        brisk_err err = fill(file, info);
        if (err != BRISK_OK) {
            return err;
        }
    }
    if (file->end == file->at) {
        return BRISK_ERR_NOT_FOUND;
    }
    if (file->end - file->at < RECORD) {
        return brisk_errinfo_set(info, BRISK_ERR_CORRUPT,
                                 "%s: record at offset %" PRIu64 " is cut off", file->name,
                                 file->offset);
    }
    const unsigned char *record = file->window + file->at;
    *ret = (brisk_trace_request){.key = hash_number(little(record + 4, 8)),
                                 .size = little(record + 12, 4)};
    file->at += RECORD;
    file->offset += RECORD;
    return BRISK_OK;
}

/* The gets of a recording: what is asked for, not what is stored. */
static brisk_err next_recorded(brisk_trace_file *file, brisk_trace_request *ret,
                               brisk_errinfo *info)
{
    brisk_record record;
    brisk_err err;
    do {
        err = brisk_recording_next(file->recording, &record);
    } while (err == BRISK_OK && record.op != BRISK_RECORD_GET);
    if (err == BRISK_OK) {
        *ret = (brisk_trace_request){.key = record.hash, .size = record.size};
    } else if (err != BRISK_ERR_NOT_FOUND) {
        (void)brisk_errinfo_set(info, err, "%s: %s", file->name, brisk_err_message(err));
    }
    return err;
}

brisk_err brisk_trace_file_next(brisk_trace_file *file, brisk_trace_request *ret,
                                brisk_errinfo *info)
{
    switch (file->format) {
    case BRISK_TRACE_ORACLE_GENERAL: return next_record(file, ret, info);
    case BRISK_TRACE_ARC: return next_arc(file, ret, info);
    case BRISK_TRACE_RECORDING: return next_recorded(file, ret, info);
    case BRISK_TRACE_LIRS:
    case BRISK_TRACE_PLAIN:
    case BRISK_TRACE_AUTO: break;
    }
    return next_text(file, ret, info);
}

/* --- opening ----------------------------------------------------------------------------- */

/* Four numbers in the first line: ARC; one: as LIRS; bytes that are no text: oracleGeneral. */
static brisk_trace_format sniff(const brisk_trace_file *file)
{
    static const char recording[] = "BRSKREC\1";
    const char *text = (const char *)file->window;
    if (file->zstd == NULL && file->end >= sizeof recording - 1 &&
        memcmp(text, recording, sizeof recording - 1) == 0) {
        return BRISK_TRACE_RECORDING;
    }
    size_t size = file->end < SNIFF ? file->end : SNIFF;
    for (size_t i = 0; i < size; i++) {
        unsigned char c = file->window[i];
        if (c == 0x7f || (c < ' ' && c != '\n' && c != '\r' && c != '\t')) {
            return BRISK_TRACE_ORACLE_GENERAL;
        }
    }
    while (size != 0) {
        const char *stop = memchr(text, '\n', size);
        size_t line = stop != NULL ? (size_t)(stop - text) : size;
        field fields[FIELDS_MAX];
        uint64_t number;
        uint32_t count = split(text, line, fields);
        if (count != 0 && fields[0].text[0] != '#' && fields[0].text[0] != '*') {
            bool numbers = true;
            for (uint32_t i = 0; i < count && i < FIELDS_MAX; i++) {
                numbers = numbers && parse_u64(fields[i], &number);
            }
            return numbers && count == 4   ? BRISK_TRACE_ARC
                   : numbers && count == 1 ? BRISK_TRACE_LIRS
                                           : BRISK_TRACE_PLAIN;
        }
        text += line + (stop != NULL);
        size -= line + (stop != NULL);
    }
    return BRISK_TRACE_PLAIN;
}

static brisk_err begin(brisk_trace_file *file, brisk_trace_format format, brisk_errinfo *info)
{
    static const unsigned char magic[4] = {0x28, 0xb5, 0x2f, 0xfd};
    brisk_err err = BRISK_OK;
    while (err == BRISK_OK && file->raw_end < sizeof magic && !file->raw_over) {
        size_t got = 0;
        err = read_raw(file, file->raw + file->raw_end, RAW - file->raw_end, &got, info);
        file->raw_end += got;
        file->raw_over = got == 0;
    }
    if (err != BRISK_OK) {
        return err;
    }
    file->raw_over = false;
    if (file->raw_end >= sizeof magic && memcmp(file->raw, magic, sizeof magic) == 0) {
        file->zstd = ZSTD_createDStream();
        if (file->zstd == NULL) {
            return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "%s: out of memory", file->name);
        }
    }
    while (err == BRISK_OK && file->end < SNIFF && !file->over) {
        err = fill(file, info);
    }
    file->format = format != BRISK_TRACE_AUTO ? format : sniff(file);
    return err;
}

static brisk_trace_file *new_file(const brisk_alloc *alloc, const char *name)
{
    alloc = alloc != NULL ? alloc : brisk_alloc_libc();
    brisk_trace_file *file = alloc->acquire(alloc->ctx, sizeof *file, _Alignof(brisk_trace_file));
    if (file != NULL) {
        memset(file, 0, offsetof(brisk_trace_file, raw));
        file->alloc = alloc;
        file->fd = -1;
        size_t size = strlen(name);
        size = size < NAME_MAX_ - 1 ? size : NAME_MAX_ - 1;
        memcpy(file->name, name, size);
    }
    return file;
}

brisk_err brisk_trace_file_open(const char *path, brisk_trace_format format,
                                const brisk_alloc *alloc, brisk_trace_file **ret,
                                brisk_errinfo *info)
{
    brisk_trace_file *file = new_file(alloc, path);
    if (file == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "%s: out of memory", path);
    }
    file->fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat about;
    brisk_err err = BRISK_OK;
    if (file->fd < 0 || fstat(file->fd, &about) != 0) {
        err = brisk_errinfo_set_errno(info, errno, "%s: cannot open", path);
    } else {
        file->raw_all = S_ISREG(about.st_mode) && about.st_size > 0 ? (uint64_t)about.st_size : 0;
        err = begin(file, format, info);
    }
    if (err == BRISK_OK && file->format == BRISK_TRACE_RECORDING) {
        err = brisk_recording_open(path, file->alloc, &file->recording, info);
        file->raw_read = file->raw_all;
    }
    if (err != BRISK_OK) {
        brisk_trace_file_close(file);
        return err;
    }
    *ret = file;
    return BRISK_OK;
}

brisk_err brisk_trace_file_of_bytes(const void *bytes, uint64_t size, const char *name,
                                    brisk_trace_format format, brisk_trace_file **ret,
                                    brisk_errinfo *info)
{
    brisk_trace_file *file = new_file(NULL, name);
    if (file == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "%s: out of memory", name);
    }
    file->bytes = bytes;
    file->bytes_left = size;
    file->raw_all = size;
    brisk_err err = begin(file, format, info);
    if (err == BRISK_OK && file->format == BRISK_TRACE_RECORDING) {
        err = brisk_recording_open_bytes(bytes, (size_t)size, file->alloc, &file->recording);
        err = err == BRISK_OK
                  ? err
                  : brisk_errinfo_set(info, err, "%s: %s", name, brisk_err_message(err));
    }
    if (err != BRISK_OK) {
        brisk_trace_file_close(file);
        return err;
    }
    *ret = file;
    return BRISK_OK;
}

void brisk_trace_file_close(brisk_trace_file *file)
{
    if (file == NULL) {
        return;
    }
    (void)ZSTD_freeDStream(file->zstd);
    brisk_recording_close(file->recording);
    if (file->fd >= 0) {
        (void)close(file->fd);
    }
    file->alloc->release(file->alloc->ctx, file, sizeof *file, _Alignof(brisk_trace_file));
}

brisk_trace_format brisk_trace_file_format(const brisk_trace_file *file)
{
    return file->format;
}

void brisk_trace_file_progress(const brisk_trace_file *file, uint64_t *ret_read, uint64_t *ret_all)
{
    *ret_read = file->raw_read;
    *ret_all = file->raw_all;
}
