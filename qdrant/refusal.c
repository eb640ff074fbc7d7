#include "qdrant/refusal.h"
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* Parts of answers with 400 or 500 that are about something else than the snapshot. Qdrant passes the
 * system's errors on as Rust words them, with their number. */
static const char *const place[] = {
    "os error 28)",  /* no space left */
    "os error 122)", /* quota */
    "No space left",
    "exceeds available disk space", /* the write-ahead log's own check */
    "not enough space",
    "os error 5)",  /* input/output error, of its disk */
    "os error 12)", /* no memory */
    "os error 13)", /* no right */
    "os error 23)", /* too many open files */
    "os error 24)",
    "os error 30)", /* read-only */
    "Out of memory",
    "Checksum mismatch", /* ours is proven: the bytes changed on the way or on its disk */
    "checksum mismatch",
    "missing data at shard", /* a node's part of a cluster's collection, on a node alone */
    "Distributed mode disabled",
    "onsensus", /* no leader, no quorum */
    "Max collections limit",
    "lias with the same name",
    "ecovery mode",
    "server is stopping",
    "cancelled",
    "Timeout",
    "Tonic transport error", /* another node */
    "Failed to download",    /* by --location */
    "Http request error",
    "must be inside the snapshots directory",
    "API key",
};

enum refusal refusal_of(long status, const char *said)
{
    if (status != 400 && status != 500)
        return REFUSAL_PLACE;
    for (size_t i = 0; i < sizeof place / sizeof *place; i++)
        if (strstr(said, place[i]))
            return REFUSAL_PLACE;
    return REFUSAL_CONTENT;
}
