/* foreign.c: tables of others: the file, and pricing by it. */
#include "hwcost/foreign.h"

#include "core/json.h"
#include "core/memory.h"
#include "core/platform.h"
#include "hwcost/sorted_internal.h"
#include "hwcost/work.h"
#include "ops/ops.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define FOREIGN_FORMAT  "lode-foreign-table"
#define FOREIGN_VERSION 1

typedef struct foreign_entry {
    char *key;
    double value;
} foreign_entry;

struct lode_foreign {
    lode_foreign_info info;
    char path[256]; /* for messages; empty when made here */
    foreign_entry *entry;
    int64_t n, capacity;
};

static const char *const foreign_keys_names[] = {"blocks", "choices"};

lode_status lode_foreign_create(const lode_foreign_info *info, lode_foreign **out) {
    *out = LODE_NEW(lode_foreign);
    if (!*out) return LODE_ERR_NO_MEMORY;
    (*out)->info = *info;
    return LODE_OK;
}

void lode_foreign_destroy(lode_foreign *t) {
    if (!t) return;
    for (int64_t i = 0; i < t->n; i++) lode_free(t->entry[i].key);
    lode_free(t->entry);
    lode_free(t);
}

bool lode_foreign_find(const lode_foreign *t, const char *key, double *value) {
    int64_t i = 0;
    if (!sorted_find(t->entry, t->n, sizeof *t->entry, key, &i)) return false;
    *value = t->entry[i].value;
    return true;
}

lode_status lode_foreign_add(lode_foreign *t, const char *key, double value) {
    int64_t at = 0;
    if (!isfinite(value))
        return LODE_FAIL(LODE_ERR_DATA, "cost table: the value of \"%s\" is no number", key);
    if (sorted_find(t->entry, t->n, sizeof *t->entry, key, &at)) {
        double known = t->entry[at].value;
        if (known == value) return LODE_OK;
        return LODE_FAIL(
            LODE_ERR_DATA,
            "cost table: \"%s\" costs %.9g and %.9g; rows of one device and input size "
            "are wanted, e.g. --where resolution=224",
            key, known, value);
    }
    char *copy = lode_strdup(key);
    if (!copy) return LODE_ERR_NO_MEMORY;
    lode_status status = sorted_open((void **)&t->entry, &t->capacity, t->n, sizeof *t->entry, at);
    if (status != LODE_OK) {
        lode_free(copy);
        return status;
    }
    t->entry[at] = (foreign_entry){copy, value};
    t->n++;
    return LODE_OK;
}

void lode_foreign_set_constant(lode_foreign *t, double constant) { t->info.constant = constant; }
int64_t lode_foreign_n(const lode_foreign *t) { return t->n; }
const char *lode_foreign_key_at(const lode_foreign *t, int64_t i) { return t->entry[i].key; }
double lode_foreign_value_at(const lode_foreign *t, int64_t i) { return t->entry[i].value; }
const lode_foreign_info *lode_foreign_get_info(const lode_foreign *t) { return &t->info; }

/* ---- file ---- */

static lode_status foreign_read_keys(const json_t *root, const char *path, lode_foreign_keys *out) {
    const char *s = NULL;
    LODE_TRY(lode_json_get_string(root, "keys", path, &s));
    for (*out = LODE_FOREIGN_BLOCKS; *out <= LODE_FOREIGN_CHOICES; ++*out)
        if (strcmp(s, foreign_keys_names[*out]) == 0) return LODE_OK;
    return LODE_FAIL(LODE_ERR_DATA, "%s: keys is \"%s\", want one of %s", path, s,
                     LODE_FOREIGN_KEYS_WORDS);
}

static lode_status foreign_read_info(const json_t *root, const char *path,
                                     lode_foreign_info *info) {
    const char *format = NULL;
    int64_t version = 0;
    LODE_TRY(lode_json_get_string(root, "format", path, &format));
    if (strcmp(format, FOREIGN_FORMAT) != 0)
        return LODE_FAIL(LODE_ERR_DATA, "%s: format is \"%s\", want \"%s\"", path, format,
                         FOREIGN_FORMAT);
    LODE_TRY(lode_json_get_int(root, "version", path, &version));
    if (version != FOREIGN_VERSION)
        return LODE_FAIL(LODE_ERR_DATA, "%s: version %lld, this build reads version %d", path,
                         (long long)version, FOREIGN_VERSION);
    LODE_TRY(lode_json_copy_string(root, "quantity", path, info->quantity, sizeof info->quantity));
    LODE_TRY(lode_json_copy_string(root, "unit", path, info->unit, sizeof info->unit));
    LODE_TRY(foreign_read_keys(root, path, &info->keys));
    LODE_TRY(lode_json_copy_string(root, "space", path, info->space, sizeof info->space));
    LODE_TRY(lode_json_copy_string(root, "device", path, info->device, sizeof info->device));
    LODE_TRY(lode_json_copy_string(root, "source_format", path, info->format, sizeof info->format));
    LODE_TRY(lode_json_copy_string(root, "source", path, info->source, sizeof info->source));
    LODE_TRY(lode_json_copy_string(root, "where", path, info->where, sizeof info->where));
    LODE_TRY(lode_json_copy_string(root, "created", path, info->created, sizeof info->created));
    LODE_TRY(lode_json_get_int(root, "batch", path, &info->batch));
    return lode_json_get_f64(root, "constant", path, &info->constant);
}

static lode_status foreign_read_entries(lode_foreign *t, json_t *root, const char *path) {
    json_t *entries = json_object_get(root, "entries"), *value;
    const char *key;
    if (!json_is_object(entries))
        return LODE_FAIL(LODE_ERR_DATA, "%s: \"entries\" is missing or no map", path);
    json_object_foreach(entries, key, value) {
        if (!json_is_number(value))
            return LODE_FAIL(LODE_ERR_DATA, "%s: entry \"%s\" is no number", path, key);
        LODE_TRY(lode_foreign_add(t, key, json_number_value(value)));
    }
    return LODE_OK;
}

lode_status lode_foreign_read(const char *path, lode_foreign **out) {
    lode_foreign *t = NULL;
    json_t *root = NULL;
    lode_foreign_info info = {.quantity = ""};
    lode_status status = LODE_OK;
    *out = NULL;
    LODE_GOTO(lode_json_read(path, &root));
    LODE_GOTO(foreign_read_info(root, path, &info));
    LODE_GOTO(lode_foreign_create(&info, &t));
    snprintf(t->path, sizeof t->path, "%s", path);
    LODE_GOTO(foreign_read_entries(t, root, path));
    *out = t;
    t = NULL;
done:
    lode_foreign_destroy(t);
    json_decref(root);
    return status;
}

lode_status lode_foreign_write(const lode_foreign *t, const char *path) {
    const lode_foreign_info *i = &t->info;
    json_t *entries = json_object();
    for (int64_t k = 0; entries && k < t->n; k++)
        if (json_object_set_new(entries, t->entry[k].key, json_real(t->entry[k].value)) != 0) {
            json_decref(entries);
            entries = NULL;
        }
    json_t *root =
        entries
            ? json_pack("{s:s, s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:f, s:o}",
                        "format", FOREIGN_FORMAT, "version", FOREIGN_VERSION, "quantity",
                        i->quantity, "unit", i->unit, "keys", foreign_keys_names[i->keys], "space",
                        i->space, "device", i->device, "source_format", i->format, "source",
                        i->source, "where", i->where, "created", i->created, "batch",
                        (json_int_t)i->batch, "constant", i->constant, "entries", entries)
            : NULL;
    if (!root) return LODE_FAIL(LODE_ERR_NO_MEMORY, "cost table: no memory to write %s", path);
    lode_status status = lode_json_write(path, root);
    json_decref(root);
    return status;
}

bool lode_foreign_is_file(const char *path) {
    json_t *root = NULL;
    bool is = lode_file_exists(path) && lode_json_read(path, &root) == LODE_OK;
    const char *format = is ? json_string_value(json_object_get(root, "format")) : NULL;
    is = format && strcmp(format, FOREIGN_FORMAT) == 0;
    json_decref(root);
    lode_error_clear();
    return is;
}

/* ---- blocks as keys ---- */

/* What the calls of a block are, as far as tables of blocks care. */
typedef struct foreign_parts {
    int n_conv, n_depthwise, n_linear, n_pool, n_other;
    lode_work first, last, depthwise, linear; /* first and last convolution */
    bool hswish, residual;
    const lode_tensor *pooled;
} foreign_parts;

static bool foreign_is_hswish(const lode_op_call *c) {
    return c->op == &lode_op_hswish ||
           (c->op == &lode_op_conv_act &&
            ((const lode_conv_act_params *)c->params)->act == LODE_ACT_HSWISH);
}

static void foreign_take_apart(const lode_cost_block *block, foreign_parts *p) {
    memset(p, 0, sizeof *p);
    for (int i = 0; i < block->n_calls; i++) {
        const lode_trace_call *call = lode_trace_get(block->trace, block->call[i]);
        lode_work w;
        lode_work_of(call, &w);
        if (call->call.op == &lode_op_global_avg_pool) {
            p->n_pool++;
            p->pooled = call->call.x[0];
        } else if (w.what == LODE_WORK_LINEAR) {
            p->n_linear++;
            p->linear = w;
        } else if (w.what == LODE_WORK_OTHER) {
            p->n_other++;
        } else {
            if (p->n_conv++ == 0) p->first = w;
            p->last = w;
            p->residual = w.residual > 0;
            if (w.what == LODE_WORK_DEPTHWISE) {
                p->n_depthwise++;
                p->depthwise = w;
            }
        }
        p->hswish = p->hswish || foreign_is_hswish(&call->call);
    }
}

static lode_status foreign_mbconv_key(const lode_cost_block *block, const foreign_parts *p,
                                      char out[128]) {
    const lode_work *a = &p->first, *d = &p->depthwise, *b = &p->last;
    bool plain = p->n_depthwise == 1 && b->what == LODE_WORK_POINTWISE && b->groups == 1 &&
                 a->groups == (a->what == LODE_WORK_DEPTHWISE ? a->in_c : 1);
    if (!plain)
        return LODE_FAIL(LODE_ERR_UNSUPPORTED,
                         "cost table: block %s is none that a table of blocks prices (conv, mbconv "
                         "without groups, global_pool, linear)",
                         block->name);
    snprintf(out, 128, "mbconv %lldx%lldx%lld %lldx%lldx%lld mid%lld k%lld s%lld r%d se%d hs%d",
             (long long)a->in_h, (long long)a->in_w, (long long)a->in_c, (long long)b->out_h,
             (long long)b->out_w, (long long)b->out_c, (long long)d->out_c, (long long)d->k_h,
             (long long)d->stride, p->residual, p->n_pool > 0, p->hswish);
    return LODE_OK;
}

lode_status lode_foreign_block_key(const lode_cost_block *block, char out[128]) {
    foreign_parts p;
    out[0] = '\0';
    if (block->n_calls == 0) return LODE_OK;
    foreign_take_apart(block, &p);
    const lode_work *c = &p.first;
    if (p.n_conv > 1) return foreign_mbconv_key(block, &p, out);
    if (p.n_conv == 1 && p.n_linear + p.n_pool == 0)
        snprintf(out, 128, "conv %lldx%lldx%lld %lldx%lldx%lld k%lld s%lld", (long long)c->in_h,
                 (long long)c->in_w, (long long)c->in_c, (long long)c->out_h, (long long)c->out_w,
                 (long long)c->out_c, (long long)c->k_h, (long long)c->stride);
    else if (p.n_pool == 1 && p.n_conv + p.n_linear + p.n_other == 0)
        snprintf(out, 128, "pool %lldx%lldx%lld", (long long)p.pooled->shape.dim[2],
                 (long long)p.pooled->shape.dim[3], (long long)p.pooled->shape.dim[1]);
    else if (p.n_linear == 1 && p.n_conv + p.n_pool + p.n_other == 0)
        snprintf(out, 128, "linear %lld %lld", (long long)p.linear.in_c, (long long)p.linear.out_c);
    else
        return foreign_mbconv_key(block, &p, out); /* says what it is not */
    return LODE_OK;
}

/* ---- cost models ---- */

static lode_status foreign_missing(const lode_foreign *t, const char *key, const char *where) {
    return LODE_FAIL(
        LODE_ERR_NOT_FOUND,
        "cost table %s (%s, from %s): no entry for \"%s\" (%s); tables of others cannot "
        "be measured again, price it by a device file or `lode cost build`",
        t->path[0] ? t->path : "in memory", t->info.format, t->info.source, key, where);
}

static lode_status foreign_block_cost(void *self, const lode_cost_block *block, double *out) {
    const lode_foreign *t = self;
    char key[128];
    *out = 0;
    LODE_TRY(lode_foreign_block_key(block, key));
    if (key[0] == '\0' || lode_foreign_find(t, key, out)) return LODE_OK;
    /* Some tables do not tell the activation: their keys end before it. */
    char *hs = strstr(key, " hs");
    if (hs) {
        *hs = '\0';
        if (lode_foreign_find(t, key, out)) return LODE_OK;
        *hs = ' ';
    }
    return foreign_missing(t, key, block->name);
}

static lode_status foreign_choice_cost(void *self, const lode_space *space, int decision,
                                       int option, double *out) {
    const lode_foreign *t = self;
    const lode_decision *d = lode_space_decision(space, decision);
    if (t->info.space[0] != '\0' && strcmp(t->info.space, lode_space_name(space)) != 0)
        return LODE_FAIL(LODE_ERR_CONFIG, "cost table %s prices decisions of space %s, not of %s",
                         t->path, t->info.space, lode_space_name(space));
    char *key = lode_format("%s:%s", d->name, d->option[option]);
    if (!key) return LODE_ERR_NO_MEMORY;
    lode_status status =
        lode_foreign_find(t, key, out) ? LODE_OK : foreign_missing(t, key, d->name);
    lode_free(key);
    return status;
}

static void foreign_close(void *self) { lode_foreign_destroy(self); }
static const char *foreign_unit(const void *self) {
    return ((const lode_foreign *)self)->info.unit;
}
static double foreign_constant(const void *self) {
    return ((const lode_foreign *)self)->info.constant;
}
static lode_form foreign_form(const void *self) {
    (void)self;
    return LODE_FORM_FOLDED;
}

static const lode_cost_model foreign_blocks = {
    .name = "blocks",
    .about = "a published table of blocks: sum of its entries",
    .close = foreign_close,
    .unit = foreign_unit,
    .block_cost = foreign_block_cost,
    .constant = foreign_constant,
    .form = foreign_form,
};

static const lode_cost_model foreign_choices = {
    .name = "choices",
    .about = "a published table of options: sum of its entries",
    .close = foreign_close,
    .unit = foreign_unit,
    .choice_cost = foreign_choice_cost,
    .constant = foreign_constant,
    .form = foreign_form,
};

const lode_cost_model *lode_foreign_model(const lode_foreign *t) {
    return t->info.keys == LODE_FOREIGN_BLOCKS ? &foreign_blocks : &foreign_choices;
}
