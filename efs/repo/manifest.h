/* The manifest: a small JSON file beside the data, written last. A backup exists when its manifest
 * does and the data is as long as it says. */
#ifndef EFS_REPO_MANIFEST_H
#define EFS_REPO_MANIFEST_H
#include "common/base/err.h"
#include "efs/data/copy.h"
#include "efs/repo/name.h"
#include "efs/repo/frequency.h"
#include "qdrant/fingerprint.h"
enum { MANIFEST_FORMAT = 1, MANIFEST_MAX = 1 << 20 };
struct manifest {
    struct source source;
    char node[128];                            /* NODE_NAME, else the peer id in the name; may be empty */
    char task_arn[256], zone[64], family[256]; /* of the ECS task that wrote it; empty elsewhere */
    enum frequency frequency;
    time_t slot, created; /* UTC */
    char data[256];       /* file name of the stored bytes */
    char codec[16];       /* "none" or "zstd:LEVEL" */
    struct copy_result content;
    bool qdrant_checksum;    /* the original's hash equals Qdrant's own .checksum */
    bool upload;             /* it had none: somebody put the file there, and its contents were proven to
                                fit the collection. Its times are the file's; always in 15min */
    char qdrant_version[32]; /* empty when not known */
    int64_t points;          /* count at the time, -1 when not known */
    bool points_of_node;     /* `points` are those of this node's shards, not of the whole collection */
    struct fingerprint fingerprint; /* what must come back */
    struct aliases aliases;
    char written_by[128];
    double seconds; /* from first read to last fsync of the data */
    /* Of one that was just published, not in its file. */
    time_t written;  /* by the clock of EFS's server, when the node's is wrong; else 0 */
    bool known_late; /* nobody knows when it was taken: `created` is its publication */
};
/* The members "fingerprint" and "aliases", for whoever shows a manifest; left out where not known. False
 * without memory. */
struct cJSON;
bool manifest_add_content(struct cJSON *o, const struct manifest *m);
/* And read them. */
void manifest_get_content(const struct cJSON *o, struct manifest *m);
/* "origin": "upload", and "points_of": "node"; each left out where it does not hold. */
bool manifest_add_origin(struct cJSON *o, const struct manifest *m);
bool manifest_add_points_of(struct cJSON *o, const struct manifest *m);
/* JSON text with a final newline, caller frees; NULL without memory. */
char *manifest_print(const struct manifest *m);
/* -1 with the reason when `text` is no manifest of this format. `path` is for the message. */
int manifest_parse(const char *text, const char *path, struct manifest *m, struct err *e);
int manifest_load(const char *path, struct manifest *m, struct err *e);
#endif
