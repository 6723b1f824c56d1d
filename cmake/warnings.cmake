add_library(lode_warnings INTERFACE)
target_compile_options(lode_warnings INTERFACE -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes
                       -Wmissing-prototypes -Wcast-qual -Wpointer-arith -Wvla -Wundef
                       $<$<BOOL:${LODE_WERROR}>:-Werror>)
