/* test_study.c: the one loop on a problem whose optimum is known: cost of an architecture =
   distance to a hidden one. labels: unit */
#include "core/platform.h"
#include "search/study.h"
#include "support/support.h"

typedef struct problem {
    lode_space *space;
    lode_supernet *net;
    lode_cost *macs;
    char *dir, *path;
    int64_t evaluations;
} problem;

/* Share of decisions that differ from option (7 d + 1) mod n. */
static lode_status judge(void *self, int n, lode_trial *trial) {
    problem *p = self;
    for (int i = 0; i < n; i++) {
        int wrong = 0;
        for (int d = 0; d < trial[i].arch.n; d++)
            wrong += trial[i].arch.option[d] !=
                     (7 * d + 1) % lode_space_decision(p->space, d)->n_options;
        trial[i].objective[0] = (double)wrong / trial[i].arch.n;
        trial[i].n_objectives = 1;
        trial[i].state = LODE_TRIAL_DONE;
        p->evaluations++;
    }
    return LODE_OK;
}

static int setup(void **state) {
    problem *p = LODE_NEW(problem);
    lode_space_options o = {.name = "fbnet-fashion"};
    assert_ok(lode_space_load(&o, &p->space));
    assert_ok(lode_supernet_create(p->space, NULL, LODE_F32, 1, &p->net));
    assert_ok(lode_cost_open("macs", p->net, 1, &p->macs));
    p->dir = test_temp_dir();
    p->path = lode_path_join(p->dir, "study.db");
    *state = p;
    return 0;
}

static int teardown(void **state) {
    problem *p = *state;
    lode_cost_close(p->macs);
    lode_supernet_destroy(p->net);
    lode_space_release(p->space);
    test_remove_tree(p->dir);
    lode_free(p->dir);
    lode_free(p->path);
    lode_free(p);
    return 0;
}

static double run(problem *p, const char *searcher_name, const char *origin, int64_t trials,
                  const lode_target *limit, lode_trial *best) {
    lode_study *study = NULL;
    const lode_searcher *searcher = NULL;
    void *self = NULL;
    int n = 0;
    lode_evaluator evaluator = {"judge", p, judge};
    lode_searcher_setup setup_searcher = {.space = p->space};
    assert_ok(lode_study_open(p->path, p->space, 5, &study));
    assert_ok(lode_searcher_find(searcher_name, &searcher));
    assert_ok(searcher->create(&setup_searcher, &self));
    lode_study_job job = {.origin = origin,
                          .searcher = searcher,
                          .searcher_self = self,
                          .evaluator = &evaluator,
                          .cost = &p->macs,
                          .n_costs = 1,
                          .limit = limit,
                          .n_limits = limit ? 1 : 0,
                          .trials = trials,
                          .batch = 4};
    assert_ok(lode_study_run(study, &job));
    assert_ok(lode_study_best(study, origin, 1, best, &n));
    assert_int_equal(n, 1);
    if (searcher->destroy) searcher->destroy(self);
    lode_study_close(study);
    return best->objective[0];
}

static void evolution_beats_random(void **state) {
    problem *p = *state;
    lode_trial a, b;
    double random = run(p, "random", "r", 400, NULL, &a),
           evolved = run(p, "evolution", "e", 400, NULL, &b);
    assert_int_equal(p->evaluations, 800);
    assert_true(evolved < random);
}

/* A second run of the same study evaluates nothing; one with a larger budget only what is missing,
   and ends like one that had the larger budget from the start. */
static void journal_answers_and_continues(void **state) {
    problem *p = *state;
    lode_trial first, again, longer, straight;
    run(p, "evolution", "a", 100, NULL, &first);
    assert_int_equal(p->evaluations, 100);
    run(p, "evolution", "a", 100, NULL, &again);
    assert_int_equal(p->evaluations, 100);
    assert_true(lode_arch_equal(&first.arch, &again.arch));
    run(p, "evolution", "a", 200, NULL, &longer);
    assert_int_equal(p->evaluations, 200);
    char *other = lode_path_join(p->dir, "other.db"), *kept = p->path;
    p->path = other;
    run(p, "evolution", "a", 200, NULL, &straight);
    p->path = kept;
    lode_free(other);
    assert_true(lode_arch_equal(&longer.arch, &straight.arch));
    assert_int_equal(longer.id, straight.id);
}

static void limits_hold(void **state) {
    problem *p = *state;
    double min = 0, max = 0, macs = 0;
    lode_trial best;
    assert_ok(lode_cost_range(p->macs, &min, &max, NULL, NULL, NULL));
    lode_target limit = {"macs", min + 0.4 * (max - min)};
    run(p, "random", "limited", 50, &limit, &best);
    assert_ok(lode_cost_hard(p->macs, &best.arch, &macs));
    assert_true(macs <= limit.limit);
    /* Below what the space reaches: nothing to find. */
    lode_study *study = NULL;
    const lode_searcher *searcher = NULL;
    lode_evaluator evaluator = {"judge", p, judge};
    lode_target impossible = {"macs", 0.5 * min};
    assert_ok(lode_study_open(p->path, p->space, 5, &study));
    assert_ok(lode_searcher_find("random", &searcher));
    lode_study_job job = {.origin = "impossible",
                          .searcher = searcher,
                          .searcher_self = p->space,
                          .evaluator = &evaluator,
                          .cost = &p->macs,
                          .n_costs = 1,
                          .limit = &impossible,
                          .n_limits = 1,
                          .trials = 4};
    assert_fails(lode_study_run(study, &job), LODE_ERR_INFEASIBLE, "macs<=");
    lode_study_close(study);
}

static void strangers_are_refused(void **state) {
    problem *p = *state;
    lode_study *study = NULL;
    const lode_searcher *searcher = NULL;
    assert_ok(lode_study_open(p->path, p->space, 5, &study));
    lode_study_close(study);
    study = NULL;
    assert_fails(lode_study_open(p->path, p->space, 6, &study), LODE_ERR_CONFIG, "seed");
    assert_null(study);
    assert_ok(lode_file_write_atomic(p->path, "no database, just text of some length", 38));
    assert_fails(lode_study_open(p->path, p->space, 5, &study), LODE_ERR_DATA, "study.db");
    assert_fails(lode_searcher_find("randon", &searcher), LODE_ERR_NOT_FOUND, "random");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(evolution_beats_random, setup, teardown),
        cmocka_unit_test_setup_teardown(journal_answers_and_continues, setup, teardown),
        cmocka_unit_test_setup_teardown(limits_hold, setup, teardown),
        cmocka_unit_test_setup_teardown(strangers_are_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
