/* The manifest: a small JSON file beside the data, written last. A backup exists when its manifest
 * does and the data is as long as it says. */
#ifndef EFS_REPO_MANIFEST_H
#define EFS_REPO_MANIFEST_H
#include "common/base/err.h"
#include "efs/data/copy.h"
#include "efs/data/recipe.h"
#include "efs/repo/name.h"
#include "efs/repo/frequency.h"
#include "efs/repo/shards.h"
#include "qdrant/fingerprint.h"
enum {
    MANIFEST_FORMAT = 1,
    MANIFEST_FORMAT_DELTA = 2, /* which older programs cannot restore, and say so */
    MANIFEST_MAX = 1 << 20,
    BASES_MAX = LAYERS_MAX - 1,
    BASES_NAMES = 1024,
};
/* The other backups of this node and collection that a delta is made of, the whole first. */
struct bases {
    unsigned n; /* 0: a whole */
    struct base {
        unsigned name; /* of its data, in `names` */
        enum frequency frequency;
        uint64_t stored_size;
        char sha256[65]; /* of its snapshot */
        struct recipe_place recipe;
    } v[BASES_MAX];
    char names[BASES_NAMES]; /* one after the other, each with its NUL */
    unsigned used;
};
static inline const char *base_data(const struct bases *b, unsigned i) { return b->names + b->v[i].name; }
/* One more above the others. False when there is no room for it. */
bool bases_add(struct bases *b, const struct base *one, const char *data);
struct manifest {
    struct source source;
    char node[128];                            /* NODE_NAME, else the peer id in the name; may be empty */
    char task_arn[256], zone[64], family[256]; /* of the ECS task that wrote it; empty elsewhere */
    enum frequency frequency;
    time_t slot, created; /* UTC */
    char data[256];       /* file name of the stored bytes */
    char codec[16];       /* "none", "zstd:LEVEL" or "delta" */
    struct copy_result content;
    struct recipe_place recipe; /* of its pieces; a whole that has one may be the base of deltas */
    struct bases bases;
    bool qdrant_checksum;    /* the original's hash equals Qdrant's own .checksum */
    bool upload;             /* it had none: somebody put the file there, and its contents were proven to
                                fit the collection. Its times are the file's; always in 15min */
    char qdrant_version[32]; /* empty when not known */
    int64_t points;          /* count at the time, -1 when not known */
    bool compacted;          /* read alone: it was a delta first (efs/repo/compact.h) */
    bool clustered;          /* read alone: it tells the shards of a cluster (backup_shards) */
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
/* "recipe" and "bases", likewise. */
bool manifest_add_pieces(struct cJSON *o, const struct manifest *m);
/* And read the first two. */
void manifest_get_content(const struct cJSON *o, struct manifest *m);
/* "origin": "upload", and "points_of": "node"; each left out where it does not hold. */
bool manifest_add_origin(struct cJSON *o, const struct manifest *m);
bool manifest_add_points_of(struct cJSON *o, const struct manifest *m);
/* JSON text with a final newline, caller frees; NULL without memory. `shards` (may be NULL) become the member
 * "cluster". */
char *manifest_print(const struct manifest *m, const struct shards *shards);
/* -1 with the reason when `text` is no manifest of this format. `path` is for the message. */
int manifest_parse(const char *text, const char *path, struct manifest *m, struct err *e);
int manifest_load(const char *path, struct manifest *m, struct err *e);
#endif
