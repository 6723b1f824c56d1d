/* foreign.h: cost tables that others published, as files of ours and as cost models.

   Tables of the literature have coarser entries than our measured ones (table.h): whole blocks with
   their shapes (ProxylessNAS, Once-for-all), or what an option of a decision costs (FBNet,
   HW-NAS-Bench, HAQ). A file (JSON, "lode-foreign-table") holds one quantity in one unit with where
   it came from, and entries by key:

     conv IHxIWxIC OHxOWxOC kK sS               a convolution with what belongs to it
     mbconv IHxIWxIC OHxOWxOC midM kK sS rR seS hsH    an inverted residual: M hidden channels, R 1
                                                with a residual, S 1 with squeeze-and-excite, H 1
   with h-swish pool HxWxC                                 global pooling linear I O DECISION:OPTION
   in the space the file names

   The price of a network is the constant plus its entries. A missing entry is an error that names
   its key, never 0. (methods D1) */
#ifndef LODE_HWCOST_FOREIGN_H
#define LODE_HWCOST_FOREIGN_H
#include "hwcost/cost.h"

typedef struct lode_foreign lode_foreign;

typedef enum lode_foreign_keys { LODE_FOREIGN_BLOCKS, LODE_FOREIGN_CHOICES } lode_foreign_keys;
#define LODE_FOREIGN_KEYS_WORDS "blocks|choices"

typedef struct lode_foreign_info {
    char quantity[64]; /* "latency_ms" */
    char unit[16];     /* "ms" */
    lode_foreign_keys keys;
    char space[64];   /* choices: whose decisions they are */
    char device[128]; /* as the importer was told */
    char format[24];  /* of the source: "ofa" */
    char source[256]; /* file it was read from */
    char where[128];  /* which rows and column of it */
    char created[32];
    int64_t batch;
    double constant;
} lode_foreign_info;

LODE_API lode_status lode_foreign_create(const lode_foreign_info *info, lode_foreign **out);
LODE_API void lode_foreign_destroy(lode_foreign *t);
/* A key that is there already with another value is an error. */
LODE_API lode_status lode_foreign_add(lode_foreign *t, const char *key, double value);
LODE_API void lode_foreign_set_constant(lode_foreign *t, double constant);
LODE_API bool lode_foreign_find(const lode_foreign *t, const char *key, double *value);
LODE_API int64_t lode_foreign_n(const lode_foreign *t);
LODE_API const char *lode_foreign_key_at(const lode_foreign *t, int64_t i); /* sorted */
LODE_API double lode_foreign_value_at(const lode_foreign *t, int64_t i);
LODE_API const lode_foreign_info *lode_foreign_get_info(const lode_foreign *t);
LODE_API lode_status lode_foreign_read(const char *path, lode_foreign **out);
LODE_API lode_status lode_foreign_write(const lode_foreign *t, const char *path);
/* Is it a file of this format? False when it cannot be read. */
LODE_API bool lode_foreign_is_file(const char *path);

/* The cost model whose `self` the table is; its close destroys the table. */
LODE_API const lode_cost_model *lode_foreign_model(const lode_foreign *t);
/* The key of a block; empty for one that does nothing. LODE_ERR_UNSUPPORTED for blocks that no such
   table can price. */
LODE_API lode_status lode_foreign_block_key(const lode_cost_block *block, char out[128]);
#endif
