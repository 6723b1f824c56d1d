/* fit_beside.c: `lode cost fit --beside COST`: another cost judged on the rows that are held out.
 */
#include "core/json.h"
#include "core/memory.h"
#include "hwcost/cost.h"
#include "tools/fit.h"

#include <string.h>

/* Measured and priced rows: those learned from, those held out. */
typedef struct beside_rows {
    int64_t n_learned, n_test;
    double *learned[2], *test[2]; /* priced, measured */
} beside_rows;

static lode_status beside_price(const fit *f, const lode_predictor_part *part, lode_cost *cost,
                                beside_rows *b) {
    for (int64_t i = 0; i < f->rows.n; i++) {
        double price = 0;
        if (part[i] == LODE_PART_UNUSED) continue;
        LODE_TRY(lode_cost_hard(cost, &f->rows.arch[i], &price));
        int64_t *n = part[i] == LODE_PART_TEST ? &b->n_test : &b->n_learned;
        double **to = part[i] == LODE_PART_TEST ? b->test : b->learned;
        to[0][*n] = price;
        to[1][(*n)++] = f->rows.value[i];
    }
    return LODE_OK;
}

static void beside_add(const fit *f, const char *spec, bool line, const lode_agreement *a,
                       json_t *list) {
    if (line)
        cli_print(f->c, "  through a line %12.6g %8.2f %8.4f %8.4f\n", a->rmse, a->mape, a->pearson,
                  a->tau_b);
    else
        cli_print(f->c, "%s\n  as it is       %12.6g %8.2f %8.4f %8.4f\n", spec, a->rmse, a->mape,
                  a->pearson, a->tau_b);
    json_t *j = json_pack("{s:s, s:b}", "cost", spec, "line", (int)line);
    json_object_set_new(j, "rmse", lode_json_number(a->rmse));
    json_object_set_new(j, "mape", lode_json_number(a->mape));
    json_object_set_new(j, "bias", lode_json_number(a->bias));
    json_object_set_new(j, "pearson", lode_json_number(a->pearson));
    json_object_set_new(j, "tau_b", lode_json_number(a->tau_b));
    json_array_append_new(list, j);
}

/* Least squares of measured on priced. */
static void beside_line(const beside_rows *b, double *offset, double *slope) {
    double p = 0, m = 0, pp = 0, pm = 0, n = (double)b->n_learned;
    for (int64_t i = 0; i < b->n_learned; i++) {
        p += b->learned[0][i] / n;
        m += b->learned[1][i] / n;
    }
    for (int64_t i = 0; i < b->n_learned; i++) {
        double d = b->learned[0][i] - p;
        pp += d * d;
        pm += d * (b->learned[1][i] - m);
    }
    *slope = pp > 0 ? pm / pp : 0;
    *offset = m - *slope * p;
}

/* As it is, and through the line that fits the rows learned from. */
static lode_status beside_judge(const fit *f, const char *spec, beside_rows *b, json_t *list) {
    lode_agreement a;
    double offset = 0, slope = 1;
    if (b->n_test == 0)
        return LODE_FAIL(LODE_ERR_CONFIG, "--beside: no rows are held out to judge on; --held-out");
    LODE_TRY(lode_agree(b->test[0], b->test[1], b->n_test, &a));
    beside_add(f, spec, false, &a, list);
    beside_line(b, &offset, &slope);
    for (int64_t i = 0; i < b->n_test; i++) b->test[0][i] = offset + slope * b->test[0][i];
    LODE_TRY(lode_agree(b->test[0], b->test[1], b->n_test, &a));
    beside_add(f, spec, true, &a, list);
    return LODE_OK;
}

static lode_status beside_one(const fit *f, const lode_predictor_part *part, lode_supernet *net,
                              int64_t batch, const char *spec, json_t *list) {
    beside_rows b = {0};
    lode_cost *cost = NULL;
    double *room = LODE_NEW_ARRAY(double, 4 * f->rows.n);
    lode_status status = room ? LODE_OK : LODE_ERR_NO_MEMORY;
    for (int i = 0; i < 2 && room; i++) {
        b.learned[i] = room + i * f->rows.n;
        b.test[i] = room + (2 + i) * f->rows.n;
    }
    if (status == LODE_OK) status = lode_cost_open(spec, net, batch, &cost);
    if (status == LODE_OK) status = beside_price(f, part, cost, &b);
    if (status == LODE_OK) status = beside_judge(f, spec, &b, list);
    lode_cost_close(cost);
    lode_free(room);
    return status;
}

lode_status fit_beside(fit *f, const lode_predictor_part *part, json_t *result) {
    const char *const *specs;
    lode_supernet *net = NULL;
    int64_t batch = 0;
    int n = cli_get_all(f->c, "beside", &specs);
    if (n == 0) return LODE_OK;
    LODE_TRY(cli_get_int(f->c, "batch", 0, 1, 1 << 20, &batch));
    json_t *list = json_array();
    json_object_set_new(result, "beside", list);
    lode_status status = lode_supernet_create(f->space, NULL, LODE_F32, f->info.seed, &net);
    for (int i = 0; i < n && status == LODE_OK; i++)
        status = beside_one(f, part, net, batch, specs[i], list);
    lode_supernet_destroy(net);
    return status;
}
