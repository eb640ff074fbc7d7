/* What has to be in a snapshot is what Qdrant's Collection::restore_snapshot and tar_unpack look for
 * (1.18.2): members are files, folders or sparse files; config.json, version.info; for each shard of the
 * collection, also those of other nodes, N/shard_config.json; and where a shard is local, its segments, each
 * a tar of its own. */
#include "efs/verify/archive.h"
#include "common/base/cleanup.h"
#include "common/base/string_list.h"
#include "common/archive.h"
#include "common/json.h"
#include "qdrant/cluster.h"
#include "qdrant/storage_names.h"
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
    BLOCK = 512,
    CHUNK = 1 << 18,
    JSON_LIMIT = 1 << 20, /* the largest small file is a list of shard keys or payload indexes; cJSON takes 40
                             times as much for what is made to take much */
    MEMBERS_MAX = 1 << 22, /* of one tar */
    VERSION_LIMIT = 64,
    SHARDS_MAX = 65536,
    DEFECTS_MAX = 20,
    WHERE = 1024,
};
#define HOLES_MAX (64LL << 30) /* Qdrant's tars inside have none; this many zeros is somebody's trap */

struct shard {
    unsigned long id;
    bool config, state, local;
    char replica[32]; /* the state of this node's replica, or empty */
    unsigned segments;
};
/* What was seen of one collection or shard snapshot. */
struct seen {
    bool version, config, custom, one_shard; /* one_shard: a shard's snapshot, without "N/" in front */
    unsigned long shard_number;
    struct shard *shards;
    size_t n;
    cJSON *configuration, *segment; /* for whoever wants to compare */
    struct shards told;             /* of all shards, for the manifest */
};
static void seen_free(struct seen *s)
{
    free(s->shards);
    cJSON_Delete(s->configuration);
    cJSON_Delete(s->segment);
    shards_free(&s->told);
}
#define cleanup_seen __attribute__((cleanup(seen_free)))

struct deep {
    char *text; /* the defects, a line each */
    size_t length, defects;
    bool broken;        /* the backup's own bytes ended badly, which is said: what follows from that is not */
    bool light;         /* only the shards' states are wanted */
    struct err hostile; /* the first name in a snapshot of the whole storage that is not to be there */
    const atomic_bool *stop;
    struct archive_found *found; /* where to put what was found; may be NULL */
};

static void defect(struct deep *d, const char *where, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void defect(struct deep *d, const char *where, const char *fmt, ...)
{
    char line[WHERE + 512], what[400];
    va_list ap;
    if (d->broken)
        return;
    va_start(ap, fmt);
    (void)vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    if (++d->defects > DEFECTS_MAX)
        return;
    int n = snprintf(line, sizeof line, "%s%s%s%s", d->length ? "\n" : "", where, *where ? ": " : "", what);
    char *text = n > 0 ? realloc(d->text, d->length + (size_t)n + 1) : NULL;
    if (!text)
        return; /* it is counted */
    memcpy(text + d->length, line, (size_t)n + 1);
    d->text = text;
    d->length += (size_t)n;
}

/* --- tars, one inside the other */

/* Where the bytes of a tar come from: the backup, or a member of another tar. */
struct feed {
    struct deep *deep;
    struct backup_reader *stream;
    const char *path; /* of the file `fd`; NULL: from one of the others */
    int fd;
    struct archive *outer;
    bool bare; /* without a mark of its end, as Qdrant writes the tars of segments into its own */
    char *buf;
    const char *block; /* of `outer`: what libarchive gave, and was not taken yet */
    size_t block_size;
    la_int64_t at, given, holes;
    bool ended;
    uint64_t total, zeros; /* bytes so far, and how many zeros they end with */
    struct err failed;
};

static void count_zeros(struct feed *f, const char *data, size_t n)
{
    size_t i = n;
    while (i > 0 && data[i - 1] == 0)
        i--;
    f->zeros = i == 0 ? f->zeros + n : n - i;
    f->total += n;
}

static int next_block(struct feed *f)
{
    const void *data = NULL;
    size_t n = 0;
    int rc = archive_read_data_block(f->outer, &data, &n, &f->at);
    if (rc != ARCHIVE_OK && rc != ARCHIVE_EOF)
        return err_set(&f->failed, 0, "cut short, or damaged", NULL, NULL);
    f->ended = rc == ARCHIVE_EOF; /* a hole at the end may come with it */
    if (f->at > f->given && (f->holes += f->at - f->given) > HOLES_MAX)
        return err_set(&f->failed, 0, "a tar with huge holes", NULL, NULL);
    f->block = data;
    f->block_size = f->ended ? 0 : n;
    return 0;
}

/* From a member: its blocks, and zeros for the holes between them. */
static ssize_t member_bytes(struct feed *f, const char **out)
{
    while (!f->ended && f->block_size == 0 && f->at <= f->given)
        if (next_block(f) != 0)
            return -1;
    size_t n = f->block_size;
    if (f->at > f->given) {
        n = f->at - f->given < CHUNK ? (size_t)(f->at - f->given) : CHUNK;
        memset(f->buf, 0, n);
        *out = f->buf;
    } else {
        *out = f->block;
        f->block_size = 0;
    }
    f->given += (la_int64_t)n;
    if (f->block_size == 0 && f->at < f->given)
        f->at = f->given;
    return (ssize_t)n;
}

static ssize_t file_bytes(struct feed *f)
{
    if (f->deep->stop && atomic_load(f->deep->stop))
        return err_set(&f->failed, ECANCELED, "stopped checking", f->path, NULL);
    ssize_t n;
    do
        n = read(f->fd, f->buf, CHUNK);
    while (n < 0 && errno == EINTR);
    return n < 0 ? err_set(&f->failed, errno, "cannot read", f->path, NULL) : n;
}

static la_ssize_t feed_read(struct archive *a, void *arg, const void **out)
{
    struct feed *f = arg;
    const char *data = f->buf;
    ssize_t n = f->failed.text[0] ? -1
                : f->stream       ? backup_reader_read(f->stream, f->buf, CHUNK, &f->failed)
                : f->path         ? file_bytes(f)
                                  : member_bytes(f, &data);
    if (n < 0) {
        if (f->stream || f->path) {
            defect(f->deep, "", "%.390s", f->failed.text);
            f->deep->broken = true;
        }
        archive_set_error(a, EIO, "%s", f->failed.text);
        return ARCHIVE_FATAL;
    }
    count_zeros(f, data, (size_t)n);
    *out = data;
    return n;
}

/* What is not wanted need not be read. A file that cannot seek is read all the same. */
static la_int64_t feed_skip(struct archive *a, void *arg, la_int64_t n)
{
    struct feed *f = arg;
    (void)a;
    off_t at = f->path ? lseek(f->fd, 0, SEEK_CUR) : -1, end = at >= 0 ? lseek(f->fd, 0, SEEK_END) : -1;
    if (at < 0 || end < 0)
        return 0;
    n = n < end - at ? n : end - at; /* no further than the file goes */
    return lseek(f->fd, at + n, SEEK_SET) == at + n ? n : ARCHIVE_FATAL;
}

/* Read, not skipped: a member is only whole when its bytes are there. Holes cost nothing. */
static bool read_through(struct archive *a)
{
    const void *data;
    size_t n;
    la_int64_t at;
    int rc;
    do
        rc = archive_read_data_block(a, &data, &n, &at);
    while (rc == ARCHIVE_OK);
    return rc == ARCHIVE_EOF;
}

/* Down to the end, for the hashes. Libarchive stops at the mark that ends a tar, and does without one: a tar
 * that was cut between two members would pass for whole. */
static bool to_the_end(struct archive *a, struct feed *f)
{
    const void *ignored;
    while (!f->failed.text[0] && feed_read(a, f, &ignored) > 0)
        ;
    return !f->failed.text[0] && f->total % BLOCK == 0 && (f->bare || f->zeros >= (size_t)2 * BLOCK);
}

/* One member of a tar: read it, or leave it to be read through. */
typedef void member(struct deep *d, const char *where, const char *path, struct archive *a, void *arg);

static bool safe(const char *path)
{
    for (const char *p = path; p; p = strchr(p, '/') ? strchr(p, '/') + 1 : NULL)
        if (strncmp(p, "..", 2) == 0 && (!p[2] || p[2] == '/'))
            return false;
    return *path && *path != '/';
}

static void one_member(struct deep *d, const char *where, struct archive *a, struct archive_entry *entry,
                       member *take, void *arg)
{
    char at[WHERE];
    const char *path = archive_entry_pathname(entry);
    mode_t type = archive_entry_filetype(entry);
    while (path && strncmp(path, "./", 2) == 0)
        path += 2;
    (void)snprintf(at, sizeof at, "%s%s%s", where, *where ? "/" : "", path ? path : "?");
    if (path && !*path && type == AE_IFDIR)
        return; /* "./" */
    if (!path || !safe(path))
        defect(d, at, "a path that climbs out of its folder");
    else if ((type != AE_IFREG && type != AE_IFDIR) || archive_entry_hardlink(entry))
        defect(d, at, "neither a file nor a folder: Qdrant refuses it");
    else if (type == AE_IFREG)
        take(d, at, path, a, arg);
    if (d->light ? archive_read_data_skip(a) != ARCHIVE_OK : !read_through(a))
        defect(d, at, "cut short, or damaged");
}

/* Was all of it read? Else there is a defect. */
static bool walk(struct deep *d, const char *where, struct feed *f, member *take, void *arg)
{
    cleanup_archive struct archive *a = archive_read_new();
    cleanup_free char *buf = malloc(CHUNK);
    struct archive_entry *entry;
    int rc = ARCHIVE_FATAL;
    unsigned members = 0;
    f->deep = d;
    f->buf = buf;
    if (!a || !buf)
        return defect(d, where, "not checked: no memory"), false;
    if (archive_read_support_format_tar(a) == ARCHIVE_OK &&
        archive_read_open2(a, f, NULL, feed_read, d->light && f->path ? feed_skip : NULL, NULL) == ARCHIVE_OK)
        while (members++ < MEMBERS_MAX && (rc = archive_read_next_header(a, &entry)) == ARCHIVE_OK)
            one_member(d, where, a, entry, take, arg);
    bool whole = (d->light || to_the_end(a, f)) && rc == ARCHIVE_EOF;
    if (!whole)
        defect(d, where, "%s",
               f->failed.text[0]                   ? f->failed.text
               : rc == ARCHIVE_EOF && f->total > 0 ? "a tar without its end: it was cut short"
               : rc == ARCHIVE_OK                  ? "more members than any snapshot has"
                                                   : "not a whole tar");
    return whole;
}

/* A small file as text, NULL with a defect. Caller frees. */
static char *small_file(struct deep *d, const char *where, struct archive *a, size_t max)
{
    char *text = malloc(CHUNK), *grown;
    size_t n = 0, size = CHUNK;
    la_ssize_t got = 0;
    while (text && n <= max && (got = archive_read_data(a, text + n, size - n - 1)) > 0) {
        n += (size_t)got;
        if (n + 1 < size)
            continue;
        grown = realloc(text, size * 2);
        if (!grown)
            break;
        text = grown;
        size *= 2;
    }
    if (text && got == 0 && n <= max) {
        text[n] = 0;
        return text;
    }
    free(text);
    defect(d, where, got < 0 ? "cut short, or damaged" : "larger than any that makes sense");
    return NULL;
}

/* --- the files */

static cJSON *json_of(struct deep *d, const char *where, struct archive *a, size_t max)
{
    cleanup_free char *text = small_file(d, where, a, max);
    cJSON *o = text ? cJSON_ParseWithOpts(text, NULL, 1) : NULL;
    if (text && !o)
        defect(d, where, "no JSON");
    return o;
}

static cJSON *json(struct deep *d, const char *where, struct archive *a)
{
    return json_of(d, where, a, JSON_LIMIT);
}

static void check_json(struct deep *d, const char *where, struct archive *a)
{
    cJSON_Delete(json(d, where, a));
}

/* "0.4.2", and what semver allows behind it. */
static void check_version(struct deep *d, const char *where, struct archive *a)
{
    cleanup_free char *text = small_file(d, where, a, VERSION_LIMIT);
    const char *p = text;
    if (!text)
        return;
    for (int part = 0; part < 3; part++) {
        size_t digits = strspn(p, "0123456789");
        if (digits == 0 || (part < 2 && p[digits] != '.'))
            return defect(d, where, "no version");
        p += digits + (part < 2);
    }
    if (*p && !strchr("-+\n", *p))
        defect(d, where, "no version");
}

static void check_config(struct deep *d, const char *where, struct archive *a, struct seen *s)
{
    cJSON *o = json(d, where, a);
    if (!json_copy(o, "uuid", s->told.uuid, sizeof s->told.uuid))
        s->told.uuid[0] = 0; /* an older Qdrant's has none */
    const cJSON *params = json_member(o, "params"), *number = json_member(params, "shard_number");
    const char *method = json_string(params, "sharding_method");
    cJSON_Delete(s->configuration);
    s->configuration = o;
    s->config = true;
    s->custom = method && strcmp(method, "custom") == 0;
    if (cJSON_IsNumber(number) && number->valuedouble >= 1 && number->valuedouble <= SHARDS_MAX)
        s->shard_number = (unsigned long)number->valuedouble;
    else if (o)
        defect(d, where, "no configuration of a collection: params.shard_number is missing");
}

/* {"this_peer_id":7,"peers":{"7":"Active"}}; empty where it does not say. Peer ids are below 2^53. */
static void replica_of(const cJSON *o, char *out, size_t size)
{
    const cJSON *id = json_member(o, "this_peer_id");
    char name[32];
    *out = 0;
    if (!cJSON_IsNumber(id))
        return;
    (void)snprintf(name, sizeof name, "%.0f", id->valuedouble);
    const char *state = json_string(json_member(o, "peers"), name);
    if (state)
        (void)snprintf(out, size, "%s", state);
}

static void check_state(struct deep *d, const char *where, struct archive *a, struct shard *s,
                        struct shards *told)
{
    cleanup_json cJSON *o = json(d, where, a);
    const cJSON *local = json_member(o, "is_local");
    s->state = cJSON_IsBool(local);
    s->local = cJSON_IsTrue(local);
    replica_of(o, s->replica, sizeof s->replica);
    if (o && !shards_take_state(told, (unsigned)s->id, o))
        defect(d, where, "not checked: no memory");
    if (o && !s->state)
        defect(d, where, "no state of a shard: is_local is missing");
}

static void check_keys(struct deep *d, const char *where, struct archive *a, struct shards *told)
{
    cleanup_json cJSON *o = json(d, where, a);
    if (o && !shards_take_keys(told, o))
        defect(d, where, "not checked: no memory");
}

static bool ends_with(const char *s, const char *tail)
{
    size_t n = strlen(s), m = strlen(tail);
    return n >= m && strcmp(s + n - m, tail) == 0;
}

struct segment {
    bool json, version;
    cJSON **keep; /* the first one's configuration; NULL: not wanted */
};

static void segment_member(struct deep *d, const char *where, const char *path, struct archive *a, void *arg)
{
    struct segment *s = arg;
    const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    if (strcmp(name, "segment.json") == 0) {
        cJSON *o = json(d, where, a);
        s->json = true;
        if (s->keep && !*s->keep)
            *s->keep = o;
        else
            cJSON_Delete(o);
    } else if (strcmp(name, "version.info") == 0) {
        s->version = true;
        check_version(d, where, a);
    }
}

static void check_segment(struct deep *d, const char *where, struct archive *a, cJSON **keep)
{
    struct segment s = {.keep = keep};
    struct feed f = {.outer = a, .bare = true};
    if (!walk(d, where, &f, segment_member, &s))
        return; /* what is missing may only not have been read */
    if (!s.json)
        defect(d, where, "no segment.json in it");
    if (!s.version)
        defect(d, where, "no version.info in it");
}

/* --- a collection's or a shard's snapshot */

static struct shard *shard_of(struct seen *s, unsigned long id)
{
    for (size_t i = s->n; i > 0; i--) /* the files of one come together */
        if (s->shards[i - 1].id == id)
            return &s->shards[i - 1];
    if (s->n == SHARDS_MAX)
        return NULL;
    if ((s->n & (s->n - 1)) == 0) { /* full: room for twice as many */
        struct shard *v = realloc(s->shards, (s->n ? s->n * 2 : 1) * sizeof *v);
        if (!v)
            return NULL;
        s->shards = v;
    }
    s->shards[s->n] = (struct shard){.id = id};
    return &s->shards[s->n++];
}

static void shard_member(struct deep *d, const char *where, const char *path, struct archive *a,
                         struct shard *shard, struct seen *s)
{
    if (d->light && strcmp(path, "replica_state.json") != 0)
        return;
    if (strcmp(path, "shard_config.json") == 0) {
        shard->config = true;
        check_json(d, where, a);
    } else if (strcmp(path, "replica_state.json") == 0) {
        check_state(d, where, a, shard, &s->told);
    } else if (strncmp(path, "segments/", 9) == 0) {
        /* A tar each, or with Qdrant's other form of snapshot a folder each. */
        bool tar = ends_with(path, ".tar") && !strchr(path + 9, '/');
        shard->segments += tar || ends_with(path, "/segment.json");
        if (tar)
            check_segment(d, where, a, &s->segment);
    } else if (ends_with(path, ".json") && !strchr(path, '/')) {
        check_json(d, where, a);
    }
}

static void collection_member(struct deep *d, const char *where, const char *path, struct archive *a,
                              void *arg)
{
    struct seen *s = arg;
    char *rest = NULL;
    unsigned long id = isdigit((unsigned char)*path) ? strtoul(path, &rest, 10) : 0;
    if (s->one_shard || (rest && *rest == '/')) {
        struct shard *shard = shard_of(s, id);
        if (!shard)
            return defect(d, where, "more shards than any collection has");
        shard_member(d, where, s->one_shard ? path : rest + 1, a, shard, s);
    } else if (strcmp(path, "config.json") == 0) {
        check_config(d, where, a, s);
    } else if (strcmp(path, "shard_key_mapping.json") == 0) {
        check_keys(d, where, a, &s->told);
    } else if (d->light) {
        return;
    } else if (strcmp(path, "version.info") == 0) {
        s->version = true;
        check_version(d, where, a);
    } else if (ends_with(path, ".json") && !strchr(path, '/')) {
        check_json(d, where, a);
    }
}

static void check_shard(struct deep *d, const char *where, const struct seen *s, const struct shard *shard)
{
    char at[WHERE];
    if (s->one_shard)
        (void)snprintf(at, sizeof at, "%s", where);
    else
        (void)snprintf(at, sizeof at, "%s%s%lu", where, *where ? "/" : "", shard->id);
    if (!shard->config)
        defect(d, at, "no shard_config.json");
    if (shard->segments == 0 && (shard->local || !shard->state))
        defect(d, at, "no segment");
}

/* A node's snapshot has the configuration of all shards of the collection, and the segments of its own. */
static void check_seen(struct deep *d, const char *where, struct seen *s)
{
    if (!s->one_shard && !s->version)
        defect(d, where, "no version.info");
    if (!s->one_shard && !s->config)
        defect(d, where, "no config.json");
    for (unsigned long id = 0; !s->custom && id < s->shard_number; id++)
        (void)shard_of(s, id); /* none without memory: then what is there is checked */
    if (s->n == 0)
        defect(d, where, "no shard");
    for (size_t i = 0; i < s->n; i++)
        check_shard(d, where, s, &s->shards[i]);
}

/* Takes the configuration out of `s`. Without memory nothing is found, which is a defect. */
static void keep_found(struct deep *d, const char *where, struct seen *s)
{
    struct archive_found *f = d->found;
    struct archive_part *v = f ? realloc(f->v, (f->n + 1) * sizeof *v) : NULL;
    if (!f)
        return;
    if (!v)
        return defect(d, where, "not checked: no memory");
    f->v = v;
    struct archive_part *p = &v[f->n++];
    *p = (struct archive_part){.config = s->configuration, .segment = s->segment};
    s->configuration = s->segment = NULL;
    p->told = s->told;
    s->told = (struct shards){0};
    p->file = *where ? strdup(where) : NULL;
    for (size_t i = 0; i < s->n; i++) {
        const struct shard *shard = &s->shards[i];
        p->shards += shard->state;
        p->local += shard->state && shard->local;
        if (shard->local && shard->replica[0] && !cluster_is_active(shard->replica) && !p->trouble[0])
            (void)snprintf(p->trouble, sizeof p->trouble, "the replica of shard %lu on this node is %s",
                           shard->id, shard->replica);
    }
}

static void check_snapshot(struct deep *d, const char *where, struct feed *f, bool one_shard)
{
    cleanup_seen struct seen s = {.one_shard = one_shard};
    if (!walk(d, where, f, collection_member, &s))
        return;
    if (!d->light)
        check_seen(d, where, &s);
    keep_found(d, where, &s);
}

/* --- the whole storage's */

struct storage {
    struct storage_names names;
    cJSON *mapping; /* {collections_mapping: {collection: file}} */
    char **files;   /* that were there */
    size_t n;
};
static void storage_free(struct storage *s)
{
    string_list_free(s->files, s->n);
    cJSON_Delete(s->mapping);
}

static void hostile(struct deep *d, const char *where, const struct err *e)
{
    if (!d->hostile.text[0])
        d->hostile = *e;
    defect(d, where, "%.390s", e->text);
}

static void storage_member(struct deep *d, const char *where, const char *path, struct archive *a, void *arg)
{
    struct storage *s = arg;
    struct feed f = {.outer = a};
    struct err e = {0};
    int which = storage_names_member(&s->names, path, &e);
    if (which < 0) {
        hostile(d, where, &e);
    } else if (which == STORAGE_CONFIG) {
        s->mapping = json_of(d, where, a, STORAGE_CONFIG_MAX);
        if (s->mapping && storage_names_check(s->mapping, &e) != 0)
            hostile(d, where, &e);
    } else if (ends_with(path, ".snapshot")) {
        if (!string_list_add(&s->files, &s->n, path))
            defect(d, where, "not checked: no memory");
        check_snapshot(d, where, &f, false);
    }
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void check_storage(struct deep *d, struct feed *f)
{
    __attribute__((cleanup(storage_free))) struct storage s = {0};
    const cJSON *c;
    if (!walk(d, "", f, storage_member, &s))
        return;
    const cJSON *mapping = json_member(s.mapping, "collections_mapping");
    if (!s.mapping)
        defect(d, "config.json", "no collections_mapping");
    if (s.n > 0)
        qsort(s.files, s.n, sizeof(char *), by_name);
    cJSON_ArrayForEach(c, mapping)
    {
        const char *name = cJSON_GetStringValue(c);
        bool found = name && s.n > 0 && bsearch(&name, s.files, s.n, sizeof(char *), by_name);
        if (!found)
            defect(d, name ? name : "config.json", "the snapshot of %.255s is missing", c->string);
    }
}

/* --- all of it */

static void finish(struct deep *d, struct backup *b)
{
    if (d->defects > DEFECTS_MAX) {
        size_t more = d->defects - DEFECTS_MAX;
        d->defects = 0; /* room for one more line */
        defect(d, "", "and %zu more", more);
        d->defects += DEFECTS_MAX;
    }
    if (d->defects == 0)
        return;
    free(b->reason);
    b->reason = d->text; /* NULL without memory; the state tells */
    d->text = NULL;
    b->state = ENTRY_CORRUPT;
}

void archive_verify(struct backup *b, const struct copy_watch *watch, const atomic_bool *stop)
{
    struct deep d = {0};
    struct feed f = {0};
    struct err e = {0};
    if (b->state != ENTRY_COMPLETE)
        return;
    f.stream = backup_reader_open(b, watch, stop, &e);
    if (!f.stream)
        defect(&d, "", "%.390s", e.text);
    else if (b->m.source.kind == KIND_STORAGE)
        check_storage(&d, &f);
    else
        check_snapshot(&d, "", &f, b->m.source.kind == KIND_SHARD);
    backup_reader_close(f.stream);
    if (!(stop && atomic_load(stop))) {
        d.broken = false;
        if (backup_sums(b, &e) != ENTRY_COMPLETE)
            defect(&d, "", "%.390s", e.text);
        finish(&d, b);
    }
    free(d.text);
}

int archive_prove(const struct backup *b, const struct restore_origin *origin, const atomic_bool *stop,
                  char *why, size_t size, struct err *e)
{
    const struct copy_watch nobody = {0};
    struct deep d = {.stop = stop};
    struct feed f = {.stream = backup_reader_open_from(origin, b, &nobody, stop, e)};
    if (!f.stream)
        return -1;
    check_snapshot(&d, "", &f, b->m.source.kind == KIND_SHARD);
    backup_reader_close(f.stream);
    (void)snprintf(why, size, "%.*s", d.text ? (int)strcspn(d.text, "\n") : 0, d.text ? d.text : "");
    free(d.text);
    if (f.failed.code != 0 || (stop && atomic_load(stop)))
        return f.failed.text[0] ? (*e = f.failed, -1)
                                : err_set(e, ECANCELED, "stopped while reading", b->data, NULL);
    return d.defects > 0;
}

void archive_found_free(struct archive_found *f)
{
    for (size_t i = 0; i < f->n; i++) {
        free(f->v[i].file);
        cJSON_Delete(f->v[i].config);
        cJSON_Delete(f->v[i].segment);
        shards_free(&f->v[i].told);
    }
    free(f->v);
    free(f->defects);
    *f = (struct archive_found){0};
}

int archive_look(int fd, const char *path, enum kind kind, bool whole, const atomic_bool *stop,
                 struct archive_found *out, struct err *e)
{
    struct deep d = {.light = !whole, .stop = stop, .found = out};
    struct feed f = {.path = path, .fd = fd};
    *out = (struct archive_found){0};
    if (kind == KIND_STORAGE)
        check_storage(&d, &f);
    else
        check_snapshot(&d, "", &f, kind == KIND_SHARD);
    out->defects = d.text;
    out->hostile = d.hostile;
    if (d.defects > 0 && !d.text)
        out->defects = strdup("no memory to tell what is wrong with it");
    if (f.failed.text[0]) {
        *e = f.failed;
        return -1;
    }
    return 0;
}
