/*
 * graph.c -- growth over time: blocks for a terminal, areas for a browser.
 *
 * The SVG shows the places with most live bytes at any time, one above the other in one scale, what all others have
 * on top, and resident memory as a dashed line; colours are Okabe and Ito's, which colour-blind people tell apart.
 * Names are escaped: they come from foreign files.
 */
#include <inttypes.h>
#include <string.h>

#include "observe/heap/report.h"
#include "observe/profile/report_words.h"

enum {
    COLUMNS = 64,
    ROWS = 10,
    WIDTH = 960,
    HEIGHT = 480,
    LEFT = 80,
    RIGHT = 300,
    TOP = 40,
    BOTTOM = 40,
    AREAS = 7,
};

/* --- terminal -------------------------------------------------------------------------------- */

static uint64_t column_of(const heap_series *s, uint32_t column)
{
    uint64_t end = s->points.items[s->points.count - 1].time_ns + 1;
    uint64_t first = s->points.items[0].time_ns;
    uint64_t from = first + (end - first) / COLUMNS * column;
    uint64_t to = column + 1 == COLUMNS ? end : first + (end - first) / COLUMNS * (column + 1);
    uint64_t most = 0;
    uint64_t before = 0;
    bool any = false;
    for (size_t i = 0; i < s->points.count; i++) {
        const heap_point *p = &s->points.items[i];
        if (p->time_ns < from) {
            before = p->live;
        } else if (p->time_ns < to) {
            most = p->live > most ? p->live : most;
            any = true;
        }
    }
    return any ? most : before;
}

void heap_graph_text(const heap_report *r, FILE *out)
{
    static const char *const eighths[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    const heap_series *s = r->series;
    uint64_t columns[COLUMNS];
    uint64_t most = 1;
    char text[32];
    if (s->points.count < 2) {
        (void)fprintf(out, "\ngraph: too few points\n");
        return;
    }
    for (uint32_t i = 0; i < COLUMNS; i++) {
        columns[i] = column_of(s, i);
        most = columns[i] > most ? columns[i] : most;
    }
    (void)fputc('\n', out);
    for (uint32_t row = ROWS; row > 0; row--) {
        bool labelled = row == ROWS || row == ROWS / 2;
        uint64_t at = most / ROWS * row;
        (void)fprintf(out, "%10s |",
                      labelled ? prof_amount(row == ROWS ? most : at, "bytes", text) : "");
        for (uint32_t i = 0; i < COLUMNS; i++) {
            double height = (double)columns[i] / (double)most * ROWS - (row - 1);
            uint32_t level = height <= 0 ? 0 : height >= 1 ? 8 : (uint32_t)(height * 8);
            (void)fputs(r->ascii ? (level >= 4 ? "#" : " ") : eighths[level], out);
        }
        (void)fputc('\n', out);
    }
    double seconds = (double)(s->points.items[s->points.count - 1].time_ns) / 1e9;
    (void)fprintf(out, "%10s +", "live");
    for (uint32_t i = 0; i < COLUMNS; i++) {
        (void)fputc('-', out);
    }
    (void)fprintf(out, "\n%12s%-*.1f%.1f s\n", "", COLUMNS - 4,
                  (double)s->points.items[0].time_ns / 1e9, seconds);
}

/* --- SVG ------------------------------------------------------------------------------------- */

static void escape(const char *text, FILE *out)
{
    char shown[PROF_SHOWN_MAX];
    for (const char *at = prof_shown_name(text, shown); *at != '\0'; at++) {
        switch (*at) {
        case '<': (void)fputs("&lt;", out); break;
        case '>': (void)fputs("&gt;", out); break;
        case '&': (void)fputs("&amp;", out); break;
        case '"': (void)fputs("&quot;", out); break;
        default: (void)fputc(*at, out); break;
        }
    }
}

typedef struct picture {
    const heap_report *r;
    double *low;  /* of each point: where the next area begins */
    double *high; /* and ends */
    double most;
    double start;
    double length;
    FILE *out;
} picture;

static double x_of(const picture *p, size_t point)
{
    double t = (double)p->r->series->points.items[point].time_ns - p->start;
    return LEFT + t / p->length * (WIDTH - LEFT - RIGHT);
}

static double y_of(const picture *p, double bytes)
{
    return HEIGHT - BOTTOM - bytes / p->most * (HEIGHT - TOP - BOTTOM);
}

static double place_at(const picture *p, size_t point, uint32_t place)
{
    const heap_point *at = &p->r->series->points.items[point];
    double sum = 0;
    for (uint32_t s = 0; s < at->stack_count && s < p->r->view->stack_count; s++) {
        if (p->r->view->place_of[s] == place) {
            sum += (double)at->stacks[s];
        }
    }
    return sum;
}

static void draw_area(const picture *p, const char *colour, const char *name, uint32_t number)
{
    size_t count = p->r->series->points.count;
    (void)fprintf(p->out, "<path fill=\"%s\" d=\"", colour);
    for (size_t i = 0; i < count; i++) {
        (void)fprintf(p->out, "%c%.1f %.1f", i == 0 ? 'M' : 'L', x_of(p, i), y_of(p, p->high[i]));
    }
    for (size_t i = count; i > 0; i--) {
        (void)fprintf(p->out, "L%.1f %.1f", x_of(p, i - 1), y_of(p, p->low[i - 1]));
    }
    (void)fputs("Z\"><title>", p->out);
    escape(name, p->out);
    (void)fprintf(p->out,
                  "</title></path>\n<rect x=\"%d\" y=\"%" PRIu32
                  "\" width=\"12\" height=\"12\" fill=\"%s\"/><text x=\"%d\" y=\"%" PRIu32 "\">",
                  WIDTH - RIGHT + 16, TOP + number * 20, colour, WIDTH - RIGHT + 34,
                  TOP + number * 20 + 11);
    escape(name, p->out);
    (void)fputs("</text>\n", p->out);
    memcpy(p->low, p->high, count * sizeof *p->low);
}

static void draw_areas(const picture *p)
{
    static const char *const colours[AREAS] = {"#0072b2", "#e69f00", "#009e73", "#cc79a7",
                                               "#56b4e9", "#d55e00", "#f0e442"};
    const heap_view *view = p->r->view;
    size_t count = p->r->series->points.count;
    uint32_t shown = 0;
    for (uint32_t i = 0; i < view->places.count && shown < AREAS; i++) {
        for (size_t k = 0; k < count; k++) {
            p->high[k] = p->low[k] + place_at(p, k, i);
        }
        draw_area(p, colours[shown], prof_text(view->model, view->places.items[i].name), shown);
        shown++;
    }
    for (size_t k = 0; k < count; k++) {
        double live = (double)p->r->series->points.items[k].live;
        p->high[k] = live > p->low[k] ? live : p->low[k];
    }
    draw_area(p, "#999999", "all others", shown);
}

static void draw_axes(const picture *p)
{
    char text[32];
    for (int i = 0; i <= 4; i++) {
        double bytes = p->most * i / 4;
        (void)fprintf(p->out,
                      "<path d=\"M%d %.1fH%d\" stroke=\"#ccc\"/><text x=\"%d\" y=\"%.1f\" "
                      "text-anchor=\"end\">%s</text>\n",
                      LEFT, y_of(p, bytes), WIDTH - RIGHT, LEFT - 6, y_of(p, bytes) + 4,
                      prof_amount((uint64_t)bytes, "bytes", text));
        (void)fprintf(p->out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.1f s</text>\n",
                      LEFT + (WIDTH - LEFT - RIGHT) * i / 4.0, HEIGHT - BOTTOM + 18,
                      (p->start + p->length * i / 4) / 1e9);
    }
}

static void draw_rss(const picture *p)
{
    bool begun = false;
    (void)fputs("<path fill=\"none\" stroke=\"#000\" stroke-dasharray=\"4 3\" d=\"", p->out);
    for (size_t i = 0; i < p->r->series->points.count; i++) {
        double rss = (double)p->r->series->points.items[i].rss;
        if (rss > 0) {
            (void)fprintf(p->out, "%c%.1f %.1f", begun ? 'L' : 'M', x_of(p, i), y_of(p, rss));
            begun = true;
        }
    }
    (void)fputs("\"><title>resident memory</title></path>\n", p->out);
}

static void draw(picture *p)
{
    const heap_series *s = p->r->series;
    (void)fprintf(p->out,
                  "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" role=\"img\" "
                  "font-family=\"sans-serif\" font-size=\"12\">\n<title>heap of ",
                  WIDTH, HEIGHT);
    escape(p->r->profile->head.command, p->out);
    (void)fprintf(p->out, "</title>\n<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n", WIDTH,
                  HEIGHT);
    (void)fprintf(p->out, "<text x=\"%d\" y=\"20\" font-size=\"14\">live bytes by place: ", LEFT);
    escape(p->r->profile->head.command, p->out);
    (void)fputs("; dashed: resident memory</text>\n", p->out);
    if (s->points.count >= 2) {
        draw_axes(p);
        draw_areas(p);
        draw_rss(p);
    } else {
        (void)fprintf(p->out, "<text x=\"%d\" y=\"%d\">too few points</text>\n", LEFT, HEIGHT / 2);
    }
    (void)fputs("</svg>\n", p->out);
}

brisk_err heap_graph_svg(const heap_report *r, FILE *out)
{
    const heap_series *s = r->series;
    const brisk_alloc *alloc = r->view->alloc;
    size_t count = s->points.count;
    size_t bytes = (2 * count + 1) * sizeof(double);
    picture p = {.r = r, .most = 1, .length = 1, .out = out};
    p.low = alloc->acquire(alloc->ctx, bytes, _Alignof(double));
    if (p.low == NULL) {
        return BRISK_ERR_NOMEM;
    }
    memset(p.low, 0, bytes);
    p.high = p.low + count;
    for (size_t i = 0; i < count; i++) {
        const heap_point *at = &s->points.items[i];
        double most = at->live > at->rss ? (double)at->live : (double)at->rss;
        p.most = most > p.most ? most : p.most;
    }
    if (count >= 2) {
        p.start = (double)s->points.items[0].time_ns;
        p.length = (double)s->points.items[count - 1].time_ns - p.start;
        p.length = p.length > 0 ? p.length : 1;
    }
    draw(&p);
    alloc->release(alloc->ctx, p.low, bytes, _Alignof(double));
    return ferror(out) ? BRISK_ERR_IO : BRISK_OK;
}
