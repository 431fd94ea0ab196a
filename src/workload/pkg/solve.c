/*
 * solve.c -- the search: propagate, decide, learn, until everything needed is chosen or nothing can
 * be.
 *
 * Needs are read when a version is chosen, never before.  What is decided next: the first need, in
 * the order in which packages were chosen, that nothing chosen meets yet; of its terms the first
 * that can still hold.  Where the search stands is kept per level, so that going back costs nothing
 * and going forward looks at each need once.
 *
 * Threads: one.
 */
#include "workload/pkg/solve_internal.h"

static brisk_err grow_packages(solver *s, uint32_t number)
{
    uint32_t capacity = s->package_capacity != 0 ? s->package_capacity : 256;
    while (capacity <= number) {
        capacity *= 2;
    }
    solve_package **packages = brisk_arena_calloc(s->arena, capacity, sizeof *packages);
    if (packages == NULL) {
        return BRISK_ERR_NOMEM;
    }
    if (s->package_capacity > 0) {
        memcpy(packages, s->packages, s->package_capacity * sizeof(*packages));
    }
    s->packages = packages;
    s->package_capacity = capacity;
    return BRISK_OK;
}

brisk_err solver_package(solver *s, uint32_t number, solve_package **ret)
{
    if (number < s->package_capacity && s->packages[number] != NULL) {
        *ret = s->packages[number];
        return BRISK_OK;
    }
    if (number >= SOLVE_PACKAGES_MAX) {
        return BRISK_ERR_LIMIT;
    }
    brisk_err err = number < s->package_capacity ? BRISK_OK : grow_packages(s, number);
    uint32_t count = 0;
    if (err == BRISK_OK) {
        err = s->provider->count(s->provider->ctx, number, &count);
    }
    if (err != BRISK_OK) {
        return err;
    }
    if (count > SOLVE_VERSIONS_MAX) {
        return BRISK_ERR_LIMIT;
    }
    solve_package *package = brisk_arena_calloc(s->arena, 1, sizeof *package);
    if (package == NULL || !solve_set_full(count, s->arena, &package->full)) {
        return BRISK_ERR_NOMEM;
    }
    package->count = count;
    package->words = solve_words(count);
    package->last = SOLVE_NONE;
    package->chosen = SOLVE_NONE;
    package->domain = package->full;
    s->packages[number] = package;
    s->package_end = number >= s->package_end ? number + 1 : s->package_end;
    *ret = package;
    return BRISK_OK;
}

/* --- the trail ---------------------------------------------------------------------------- */

/* The one version that is left, or SOLVE_NONE. */
static uint32_t only_version(const solve_package *package)
{
    uint32_t first = solve_set_next(package->domain, package->words, 0);
    if (first == package->count ||
        solve_set_next(package->domain, package->words, first + 1) != SOLVE_NONE) {
        return SOLVE_NONE;
    }
    return first;
}

static brisk_err push_entry(solver *s, uint32_t number, solve_set domain, uint32_t reason)
{
    solve_package *package = s->packages[number];
    solve_entry *entry = pkg_array_push(&s->trail, sizeof *entry, s->arena);
    if (entry == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *entry = (solve_entry){.package = number,
                           .before = package->last,
                           .reason = reason,
                           .level = s->levels.count,
                           .domain = domain};
    package->last = s->trail.count - 1;
    package->domain = domain;
    if (package->chosen == SOLVE_NONE) {
        package->chosen = only_version(package);
        if (package->chosen != SOLVE_NONE) {
            uint32_t *chosen = pkg_array_push(&s->chosen, sizeof *chosen, s->arena);
            if (chosen == NULL) {
                return BRISK_ERR_NOMEM;
            }
            *chosen = number;
        }
    }
    return BRISK_OK;
}

brisk_err solver_narrow(solver *s, uint32_t number, solve_set without, uint32_t reason)
{
    solve_package *package = s->packages[number];
    solve_set domain;
    if (!solve_set_minus(package->domain, without, package->words, s->arena, &domain)) {
        return BRISK_ERR_NOMEM;
    }
    return push_entry(s, number, domain, reason);
}

void solver_back(solver *s, uint32_t level)
{
    const solve_level *to = (const solve_level *)s->levels.items + level;
    while (s->trail.count > to->entries) {
        const solve_entry *entry = solver_entry(s, --s->trail.count);
        solve_package *package = s->packages[entry->package];
        package->last = entry->before;
        package->domain =
            entry->before != SOLVE_NONE ? solver_entry(s, entry->before)->domain : package->full;
    }
    uint32_t *chosen = s->chosen.items;
    while (s->chosen.count > to->chosen) {
        s->packages[chosen[--s->chosen.count]]->chosen = SOLVE_NONE;
    }
    s->hard = to->hard;
    s->weak = to->weak;
    s->propagated = to->entries;
    s->levels.count = level;
}

static brisk_err decide(solver *s, uint32_t number, uint32_t version)
{
    solve_level *level = pkg_array_push(&s->levels, sizeof *level, s->arena);
    solve_set one;
    if (level == NULL || !solve_set_one(s->packages[number]->count, version, s->arena, &one)) {
        return BRISK_ERR_NOMEM;
    }
    *level = (solve_level){
        .entries = s->trail.count, .chosen = s->chosen.count, .hard = s->hard, .weak = s->weak};
    s->decisions++;
    return push_entry(s, number, one, SOLVE_NONE);
}

/* --- nogoods ------------------------------------------------------------------------------ */

static bool term_holds(const solver *s, const solve_term *term)
{
    const solve_package *package = s->packages[term->package];
    return solve_set_within(package->domain, term->set, package->words);
}

uint32_t solver_satisfier(const solver *s, const solve_term *term)
{
    const solve_package *package = s->packages[term->package];
    uint32_t at = package->last;
    while (at != SOLVE_NONE) {
        uint32_t before = solver_entry(s, at)->before;
        if (before == SOLVE_NONE ||
            !solve_set_within(solver_entry(s, before)->domain, term->set, package->words)) {
            break;
        }
        at = before;
    }
    return at;
}

static bool term_fails(const solver *s, const solve_term *term)
{
    const solve_package *package = s->packages[term->package];
    return solve_set_apart(package->domain, term->set, package->words);
}

static brisk_err watch(solver *s, uint32_t number, uint32_t nogood)
{
    solve_watchers *list = &s->packages[number]->watchers;
    if (list->count == list->capacity) {
        uint32_t capacity = list->capacity != 0 ? list->capacity * 2 : 4;
        uint32_t *items = brisk_arena_alloc(s->arena, capacity * sizeof *items);
        if (items == NULL) {
            return BRISK_ERR_NOMEM;
        }
        if (list->count > 0) {
            memcpy(items, list->items, list->count * sizeof(*items));
        }
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = nogood;
    return BRISK_OK;
}

/*
 * How well a term serves as a watch: one that does not hold, else the one that came last to hold,
 * so that it is the first not to hold when the search goes back.
 */
static uint64_t watch_rank(const solver *s, const solve_term *term)
{
    return term_holds(s, term) ? solver_satisfier(s, term) : UINT64_MAX;
}

static void choose_watches(const solver *s, solve_nogood *nogood)
{
    uint64_t best[2] = {0, 0};
    nogood->watch[0] = nogood->watch[1] = SOLVE_NONE;
    for (uint32_t i = 0; i < nogood->term_count; i++) {
        uint64_t rank = watch_rank(s, &nogood->terms[i]);
        if (nogood->watch[0] == SOLVE_NONE || rank > best[0]) {
            nogood->watch[1] = nogood->watch[0];
            best[1] = best[0];
            nogood->watch[0] = i;
            best[0] = rank;
        } else if (nogood->watch[1] == SOLVE_NONE || rank > best[1]) {
            nogood->watch[1] = i;
            best[1] = rank;
        }
    }
    if (nogood->watch[1] == SOLVE_NONE) {
        nogood->watch[1] = nogood->watch[0];
    }
}

/* All terms but perhaps `term` hold: see what that means. */
static brisk_err act(solver *s, uint32_t id, const solve_term *term, uint32_t *conflict)
{
    if (term_fails(s, term)) {
        return BRISK_OK;
    }
    if (term_holds(s, term)) {
        *conflict = id;
        return BRISK_OK;
    }
    return solver_narrow(s, term->package, term->set, id);
}

brisk_err solver_add(solver *s, const solve_nogood *nogood, uint32_t *conflict)
{
    uint32_t id = s->nogoods.count;
    solve_nogood *kept = pkg_array_push(&s->nogoods, sizeof *kept, s->arena);
    if (kept == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *kept = *nogood;
    if (kept->term_count == 0) {
        *conflict = id;
        return BRISK_OK;
    }
    choose_watches(s, kept);
    const solve_term *first = &kept->terms[kept->watch[0]];
    const solve_term *second = &kept->terms[kept->watch[1]];
    brisk_err err = watch(s, first->package, id);
    if (err == BRISK_OK && second != first) {
        err = watch(s, second->package, id);
    }
    /* watch[0] has the greatest rank: when it holds all do, and when the second does, all others. */
    if (err == BRISK_OK && (first == second || term_holds(s, second))) {
        err = act(s, id, first, conflict);
    }
    return err;
}

/* `number` shrank, and term `mine` of the nogood may hold now: watch another one, or act. */
static brisk_err visit(solver *s, uint32_t id, uint32_t number, bool *keep, uint32_t *conflict)
{
    solve_nogood *nogood = solver_nogood(s, id);
    const solve_term *terms = nogood->terms;
    uint32_t mine = terms[nogood->watch[0]].package == number ? 0 : 1;
    const solve_term *other = &terms[nogood->watch[1 - mine]];
    *keep = true;
    if (!term_holds(s, &terms[nogood->watch[mine]]) ||
        (nogood->watch[0] != nogood->watch[1] && term_fails(s, other))) {
        return BRISK_OK;
    }
    for (uint32_t i = 0; i < nogood->term_count; i++) {
        if (i != nogood->watch[0] && i != nogood->watch[1] && !term_holds(s, &terms[i])) {
            nogood->watch[mine] = i;
            *keep = false;
            return watch(s, terms[i].package, id);
        }
    }
    return act(s, id, other, conflict);
}

/* Everything that watches `number`, which shrank. */
static brisk_err visit_all(solver *s, uint32_t number, uint32_t *conflict)
{
    solve_package *package = s->packages[number];
    uint32_t kept = 0;
    uint32_t i = 0;
    brisk_err err = BRISK_OK;
    /* The list may grow at its end meanwhile, and move: only of packages that hold no term. */
    for (; i < package->watchers.count && err == BRISK_OK && *conflict == SOLVE_NONE; i++) {
        uint32_t id = package->watchers.items[i];
        bool keep = true;
        err = visit(s, id, number, &keep, conflict);
        if (keep) {
            package->watchers.items[kept++] = id;
        }
    }
    for (; i < package->watchers.count; i++) {
        package->watchers.items[kept++] = package->watchers.items[i];
    }
    package->watchers.count = kept;
    return err;
}

/* --- needs -------------------------------------------------------------------------------- */

/* Does this version have a need of just these terms? */
static brisk_err has_need(solver *s, uint32_t number, uint32_t version, const solve_need *need,
                          bool *ret)
{
    solve_needs needs = {0};
    brisk_err err = s->provider->needs(s->provider->ctx, number, version, &needs);
    *ret = false;
    for (uint32_t i = 0; err == BRISK_OK && i < needs.hard_count && !*ret; i++) {
        bool same = needs.hard[i].count == need->count;
        for (uint32_t t = 0; same && t < need->count; t++) {
            const solve_term *a = &needs.hard[i].any_of[t];
            const solve_term *b = &need->any_of[t];
            same = a->package == b->package &&
                   solve_set_equal(a->set, b->set, s->packages[a->package]->words);
        }
        *ret = same;
    }
    return err;
}

/* The versions around `version` that have the need too. */
static brisk_err widen(solver *s, uint32_t number, uint32_t version, const solve_need *need,
                       solve_set *ret)
{
    const solve_package *package = s->packages[number];
    uint32_t from = version;
    uint32_t to = version + 1;
    bool same = s->provider->widen;
    brisk_err err = BRISK_OK;
    while (err == BRISK_OK && same && from > 0 && version - from < SOLVE_WIDEN_MAX) {
        err = has_need(s, number, from - 1, need, &same);
        from -= same ? 1 : 0;
    }
    same = s->provider->widen;
    while (err == BRISK_OK && same && to < package->count && to - version < SOLVE_WIDEN_MAX) {
        err = has_need(s, number, to, need, &same);
        to += same ? 1 : 0;
    }
    if (err != BRISK_OK || package->words == 1) {
        ret->bits = (UINT64_MAX >> (63 - (to - 1))) & (UINT64_MAX << from);
        return err;
    }
    uint64_t *words = solve_set_alloc(ret, package->words, s->arena);
    for (uint32_t v = from; words != NULL && v < to; v++) {
        words[v / 64] |= UINT64_C(1) << (v % 64);
    }
    return words != NULL ? BRISK_OK : BRISK_ERR_NOMEM;
}

brisk_err solver_work_meet(solver *s, uint32_t number, solve_set set)
{
    solve_package *package = s->packages[number];
    solve_term *work = s->work.items;
    if (package->mark != 0) {
        solve_set *at = &work[package->mark - 1].set;
        return solve_set_and(*at, set, package->words, s->arena, at) ? BRISK_OK : BRISK_ERR_NOMEM;
    }
    solve_term *term = pkg_array_push(&s->work, sizeof *term, s->arena);
    if (term == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *term = (solve_term){.package = number, .set = set};
    package->mark = s->work.count;
    return BRISK_OK;
}

brisk_err solver_work_take(solver *s, const solve_term **ret, uint32_t *ret_count, bool *never)
{
    const solve_term *work = s->work.items;
    solve_term *terms = brisk_arena_alloc(s->arena, (s->work.count + 1) * sizeof *terms);
    uint32_t count = 0;
    *never = false;
    for (uint32_t i = 0; i < s->work.count; i++) {
        solve_package *package = s->packages[work[i].package];
        package->mark = 0;
        *never |= solve_set_next(work[i].set, package->words, 0) == SOLVE_NONE;
        if (terms != NULL && !solve_set_equal(work[i].set, package->full, package->words)) {
            terms[count++] = work[i];
        }
    }
    s->work.count = 0;
    *ret = terms;
    *ret_count = count;
    return terms != NULL ? BRISK_OK : BRISK_ERR_NOMEM;
}

static brisk_err add_need(solver *s, uint32_t number, uint32_t version, uint32_t index,
                          const solve_need *need, uint32_t *conflict)
{
    solve_package *package = NULL;
    brisk_err err = BRISK_OK;
    for (uint32_t i = 0; err == BRISK_OK && i < need->count; i++) {
        const solve_term *term = &need->any_of[i];
        err = solver_package(s, term->package, &package);
        if (err == BRISK_OK && term->package == number &&
            solve_set_has(term->set, package->words, version)) {
            return BRISK_OK; /* it meets its own need */
        }
    }
    solve_set who = {0};
    if (err == BRISK_OK) {
        err = widen(s, number, version, need, &who);
    }
    if (err == BRISK_OK) {
        err = solver_work_meet(s, number, who);
    }
    for (uint32_t i = 0; err == BRISK_OK && i < need->count; i++) {
        const solve_term *term = &need->any_of[i];
        solve_set others = {0};
        package = s->packages[term->package];
        err = solve_set_minus(package->full, term->set, package->words, s->arena, &others)
                  ? solver_work_meet(s, term->package, others)
                  : BRISK_ERR_NOMEM;
    }
    solve_nogood nogood = {
        .kind = SOLVE_STEP_NEED, .package = number, .version = version, .need = index};
    bool never = false;
    if (err == BRISK_OK) {
        err = solver_work_take(s, &nogood.terms, &nogood.term_count, &never);
    }
    return err == BRISK_OK && !never ? solver_add(s, &nogood, conflict) : err;
}

static solve_loaded *find_loaded(const solve_package *package, uint32_t version)
{
    solve_loaded *l = package->loaded;
    while (l != NULL && l->version != version) {
        l = l->next;
    }
    return l;
}

/* Read the needs of a version that was chosen just now. */
static brisk_err load(solver *s, uint32_t number, uint32_t version, uint32_t *conflict)
{
    solve_package *package = s->packages[number];
    solve_loaded *l = find_loaded(package, version);
    if (l != NULL) {
        package->now = l;
        return BRISK_OK;
    }
    l = brisk_arena_calloc(s->arena, 1, sizeof *l);
    if (l == NULL) {
        return BRISK_ERR_NOMEM;
    }
    l->version = version;
    brisk_err err = s->provider->needs(s->provider->ctx, number, version, &l->needs);
    if (err != BRISK_OK) {
        return err;
    }
    l->next = package->loaded;
    package->loaded = l;
    package->now = l;
    /* All of them, also after a conflict: they are read once. */
    for (uint32_t i = 0; err == BRISK_OK && i < l->needs.hard_count; i++) {
        err = add_need(s, number, version, i, &l->needs.hard[i], conflict);
    }
    for (uint32_t i = 0; err == BRISK_OK && i < l->needs.weak_count; i++) {
        for (uint32_t t = 0; err == BRISK_OK && t < l->needs.weak[i].count; t++) {
            err = solver_package(s, l->needs.weak[i].any_of[t].package, &package);
        }
    }
    return err;
}

static brisk_err propagate(solver *s, uint32_t *conflict)
{
    brisk_err err = BRISK_OK;
    while (err == BRISK_OK && *conflict == SOLVE_NONE && s->propagated < s->trail.count) {
        uint32_t number = solver_entry(s, s->propagated++)->package;
        err = visit_all(s, number, conflict);
        const solve_package *package = s->packages[number];
        if (err == BRISK_OK && *conflict == SOLVE_NONE && package->chosen != SOLVE_NONE) {
            err = load(s, number, package->chosen, conflict);
        }
    }
    return err;
}

/* --- decisions ---------------------------------------------------------------------------- */

/* Is the need met by what is chosen, or by what may well stay away?  Else which term can meet it? */
static const solve_term *open_term(const solver *s, const solve_need *need)
{
    const solve_term *open = NULL;
    for (uint32_t i = 0; i < need->count; i++) {
        const solve_term *term = &need->any_of[i];
        const solve_package *package = s->packages[term->package];
        if (term_fails(s, term)) {
            continue;
        }
        bool away = solve_set_has(term->set, package->words, package->count) &&
                    solve_set_has(package->domain, package->words, package->count);
        if (away || (package->chosen != SOLVE_NONE && term_holds(s, term))) {
            return NULL;
        }
        open = open != NULL ? open : term;
    }
    return open;
}

/* From the cursor on, the first need that is open; NULL: none. */
static const solve_term *next_open(solver *s, solve_cursor *cursor, bool weak)
{
    for (; cursor->at < s->chosen.count; cursor->at++, cursor->need = 0) {
        const solve_package *package = s->packages[((const uint32_t *)s->chosen.items)[cursor->at]];
        const solve_needs *needs = &package->now->needs;
        uint32_t count = weak ? needs->weak_count : needs->hard_count;
        for (; cursor->need < count; cursor->need++) {
            const solve_need *need = weak ? &needs->weak[cursor->need] : &needs->hard[cursor->need];
            const solve_term *open = open_term(s, need);
            if (open != NULL) {
                return open;
            }
        }
    }
    return NULL;
}

/* *done when nothing is open. */
static brisk_err decide_next(solver *s, bool *done)
{
    const solve_term *term = next_open(s, &s->hard, false);
    if (term == NULL) {
        term = next_open(s, &s->weak, true);
    }
    if (term == NULL) {
        /* A need that was met by something not being there may be open again by now. */
        solve_cursor start = {0};
        term = next_open(s, &start, false);
    }
    *done = term == NULL;
    if (*done) {
        return BRISK_OK;
    }
    const solve_package *package = s->packages[term->package];
    solve_set allowed;
    solve_set away;
    if (!solve_set_one(package->count, package->count, s->arena, &away) ||
        !solve_set_and(package->domain, term->set, package->words, s->arena, &allowed) ||
        !solve_set_minus(allowed, away, package->words, s->arena, &allowed)) {
        return BRISK_ERR_NOMEM;
    }
    uint32_t version = s->provider->prefer(s->provider->ctx, term->package, allowed);
    if (version >= package->count || !solve_set_has(allowed, package->words, version)) {
        return BRISK_ERR_INVALID;
    }
    return decide(s, term->package, version);
}

/* --- the whole ---------------------------------------------------------------------------- */

static brisk_err start(solver *s, uint32_t *conflict)
{
    solve_package *root = NULL;
    brisk_err err = solver_package(s, s->root, &root);
    if (err != BRISK_OK || s->root_version >= root->count) {
        return err != BRISK_OK ? err : BRISK_ERR_INVALID;
    }
    solve_term *term = brisk_arena_alloc(s->arena, sizeof *term);
    solve_set one;
    if (term == NULL || !solve_set_one(root->count, s->root_version, s->arena, &one) ||
        !solve_set_minus(root->full, one, root->words, s->arena, &term->set)) {
        return BRISK_ERR_NOMEM;
    }
    term->package = s->root;
    solve_nogood nogood = {
        .kind = SOLVE_STEP_ROOT, .package = s->root, .terms = term, .term_count = 1};
    return solver_add(s, &nogood, conflict);
}

static brisk_err search(solver *s, bool *solved)
{
    uint32_t conflict = SOLVE_NONE;
    bool done = false;
    bool failed = false;
    brisk_err err = start(s, &conflict);
    while (err == BRISK_OK && !done && !failed) {
        err = conflict == SOLVE_NONE ? propagate(s, &conflict) : BRISK_OK;
        if (err != BRISK_OK) {
            break;
        }
        if (conflict == SOLVE_NONE) {
            err = decide_next(s, &done);
            continue;
        }
        if (s->conflicts++ >= s->conflicts_max) {
            return BRISK_ERR_LIMIT;
        }
        err = solver_learn(s, conflict, &failed);
        conflict = SOLVE_NONE;
    }
    *solved = done;
    return err;
}

static brisk_err take_answer(const solver *s, solve_result *ret)
{
    uint32_t *versions = brisk_arena_alloc(s->arena, (s->package_end + 1) * sizeof *versions);
    uint32_t *order = brisk_arena_alloc(s->arena, (s->chosen.count + 1) * sizeof *order);
    if (versions == NULL || order == NULL) {
        return BRISK_ERR_NOMEM;
    }
    for (uint32_t i = 0; i < s->package_end; i++) {
        versions[i] = s->packages[i] != NULL ? s->packages[i]->chosen : SOLVE_NONE;
    }
    memcpy(order, s->chosen.items, s->chosen.count * sizeof *order);
    ret->versions = versions;
    ret->package_count = s->package_end;
    ret->order = order;
    ret->order_count = s->chosen.count;
    return BRISK_OK;
}

brisk_err solve_run(const solve_provider *provider, uint32_t root, uint32_t version,
                    uint64_t conflicts_max, brisk_arena *arena, solve_result *ret)
{
    solver s = {.provider = provider,
                .arena = arena,
                .root = root,
                .root_version = version,
                .conflicts_max = conflicts_max != 0 ? conflicts_max : SOLVE_CONFLICTS_MAX};
    solve_result result = {0};
    brisk_err err = search(&s, &result.solved);
    result.decisions = s.decisions;
    result.conflicts = s.conflicts;
    result.nogoods = s.nogoods.count;
    if (err == BRISK_OK) {
        err = result.solved ? take_answer(&s, &result) : solver_prove(&s, &result.proof);
    }
    if (err == BRISK_OK) {
        *ret = result;
    }
    return err;
}
