/* split.c: one permutation of the train part, cut from the front:

       permutation   | limit ..................................| unused
                     | valid | arch | train ...................|

   Stratified, the permutation is first brought into an order in which every prefix has the classes
   in proportion: the k-th sample of a class of n goes to the place (k + 1/2) / n. */
#include "data/split.h"

#include "core/memory.h"
#include "core/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct split_place {
    double at;     /* (k + 1/2) / n */
    int64_t order; /* in the permutation: decides ties */
    int64_t sample;
} split_place;

static int split_compare_places(const void *a, const void *b) {
    const split_place *p = a, *q = b;
    if (p->at != q->at) return p->at < q->at ? -1 : 1;
    return p->order < q->order ? -1 : p->order > q->order;
}

static int split_compare_samples(const void *a, const void *b) {
    const int64_t *p = a, *q = b;
    return *p < *q ? -1 : *p > *q;
}

static lode_status split_stratify(const lode_dataset *d, lode_part part, int64_t *perm, int64_t n) {
    int n_classes = lode_dataset_get_info(d)->n_classes;
    lode_status status = LODE_OK;
    split_place *place = LODE_NEW_ARRAY(split_place, n);
    int64_t *count = LODE_NEW_ARRAY(int64_t, n_classes), *seen = LODE_NEW_ARRAY(int64_t, n_classes);
    if (place == NULL || count == NULL || seen == NULL) {
        status = LODE_ERR_NO_MEMORY;
        goto done;
    }
    for (int64_t i = 0; i < n; i++) count[lode_dataset_label(d, part, perm[i])]++;
    for (int64_t i = 0; i < n; i++) {
        int c = lode_dataset_label(d, part, perm[i]);
        place[i] = (split_place){((double)seen[c] + 0.5) / (double)count[c], i, perm[i]};
        seen[c]++;
    }
    qsort(place, (size_t)n, sizeof *place, split_compare_places);
    for (int64_t i = 0; i < n; i++) perm[i] = place[i].sample;
done:
    lode_free(place);
    lode_free(count);
    lode_free(seen);
    return status;
}

static lode_status split_copy(lode_data_split *split, lode_part part, const int64_t *from,
                              int64_t n) {
    split->part = part;
    split->n = n;
    split->index = LODE_NEW_ARRAY(int64_t, n);
    if (split->index == NULL) return LODE_ERR_NO_MEMORY;
    if (n == 0) return LODE_OK;
    memcpy(split->index, from, (size_t)n * sizeof *from);
    qsort(split->index, (size_t)n, sizeof *from, split_compare_samples);
    return LODE_OK;
}

/* A share below 1 or a count, of n. -1 when it is more than n or no number. */
static int64_t split_share(double share, int64_t n) {
    double count = share < 1 ? floor(share * (double)n + 0.5) : floor(share);
    return count >= 0 && count <= (double)n ? (int64_t)count : -1;
}

static int64_t split_limit(int64_t limit, int64_t n) { return limit > 0 && limit < n ? limit : n; }

/* A permutation of a whole part, in an order whose prefixes may be taken. */
static lode_status split_permute(const lode_dataset *d, lode_part part, const lode_split_options *o,
                                 int64_t **out) {
    int64_t n = lode_dataset_n_samples(d, part);
    *out = LODE_NEW_ARRAY(int64_t, n);
    if (*out == NULL) return LODE_ERR_NO_MEMORY;
    lode_rng rng = lode_rng_stream(o->seed, LODE_RNG_SPLIT, (uint64_t)part);
    lode_rng_permutation(&rng, *out, n);
    return o->stratified ? split_stratify(d, part, *out, n) : LODE_OK;
}

static lode_status split_cut_train(const lode_dataset *d, const lode_split_options *o,
                                   lode_splits *out) {
    int64_t n = split_limit(o->limit, lode_dataset_n_samples(d, LODE_PART_TRAIN));
    int64_t n_valid = split_share(o->valid, n);
    int64_t n_arch = n_valid < 0 ? -1 : split_share(o->arch, n - n_valid);
    int64_t *perm = NULL;
    if (n_valid < 0 || n_arch < 0 || n_valid + n_arch >= n)
        return LODE_FAIL(LODE_ERR_CONFIG,
                         "dataset %s: data.valid %g and data.arch_split %g leave nothing to train "
                         "on of %lld samples",
                         lode_dataset_name(d), o->valid, o->arch, (long long)n);
    lode_status status = LODE_OK;
    LODE_GOTO(split_permute(d, LODE_PART_TRAIN, o, &perm));
    LODE_GOTO(split_copy(&out->split[1], LODE_PART_TRAIN, perm, n_valid));
    LODE_GOTO(split_copy(&out->split[2], LODE_PART_TRAIN, perm + n_valid, n_arch));
    LODE_GOTO(
        split_copy(&out->split[0], LODE_PART_TRAIN, perm + n_valid + n_arch, n - n_valid - n_arch));
done:
    lode_free(perm);
    return status;
}

static lode_status split_take_part(const lode_dataset *d, lode_part part, int64_t limit,
                                   const lode_split_options *o, lode_data_split *split) {
    int64_t *perm = NULL;
    lode_status status = LODE_OK;
    LODE_GOTO(split_permute(d, part, o, &perm));
    LODE_GOTO(split_copy(split, part, perm, split_limit(limit, lode_dataset_n_samples(d, part))));
done:
    lode_free(perm);
    return status;
}

lode_status lode_splits_init(const lode_dataset *d, const lode_split_options *options,
                             lode_splits *out) {
    static const char *const names[LODE_N_SPLITS] = {"train", "valid", "arch", "test"};
    lode_status status = LODE_OK;
    *out = (lode_splits){0};
    for (int i = 0; i < LODE_N_SPLITS; i++) out->split[i].name = names[i];
    LODE_GOTO(split_cut_train(d, options, out));
    if (out->split[1].n == 0) {
        lode_free(out->split[1].index);
        out->split[1].index = NULL;
        LODE_GOTO(
            split_take_part(d, LODE_PART_VALID, options->limit_test, options, &out->split[1]));
    }
    LODE_GOTO(split_take_part(d, LODE_PART_TEST, options->limit_test, options, &out->split[3]));
done:
    if (status != LODE_OK) lode_splits_deinit(out);
    return status;
}

void lode_splits_deinit(lode_splits *s) {
    for (int i = 0; i < LODE_N_SPLITS; i++) {
        lode_free(s->split[i].index);
        s->split[i].index = NULL;
        s->split[i].n = 0;
    }
}

lode_status lode_splits_find(const lode_splits *s, const char *name, const lode_data_split **out) {
    static const char *const remedies[LODE_N_SPLITS] = {
        "there are no training images", "set data.valid, the share to cut from the training images",
        "set data.arch_split, the share to cut from the training images",
        "the dataset has no test images; data.valid cuts a part from the training images"};
    *out = NULL;
    for (int i = 0; i < LODE_N_SPLITS; i++) {
        if (strcmp(s->split[i].name, name) != 0) continue;
        if (s->split[i].n == 0)
            return LODE_FAIL(LODE_ERR_CONFIG, "the split `%s` is empty: %s", name, remedies[i]);
        *out = &s->split[i];
        return LODE_OK;
    }
    return LODE_FAIL(LODE_ERR_NOT_FOUND,
                     "no split is called `%s`; there are train, valid, arch, test", name);
}
