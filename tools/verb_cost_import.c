/* verb_cost_import.c: `lode cost import`: tables of other projects as ours. */
#include "hwcost/import.h"
#include "tools/cli.h"

static const cli_option import_options[] = {
    {"format", 'f', "NAME", "ofa, proxylessnas, fbnet, hwnasbench or haq (needed)"},
    {"unit", 'u', "UNIT", "of the values: ms, us, mJ, cycles, ... (needed)"},
    {"output", 'o', "FILE", "where the table goes (needed)"},
    {"where", 'w', "COLUMN=VALUE", "only rows with that value (may be repeated)"},
    {"column", 0, "NAME", "the column of the values, where there are several"},
    {"quantity", 0, "NAME", "what the table prices (default latency_UNIT, energy_UNIT)"},
    {"device", 0, "TEXT", "where it was measured, for the file"},
    {"space", 's', "SPACE", "fbnet, hwnasbench, haq: the space whose decisions it prices"},
};

static lode_status import_run(cli *c) {
    lode_import_options o = {.quantity = cli_get(c, "quantity", NULL),
                             .device = cli_get(c, "device", NULL),
                             .column = cli_get(c, "column", NULL),
                             .space = cli_get(c, "space", NULL)};
    const char *output = NULL;
    lode_foreign *t = NULL;
    lode_status status = LODE_OK;
    LODE_TRY(cli_need(c, "format", &o.format));
    LODE_TRY(cli_need(c, "unit", &o.unit));
    LODE_TRY(cli_need(c, "output", &output));
    if (cli_n_arguments(c) != 1) return cli_usage_error(c, "want one FILE to import");
    o.n_where = cli_get_all(c, "where", &o.where);
    LODE_GOTO(lode_import(cli_argument(c, 0), &o, &t));
    LODE_GOTO(lode_foreign_write(t, output));
    const lode_foreign_info *info = lode_foreign_get_info(t);
    cli_print(c, "%s: %lld entries, %s in %s, constant %.6g; price with --cost %s=%s\n", output,
              (long long)lode_foreign_n(t), info->quantity, info->unit, info->constant,
              info->quantity, output);
    cli_result(c, json_pack("{s:s, s:s, s:s, s:I, s:f}", "table", output, "quantity",
                            info->quantity, "unit", info->unit, "entries",
                            (json_int_t)lode_foreign_n(t), "constant", info->constant));
done:
    lode_foreign_destroy(t);
    return status;
}

const cli_verb cli_verb_cost_import = {
    .name = "cost import",
    .arguments = "FILE",
    .about = "reads a latency or energy table that others published",
    .details =
        "FILE is CSV with a header, or the YAML of ProxylessNAS and Once-for-all. The unit must be "
        "given. Tables of blocks (ofa, proxylessnas) price every space whose blocks they hold; "
        "tables of options (fbnet, hwnasbench, haq) the space they are made for. Where a file "
        "holds several devices or input sizes, --where chooses: --where resolution=224.",
    .options = import_options,
    .n_options = (int)(sizeof import_options / sizeof *import_options),
    .run = import_run,
};
