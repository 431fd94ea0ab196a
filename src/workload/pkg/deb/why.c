/*
 * why.c -- on which way a package of an answer came in: from the nearest package that was asked for.
 *
 * Breadth first over what the answer itself meets: dependencies, and recommendations where they
 * were wanted; the first way that reaches a package is a shortest one, of several that in the order
 * of the relations as they are written.
 *
 * Threads: one.
 */
#include "workload/pkg/deb/resolve.h"

typedef struct search {
    const deb_index *index;
    const deb_answer *answer;
    uint32_t *choice_of; /* by package: 1 + its choice, 0: none */
    deb_step *steps;     /* by choice: what reached it */
    bool *reached;
    uint32_t *queue;
    uint32_t count;
} search;

/* Whatever of the answer meets the group of `from`. */
static void reach(search *s, uint32_t from, const deb_group *group, deb_kind kind)
{
    for (uint32_t t = 0; t < group->term_count; t++) {
        const solve_term *term = &s->index->terms[group->terms + t];
        uint32_t to = s->choice_of[term->package];
        if (to == 0 || s->reached[to - 1]) {
            continue;
        }
        uint32_t first = s->index->packages[term->package].versions;
        if ((term->set.bits >> (s->answer->choices[to - 1].version - first) & 1) != 0) {
            s->reached[to - 1] = true;
            s->steps[to - 1] =
                (deb_step){.from = from, .to = to - 1, .text = group->text, .kind = kind};
            s->queue[s->count++] = to - 1;
        }
    }
}

static void expand(search *s, uint32_t from, bool recommends)
{
    const deb_version *version = &s->index->versions[s->answer->choices[from].version];
    uint32_t at = 0;
    for (int kind = 0; kind < DEB_KIND_COUNT; kind++) {
        for (uint32_t i = 0; i < version->counts[kind]; i++, at++) {
            if (kind == DEB_KIND_DEPENDS || (kind == DEB_KIND_RECOMMENDS && recommends)) {
                reach(s, from, deb_ref(s->index, version, at), (deb_kind)kind);
            }
        }
    }
}

static bool search_init(search *s, brisk_arena *arena)
{
    size_t count = (size_t)s->answer->choice_count + 1;
    s->choice_of = brisk_arena_calloc(arena, (size_t)s->index->package_count + 1, sizeof(uint32_t));
    s->steps = brisk_arena_calloc(arena, count, sizeof *s->steps);
    s->reached = brisk_arena_calloc(arena, count, sizeof(bool));
    s->queue = brisk_arena_calloc(arena, count, sizeof(uint32_t));
    return s->choice_of != NULL && s->steps != NULL && s->reached != NULL && s->queue != NULL;
}

brisk_err deb_why(const deb_index *index, const deb_answer *answer, uint32_t target,
                  bool recommends, brisk_arena *arena, deb_way *ret)
{
    search s = {.index = index, .answer = answer};
    if (!search_init(&s, arena)) {
        return BRISK_ERR_NOMEM;
    }
    for (uint32_t i = 0; i < answer->choice_count; i++) {
        s.choice_of[answer->choices[i].package] = i + 1;
        if (answer->choices[i].asked) {
            s.reached[i] = true;
            s.queue[s.count++] = i;
        }
    }
    for (uint32_t i = 0; i < s.count && !s.reached[target]; i++) {
        expand(&s, s.queue[i], recommends);
    }
    *ret = (deb_way){0};
    if (!s.reached[target]) {
        return BRISK_ERR_NOT_FOUND;
    }
    uint32_t count = 0;
    for (uint32_t at = target; !answer->choices[at].asked; at = s.steps[at].from) {
        count++;
    }
    deb_step *way = brisk_arena_calloc(arena, (size_t)count + 1, sizeof *way);
    if (way == NULL) {
        return BRISK_ERR_NOMEM;
    }
    uint32_t at = target;
    for (uint32_t i = count; i > 0; i--, at = s.steps[at].from) {
        way[i - 1] = s.steps[at];
    }
    *ret = (deb_way){.steps = way, .count = count};
    return BRISK_OK;
}
