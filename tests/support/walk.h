/* walk.h: examples of the operator table as calls that can be run, compared and made larger. */
#ifndef LODE_TESTS_WALK_H
#define LODE_TESTS_WALK_H
#include "ops/dispatch.h"
#include "support/support.h"

enum { WALK_EXAMPLES = 60 }; /* per operator, when it has that many */

typedef struct walk_call {
    lode_op_example e;
    lode_op_call c; /* x are e's; y and aux are made by walk_outputs */
    lode_inferred in;
    lode_tensor *dy, *dx[LODE_EXAMPLE_MAX_INPUTS];
    char name[160]; /* "conv2d example 3" */
} walk_call;

/* The k-th example of op, inferred; the same every time. False when there are no more. */
bool walk_make(walk_call *w, const lode_op *op, lode_dtype dtype, int k);
/* y and aux, full of NaN (or -1); dy random, of changing layout; dx for every differentiable x. */
void walk_outputs(walk_call *w, int k);
void walk_free(walk_call *w);
/* Fails the test with the call's name when the runner does. */
void walk_forward(walk_call *w, const lode_runner *runner);
void walk_backward(walk_call *w, const lode_runner *runner);

/* Which inputs share the batch, as a bit mask: multiplying their dim 0 multiplies y's elements (or
   leaves y a scalar). 0 when the example has no such dim. */
unsigned walk_batch(const walk_call *w);
/* The same call with those dims `factor` times as long, values repeated, inferred. */
void walk_grow(walk_call *out, const walk_call *w, unsigned batch, int factor);

/* Largest |a - b|, NaN counting as infinite, and largest |a|. Shapes must be equal. */
double walk_distance(const lode_tensor *a, const lode_tensor *b);
double walk_largest(const lode_tensor *a);
#endif
