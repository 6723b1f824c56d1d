/* labels: unit, property. Two ranks as two threads of this program: they sample the same paths,
   keep the same weights to the bit, and write one log. */
#include "train_fixture.h"

#include <pthread.h>

/* ---- a communicator over shared memory: one slot per rank, summed in the order of ranks ---- */
enum { RANKS = 2 };
typedef struct meeting {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int arrived, round;
    lode_tensor *slot[RANKS];
    int64_t n_sums;
} meeting;
typedef struct rank {
    meeting *m;
    int rank;
} rank;

/* Waits for all ranks; the last to come does the work first. */
static lode_status meet(rank *r, lode_tensor *t, void (*work)(meeting *)) {
    meeting *m = r->m;
    pthread_mutex_lock(&m->lock);
    int round = m->round;
    m->slot[r->rank] = t;
    if (++m->arrived == RANKS) {
        if (work != NULL) work(m);
        m->arrived = 0;
        m->round++;
        pthread_cond_broadcast(&m->changed);
    }
    while (m->round == round) pthread_cond_wait(&m->changed, &m->lock);
    pthread_mutex_unlock(&m->lock);
    return LODE_OK;
}

static void sum_slots(meeting *m) {
    for (int i = 1; i < RANKS; i++)
        if (lode_tensor_add_into(m->slot[0], m->slot[i]) != LODE_OK) abort();
    for (int i = 1; i < RANKS; i++)
        if (lode_tensor_copy(m->slot[i], m->slot[0]) != LODE_OK) abort();
    m->n_sums++;
}
static void copy_first(meeting *m) {
    for (int i = 1; i < RANKS; i++)
        if (lode_tensor_copy(m->slot[i], m->slot[0]) != LODE_OK) abort();
}

static lode_status comm_sum(void *self, lode_tensor *t) { return meet(self, t, sum_slots); }
static lode_status comm_broadcast(void *self, lode_tensor *t, int root) {
    return root == 0 ? meet(self, t, copy_first) : LODE_ERR_UNSUPPORTED;
}
static lode_status comm_barrier(void *self) { return meet(self, NULL, NULL); }

/* ---- two runs ---- */
typedef struct job {
    rank r;
    const char *train, *arch, *metrics, *checkpoint;
    uint64_t hash;
    lode_train_result result;
    lode_status status;
} job;

static void *run_job(void *arg) {
    job *j = arg;
    fixture f;
    const lode_comm comm = {&j->r, j->r.rank, RANKS, comm_sum, comm_broadcast, comm_barrier};
    fixture_open(&f, j->train, j->arch, NULL, NULL, 0);
    f.setup.comm = &comm;
    f.setup.metrics_path = j->metrics;
    f.setup.checkpoint_directory = j->checkpoint;
    j->status = lode_train(&f.setup, &j->result);
    for (int i = 0; i < lode_supernet_n_parameters(f.net); i++) {
        const lode_parameter *p = lode_supernet_parameter(f.net, i);
        if (p->kind != LODE_PARAM_RUNNING) /* each rank has seen its own images */
            j->hash = lode_hash_bytes(p->value->data, lode_tensor_bytes(p->value), j->hash);
    }
    for (int i = 0; i < lode_strategy_n_parameters(f.strategy); i++) {
        const lode_tensor *v = lode_strategy_parameter(f.strategy, i)->value;
        j->hash = lode_hash_bytes(v->data, lode_tensor_bytes(v), j->hash);
    }
    fixture_close(&f);
    return NULL;
}

/* lines_wanted: a letter for each line of metrics: the memory plan, turns of the weights and of the
   architecture, evaluations. */
static void ranks_agree(const char *train, const char *arch, const char *lines_wanted) {
    char *dir = test_temp_dir(), *path = lode_path_join(dir, "m.jsonl");
    meeting m = {0};
    job jobs[RANKS] = {0};
    pthread_t thread[RANKS];
    assert_int_equal(pthread_mutex_init(&m.lock, NULL), 0);
    assert_int_equal(pthread_cond_init(&m.changed, NULL), 0);
    for (int i = 0; i < RANKS; i++) {
        jobs[i] =
            (job){.r = {&m, i}, .train = train, .arch = arch, .metrics = path, .checkpoint = dir};
        assert_int_equal(pthread_create(&thread[i], NULL, run_job, &jobs[i]), 0);
    }
    for (int i = 0; i < RANKS; i++) assert_int_equal(pthread_join(thread[i], NULL), 0);
    for (int i = 0; i < RANKS; i++) assert_int_equal(jobs[i].status, LODE_OK);
    assert_true(jobs[0].hash == jobs[1].hash);
    assert_near(jobs[0].result.loss, jobs[1].result.loss, 0);
    assert_true(m.n_sums > 100);
    char *lines = fixture_metrics(path);
    int n = 0;
    for (const char *s = lines; (s = strchr(s, '\n')) != NULL; s++) n++;
    assert_int_equal(n, (int)strlen(lines_wanted));
    lode_free(lines);
    pthread_cond_destroy(&m.changed);
    pthread_mutex_destroy(&m.lock);
    test_remove_tree(dir);
    lode_free(path);
    lode_free(dir);
}

static void single_paths_agree(void **state) {
    (void)state;
    ranks_agree("{epochs: 2, strategy: single_path}", "{}", "mwewe");
}

static void relaxed_choices_agree(void **state) {
    (void)state;
    ranks_agree("{epochs: 2, clip: 1}", "{warmup: 1, noise: sample}", "mwewae");
}

/* Each rank judges its part of the batch; baseline and gradient are those of the whole. */
static void rewards_agree(void **state) {
    (void)state;
    ranks_agree("{epochs: 2, strategy: reinforce}",
                "{warmup: 1, every: 2, samples: 3, lr: 0.1, reward: accuracy}", "mwewae");
}

static void one_process_is_one_rank(void **state) {
    const lode_comm *c = lode_comm_single();
    double x = 3;
    lode_comm bad = *c;
    (void)state;
    assert_ok(lode_comm_check(c));
    assert_ok(lode_comm_sum(c, &x, 1));
    assert_near(x, 3, 0);
    assert_ok(c->barrier(c->self));
    assert_fails(c->broadcast(c->self, NULL, 1), LODE_ERR_INVALID, "rank 1");
    bad.rank = 1;
    assert_fails(lode_comm_check(&bad), LODE_ERR_INVALID, "rank 1 of 1");
    bad = *c;
    bad.barrier = NULL;
    assert_fails(lode_comm_check(&bad), LODE_ERR_INVALID, "lacks");
}

static void batches_must_be_shared_evenly(void **state) {
    fixture f;
    lode_train_result r;
    lode_comm three = *lode_comm_single();
    (void)state;
    three.size = 3;
    fixture_open(&f, "{epochs: 1}", "{}", "k3,k3", NULL, 0);
    f.setup.comm = &three;
    assert_fails(lode_train(&f.setup, &r), LODE_ERR_CONFIG, "3 ranks");
    fixture_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_process_is_one_rank), cmocka_unit_test(batches_must_be_shared_evenly),
        cmocka_unit_test(single_paths_agree),      cmocka_unit_test(relaxed_choices_agree),
        cmocka_unit_test(rewards_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
