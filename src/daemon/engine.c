/*
 * engine.c -- the one engine of a node: given, or made at the first need.
 *
 * The engine that `brisk serve` gives is the program's, which destroys it: at the end it only forgets
 * the server's registry, which goes before it.
 *
 * Invariant: `engine` is set once, when it is whole and watched, and stays until the end.
 */
#include "daemon/engine.h"

#include <brisk/log.h>

#include "daemon/metrics.h"

struct server_engine_of {
    const brisk_alloc *alloc;
    pthread_mutex_t lock; /* of making it */
    _Atomic(brisk_engine *) engine;
    bool owned;
};

static brisk_err watch(server *s, brisk_engine *engine)
{
    return brisk_engine_watch(engine, server_metrics_registry(s));
}

brisk_err server_engine_begin(server *s, brisk_engine *given)
{
    struct server_engine_of *self =
        s->alloc->acquire(s->alloc->ctx, sizeof *self, _Alignof(struct server_engine_of));
    if (self == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *self = (struct server_engine_of){.alloc = s->alloc};
    (void)pthread_mutex_init(&self->lock, NULL); /* cannot fail for a plain mutex on Linux */
    s->engine = self;
    brisk_err err = given != NULL ? watch(s, given) : BRISK_OK;
    if (err == BRISK_OK) {
        atomic_store_explicit(&self->engine, given, memory_order_relaxed); /* before the workers */
    }
    return err;
}

/* Under the lock. */
static brisk_engine *make(server *s)
{
    brisk_engine_opts opts = {
        .no_files = true, .no_disk = true, .clock = s->clock, .alloc = library_alloc(s->alloc)};
    brisk_engine *engine = NULL;
    brisk_errinfo info = {.text = ""};
    brisk_err err = brisk_engine_create(&opts, &engine, &info);
    if (err == BRISK_OK) {
        err = watch(s, engine);
        (void)snprintf(info.text, sizeof info.text, "%s", brisk_err_message(err));
    }
    if (err != BRISK_OK) {
        brisk_engine_destroy(engine);
        brisk_log(BRISK_LOG_ERROR, "serve", "no engine: %s", info.text);
        return NULL;
    }
    s->engine->owned = true;
    return engine;
}

brisk_engine *server_engine(server *s)
{
    struct server_engine_of *self = s->engine;
    /* Acquire: pairs with the release below; who sees it finds it whole. */
    brisk_engine *engine = atomic_load_explicit(&self->engine, memory_order_acquire);
    if (engine != NULL) {
        return engine;
    }
    (void)pthread_mutex_lock(&self->lock);
    engine = atomic_load_explicit(&self->engine, memory_order_relaxed);
    if (engine == NULL) {
        engine = make(s);
        atomic_store_explicit(&self->engine, engine, memory_order_release);
    }
    (void)pthread_mutex_unlock(&self->lock);
    return engine;
}

void server_engine_end(server *s)
{
    struct server_engine_of *self = s->engine;
    if (self == NULL) {
        return;
    }
    brisk_engine *engine = atomic_load_explicit(&self->engine, memory_order_relaxed);
    if (engine != NULL) {
        brisk_engine_unwatch(engine);
    }
    if (self->owned) {
        brisk_engine_destroy(engine);
    }
    (void)pthread_mutex_destroy(&self->lock);
    self->alloc->release(self->alloc->ctx, self, sizeof *self, _Alignof(struct server_engine_of));
    s->engine = NULL;
}
