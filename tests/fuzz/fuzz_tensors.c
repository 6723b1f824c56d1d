/* fuzz_tensors.c: any bytes are a file of tensors or a story; what opens can be read to the end. */
#include "fuzz.h"
#include "tensor/tensor_io.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    lode_tensor_file *f = NULL;
    lode_status status = lode_tensors_open_bytes(bytes, n, "fuzz.safetensors", &f);
    FUZZ_CHECK_STORY(status);
    FUZZ_CHECK((f != NULL) == (status == LODE_OK));
    size_t sum = 0;
    for (int64_t i = 0; f != NULL && i < lode_tensors_n(f); i++) {
        lode_tensor *t = NULL, *wide = NULL;
        FUZZ_CHECK(lode_tensors_get(f, lode_tensors_name(f, i), &t) == LODE_OK);
        FUZZ_CHECK(lode_tensor_create(NULL, LODE_F64, &t->shape, LODE_CONTIGUOUS, &wide) ==
                   LODE_OK);
        FUZZ_CHECK(lode_tensors_load_into(f, lode_tensors_name(f, i), wide) == LODE_OK);
        sum += lode_tensor_bytes(t);
        lode_tensor_release(t);
        lode_tensor_release(wide);
    }
    FUZZ_CHECK(sum <= n);
    lode_tensors_close(f);
    lode_device_empty_cache(lode_cpu_device()); /* the replay counts blocks */
    return 0;
}
