/* hardware.h: text files that describe a device, and the analytical cost models that read them.

   A device file is YAML: `name`, `about`, `kind` (hardware_kinds.def: roofline, ...), `dtype` (what
   the network is deployed in: f32, f16, bf16, int8) and the keys of its kind (docs/costs.md lists
   them). A kind offers one or more quantities, each a lode_cost_model of its own whose unit stands
   in its name: `--cost latency_ms=raspberry-pi-4`, `--cost energy_mj=my-chip.yaml`. After a colon
   stands another dtype than the file's: `latency_ms=v100:f16`.

   Files ship in devices/; they are looked for in $LODE_DEVICES, the source tree and the install's
   data directory. A name with a slash, or that ends in .yaml, is a path. */
#ifndef LODE_HWCOST_HARDWARE_H
#define LODE_HWCOST_HARDWARE_H
#include "core/config.h"
#include "hwcost/cost.h"

#define LODE_HARDWARE_DTYPE_WORDS "f32|f16|bf16|int8"
/* Numbers of the words above. */
typedef enum lode_hardware_dtype {
    LODE_HARDWARE_F32,
    LODE_HARDWARE_F16,
    LODE_HARDWARE_BF16,
    LODE_HARDWARE_INT8,
    LODE_N_HARDWARE_DTYPES
} lode_hardware_dtype;
LODE_API const char *lode_hardware_dtype_name(lode_hardware_dtype t);
LODE_API double lode_hardware_dtype_bytes(lode_hardware_dtype t);

typedef struct lode_hardware_kind {
    const char *name;
    const char *about;
    /* Reads the keys of the kind; those of all files are read already. Keys that it leaves unread
       are errors. */
    lode_status (*load)(lode_yaml *root, lode_hardware_dtype dtype, void **self);
    void (*close)(void *self);
    /* Another model in the place of a quantity's, where keys of the file make it another kind of
       sum; may be NULL. Settings of keys (below) must not change the answer. */
    const lode_cost_model *(*as_set)(const void *self, const lode_cost_model *quantity);
    const lode_cost_model *const
        *quantity; /* their open and close are NULL: `self` is the kind's */
    int n_quantities;
} lode_hardware_kind;

LODE_API int lode_n_hardware_kinds(void);
LODE_API const lode_hardware_kind *lode_hardware_kind_at(int i);
LODE_API const lode_hardware_kind *lode_hardware_kind_find(const char *name);

/* What a device file says in general. */
typedef struct lode_hardware {
    char name[64], about[160];
    const lode_hardware_kind *kind;
    lode_hardware_dtype dtype;
    void *self; /* the kind's */
} lode_hardware;
/* file: NAME or PATH, with ":DTYPE" after it or without. */
LODE_API lode_status lode_hardware_open(const char *file, lode_hardware **out);
/* The same from YAML text; `name` is what messages call it. dtype NULL: the text's. */
LODE_API lode_status lode_hardware_parse(const char *text, const char *name, const char *dtype,
                                         lode_hardware **out);
/* A key of the file with another value than the file's: "tile.m", "16". */
typedef struct lode_hardware_setting {
    const char *key, *value;
} lode_hardware_setting;
/* As lode_hardware_open, with keys of the file set otherwise. LODE_ERR_CONFIG: the file has no such
   key, or the device cannot be built so. */
LODE_API lode_status lode_hardware_open_with(const char *file, const lode_hardware_setting *setting,
                                             int n, lode_hardware **out);
LODE_API void lode_hardware_close(lode_hardware *h);
/* NULL and a story when the kind does not offer it. */
LODE_API const lode_cost_model *lode_hardware_find_quantity(const lode_hardware *h,
                                                            const char *quantity);
/* Is this the argument of a device (rather than a table)? A path that ends in .yaml, or a plain
 * word.
 */
LODE_API bool lode_hardware_is_file(const char *argument);
/* Shipped ones, sorted; lode_names_free. */
LODE_API lode_status lode_hardware_names(char ***names, int64_t *n);
#endif
