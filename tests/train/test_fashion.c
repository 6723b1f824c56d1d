/* labels: integration, noasan. Real images: a small fixed network of the space fbnet-fashion learns
   Fashion-MNIST in one short epoch. Skips where the data set is not installed. */
#include "core/parallel.h"
#include "ops/dispatch.h"
#include "support/support.h"
#include "train/trainer.h"

static void one_epoch_of_fashion(void **state) {
    static const char recipe[] =
        "data: {name: idx, valid: 0, limit: 40000, batch: 32, workers: 1}\n"
        "train: {epochs: 1, lr: 0.1, nesterov: true, warmup: 0.2, weight_decay: 1e-4,\n"
        "  eval_split: test, eval_batch: 250}\n";
    lode_config *config = NULL;
    lode_data_options data_options;
    lode_train_options options = {0};
    lode_data *data = NULL;
    lode_space *space = NULL;
    lode_supernet *net = NULL;
    lode_dispatch *dispatch = NULL;
    lode_train_result r;
    lode_arch arch;
    (void)state;
    /* Steps of half a millisecond: a second thread gains nothing and waits for a busy machine. */
    lode_set_threads(1);
    assert_ok(lode_config_parse(recipe, "recipe", &config));
    assert_ok(lode_data_options_read(config, &data_options));
    assert_ok(lode_config_read(config, &lode_train_option_table, &options));
    assert_ok(lode_config_finish(config));
    if (lode_data_open(&data_options, 1, &data) != LODE_OK) {
        print_message("[  SKIP  ] Fashion-MNIST is not here: %s\n", lode_last_error());
        lode_config_destroy(config);
        skip();
    }
    assert_ok(lode_space_load(&(lode_space_options){.name = "fbnet-fashion"}, &space));
    assert_ok(lode_arch_parse(space, "k3_e1,k3_e3,skip,skip,k3_e3,skip,skip", &arch));
    assert_ok(lode_supernet_create(space, &arch, LODE_F32, 1, &net));
    assert_ok(lode_dispatch_create(NULL, &dispatch));
    const lode_train_setup setup = {.phase = "train",
                                    .net = net,
                                    .data = data,
                                    .data_batch = data_options.batch,
                                    .workers = (int)data_options.workers,
                                    .runner = lode_dispatch_runner(dispatch),
                                    .options = &options,
                                    .seed = 1};
    assert_ok(lode_train(&setup, &r));
    print_message("train %.4f, test %.4f of %lld, %.0f images/s, %.1f s\n", r.accuracy,
                  r.eval.accuracy, (long long)r.eval.n, r.images_per_s, r.seconds);
    assert_int_equal(r.eval.n, 10000);
    assert_true(r.eval.accuracy > 0.85);
    lode_dispatch_destroy(dispatch);
    lode_supernet_destroy(net);
    lode_space_release(space);
    lode_data_close(data);
    lode_data_options_deinit(&data_options);
    lode_config_destroy(config);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(one_epoch_of_fashion)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
