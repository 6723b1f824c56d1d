/* dispatch.c: who runs a call.

   A dispatch keeps the providers it may use in order of preference. For each forward call the first
   one whose kernel supports it runs it, and the call remembers who that was, so that its backward
   meets the auxiliary outputs it expects. The workspace is one buffer that grows to the largest
   wish ever and is reused by every call: calls of one dispatch never overlap. After a plan, whose
   dry calls tell all wishes, it has its size at once and leaves no gaps. */
#include "ops/dispatch.h"

#include "core/log.h"
#include "core/parallel.h"
#include "core/platform.h"
#include "ops/ops.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ---- the tables ---- */

static const lode_op *const op_table[] = {
#define OP(name) &lode_op_##name,
#include "ops/ops.def"
#undef OP
};

#define BACKEND(name) extern const lode_provider lode_provider_##name;
#include "ops/backends.def"
#undef BACKEND

static const lode_provider *const provider_table[] = {
#define BACKEND(name) &lode_provider_##name,
#include "ops/backends.def"
#undef BACKEND
};

enum {
    N_OPS = sizeof op_table / sizeof *op_table,
    N_PROVIDERS = sizeof provider_table / sizeof *provider_table
};

int lode_n_ops(void) { return N_OPS; }

const lode_op *lode_op_at(int i) { return i >= 0 && i < N_OPS ? op_table[i] : NULL; }

const lode_op *lode_op_find(const char *name) {
    for (int i = 0; i < N_OPS; i++)
        if (strcmp(op_table[i]->name, name) == 0) return op_table[i];
    return NULL;
}

int lode_n_providers(void) { return N_PROVIDERS; }

const lode_provider *lode_provider_at(int i) {
    return i >= 0 && i < N_PROVIDERS ? provider_table[i] : NULL;
}

/* ---- the object ---- */

struct lode_dispatch {
    const lode_provider *order[N_PROVIDERS]; /* by preference; the reference is always the last */
    int n_order;
    bool verbose;
    int n_threads; /* as the providers were last told */
    void *workspace;
    size_t workspace_bytes, workspace_planned; /* planned: the largest wish of a dry call */
    lode_device *workspace_device;
    lode_dispatch_stats stats;
    lode_runner runner;
};

static const lode_provider *reference(void) { return provider_table[N_PROVIDERS - 1]; }

static bool is_available(const lode_provider *p) { return p->available == NULL || p->available(); }

static void order_add(lode_dispatch *d, const lode_provider *p, bool deterministic) {
    for (int i = 0; i < d->n_order; i++)
        if (d->order[i] == p) return;
    if (!deterministic || p->same_bits_any_threads) d->order[d->n_order++] = p;
}

/* One word of options.providers. */
static lode_status order_add_named(lode_dispatch *d, const char *name, size_t length,
                                   bool deterministic) {
    lode_text known = {0};
    for (int i = 0; i < N_PROVIDERS; i++) {
        const lode_provider *p = provider_table[i];
        lode_text_add(&known, "%s%s", i > 0 ? ", " : "", p->name);
        if (strlen(p->name) != length || memcmp(p->name, name, length) != 0) continue;
        lode_text_deinit(&known);
        if (!is_available(p))
            return LODE_FAIL(LODE_ERR_UNSUPPORTED, "provider %s does not run on this machine",
                             p->name);
        order_add(d, p, deterministic);
        return LODE_OK;
    }
    lode_status status = lode_text_status(&known);
    if (status == LODE_OK)
        status = LODE_FAIL(LODE_ERR_INVALID, "no provider '%.*s' in this build; there are: %s",
                           (int)length, name, known.s);
    lode_text_deinit(&known);
    return status;
}

static lode_status order_create(lode_dispatch *d, const lode_dispatch_options *o) {
    if (o->providers == NULL) {
        for (int i = 0; i < N_PROVIDERS; i++)
            if (is_available(provider_table[i])) order_add(d, provider_table[i], o->deterministic);
    } else {
        for (const char *s = o->providers; *s != '\0';) {
            size_t length = strcspn(s, ", ");
            if (length > 0) LODE_TRY(order_add_named(d, s, length, o->deterministic));
            s += length + (s[length] != '\0');
        }
    }
    order_add(d, reference(), false);
    return LODE_OK;
}

static bool wants_verbose(const lode_dispatch_options *o) {
    const char *env = getenv("LODE_VERBOSE");
    return o->verbose || (env != NULL && *env != '\0' && strcmp(env, "0") != 0);
}

static lode_status dispatch_forward(void *self, lode_op_call *c);
static lode_status dispatch_backward(void *self, lode_op_call *c, const lode_tensor *dy,
                                     lode_tensor *const *dx);
static bool dispatch_makes_again(void *self, const lode_op_call *c, const lode_op_call *maker);
static size_t dispatch_holds(void *self);

lode_status lode_dispatch_create(const lode_dispatch_options *options, lode_dispatch **out) {
    const lode_dispatch_options defaults = {0};
    if (options == NULL) options = &defaults;
    *out = NULL;
    lode_dispatch *d = LODE_NEW(lode_dispatch);
    if (d == NULL) return lode_last_status();
    lode_status status = order_create(d, options);
    if (status != LODE_OK) {
        lode_free(d);
        return status;
    }
    d->verbose = wants_verbose(options);
    d->runner =
        (lode_runner){d, dispatch_forward, dispatch_backward, dispatch_makes_again, dispatch_holds};
    *out = d;
    return LODE_OK;
}

static void workspace_drop(lode_dispatch *d) {
    if (d->workspace != NULL)
        lode_device_release(d->workspace_device, d->workspace, d->workspace_bytes);
    d->workspace = NULL;
    d->workspace_bytes = 0;
}

void lode_dispatch_destroy(lode_dispatch *d) {
    if (d == NULL) return;
    workspace_drop(d);
    lode_free(d);
}

const lode_runner *lode_dispatch_runner(lode_dispatch *d) { return &d->runner; }

lode_dispatch_stats lode_dispatch_get_stats(const lode_dispatch *d) {
    lode_dispatch_stats stats = d->stats;
    stats.workspace_bytes = d->workspace_bytes;
    return stats;
}

/* ---- choosing ---- */

/* NULL for the reference, which has no list of kernels, and for operators p does not know. */
static const lode_kernel *kernel_find(const lode_provider *p, const lode_op *op) {
    for (int i = 0; i < p->n_kernels; i++)
        if (p->kernels[i].op == op) return &p->kernels[i];
    return NULL;
}

const lode_provider *lode_dispatch_choose(const lode_dispatch *d, const lode_op_call *c) {
    for (int i = 0; i < d->n_order; i++) {
        const lode_kernel *k = kernel_find(d->order[i], c->op);
        if (k != NULL && (k->supports == NULL || k->supports(c))) return d->order[i];
        if (d->order[i] == reference()) break;
    }
    return reference();
}

/* ---- running ---- */

static lode_status workspace_give(lode_dispatch *d, lode_op_call *c, size_t bytes) {
    lode_device *device = c->y->device != NULL ? c->y->device : lode_cpu_device();
    c->workspace = NULL;
    c->workspace_bytes = bytes;
    if (bytes == 0) return LODE_OK;
    if (bytes > d->workspace_bytes || device != d->workspace_device) {
        size_t whole = bytes > d->workspace_planned ? bytes : d->workspace_planned;
        workspace_drop(d);
        d->workspace = lode_device_allocate(device, whole);
        if (d->workspace == NULL) return lode_last_status();
        d->workspace_bytes = whole;
        d->workspace_device = device;
    }
    c->workspace = d->workspace;
    return LODE_OK;
}

/* Providers with thread pools of their own follow lode_set_threads. */
static void threads_follow(lode_dispatch *d) {
    int n = lode_get_threads();
    if (n == d->n_threads) return;
    d->n_threads = n;
    for (int i = 0; i < d->n_order; i++)
        if (d->order[i]->set_threads != NULL) d->order[i]->set_threads(n);
}

static void log_call(const lode_op_call *c, const char *pass, const char *who, double seconds) {
    char *text = lode_call_text(c);
    lode_log(LODE_LOG_INFO, "%-8s %-9s %9.3f ms  %s", pass, who, 1e3 * seconds,
             text != NULL ? text : c->op->name);
    lode_free(text);
}

static size_t workspace_of(const lode_op_call *c, const lode_kernel *k, bool backward) {
    return k != NULL && k->workspace != NULL ? k->workspace(c, backward) : 0;
}

/* k NULL: the reference. Workspace is in the call. */
static lode_status run_kernel(lode_op_call *c, const lode_kernel *k, const lode_tensor *dy,
                              lode_tensor *const *dx) {
    bool backward = dy != NULL;
    if (k != NULL) return backward ? k->backward(c, dy, dx) : k->forward(c);
    if (c->y->device != NULL && !lode_device_get_ops(c->y->device)->is_host)
        return LODE_FAIL(LODE_ERR_UNSUPPORTED, "%s has no kernel for device %s", c->op->name,
                         lode_device_get_ops(c->y->device)->name);
    return backward ? c->op->reference.backward(c, dy, dx) : c->op->reference.forward(c);
}

static lode_status run_timed(const lode_dispatch *d, lode_op_call *c, const lode_kernel *k,
                             const lode_tensor *dy, lode_tensor *const *dx) {
    const char *who = k != NULL ? c->provider->name : reference()->name;
    double start = d->verbose ? lode_clock() : 0;
    lode_status status = run_kernel(c, k, dy, dx);
    c->workspace = NULL;
    if (d->verbose) log_call(c, dy != NULL ? "backward" : "forward", who, lode_clock() - start);
    return status;
}

static lode_status run(lode_dispatch *d, lode_op_call *c, const lode_kernel *k,
                       const lode_tensor *dy, lode_tensor *const *dx) {
    if (!c->dry) threads_follow(d);
    size_t bytes = workspace_of(c, k, dy != NULL);
    if (!c->dry) {
        LODE_TRY(workspace_give(d, c, bytes));
        return run_timed(d, c, k, dy, dx);
    }
    c->workspace_bytes = bytes;
    if (bytes > d->workspace_planned) d->workspace_planned = bytes;
    return LODE_OK;
}

static lode_status dispatch_forward(void *self, lode_op_call *c) {
    lode_dispatch *d = self;
    c->provider = lode_dispatch_choose(d, c);
    d->stats.n_forward += !c->dry;
    d->stats.n_reference += !c->dry && c->provider == reference();
    return run(d, c, kernel_find(c->provider, c->op), NULL, NULL);
}

static lode_status dispatch_backward(void *self, lode_op_call *c, const lode_tensor *dy,
                                     lode_tensor *const *dx) {
    lode_dispatch *d = self;
    if (c->op->reference.backward == NULL)
        return LODE_FAIL(LODE_ERR_UNSUPPORTED, "%s has no gradient", c->op->name);
    if (c->provider == NULL) c->provider = lode_dispatch_choose(d, c);
    const lode_kernel *k = kernel_find(c->provider, c->op);
    if (k != NULL && k->backward == NULL) k = NULL;
    d->stats.n_backward += !c->dry;
    d->stats.n_reference += !c->dry && k == NULL;
    return run(d, c, k, dy, dx);
}

/* ---- calls that are repeated ---- */

lode_status lode_dispatch_prepare(const lode_dispatch *d, lode_op_call *c, uint64_t constant,
                                  const lode_kernel **kernel) {
    void *prepared = NULL;
    c->provider = lode_dispatch_choose(d, c);
    c->prepared = NULL;
    const lode_kernel *k = *kernel = kernel_find(c->provider, c->op);
    for (int i = 0; i < c->n_x && i < 64; i++)
        if (c->x[i] == NULL) constant |= (uint64_t)1 << i;
    if (k != NULL && k->prepare != NULL) LODE_TRY(k->prepare(c, constant, &prepared));
    c->prepared = prepared;
    c->workspace_bytes = workspace_of(c, k, false);
    return LODE_OK;
}

void lode_dispatch_forget(lode_op_call *c, const lode_kernel *kernel) {
    void *prepared;
    if (c->prepared == NULL) return;
    memcpy(&prepared, &c->prepared, sizeof prepared); /* ours, const for kernels only */
    kernel->release(prepared);
    c->prepared = NULL;
}

void lode_dispatch_count(lode_dispatch *d, int64_t calls, int64_t reference_calls) {
    threads_follow(d);
    d->stats.n_forward += calls;
    d->stats.n_reference += reference_calls;
}

lode_status lode_dispatch_run(const lode_dispatch *d, lode_op_call *c, const lode_kernel *kernel,
                              void *workspace) {
    c->workspace = workspace;
    return run_timed(d, c, kernel, NULL, NULL);
}

static bool dispatch_makes_again(void *self, const lode_op_call *c, const lode_op_call *maker) {
    (void)self;
    if (c->provider == NULL || c->provider != maker->provider) return false;
    return maker->provider->makes_again != NULL && maker->provider->makes_again(c, maker);
}

static size_t dispatch_holds(void *self) {
    const lode_dispatch *d = self;
    return d->workspace_device == lode_cpu_device() ? d->workspace_bytes : 0;
}
