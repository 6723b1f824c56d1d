/* labels: slow, property. The same with twenty kills. */
#include "kill_run.h"

KILL_MAIN(20)
