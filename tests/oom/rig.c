/* tests/oom/rig: the gateway's rig (tests/gateway/rig.h), as it is. */
#include "gateway/rig.c"
