/* worker_internal.h: the few thread primitives loaders need: one lock with one condition, and
   threads that run to their end. */
#ifndef LODE_DATA_WORKER_INTERNAL_H
#define LODE_DATA_WORKER_INTERNAL_H
#include "core/status.h"

/* A lock, and a bell that wakes everybody who waits at it. */
typedef struct lode_gate lode_gate;
lode_status lode_gate_create(lode_gate **out);
void lode_gate_destroy(lode_gate *g); /* NULL is fine; nobody waits */
void lode_gate_lock(lode_gate *g);
void lode_gate_unlock(lode_gate *g);
void lode_gate_wait(lode_gate *g); /* locked before and after; may wake without a ring */
void lode_gate_ring(lode_gate *g);

/* Starts n threads body(self, 0) ... body(self, n-1). A failure starts none: it calls `stop`, which
   must make the bodies return, and waits for those that already run. */
typedef struct lode_workers lode_workers;
lode_status lode_workers_start(int n, void (*body)(void *self, int worker),
                               void (*stop)(void *self), void *self, lode_workers **out);
/* Calls stop and waits for all; NULL is fine. */
void lode_workers_join(lode_workers *w);
#endif
