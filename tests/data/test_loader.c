/* Loaders: the same batches whatever the workers, prefetch, history and ranks. */
#include "core/platform.h"
#include "data/loader.h"
#include "data/small_images.h"
#include "support/support.h"

enum { CLASSES = 5, SIZE = 6, N_TRAIN = 53 };

typedef struct setup {
    lode_dataset *dataset;
    lode_splits splits;
    lode_augment_options augment;
    lode_pipeline *train, *eval;
} setup;

static void make(setup *s) {
    *s = (setup){.augment = {.pad = 2, .flip = true, .cutout = 2, .brightness = 0.3}};
    lode_dataset_request r = {.n_classes = CLASSES, .size = SIZE, .seed = 4};
    lode_split_options split = {.limit = N_TRAIN, .limit_test = 20, .seed = 4};
    lode_pipeline_options p = {.height = SIZE, .width = SIZE, .channels = 3, .std = {1, 1, 1}};
    assert_ok(lode_dataset_open("synthetic", &r, &s->dataset));
    assert_ok(lode_splits_init(s->dataset, &split, &s->splits));
    assert_ok(lode_pipeline_create(&p, &s->eval));
    p.augment = &s->augment;
    assert_ok(lode_pipeline_create(&p, &s->train));
}

static void unmake(setup *s) {
    lode_pipeline_destroy(s->train);
    lode_pipeline_destroy(s->eval);
    lode_splits_deinit(&s->splits);
    lode_dataset_close(s->dataset);
}

static lode_loader *load(setup *s, bool train, const lode_loader_options *o) {
    lode_loader *l;
    assert_ok(lode_loader_create(s->dataset, &s->splits.split[train ? 0 : 3],
                                 train ? s->train : s->eval, o, &l));
    return l;
}

/* A number that stands for everything in a batch. */
static uint64_t fingerprint(const lode_batch *b) {
    uint64_t h = lode_hash_bytes(b->index, (uint64_t)b->n * sizeof *b->index, 1);
    if (b->n == 0) return h;
    h = lode_hash_bytes(b->x->data, lode_tensor_bytes(b->x), h);
    return lode_hash_bytes(b->labels->data, lode_tensor_bytes(b->labels), h);
}

static uint64_t next_fingerprint(lode_loader *l) {
    lode_batch b;
    assert_ok(lode_loader_next(l, &b));
    return fingerprint(&b);
}

static void batches_are_what_they_say(void **state) {
    (void)state;
    setup s;
    make(&s);
    lode_loader *l = load(&s, false, &(lode_loader_options){.batch = 8});
    lode_scratch scratch = {0};
    lode_pipeline_scratch work = {0};
    lode_batch b;
    assert_int_equal(lode_loader_n_batches(l), 3);
    assert_int_equal(lode_loader_n_samples(l), 20);
    for (int step = 0, at = 0; step < 3; step++) {
        assert_ok(lode_loader_next(l, &b));
        assert_int_equal(b.n, step < 2 ? 8 : 4);
        assert_int_equal(b.step, step);
        assert_int_equal(b.epoch, 0);
        assert_int_equal(b.last, step == 2);
        assert_true(lode_tensor_is_channels_last(b.x));
        lode_shape wanted = LODE_SHAPE4(b.n, 3, SIZE, SIZE);
        assert_true(lode_shape_equal(&b.x->shape, &wanted));
        assert_int_equal(b.labels->dtype, LODE_S32);
        assert_int_equal(b.labels->shape.dim[0], b.n);
        for (int64_t i = 0; i < b.n; i++, at++) {
            lode_sample sample;
            float x[SIZE * SIZE * 3];
            assert_int_equal(b.index[i], s.splits.split[3].index[at]);
            assert_ok(lode_dataset_get(s.dataset, LODE_PART_TEST, b.index[i], &scratch, &sample));
            assert_ok(lode_pipeline_apply(s.eval, &sample, NULL, &work, x));
            assert_near(lode_at(b.labels, i), sample.label, 0);
            for (int y = 0; y < SIZE; y++)
                for (int c = 0; c < 3; c++)
                    assert_near(lode_at4(b.x, i, c, y, 1), x[(y * SIZE + 1) * 3 + c], 0);
        }
    }
    lode_scratch_deinit(&scratch);
    lode_pipeline_scratch_deinit(&work);
    lode_loader_destroy(l);
    unmake(&s);
}

/* Three epochs with any workers and any prefetch: the same bits. */
static void workers_change_nothing(void **state) {
    (void)state;
    enum { BATCHES = 18 };
    setup s;
    uint64_t alone[2][BATCHES];
    make(&s);
    for (int train = 0; train < 2; train++)
        for (int workers = 0; workers < 5; workers++)
            for (int prefetch = 0; prefetch < 9; prefetch += workers == 0 ? 9 : 3) {
                lode_loader_options o = {.batch = 7,
                                         .workers = workers,
                                         .prefetch = prefetch,
                                         .shuffle = train == 1,
                                         .drop_last = train == 1,
                                         .seed = 9};
                lode_loader *l = load(&s, train == 1, &o);
                for (int i = 0; i < BATCHES; i++) {
                    uint64_t f = next_fingerprint(l);
                    if (workers == 0)
                        alone[train][i] = f;
                    else
                        assert_true(f == alone[train][i]);
                }
                lode_loader_destroy(l);
            }
    assert_true(alone[0][0] == alone[0][3]); /* every epoch of evaluation is the same ... */
    assert_true(alone[1][0] != alone[1][7]); /* ... and none of training */
    unmake(&s);
}

/* Every sample once an epoch, but for those dropped at the end. */
static void an_epoch_is_a_permutation(void **state) {
    (void)state;
    setup s;
    make(&s);
    for (int drop = 0; drop < 2; drop++) {
        lode_loader_options o = {
            .batch = 10, .workers = 2, .shuffle = true, .drop_last = drop == 1, .seed = 1};
        lode_loader *l = load(&s, true, &o);
        int64_t first[10] = {0};
        assert_int_equal(lode_loader_n_batches(l), drop ? 5 : 6);
        for (int epoch = 0; epoch < 3; epoch++) {
            int seen[1024] = {0}, n = 0;
            for (int64_t k = 0; k < lode_loader_n_batches(l); k++) {
                lode_batch b;
                assert_ok(lode_loader_next(l, &b));
                assert_int_equal(b.epoch, epoch);
                for (int64_t i = 0; i < b.n; i++) seen[b.index[i]]++;
                n += (int)b.n;
                if (k > 0) continue;
                assert_memory_not_equal(b.index, first, sizeof first);
                memcpy(first, b.index, sizeof first);
            }
            assert_int_equal(n, drop ? 50 : N_TRAIN);
            for (int i = 0; i < 1024; i++) assert_in_range(seen[i], 0, 1);
        }
        lode_loader_destroy(l);
    }
    unmake(&s);
}

/* A sample's augmentation depends on the epoch and on nothing else: not on the batch it is in. */
static void augmentation_does_not_depend_on_the_batch(void **state) {
    (void)state;
    enum { PIXELS = SIZE * SIZE * 3 };
    static float seen[1024][PIXELS];
    setup s;
    make(&s);
    for (int64_t batch = 5; batch <= 13; batch += 8) {
        lode_loader_options o = {.batch = batch, .workers = 1, .shuffle = true, .seed = 1};
        lode_loader *l = load(&s, true, &o);
        assert_ok(lode_loader_seek(l, 3, 0));
        for (int64_t k = 0; k < lode_loader_n_batches(l); k++) {
            lode_batch b;
            assert_ok(lode_loader_next(l, &b));
            for (int64_t i = 0; i < b.n; i++) {
                const float *x = (const float *)b.x->data + i * PIXELS;
                if (batch == 5)
                    memcpy(seen[b.index[i]], x, sizeof seen[0]);
                else
                    assert_memory_equal(seen[b.index[i]], x, sizeof seen[0]);
            }
        }
        lode_loader_destroy(l);
    }
    unmake(&s);
}

static void seeking_goes_on_where_another_stopped(void **state) {
    (void)state;
    enum { N = 20 };
    setup s;
    uint64_t f[N];
    make(&s);
    lode_loader_options o = {.batch = 10, .shuffle = true, .drop_last = true, .seed = 2};
    lode_loader *l = load(&s, true, &o);
    for (int i = 0; i < N; i++) f[i] = next_fingerprint(l);
    lode_loader_destroy(l);
    for (int workers = 0; workers < 3; workers++) {
        o.workers = workers;
        o.prefetch = workers;
        l = load(&s, true, &o);
        const int64_t places[][2] = {{2, 3}, {0, 0}, {0, 5}, {3, 1}, {1, 0}, {1, 4}, {1, 2}};
        for (size_t k = 0; k < sizeof places / sizeof places[0]; k++) {
            int64_t epoch, step;
            assert_ok(lode_loader_seek(l, places[k][0], places[k][1]));
            lode_loader_tell(l, &epoch, &step);
            assert_int_equal(epoch * 5 + step, places[k][0] * 5 + places[k][1]);
            assert_in_range(step, 0, 4);
            for (int64_t i = 0; i < 3; i++)
                assert_true(next_fingerprint(l) == f[places[k][0] * 5 + places[k][1] + i]);
            lode_loader_tell(l, &epoch, &step);
            assert_ok(lode_loader_seek(l, epoch, step)); /* where it is already */
            assert_true(next_fingerprint(l) == f[places[k][0] * 5 + places[k][1] + 3]);
        }
        assert_fails(lode_loader_seek(l, 0, 6), LODE_ERR_INVALID, "step 6 of 5 batches");
        assert_fails(lode_loader_seek(l, -1, 0), LODE_ERR_INVALID, "epoch -1");
        lode_loader_destroy(l);
    }
    unmake(&s);
}

/* The batch in use is left alone by the workers: the contract of zero copies. */
static void a_batch_stays_until_the_next_is_asked_for(void **state) {
    (void)state;
    setup s;
    make(&s);
    lode_loader_options o = {.batch = 4, .workers = 2, .prefetch = 1, .shuffle = true, .seed = 2};
    lode_loader *l = load(&s, true, &o);
    for (int i = 0; i < 20; i++) {
        lode_batch b;
        assert_ok(lode_loader_next(l, &b));
        uint64_t f = fingerprint(&b);
        double until = lode_clock() + 0.002; /* time enough to overwrite it */
        while (lode_clock() < until) {
        }
        assert_true(fingerprint(&b) == f);
    }
    assert_true(lode_loader_take_wait(l) > 0);
    assert_near(lode_loader_take_wait(l), 0, 0);
    lode_loader_destroy(l);
    unmake(&s);
}

/* The ranks' shares put side by side are the batch of a single process. */
static void ranks_share_a_batch(void **state) {
    (void)state;
    enum { RANKS = 3 };
    setup s;
    make(&s);
    for (int train = 0; train < 2; train++) {
        lode_loader_options one = {.batch = 6, .shuffle = train == 1, .seed = 5};
        lode_loader *whole = load(&s, train == 1, &one), *part[RANKS];
        for (int r = 0; r < RANKS; r++) {
            lode_loader_options o = one;
            o.batch = 2;
            o.rank = r;
            o.n_ranks = RANKS;
            part[r] = load(&s, train == 1, &o);
            assert_int_equal(lode_loader_n_batches(part[r]), lode_loader_n_batches(whole));
        }
        for (int64_t k = 0; k < 2 * lode_loader_n_batches(whole); k++) {
            lode_batch w, b;
            int64_t at = 0;
            assert_ok(lode_loader_next(whole, &w));
            for (int r = 0; r < RANKS; r++) {
                assert_ok(lode_loader_next(part[r], &b));
                assert_int_equal(b.last, w.last);
                assert_true((b.x != NULL) == (b.n > 0));
                for (int64_t i = 0; i < b.n; i++, at++) {
                    assert_int_equal(b.index[i], w.index[at]);
                    assert_near(lode_at4(b.x, i, 2, 3, 1), lode_at4(w.x, at, 2, 3, 1), 0);
                }
            }
            assert_int_equal(at, w.n);
        }
        lode_loader_destroy(whole);
        for (int r = 0; r < RANKS; r++) lode_loader_destroy(part[r]);
    }
    unmake(&s);
}

/* After the first epochs nothing is allocated any more. */
/* A worker that a busy machine has not let run yet gets its room with its first batch, so one
   window of several has to pass without an allocation; a loader that allocates per batch has none.
 */
static void steady_state_does_not_allocate(void **state) {
    (void)state;
    setup s;
    make(&s);
    for (int workers = 0; workers < 3; workers += 2) {
        lode_loader_options o = {.batch = 8, .workers = workers, .shuffle = true, .seed = 1};
        lode_loader *l = load(&s, true, &o);
        bool steady = false;
        for (int window = 0; window < 10 && !steady; window++) {
            int64_t before = lode_memory_get_stats().n_allocations;
            for (int i = 0; i < 60; i++) next_fingerprint(l);
            steady = lode_memory_get_stats().n_allocations == before;
        }
        assert_true(steady);
        lode_loader_destroy(l);
    }
    unmake(&s);
}

/* A loader that does not shuffle prepares nothing beyond the end of its epoch. */
static void evaluation_stops_at_the_end(void **state) {
    (void)state;
    setup s;
    make(&s);
    lode_loader *l = load(&s, false, &(lode_loader_options){.batch = 5, .workers = 2});
    uint64_t f[4];
    for (int i = 0; i < 4; i++) f[i] = next_fingerprint(l);
    for (int round = 0; round < 3; round++) {
        int64_t epoch, step;
        assert_ok(lode_loader_seek(l, 0, 0));
        lode_loader_tell(l, &epoch, &step);
        assert_int_equal(epoch + step, 0);
        for (int i = 0; i < 4; i++) assert_true(next_fingerprint(l) == f[i]);
    }
    assert_true(next_fingerprint(l) == f[0]); /* and goes on when asked */
    lode_loader_destroy(l);
    unmake(&s);
}

static void impossible_options_are_refused(void **state) {
    (void)state;
    setup s;
    make(&s);
    const struct {
        lode_loader_options options;
        lode_status status;
        const char *words;
    } bad[] = {
        {{.batch = 0}, LODE_ERR_CONFIG, "data.batch is 0"},
        {{.batch = 1, .workers = -1}, LODE_ERR_CONFIG, "-1 workers"},
        {{.batch = 1, .rank = 2, .n_ranks = 2}, LODE_ERR_INVALID, "rank 2 of 2"},
        {{.batch = 60, .drop_last = true}, LODE_ERR_CONFIG, "less than one batch of 60"},
        {{.batch = 30, .drop_last = true, .n_ranks = 2}, LODE_ERR_CONFIG, "batch of 60"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        lode_loader *l;
        assert_fails(
            lode_loader_create(s.dataset, &s.splits.split[0], s.train, &bad[i].options, &l),
            bad[i].status, bad[i].words);
        assert_null(l);
    }
    lode_loader *l;
    assert_fails(lode_loader_create(s.dataset, &s.splits.split[1], s.train,
                                    &(lode_loader_options){.batch = 1}, &l),
                 LODE_ERR_CONFIG, "the split `valid` is empty");
    unmake(&s);
}

/* A batch larger than the split is all of it. */
static void a_split_smaller_than_the_batch(void **state) {
    (void)state;
    setup s;
    make(&s);
    for (int workers = 0; workers < 2; workers++) {
        lode_loader_options o = {.batch = 1000, .workers = workers, .shuffle = true};
        lode_loader *l = load(&s, true, &o);
        lode_batch b;
        assert_int_equal(lode_loader_n_batches(l), 1);
        for (int i = 0; i < 5; i++) {
            assert_ok(lode_loader_next(l, &b));
            assert_int_equal(b.n, N_TRAIN);
            assert_int_equal(b.epoch, i);
            assert_true(b.last);
        }
        lode_loader_destroy(l);
    }
    unmake(&s);
}

/* The story of a file that a worker could not read comes at its batch, on this thread, each time.
 */
static void errors_of_workers_are_told_in_order(void **state) {
    (void)state;
    char *dir = test_temp_dir();
    small_folder(dir, "train/a");
    small_folder(dir, "train/b");
    for (int i = 0; i < 6; i++) {
        char name[32];
        snprintf(name, sizeof name, "train/%c/%d.png", i < 3 ? 'a' : 'b', i);
        small_write_png(dir, name, 8, 8, 3);
    }
    small_write(dir, "train/b/3.png", "nothing", 7);
    lode_dataset_request r = {.path = dir};
    lode_pipeline_options p = {.height = 8, .width = 8, .channels = 3, .std = {1, 1, 1}};
    lode_split_options all = {0};
    lode_dataset *d;
    lode_splits splits;
    lode_pipeline *pipeline;
    assert_ok(lode_dataset_open("folder", &r, &d));
    assert_ok(lode_splits_init(d, &all, &splits));
    assert_ok(lode_pipeline_create(&p, &pipeline));
    for (int workers = 0; workers < 4; workers++) {
        lode_loader *l;
        lode_batch b;
        lode_loader_options o = {.batch = 1, .workers = workers};
        assert_ok(lode_loader_create(d, &splits.split[0], pipeline, &o, &l));
        for (int i = 0; i < 3; i++) assert_ok(lode_loader_next(l, &b));
        for (int i = 0; i < 2; i++)
            assert_fails(lode_loader_next(l, &b), LODE_ERR_DATA, "train/b/3.png: neither JPEG");
        assert_ok(lode_loader_seek(l, 0, 4)); /* past it */
        assert_ok(lode_loader_next(l, &b));
        assert_int_equal(b.index[0], 4);
        lode_loader_destroy(l);
    }
    lode_pipeline_destroy(pipeline);
    lode_splits_deinit(&splits);
    lode_dataset_close(d);
    test_remove_tree(dir);
    lode_free(dir);
}

/* Created and destroyed at any moment of its life. */
static void destroying_at_any_moment(void **state) {
    (void)state;
    setup s;
    make(&s);
    for (int i = 0; i < 60; i++) {
        lode_loader_options o = {.batch = 3, .workers = 1 + i % 3, .shuffle = true, .seed = 1};
        lode_loader *l = load(&s, true, &o);
        for (int k = 0; k < i % 5; k++) next_fingerprint(l);
        if (i % 4 == 0) assert_ok(lode_loader_seek(l, i, 2));
        lode_loader_destroy(l);
    }
    lode_loader_destroy(NULL);
    unmake(&s);
}

static void no_memory_is_a_status(void **state) {
    (void)state;
    setup s;
    make(&s);
    for (int workers = 0; workers < 3; workers++) {
        lode_status status = LODE_ERR_NO_MEMORY;
        lode_device_empty_cache(lode_cpu_device()); /* so that tensors ask for memory too */
        int64_t before = lode_memory_get_stats().n_blocks, k;
        for (k = 0; status != LODE_OK && k < 200; k++) {
            lode_loader *l = NULL;
            lode_batch b;
            lode_loader_options o = {.batch = 9, .workers = workers};
            test_fail_allocation(k);
            status = lode_loader_create(s.dataset, &s.splits.split[0], s.train, &o, &l);
            if (status == LODE_OK) status = lode_loader_next(l, &b);
            test_fail_allocation(-1);
            if (status != LODE_OK) assert_int_equal(status, LODE_ERR_NO_MEMORY);
            lode_loader_destroy(l);
            lode_device_empty_cache(lode_cpu_device());
            assert_int_equal(lode_memory_get_stats().n_blocks, before);
        }
        assert_int_equal(status, LODE_OK);
        assert_true(k > 8);
    }
    unmake(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches_are_what_they_say),
        cmocka_unit_test(workers_change_nothing),
        cmocka_unit_test(an_epoch_is_a_permutation),
        cmocka_unit_test(augmentation_does_not_depend_on_the_batch),
        cmocka_unit_test(seeking_goes_on_where_another_stopped),
        cmocka_unit_test(a_batch_stays_until_the_next_is_asked_for),
        cmocka_unit_test(ranks_share_a_batch),
        cmocka_unit_test(steady_state_does_not_allocate),
        cmocka_unit_test(evaluation_stops_at_the_end),
        cmocka_unit_test(impossible_options_are_refused),
        cmocka_unit_test(a_split_smaller_than_the_batch),
        cmocka_unit_test(errors_of_workers_are_told_in_order),
        cmocka_unit_test(destroying_at_any_moment),
        cmocka_unit_test(no_memory_is_a_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
