/* watch.h: what to look at while architecture parameters are trained, and when to stop.

   Shares: how much of the architecture is skip connections and nothing, in the most probable
   options and in the probabilities; differentiable searches drift towards both.

   Eigenvalue: the largest eigenvalue of the Hessian of the validation loss with respect to the
   architecture parameters. Where it grows, the loss falls steeply off when the parameters are
   rounded to an architecture, and networks found there are worse (Zela et al. 2020, "Understanding
   and robustifying differentiable architecture search"). The function is the mixture's loss on
   fixed batches of the split "arch" (lode_strategy_mixture; batch statistics, no cost term).

   Stopping on it, with m_i the mean of the `stop_window` measurements around the i-th (fewer at the
   beginning): once m_(i-lag) / m_i < stop_ratio, training ends, and the architecture parameters
   are again those of measurement i - lag, provided that lies not before epoch stop_start. The
   authors measure every other epoch, window 5, lag 4, ratio 0.75, start 10.

   Stopping on skips (DARTS+, Liang et al. 2019): once the architecture that the parameters stand
   for, by DARTS' derivation where edges are kept, else by argmax, has stop_skips skip connections
   or more in a cell that does not halve the map. */
#ifndef LODE_TRAIN_WATCH_H
#define LODE_TRAIN_WATCH_H
#include "core/config.h"

typedef struct lode_strategy lode_strategy;

typedef enum lode_stop_rule {
    LODE_STOP_NONE,
    LODE_STOP_EIGENVALUE,
    LODE_STOP_SKIPS
} lode_stop_rule;
#define LODE_STOP_WORDS "none|eigenvalue|skips"
LODE_API const char *lode_stop_rule_name(lode_stop_rule rule);

typedef struct lode_watch_options {
    int64_t hessian_every, hessian_batches, hessian_steps;
    int stop_on; /* lode_stop_rule */
    double stop_ratio;
    int64_t stop_window, stop_lag, stop_start, stop_skips;
} lode_watch_options;

/* Rows for a strategy's table; `m` is the member of `type` that holds the options. */
/* clang-format off */
#define LODE_WATCH_ROW(type, m, name, kind, def, min, max, words, help)                            \
    { #name, kind, offsetof(type, m.name), def, min, max, words, help }
#define LODE_WATCH_ROWS(type, m)                                                                   \
    LODE_WATCH_ROW(type, m, hessian_every, LODE_OPT_INT, "0", 0, 1000000, "epochs", "between measurements of the largest eigenvalue of the Hessian of the validation loss in the architecture parameters; needs the memory of the whole mixture; 0: never"), \
    LODE_WATCH_ROW(type, m, hessian_batches, LODE_OPT_INT, "1", 1, 1000000, "batches", "fixed batches of the split arch for it"), \
    LODE_WATCH_ROW(type, m, hessian_steps, LODE_OPT_INT, "10", 1, 64, NULL, "Lanczos steps for it, two gradients per batch each"), \
    LODE_WATCH_ROW(type, m, stop_on, LODE_OPT_ENUM, "none", 0, 0, LODE_STOP_WORDS, "end the search early: when the eigenvalue grows (Zela et al. 2020), or at skips in a normal cell (DARTS+)"), \
    LODE_WATCH_ROW(type, m, stop_ratio, LODE_OPT_F64, "0.75", 0, 1, NULL, "eigenvalue: stop once the mean of lag measurements ago is less than this share of the mean now"), \
    LODE_WATCH_ROW(type, m, stop_window, LODE_OPT_INT, "5", 1, 1001, "measurements", "eigenvalue: averaged around each; odd"), \
    LODE_WATCH_ROW(type, m, stop_lag, LODE_OPT_INT, "4", 1, 1000000, "measurements", "eigenvalue: how far the two means lie apart, and how far the parameters go back"), \
    LODE_WATCH_ROW(type, m, stop_start, LODE_OPT_INT, "10", 0, 1000000, "epochs", "no parameters older than this are gone back to, and skips do not count before"), \
    LODE_WATCH_ROW(type, m, stop_skips, LODE_OPT_INT, "2", 1, 128, NULL, "skips: so many in one normal cell end the search")
/* clang-format on */

/* Why and where a training ended before its last epoch. */
typedef struct lode_early_stop {
    lode_stop_rule rule; /* LODE_STOP_NONE: it did not */
    int64_t epoch;       /* completed epochs when it stopped */
    int64_t kept_epoch;  /* completed epochs when the architecture parameters were these */
    double value;        /* the ratio of means, or the number of skips */
} lode_early_stop;

/* The eigenvalue's rule on n measurements: *mean (may be NULL) is the newest smoothed value, NAN
   before there is one; *ratio that of the means, NAN when they cannot be compared. Returns the
   index to go back to, or -1 to go on. epoch[i]: completed epochs at measurement i. */
LODE_API int64_t lode_watch_eigenvalues(const lode_watch_options *o, const double *epoch,
                                        const double *value, int64_t n, double *mean,
                                        double *ratio);

/* Shares over all decisions. */
typedef struct lode_shares {
    double entropy_min, entropy_max; /* over decisions of -sum p ln p / ln K; 0 without any */
    double skip, none;               /* decisions whose most probable option is one */
    double p_skip, p_none;           /* mean probability of such options */
    bool has_skip, has_none;         /* the space has such options */
} lode_shares;
LODE_API lode_shares lode_strategy_shares(const lode_strategy *s);
/* Skip connections of the architecture the strategy stands for, in the normal cell type with most
   of them. LODE_ERR_CONFIG: the space has no such cells. */
LODE_API lode_status lode_strategy_normal_skips(const lode_strategy *s, int *out);
#endif
