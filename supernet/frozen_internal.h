/* frozen_internal.h: folding, for frozen.c. */
#ifndef LODE_SUPERNET_FROZEN_INTERNAL_H
#define LODE_SUPERNET_FROZEN_INTERNAL_H
#include "supernet/frozen.h"

/* Records on `to` (TRACE, reset) the calls of `plain`, folded, or as they are for LODE_FORM_PLAIN.
 *x, *y: input and result on `to`. contents: folded weights get their values. */
lode_status fold_trace(const lode_tape *plain, lode_form form, bool contents, lode_tape *to,
                       lode_var **x, lode_var **y);
#endif
