/*
 * order.c -- in which order an answer can be installed: what a package depends on comes before it.
 *
 * Strongly connected components of the dependencies that the answer itself meets, found in one
 * walk; a component is complete when everything it depends on is, so that they come out in order.
 * Packages that depend on each other are one group.
 *
 * Threads: one.
 * Source: R. Tarjan, "Depth-first search and linear graph algorithms", SIAM J. Comput. 1 (1972).
 */
#include "workload/pkg/deb/resolve.h"

typedef struct frame {
    uint32_t choice;
    uint32_t relation; /* the next to look at */
    uint32_t term;     /* of it */
} frame;

typedef struct walk {
    const deb_index *index;
    const deb_answer *answer;
    uint32_t *choice_of; /* by package: 1 + its choice, 0: none */
    uint32_t *seen;      /* by choice: when, from 1; 0: not yet */
    uint32_t *low;       /* the earliest that is reached and open */
    bool *open;
    uint32_t *stack; /* of open choices */
    uint32_t stack_count;
    frame *frames;
    uint32_t frame_count;
    uint32_t time;
    uint32_t *items;
    uint32_t item_count;
    uint32_t *group_ends;
    uint32_t group_count;
} walk;

static bool walk_init(walk *w, brisk_arena *arena)
{
    size_t count = (size_t)w->answer->choice_count + 1;
    w->choice_of = brisk_arena_calloc(arena, (size_t)w->index->package_count + 1, sizeof(uint32_t));
    w->seen = brisk_arena_calloc(arena, count, sizeof(uint32_t));
    w->low = brisk_arena_calloc(arena, count, sizeof(uint32_t));
    w->open = brisk_arena_calloc(arena, count, sizeof(bool));
    w->stack = brisk_arena_calloc(arena, count, sizeof(uint32_t));
    w->frames = brisk_arena_calloc(arena, count, sizeof(frame));
    w->items = brisk_arena_calloc(arena, count, sizeof(uint32_t));
    w->group_ends = brisk_arena_calloc(arena, count, sizeof(uint32_t));
    return w->choice_of != NULL && w->seen != NULL && w->low != NULL && w->open != NULL &&
           w->stack != NULL && w->frames != NULL && w->items != NULL && w->group_ends != NULL;
}

/* The next choice that the frame's one depends on, or SOLVE_NONE. */
static uint32_t next_needed(const walk *w, frame *f)
{
    const deb_version *version = &w->index->versions[w->answer->choices[f->choice].version];
    for (; f->relation < version->counts[DEB_KIND_DEPENDS]; f->relation++, f->term = 0) {
        const deb_group *group = deb_ref(w->index, version, f->relation);
        while (f->term < group->term_count) {
            const solve_term *term = &w->index->terms[group->terms + f->term++];
            uint32_t choice = w->choice_of[term->package];
            if (choice == 0) {
                continue;
            }
            uint32_t first = w->index->packages[term->package].versions;
            if ((term->set.bits >> (w->answer->choices[choice - 1].version - first) & 1) != 0) {
                return choice - 1;
            }
        }
    }
    return SOLVE_NONE;
}

static void enter(walk *w, uint32_t choice)
{
    w->seen[choice] = w->low[choice] = ++w->time;
    w->open[choice] = true;
    w->stack[w->stack_count++] = choice;
    w->frames[w->frame_count++] = (frame){.choice = choice};
}

/* Everything that the choice depends on was walked. */
static void leave(walk *w, uint32_t choice)
{
    w->frame_count--;
    if (w->frame_count > 0) {
        uint32_t parent = w->frames[w->frame_count - 1].choice;
        w->low[parent] = w->low[choice] < w->low[parent] ? w->low[choice] : w->low[parent];
    }
    if (w->low[choice] != w->seen[choice]) {
        return;
    }
    uint32_t member = SOLVE_NONE;
    while (member != choice) {
        member = w->stack[--w->stack_count];
        w->open[member] = false;
        w->items[w->item_count++] = member;
    }
    w->group_ends[w->group_count++] = w->item_count;
}

static void walk_from(walk *w, uint32_t choice)
{
    enter(w, choice);
    while (w->frame_count > 0) {
        frame *f = &w->frames[w->frame_count - 1];
        uint32_t needed = next_needed(w, f);
        if (needed == SOLVE_NONE) {
            leave(w, f->choice);
        } else if (w->seen[needed] == 0) {
            enter(w, needed);
        } else if (w->open[needed] && w->seen[needed] < w->low[f->choice]) {
            w->low[f->choice] = w->seen[needed];
        }
    }
}

brisk_err deb_order_of(const deb_index *index, const deb_answer *answer, brisk_arena *arena,
                       deb_order *ret)
{
    walk w = {.index = index, .answer = answer};
    if (!walk_init(&w, arena)) {
        return BRISK_ERR_NOMEM;
    }
    for (uint32_t i = 0; i < answer->choice_count; i++) {
        w.choice_of[answer->choices[i].package] = i + 1;
    }
    for (uint32_t i = 0; i < answer->choice_count; i++) {
        if (w.seen[i] == 0) {
            walk_from(&w, i);
        }
    }
    *ret = (deb_order){.items = w.items, .group_ends = w.group_ends, .group_count = w.group_count};
    return BRISK_OK;
}
