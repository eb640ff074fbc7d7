/* The manifest: a small JSON file beside the data, written last. A backup exists when its manifest
 * does and the data is as long as it says. */
#ifndef EFS_MANIFEST_H
#define EFS_MANIFEST_H
#include "common/err.h"
#include "efs/copy.h"
#include "efs/name.h"
#include "efs/tier.h"
#include "qdrant/fingerprint.h"
enum { MANIFEST_FORMAT = 1, MANIFEST_MAX = 1 << 20 };
struct manifest {
    struct source source;
    char node[128];                            /* NODE_NAME, else the peer id in the name; may be empty */
    char task_arn[256], zone[64], family[256]; /* of the ECS task that wrote it; empty elsewhere */
    enum tier tier;
    time_t slot, created; /* UTC */
    char data[256];       /* file name of the stored bytes */
    char codec[16];       /* "none" or "zstd:LEVEL" */
    struct copy_result content;
    bool qdrant_checksum;           /* the original's hash equals Qdrant's own .checksum */
    char qdrant_version[32];        /* empty when not known */
    int64_t points;                 /* count at the time, -1 when not known */
    struct fingerprint fingerprint; /* what must come back */
    struct aliases aliases;
    char written_by[128];
    double seconds; /* from first read to last fsync of the data */
};
/* The members "fingerprint" and "aliases", for whoever shows a manifest; left out where not known. False
 * without memory. */
struct cJSON;
bool manifest_add_content(struct cJSON *o, const struct manifest *m);
/* JSON text with a final newline, caller frees; NULL without memory. */
char *manifest_print(const struct manifest *m);
/* -1 with the reason when `text` is no manifest of this format. `path` is for the message. */
int manifest_parse(const char *text, const char *path, struct manifest *m, struct err *e);
int manifest_load(const char *path, struct manifest *m, struct err *e);
/* "2026-11-24T08:00:00Z"; `out` holds 32 bytes. */
void manifest_time(time_t when, char out[32]);
#endif
