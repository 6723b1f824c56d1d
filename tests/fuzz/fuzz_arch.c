/* fuzz_arch.c: any text is an architecture of a space or a story; what it is survives its codes. */
#include "fuzz.h"
#include "supernet/space.h"

/* A cell as in NAS-Bench-201, with fewer operations: its list of canonical forms is short. */
static const char *const cell =
    "name: cell\ninput: {channels: 2, size: 4}\nclasses: 2\n"
    "code: cell\ncanonical: cell\n"
    "sets: {s: {none: {op: none}, skip: {op: skip}, conv: {op: conv}}}\n"
    "cells: {c: {nodes: 3, set: s}}\n"
    "layers: [{cell: c, channels: 2}, {op: linear}]\n";

static void check_space(const char *name, const char *text) {
    lode_space_options options = {.name = name};
    lode_space *s;
    lode_arch a, b;
    if (name == NULL)
        FUZZ_CHECK(lode_space_parse(cell, "cell", NULL, &s) == LODE_OK);
    else
        FUZZ_CHECK(lode_space_load(&options, &s) == LODE_OK);
    lode_status status = lode_arch_parse(s, text, &a);
    FUZZ_CHECK_STORY(status);
    if (status == LODE_OK) {
        FUZZ_CHECK(lode_space_check(s, &a) == LODE_OK);
        char *code = lode_arch_code(s, &a);
        FUZZ_CHECK(code != NULL && lode_arch_parse(s, code, &b) == LODE_OK);
        FUZZ_CHECK(lode_arch_equal(&a, &b));
        lode_free(code);
    }
    lode_space_release(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    char *text = fuzz_text(bytes, n);
    if (text[0] != '@') { /* a file */
        check_space(NULL, text);
        check_space("nasbench-macro", text);
        check_space("darts", text);
    }
    lode_free(text);
    return 0;
}
