/* arch_cell.c: codes and canonical forms of spaces that are one cell (NAS-Bench-201).

   The code is the published one: "|op~0|+|op~0|op~1|+...": per node its edges, op ~ source.

   Two cells are the same network when they do the same operations in the same wiring, whatever
   nodes it is spelled with: a skip passes a sum on, so the sum's terms can be moved to where the
   skip leads; `none` adds nothing. What is left is a graph of operations, each fed by a multiset of
   operations (and the cell's input). It is compared by a signature: every operation gets a label
   from its kind, then again and again from its own label, its feeders' and its users', and the
   sorted labels are hashed. The canonical form is the first architecture of the same signature,
   found by listing the whole space once. Cells that the published benchmark also calls equal, but
   which cost differently (operations whose result nobody reads), stay apart here: equal canonical
   form means equal function and equal price. */
#include "supernet/space_internal.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { CELL_MAX_TERMS = 64, CELL_MAX_OPS = 24, CELL_MAX_LISTED = 1 << 16, CELL_ROUNDS = 4 };

/* ---- code ---- */
void arch_cell_write(const lode_space *s, const lode_arch *a, lode_text *out) {
    const space_cell *c = &s->cell[0];
    for (int e = 0; e < c->n_edges; e++) {
        bool first = e == 0 || c->edge[e].to != c->edge[e - 1].to;
        lode_text_add(out, "%s%s~%d|", first ? (e > 0 ? "+|" : "|") : "",
                      s->decision[e].option[a->option[e]], c->edge[e].from);
    }
}

lode_status arch_cell_parse(const lode_space *s, const char *text, lode_arch *out) {
    if (s->code != SPACE_CODE_CELL)
        return LODE_FAIL(LODE_ERR_INVALID, "arch: space `%s` has no code of the form |op~0|+...",
                         s->name);
    const space_cell *c = &s->cell[0];
    const char *p = text;
    for (int e = 0; e < c->n_edges; e++) {
        bool first = e == 0 || c->edge[e].to != c->edge[e - 1].to;
        const char *opening = e == 0 ? "|" : "+|";
        if (first && strncmp(p, opening, strlen(opening)) != 0)
            return LODE_FAIL(LODE_ERR_INVALID,
                             "arch: \"%s\": node %d should begin with %s at "
                             "\"%s\"",
                             text, c->edge[e].to, opening, p);
        if (first) p += strlen(opening);
        char name[64], *end = NULL;
        size_t n = strcspn(p, "~");
        if (n >= sizeof name || p[n] == '\0')
            return LODE_FAIL(LODE_ERR_INVALID, "arch: \"%s\": an edge is op~source at \"%s\"", text,
                             p);
        memcpy(name, p, n);
        name[n] = '\0';
        int option = lode_space_find_option(s, e, name);
        if (option < 0)
            return LODE_FAIL(LODE_ERR_INVALID, "arch: \"%s\": there is no operation `%s`", text,
                             name);
        long from = isdigit((unsigned char)p[n + 1]) ? strtol(p + n + 1, &end, 10) : -1;
        if (from != c->edge[e].from || end == NULL || *end != '|')
            return LODE_FAIL(LODE_ERR_INVALID, "arch: \"%s\": `%s` should come from %d", text, name,
                             c->edge[e].from);
        out->option[e] = (uint8_t)option;
        p = end + 1;
    }
    return *p == '\0'
               ? LODE_OK
               : LODE_FAIL(LODE_ERR_INVALID, "arch: \"%s\" goes on after its last node", text);
}

/* ---- the graph of operations ---- */
/* A sum as a multiset of operations; -1 stands for the cell's input. */
typedef struct cell_sum {
    int n;
    int8_t term[CELL_MAX_TERMS];
} cell_sum;
typedef struct cell_graph {
    int n;
    int option[CELL_MAX_OPS];
    cell_sum input[CELL_MAX_OPS];
    cell_sum output;
} cell_graph;

static bool cell_add(cell_sum *to, const cell_sum *terms) {
    if (to->n + terms->n > CELL_MAX_TERMS) return false;
    memcpy(to->term + to->n, terms->term, (size_t)terms->n);
    to->n += terms->n;
    return true;
}

/* False when the cell is too large for the fixed buffers. */
static bool cell_graph_build(const lode_space *s, const uint8_t *option, cell_graph *g) {
    const space_cell *c = &s->cell[0];
    cell_sum state[17] = {{1, {-1}}};
    g->n = 0;
    for (int e = 0; e < c->n_edges; e++) {
        const space_op *op = &c->set->option[option[e]].op;
        const cell_sum *from = &state[c->edge[e].from];
        cell_sum *to = &state[c->edge[e].to];
        if (op->kind->nothing) continue;
        if (op->kind->identity) {
            if (!cell_add(to, from)) return false;
            continue;
        }
        if (g->n == CELL_MAX_OPS) return false;
        cell_sum one = {1, {(int8_t)g->n}};
        g->option[g->n] = option[e];
        g->input[g->n++] = *from;
        if (!cell_add(to, &one)) return false;
    }
    g->output = state[c->n_inputs + c->n_nodes - 1];
    return true;
}

static int cell_compare(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* A hash of n labels whose order does not matter. */
static uint64_t cell_hash_set(uint64_t *label, int n, uint64_t start) {
    if (n > 1) qsort(label, (size_t)n, sizeof *label, cell_compare);
    return lode_hash_bytes(label, (uint64_t)n * sizeof *label, start);
}

static uint64_t cell_hash_sum(const cell_sum *sum, const uint64_t *label, uint64_t start) {
    uint64_t terms[CELL_MAX_TERMS];
    for (int i = 0; i < sum->n; i++) terms[i] = sum->term[i] < 0 ? 1 : label[sum->term[i]];
    return cell_hash_set(terms, sum->n, start);
}

static int cell_count(const cell_sum *sum, int op) {
    int n = 0;
    for (int i = 0; i < sum->n; i++) n += sum->term[i] == op;
    return n;
}

static uint64_t cell_signature(const cell_graph *g) {
    uint64_t label[CELL_MAX_OPS], next[CELL_MAX_OPS];
    for (int i = 0; i < g->n; i++) label[i] = 2 + (uint64_t)g->option[i];
    for (int round = 0; round < CELL_ROUNDS; round++) {
        for (int i = 0; i < g->n; i++) {
            uint64_t users[CELL_MAX_TERMS];
            int n = 0;
            for (int k = 0; k < g->n; k++)
                for (int m = cell_count(&g->input[k], i); m > 0 && n < CELL_MAX_TERMS; m--)
                    users[n++] = label[k];
            uint64_t h = cell_hash_sum(&g->input[i], label, label[i]);
            h = cell_hash_set(users, n, h);
            uint64_t in_output = (uint64_t)cell_count(&g->output, i);
            next[i] = lode_hash_bytes(&in_output, sizeof in_output, h);
        }
        memcpy(label, next, (size_t)g->n * sizeof *label);
    }
    uint64_t output = cell_hash_sum(&g->output, label, 3);
    return cell_hash_set(label, g->n, output);
}

/* ---- the list ---- */
typedef struct cell_entry {
    uint64_t signature;
    uint32_t number;
} cell_entry;

static int cell_compare_entries(const void *a, const void *b) {
    const cell_entry *x = a, *y = b;
    if (x->signature != y->signature) return x->signature < y->signature ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

static bool cell_list_entries(const lode_space *s, int64_t count, cell_entry *entry) {
    uint8_t option[LODE_MAX_DECISIONS];
    cell_graph g;
    for (int64_t i = 0; i < count; i++) {
        int64_t rest = i;
        for (int d = (int)s->n_decisions - 1; d >= 0; d--) {
            option[d] = (uint8_t)(rest % s->decision[d].n_options);
            rest /= s->decision[d].n_options;
        }
        if (!cell_graph_build(s, option, &g)) return false;
        entry[i] = (cell_entry){cell_signature(&g), (uint32_t)i};
    }
    qsort(entry, (size_t)count, sizeof *entry, cell_compare_entries);
    return true;
}

lode_status space_list_canonical(lode_space *s) {
    int64_t count = 1;
    for (int d = 0; d < s->n_decisions; d++)
        if ((count *= s->decision[d].n_options) > CELL_MAX_LISTED) return LODE_OK;
    cell_entry *entry = LODE_NEW_ARRAY(cell_entry, count);
    if (entry == NULL) return LODE_ERR_NO_MEMORY;
    bool listed = cell_list_entries(s, count, entry);
    s->canonical_of = listed ? LODE_NEW_ARRAY(uint32_t, count) : NULL;
    for (int64_t i = 0; s->canonical_of != NULL && i < count; i++) {
        bool same = i > 0 && entry[i].signature == entry[i - 1].signature;
        s->canonical_of[entry[i].number] =
            same ? s->canonical_of[entry[i - 1].number] : entry[i].number;
    }
    lode_free(entry);
    return listed && s->canonical_of == NULL ? LODE_ERR_NO_MEMORY : LODE_OK;
}
