#include "replicator/cluster/start_command.h"
#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/files.h"
#include "common/base/listens.h"
#include "common/base/storage_state.h"
#include "common/base/thread.h"
#include "common/log.h"
#include "efs/repo/mount.h"
#include "efs/repo/settings.h"
#include "qdrant/cluster.h"
#include "qdrant/config_files.h"
#include "qdrant/raft_state.h"
#include "replicator/cluster/addresses.h"
#include "replicator/cluster/start_rule.h"
#include "replicator/core/options.h"
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

/* Milliseconds. OLD: what EFS told then is not known any more. COUNT: to count a lost node's shards again.
 * NAME: for so long after the start a name that is not known yet may be this node's. LISTEN: a port takes a
 * connection by then. SEEN: how long to wait for a leader after the start before that is said. */
enum {
    LOOK_MS = 1000,
    OLD_MS = 15000,
    SAY_AGAIN_MS = 60000,
    COUNT_MS = 15000,
    NAME_MS = 30000,
    LISTEN_MS = 1000,
    SEEN_MS = 600000,
    P2P_PORT = 6335,
    TOKEN_BYTES = 16,
};
static const char TOKEN_FILE[] = ".cluster-token";

enum wish { WISH_NOTHING, WISH_CLAIM, WISH_TELL };
struct starter {
    struct settings settings;
    struct qdrant_settings qdrant_settings;
    struct key *key;
    const char *list, *given, *word; /* QDRANT_CLUSTER_DNS, QDRANT_URI, QDRANT_CLUSTER_FOUND */
    struct cluster_port port;
    char storage[PATH_MAX];
    char token[2 * TOKEN_BYTES + 1];
    struct raft_state raft;
    struct start_facts facts;
    struct cluster_addresses addresses;
    struct cluster_meeting meeting; /* with the peer that takes members */
    unsigned replicas;              /* of the lost node at our address ... */
    int64_t counted;                /* ... as counted then; 0: never */
    char trouble[600];              /* what one said that cannot take us */
    unsigned asked;                 /* addresses in the last look */
    int64_t begun, heard;           /* when this began, and when anybody answered last */
    enum start_what said;
    int64_t said_at;
    pthread_mutex_t mutex; /* for all below, which the thread on EFS fills */
    enum wish wish;        /* what it is to try */
    struct founding founding;
    int64_t looked; /* when it asked for that; 0: never */
    char efs_trouble[600];
    char own[300]; /* as addresses.own */
};

/* --- settings */

static int read_word(struct starter *s, struct err *e)
{
    s->word = config_env("QDRANT_CLUSTER_FOUND", "");
    s->facts.word = *s->word != 0;
    return *s->word ? config_word("QDRANT_CLUSTER_FOUND", s->word, e) : 0;
}

static int read_settings(struct starter *s, struct err *e)
{
    unsigned given = listens_port(config_env("QDRANT__CLUSTER__P2P__PORT", ""));
    if (config_files_apply(e) != 0 || settings_read(&s->settings, e) != 0 ||
        qdrant_settings_read(&s->qdrant_settings, e) != 0 || options_storage(s->storage, e) != 0 ||
        read_word(s, e) != 0)
        return -1;
    s->list = config_env("QDRANT_CLUSTER_DNS", "");
    s->given = config_env("QDRANT_URI", "");
    if (!*s->list)
        return err_set(e, EINVAL, "QDRANT_CLUSTER_DNS is not set", NULL,
                       "give the names or addresses of the nodes, such as qdrant-0,qdrant-1,qdrant-2");
    if (*s->given && (strlen(s->given) >= sizeof s->own || !cluster_uri_allowed(s->given)))
        return config_wrong(e, "QDRANT_URI", s->given, "this node's address, such as http://qdrant-0:6335");
    s->port.port = given > 0 ? given : P2P_PORT;
    s->port.tls = listens_true(config_env("QDRANT__CLUSTER__P2P__ENABLE_TLS", "false"));
    return 0;
}

/* --- this disk */

/* Of the disk, for as long as it lives. */
static int take_token(struct starter *s, struct err *e)
{
    unsigned char raw[TOKEN_BYTES];
    char path[PATH_MAX];
    struct err why = {0};
    if (files_join(path, sizeof path, s->storage, TOKEN_FILE, e) != 0)
        return -1;
    cleanup_free char *text = files_get(path, 2 * TOKEN_BYTES, &why);
    if (text && strlen(text) == 2 * TOKEN_BYTES) {
        (void)snprintf(s->token, sizeof s->token, "%s", text);
        return 0;
    }
    if (getrandom(raw, sizeof raw, 0) != (ssize_t)sizeof raw)
        return err_set(e, errno, "cannot make a token for", path, NULL);
    for (size_t i = 0; i < sizeof raw; i++)
        (void)snprintf(s->token + 2 * i, 3, "%02x", raw[i]);
    if (mkdir(s->storage, 0755) != 0 && errno != EEXIST)
        return err_set(e, errno, "cannot make Qdrant's folder", s->storage, NULL);
    return files_put(s->storage, TOKEN_FILE, s->token, e);
}

static int look_at_disk(struct starter *s, struct err *e)
{
    if (raft_state_read(s->storage, &s->raft, e) != 0)
        return -1;
    int has = s->raft.member ? 0 : storage_has_collections(s->storage);
    if (has < 0)
        return err_set(e, errno, "cannot look into Qdrant's folder", s->storage, NULL);
    s->facts.disk = s->raft.member ? START_DISK_MEMBER : has ? START_DISK_ALONE : START_DISK_EMPTY;
    return 0;
}

/* A start that came to nothing leaves a state that holds Qdrant to it: as a founder, or as one that joins. On
 * a disk without a collection nothing hangs on it, nor on the log beside it. */
static int clear_disk(const struct starter *s, bool founds, struct err *e)
{
    char path[PATH_MAX], wal[PATH_MAX];
    if (!s->raft.there || s->raft.alone == founds)
        return 0;
    if (files_join(path, sizeof path, s->storage, "raft_state.json", e) != 0 ||
        files_join(wal, sizeof wal, s->storage, "collections_meta_wal", e) != 0)
        return -1;
    if (s->facts.disk != START_DISK_EMPTY)
        return err_set(e, 0, "there are collections, and this state cannot found a cluster:", path,
                       "start Qdrant without QDRANT_CLUSTER_DNS, back them up, and begin with an empty disk");
    if (unlink(path) != 0 && errno != ENOENT)
        return err_set(e, errno, "cannot delete", path, NULL);
    return files_remove_dir(wal, e);
}

/* --- peers */

/* Of a Qdrant that cannot be reached, or does not answer in time, its other port may tell that it is there.
 */
static bool is_there(const char *uri, const struct err *e)
{
    return (e->code != ECONNREFUSED && e->code != ETIMEDOUT && e->code != ECANCELED) ||
           cluster_address_listens(uri, LISTEN_MS);
}

/* Is the member at our address one with shards? Counted now and then: each count asks for each collection. */
static int look_at_taken(struct starter *s, struct qdrant *q, const struct cluster_meeting *m, struct err *e)
{
    s->facts.taken = false;
    if (!m->taken[0])
        return 0;
    if (s->counted == 0 || clock_ms() >= s->counted + COUNT_MS || strcmp(s->meeting.taken, m->taken) != 0) {
        if (cluster_replicas(q, m->taken, &s->replicas, e) != 0)
            return -1;
        s->counted = clock_ms();
    }
    s->facts.taken = s->replicas > 0;
    return 0;
}

static void note(struct starter *s, const char *uri, const char *what)
{
    s->facts.answers = true;
    if (!s->trouble[0])
        (void)snprintf(s->trouble, sizeof s->trouble, "%.299s %.290s", uri, what);
}

static void meet(struct starter *s, const char *uri)
{
    struct qdrant_settings there = s->qdrant_settings;
    struct cluster_meeting m;
    struct err e = {0};
    s->asked++;
    if (!qdrant_url_at(s->qdrant_settings.url, uri, there.url, sizeof there.url))
        return note(s, uri, "cannot be asked: its address is too long");
    struct qdrant *q = qdrant_new(&there, s->key, NULL);
    int rc = q ? cluster_meet(q, s->addresses.own, s->raft.peer_id, &m, &e) : -1;
    if (rc == 0 && m.same) {
        s->facts.same = true;
        note(s, uri, "says that it is at this node's own address");
    } else if (rc == 0 && m.joinable) {
        rc = look_at_taken(s, q, &m, &e);
        s->facts.leader = rc == 0;
        s->facts.answers = true;
        s->meeting = m;
    } else if (rc == 0) {
        note(s, uri, m.trouble);
    }
    qdrant_free(q);
    explicit_bzero(&there, sizeof there);
    if (rc != 0 && is_there(uri, &e))
        note(s, uri, e.text);
}

/* Which of them is asked first is this process's own: one that is joined in vain is not always the first. */
static int look_at_peers(struct starter *s, struct err *e)
{
    struct cluster_addresses *a = &s->addresses;
    if (cluster_addresses_find(s->list, s->given, &s->port, a, e) != 0)
        return -1;
    bool early = clock_ms() < s->begun + NAME_MS;
    s->facts.addressed = a->own[0] && !(a->guessed && a->unknown[0] && strchr(s->list, ',') && early);
    s->facts.leader = s->facts.answers = s->facts.taken = s->facts.same = false;
    s->trouble[0] = 0;
    s->asked = 0;
    for (size_t i = 0, first = (size_t)getpid(); i < a->n && !s->facts.leader && !s->facts.same; i++) {
        const struct cluster_address *one = &a->v[(first + i) % a->n];
        if (!one->own)
            meet(s, one->uri);
    }
    if (a->silent[0])
        note(s, a->silent, "may be a node: the resolver does not tell");
    if (s->facts.answers)
        s->heard = clock_ms();
    s->facts.silent_ms = clock_ms() - s->heard;
    return 0;
}

/* --- who may found */

static struct founder founder_of(const struct starter *s, const char *own)
{
    return (struct founder){.root = s->settings.efs_root,
                            .tier = s->settings.tier,
                            .word = s->word,
                            .token = s->token,
                            .node = s->settings.node,
                            .uri = own};
}

static enum wish wish_of(struct starter *s, char own[300])
{
    (void)pthread_mutex_lock(&s->mutex);
    enum wish wish = s->wish;
    memcpy(own, s->own, 300);
    (void)pthread_mutex_unlock(&s->mutex);
    return wish;
}

/* One step towards founding, where that is what the other thread waits for, and one look after it. */
static int take_step(struct starter *s, struct founding *found, struct err *e)
{
    char own[300];
    enum wish wish = wish_of(s, own);
    struct founder me = founder_of(s, own);
    int rc = 0;
    bool may_claim = found->state == FOUNDING_FREE || found->state == FOUNDING_LEFT;
    if (wish == WISH_CLAIM && may_claim) {
        rc = founding_claim(&me, found, e);
        if (rc == 0)
            log_line(LOG_INFO, "cluster_claimed", "this node has the claim to found the cluster, number %u",
                     found->n + 1);
    } else if (wish == WISH_TELL && found->state == FOUNDING_OURS) {
        rc = founding_tell(&me, found, e);
    } else {
        return 0;
    }
    return rc < 0 ? -1 : founding_look(&me, found, e);
}

/* What took long was true when it was asked for, if ever. */
static void ask_efs(struct starter *s)
{
    struct err e = {0};
    char own[300];
    int64_t begun = clock_ms();
    (void)wish_of(s, own);
    struct founder me = founder_of(s, own);
    struct founding found = {0};
    int rc = mount_efs_is_local(&s->settings) ? err_set(&e, 0, "EFS is not mounted at", s->settings.efs_root,
                                                        "EFS_ALLOW_LOCAL=1 allows a local folder")
                                              : founding_look(&me, &found, &e);
    if (rc == 0 && clock_ms() < begun + OLD_MS)
        rc = take_step(s, &found, &e);
    (void)pthread_mutex_lock(&s->mutex);
    s->founding = rc == 0 ? found : (struct founding){0};
    s->looked = begun;
    (void)snprintf(s->efs_trouble, sizeof s->efs_trouble, "%.599s", rc == 0 ? "" : e.text);
    (void)pthread_mutex_unlock(&s->mutex);
}

static void *efs_loop(void *arg)
{
    struct starter *s = arg;
    for (;;) {
        ask_efs(s);
        clock_sleep(LOOK_MS);
    }
    return NULL;
}

static void begin_efs(struct starter *s)
{
    pthread_t thread;
    (void)snprintf(s->efs_trouble, sizeof s->efs_trouble, "%s",
                   s->settings.efs_root[0]
                       ? "it has not answered yet"
                       : "EFS_ROOT is not set; set it on all nodes, to where EFS is mounted");
    if (s->settings.efs_root[0] && thread_start(&thread, "efs-claim", efs_loop, s) != 0)
        (void)snprintf(s->efs_trouble, sizeof s->efs_trouble, "there is no thread left for it");
}

/* The thread's news, and what it is to try. What it told a while ago counts no more: a claim grows old. */
static void exchange(struct starter *s, enum wish wish, struct founding *found, char trouble[600])
{
    (void)pthread_mutex_lock(&s->mutex);
    int64_t age = clock_ms() - s->looked;
    s->wish = wish;
    memcpy(s->own, s->addresses.own, sizeof s->own);
    *found = age < OLD_MS ? s->founding : (struct founding){0};
    (void)snprintf(trouble, 600, "%s", s->efs_trouble);
    if (age >= OLD_MS && s->looked > 0)
        (void)snprintf(trouble, 600, "it has not answered for %lld s", (long long)(age / 1000));
    (void)pthread_mutex_unlock(&s->mutex);
    s->facts.claim = found->state;
}

/* --- telling */

/* What nobody answers to, for people. */
static void silence(const struct starter *s, char out[400])
{
    int n = snprintf(out, 400, "none of %u addresses answers", s->asked);
    if (s->addresses.unknown[0])
        (void)snprintf(out + n, 400 - (size_t)n, ", and nobody knows the name %.255s", s->addresses.unknown);
}

static const char ALL_LOST[] = "docker/RUNBOOK.md, \"All nodes of a cluster are lost\"";

static void say_record(const struct starter *s, enum start_what what, const struct founding *f)
{
    char nobody[400];
    const char *node = f->node[0] ? f->node : "a node";
    silence(s, nobody);
    if (what == START_WAIT_USED)
        log_line(LOG_ERROR, "cluster_waits",
                 "Qdrant is not started yet: %s, and QDRANT_CLUSTER_FOUND=%s was used before: it founds "
                 "nothing more. If "
                 "the cluster is lost, set another word, on all nodes: %s",
                 nobody, s->word, ALL_LOST);
    else if (what == START_WAIT_MAYBE)
        log_line(LOG_ERROR, "cluster_waits",
                 "Qdrant is not started yet: %s. %s (%s) was to found the cluster, number %u, at %s, and "
                 "nobody has left "
                 "that it did. If it did not, or its cluster is lost, set QDRANT_CLUSTER_FOUND to a new "
                 "word, on all nodes: %s",
                 nobody, node, f->uri, f->n, f->when, ALL_LOST);
    else if (f->n > 0)
        log_line(LOG_WARN, "cluster_waits",
                 "Qdrant is not started yet: %s, and a cluster is on record (number %u, founded by %s at "
                 "%s), beside which "
                 "no second one is founded. Its nodes may be starting. If all of them are lost, set "
                 "QDRANT_CLUSTER_FOUND to "
                 "a new word, on all nodes: %s",
                 nobody, f->n, node, f->when, ALL_LOST);
    else
        log_line(LOG_WARN, "cluster_waits",
                 "Qdrant is not started yet: %s, and EFS has backups of a cluster or node of TIER %s, beside "
                 "which none is "
                 "founded by itself. If this is to be the first cluster of it, or all nodes are lost, set "
                 "QDRANT_CLUSTER_FOUND to a word, on all nodes: %s",
                 nobody, s->settings.tier, ALL_LOST);
}

static void say_peer(const struct starter *s, enum start_what what)
{
    const char *own = s->addresses.own;
    if (what == START_WAIT_TAKEN)
        log_line(LOG_ERROR, "cluster_waits",
                 "Qdrant is not started yet: the cluster's peer %s has this node's address %s and %u "
                 "replicas of shards; "
                 "it is a node that was lost. This node joins when that peer has none: docker/RUNBOOK.md, "
                 "\"A node of a "
                 "cluster is lost\"",
                 s->meeting.taken, own, s->replicas);
    else if (what == START_WAIT_ALONE)
        log_line(
            LOG_ERROR, "cluster_waits",
            "Qdrant is not started: its disk has collections of a Qdrant without a cluster, and there is a "
            "cluster at %s already, which would not have them. Back them up, empty %s, and restore them into "
            "the cluster; or take this node out of QDRANT_CLUSTER_DNS",
            s->meeting.uri, s->storage);
    else if (what == START_WAIT_SAME)
        log_line(LOG_ERROR, "cluster_waits",
                 "Qdrant is not started: %s (%s). Each node needs an address of its own, at which the others "
                 "reach "
                 "it: set QDRANT_URI on each",
                 s->trouble, own);
    else
        log_line(LOG_WARN, "cluster_waits", "Qdrant is not started yet: %s", s->trouble);
}

static void say_wait(struct starter *s, enum start_what what, const struct founding *found, const char *efs)
{
    char nobody[400];
    int64_t now = clock_ms();
    bool soon = what == START_WAIT_SETTLE || what < START_WAIT_ADDRESS ||
                (what == START_WAIT_ADDRESS && s->addresses.own[0]);
    if (soon || (what == s->said && now < s->said_at + SAY_AGAIN_MS))
        return;
    s->said = what;
    s->said_at = now;
    silence(s, nobody);
    if (what == START_WAIT_ADDRESS)
        log_line(LOG_WARN, "cluster_waits",
                 "Qdrant is not started yet: this machine has no address that other nodes could reach; set "
                 "QDRANT_URI "
                 "to this node's, such as http://qdrant-0:6335");
    else if (what == START_WAIT_EFS)
        log_line(
            LOG_ERROR, "cluster_waits",
            "Qdrant is not started yet: %s, and EFS, which has who may found a cluster, does not tell: %s",
            nobody, efs);
    else if (what == START_WAIT_FOUNDER)
        log_line(LOG_INFO, "cluster_waits", "Qdrant is not started yet: %s founds the cluster (%s)",
                 found->node[0] ? found->node : "another node", found->uri);
    else if (what == START_WAIT_PEERS || what == START_WAIT_MAYBE || what == START_WAIT_USED)
        say_record(s, what, found);
    else
        say_peer(s, what);
}

static int tell(struct starter *s, enum start_what what, struct err *e)
{
    const char *own = s->addresses.own;
    if (what == START_JOIN) {
        if (clear_disk(s, false, e) != 0)
            return -1;
        log_line(LOG_INFO, "cluster_joins", "this node, %s, joins the cluster of %s", own, s->meeting.uri);
        (void)printf("join %s %s\n", own, s->meeting.uri);
    } else if (what == START_FOUND) {
        if (clear_disk(s, true, e) != 0)
            return -1;
        log_line(LOG_WARN, "cluster_founds",
                 "this node, %s, founds a cluster: none of %u addresses answers, and it has the claim", own,
                 s->asked);
        (void)printf("found %s\n", own);
    } else {
        log_line(LOG_INFO, "cluster_starts",
                 "this node starts with the part in a cluster that its disk has%s%s", *own ? ", as " : "",
                 own);
        (void)printf("run%s%s\n", *own ? " " : "", own);
    }
    return fflush(stdout) == 0 ? 0 : err_set(e, errno, "cannot tell the entrypoint", NULL, NULL);
}

/* With a disk that has its part nothing is waited for: what its peers know of it is asked of nobody, unless
 * it is an address that this machine has no more. */
static void find_run_address(struct starter *s)
{
    struct err ignored;
    if (*s->given)
        (void)snprintf(s->addresses.own, sizeof s->addresses.own, "%s", s->given);
    else if (s->raft.uri[0] && cluster_address_stays(s->raft.uri))
        (void)snprintf(s->addresses.own, sizeof s->addresses.own, "%s", s->raft.uri);
    else
        (void)cluster_addresses_find(s->list, "", &s->port, &s->addresses, &ignored);
    if (s->raft.uri[0] && s->addresses.own[0] && !cluster_same_uri(s->raft.uri, s->addresses.own))
        log_line(LOG_WARN, "cluster_address",
                 "this node was at %s and is at %s: Qdrant tells the peers that it knows. Where all nodes "
                 "have new "
                 "addresses at once, none finds another, and each ends with 101: docs/cluster-start.md, "
                 "\"Addresses\"",
                 s->raft.uri, s->addresses.own);
}

/* Until it is right to start. -1: a setting is wrong. */
static int decide(struct starter *s, enum start_what *what, struct err *e)
{
    struct founding found = {0};
    char efs[600] = "";
    enum wish wish = WISH_NOTHING;
    if (s->facts.disk == START_DISK_MEMBER) {
        find_run_address(s);
        *what = START_RUN;
        return 0;
    }
    begin_efs(s);
    for (;; clock_sleep(LOOK_MS)) {
        if (look_at_peers(s, e) != 0)
            return -1;
        exchange(s, wish, &found, efs); /* afterwards: that takes its time */
        *what = start_decide(&s->facts);
        wish = *what == START_CLAIM ? WISH_CLAIM : *what == START_TELL ? WISH_TELL : WISH_NOTHING;
        if (*what < START_WAIT_ADDRESS && wish == WISH_NOTHING)
            break;
        say_wait(s, *what, &found, efs);
    }
    exchange(s, WISH_NOTHING, &found, efs);
    return 0;
}

/* --- afterwards */

static bool await_leader(struct starter *s, char peer[24])
{
    struct qdrant *q = qdrant_new(&s->qdrant_settings, s->key, NULL);
    struct cluster_meeting own = {0};
    struct err e = {0};
    bool said = false;
    for (int64_t late = clock_ms() + SEEN_MS; q; clock_sleep(2 * LOOK_MS)) {
        if (cluster_meet(q, "", "", &own, &e) == 0 && own.joinable)
            break;
        if (!said && clock_ms() >= late)
            log_line(LOG_WARN, "cluster_record",
                     "this node's Qdrant has not told of a leader for %d minutes%s%s; until it does, EFS "
                     "does not have "
                     "that the cluster is there",
                     SEEN_MS / 60000, e.text[0] ? ": " : "", e.text);
        said = said || clock_ms() >= late;
    }
    (void)snprintf(peer, 24, "%s", own.id);
    bool asked = q != NULL;
    qdrant_free(q);
    return asked;
}

/* Whichever way it started: a cluster that has a leader is on record from now on, and the word is used. */
static void leave_record(struct starter *s)
{
    char peer[24];
    if (!s->settings.efs_root[0] || !await_leader(s, peer))
        return;
    struct founder me = founder_of(s, s->addresses.own);
    for (bool said = false;; said = true, clock_sleep(SAY_AGAIN_MS / 2)) {
        struct err e = {0};
        int rc = mount_efs_is_local(&s->settings) ? err_set(&e, 0, "EFS is not mounted at", me.root, NULL)
                                                  : founding_seen(&me, peer, &e);
        if (rc == 0)
            return;
        if (!said)
            log_line(LOG_ERROR, "cluster_record",
                     "that the cluster is there cannot be left on EFS: %s; it is tried again", e.text);
    }
}

int start_command_run(void)
{
    static struct starter s; /* the thread on EFS may outlive main */
    struct err e = {0};
    enum start_what what = START_WHATS;
    int rc = read_settings(&s, &e);
    log_open("qdrant-replicator", s.settings.log_level, s.settings.log_text);
    if (rc != 0) {
        log_line(LOG_ERROR, "wrong_setting", "%s", e.text);
        log_close();
        return EXIT_SETTING;
    }
    s.said = START_WHATS;
    s.begun = s.heard = clock_ms();
    bool good = curl_global_init(CURL_GLOBAL_DEFAULT) == 0 && pthread_mutex_init(&s.mutex, NULL) == 0 &&
                (s.key = key_new(&s.qdrant_settings, NULL));
    if (!good)
        (void)err_set(&e, ENOMEM, "cannot start", NULL, NULL);
    if (good)
        good = look_at_disk(&s, &e) == 0 && (s.raft.member || take_token(&s, &e) == 0);
    if (good && decide(&s, &what, &e) != 0) {
        log_line(LOG_ERROR, "wrong_setting", "%s", e.text);
        log_close();
        _exit(EXIT_SETTING);
    }
    if (!good || tell(&s, what, &e) != 0) {
        log_line(LOG_ERROR, "cluster_start_failed", "%s; it is tried again", e.text);
        log_close();
        _exit(1);
    }
    leave_record(&s);
    log_close();
    _exit(0);
}
