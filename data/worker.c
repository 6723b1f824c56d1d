/* worker.c: POSIX threads behind the shape loaders need (worker_internal.h). C11's own <threads.h>
   is optional, and the thread sanitizer does not know it. */
#include "core/memory.h"
#include "data/worker_internal.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>

struct lode_gate {
    pthread_mutex_t mutex;
    pthread_cond_t bell;
};

lode_status lode_gate_create(lode_gate **out) {
    *out = NULL;
    lode_gate *g = LODE_NEW(lode_gate);
    if (g == NULL) return LODE_ERR_NO_MEMORY;
    int code = pthread_mutex_init(&g->mutex, NULL);
    if (code == 0) {
        code = pthread_cond_init(&g->bell, NULL);
        if (code != 0) pthread_mutex_destroy(&g->mutex);
    }
    if (code != 0) {
        lode_free(g);
        return LODE_FAIL(LODE_ERR_IO, "cannot make a lock: %s", strerror(code));
    }
    *out = g;
    return LODE_OK;
}

void lode_gate_destroy(lode_gate *g) {
    if (g == NULL) return;
    pthread_cond_destroy(&g->bell);
    pthread_mutex_destroy(&g->mutex);
    lode_free(g);
}

/* These fail only when misused. */
static void worker_must(int code) {
    assert(code == 0);
    (void)code;
}

void lode_gate_lock(lode_gate *g) { worker_must(pthread_mutex_lock(&g->mutex)); }
void lode_gate_unlock(lode_gate *g) { worker_must(pthread_mutex_unlock(&g->mutex)); }
void lode_gate_wait(lode_gate *g) { worker_must(pthread_cond_wait(&g->bell, &g->mutex)); }
void lode_gate_ring(lode_gate *g) { worker_must(pthread_cond_broadcast(&g->bell)); }

typedef struct worker_start {
    lode_workers *all;
    int number;
    pthread_t thread;
} worker_start;

struct lode_workers {
    void (*body)(void *self, int worker);
    void (*stop)(void *self);
    void *self;
    int n;
    worker_start worker[]; /* [n] */
};

static void *worker_main(void *argument) {
    worker_start *w = argument;
    w->all->body(w->all->self, w->number);
    return NULL;
}

lode_status lode_workers_start(int n, void (*body)(void *self, int worker),
                               void (*stop)(void *self), void *self, lode_workers **out) {
    *out = NULL;
    lode_workers *w = lode_calloc(1, sizeof *w + (size_t)n * sizeof w->worker[0]);
    if (w == NULL) return LODE_ERR_NO_MEMORY;
    w->body = body;
    w->stop = stop;
    w->self = self;
    for (int i = 0; i < n; i++) {
        w->worker[i].all = w;
        w->worker[i].number = i;
        int code = pthread_create(&w->worker[i].thread, NULL, worker_main, &w->worker[i]);
        if (code != 0) {
            lode_workers_join(w);
            return LODE_FAIL(LODE_ERR_NO_MEMORY,
                             "cannot start worker thread %d of %d: %s; lower data.workers", i + 1,
                             n, strerror(code));
        }
        w->n++;
    }
    *out = w;
    return LODE_OK;
}

void lode_workers_join(lode_workers *w) {
    if (w == NULL) return;
    w->stop(w->self);
    for (int i = 0; i < w->n; i++) worker_must(pthread_join(w->worker[i].thread, NULL));
    lode_free(w);
}
