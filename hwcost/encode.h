/* encode.h: an architecture as numbers, for models that are fitted to examples.

   One feature per option of every decision, in the order of the space: 1 at the chosen one. The
   same formula takes probabilities, x[d,k] = active(d) p[d][k], so that an encoding of an
   architecture is the encoding of its one-hot probabilities, and every model of x has a gradient
   with respect to p. active(d) is 1, except for sizes that are read only where another decision
   has chosen a certain block (kernels and expansions of elastic spaces): there it is the
   probability of that choice, and 0 when it was not chosen, so that options which nothing reads
   cannot be told apart.

   `paths`, for cells whose edges may be `none`: behind the options, for every state of the cell
   (its inputs and nodes), the probability that some path leads to it from the inputs, and that some
   path leads from it to the cell's output. Compilers remove what cannot matter, so that the time of
   many devices depends on it. Probabilities of paths that share edges are multiplied as if they did
   not: exact for architectures, an approximation in between.

   `counts`: what the engine knows of a network without training it (after TAPAS, Istrate et al.
   2019): ln(1 + v) of multiply-accumulates, parameters, bytes of activations, and numbers of
   convolutions, pointwise and depthwise convolutions and other calls. At probabilities v is its
   expectation. `given`: so many numbers that come with the architecture, such as its accuracy after
   a few epochs; they stand last and the caller fills them in. */
#ifndef LODE_HWCOST_ENCODE_H
#define LODE_HWCOST_ENCODE_H
#include "supernet/space.h"

typedef struct lode_encoding lode_encoding;

/* What it has, in this order. */
typedef struct lode_encoding_parts {
    bool options, paths, counts;
    int given;
} lode_encoding_parts;
/* Retains the space. Paths are left out where the space has no such cells. LODE_ERR_INVALID: the
   space has no decisions, or there would be no feature. */
LODE_API lode_status lode_encoding_create(lode_space *space, const lode_encoding_parts *parts,
                                          lode_encoding **out);
LODE_API void lode_encoding_destroy(lode_encoding *e);
LODE_API lode_space *lode_encoding_space(const lode_encoding *e); /* borrowed */
LODE_API int lode_encoding_n(const lode_encoding *e);             /* features */
/* Those that are 0 or 1 for architectures (options, paths) come first; those of options, at the
   very beginning; and those that are given, at the end. */
LODE_API int lode_encoding_n_binary(const lode_encoding *e);
LODE_API int lode_encoding_n_options(const lode_encoding *e);
LODE_API int lode_encoding_n_given(const lode_encoding *e);
/* First feature of a decision; that of option k is k further. Of encodings with options. */
LODE_API int lode_encoding_at(const lode_encoding *e, int decision);
LODE_API bool lode_encoding_has_paths(const lode_encoding *e);
/* Is x linear in p? */
LODE_API bool lode_encoding_is_linear(const lode_encoding *e);

/* x [features], but for the given ones. As many options as decisions, in range. */
LODE_API lode_status lode_encode_arch(const lode_encoding *e, const lode_arch *arch, double *x);
/* p[d][k], d over decisions, k over options. */
LODE_API lode_status lode_encode_relaxed(const lode_encoding *e, const double *const *p, double *x);
/* dp[d][k] = sum of dx over features times their slope at p; overwrites. */
LODE_API lode_status lode_encode_pull(const lode_encoding *e, const double *const *p,
                                      const double *dx, double *const *dp);
#endif
