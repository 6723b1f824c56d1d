/* made.h: rows drawn from a space with a value that is made here, and predictors fitted to them. */
#ifndef LODE_TESTS_HWCOST_MADE_H
#define LODE_TESTS_HWCOST_MADE_H
#include "hwcost/predictor.h"
#include "support/support.h"

typedef struct made {
    lode_predictor_rows rows;
    lode_arch *arch;
    double *value;
    lode_predictor_part *part;
    double price[LODE_MAX_DECISIONS][LODE_MAX_OPTIONS];
} made;

/* 5 + one price per option, + curve * the product of the first two prices, + noise. */
static inline double made_value(const made *m, const lode_arch *a, double curve) {
    double v = 5;
    for (int d = 0; d < a->n; d++) v += m->price[d][a->option[d]];
    return v + curve * m->price[0][a->option[0]] * m->price[1][a->option[1]];
}

static inline void made_open(const char *space, int64_t n, double curve, made *m) {
    lode_rng rng = lode_rng_stream(11, LODE_RNG_TEST, 1);
    lode_space *s = NULL;
    assert_ok(lode_space_load(&(lode_space_options){.name = space}, &s));
    m->arch = LODE_NEW_ARRAY(lode_arch, n);
    m->value = LODE_NEW_ARRAY(double, n);
    m->part = LODE_NEW_ARRAY(lode_predictor_part, n);
    for (int d = 0; d < lode_space_n_decisions(s); d++)
        for (int k = 0; k < LODE_MAX_OPTIONS; k++) m->price[d][k] = 3 * lode_rng_uniform(&rng);
    for (int64_t i = 0; i < n; i++) {
        assert_ok(lode_space_sample(s, &rng, &m->arch[i]));
        m->value[i] = made_value(m, &m->arch[i], curve);
    }
    m->rows = (lode_predictor_rows){.space = s, .n = n, .arch = m->arch, .value = m->value};
}

static inline void made_close(made *m) {
    lode_space_release(m->rows.space);
    lode_free(m->arch);
    lode_free(m->value);
    lode_free(m->part);
}

static inline lode_predictor_options made_options(void) {
    lode_predictor_options o;
    assert_ok(lode_options_default(&lode_predictor_option_table, &o));
    o.hidden = 24;
    o.epochs = 30;
    return o;
}

static const lode_predictor_info made_about = {.quantity = "latency_ms",
                                               .unit = "ms",
                                               .device = "made up",
                                               .table = "t.csv",
                                               .column = "ms",
                                               .seed = 3};

static inline lode_predictor *made_fit_longer(made *m, const char *kind, int64_t train,
                                              int64_t times) {
    lode_predictor *p = NULL;
    lode_predictor_split split = lode_predictor_split_defaults();
    lode_predictor_options o = made_options();
    o.epochs *= times;
    o.lr /= (double)times;
    o.hidden *= times;
    split.train = train;
    assert_ok(lode_predictor_split_rows(&m->rows, &split, m->part));
    assert_ok(lode_predictor_fit(kind, &m->rows, m->part, &o, &made_about, NULL, &p));
    return p;
}

static inline lode_predictor *made_fit(made *m, const char *kind, int64_t train) {
    return made_fit_longer(m, kind, train, 1);
}

static inline lode_predictor *made_fit_encoded(made *m, const char *kind, int encoding) {
    lode_predictor *p = NULL;
    lode_predictor_split split = lode_predictor_split_defaults();
    lode_predictor_options o = made_options();
    o.encoding = encoding;
    assert_ok(lode_predictor_split_rows(&m->rows, &split, m->part));
    assert_ok(lode_predictor_fit(kind, &m->rows, m->part, &o, &made_about, NULL, &p));
    return p;
}
#endif
