/* What `ls --sets`, `verify --set` and `restore --set` share: all backups that the filters let through, with
 * what they tell of their shards, and the sets that they make. */
#ifndef EFS_CLI_CMD_SETS_H
#define EFS_CLI_CMD_SETS_H
#include "efs/cli/cli.h"
#include "efs/repo/sets.h"

struct set_world {
    struct backup_list list;
    struct shards *shards; /* one of each entry */
    struct set_member *members;
    struct sets sets;
};
void set_world_free(struct set_world *w);
#define cleanup_set_world __attribute__((cleanup(set_world_free)))
/* 0, or an exit code after an error that it printed: EXIT_SETTING for a filter that would tear sets apart. */
int set_world_gather(const struct options *o, struct set_world *w);
/* Does a flag tear sets apart? 0, or EXIT_SETTING after it said so. */
int set_filters_check(const struct options *o);
/* Once more, after the states of backups changed. An exit code. */
int set_world_again(struct set_world *w);
/* That backup is not what its manifest says, or Qdrant refuses it: what set_world_again then passes over. Its
 * entry of the list. */
struct backup *set_world_condemn(struct set_world *w, const struct backup *b, const char *why);
/* Are there sets in several trees? */
bool set_several_trees(const struct sets *s);
/* What a peer is called: the NODE_NAME of its newest backup, else its id. `arg` is a world. */
const char *set_peer_name(const char *peer, void *arg);
/* As `ls --sets --json` tells it. Owned by the caller; NULL without memory. */
struct cJSON *set_json(const struct set_world *w, const struct set *s);
/* Is that a set's name, {collection}-set-{slot}? */
bool set_is_named(const char *name);
/* show SET. An exit code. */
int cmd_show_set(const struct options *o);
enum { SET_REASONS = 2000 };
/* Why it is not complete, each reason after the other; fit for a terminal. */
void set_reasons(const struct set_world *w, const struct set *s, char *out, size_t size);
/* Why there is no complete set of what `one` is a set of, made until `at` (0: ever): with the one that came
 * just after it, since people give a slot, and its snapshots are made in it. */
void set_none(const struct set_world *w, const struct set *one, time_t at, char *out, size_t size);
/* "docs", and the tree where several are looked at: fit for a terminal. */
const char *set_collection(const struct set *s, char *out, size_t size);
#endif
