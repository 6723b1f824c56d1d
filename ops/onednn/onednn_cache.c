/* See onednn_internal.h. A hash table with chains through a fixed array; an entry in use is never
   evicted. The lock is held while a primitive is created: two threads that want the same new one
   get one. */
#include "core/memory.h"
#include "core/parallel.h"
#include "ops/onednn/onednn_internal.h"

#include <threads.h>

enum { CACHE_ENTRIES = 512, CACHE_BUCKETS = 1024 };

typedef struct cache_entry {
    onednn_plan plan; /* first: a plan is its entry */
    onednn_conv_key key;
    uint64_t used; /* clock of the last acquire */
    int refs;
    int next; /* in the bucket, index + 1; 0 ends */
    bool live;
} cache_entry;

static struct {
    once_flag once;
    mtx_t lock;
    dnnl_engine_t engine;
    dnnl_primitive_attr_t attr;
    dnnl_status_t status; /* of engine and attr */
    uint64_t clock;
    int bucket[CACHE_BUCKETS]; /* index + 1 of the first entry */
    cache_entry entry[CACHE_ENTRIES];
} cache = {.once = ONCE_FLAG_INIT};

static void cache_open(void) {
    if (mtx_init(&cache.lock, mtx_plain) != thrd_success) cache.status = dnnl_out_of_memory;
    /* Our own cache is keyed by calls and knows threads; oneDNN's would only hold a second copy. */
    if (cache.status == dnnl_success) dnnl_set_primitive_cache_capacity(0);
    if (cache.status == dnnl_success) cache.status = dnnl_engine_create(&cache.engine, dnnl_cpu, 0);
    if (cache.status == dnnl_success) cache.status = dnnl_primitive_attr_create(&cache.attr);
    if (cache.status == dnnl_success)
        cache.status =
            dnnl_primitive_attr_set_scratchpad_mode(cache.attr, dnnl_scratchpad_mode_user);
}

lode_status onednn_check(dnnl_status_t s, const char *what) {
    if (s == dnnl_success) return LODE_OK;
    if (s == dnnl_out_of_memory)
        return LODE_FAIL(LODE_ERR_NO_MEMORY, "onednn: no memory to %s", what);
    return LODE_FAIL(s == dnnl_unimplemented ? LODE_ERR_UNSUPPORTED : LODE_ERR_INTERNAL,
                     "onednn: cannot %s (code %d); another provider may: see the option "
                     "providers",
                     what, (int)s);
}

static unsigned cache_hash(const onednn_conv_key *key) {
    const unsigned char *p = (const unsigned char *)key;
    uint64_t h = 14695981039346656037u; /* FNV-1a */
    for (size_t i = 0; i < sizeof *key; i++) h = (h ^ p[i]) * 1099511628211u;
    return (unsigned)(h >> 32) % CACHE_BUCKETS;
}

static void plan_deinit(onednn_plan *p) {
    if (p->reorder) dnnl_primitive_destroy(p->reorder);
    if (p->reorder_pd) dnnl_primitive_desc_destroy(p->reorder_pd);
    if (p->primitive) dnnl_primitive_destroy(p->primitive);
    if (p->pd) dnnl_primitive_desc_destroy(p->pd);
    onednn_md_deinit(&p->user_weights);
    memset(p, 0, sizeof *p);
}

static void nhwc_strides(const dnnl_dims_t dims, dnnl_dims_t strides) {
    strides[0] = dims[1] * dims[2] * dims[3];
    strides[1] = 1;
    strides[2] = dims[3] * dims[1];
    strides[3] = dims[1];
}

static dnnl_status_t conv_describe(const onednn_conv_key *k, onednn_conv *conv,
                                   onednn_md *user_weights) {
    dnnl_dims_t src = {k->n, k->c, k->h, k->w}, dst = {k->n, k->o, k->oh, k->ow}, strides;
    dnnl_dims_t bias = {k->o}, one = {1};
    dnnl_dims_t weights = {k->groups, k->o / k->groups, k->c / k->groups, k->kernel[0],
                           k->kernel[1]};
    dnnl_status_t s;
    for (int i = 0; i < 2; i++) {
        conv->stride[i] = k->stride[i];
        conv->dilate[i] = k->dilation[i] - 1;
        conv->pad[i] = k->pad[i];
    }
    conv->has_bias = k->has_bias;
    nhwc_strides(src, strides);
    if ((s = onednn_md_strided(&conv->src, 4, src, strides)) != dnnl_success) return s;
    nhwc_strides(dst, strides);
    if ((s = onednn_md_strided(&conv->dst, 4, dst, strides)) != dnnl_success) return s;
    if ((s = onednn_md_strided(&conv->bias, 1, bias, one)) != dnnl_success) return s;
    /* A group of one is no group: oneDNN has its best kernels for four dims. */
    int n = k->groups > 1 ? 5 : 4;
    const dnnl_dim_t *first = k->groups > 1 ? weights : weights + 1;
    dnnl_dims_t dims = {0};
    for (int i = n - 1, stride = 1; i >= 0; i--) {
        dims[i] = first[i];
        strides[i] = stride;
        stride *= (int)first[i];
    }
    if ((s = onednn_md_any(&conv->weights, n, dims)) != dnnl_success) return s;
    return onednn_md_strided(user_weights, n, dims, strides);
}

static void conv_deinit(onednn_conv *conv) {
    onednn_md_deinit(&conv->src);
    onednn_md_deinit(&conv->weights);
    onednn_md_deinit(&conv->bias);
    onednn_md_deinit(&conv->dst);
}

static dnnl_status_t conv_create(onednn_plan *p, const onednn_conv *conv,
                                 onednn_direction direction) {
    dnnl_primitive_desc_t hint = NULL;
    dnnl_status_t s;
    if (direction == ONEDNN_FORWARD)
        return onednn_conv_forward(&p->pd, cache.engine, conv, cache.attr);
    s = onednn_conv_forward(&hint, cache.engine, conv, cache.attr);
    if (s == dnnl_success && direction == ONEDNN_BACKWARD_DATA)
        s = onednn_conv_backward_data(&p->pd, cache.engine, conv, cache.attr, hint);
    else if (s == dnnl_success)
        s = onednn_conv_backward_weights(&p->pd, cache.engine, conv, cache.attr, hint);
    if (hint) dnnl_primitive_desc_destroy(hint);
    return s;
}

/* The reorder between the caller's OIHW weights and the primitive's. */
static dnnl_status_t reorder_create(onednn_plan *p, bool gradient) {
    onednn_md_ref inside = p->weights, outside = onednn_md_get(&p->user_weights);
    dnnl_status_t s;
    if (dnnl_memory_desc_equal(inside, outside)) return dnnl_success;
    p->weights_bytes = dnnl_memory_desc_get_size(inside);
    s = dnnl_reorder_primitive_desc_create(&p->reorder_pd, gradient ? inside : outside,
                                           cache.engine, gradient ? outside : inside, cache.engine,
                                           NULL);
    return s == dnnl_success ? dnnl_primitive_create(&p->reorder, p->reorder_pd) : s;
}

static lode_status plan_init(onednn_plan *p, const onednn_conv_key *key) {
    onednn_conv conv;
    onednn_direction direction = (onednn_direction)key->direction;
    bool gradient = direction == ONEDNN_BACKWARD_WEIGHTS;
    memset(&conv, 0, sizeof conv);
    dnnl_status_t s = conv_describe(key, &conv, &p->user_weights);
    if (s == dnnl_success) s = conv_create(p, &conv, direction);
    if (s == dnnl_success) {
        p->weights = dnnl_primitive_desc_query_md(
            p->pd, gradient ? dnnl_query_diff_weights_md : dnnl_query_weights_md, 0);
        p->scratch_bytes = dnnl_memory_desc_get_size(
            dnnl_primitive_desc_query_md(p->pd, dnnl_query_scratchpad_md, 0));
        s = dnnl_primitive_create(&p->primitive, p->pd);
    }
    if (s == dnnl_success) s = reorder_create(p, gradient);
    conv_deinit(&conv);
    if (s != dnnl_success) plan_deinit(p);
    return onednn_check(s, "create a convolution");
}

static void bucket_remove(int index) {
    int *link = &cache.bucket[cache_hash(&cache.entry[index].key)];
    while (*link != index + 1) link = &cache.entry[*link - 1].next;
    *link = cache.entry[index].next;
}

/* A free entry, else the one unused for longest; -1 when all are in use. */
static int cache_victim(void) {
    int best = -1;
    for (int i = 0; i < CACHE_ENTRIES; i++) {
        const cache_entry *e = &cache.entry[i];
        if (!e->live) return i;
        if (e->refs == 0 && (best < 0 || e->used < cache.entry[best].used)) best = i;
    }
    return best;
}

static cache_entry *cache_find(const onednn_conv_key *key) {
    for (int i = cache.bucket[cache_hash(key)]; i; i = cache.entry[i - 1].next)
        if (memcmp(&cache.entry[i - 1].key, key, sizeof *key) == 0) return &cache.entry[i - 1];
    return NULL;
}

static lode_status cache_insert(const onednn_conv_key *key, cache_entry **out) {
    int i = cache_victim();
    if (i < 0)
        return LODE_FAIL(LODE_ERR_UNSUPPORTED,
                         "onednn: all %d cached convolutions are running at once; use fewer "
                         "threads that run networks",
                         CACHE_ENTRIES);
    cache_entry *e = &cache.entry[i];
    if (e->live) {
        bucket_remove(i);
        plan_deinit(&e->plan);
        e->live = false;
    }
    const int before = key->threads == 1 ? lode_alone_begin() : 1; /* primitives know threads */
    lode_status status = plan_init(&e->plan, key);
    lode_alone_end(before);
    LODE_TRY(status);
    e->key = *key;
    e->refs = 0;
    e->live = true;
    int *bucket = &cache.bucket[cache_hash(key)];
    e->next = *bucket;
    *bucket = i + 1;
    *out = e;
    return LODE_OK;
}

lode_status onednn_plan_acquire(const onednn_conv_key *key, onednn_plan **out) {
    lode_status status = LODE_OK;
    *out = NULL;
    call_once(&cache.once, cache_open);
    LODE_TRY(onednn_check(cache.status, "start the CPU engine"));
    mtx_lock(&cache.lock);
    cache_entry *e = cache_find(key);
    if (!e) status = cache_insert(key, &e);
    if (status == LODE_OK) {
        e->used = ++cache.clock;
        e->refs++;
        *out = &e->plan;
    }
    mtx_unlock(&cache.lock);
    return status;
}

void onednn_plan_release(onednn_plan *plan) {
    if (!plan) return;
    mtx_lock(&cache.lock);
    ((cache_entry *)plan)->refs--;
    mtx_unlock(&cache.lock);
}

/* ---- running ---- */

enum { MAX_ARGS = 5 };
typedef struct run_args {
    dnnl_exec_arg_t arg[MAX_ARGS];
    int n;
    dnnl_status_t status;
} run_args;

static void args_add(run_args *a, int name, onednn_md_ref md, void *data) {
    dnnl_exec_arg_t *arg = &a->arg[a->n];
    if (a->status != dnnl_success) return;
    arg->arg = name;
    arg->memory = NULL;
    a->status = dnnl_memory_create(&arg->memory, md, cache.engine, data);
    if (a->status == dnnl_success) a->n++;
}

static dnnl_status_t args_run(run_args *a, dnnl_primitive_t primitive) {
    dnnl_stream_t stream = NULL;
    dnnl_status_t s = a->status;
    if (s == dnnl_success) s = dnnl_stream_create(&stream, cache.engine, dnnl_stream_default_flags);
    if (s == dnnl_success) s = dnnl_primitive_execute(primitive, stream, a->n, a->arg);
    if (s == dnnl_success) s = dnnl_stream_wait(stream);
    if (stream) dnnl_stream_destroy(stream);
    for (int i = 0; i < a->n; i++) dnnl_memory_destroy(a->arg[i].memory);
    return s;
}

static lode_status run_reorder(const onednn_plan *p, onednn_md_ref from_md, void *from,
                               onednn_md_ref to_md, void *to) {
    run_args a = {.n = 0, .status = dnnl_success};
    if (!p->reorder) return LODE_OK;
    args_add(&a, DNNL_ARG_FROM, from_md, from);
    args_add(&a, DNNL_ARG_TO, to_md, to);
    return onednn_check(args_run(&a, p->reorder), "reorder weights");
}

lode_status onednn_plan_pack(const onednn_plan *p, void *outside, void *inside) {
    return run_reorder(p, onednn_md_get(&p->user_weights), outside, p->weights, inside);
}

lode_status onednn_plan_unpack(const onednn_plan *p, void *inside, void *outside) {
    return run_reorder(p, p->weights, inside, onednn_md_get(&p->user_weights), outside);
}

lode_status onednn_plan_run(const onednn_plan *p, onednn_direction direction, void *src,
                            void *weights, void *bias, void *dst, void *scratch) {
    static const struct {
        int src, weights, bias, dst;
        dnnl_query_t src_md, bias_md, dst_md; /* the bias is number 1 of its kind */
    } roles[] = {
        [ONEDNN_FORWARD] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS, DNNL_ARG_DST,
                            dnnl_query_src_md, dnnl_query_weights_md, dnnl_query_dst_md},
        [ONEDNN_BACKWARD_DATA] = {DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, 0, DNNL_ARG_DIFF_DST,
                                  dnnl_query_diff_src_md, dnnl_query_undef, dnnl_query_diff_dst_md},
        [ONEDNN_BACKWARD_WEIGHTS] = {DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_BIAS,
                                     DNNL_ARG_DIFF_DST, dnnl_query_src_md,
                                     dnnl_query_diff_weights_md, dnnl_query_diff_dst_md},
    };
    run_args a = {.n = 0, .status = dnnl_success};
    args_add(&a, roles[direction].src,
             dnnl_primitive_desc_query_md(p->pd, roles[direction].src_md, 0), src);
    args_add(&a, roles[direction].weights, p->weights, weights);
    args_add(&a, roles[direction].dst,
             dnnl_primitive_desc_query_md(p->pd, roles[direction].dst_md, 0), dst);
    if (bias)
        args_add(&a, roles[direction].bias,
                 dnnl_primitive_desc_query_md(p->pd, roles[direction].bias_md, 1), bias);
    if (p->scratch_bytes)
        args_add(&a, DNNL_ARG_SCRATCHPAD,
                 dnnl_primitive_desc_query_md(p->pd, dnnl_query_scratchpad_md, 0), scratch);
    return onednn_check(args_run(&a, p->primitive), "run a convolution");
}
