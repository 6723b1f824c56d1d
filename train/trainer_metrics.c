/* trainer_metrics.c: lines of metrics.jsonl and the progress text.

   Fields are in a fixed order and those that depend on the clock come last, so that two runs of one
   recipe can be compared by cutting the lines at "images_per_s". */
#include "core/memory.h"
#include "core/platform.h"
#include "train/trainer_internal.h"

#include <math.h>
#include <stdio.h>

static json_t *metrics_begin(const lode_trainer *t, const char *turn) {
    json_t *line = json_object();
    json_object_set_new(line, "phase", json_string(t->setup.phase));
    json_object_set_new(line, "turn", json_string(turn));
    json_object_set_new(line, "epoch", json_integer((json_int_t)t->at.epoch));
    json_object_set_new(line, "step", json_integer((json_int_t)t->at.step));
    return line;
}

/* Consumes the line. */
static lode_status metrics_end(lode_trainer *t, json_t *line) {
    double now = lode_clock(), seconds = now - t->line_started;
    json_object_set_new(line, "images_per_s",
                        lode_json_number(seconds > 0 ? t->line_images / seconds : 0));
    json_object_set_new(line, "time", lode_json_number(now - t->started));
    t->line_started = now;
    t->line_images = 0;
    char *text = lode_json_line(line);
    json_decref(line);
    if (text == NULL) return LODE_ERR_NO_MEMORY;
    lode_status status = lode_file_append_line(t->setup.metrics_path, text);
    lode_free(text);
    return status;
}

static bool metrics_wanted(const lode_trainer *t) {
    return t->setup.metrics_path != NULL && t->comm->rank == 0;
}

/* The rate of the step just done, not of the one to come. */
static double metrics_last_lr(const lode_trainer *t, lode_turn turn) {
    int64_t step = (int64_t)t->at.epoch * t->n_train + (int64_t)t->at.weight_batch;
    return turn == LODE_TURN_ARCH ? t->arch_lr : lode_schedule_at(&t->schedule, step - 1);
}

/* How decided the architecture is, and how much of it is skip connections or nothing. */
static void metrics_add_shares(const lode_trainer *t, json_t *line) {
    lode_shares s = lode_strategy_shares(t->strategy);
    json_object_set_new(line, "entropy", lode_json_number(lode_strategy_entropy(t->strategy)));
    json_object_set_new(line, "entropy_min", lode_json_number(s.entropy_min));
    json_object_set_new(line, "entropy_max", lode_json_number(s.entropy_max));
    if (s.has_skip) {
        json_object_set_new(line, "skip_share", lode_json_number(s.skip));
        json_object_set_new(line, "skip_probability", lode_json_number(s.p_skip));
    }
    if (s.has_none) {
        json_object_set_new(line, "none_share", lode_json_number(s.none));
        json_object_set_new(line, "none_probability", lode_json_number(s.p_none));
    }
}

static json_t *metrics_number(double v) { return isfinite(v) ? lode_json_number(v) : json_null(); }

lode_status trainer_write_hessian(lode_trainer *t, const lode_hessian_ends *ends, double mean,
                                  double ratio) {
    if (!metrics_wanted(t)) return LODE_OK;
    json_t *line = metrics_begin(t, "hessian");
    json_object_set_new(line, "eigenvalue", lode_json_number(ends->largest));
    json_object_set_new(line, "eigenvalue_error", lode_json_number(ends->error));
    json_object_set_new(line, "eigenvalue_smallest", lode_json_number(ends->smallest));
    json_object_set_new(line, "eigenvalue_mean", metrics_number(mean));
    json_object_set_new(line, "ratio", metrics_number(ratio));
    return metrics_end(t, line);
}

lode_status trainer_write_turn(lode_trainer *t, lode_turn turn) {
    trainer_sums sums = t->at.sums[turn];
    LODE_TRY(lode_comm_sum(t->comm, (double *)&sums, 3)); /* all ranks take part */
    if (!metrics_wanted(t) || !(sums.seen > 0)) return LODE_OK;
    lode_step step = trainer_describe_step(t, turn);
    json_t *line = metrics_begin(t, lode_turn_name(turn));
    json_object_set_new(line, "loss", lode_json_number(sums.loss / sums.seen));
    json_object_set_new(line, "accuracy", lode_json_number(sums.correct / sums.seen));
    json_object_set_new(line, "lr", lode_json_number(metrics_last_lr(t, turn)));
    if (lode_strategy_n_parameters(t->strategy) > 0) metrics_add_shares(t, line);
    lode_status status = lode_strategy_report(t->strategy, &step, line);
    if (status == LODE_OK) return metrics_end(t, line);
    json_decref(line);
    return status;
}

/* The first line. Its numbers depend on the machine and the number of threads, so they too stand
   behind images_per_s. */
lode_status trainer_write_plan(lode_trainer *t, const lode_memory_plan *plan) {
    if (!metrics_wanted(t) || lode_file_size(t->setup.metrics_path) > 0) return LODE_OK;
    const struct {
        const char *name;
        int64_t bytes;
    } part[] = {{"weights", plan->weights},
                {"optimizer", plan->optimizer},
                {"batches", plan->batches},
                {"gradients", plan->gradients},
                {"activations", plan->activations},
                {"workspace", plan->workspace},
                {"other", plan->other},
                {"total", plan->total},
                {"held", plan->held}};
    json_t *line = metrics_begin(t, "memory");
    json_object_set_new(line, "images_per_s", json_integer(0));
    for (size_t i = 0; i < sizeof part / sizeof *part; i++)
        json_object_set_new(line, part[i].name, json_integer((json_int_t)part[i].bytes));
    return metrics_end(t, line);
}

lode_status trainer_write_eval(lode_trainer *t, const lode_evaluation *e, const lode_arch *arch) {
    if (!metrics_wanted(t)) return LODE_OK;
    json_t *line = metrics_begin(t, "eval");
    json_object_set_new(line, "split", json_string(t->options.eval_split));
    json_object_set_new(line, "loss", lode_json_number(e->loss));
    json_object_set_new(line, "accuracy", lode_json_number(e->accuracy));
    if (arch != NULL) {
        char *text = lode_arch_text(lode_supernet_space(t->setup.net), arch);
        if (text == NULL) {
            json_decref(line);
            return LODE_ERR_NO_MEMORY;
        }
        json_object_set_new(line, "arch", json_string(text));
        lode_free(text);
    }
    t->line_images = (double)e->n;
    return metrics_end(t, line);
}

void trainer_show_progress(lode_trainer *t, lode_turn turn) {
    const trainer_sums *sums = &t->at.sums[turn];
    char text[160], eval[32] = "";
    if (t->at.eval_n > 0)
        snprintf(eval, sizeof eval, " %s %.3f", t->options.eval_split, t->at.eval_accuracy);
    snprintf(text, sizeof text, "epoch %lld/%lld %sloss %.3f acc %.3f%s",
             (long long)t->at.epoch + 1, (long long)t->options.epochs,
             turn == LODE_TURN_ARCH ? "arch " : "", sums->loss / sums->seen,
             sums->correct / sums->seen, eval);
    lode_progress_update(t->setup.progress, t->setup.phase, (int64_t)t->at.step, t->total_steps,
                         text);
}
