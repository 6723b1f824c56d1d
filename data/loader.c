/* loader.c: a ring of batches.

   Batches are numbered from the last seek: number k is position (epoch, step) = start + k, and
   lives in slot k mod n_slots. Three counters, all behind one lock, say where everything is:

       delivered      numbers below it were given to the caller; the newest is still in use
       scheduled      numbers below it were taken up by a worker
       slot.ready     a worker has finished it

       ... | in use | ready | being filled | being filled | free ...
                    ^ delivered                           ^ scheduled  < delivered - 1 + n_slots

   Whoever takes a number up writes the sample numbers into the slot while it still holds the lock,
   so one permutation, that of the epoch being scheduled, is enough. Filling a slot then needs
   nothing shared. Without workers the caller does the same steps itself.

   A failed sample leaves status and story in its slot: errors are told in order, on the caller's
   thread. */
#include "data/loader.h"

#include "core/memory.h"
#include "core/platform.h"
#include "core/rng.h"
#include "data/worker_internal.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

typedef struct loader_slot {
    lode_tensor *x, *labels;           /* [batch, C, H, W], [batch] */
    lode_tensor *last_x, *last_labels; /* views of the first n_last, for an incomplete batch */
    int64_t *index;                    /* [batch] */
    int64_t n, epoch, step;
    bool ready;
    lode_status status;
    char story[1024];
} loader_slot;

typedef struct loader_scratch {
    lode_scratch sample;
    lode_pipeline_scratch pipeline;
} loader_scratch;

struct lode_loader {
    lode_dataset *dataset;
    const lode_data_split *split;
    const lode_pipeline *pipeline;
    lode_loader_options options;
    int channels, height, width;
    int64_t n_batches;
    int64_t n_last; /* samples of this rank in the last batch of an epoch */

    lode_gate *gate;
    lode_workers *workers;
    loader_scratch *scratch; /* [workers or 1] */
    bool started, stop;
    int n_slots;
    loader_slot *slot;               /* [n_slots] */
    int64_t start_epoch, start_step; /* position of number 0 */
    int64_t delivered, scheduled;
    int64_t n_busy;       /* slots being filled */
    int64_t asked_epoch;  /* of the batch last asked for */
    int64_t order_epoch;  /* epoch of `order`; -1: none yet */
    int64_t *order;       /* [split.n] sample numbers, as this epoch takes them */
    int64_t *permutation; /* [split.n] */
    double wait;
};

/* ---- positions ---- */

static void loader_position(const lode_loader *l, int64_t number, int64_t *epoch, int64_t *step) {
    int64_t at = l->start_step + number;
    *epoch = l->start_epoch + at / l->n_batches;
    *step = at % l->n_batches;
}

static void loader_order_epoch(lode_loader *l, int64_t epoch) {
    if (l->order_epoch == epoch) return;
    l->order_epoch = epoch;
    if (!l->options.shuffle) return; /* filled once, when created */
    lode_rng rng = lode_rng_stream(l->options.seed, LODE_RNG_SHUFFLE, (uint64_t)epoch);
    lode_rng_permutation(&rng, l->permutation, l->split->n);
    for (int64_t i = 0; i < l->split->n; i++) l->order[i] = l->split->index[l->permutation[i]];
}

/* First sample in the order, and number of samples, of this rank's share of a batch. The ranks
   share a batch in blocks: n_ranks processes see together what one would see with an n_ranks times
   larger batch. */
static int64_t loader_share(const lode_loader *l, int64_t step, int64_t *n) {
    int64_t whole = l->options.batch * l->options.n_ranks, begin = step * whole;
    int64_t size = l->split->n - begin < whole ? l->split->n - begin : whole;
    int64_t first = size * l->options.rank / l->options.n_ranks;
    *n = size * (l->options.rank + 1) / l->options.n_ranks - first;
    return begin + first;
}

/* ---- filling ---- */

/* Under the lock: the next number's slot, with its samples chosen. */
static loader_slot *loader_take_up(lode_loader *l) {
    int64_t epoch, step;
    loader_slot *slot = &l->slot[l->scheduled % l->n_slots];
    loader_position(l, l->scheduled++, &epoch, &step);
    loader_order_epoch(l, epoch);
    int64_t first = loader_share(l, step, &slot->n);
    memcpy(slot->index, l->order + first, (size_t)slot->n * sizeof *slot->index);
    slot->epoch = epoch;
    slot->step = step;
    slot->ready = false;
    return slot;
}

/* A sample of the pipeline's size: from the cache, or made and kept there. */
static lode_status loader_fit(lode_loader *l, int64_t sample, const lode_rng *rng,
                              loader_scratch *scratch, lode_sample *fitted) {
    lode_fit_cache *cache = l->options.fitted;
    const uint8_t *kept = cache != NULL ? lode_fit_cache_find(cache, sample) : NULL;
    lode_sample s;
    if (kept != NULL) {
        *fitted = (lode_sample){.pixels = kept,
                                .height = l->height,
                                .width = l->width,
                                .channels = lode_dataset_get_info(l->dataset)->channels,
                                .label = lode_dataset_label(l->dataset, l->split->part, sample)};
        return LODE_OK;
    }
    LODE_TRY(lode_dataset_get(l->dataset, l->split->part, sample, &scratch->sample, &s));
    LODE_TRY(lode_pipeline_fit(l->pipeline, &s, rng, &scratch->pipeline, fitted));
    if (cache != NULL) lode_fit_cache_keep(cache, sample, fitted->pixels);
    return LODE_OK;
}

static lode_status loader_fill_samples(lode_loader *l, loader_slot *slot, loader_scratch *scratch) {
    uint64_t n_samples = (uint64_t)lode_dataset_n_samples(l->dataset, l->split->part);
    int64_t size = (int64_t)l->height * l->width * l->channels;
    float *x = slot->x->data;
    int32_t *labels = slot->labels->data;
    for (int64_t i = 0; i < slot->n; i++) {
        lode_sample s;
        lode_rng rng =
            lode_rng_stream(l->options.seed, LODE_RNG_AUGMENT,
                            (uint64_t)slot->epoch * n_samples + (uint64_t)slot->index[i]);
        LODE_TRY(loader_fit(l, slot->index[i], &rng, scratch, &s));
        lode_pipeline_finish(l->pipeline, &s, &rng, x + i * size);
        labels[i] = (int32_t)s.label;
    }
    return LODE_OK;
}

static void loader_fill(lode_loader *l, loader_slot *slot, loader_scratch *scratch) {
    slot->status = loader_fill_samples(l, slot, scratch);
    if (slot->status != LODE_OK) snprintf(slot->story, sizeof slot->story, "%s", lode_last_error());
}

/* Under the lock: whether a slot is free and its batch wanted. A loader that does not shuffle stops
   at the end of the epoch that was last asked for. */
static bool loader_may_schedule(const lode_loader *l) {
    if (!l->started || l->scheduled >= l->delivered - 1 + l->n_slots) return false;
    int64_t epoch, step;
    loader_position(l, l->scheduled, &epoch, &step);
    return l->options.shuffle || epoch <= l->asked_epoch;
}

static void loader_work(void *self, int worker) {
    lode_loader *l = self;
    lode_gate_lock(l->gate);
    for (;;) {
        while (!l->stop && !loader_may_schedule(l)) lode_gate_wait(l->gate);
        if (l->stop) break;
        loader_slot *slot = loader_take_up(l);
        l->n_busy++;
        lode_gate_unlock(l->gate);
        loader_fill(l, slot, &l->scratch[worker]);
        lode_gate_lock(l->gate);
        l->n_busy--;
        slot->ready = true;
        lode_gate_ring(l->gate);
    }
    lode_gate_unlock(l->gate);
}

static void loader_stop(void *self) {
    lode_loader *l = self;
    lode_gate_lock(l->gate);
    l->stop = true;
    lode_gate_ring(l->gate);
    lode_gate_unlock(l->gate);
}

/* ---- making one ---- */

static lode_status loader_check(const lode_data_split *split, const lode_loader_options *o) {
    if (o->batch < 1 || o->batch > INT32_MAX)
        return LODE_FAIL(LODE_ERR_CONFIG, "data.batch is %lld, wanted at least 1",
                         (long long)o->batch);
    if (o->workers < 0 || o->workers > 1024 || o->prefetch < 0 || o->prefetch > 1024)
        return LODE_FAIL(LODE_ERR_CONFIG, "%d workers with %d batches ahead: wanted 0 to 1024",
                         o->workers, o->prefetch);
    if (o->n_ranks < 1 || o->rank < 0 || o->rank >= o->n_ranks)
        return LODE_FAIL(LODE_ERR_INVALID, "rank %d of %d", o->rank, o->n_ranks);
    if (split->n < 1)
        return LODE_FAIL(LODE_ERR_CONFIG, "the split `%s` is empty: nothing to load", split->name);
    if (o->drop_last && split->n < o->batch * o->n_ranks)
        return LODE_FAIL(LODE_ERR_CONFIG,
                         "the split `%s` has %lld samples, less than one batch of %lld: lower "
                         "data.batch",
                         split->name, (long long)split->n, (long long)(o->batch * o->n_ranks));
    return LODE_OK;
}

static lode_status loader_make_slot(const lode_loader *l, loader_slot *slot) {
    int64_t batch = l->options.batch < l->split->n ? l->options.batch : l->split->n;
    lode_shape x = LODE_SHAPE4(batch, l->channels, l->height, l->width), y = LODE_SHAPE1(batch);
    slot->index = LODE_NEW_ARRAY(int64_t, batch);
    if (slot->index == NULL) return LODE_ERR_NO_MEMORY;
    LODE_TRY(lode_tensor_create(NULL, LODE_F32, &x, LODE_CHANNELS_LAST, &slot->x));
    LODE_TRY(lode_tensor_create(NULL, LODE_S32, &y, LODE_CONTIGUOUS, &slot->labels));
    if (l->n_last == 0 || l->n_last == batch) return LODE_OK;
    LODE_TRY(lode_tensor_slice(slot->x, 0, 0, l->n_last, 1, &slot->last_x));
    return lode_tensor_slice(slot->labels, 0, 0, l->n_last, 1, &slot->last_labels);
}

static lode_status loader_make(lode_loader *l) {
    int n_scratch = l->options.workers > 0 ? l->options.workers : 1;
    l->order = LODE_NEW_ARRAY(int64_t, l->split->n);
    l->permutation = LODE_NEW_ARRAY(int64_t, l->split->n);
    l->slot = LODE_NEW_ARRAY(loader_slot, l->n_slots);
    l->scratch = LODE_NEW_ARRAY(loader_scratch, n_scratch);
    if (l->order == NULL || l->permutation == NULL || l->slot == NULL || l->scratch == NULL)
        return LODE_ERR_NO_MEMORY;
    memcpy(l->order, l->split->index, (size_t)l->split->n * sizeof *l->order);
    for (int i = 0; i < l->n_slots; i++) LODE_TRY(loader_make_slot(l, &l->slot[i]));
    LODE_TRY(lode_gate_create(&l->gate));
    if (l->options.workers == 0) return LODE_OK;
    return lode_workers_start(l->options.workers, loader_work, loader_stop, l, &l->workers);
}

lode_status lode_loader_create(lode_dataset *dataset, const lode_data_split *split,
                               const lode_pipeline *pipeline, const lode_loader_options *options,
                               lode_loader **out) {
    *out = NULL;
    lode_loader_options o = *options;
    if (o.n_ranks == 0) o.n_ranks = 1;
    if (o.prefetch == 0) o.prefetch = o.workers + 1;
    LODE_TRY(loader_check(split, &o));
    lode_loader *l = LODE_NEW(lode_loader);
    if (l == NULL) return LODE_ERR_NO_MEMORY;
    int64_t whole = o.batch * o.n_ranks;
    l->dataset = dataset;
    l->split = split;
    l->pipeline = pipeline;
    l->options = o;
    lode_pipeline_shape(pipeline, &l->channels, &l->height, &l->width);
    l->n_batches = o.drop_last ? split->n / whole : (split->n + whole - 1) / whole;
    loader_share(l, l->n_batches - 1, &l->n_last);
    l->n_slots = o.workers > 0 ? o.prefetch + 1 : 1;
    l->order_epoch = -1;
    lode_status status = loader_make(l);
    if (status == LODE_OK)
        *out = l;
    else
        lode_loader_destroy(l);
    return status;
}

void lode_loader_destroy(lode_loader *l) {
    if (l == NULL) return;
    lode_workers_join(l->workers);
    for (int i = 0; l->slot != NULL && i < l->n_slots; i++) {
        lode_tensor_release(l->slot[i].last_x);
        lode_tensor_release(l->slot[i].last_labels);
        lode_tensor_release(l->slot[i].x);
        lode_tensor_release(l->slot[i].labels);
        lode_free(l->slot[i].index);
    }
    int n_scratch = l->options.workers > 0 ? l->options.workers : 1;
    for (int i = 0; l->scratch != NULL && i < n_scratch; i++) {
        lode_scratch_deinit(&l->scratch[i].sample);
        lode_pipeline_scratch_deinit(&l->scratch[i].pipeline);
    }
    lode_gate_destroy(l->gate);
    lode_free(l->slot);
    lode_free(l->scratch);
    lode_free(l->order);
    lode_free(l->permutation);
    lode_free(l);
}

/* ---- using one ---- */

int64_t lode_loader_n_batches(const lode_loader *l) { return l->n_batches; }
int64_t lode_loader_n_samples(const lode_loader *l) { return l->split->n; }

int64_t lode_loader_bytes(const lode_loader *l) {
    return l->n_slots * (lode_device_rounded_bytes(lode_tensor_bytes(l->slot[0].x)) +
                         lode_device_rounded_bytes(lode_tensor_bytes(l->slot[0].labels)));
}

/* Only the caller's thread moves `delivered` and the start: reading them needs no lock. */
void lode_loader_tell(const lode_loader *l, int64_t *epoch, int64_t *step) {
    loader_position(l, l->delivered, epoch, step);
}

/* Work under way is waited for and thrown away. */
lode_status lode_loader_seek(lode_loader *l, int64_t epoch, int64_t step) {
    if (epoch < 0 || step < 0 || step > l->n_batches)
        return LODE_FAIL(LODE_ERR_INVALID, "seek to epoch %lld, step %lld of %lld batches",
                         (long long)epoch, (long long)step, (long long)l->n_batches);
    int64_t now_epoch, now_step;
    lode_loader_tell(l, &now_epoch, &now_step);
    if (step == l->n_batches) {
        epoch++;
        step = 0;
    }
    if (epoch == now_epoch && step == now_step) return LODE_OK;
    lode_gate_lock(l->gate);
    l->started = false; /* until the next batch is asked for */
    while (l->n_busy > 0) lode_gate_wait(l->gate);
    l->start_epoch = epoch;
    l->start_step = step;
    l->delivered = l->scheduled = 0;
    for (int i = 0; i < l->n_slots; i++) l->slot[i].ready = false;
    lode_gate_unlock(l->gate);
    return LODE_OK;
}

static loader_slot *loader_wait_for_next(lode_loader *l) {
    lode_gate_lock(l->gate);
    int64_t step;
    l->started = true;
    loader_position(l, l->delivered, &l->asked_epoch, &step);
    loader_slot *slot = &l->slot[l->delivered % l->n_slots];
    lode_gate_ring(l->gate);
    while (l->scheduled <= l->delivered || !slot->ready) lode_gate_wait(l->gate);
    if (slot->status == LODE_OK) l->delivered++;
    lode_gate_ring(l->gate); /* a slot is free */
    lode_gate_unlock(l->gate);
    return slot;
}

static loader_slot *loader_make_next(lode_loader *l) {
    l->scheduled = l->delivered;
    loader_slot *slot = loader_take_up(l);
    loader_fill(l, slot, &l->scratch[0]);
    if (slot->status == LODE_OK) l->delivered++;
    return slot;
}

lode_status lode_loader_next(lode_loader *l, lode_batch *out) {
    double begin = lode_clock();
    *out = (lode_batch){0};
    loader_slot *slot = l->workers != NULL ? loader_wait_for_next(l) : loader_make_next(l);
    l->wait += lode_clock() - begin;
    if (slot->status != LODE_OK) return LODE_FAIL(slot->status, "%s", slot->story);
    bool whole = slot->n == slot->x->shape.dim[0];
    *out = (lode_batch){.x = whole ? slot->x : slot->last_x,
                        .labels = whole ? slot->labels : slot->last_labels,
                        .index = slot->index,
                        .n = slot->n,
                        .epoch = slot->epoch,
                        .step = slot->step,
                        .last = slot->step == l->n_batches - 1};
    return LODE_OK;
}

double lode_loader_take_wait(lode_loader *l) {
    double wait = l->wait;
    l->wait = 0;
    return wait;
}
