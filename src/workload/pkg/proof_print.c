/*
 * proof_print.c -- a proof as sentences.
 *
 * One sentence per resolution: "Because A and B, C."  What only leads to one other step is said in
 * that step's sentence, up to REASONS_MAX reasons in one.  What was said in the sentence before is
 * not said again ("And because ..."); what was said earlier has a number.  That the root is chosen
 * goes without saying.
 *
 * Threads: one.
 */
#include "workload/pkg/solve.h"
#include "workload/pkg/solve_set.h"

enum {
    REASONS_MAX = 3,
    TERMS_MAX = 20, /* named in one list; of more the rest is a number */
};

/* What becomes of a step in the text. */
typedef struct telling {
    uint32_t same;   /* the step that says the same: itself, or the one without the root */
    uint32_t uses;   /* of the sentence, by other sentences */
    uint32_t size;   /* reasons in its sentence; 0: it is no sentence but a fact */
    bool inlined;    /* said in the sentence of its one user */
    uint32_t number; /* "(1)"; 0: none */
} telling;

typedef struct teller {
    const solve_proof *proof;
    const solve_provider *provider;
    const solve_words_of *words;
    brisk_arena *arena;
    telling *steps;
    uint32_t previous; /* the step of the sentence before */
    uint32_t numbers;
    bool with_root;   /* say also that the root is there */
    const char *text; /* of the sentence at work; NULL: out of memory */
    brisk_err err;
} teller;

static void say(teller *t, const char *text)
{
    if (t->text != NULL && text != NULL) {
        t->text = brisk_arena_printf(t->arena, "%s%s", t->text, text);
    } else {
        t->text = NULL;
    }
}

/* Is the term about the package not being there, or being another version? */
static bool is_negative(teller *t, const solve_term *term, uint32_t *count)
{
    brisk_err err = t->provider->count(t->provider->ctx, term->package, count);
    t->err = t->err == BRISK_OK ? err : t->err;
    return err == BRISK_OK && solve_set_has(term->set, solve_words(*count), *count);
}

static void say_term(teller *t, const solve_term *term)
{
    uint32_t count = 0;
    solve_set set = term->set;
    if (is_negative(t, term, &count)) {
        solve_set full;
        if (!solve_set_full(count, t->arena, &full) ||
            !solve_set_minus(full, set, solve_words(count), t->arena, &set)) {
            t->text = NULL;
            return;
        }
    }
    say(t, t->words->versions(t->words->ctx, term->package, set, t->arena));
}

static uint32_t count_terms(teller *t, const solve_step *step, bool negative)
{
    uint32_t silent = t->with_root ? SOLVE_NONE : t->proof->root;
    uint32_t total = 0;
    for (uint32_t i = 0; i < step->term_count; i++) {
        uint32_t count = 0;
        total +=
            step->terms[i].package != silent && is_negative(t, &step->terms[i], &count) == negative
                ? 1
                : 0;
    }
    return total;
}

/* The terms of one kind, joined: "a, b and c". */
static void say_terms(teller *t, const solve_step *step, bool negative, const char *last_word)
{
    uint32_t silent = t->with_root ? SOLVE_NONE : t->proof->root;
    uint32_t total = count_terms(t, step, negative);
    uint32_t named = total > TERMS_MAX ? TERMS_MAX - 1 : total;
    uint32_t said = 0;
    for (uint32_t i = 0; i < step->term_count && said < named; i++) {
        const solve_term *term = &step->terms[i];
        uint32_t count = 0;
        if (term->package != silent && is_negative(t, term, &count) == negative) {
            say(t, said == 0 ? "" : said + 1 == total ? last_word : ", ");
            say_term(t, term);
            said++;
        }
    }
    if (named < total) {
        say(t, brisk_arena_printf(t->arena, "%s%u more", last_word, total - named));
    }
}

/* What the terms say, whatever they came from. */
static void say_clause(teller *t, const solve_step *step)
{
    uint32_t there = count_terms(t, step, false);
    uint32_t needed = count_terms(t, step, true);
    if (there + needed == 0) {
        say(t, "there is no answer");
        return;
    }
    if (there == 0) {
        say_terms(t, step, true, " or ");
        say(t, " must be there");
        return;
    }
    say_terms(t, step, false, " and ");
    if (needed == 0) {
        say(t, there == 1   ? " cannot be there"
               : there == 2 ? " exclude each other"
                            : " cannot all be there");
        return;
    }
    say(t, there == 1 ? " needs " : " together need ");
    say_terms(t, step, true, " or ");
}

/* A need in the words it was written in. */
static void say_fact(teller *t, const solve_step *step)
{
    const char *text = NULL;
    if (step->kind == SOLVE_STEP_NEED && t->words->need != NULL) {
        text = t->words->need(t->words->ctx, step->package, step->a, step->b, t->arena);
    }
    if (text == NULL) {
        t->with_root = true;
        say_clause(t, step);
        t->with_root = false;
        return;
    }
    for (uint32_t i = 0; i < step->term_count; i++) {
        if (step->terms[i].package == step->package) {
            say_term(t, &step->terms[i]);
        }
    }
    say(t, " ");
    say(t, text);
    if (step->term_count == 1) {
        say(t, ", which nothing can meet");
    }
}

/* The reasons of a sentence: facts, and sentences before. */
typedef struct reasons {
    uint32_t items[REASONS_MAX + 1];
    uint32_t count;
} reasons;

/* Inlining stops at REASONS_MAX, so this goes at most that deep. */
static void gather(const teller *t, uint32_t step, reasons *ret)
{
    const uint32_t from[2] = {t->proof->steps[step].a, t->proof->steps[step].b};
    for (int i = 0; i < 2; i++) {
        uint32_t reason = t->steps[from[i]].same;
        if (t->steps[reason].inlined) {
            gather(t, reason, ret);
        } else if (ret->count < REASONS_MAX) {
            ret->items[ret->count++] = reason;
        }
    }
}

/* Which steps are sentences, and which are said in another's. */
static void plan(teller *t)
{
    const solve_step *steps = t->proof->steps;
    for (uint32_t i = 0; i < t->proof->count; i++) {
        telling *mine = &t->steps[i];
        *mine = (telling){.same = i};
        if (steps[i].kind != SOLVE_STEP_RESOLVE) {
            continue;
        }
        if (steps[steps[i].a].kind == SOLVE_STEP_ROOT ||
            steps[steps[i].b].kind == SOLVE_STEP_ROOT) {
            uint32_t other = steps[steps[i].a].kind == SOLVE_STEP_ROOT ? steps[i].b : steps[i].a;
            mine->same = t->steps[other].same;
            continue;
        }
        t->steps[t->steps[steps[i].a].same].uses++;
        t->steps[t->steps[steps[i].b].same].uses++;
    }
    for (uint32_t i = 0; i < t->proof->count; i++) {
        telling *mine = &t->steps[i];
        if (steps[i].kind != SOLVE_STEP_RESOLVE || mine->same != i) {
            continue;
        }
        telling *a = &t->steps[t->steps[steps[i].a].same];
        telling *b = &t->steps[t->steps[steps[i].b].same];
        mine->size = 2;
        telling *both[2] = {a, b};
        for (int k = 0; k < 2; k++) {
            if (both[k]->size > 0 && both[k]->uses == 1 &&
                mine->size - 1 + both[k]->size <= REASONS_MAX) {
                both[k]->inlined = true;
                mine->size += both[k]->size - 1;
            }
        }
    }
}

static bool is_sentence(const teller *t, uint32_t step)
{
    return t->steps[step].same == step && t->steps[step].size > 0 && !t->steps[step].inlined;
}

/* Sentences that are referred to from further on get a number. */
static void number(teller *t)
{
    uint32_t previous = SOLVE_NONE;
    for (uint32_t i = 0; i < t->proof->count; i++) {
        if (!is_sentence(t, i)) {
            continue;
        }
        reasons r = {.count = 0};
        gather(t, i, &r);
        for (uint32_t k = 0; k < r.count; k++) {
            if (t->steps[r.items[k]].size > 0 && r.items[k] != previous) {
                t->steps[r.items[k]].number = 1;
            }
        }
        previous = i;
    }
    for (uint32_t i = 0; i < t->proof->count; i++) {
        if (t->steps[i].number != 0) {
            t->steps[i].number = ++t->numbers;
        }
    }
}

static void say_number(teller *t, uint32_t step)
{
    if (t->steps[step].number != 0) {
        say(t, brisk_arena_printf(t->arena, " (%u)", t->steps[step].number));
    }
}

static void say_sentence(teller *t, uint32_t step)
{
    reasons r = {.count = 0};
    gather(t, step, &r);
    uint32_t fresh = 0; /* not said just before */
    for (uint32_t k = 0; k < r.count; k++) {
        fresh += r.items[k] != t->previous ? 1 : 0;
    }
    say(t, fresh < r.count ? "And because " : "Because ");
    uint32_t said = 0;
    for (uint32_t k = 0; k < r.count; k++) {
        if (r.items[k] == t->previous) {
            continue;
        }
        say(t, said == 0 ? "" : said + 1 == fresh ? ", and " : ", ");
        if (t->steps[r.items[k]].size > 0) {
            say_clause(t, &t->proof->steps[r.items[k]]);
            say_number(t, r.items[k]);
        } else {
            say_fact(t, &t->proof->steps[r.items[k]]);
        }
        said++;
    }
    say(t, ": ");
    say_clause(t, &t->proof->steps[step]);
    say_number(t, step);
    say(t, ".");
    t->previous = step;
}

brisk_err solve_proof_tell(const solve_proof *proof, const solve_provider *provider,
                           const solve_words_of *words, brisk_arena *arena, solve_sentences *ret)
{
    teller t = {.proof = proof,
                .provider = provider,
                .words = words,
                .arena = arena,
                .previous = SOLVE_NONE};
    t.steps = brisk_arena_calloc(arena, (size_t)proof->count + 1, sizeof *t.steps);
    const char **items = brisk_arena_alloc(arena, ((size_t)proof->count + 1) * sizeof *items);
    if (t.steps == NULL || items == NULL) {
        return BRISK_ERR_NOMEM;
    }
    plan(&t);
    number(&t);
    uint32_t count = 0;
    uint32_t last = t.steps[proof->count - 1].same;
    for (uint32_t i = 0; i <= last && t.err == BRISK_OK; i++) {
        bool lone = i == last && t.steps[i].size == 0; /* one fact is the whole proof */
        if (!is_sentence(&t, i) && !lone) {
            continue;
        }
        t.text = lone ? "Because " : "";
        if (lone) {
            say_fact(&t, &proof->steps[i]);
            say(&t, ": there is no answer.");
        } else {
            say_sentence(&t, i);
        }
        if (t.text == NULL) {
            return t.err != BRISK_OK ? t.err : BRISK_ERR_NOMEM;
        }
        items[count++] = t.text;
    }
    *ret = (solve_sentences){.items = items, .count = count};
    return t.err;
}
