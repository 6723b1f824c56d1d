/* trainer_options.c: the rows of a recipe's sections "supernet" and "train": one list, two names.
 */
#include "core/memory.h"
#include "train/trainer_internal.h"

#include <stdio.h>
#include <string.h>

#define ROW(field, type, def, min, max, words, help)                                               \
    { #field, type, offsetof(lode_train_options, field), def, min, max, words, help }
/* clang-format off */
static const lode_option trainer_rows[] = {
    ROW(epochs, LODE_OPT_INT, "30", 1, 1e6, "epochs", "passes over the split train"),
    ROW(batch, LODE_OPT_INT, "0", 0, 1e6, "images", "images per step, over all ranks; 0: data.batch"),
    ROW(strategy, LODE_OPT_STRING, NULL, 0, 0, NULL, "what a step trains (its options: section arch): binary_gates, darts, fair, fixed, gumbel, pc_darts, reinforce, single_path, snas, superkernel, xnas; default: fixed for a fixed network, gumbel for a supernet"),
    ROW(optimizer, LODE_OPT_STRING, "sgd", 0, 0, NULL, "sgd, adam, adamw, rmsprop"),
    ROW(lr, LODE_OPT_F64, "0.1", 0, 1e3, NULL, "peak learning rate"),
    ROW(lr_final, LODE_OPT_F64, "0", 0, 1e3, NULL, "learning rate at the end, for cosine and linear"),
    ROW(schedule, LODE_OPT_ENUM, "cosine", 0, 0, LODE_SCHEDULE_WORDS, "how the rate falls, per step"),
    ROW(warmup, LODE_OPT_F64, "0", 0, 1e6, "epochs", "linear warm-up"),
    ROW(lr_every, LODE_OPT_F64, "10", 0, 1e6, "epochs", "schedule step: between two drops"),
    ROW(lr_gamma, LODE_OPT_F64, "0.1", 0, 1, NULL, "schedule step: factor of a drop"),
    ROW(weight_decay, LODE_OPT_F64, "1e-4", 0, 10, NULL, "weight decay"),
    ROW(decay_all, LODE_OPT_BOOL, "true", 0, 0, NULL, "decay normalization parameters and biases too"),
    ROW(decoupled, LODE_OPT_BOOL, "false", 0, 0, NULL, "decay the weights themselves instead of adding to the gradient"),
    ROW(momentum, LODE_OPT_F64, "0.9", 0, 0.999999, NULL, "sgd, rmsprop"),
    ROW(nesterov, LODE_OPT_BOOL, "false", 0, 0, NULL, "sgd: Nesterov momentum"),
    ROW(beta1, LODE_OPT_F64, "0.9", 0, 0.999999, NULL, "adam, adamw: decay of the first moment"),
    ROW(beta2, LODE_OPT_F64, "0.999", 0, 0.999999, NULL, "adam, adamw: decay of the second moment"),
    ROW(rho, LODE_OPT_F64, "0.99", 0, 0.999999, NULL, "rmsprop: decay of the squared gradient"),
    ROW(eps, LODE_OPT_F64, "1e-8", 1e-30, 10, NULL, "adam, adamw, rmsprop"),
    ROW(eps_inside, LODE_OPT_BOOL, "false", 0, 0, NULL, "rmsprop: eps under the root, as TensorFlow has it"),
    ROW(label_smoothing, LODE_OPT_F64, "0", 0, 0.999, NULL, "of the weights' loss"),
    ROW(clip, LODE_OPT_F64, "0", 0, 1e9, NULL, "largest global norm of the gradient; 0: none"),
    ROW(ema, LODE_OPT_F64, "0", 0, 0.9999999, NULL, "decay of the average of weights; 0: no average"),
    ROW(drop_path, LODE_OPT_F64, "0", 0, 0.999, NULL, "probability to drop a residual branch, growing from 0 by epoch"),
    ROW(remat, LODE_OPT_ENUM, "none", 0, 0, LODE_REMAT_WORDS, "layer: compute each layer again in backward instead of keeping its values: slower, far less memory"),
    ROW(eval_every, LODE_OPT_INT, "1", 0, 1e6, "epochs", "between evaluations; 0: only at the end"),
    ROW(eval_split, LODE_OPT_STRING, "valid", 0, 0, NULL, "split to evaluate on, passed over when it is empty"),
    ROW(eval_batch, LODE_OPT_INT, "0", 0, 1e6, "images", "0: as batch"),
    ROW(log_every, LODE_OPT_INT, "0", 0, 1e9, "steps", "between lines of metrics.jsonl within an epoch; 0: none"),
    ROW(checkpoint_steps, LODE_OPT_INT, "0", 0, 1e12, "steps", "between checkpoints; 0: not by steps"),
    ROW(checkpoint_seconds, LODE_OPT_F64, "120", 0, 1e9, "s", "between checkpoints; 0: not by time"),
};
/* clang-format on */
enum { TRAINER_ROWS = sizeof trainer_rows / sizeof *trainer_rows };

const lode_option_table lode_train_option_table = {"train", trainer_rows, TRAINER_ROWS};
const lode_option_table lode_supernet_train_option_table = {"supernet", trainer_rows, TRAINER_ROWS};

lode_status trainer_check_options(const lode_train_options *o) {
    if (o->epochs < 1) return LODE_FAIL(LODE_ERR_CONFIG, "epochs must be at least 1");
    if (!(o->label_smoothing >= 0 && o->label_smoothing < 1))
        return LODE_FAIL(LODE_ERR_CONFIG, "label_smoothing must be in [0, 1), seen %g",
                         o->label_smoothing);
    if (!(o->drop_path >= 0 && o->drop_path < 1))
        return LODE_FAIL(LODE_ERR_CONFIG, "drop_path must be in [0, 1), seen %g", o->drop_path);
    return LODE_OK;
}

lode_optimizer_options trainer_optimizer_options(const lode_train_options *o) {
    return (lode_optimizer_options){.name = o->optimizer,
                                    .weight_decay = o->weight_decay,
                                    .decoupled = o->decoupled,
                                    .decay_all = o->decay_all,
                                    .momentum = o->momentum,
                                    .nesterov = o->nesterov,
                                    .beta1 = o->beta1,
                                    .beta2 = o->beta2,
                                    .rho = o->rho,
                                    .eps = o->eps,
                                    .eps_inside = o->eps_inside,
                                    .clip = o->clip};
}

/* ---- values as text, to see whether they changed ---- */
static void options_add_value(lode_text *text, const lode_option *row, const void *at) {
    switch (row->type) {
    case LODE_OPT_BOOL:
        lode_text_add(text, "%s", *(const bool *)at ? "true" : "false");
        break;
    case LODE_OPT_INT:
        lode_text_add(text, "%lld", (long long)*(const int64_t *)at);
        break;
    case LODE_OPT_F64:
        lode_text_add(text, "%.17g", *(const double *)at);
        break;
    case LODE_OPT_ENUM:
        lode_text_add(text, "%d", *(const int *)at);
        break;
    case LODE_OPT_STRING: {
        const char *s = *(const char *const *)at;
        lode_text_add(text, "%s", s != NULL ? s : "");
        break;
    }
    case LODE_OPT_F64_LIST: {
        const lode_f64_list *list = at;
        for (int i = 0; i < list->n; i++) lode_text_add(text, i ? ", %.17g" : "%.17g", list->v[i]);
        break;
    }
    case LODE_OPT_STRING_LIST: {
        const lode_string_list *list = at;
        for (int i = 0; i < list->n; i++) lode_text_add(text, i ? ", %s" : "%s", list->v[i]);
        break;
    }
    }
}

json_t *lode_options_json(const lode_option_table *table, const void *options) {
    json_t *j = json_object();
    for (int i = 0; i < table->n_rows && j != NULL; i++) {
        lode_text text = {0};
        lode_text_add(&text, "%s", "");
        options_add_value(&text, &table->rows[i], (const char *)options + table->rows[i].offset);
        json_object_set_new(j, table->rows[i].name, json_string(text.s != NULL ? text.s : ""));
        lode_text_deinit(&text);
    }
    return j;
}
