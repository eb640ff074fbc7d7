#include "efs/cli/commands.h"
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static const char NOWHERE[] = "a filter names what is nowhere, or it failed";

const struct command commands[] = {
    {.name = "status",
     .help = "each collection in a line: how old, how well proven, what a loss would cost",
     .run = cmd_status,
     .bit = STATUS,
     .example = {"qdrant-efs status", "qdrant-efs status --collection docs --rpo 1h --json"},
     .good = "all is as promised",
     .bad = "something is too old, incomplete or corrupt, a drill has failed, nothing is backed up, or it "
            "failed"},
    {.name = "check",
     .help = "is all set up right: mount, clock, disk, Qdrant, its key, S3, drills; a remedy for each",
     .run = cmd_check,
     .bit = CHECK,
     .example = {"qdrant-efs check", "qdrant-efs check --json"},
     .good = "nothing failed; there may be warnings",
     .bad = "something failed, and what to do is told"},
    {.name = "ls",
     .help = "list backups, and whether each is complete",
     .run = cmd_ls,
     .bit = LS,
     .example = {"qdrant-efs ls", "qdrant-efs ls --state complete --latest 1"},
     .good = "listed, also when there are none",
     .bad = NOWHERE},
    {.name = "browse",
     .help = "all backups as one page for a browser: a calendar, sizes over time, the commands for each",
     .run = cmd_browse,
     .bit = BROWSE,
     .example = {"qdrant-efs browse > backups.html", "qdrant-efs browse --collection docs > docs.html"},
     .good = "the page was written, also when there are no backups",
     .bad = NOWHERE},
    {.name = "du",
     .help = "bytes of each collection by frequency: SIZE before compression, STORED after it, NEEDED: of "
             "these, what newer backups are made of",
     .run = cmd_du,
     .bit = DU,
     .example = {"qdrant-efs du", "qdrant-efs du --collection docs --json"},
     .good = "added up",
     .bad = NOWHERE},
    {.name = "show",
     .operand = "SNAPSHOT",
     .help = "all that is known of one backup, or of a set of a cluster's backups",
     .run = cmd_show,
     .bit = SHOW,
     .example = {"qdrant-efs show docs-123-2026-11-24-08-00-00",
                 "qdrant-efs show docs-123-2026-11-24-08-00-00 --json"},
     .good = "shown",
     .bad = "there is none of that name, or it failed"},
    {.name = "verify",
     .help = "read every byte and recompute every hash; exit 1 and name each defect",
     .run = cmd_verify,
     .bit = VERIFY,
     .example = {"qdrant-efs verify --newer 24h", "qdrant-efs verify --collection docs --deep"},
     .good = "no defect",
     .bad = "a defect was found, a filter names what is nowhere, or it failed"},
    {.name = "restore",
     .help = "the newest good backup, or another, into Qdrant or a file",
     .run = cmd_restore,
     .bit = RESTORE,
     .example = {"qdrant-efs restore --collection docs --dry-run",
                 "qdrant-efs restore --collection docs --rename docs-old"},
     .good = "all that was wanted is restored",
     .bad = "something is not, or is not what it was"},
    {.name = "drill",
     .help = "prove that backups restore: into a second Qdrant, and compare what it then holds",
     .run = cmd_drill,
     .bit = DRILL,
     .example = {"qdrant-efs drill", "qdrant-efs drill --collection docs --keep-report"},
     .good = "all came back, and nothing is wrong",
     .bad = "something did not come back, differs, or could not be tried"},
    {.name = "heal",
     .help = "get a cluster over a lost node: its copies go, others are made, what it alone had comes back",
     .run = cmd_heal,
     .bit = HEAL,
     .example = {"qdrant-efs heal --dry-run", "qdrant-efs heal --peer 5203915410238477 --restore"},
     .good = "every shard has its copies, or with --dry-run would have",
     .bad = "something is left to do, and is told; or a peer that was named is not lost; or it failed"},
    {.name = "replica",
     .help = "in the second Region: what has arrived, what is missing, and how old that is",
     .run = cmd_replica,
     .bit = REPLICA,
     .example = {"qdrant-efs replica", "qdrant-efs replica --primary /mnt/primary --verify"},
     .good = "all is here that should be",
     .bad = "something is missing or too old, nothing tells what should be here, or it failed"},
    {.name = "diff",
     .operand = "A B",
     .help = "what changed between two backups: points, configuration, sizes; with --files what grew",
     .run = cmd_diff,
     .bit = DIFF,
     .example = {"qdrant-efs ls --latest 2",
                 "qdrant-efs diff docs-123-2026-11-24-08-00-00 docs-123-2026-11-24-09-00-00"},
     .good = "compared, whether they differ or not",
     .bad = "there is none of that name, or several; or one cannot be read"},
    {.name = "pin",
     .operand = "SNAPSHOT",
     .help = "keep one backup for ever: RETENTION does not let it go, nor what it is made of",
     .run = cmd_pin,
     .bit = PIN,
     .example = {"qdrant-efs pin docs-123-2026-11-24-08-00-00 --note 'before the migration'",
                 "qdrant-efs ls --pinned"},
     .good = "pinned, also when it was before",
     .bad = "there is none of that name, or several; it is not complete; or it failed"},
    {.name = "unpin",
     .operand = "SNAPSHOT",
     .help = "let RETENTION decide again; a note stays",
     .run = cmd_unpin,
     .bit = UNPIN,
     .example = {"qdrant-efs unpin docs-123-2026-11-24-08-00-00",
                 "qdrant-efs unpin docs-123-2026-11-24-08-00-00 --json"},
     .good = "not pinned, also when it was not before",
     .bad = "there is none of that name, or several; or it failed"},
    {.name = "note",
     .operand = "SNAPSHOT TEXT",
     .help = "write a note beside a backup, which ls and show tell; an empty text takes it away",
     .run = cmd_note,
     .bit = NOTE,
     .example = {"qdrant-efs note docs-123-2026-11-24-08-00-00 'the last with the old model'",
                 "qdrant-efs note docs-123-2026-11-24-08-00-00 ''"},
     .good = "the note is there, or taken away",
     .bad = "there is none of that name, or several; or it failed"},
    {.name = "forget",
     .operand = "COLLECTION",
     .help = "delete all backups of a collection, and keep it from coming back",
     .run = cmd_forget,
     .bit = FORGET,
     .example = {"qdrant-efs forget docs --dry-run", "qdrant-efs forget docs --all-nodes"},
     .good = "nothing of it is left",
     .bad = "something is left, and is named; or there was nothing of it"},
    {.name = "prune",
     .help = "apply RETENTION, or what the tree's replicators keep; --dry-run only says what would go",
     .run = cmd_prune,
     .bit = PRUNE,
     .example = {"qdrant-efs prune --dry-run",
                 "qdrant-efs prune --collection docs --retention daily=60d --dry-run"},
     .good = "done, also when nothing was to go",
     .bad = "something could not be pruned, a filter names what is nowhere, or it failed"},
    {.name = "compact",
     .help = "make wholes of deltas, where that lets go of more than it takes; or of one that is named",
     .run = cmd_compact,
     .bit = COMPACT,
     .example = {"qdrant-efs compact --dry-run",
                 "qdrant-efs compact --snapshot docs-123-2026-11-24-09-00-00 --dry-run"},
     .good = "done, also when nothing was worth it",
     .bad = "one could not be made whole, and is as it was; a filter names what is nowhere, or it failed"},
};
const size_t n_commands = sizeof commands / sizeof *commands;

#define AT(member) offsetof(struct options, member)
const struct flag flags[] = {
    {"--root", "DIR",
     "where EFS is mounted (EFS_ROOT); read-only is fine for all but prune, compact, forget, "
     "pin, unpin and note",
     FLAG_ROOT, ALL, 0},
    {"--json", NULL, "for programs", FLAG_ON, ALL, AT(json)},
    {"--tier", "NAME", "only the tree {TIER}-{CPU_ARCH} of this TIER; else every tree", FLAG_SETTING, ALL, 0},
    {"--cpu-arch", "NAME", "only the tree {TIER}-{CPU_ARCH} of this CPU_ARCH", FLAG_SETTING, ALL, 0},
    {"--collection", "NAME", "only this collection, by its name or an alias; may be repeated",
     FLAG_COLLECTION, CHOOSE | REPLICA | STATUS | COMPACT, 0},
    {"--frequency", "NAME", "only 15min, hourly, daily or monthly", FLAG_TIER, CHOOSE, AT(frequency)},
    {"--newer", "AGE", "only slots of the last AGE, as in 90m, 24h, 7d or 2w", FLAG_AGO, CHOOSE, AT(newer)},
    {"--older", "AGE", "only slots from before that", FLAG_AGO, CHOOSE, AT(older)},
    {"--node", "NAME", "only of this node (NODE_NAME, or its peer id)", FLAG_TEXT,
     RESTORE | DRILL | LS | BROWSE | SHOW | VERIFY | DU | STATUS | PINNING | DIFF, AT(restore.node)},
    {"--node", "NAME", "only the backups of this node (NODE_NAME, or its peer id)", FLAG_TEXT, FORGET,
     AT(restore.node)},
    {"--latest", "N", "only the newest N of each collection and node", FLAG_COUNT, LS, AT(latest)},
    {"--state", "STATE", "only what is complete, incomplete, corrupt, unreadable or unsigned", FLAG_STATE, LS,
     AT(state)},
    {"--sets", NULL, "which backups of a cluster's nodes make a whole together, and what others lack",
     FLAG_ON, LS, AT(set)},
    {"--set", NULL, "of each collection the newest complete set of a cluster's backups", FLAG_ON,
     VERIFY | RESTORE | DRILL, AT(set)},
    {"--own", NULL,
     "with --set: only those that fall to this node (NODE_NAME), of the nodes that have a part in them",
     FLAG_ON, DRILL, AT(own)},
    {"--files", NULL, "read every byte of both, and tell settings, segments and files that differ", FLAG_ON,
     DIFF, AT(files)},
    {"--pinned", NULL, "only what is pinned", FLAG_ON, LS, AT(pinned)},
    {"--pinned", NULL, "the pinned ones, too", FLAG_ON, FORGET, AT(pinned)},
    {"--note", "TEXT", "and why: one line, which ls and show tell", FLAG_TEXT, PIN, AT(note)},
    {"--all-nodes", NULL, "the backups of all nodes, where several have some", FLAG_ON, FORGET,
     AT(all_nodes)},
    {"--dry-run", NULL, "delete nothing, say what would go", FLAG_ON, PRUNE | FORGET, AT(dry_run)},
    {"--dry-run", NULL, "change nothing: which backup would be taken, how old it is, what Qdrant has now",
     FLAG_ON, RESTORE, AT(dry_run)},
    {"--dry-run", NULL, "change nothing, say what would become a whole", FLAG_ON, COMPACT, AT(dry_run)},
    {"--retention", "POLICY", "as RETENTION, such as 15min=24h,hourly=7d,daily=35d,monthly=13", FLAG_SETTING,
     PRUNE | COMPACT, 0},
    {"--deep", NULL, "and what is inside: every member of every tar, and that none is missing", FLAG_ON,
     VERIFY, AT(deep)},
    {"--at", "TIME",
     "the newest good one of that time or before: 2026-11-24T08:00:00Z, a day, or an age such as 2h",
     FLAG_TIME, RESTORE | DRILL, AT(restore.at)},
    {"--snapshot", "NAME", "this one", FLAG_TEXT, RESTORE | DRILL, AT(restore.snapshot)},
    {"--all", NULL, "every delta, whatever it takes: for builds from before there were deltas", FLAG_ON,
     COMPACT, AT(every)},
    {"--snapshot", "NAME", "this one, whatever it lets go", FLAG_TEXT, COMPACT, AT(restore.snapshot)},
    {"--shard", "N", "the snapshots of one shard", FLAG_TEXT, RESTORE | DRILL, AT(restore.shard)},
    {"--storage-snapshot", NULL, "the snapshots of the whole storage", FLAG_ON, RESTORE | DRILL,
     AT(restore.storage)},
    {"--storage-snapshot", NULL, "and the snapshots of the whole storage, which hold the collection, too",
     FLAG_ON, FORGET, AT(restore.storage)},
    {"--strict", NULL, "fail where the newest is not good, in place of taking the next older", FLAG_ON,
     RESTORE | DRILL, AT(restore.strict)},
    {"--keep-report", NULL, "on EFS, too, in {TIER}-{CPU_ARCH}/drills", FLAG_ON, DRILL, AT(keep_report)},
    {"--rename", "NEW", "beside the original, as collection NEW; with --swap NEW is what is replaced",
     FLAG_TEXT, RESTORE, AT(restore.rename)},
    {"--points", "IDS",
     "only these points, such as 1,2,3, into the collection that is there; a second Qdrant (QDRANT_BIN) "
     "reads the backup",
     FLAG_TEXT, RESTORE, AT(restore.points)},
    {"--filter", "JSON", "only the points of the backup that pass this filter of Qdrant's, as with --points",
     FLAG_TEXT, RESTORE, AT(restore.filter)},
    {"--force", NULL, "replace a collection that has points, or a file", FLAG_ON, RESTORE, AT(restore.force)},
    {"--recreate", NULL, "delete the collection that is there, once the backup is proven, and make it anew",
     FLAG_ON, RESTORE, AT(restore.recreate)},
    {"--swap", NULL, "restore beside it, and when that is good switch its aliases and its name over", FLAG_ON,
     RESTORE, AT(restore.swap)},
    {"--to", "PATH", "only a file, or files in the folder PATH", FLAG_TEXT, RESTORE, AT(restore.to)},
    {"--stdout", NULL, "only its bytes, to standard output", FLAG_ON, RESTORE, AT(restore.to_stdout)},
    {"--as-storage", NULL,
     "--to a file that Qdrant restores at its start (--storage-snapshot), as custom sharding needs it",
     FLAG_ON, RESTORE, AT(restore.as_storage)},
    {"--dry-run", NULL, "change nothing: who is in the cluster, and which steps would be taken", FLAG_ON,
     HEAL, AT(dry_run)},
    {"--peer", "ID",
     "this peer is lost for good: its task or its disk is gone; else only missing copies are made; may be "
     "repeated",
     FLAG_LOST, HEAL, 0},
    {"--restore", NULL, "bring back from backups on EFS the shards that lost peers alone had", FLAG_ON, HEAL,
     AT(heal.restore)},
    {"--replace-broken", NULL,
     "with --restore: also shards of which a living node has a copy that is not active, and that may have "
     "newer "
     "points than the backup",
     FLAG_ON, HEAL, AT(heal.replace)},
    {"--no-writers", NULL,
     "with --restore: nobody writes meanwhile, so that any node may take them, not only one without copies "
     "of other shards",
     FLAG_ON, HEAL, AT(heal.no_writers)},
    {"--url", "URL", "Qdrant (QDRANT_URL); the key from QDRANT_API_KEY, QDRANT_API_KEY_FILE or AK_ARN",
     FLAG_URL, RESTORE | CHECK | HEAL, 0},
    {"--peer-url", "URL",
     "with --set: the REST API of another node of the cluster, where that is not the peer's host and the "
     "port of "
     "--url; may be repeated",
     FLAG_PEER, RESTORE, 0},
    {"--peer-url", "URL",
     "the REST API of another node, where that is not the peer's host and the port of --url; may be repeated",
     FLAG_PEER, HEAL, 0},
    {"--wait", "AGE", "for the collection to be green afterwards (10m)", FLAG_SECONDS, RESTORE,
     AT(restore.wait)},
    {"--from-s3", NULL,
     "from the copies in S3, not from EFS, which is not touched: SNAPSHOT_S3_BUCKET_NAME, "
     "SNAPSHOT_S3_ENDPOINT",
     FLAG_ON, RESTORE, AT(restore.from_s3)},
    {"--location", "URL",
     "have Qdrant fetch it itself; with --collection; s3://BUCKET/KEY: this object; -: read it from standard "
     "input",
     FLAG_TEXT, RESTORE, AT(restore.location)},
    {"--checksum", "SHA256", "what --location must give", FLAG_TEXT, RESTORE, AT(restore.checksum)},
    {"--primary", "DIR",
     "compare with the first Region's EFS, mounted there; else with the heartbeats that arrived", FLAG_TEXT,
     REPLICA, AT(replica.primary)},
    {"--verify", NULL, "read every byte of each recovery point", FLAG_ON, REPLICA, AT(replica.verify)},
    {"--file-system", "ID", "and ask AWS how far EFS replication is", FLAG_TEXT, REPLICA | CHECK,
     AT(replica.file_system)},
    {"--rpo", "AGE",
     "how old the newest may be, as in 30m, or seconds; else as the heartbeats say, else RPO_SECONDS",
     FLAG_RPO, REPLICA | STATUS, AT(replica.rpo)},
};
const size_t n_flags = sizeof flags / sizeof *flags;

size_t command_operands(const struct command *c)
{
    const char *space = c->operand ? strchr(c->operand, ' ') : NULL;
    return c->operand ? 1U + (space != NULL) : 0;
}

const struct command *command_find(const char *name)
{
    for (size_t i = 0; i < n_commands; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

void command_names(int bits, char *out, size_t size)
{
    size_t left = 0, n = 0;
    for (size_t i = 0; i < n_commands; i++)
        left += (commands[i].bit & bits) != 0;
    *out = 0;
    for (size_t i = 0; i < n_commands && n < size; i++)
        if (commands[i].bit & bits) {
            left--;
            n += (size_t)snprintf(out + n, size - n, "%s%s", commands[i].name,
                                  left > 1    ? ", "
                                  : left == 1 ? " or "
                                              : "");
        }
}

const struct flag *flag_find(const char *name, size_t n, int bits)
{
    const struct flag *other = NULL;
    for (size_t i = 0; i < n_flags; i++)
        if (strlen(flags[i].name) == n && strncmp(flags[i].name, name, n) == 0) {
            if (flags[i].commands & bits)
                return &flags[i];
            other = &flags[i];
        }
    return other;
}

int flag_commands(const char *name)
{
    int bits = 0;
    for (size_t i = 0; i < n_flags; i++)
        bits |= strcmp(flags[i].name, name) == 0 ? flags[i].commands : 0;
    return bits;
}
