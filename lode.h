/* lode.h: the one header a user of liblode includes; rooms from bottom to top
   (docs/architecture.md). */
#ifndef LODE_H
#define LODE_H

/* clang-format off */
#include "core/config.h"
#include "core/json.h"
#include "core/log.h"
#include "core/memory.h"
#include "core/parallel.h"
#include "core/platform.h"
#include "core/rng.h"
#include "core/status.h"

#include "tensor/tensor.h"
#include "tensor/tensor_io.h"

#include "autograd/gradcheck.h"
#include "autograd/tape.h"

#include "data/data.h"

#include "ops/dispatch.h"
#include "ops/ops.h"
#include "ops/relaxed.h"
#include "ops/replay.h"

#include "supernet/frozen.h"
#include "supernet/supernet.h"

#include "hwcost/cost.h"
#include "hwcost/profile.h"

#include "train/checkpoint.h"
#include "train/evaluate.h"
#include "train/strategy.h"
#include "train/trainer.h"

#include "search/run.h"
#include "search/study.h"
/* clang-format on */
#endif
