/* import_blocks.c: ProxylessNAS's and Once-for-all's tables of blocks.

   Both name a block by its shapes,

     expanded_conv-input:112x112x24-output:56x56x32-expand:72-kernel:3-stride:2-idskip:0-se:0-hs:0

   where `expand` is the ratio of hidden to input channels for ProxylessNAS (Cai et al. 2019) and
   the number of hidden channels for Once-for-all (Cai et al. 2020); the last two are
   Once-for-all's. Other rows are Conv (the first 3x3), Conv_1 (the last 1x1), AvgPool2D, Conv_2
   (after the pooling) and Logits. A ProxylessNAS Logits row includes the pooling before it, which
   therefore is an entry of 0. NSGANetV2's table in Once-for-all's space (Lu et al. 2020) has
   columns instead of keys, ratios of expansion, no activations and no pooling. */
#include "core/memory.h"
#include "hwcost/import_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct import_block {
    const char *type;
    int64_t in[3], out[3]; /* H, W, C */
    double expand;
    int64_t kernel, stride, idskip, se, hs; /* se, hs -1: not told */
} import_block;

/* "HxWxC", or "C": 1x1xC. */
static bool import_shape(const char *text, int64_t shape[3]) {
    long long h = 1, w = 1, c = 0;
    int n = 0;
    if (sscanf(text, "%lldx%lldx%lld%n", &h, &w, &c, &n) != 3 || n == 0) {
        h = w = 1;
        if (sscanf(text, "%lld%n", &c, &n) != 1) return false;
    }
    shape[0] = h, shape[1] = w, shape[2] = c;
    return text[n] == '\0' || text[n] == '-';
}

/* What stands behind "-name:" in a key. */
static const char *import_part(const char *key, const char *name) {
    char mark[32];
    snprintf(mark, sizeof mark, "-%s:", name);
    const char *at = strstr(key, mark);
    return at ? at + strlen(mark) : NULL;
}

static int64_t import_part_int(const char *key, const char *name, int64_t absent) {
    const char *at = import_part(key, name);
    return at ? strtoll(at, NULL, 10) : absent;
}

static lode_status import_read_key(const import_source *s, int64_t row, const char *key,
                                   import_block *b) {
    static const char *const types[] = {"expanded_conv", "Conv_1", "Conv_2",
                                        "Conv",          "Logits", "AvgPool2D"};
    const char *in = import_part(key, "input"), *out = import_part(key, "output");
    memset(b, 0, sizeof *b);
    for (size_t i = 0; i < sizeof types / sizeof *types && !b->type; i++) {
        size_t n = strlen(types[i]);
        if (strncmp(key, types[i], n) == 0 && key[n] == '-') b->type = types[i];
    }
    if (!b->type || !in || !out || !import_shape(in, b->in) || !import_shape(out, b->out))
        return import_fail(s, row, "key \"%s\": want TYPE-input:HxWxC-output:HxWxC-...", key);
    const char *expand = import_part(key, "expand");
    b->expand = expand ? strtod(expand, NULL) : 0;
    b->kernel = import_part_int(key, "kernel", 0);
    b->stride = import_part_int(key, "stride", 0);
    b->idskip = import_part_int(key, "idskip", 0);
    b->se = import_part_int(key, "se", 0);
    b->hs = import_part_int(key, "hs", 0);
    if (strcmp(b->type, "expanded_conv") == 0 &&
        (!(b->expand > 0) || b->kernel < 1 || b->stride < 1))
        return import_fail(s, row, "key \"%s\": want -expand:E-kernel:K-stride:S-idskip:I", key);
    return LODE_OK;
}

static lode_status import_add_conv(const import_block *b, int64_t kernel, double v,
                                   lode_foreign *t) {
    char key[128];
    snprintf(key, sizeof key, "conv %lldx%lldx%lld %lldx%lldx%lld k%lld s%lld", (long long)b->in[0],
             (long long)b->in[1], (long long)b->in[2], (long long)b->out[0], (long long)b->out[1],
             (long long)b->out[2], (long long)kernel,
             (long long)((b->in[0] + b->out[0] - 1) / b->out[0]));
    return lode_foreign_add(t, key, v);
}

static lode_status import_add_mbconv(const import_block *b, int64_t mid, double v,
                                     lode_foreign *t) {
    char key[128], hs[24] = "";
    if (b->hs >= 0) snprintf(hs, sizeof hs, " hs%lld", (long long)b->hs);
    snprintf(key, sizeof key,
             "mbconv %lldx%lldx%lld %lldx%lldx%lld mid%lld k%lld s%lld r%lld se%lld%s",
             (long long)b->in[0], (long long)b->in[1], (long long)b->in[2], (long long)b->out[0],
             (long long)b->out[1], (long long)b->out[2], (long long)mid, (long long)b->kernel,
             (long long)b->stride, (long long)b->idskip, (long long)b->se, hs);
    return lode_foreign_add(t, key, v);
}

static lode_status import_add_pool(const int64_t shape[3], double v, lode_foreign *t) {
    char key[128];
    snprintf(key, sizeof key, "pool %lldx%lldx%lld", (long long)shape[0], (long long)shape[1],
             (long long)shape[2]);
    return lode_foreign_add(t, key, v);
}

/* `ratio`: expand is hidden over input channels. */
static lode_status import_add_block(const import_block *b, bool ratio, double v, lode_foreign *t) {
    if (strcmp(b->type, "expanded_conv") == 0) {
        double mid = ratio ? b->expand * (double)b->in[2] : b->expand;
        return import_add_mbconv(b, (int64_t)llround(mid), v, t);
    }
    if (strcmp(b->type, "AvgPool2D") == 0) return import_add_pool(b->in, v, t);
    if (strcmp(b->type, "Logits") == 0) {
        char key[128];
        if (b->in[0] > 1) LODE_TRY(import_add_pool(b->in, 0, t)); /* is in the row */
        snprintf(key, sizeof key, "linear %lld %lld", (long long)b->in[2], (long long)b->out[2]);
        return lode_foreign_add(t, key, v);
    }
    return import_add_conv(b, strcmp(b->type, "Conv") == 0 ? 3 : 1, v, t);
}

static lode_status import_keys(const import_source *s, const lode_import_options *o, bool ratio,
                               lode_foreign *t) {
    int value = -1, key = import_find(s, "key");
    const char *usual = import_find(s, "mean_ms") >= 0 ? "mean_ms" : "mean";
    if (key < 0)
        return LODE_FAIL(LODE_ERR_DATA, "%s: want a column `key` (or the authors' .yaml)", s->path);
    LODE_TRY(import_value_column(s, o, usual, &value));
    for (int64_t r = 0; r < s->n_rows; r++) {
        import_block b;
        double v = 0;
        LODE_TRY(import_f64(s, r, value, &v));
        LODE_TRY(import_read_key(s, r, import_cell(s, r, key), &b));
        LODE_TRY(import_add_block(&b, ratio, v, t));
    }
    return LODE_OK;
}

static lode_status import_proxylessnas(const import_source *s, const lode_import_options *o,
                                       lode_foreign *t) {
    return import_keys(s, o, true, t);
}

/* ---- columns instead of keys ---- */

static lode_status import_read_columns(const import_source *s, int64_t r, const int *column,
                                       import_block *b) {
    static const struct {
        const char *theirs, *ours;
    } types[] = {{"MBConv", "expanded_conv"},
                 {"first_conv", "Conv"},
                 {"final_expand_layer", "Conv_1"},
                 {"feature_mix_layer", "Conv_2"},
                 {"classifier", "Logits"}};
    const char *type = import_cell(s, r, column[0]);
    int64_t v[10] = {0};
    memset(b, 0, sizeof *b);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(type, types[i].theirs) == 0) b->type = types[i].ours;
    if (!b->type) return import_fail(s, r, "type \"%s\" is no part of the network", type);
    bool block = strcmp(b->type, "expanded_conv") == 0;
    for (int i = 0; i < (block ? 11 : 6); i++) {
        if (i == 6) {
            LODE_TRY(import_f64(s, r, column[7], &b->expand));
            continue;
        }
        LODE_TRY(import_int(s, r, column[1 + i], i < 6 ? &v[i] : &v[i - 1]));
    }
    for (int i = 0; i < 3; i++) b->in[i] = v[i], b->out[i] = v[3 + i];
    b->kernel = v[6], b->stride = v[7], b->idskip = v[8], b->se = v[9], b->hs = -1;
    return LODE_OK;
}

static lode_status import_ofa(const import_source *s, const lode_import_options *o,
                              lode_foreign *t) {
    static const char *const names[] = {"type",  "in_h",   "in_w",   "in_c",   "out_h",  "out_w",
                                        "out_c", "expand", "kernel", "stride", "idskip", "se"};
    int column[12], value = -1;
    if (import_find(s, "key") >= 0) return import_keys(s, o, false, t);
    for (int i = 0; i < 12; i++)
        if ((column[i] = import_find(s, names[i])) < 0)
            return LODE_FAIL(LODE_ERR_DATA,
                             "%s: want a column `key`, or columns type ... se; %s is "
                             "missing",
                             s->path, names[i]);
    LODE_TRY(import_value_column(s, o, "mean_ms", &value));
    for (int64_t r = 0; r < s->n_rows; r++) {
        import_block b;
        double v = 0;
        LODE_TRY(import_f64(s, r, value, &v));
        LODE_TRY(import_read_columns(s, r, column, &b));
        LODE_TRY(import_add_block(&b, true, v, t));
        if (strcmp(b.type, "Conv_1") == 0) LODE_TRY(import_add_pool(b.out, 0, t)); /* not told */
    }
    return LODE_OK;
}

const lode_importer lode_importer_ofa = {
    .name = "ofa",
    .about = "Once-for-all (Cai et al. 2020): keys with hidden channels, or NSGANetV2's columns",
    .keys = LODE_FOREIGN_BLOCKS,
    .read = import_ofa,
};

const lode_importer lode_importer_proxylessnas = {
    .name = "proxylessnas",
    .about = "ProxylessNAS (Cai et al. 2019): keys with expansion ratios",
    .keys = LODE_FOREIGN_BLOCKS,
    .read = import_proxylessnas,
};
