/*
 * view.c -- stacks of addresses become a raw model, the profiler's resolver gives it names, and stacks are gathered
 * by place.
 *
 * The resolver numbers stacks anew; an event for each stack, with its number for a time, goes through it and comes
 * back with the new number.
 */
#include "observe/heap/view.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "observe/profile/intake.h"
#include "observe/profile/resolve.h"

/* --- mappings -------------------------------------------------------------------------------- */

/* A line of /proc/PID/maps as the sampler kept it; what is none is left out. */
static void take_mapping(prof_spaces *spaces, prof_space *space, const char *line, size_t size)
{
    char text[PROF_PATH_MAX + 128];
    uint64_t start;
    uint64_t end;
    uint64_t offset;
    uint64_t inode;
    unsigned major_of;
    unsigned minor_of;
    char rights[5];
    int path_at = 0;
    if (size >= sizeof text) {
        return;
    }
    memcpy(text, line, size);
    text[size] = '\0';
    if (sscanf(text, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %x:%x %" SCNu64 " %n", &start, &end,
               rights, &offset, &major_of, &minor_of, &inode, &path_at) < 7 ||
        start >= end || path_at <= 0 || strcmp(text + path_at, "[vsyscall]") == 0) {
        return;
    }
    prof_space_map(spaces, space,
                   &(prof_mapping){.start = start,
                                   .size = end - start,
                                   .offset = offset,
                                   .device = makedev(major_of, minor_of),
                                   .inode = inode,
                                   .path = text + path_at});
}

static void take_mappings(const heap_profile *p, prof_spaces *spaces, prof_space *space)
{
    const char *line = p->maps;
    const char *end;
    while ((end = strchr(line, '\n')) != NULL) {
        take_mapping(spaces, space, line, (size_t)(end - line));
        line = end + 1;
    }
}

/* --- raw model ------------------------------------------------------------------------------- */

static bool is_sampler(const prof_spaces *spaces, const prof_map *map)
{
    return map != NULL &&
           strstr(spaces->modules.items[map->module].path, "/libbrisk_heap.so") != NULL;
}

static uint32_t raw_stack(prof_intake *intake, const prof_space *space, const heap_profile *p,
                          const heap_stack *s)
{
    const uint64_t *pcs = &p->frames[s->first];
    uint32_t inner = 0;
    while (inner < s->depth &&
           is_sampler(&intake->spaces, prof_space_find(space, pcs[inner] - 1))) {
        inner++;
    }
    uint32_t stack = 0;
    for (uint32_t i = s->depth; i > inner; i--) {
        const prof_map *map = prof_space_find(space, pcs[i - 1] - 1);
        prof_frame frame = {.address = pcs[i - 1] - 1};
        if (map != NULL) {
            frame.module = map->module;
            frame.address -= map->bias;
        }
        stack = prof_stack_of(intake->raw, stack, prof_frame_of(intake->raw, &frame));
    }
    if (stack == 0) {
        prof_frame none = {.address = PROF_ADDRESS_UNSEEN};
        stack = prof_stack_of(intake->raw, 0, prof_frame_of(intake->raw, &none));
    }
    return stack;
}

/* An event for each stack; what was measured is added when it has names. */
static void fill_raw(prof_intake *intake, const heap_profile *p, const prof_space *space)
{
    for (uint32_t i = 0; i < p->head.stack_count && intake->raw->err == BRISK_OK; i++) {
        const heap_stack *s = &p->stacks[i];
        uint32_t stack = s->samples > 0 ? raw_stack(intake, space, p, s) : 0;
        prof_event_add(intake->raw, &(prof_event){.time_ns = i, .stack = stack});
    }
}

/* --- places ---------------------------------------------------------------------------------- */

static bool has_prefix(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool is_way_to_malloc(const prof_model *model, const prof_frame *frame)
{
    static const char *const modules[] = {
        "libc.so",        "libc-",       "libstdc++.so",   "libc++.so",        "libc++abi.so",
        "libjemalloc.so", "libtcmalloc", "libmimalloc.so", "libbrisk_heap.so", "ld-linux-x86-64"};
    static const char *const names[] = {
        "operator new", "std::",   "__gnu_cxx::", "xmalloc",   "xcalloc",
        "xrealloc",     "xstrdup", "g_malloc",    "g_realloc", "brisk_vec_grow_raw"};
    const char *path = prof_text(model, frame->module);
    const char *slash = strrchr(path, '/');
    const char *base = slash != NULL ? slash + 1 : path;
    const char *name = prof_text(model, frame->name);
    for (size_t i = 0; i < sizeof modules / sizeof *modules; i++) {
        if (has_prefix(base, modules[i])) {
            return true;
        }
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (has_prefix(name, names[i])) {
            return true;
        }
    }
    return strstr(name, " std::") != NULL && strstr(name, "operator new") != NULL;
}

uint32_t heap_view_place_node(const prof_model *model, uint32_t node)
{
    for (uint32_t at = node; at != 0; at = model->stacks.nodes.items[at].parent) {
        const prof_frame *frame = &model->frames.items[model->stacks.nodes.items[at].frame];
        if (!is_way_to_malloc(model, frame)) {
            return at;
        }
    }
    return node;
}

static uint32_t place_of(heap_view *view, uint32_t node)
{
    const prof_model *m = view->model;
    uint32_t at = heap_view_place_node(m, node);
    prof_frame frame = {.name = 0};
    if (at != 0) {
        frame = m->frames.items[m->stacks.nodes.items[at].frame];
    }
    for (uint32_t i = 0; i < view->places.count; i++) {
        const heap_place *p = &view->places.items[i];
        if (p->name == frame.name && p->module == frame.module && p->file == frame.file &&
            p->line == frame.line) {
            return i;
        }
    }
    heap_place place = {
        .name = frame.name, .module = frame.module, .file = frame.file, .line = frame.line};
    return BRISK_VEC_PUSH(&view->places, place) ? (uint32_t)view->places.count - 1 : PROF_NO_ID;
}

static void add_stack(heap_place *place, const heap_stack *s, uint32_t node)
{
    place->live = prof_add(place->live, s->live_bytes);
    place->live_blocks = prof_add(place->live_blocks, s->live_blocks);
    place->peak = prof_add(place->peak, s->peak_bytes);
    place->alloc = prof_add(place->alloc, s->alloc_bytes);
    place->alloc_blocks = prof_add(place->alloc_blocks, s->alloc_blocks);
    place->samples += s->samples;
    if (s->alloc_bytes >= place->node_alloc) {
        place->node_alloc = s->alloc_bytes;
        place->node = node;
    }
}

static brisk_err gather(heap_view *view, const heap_profile *p)
{
    for (uint32_t i = 0; i < view->stack_count; i++) {
        view->place_of[i] = PROF_NO_ID;
        if (p->stacks[i].samples == 0) {
            continue;
        }
        uint32_t place = place_of(view, view->nodes[i]);
        if (place == PROF_NO_ID) {
            return BRISK_ERR_NOMEM;
        }
        view->place_of[i] = place;
        add_stack(&view->places.items[place], &p->stacks[i], view->nodes[i]);
    }
    return BRISK_OK;
}

typedef struct ranked {
    uint64_t live;
    uint64_t alloc;
    uint32_t was;
} ranked;

static int by_live(const void *a, const void *b)
{
    const ranked *x = a;
    const ranked *y = b;
    if (x->live != y->live) {
        return x->live < y->live ? 1 : -1;
    }
    return x->alloc < y->alloc ? 1 : x->alloc > y->alloc ? -1 : 0;
}

static brisk_err rank(heap_view *view)
{
    const brisk_alloc *alloc = view->alloc;
    size_t count = view->places.count;
    size_t bytes = count * (sizeof(ranked) + sizeof(heap_place) + sizeof(uint32_t)) + 16;
    char *room = alloc->acquire(alloc->ctx, bytes, 16);
    if (room == NULL) {
        return BRISK_ERR_NOMEM;
    }
    heap_place *places = (heap_place *)(void *)room;
    ranked *ranks = (ranked *)(void *)(room + count * sizeof *places);
    uint32_t *now = (uint32_t *)(void *)(ranks + count);
    for (uint32_t i = 0; i < count; i++) {
        places[i] = view->places.items[i];
        ranks[i] = (ranked){places[i].live, places[i].alloc, i};
    }
    qsort(ranks, count, sizeof *ranks, by_live);
    for (uint32_t i = 0; i < count; i++) {
        view->places.items[i] = places[ranks[i].was];
        now[ranks[i].was] = i;
    }
    for (uint32_t i = 0; i < view->stack_count; i++) {
        uint32_t was = view->place_of[i];
        view->place_of[i] = was != PROF_NO_ID ? now[was] : was;
    }
    alloc->release(alloc->ctx, room, bytes, 16);
    return BRISK_OK;
}

/* --- view ------------------------------------------------------------------------------------ */

static brisk_err take_nodes(heap_view *view, const heap_profile *p)
{
    static const char *const types[][2] = {{"alloc_objects", "count"},
                                           {"alloc_space", "bytes"},
                                           {"inuse_objects", "count"},
                                           {"inuse_space", "bytes"},
                                           {"peak_space", "bytes"}};
    prof_model *m = view->model;
    if (m->events.count != view->stack_count) {
        return BRISK_ERR_LIMIT;
    }
    for (uint32_t i = 0; i < view->stack_count; i++) {
        view->nodes[i] = m->events.items[i].stack;
    }
    m->events.count = 0; /* they were no events */
    m->type_count = 0;   /* and nothing was sampled by a clock */
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        (void)prof_type_of(m, types[t][0], types[t][1]);
    }
    for (uint32_t i = 0; i < view->stack_count; i++) {
        const heap_stack *s = &p->stacks[i];
        uint64_t values[] = {s->alloc_blocks, s->alloc_bytes, s->live_blocks, s->live_bytes,
                             s->peak_bytes};
        for (uint32_t t = 0; t < 5 && s->samples > 0; t++) {
            if (values[t] > 0) {
                prof_sample_add(m, view->nodes[i], 0, t, values[t]);
            }
        }
    }
    return prof_model_err(m);
}

static void fill_meta(prof_model *m, const heap_profile *p)
{
    m->meta.duration_ns = p->head.now_ns - p->head.start_ns;
    m->meta.wall_start_ns = p->head.wall_start_ns;
    m->meta.samples = p->head.samples;
    m->meta.lost = p->head.lost_samples;
    m->meta.period = p->head.interval;
    m->meta.command = prof_text_of(m, p->head.command);
    m->meta.default_type = p->head.live_bytes > 0 ? HEAP_TYPE_INUSE_SPACE : HEAP_TYPE_ALLOC_SPACE;
    prof_note(m, "heap of process %" PRIu32 ": one sample each %" PRIu64 " bytes or more often",
              p->head.pid, p->head.interval);
    if (p->head.lost_samples > 0) {
        prof_note(m,
                  "%" PRIu64
                  " samples found the table of live blocks full: they count as allocated "
                  "only",
                  p->head.lost_samples);
    }
    if (p->bad > 0) {
        prof_note(m, "%" PRIu32 " records contradicted themselves and were left out", p->bad);
    }
}

static brisk_err resolve(const heap_profile *p, const heap_view_opts *opts, heap_view *view)
{
    prof_intake intake;
    brisk_err err = prof_intake_init(&intake, view->alloc);
    if (err != BRISK_OK) {
        return err;
    }
    intake.offline = true;
    intake.spaces.offline = !opts->alive;
    intake.spaces.no_files = opts->no_files;
    prof_space *space = prof_space_of(&intake.spaces, p->head.pid);
    if (space != NULL) {
        take_mappings(p, &intake.spaces, space);
        fill_raw(&intake, p, space);
    }
    err = space != NULL ? prof_model_err(intake.raw) : BRISK_ERR_NOMEM;
    if (err == BRISK_OK) {
        prof_resolve_opts how = {.no_lines = opts->no_lines, .offline = !opts->alive, .scale = 1};
        err = prof_resolve(&intake, &how, &view->model);
    }
    prof_intake_deinit(&intake);
    return err;
}

brisk_err heap_view_make(const heap_profile *p, const heap_view_opts *opts, heap_view *ret)
{
    const brisk_alloc *alloc = opts->alloc != NULL ? opts->alloc : brisk_alloc_libc();
    heap_view view = {
        .alloc = alloc, .stack_count = p->head.stack_count, .places = BRISK_VEC_INIT(alloc)};
    view.nodes =
        alloc->acquire(alloc->ctx, 2 * view.stack_count * sizeof *view.nodes, _Alignof(uint32_t));
    if (view.nodes == NULL) {
        return BRISK_ERR_NOMEM;
    }
    view.place_of = view.nodes + view.stack_count;
    brisk_err err = resolve(p, opts, &view);
    if (err == BRISK_OK) {
        err = take_nodes(&view, p);
    }
    if (err == BRISK_OK) {
        err = gather(&view, p);
    }
    if (err == BRISK_OK) {
        err = rank(&view);
    }
    if (err == BRISK_OK) {
        fill_meta(view.model, p);
        err = prof_model_err(view.model);
    }
    if (err != BRISK_OK) {
        heap_view_deinit(&view);
        return err;
    }
    *ret = view;
    return BRISK_OK;
}

void heap_view_deinit(heap_view *view)
{
    if (view->alloc != NULL) {
        prof_model_destroy(view->model);
        view->alloc->release(view->alloc->ctx, view->nodes,
                             2 * view->stack_count * sizeof *view->nodes, _Alignof(uint32_t));
        BRISK_VEC_DEINIT(&view->places);
    }
    *view = (heap_view){0};
}

/* --- growth ---------------------------------------------------------------------------------- */

/* Stacks and live blocks of each place hang on chains: places times points times stacks would be 34 billion. */
typedef struct judge {
    double *times;
    double *live; /* of one place after the other */
    heap_survivor *survivors;
    uint32_t *first_stack; /* by place */
    uint32_t *next_stack;  /* by stack */
    uint32_t *first_live;  /* by place */
    uint32_t *next_live;   /* by live block */
    const heap_view *view;
    const heap_profile *profile;
    const heap_series *series;
} judge;

static double live_of(const judge *j, const heap_point *point, uint32_t place)
{
    double sum = 0;
    for (uint32_t s = j->first_stack[place]; s != PROF_NO_ID; s = j->next_stack[s]) {
        if (s < point->stack_count && point->stacks[s] <= INT64_MAX / 2) {
            sum += (double)point->stacks[s];
        }
    }
    return sum;
}

static heap_verdict judge_place(judge *j, uint32_t place)
{
    uint32_t points = (uint32_t)j->series->points.count;
    heap_growth growth = {
        .times = j->times, .live = j->live, .count = points, .survivors = j->survivors};
    double weights = 0;
    for (uint32_t i = 0; i < points; i++) {
        j->live[i] = live_of(j, &j->series->points.items[i], place);
    }
    /* Births are told since the process began, points since it was watched. */
    double end = j->times[points - 1];
    double age_end = (double)(j->profile->head.now_ns - j->profile->head.start_ns) / 1e9;
    for (uint32_t i = j->first_live[place]; i != PROF_NO_ID; i = j->next_live[i]) {
        const heap_live *l = &j->profile->live[i];
        j->survivors[growth.survivor_count++] =
            (heap_survivor){end - (age_end - (double)l->born_ms / 1e3), (double)l->weight};
        weights += (double)l->weight;
    }
    growth.sample_bytes = growth.survivor_count > 0 ? weights / growth.survivor_count : 1;
    return heap_leak_judge(&growth);
}

/* From the last to the first, so that a chain runs from the first to the last. */
static void make_chains(judge *j)
{
    for (uint32_t i = 0; i < j->view->places.count; i++) {
        j->first_stack[i] = PROF_NO_ID;
        j->first_live[i] = PROF_NO_ID;
    }
    for (uint32_t s = j->view->stack_count; s > 0; s--) {
        uint32_t place = j->view->place_of[s - 1];
        if (place != PROF_NO_ID) {
            j->next_stack[s - 1] = j->first_stack[place];
            j->first_stack[place] = s - 1;
        }
    }
    for (uint32_t i = j->profile->live_count; i > 0; i--) {
        uint32_t place = j->view->place_of[j->profile->live[i - 1].stack];
        if (place != PROF_NO_ID) {
            j->next_live[i - 1] = j->first_live[place];
            j->first_live[place] = i - 1;
        }
    }
}

brisk_err heap_view_judge(heap_view *view, const heap_profile *profile, const heap_series *series)
{
    const brisk_alloc *alloc = view->alloc;
    size_t points = series->points.count;
    size_t places = view->places.count;
    size_t bytes = 2 * points * sizeof(double) + (profile->live_count + 1) * sizeof(heap_survivor) +
                   (2 * places + view->stack_count + profile->live_count) * sizeof(uint32_t);
    if (points == 0) {
        return BRISK_OK;
    }
    char *room = alloc->acquire(alloc->ctx, bytes, 16);
    if (room == NULL) {
        return BRISK_ERR_NOMEM;
    }
    judge j = {.survivors = (heap_survivor *)(void *)room,
               .view = view,
               .profile = profile,
               .series = series};
    j.times = (double *)(void *)(j.survivors + profile->live_count + 1);
    j.live = j.times + points;
    j.first_stack = (uint32_t *)(void *)(j.live + points);
    j.first_live = j.first_stack + places;
    j.next_stack = j.first_live + places;
    j.next_live = j.next_stack + view->stack_count;
    make_chains(&j);
    for (size_t i = 0; i < points; i++) {
        j.times[i] = (double)series->points.items[i].time_ns / 1e9;
    }
    for (uint32_t i = 0; i < places; i++) {
        view->places.items[i].leak = judge_place(&j, i);
        view->places.items[i].first_live = (uint64_t)live_of(&j, &series->points.items[0], i);
    }
    alloc->release(alloc->ctx, room, bytes, 16);
    return BRISK_OK;
}
