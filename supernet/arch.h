/* arch.h: one point of a space, as a small value. Canonical form, text, JSON, hash, foreign codes.

   Text: option names joined by commas, in decision order ("k3_e6,skip,k5_e3"). Codes understood by
   lode_arch_parse beside that: option numbers "3,8,6"; digits "22212220" when all decisions have at
   most 10 options (NAS-Bench-Macro); "|op~0|+|op~0|op~1|+..." (NAS-Bench-201); @file.json. */
#ifndef LODE_SUPERNET_ARCH_H
#define LODE_SUPERNET_ARCH_H
#include "core/status.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define LODE_MAX_DECISIONS 128
typedef struct lode_space lode_space;

typedef struct lode_arch {
    int n;
    uint8_t option[LODE_MAX_DECISIONS];
} lode_arch;

LODE_API bool lode_arch_equal(const lode_arch *a, const lode_arch *b);
/* Architectures that are the same function get the same canonical form (where the space says how).
 */
LODE_API lode_arch lode_arch_canonical(const lode_space *s, const lode_arch *a);
LODE_API uint64_t lode_arch_hash(const lode_space *s,
                                 const lode_arch *a);                   /* of the canonical form */
LODE_API char *lode_arch_text(const lode_space *s, const lode_arch *a); /* lode_free */
/* The space's foreign code, else the text; lode_free. */
LODE_API char *lode_arch_code(const lode_space *s, const lode_arch *a);
LODE_API lode_status lode_arch_parse(const lode_space *s, const char *text, lode_arch *out);
/* {"space": name, "choices": {decision: option, ...}, "text": ..., "hash": "..."} */
LODE_API json_t *lode_arch_json(const lode_space *s, const lode_arch *a);
LODE_API lode_status lode_arch_from_json(const lode_space *s, const json_t *j, lode_arch *out);
#endif
