/* lode.c: the command. Verbs live in verb_*.c. */
#include "tools/cli.h"

int main(int argc, char **argv) { return cli_main(argc, argv); }
