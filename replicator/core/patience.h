/* Qdrant starts beside the replicator: what it has not done yet in the first seconds is no trouble. */
#ifndef REPLICATOR_CORE_PATIENCE_H
#define REPLICATOR_CORE_PATIENCE_H
#include "common/log.h"
#include <stdint.h>
enum { PATIENCE_MS = 30000 };
/* How loudly to say that something is not there yet; times are monotonic milliseconds. */
static inline enum log_level patience_level(int64_t begun, int64_t now)
{
    return now - begun < PATIENCE_MS ? LOG_INFO : LOG_WARN;
}
#endif
