/* predictor_gbdt_internal.h: what gradient-boosted trees are, and how many (predictor_gbdt.c). */
#ifndef LODE_HWCOST_PREDICTOR_GBDT_INTERNAL_H
#define LODE_HWCOST_PREDICTOR_GBDT_INTERNAL_H
#include "hwcost/predictor_internal.h"
#ifdef LODE_HAVE_XGBOOST
#include <xgboost/c_api.h>

#define GBDT_TRY(expr)  LODE_TRY(gbdt_check(expr))
#define GBDT_GOTO(expr) LODE_GOTO(gbdt_check(expr))
/* An error of the library as one of ours. */
lode_status gbdt_check(int code);
/* The library's copy of s->x [n, f], with labels y - ridge(x), or y if ridge [f + 1] is NULL, or
   none if s->y is. */
lode_status gbdt_matrix(const predictor_samples *s, int f, const double *ridge, DMatrixHandle *out);
lode_status gbdt_configure(BoosterHandle b, const predictor_job *job);
lode_status gbdt_stopped(const predictor_job *job, int64_t round);

/* ---- predictor_gbdt_choose.c ---- */
/* job->epochs: how many trees; *ridge: are they better on top of ridge regression? Without rows for
   validation as many as the options say, and yes if these allow it. */
lode_status gbdt_choose(predictor_job *job, int f, bool *ridge);
#endif
#endif
