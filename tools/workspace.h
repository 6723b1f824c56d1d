/* workspace.h: what most verbs open: a space or a saved subnet, its network, a dispatch; and the
 * data of a recipe. */
#ifndef LODE_TOOLS_WORKSPACE_H
#define LODE_TOOLS_WORKSPACE_H
#include "core/platform.h"
#include "data/data.h"
#include "ops/dispatch.h"
#include "supernet/supernet.h"
#include "tools/cli.h"

typedef struct workspace {
    lode_space *space; /* borrowed from net when a subnet was loaded */
    lode_supernet *net;
    lode_dispatch *dispatch;
    bool owns_space;
} workspace;

/* Options -s SPACE (with --set space.x=y) and, when the verb has it, -m SUBNET. with_net: build all
 * candidates. */
lode_status workspace_open(cli *c, bool with_net, workspace *w);
void workspace_close(workspace *w);

/* -d NAME or NAME:PATH, with --set data.x=y; classes, channels and size as `net` wants them. */
lode_status workspace_open_data(cli *c, const lode_supernet *net, lode_config **config,
                                lode_data_options *options, lode_data **out);
#define WORKSPACE_OPTION_SPACE                                                                     \
    { "space", 's', "SPACE", "name of a shipped space, or a YAML file" }
#define WORKSPACE_OPTION_SET                                                                       \
    { "set", 0, "KEY=VALUE", "change one option of a recipe section (may be repeated)" }
#endif
