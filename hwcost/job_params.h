/* job_params.h: parameters of an operator call as a JSON object, for job.c. */
#ifndef LODE_HWCOST_JOB_PARAMS_H
#define LODE_HWCOST_JOB_PARAMS_H
#include "core/json.h"
#include "ops/ops.h"

/* A fresh object: {"stride": [2, 2], "groups": 96, "act": "relu6"}; empty for operators without
   parameters. LODE_ERR_UNSUPPORTED names an operator whose parameters have no words here. */
lode_status job_params_json(const lode_op_call *c, json_t **out);
#endif
