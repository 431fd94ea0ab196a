/*
 * screen.c -- a grid of characters, and the fewest bytes that make a terminal show it.
 *
 * A frame is compared with the last one; runs of changed cells are written, a cursor movement for each, styles only
 * where they change. All of it is one write, bracketed as a synchronized update, so that no half frame is seen.
 *
 * Styles are few and each has a meaning; a colour never stands alone for it (see panels.c), and the colours are
 * those that stay apart for colour-blind eyes.
 *
 * Invariant: every cell is one column wide: what might be wider (or nothing) is a '?' instead.
 * Sources: ECMA-48; M. Okabe, K. Ito, "Color Universal Design" (the palette); the synchronized update
 * is terminals' common mode 2026.
 */
#include <string.h>

#include "base/assert.h"
#include "observe/monitor/monitor.h"

void screen_init(screen *s, const brisk_alloc *alloc, bool ascii, bool color)
{
    *s = (screen){.ascii = ascii, .color = color, .whole = true, .alloc = alloc};
}

static void release(const screen *s, screen_cell *cells)
{
    if (cells != NULL) {
        s->alloc->release(s->alloc->ctx, cells, s->capacity * sizeof *cells, _Alignof(screen_cell));
    }
}

void screen_deinit(screen *s)
{
    release(s, s->cells);
    release(s, s->shown);
    s->cells = s->shown = NULL;
    s->capacity = 0;
}

brisk_err screen_resize(screen *s, uint32_t width, uint32_t height)
{
    width = width < 1 ? 1 : width > SCREEN_WIDTH_MAX ? SCREEN_WIDTH_MAX : width;
    height = height < 1 ? 1 : height > SCREEN_HEIGHT_MAX ? SCREEN_HEIGHT_MAX : height;
    size_t wanted = (size_t)width * height;
    if (wanted > s->capacity) {
        size_t size = wanted * sizeof(screen_cell);
        screen_cell *cells = s->alloc->acquire(s->alloc->ctx, size, _Alignof(screen_cell));
        screen_cell *shown = s->alloc->acquire(s->alloc->ctx, size, _Alignof(screen_cell));
        if (cells == NULL || shown == NULL) {
            if (cells != NULL) {
                s->alloc->release(s->alloc->ctx, cells, size, _Alignof(screen_cell));
            }
            if (shown != NULL) {
                s->alloc->release(s->alloc->ctx, shown, size, _Alignof(screen_cell));
            }
            return BRISK_ERR_NOMEM;
        }
        screen_deinit(s);
        s->cells = cells;
        s->shown = shown;
        s->capacity = wanted;
    }
    s->width = width;
    s->height = height;
    s->whole = true;
    screen_clear(s);
    return BRISK_OK;
}

void screen_clear(screen *s)
{
    for (size_t i = 0; i < (size_t)s->width * s->height; i++) {
        s->cells[i] = (screen_cell){.code = ' '};
    }
}

/* Known to be one column wide everywhere. */
static bool is_narrow(uint32_t code)
{
    return (code >= ' ' && code < 127) || (code >= 0xa1 && code < 0x300 && code != 0xad) ||
           (code >= 0x370 && code < 0x483) || (code >= 0x48a && code < 0x530) ||
           (code >= 0x2500 && code < 0x25a0) || (code >= 0x2800 && code < 0x2900) || code == 0x2026;
}

void screen_put(screen *s, uint32_t x, uint32_t y, uint32_t code, screen_style style)
{
    if (x < s->width && y < s->height) {
        bool shown = s->ascii ? code >= ' ' && code < 127 : is_narrow(code);
        s->cells[(size_t)y * s->width + x] = (screen_cell){shown ? code : '?', (uint8_t)style};
    }
}

/* The next character of UTF-8 text; bytes that are none are U+FFFD each. */
static uint32_t decode(const unsigned char **text)
{
    const unsigned char *t = *text;
    uint32_t size = t[0] < 0x80             ? 1
                    : (t[0] & 0xe0) == 0xc0 ? 2
                    : (t[0] & 0xf0) == 0xe0 ? 3
                    : (t[0] & 0xf8) == 0xf0 ? 4
                                            : 0;
    uint32_t code = size == 1 ? t[0] : t[0] & (0x7fu >> size);
    for (uint32_t i = 1; i < size; i++) {
        if ((t[i] & 0xc0) != 0x80) { /* also the NUL at the end */
            size = 0;
            break;
        }
        code = code << 6 | (t[i] & 0x3f);
    }
    *text += size == 0 ? 1 : size;
    return size == 0 ? 0xfffd : code;
}

uint32_t screen_text(screen *s, screen_line line, screen_style style, const char *text)
{
    const unsigned char *at = (const unsigned char *)text;
    uint32_t used = 0;
    while (*at != '\0' && used < line.width) {
        screen_put(s, line.x + used, line.y, decode(&at), style);
        used++;
    }
    return used;
}

/* --- frames ------------------------------------------------------------------------------- */

static void put_code(brisk_str *out, uint32_t code)
{
    char text[4];
    size_t size = 1;
    if (code < 0x80) {
        text[0] = (char)code;
    } else if (code < 0x800) {
        text[0] = (char)(0xc0 | code >> 6);
        text[1] = (char)(0x80 | (code & 0x3f));
        size = 2;
    } else {
        text[0] = (char)(0xe0 | code >> 12);
        text[1] = (char)(0x80 | (code >> 6 & 0x3f));
        text[2] = (char)(0x80 | (code & 0x3f));
        size = 3;
    }
    brisk_str_append(out, text, size);
}

static const char *style_text(uint8_t style, bool color)
{
    static const char *const colors[] = {
        [STYLE_PLAIN] = "\033[0m",          [STYLE_DIM] = "\033[0;2m",
        [STYLE_BOLD] = "\033[0;1m",         [STYLE_TITLE] = "\033[0;1;38;5;74m", /* sky blue */
        [STYLE_GOOD] = "\033[0;38;5;36m",                                        /* bluish green */
        [STYLE_WARN] = "\033[0;38;5;214m",                                       /* orange */
        [STYLE_BAD] = "\033[0;1;38;5;166m",                                      /* vermillion */
        [STYLE_BAR] = "\033[0;38;5;74m",    [STYLE_LINE] = "\033[0;38;5;74m",
        [STYLE_KEY] = "\033[0;7m",
    };
    static const char *const plain[] = {
        [STYLE_PLAIN] = "\033[0m",   [STYLE_DIM] = "\033[0m",  [STYLE_BOLD] = "\033[0;1m",
        [STYLE_TITLE] = "\033[0;1m", [STYLE_GOOD] = "\033[0m", [STYLE_WARN] = "\033[0;1m",
        [STYLE_BAD] = "\033[0;7m",   [STYLE_BAR] = "\033[0m",  [STYLE_LINE] = "\033[0m",
        [STYLE_KEY] = "\033[0;7m",
    };
    BRISK_ASSERT(style < sizeof colors / sizeof colors[0]);
    return color ? colors[style] : plain[style];
}

static bool same(const screen_cell *a, const screen_cell *b)
{
    return a->code == b->code && a->style == b->style;
}

static void frame_row(screen *s, uint32_t y, int *style, brisk_str *out)
{
    screen_cell *row = s->cells + (size_t)y * s->width;
    screen_cell *shown = s->shown + (size_t)y * s->width;
    bool there = false; /* the cursor is where the next cell is */
    for (uint32_t x = 0; x < s->width; x++) {
        if (!s->whole && same(&row[x], &shown[x])) {
            there = false;
            continue;
        }
        if (!there) {
            brisk_str_printf(out, "\033[%u;%uH", y + 1, x + 1);
            there = true;
        }
        if (*style != row[x].style) {
            *style = row[x].style;
            brisk_str_add(out, style_text(row[x].style, s->color));
        }
        put_code(out, row[x].code);
        shown[x] = row[x];
    }
}

void screen_frame(screen *s, brisk_str *out)
{
    int style = -1;
    brisk_str_add(out, "\033[?2026h");
    if (s->whole) {
        brisk_str_add(out, "\033[0m\033[2J");
    }
    for (uint32_t y = 0; y < s->height; y++) {
        frame_row(s, y, &style, out);
    }
    brisk_str_add(out, "\033[0m\033[?2026l");
    s->whole = false;
}

void screen_dump(const screen *s, brisk_str *out)
{
    for (uint32_t y = 0; y < s->height; y++) {
        const screen_cell *row = s->cells + (size_t)y * s->width;
        uint32_t width = s->width;
        while (width > 0 && row[width - 1].code == ' ') {
            width--;
        }
        for (uint32_t x = 0; x < width; x++) {
            put_code(out, row[x].code);
        }
        if (width > 0) {
            brisk_str_add(out, "\n");
        }
    }
}
