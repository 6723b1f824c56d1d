/* platform_internal.h: what the files of the platform share. */
#ifndef LODE_CORE_PLATFORM_INTERNAL_H
#define LODE_CORE_PLATFORM_INTERNAL_H
#include "core/platform.h"

/* errno as a message: "cannot VERB PATH: why". LODE_ERR_NO_MEMORY or LODE_ERR_IO. */
lode_status platform_fail(const char *verb, const char *path);
/* A renamed file is where it is after a power cut as well. */
void platform_sync_directory_of(const char *path);
#endif
