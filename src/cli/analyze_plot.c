/*
 * analyze_plot.c -- miss ratio over size: a text plot, and an SVG that needs nothing else.
 *
 * Sizes stand on a logarithmic axis, since what matters happens at all scales.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "cli/analyze.h"

enum {
    COLUMNS = 64,
    ROWS = 16,
    WIDTH = 760,
    HEIGHT = 440,
    LEFT = 60,
    RIGHT = 130,
    TOP = 50,
    BOTTOM = 60,
    TICKS = 5,
};

/* Told apart by who sees colours differently (after Okabe and Ito), by dashes where lines lie on each
 * other, and by width: `auto` lies over all. */
static const struct {
    const char *color;
    const char *dashes;
    const char *width;
} looks[ANALYZE_POLICIES] = {
    {"#000000", "none", "1.8"}, {"#999999", "none", "1.8"}, {"#56b4e9", "8 3 2 3", "1.8"},
    {"#882255", "2 3", "1.8"},  {"#0072b2", "none", "1.8"}, {"#e69f00", "none", "1.8"},
    {"#009e73", "6 3", "1.8"},  {"#cc79a7", "10 4", "1.8"}, {"#332288", "3 2", "1.8"},
    {"#d55e00", "7 5", "3.2"},
};

/* The size at a share 0 .. 1 of the axis. */
static double entries_at(const analysis *a, double share)
{
    double low = log((double)a->sizes[0]);
    double high = log((double)a->unique);
    return exp(low + (high - low) * share);
}

static double share_of(const analysis *a, double entries)
{
    double low = log((double)a->sizes[0]);
    double high = log((double)a->unique);
    return high > low ? (log(entries) - low) / (high - low) : 0;
}

static int row_of(double ratio)
{
    int row = (int)((1 - ratio) * (ROWS - 1) + 0.5);
    return row < 0 ? 0 : row >= ROWS ? ROWS - 1 : row;
}

void analyze_plot_text(FILE *out, const analysis *a)
{
    char grid[ROWS][COLUMNS + 1];
    memset(grid, ' ', sizeof grid);
    for (int column = 0; column < COLUMNS; column++) {
        double entries = entries_at(a, (double)column / (COLUMNS - 1));
        grid[row_of(analyze_miss_ratio(a, 0, entries))][column] = '.';
        grid[row_of(analyze_best(a, entries).miss_ratio)][column] = '*';
    }
    (void)fputs("\nmiss ratio (* best policy, . lru)\n", out);
    for (int row = 0; row < ROWS; row++) {
        int length = COLUMNS;
        while (length > 0 && grid[row][length - 1] == ' ') {
            length--;
        }
        double ratio = 1 - (double)row / (ROWS - 1);
        (void)fprintf(out, "%4.0f %% |%.*s\n", 100 * ratio, length, grid[row]);
    }
    (void)fprintf(out, "       +%.*s\n", COLUMNS,
                  "----------------------------------------------------------------");
    (void)fprintf(out, "        %-32.0f%32.0f entries\n", (double)a->sizes[0], (double)a->unique);
}

static double svg_x(const analysis *a, double entries)
{
    return LEFT + share_of(a, entries) * (WIDTH - LEFT - RIGHT);
}

static double svg_y(double ratio)
{
    return TOP + (1 - ratio) * (HEIGHT - TOP - BOTTOM);
}

/* To two digits, as one says it. */
static double rounded(double entries)
{
    double unit = pow(10, floor(log10(entries)) - 1);
    return unit > 1 ? round(entries / unit) * unit : round(entries);
}

static void svg_axes(FILE *out, const analysis *a)
{
    for (int i = 0; i <= TICKS; i++) {
        double ratio = (double)i / TICKS;
        (void)fprintf(out,
                      "<line x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#dddddd\"/>"
                      "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.0f %%</text>\n",
                      LEFT, WIDTH - RIGHT, svg_y(ratio), svg_y(ratio), LEFT - 8, svg_y(ratio) + 4,
                      100 * ratio);
        double entries = entries_at(a, ratio);
        entries = i == 0 || i == TICKS ? entries : rounded(entries);
        (void)fprintf(out,
                      "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\" stroke=\"#dddddd\"/>"
                      "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.0f</text>\n",
                      svg_x(a, entries), svg_x(a, entries), TOP, HEIGHT - BOTTOM, svg_x(a, entries),
                      HEIGHT - BOTTOM + 20, entries);
    }
    (void)fprintf(out,
                  "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">entries (log)</text>\n"
                  "<text x=\"%d\" y=\"28\" font-size=\"15\">miss ratio by size and policy</text>\n",
                  (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14, LEFT);
}

static void svg_curve(FILE *out, const analysis *a, uint32_t p)
{
    (void)fprintf(out,
                  "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"%s\" "
                  "stroke-dasharray=\"%s\" stroke-linejoin=\"round\" points=\"",
                  looks[p].color, looks[p].width, looks[p].dashes);
    for (uint32_t s = 0; s < ANALYZE_SIZES; s++) {
        (void)fprintf(out, "%.1f,%.1f ", svg_x(a, (double)a->sizes[s]), svg_y(a->misses[p][s]));
    }
    (void)fprintf(out, "%.1f,%.1f\"/>\n", svg_x(a, (double)a->unique), svg_y(a->least));
    int y = TOP + 10 + (int)p * 20;
    (void)fprintf(out,
                  "<line x1=\"%d\" x2=\"%d\" y1=\"%d\" y2=\"%d\" stroke=\"%s\" "
                  "stroke-width=\"%s\" stroke-dasharray=\"%s\"/>"
                  "<text x=\"%d\" y=\"%d\">%s</text>\n",
                  WIDTH - RIGHT + 14, WIDTH - RIGHT + 44, y, y, looks[p].color, looks[p].width,
                  looks[p].dashes, WIDTH - RIGHT + 52, y + 4, brisk_policy_name(p));
}

brisk_err analyze_plot_svg(const char *path, const analysis *a, brisk_errinfo *info)
{
    FILE *out = fopen(path, "we");
    if (out == NULL) {
        return brisk_errinfo_set_errno(info, errno, "%s: cannot write", path);
    }
    (void)fprintf(out,
                  "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
                  "viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"12\">\n"
                  "<rect width=\"%d\" height=\"%d\" fill=\"white\"/>\n",
                  WIDTH, HEIGHT, WIDTH, HEIGHT, WIDTH, HEIGHT);
    svg_axes(out, a);
    for (uint32_t p = 0; p < ANALYZE_POLICIES; p++) {
        svg_curve(out, a, p);
    }
    (void)fputs("</svg>\n", out);
    bool failed = ferror(out) != 0;
    failed |= fclose(out) != 0;
    return failed ? brisk_errinfo_set_errno(info, errno, "%s: cannot write", path) : BRISK_OK;
}
