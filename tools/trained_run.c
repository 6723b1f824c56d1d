/* trained_run.c: see trained_run.h. */
#include "tools/trained_run.h"

#include "core/memory.h"
#include "core/platform.h"

static lode_status trained_run_space(trained_run *r) {
    int channels = 0, height = 0, width = 0;
    lode_space_options o = r->recipe->space;
    lode_data_input(r->data, &channels, &height, &width);
    if (o.classes == 0) o.classes = lode_data_n_classes(r->data);
    if (o.channels == 0) o.channels = channels;
    if (o.size == 0) o.size = height;
    return lode_space_load(&o, &r->space);
}

lode_status trained_run_open(const char *directory, trained_run *r) {
    lode_status status = LODE_OK;
    lode_dispatch_options dispatch = {0};
    char *recipe = lode_path_join(directory, "recipe.yaml");
    char *weights = lode_path_join(directory, "supernet.safetensors");
    LODE_GOTO(recipe && weights ? LODE_OK : LODE_ERR_NO_MEMORY);
    if (!lode_file_exists(weights))
        LODE_GOTO(LODE_FAIL(LODE_ERR_NOT_FOUND,
                            "%s: no trained supernet (supernet.safetensors); run lode search or "
                            "lode train with a supernet first",
                            directory));
    LODE_GOTO(lode_recipe_load(recipe, NULL, 0, &r->recipe));
    LODE_GOTO(lode_data_open(&r->recipe->data, r->recipe->seed, &r->data));
    LODE_GOTO(trained_run_space(r));
    LODE_GOTO(lode_supernet_create(r->space, NULL, LODE_F32, r->recipe->seed, &r->net));
    LODE_GOTO(lode_supernet_load(r->net, weights));
    dispatch.providers = r->recipe->providers;
    LODE_GOTO(lode_dispatch_create(&dispatch, &r->dispatch));
done:
    lode_free(recipe);
    lode_free(weights);
    return status;
}

void trained_run_close(trained_run *r) {
    lode_supernet_destroy(r->net);
    lode_dispatch_destroy(r->dispatch);
    lode_space_release(r->space);
    lode_data_close(r->data);
    lode_recipe_destroy(r->recipe);
}
