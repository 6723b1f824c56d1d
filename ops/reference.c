/* reference.c: the last provider, which never refuses.

   Its kernels are the operators' own `reference` functions, so it has no list: an operator that is
   in no table (a user's own, applied through lode_apply) runs here too. */
#include "ops/dispatch.h"

#include <stdio.h>

static void reference_describe(char out[128]) {
    snprintf(out, 128, "plain C in double precision, every operator, dtype and stride");
}

const lode_provider lode_provider_reference = {
    .name = "reference",
    .same_bits_any_threads = true, /* one thread per result, whatever their number */
    .describe = reference_describe,
};
