/* space_layers.c: the list `layers` of a space, repeated, named, and with its channels worked out.

   Channels go down the chain: a layer without `channels` keeps what comes in. Cells take the
   outputs of the two layers before them, so the list is read with a memory of one. Where channels
   are a decision, the chain carries the largest number and the decision beside it. */
#include "supernet/space_internal.h"

#include <string.h>

enum { LAYERS_MAX_CHANNELS = 1 << 20, LAYERS_MAX = 4096 };

/* Where the chain stands. */
typedef struct layers_state {
    lode_space *s;
    int64_t channels;      /* that come in */
    space_size width;      /* the same, where it is a decision */
    int64_t before;        /* channels of the input before that, for cells */
    int64_t before_stride; /* its map is this much larger */
    int64_t first_cell;    /* channels of the first cell in the text, 0: no cells */
    int n_choices, n_cells;
} layers_state;

/* ---- names ---- */
static bool layers_name_taken(const lode_space *s, const char *name) {
    for (int64_t i = 0; i < s->n_layers; i++)
        if (strcmp(s->layer[i].name, name) == 0) return true;
    return false;
}

/* `stem`, or `stem2` as the second of several; without a name after what the layer is. */
static lode_status layers_name(layers_state *st, lode_yaml *item, space_layer *l, int64_t i,
                               int64_t repeat) {
    lode_space *s = st->s;
    const char *given;
    char *name;
    LODE_TRY(lode_yaml_string(item, "name", NULL, &given));
    if (given != NULL) LODE_TRY(space_check_name(lode_yaml_get(item, "name"), given));
    if (given != NULL)
        name = repeat == 1 ? lode_strdup(given) : lode_format("%s%lld", given, (long long)i + 1);
    else if (l->kind == SPACE_CHOICE)
        name = lode_format("layer%d", st->n_choices + 1);
    else if (l->kind == SPACE_CELL)
        name = lode_format("cell%d", st->n_cells + 1);
    else
        name = lode_strdup(l->op.kind->name);
    for (int k = 2; given == NULL && name != NULL && layers_name_taken(s, name); k++) {
        lode_free(name);
        name = lode_format("%s%d", l->op.kind != NULL ? l->op.kind->name : "layer", k);
    }
    l->name = space_own(s, name);
    if (l->name == NULL) return LODE_ERR_NO_MEMORY;
    if (s->side.n > 0 && strcmp(l->name, SPACE_INPUT_BLOCK) == 0)
        return lode_yaml_fail(item, "`%s` is the name of the input's block here", l->name);
    if (layers_name_taken(s, l->name))
        return lode_yaml_fail(item, "two layers are called `%s`", l->name);
    return LODE_OK;
}

/* ---- channels ---- */
static lode_status layers_scale(const layers_state *st, const lode_yaml *item, int64_t *channels) {
    const lode_space_options *r = &st->s->resolved;
    int64_t c = *channels;
    if (r->cell_channels > 0) {
        if (st->first_cell == 0)
            return lode_yaml_fail(item, "space.cell_channels is set, and this space has no cells");
        if (c * r->cell_channels % st->first_cell != 0)
            return lode_yaml_fail(item,
                                  "space.cell_channels %lld makes %lld channels of %lld / %lld; "
                                  "choose one that divides",
                                  (long long)r->cell_channels, (long long)c,
                                  (long long)(c * r->cell_channels), (long long)st->first_cell);
        c = c * r->cell_channels / st->first_cell;
    }
    if (r->width != 1) c = lode_make_divisible(r->width * (double)c, 8);
    if (c > LAYERS_MAX_CHANNELS)
        return lode_yaml_fail(item, "%lld channels, and at most %d are possible", (long long)c,
                              LAYERS_MAX_CHANNELS);
    *channels = c;
    return LODE_OK;
}

/* `channels: {choices: [...], decision: NAME}`; *out is the largest. */
static lode_status layers_width(const layers_state *st, lode_yaml *item, lode_yaml *node,
                                const space_layer *l, space_size *width, int64_t *out) {
    if (l->kind == SPACE_CELL)
        return lode_yaml_fail(node, "the channels of a cell cannot be a decision");
    if (l->kind == SPACE_FIXED && l->op.kind == &lode_block_linear)
        return lode_yaml_fail(node, "the outputs of a linear layer cannot be a decision");
    LODE_TRY(space_read_size(st->s, node, 1, LAYERS_MAX_CHANNELS, true, width));
    double *value = space_own(st->s, LODE_NEW_ARRAY(double, width->n));
    if (value == NULL) return LODE_ERR_NO_MEMORY;
    for (int k = 0; k < width->n; k++) {
        *out = (int64_t)width->value[k];
        LODE_TRY(layers_scale(st, item, out));
        value[k] = (double)*out;
        if (k > 0 && !(value[k] > value[k - 1]))
            return lode_yaml_fail(node, "space.width %g makes two choices the same, %lld channels",
                                  st->s->resolved.width, (long long)*out);
    }
    width->value = value;
    return LODE_OK;
}

/* What leaves the layers of an item: *out, the largest of *width where that is a decision. */
static lode_status layers_channels(const layers_state *st, lode_yaml *item, const space_layer *l,
                                   space_size *width, int64_t *out) {
    bool classifier = l->kind == SPACE_FIXED && l->op.kind == &lode_block_linear;
    lode_yaml *node = lode_yaml_get(item, "channels");
    *width = (space_size){0};
    if (node != NULL && node->kind == LODE_YAML_MAP)
        return layers_width(st, item, node, l, width, out);
    LODE_TRY(lode_yaml_int(item, "channels", 0, 0, LAYERS_MAX_CHANNELS, out));
    if (*out > 0) return layers_scale(st, item, out);
    if (l->kind == SPACE_CELL) return lode_yaml_fail(item, "a cell needs the key `channels`");
    *out = classifier ? st->s->resolved.classes : st->channels;
    if (!classifier) *width = st->width;
    return LODE_OK;
}

/* The item's width becomes a decision when its first layer has a name; the others share it. */
static lode_status layers_width_decision(lode_space *s, lode_yaml *item, const char *layer,
                                         space_size *width) {
    const char *given = NULL;
    if (width->n == 0 || width->decision >= 0) return LODE_OK;
    lode_yaml *node = lode_yaml_get(item, "channels");
    LODE_TRY(lode_yaml_string(node, "decision", NULL, &given));
    if (given != NULL) LODE_TRY(space_check_name(node, given));
    const lode_decision like = {.name = given != NULL ? lode_strdup(given)
                                                      : lode_format("%s.channels", layer),
                                .kind = LODE_DECISION_WIDTH,
                                .parent = -1};
    return space_add_size(s, node, like, width);
}

/* Kernel, expansion and hidden channels of a block, as decisions of this layer. `l` has its
   decision already; option -1: a fixed layer. */
static lode_status layers_op_sizes(lode_space *s, const lode_yaml *item, const space_layer *l,
                                   int option, space_op *op) {
    static const char *const word[LODE_N_SIZES] = {"kernel", "expand", "hidden"};
    static const lode_decision_kind kind[LODE_N_SIZES] = {
        LODE_DECISION_KERNEL, LODE_DECISION_EXPAND, LODE_DECISION_HIDDEN};
    for (int i = 0; i < LODE_N_SIZES; i++) {
        if (op->size[i].n == 0) continue;
        const char *block = space_own(s, option < 0 ? lode_strdup(l->name)
                                                    : lode_format("%s.%s", l->name, op->name));
        if (block == NULL) return LODE_ERR_NO_MEMORY;
        const lode_decision like = {.name = lode_format("%s.%s", block, word[i]),
                                    .kind = kind[i],
                                    .block = block,
                                    .parent = option < 0 ? -1 : l->decision,
                                    .parent_option = option < 0 ? 0 : option};
        LODE_TRY(space_add_size(s, item, like, &op->size[i]));
    }
    return LODE_OK;
}

/* ---- the three kinds ---- */
static lode_status layers_fixed(layers_state *st, lode_yaml *item, space_layer *l) {
    if (l->op.kind->nothing)
        return lode_yaml_fail(item, "`none` is an option of a cell, not a layer");
    l->out = l->site.out;
    LODE_TRY(space_check_op(item, &l->op, &l->site));
    return layers_op_sizes(st->s, item, l, -1, &l->op);
}

static const space_set *layers_set(const lode_space *s, const char *name) {
    for (int i = 0; i < s->n_sets; i++)
        if (strcmp(s->set[i].name, name) == 0) return &s->set[i];
    return NULL;
}

static lode_status layers_choice(layers_state *st, lode_yaml *item, space_layer *l) {
    lode_space *s = st->s;
    const lode_yaml *node = lode_yaml_get(item, "choice");
    const space_set *set = node->kind == LODE_YAML_SCALAR ? layers_set(s, node->scalar) : NULL;
    if (set == NULL)
        return lode_yaml_fail(node, "there is no set `%s`",
                              node->kind == LODE_YAML_SCALAR ? node->scalar : "[...]");
    if (lode_space_find_decision(s, l->name) >= 0)
        return lode_yaml_fail(item, "there is a decision `%s` already, about channels", l->name);
    LODE_TRY(space_add_decision(s, l->name, &l->decision));
    l->option = space_own(s, LODE_NEW_ARRAY(space_op, set->n));
    if (l->option == NULL) return LODE_ERR_NO_MEMORY;
    bool same = lode_site_keeps_shape(&l->site);
    for (int k = 0; k < set->n; k++) {
        const space_option *o = &set->option[k];
        if (o->op.kind->nothing)
            return lode_yaml_fail(item, "option `%s` is `none`, which only cells can have",
                                  o->op.name);
        if (!same && o->at_change == SPACE_DROP) continue;
        const space_op *op = !same && o->at_change == SPACE_REPLACE ? &o->replacement : &o->op;
        LODE_TRY(space_check_op(o->node, op, &l->site));
        l->option[l->n_options] = *op;
        LODE_TRY(layers_op_sizes(s, o->node, l, l->n_options, &l->option[l->n_options]));
        lode_decision *d = &s->decision[l->decision]; /* making a size may have moved it */
        d->option[d->n_options++] = op->name;
        l->n_options++;
    }
    if (l->n_options == 0)
        return lode_yaml_fail(item, "no option of `%s` can change the shape", set->name);
    l->out = l->site.out;
    st->n_choices++;
    return LODE_OK;
}

lode_site space_edge_site(const space_layer *l, const space_edge *e) {
    int64_t stride = e->from < l->cell->n_inputs ? l->site.stride : 1;
    return (lode_site){.in = l->site.out, .out = l->site.out, .stride = stride};
}

const space_op *space_edge_op(const space_layer *l, const space_edge *e, int option) {
    const space_option *o = &l->cell->set->option[option];
    bool same = e->from >= l->cell->n_inputs || l->site.stride == 1;
    return !same && o->at_change == SPACE_REPLACE ? &o->replacement : &o->op;
}

/* Decisions of a type of cell, made when the first cell of the type is met. */
static lode_status layers_cell_decisions(lode_space *s, space_cell *c) {
    int none = -1;
    for (int k = 0; k < c->set->n; k++)
        if (c->set->option[k].op.kind->nothing) none = k;
    if (c->keep > 0 && none < 0)
        return lode_yaml_fail(c->node, "`keep` needs an option `none` in the set `%s`",
                              c->set->name);
    c->first_decision = (int)s->n_decisions;
    for (int e = 0; e < c->n_edges; e++) {
        int index;
        const char *name =
            space_own(s, lode_format("%s.%d<-%d", c->name, c->edge[e].to, c->edge[e].from));
        if (name == NULL) return LODE_ERR_NO_MEMORY;
        LODE_TRY(space_add_decision(s, name, &index));
        lode_decision *d = &s->decision[index];
        d->n_options = c->set->n;
        for (int k = 0; k < c->set->n; k++) d->option[k] = c->set->option[k].op.name;
    }
    for (int e = 0, n; c->keep > 0 && e < c->n_edges; e += n) {
        for (n = 1; e + n < c->n_edges && c->edge[e + n].to == c->edge[e].to;) n++;
        LODE_TRY(
            lode_grow((void **)&s->group, &s->group_capacity, s->n_groups + 1, sizeof *s->group));
        s->group[s->n_groups++] = (space_group){c->first_decision + e, n, c->keep, none};
    }
    return LODE_OK;
}

/* relu-1x1-bn, or a factorized reduce where the map must shrink. */
static lode_status layers_preprocess(lode_space *s, const lode_yaml *item, space_layer *l, int i) {
    const lode_block_kind *kind =
        l->pre_site[i].stride == 2 ? &lode_block_factorized_reduce : &lode_block_conv;
    lode_option_table table = {kind->name, kind->rows, kind->n_rows};
    void *params = space_own(s, lode_calloc(1, kind->params_size));
    if (params == NULL) return LODE_ERR_NO_MEMORY;
    LODE_TRY(lode_options_default(&table, params));
    if (kind == &lode_block_conv) {
        LODE_TRY(lode_options_assign(&table, "kernel", "1", params));
        LODE_TRY(lode_options_assign(&table, "order", "act_conv_bn", params));
    }
    l->pre[i] = (space_op){.kind = kind, .params = params};
    return space_check_op(item, &l->pre[i], &l->pre_site[i]);
}

static lode_status layers_cell_inputs(layers_state *st, lode_yaml *item, space_layer *l) {
    const space_cell *c = l->cell;
    l->pre_site[0] = (lode_site){.in = st->before, .out = l->site.out, .stride = st->before_stride};
    l->pre_site[1] = (lode_site){.in = st->channels, .out = l->site.out, .stride = 1};
    if (c->n_inputs == 1) l->pre_site[0] = l->pre_site[1];
    for (int i = 0; i < c->n_inputs && c->preprocess; i++)
        LODE_TRY(layers_preprocess(st->s, item, l, i));
    if (!c->preprocess && st->channels != l->site.out)
        return lode_yaml_fail(item,
                              "this cell wants %lld channels and gets %lld; give it `preprocess: "
                              "true` or put a block before it",
                              (long long)l->site.out, (long long)st->channels);
    return LODE_OK;
}

/* With space.partial the option must do for a part of the channels too. */
static lode_status layers_check_partial(const lode_space *s, const lode_yaml *item,
                                        const lode_yaml *option, const space_op *op,
                                        lode_site site) {
    int64_t parts = s->resolved.partial;
    if (parts <= 1) return LODE_OK;
    if (site.in % parts != 0)
        return lode_yaml_fail(item, "space.partial %lld does not divide the %lld channels here",
                              (long long)parts, (long long)site.in);
    site.in /= parts;
    site.out /= parts;
    return space_check_op(option, op, &site);
}

static lode_status layers_cell(layers_state *st, lode_yaml *item, space_layer *l) {
    lode_space *s = st->s;
    const lode_yaml *node = lode_yaml_get(item, "cell");
    space_cell *c = NULL;
    for (int i = 0; i < s->n_cells && node->kind == LODE_YAML_SCALAR; i++)
        if (strcmp(s->cell[i].name, node->scalar) == 0) c = &s->cell[i];
    if (c == NULL)
        return lode_yaml_fail(node, "there is no cell `%s`",
                              node->kind == LODE_YAML_SCALAR ? node->scalar : "[...]");
    if (l->site.stride > 2) return lode_yaml_fail(item, "cells have stride 1 or 2");
    if (l->in_width.n > 0)
        return lode_yaml_fail(item, "a cell cannot follow channels that are a decision");
    l->cell = c;
    LODE_TRY(layers_cell_inputs(st, item, l));
    if (c->first_decision < 0) LODE_TRY(layers_cell_decisions(s, c));
    l->decision = c->first_decision;
    for (int e = 0; e < c->n_edges; e++) {
        lode_site site = space_edge_site(l, &c->edge[e]);
        for (int k = 0; k < c->set->n; k++) {
            const space_op *op = space_edge_op(l, &c->edge[e], k);
            if (site.stride > 1 && c->set->option[k].at_change == SPACE_DROP)
                return lode_yaml_fail(c->set->option[k].node,
                                      "a cell cannot drop options: all cells of a type share their "
                                      "decisions; replace it");
            if (op->kind->nothing) continue;
            LODE_TRY(space_check_op(c->set->option[k].node, op, &site));
            LODE_TRY(layers_check_partial(s, item, c->set->option[k].node, op, site));
        }
    }
    l->out = l->site.out * (c->concat ? c->n_nodes : 1);
    if (l->out > LAYERS_MAX_CHANNELS)
        return lode_yaml_fail(item, "%lld channels, and at most %d are possible", (long long)l->out,
                              LAYERS_MAX_CHANNELS);
    st->n_cells++;
    return LODE_OK;
}

/* ---- the list ---- */
static lode_status layers_kind(lode_space *s, lode_yaml *item, space_layer *l) {
    bool op = lode_yaml_get(item, "op") != NULL, choice = lode_yaml_get(item, "choice") != NULL,
         cell = lode_yaml_get(item, "cell") != NULL;
    if (op + choice + cell != 1)
        return lode_yaml_fail(item, "%s:%d: a layer has one of the keys `op`, `choice`, `cell`",
                              lode_yaml_name(item), item->line);
    l->kind = op ? SPACE_FIXED : choice ? SPACE_CHOICE : SPACE_CELL;
    return op ? space_read_op(s, item, &l->op) : LODE_OK;
}

static lode_status layers_append(layers_state *st, lode_yaml *item, space_layer *l) {
    lode_space *s = st->s;
    if (s->n_layers == LAYERS_MAX)
        return lode_yaml_fail(item, "is layer %d; no space has that many", LAYERS_MAX + 1);
    LODE_TRY(l->kind == SPACE_FIXED    ? layers_fixed(st, item, l)
             : l->kind == SPACE_CHOICE ? layers_choice(st, item, l)
                                       : layers_cell(st, item, l));
    LODE_TRY(space_list_sizes(s, item, l));
    LODE_TRY(lode_grow((void **)&s->layer, &s->layer_capacity, s->n_layers + 1, sizeof *s->layer));
    s->layer[s->n_layers++] = *l;
    bool cell = l->kind == SPACE_CELL;
    st->before = cell ? st->channels : l->out;
    st->before_stride = cell ? l->site.stride : 1;
    st->channels = l->out;
    st->width = l->out_width;
    return LODE_OK;
}

static lode_status layers_item(layers_state *st, lode_yaml *item) {
    space_layer first = {0};
    int64_t repeat, stride, channels;
    space_size width;
    if (item->kind != LODE_YAML_MAP) return lode_yaml_fail(item, "a layer is a map of keys");
    item->used = true;
    LODE_TRY(layers_kind(st->s, item, &first));
    LODE_TRY(lode_yaml_int(item, "repeat", 1, 1, 1024, &repeat));
    LODE_TRY(lode_yaml_int(item, "stride", 1, 1, 64, &stride));
    LODE_TRY(layers_channels(st, item, &first, &width, &channels));
    bool stage = first.kind == SPACE_CELL && lode_yaml_get(item, "repeat") != NULL;
    if (stage && st->s->resolved.repeats > 0) repeat = st->s->resolved.repeats;
    for (int64_t i = 0; i < repeat; i++) {
        space_layer l = first;
        LODE_TRY(layers_name(st, item, &l, i, repeat));
        LODE_TRY(layers_width_decision(st->s, item, l.name, &width));
        l.in_width = st->width;
        l.out_width = width;
        l.site = (lode_site){.in = st->channels,
                             .out = channels,
                             .stride = i == 0 ? stride : 1,
                             .elastic = l.in_width.n > 0 || l.out_width.n > 0,
                             .changes = !space_size_same(&l.in_width, &l.out_width)};
        LODE_TRY(layers_append(st, item, &l));
    }
    return LODE_OK;
}

static lode_status layers_find_first_cell(layers_state *st, const lode_yaml *list) {
    for (int i = 0; i < list->n && st->first_cell == 0; i++) {
        lode_yaml *item = list->item[i];
        if (item->kind == LODE_YAML_MAP && lode_yaml_get(item, "cell") != NULL)
            LODE_TRY(lode_yaml_int(item, "channels", 0, 0, LAYERS_MAX_CHANNELS, &st->first_cell));
    }
    return LODE_OK;
}

lode_status space_read_layers(lode_space *s, lode_yaml *root) {
    lode_yaml *list = lode_yaml_get(root, "layers");
    layers_state st = {.s = s,
                       .channels = s->resolved.channels,
                       .before = s->resolved.channels,
                       .before_stride = 1};
    if (list == NULL || list->kind != LODE_YAML_LIST || list->n == 0)
        return LODE_FAIL(LODE_ERR_CONFIG, "%s: a space has a list `layers`", lode_yaml_name(root));
    LODE_TRY(layers_find_first_cell(&st, list));
    for (int i = 0; i < list->n; i++) LODE_TRY(layers_item(&st, list->item[i]));
    if (st.channels != s->resolved.classes)
        return lode_yaml_fail(list, "the last layer has %lld outputs, and there are %lld classes",
                              (long long)st.channels, (long long)s->resolved.classes);
    return LODE_OK;
}

/* ---- what options are ---- */
static const space_op *layers_option_at(const space_layer *l, int decision, int option) {
    if (l->kind == SPACE_CHOICE) return l->decision == decision ? &l->option[option] : NULL;
    if (l->kind != SPACE_CELL) return NULL;
    int edge = decision - l->decision;
    bool here = edge >= 0 && edge < l->cell->n_edges;
    return here ? space_edge_op(l, &l->cell->edge[edge], option) : NULL;
}

bool lode_space_option_is_empty(const lode_space *s, int decision, int option) {
    bool found = false;
    for (int64_t i = 0; i < s->n_layers; i++) {
        const space_op *op = layers_option_at(&s->layer[i], decision, option);
        if (op == NULL) continue;
        if (!op->kind->identity && !op->kind->nothing) return false;
        found = true;
    }
    return found;
}
