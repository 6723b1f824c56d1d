/* pieces.h: a training that is stopped and resumed again and again, to compare with one that was
   left alone. */
#ifndef LODE_TESTS_PIECES_H
#define LODE_TESTS_PIECES_H
#include "core/parallel.h"
#include "train_fixture.h"

typedef struct stopper {
    int64_t left;
} stopper;

static inline bool stopper_asks(void *self) {
    stopper *s = self;
    return s->left-- <= 0;
}

/* Trains to the end; after every `stop_every` moves the process "ends" and another begins. Returns
   the hash, and the metrics (lode_free). want: as in fixture_open_for; NULL: no costs. */
static inline uint64_t run_in_pieces_on(const char *space, const char *train, const char *arch,
                                        const char *fixed, const lode_strategy_setup *want,
                                        int64_t stop_every, int threads, char **metrics) {
    const lode_strategy_setup none = {0};
    char *dir = test_temp_dir(), *lines = lode_path_join(dir, "metrics.jsonl");
    char *checkpoints = lode_path_join(dir, "checkpoint");
    lode_status status = LODE_ERR_STOPPED;
    uint64_t hash = 0;
    lode_set_threads(threads);
    for (int64_t run = 0; status == LODE_ERR_STOPPED; run++) {
        fixture f;
        lode_train_result r;
        stopper stop = {stop_every};
        lode_progress progress = {&stop, NULL, stop_every > 0 ? stopper_asks : NULL};
        fixture_open_on(&f, space, LODE_F32, train, arch, fixed, want != NULL ? want : &none);
        f.setup.metrics_path = lines;
        f.setup.checkpoint_directory = checkpoints;
        f.setup.resume = true;
        f.setup.progress = &progress;
        f.setup.workers = (int)(run % 2);
        status = lode_train(&f.setup, &r);
        if (status != LODE_ERR_STOPPED) assert_ok(status);
        hash = fixture_hash(&f);
        fixture_close(&f);
        assert_true(run < 200);
    }
    *metrics = fixture_metrics(lines);
    lode_set_threads(0);
    lode_free(lines);
    lode_free(checkpoints);
    test_remove_tree(dir);
    lode_free(dir);
    return hash;
}

static inline uint64_t run_in_pieces(const char *train, const char *arch, const char *fixed,
                                     const lode_strategy_setup *want, int64_t stop_every,
                                     int threads, char **metrics) {
    return run_in_pieces_on(fixture_space, train, arch, fixed, want, stop_every, threads, metrics);
}
#endif
