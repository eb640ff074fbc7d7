#include "efs/restore/splice.h"
#include "common/archive.h"
#include "common/base/cleanup.h"
#include "common/json.h"
#include "efs/data/hasher.h"
#include "efs/restore/piped.h"
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 1 << 18, TAR_END = 1024, JSON_MAX = 1 << 20 };

struct splice {
    struct splice_of of;
    const atomic_bool *stop;
    struct restore_origin origin;
    struct piped piped;
};

struct sink {
    piped_put *put;
    void *arg;
};

/* What all sources must agree in. */
struct shape {
    cJSON *params, *indexes; /* of the first one */
};

/* One source that is being copied. */
struct copying {
    const struct splice_source *from;
    bool first; /* its members that are of no shard are taken, too */
    struct backup_reader *reader;
    const struct sink *to;
    struct shape *shape;
    bool *seen; /* of each of its shards: there was something */
    /* Bytes that libarchive was given, and of which it is not known yet whether they are wanted: `held` of
     * them behind the first `settled` ones. It may still read from where they are until it asks for more. */
    char *window;
    size_t settled, held, room;
    int64_t at; /* of the first held one in the tar */
    bool wanted;
    bool sink_failed;
    struct err failed;
};

/* --- the window */

/* Only when libarchive has no use for them where they are: it asks for more, or has ended. */
static bool make_room(struct copying *c, size_t more)
{
    if (c->held > 0)
        memmove(c->window, c->window + c->settled, c->held);
    c->settled = 0;
    size_t room = c->held + more;
    char *window = room > c->room ? realloc(c->window, room) : c->window;
    if (!window)
        return false;
    c->window = window;
    c->room = room > c->room ? room : c->room;
    return true;
}

static la_ssize_t feed(struct archive *a, void *arg, const void **out)
{
    struct copying *c = arg;
    *out = NULL;
    if (c->failed.text[0] || !make_room(c, CHUNK)) {
        if (!c->failed.text[0])
            (void)err_set(&c->failed, ENOMEM, "cannot read", c->from->b->data, NULL);
        archive_set_error(a, EIO, "%s", c->failed.text);
        return ARCHIVE_FATAL;
    }
    ssize_t n = backup_reader_read(c->reader, c->window + c->held, CHUNK, &c->failed);
    if (n < 0) {
        archive_set_error(a, EIO, "%s", c->failed.text);
        return ARCHIVE_FATAL;
    }
    *out = c->window + c->held;
    c->held += (size_t)n;
    return n;
}

/* All before `end` of the tar is of the member at hand. */
static bool settle(struct copying *c, int64_t end)
{
    size_t n = end > c->at ? (size_t)(end - c->at) : 0;
    n = n < c->held ? n : c->held;
    if (c->wanted && n > 0 && c->to->put(c->to->arg, c->window + c->settled, n) != 0)
        return c->sink_failed = true, false;
    c->settled += n;
    c->held -= n;
    c->at += (int64_t)n;
    return true;
}

/* --- members */

static int shard_in(const struct splice_source *s, const char *path)
{
    char *rest = NULL;
    unsigned long id = isdigit((unsigned char)*path) ? strtoul(path, &rest, 10) : 0;
    for (size_t i = 0; rest && *rest == '/' && i < s->n; i++)
        if (s->shards[i] == id)
            return (int)i;
    return -1;
}

static bool is_wanted(struct copying *c, const char *path)
{
    int shard = shard_in(c->from, path);
    if (shard >= 0)
        c->seen[shard] = true;
    return shard >= 0 || (c->first && *path && !strchr(path, '/'));
}

static bool defect(struct copying *c, const char *what)
{
    (void)err_set(&c->failed, 0, what, c->from->b->data, "take another backup");
    return false;
}

/* The same on all nodes, or the first one's would be given to all shards. */
static bool same(struct copying *c, cJSON **first, cJSON *now, const char *what)
{
    if (!c->first && !cJSON_Compare(*first, now, 1)) {
        cJSON_Delete(now);
        return defect(c, what);
    }
    if (c->first) {
        cJSON_Delete(*first);
        *first = now;
    } else {
        cJSON_Delete(now);
    }
    return true;
}

static bool compare(struct copying *c, const char *path, const char *text)
{
    cleanup_json cJSON *o = cJSON_Parse(text);
    if (!o)
        return defect(c, "no JSON in it where Qdrant writes some:");
    if (strcmp(path, "config.json") == 0)
        return same(c, &c->shape->params, cJSON_DetachItemFromObjectCaseSensitive(o, "params"),
                    "its configuration differs from that of another node's snapshot:");
    return same(c, &c->shape->indexes, cJSON_DetachItemFromObjectCaseSensitive(o, "schema"),
                "its payload indexes differ from those of another node's snapshot:");
}

static bool read_json(struct copying *c, struct archive *a, const char *path, la_int64_t size)
{
    cleanup_free char *text = size > 0 && size <= JSON_MAX ? calloc(1, (size_t)size + 1) : NULL;
    if (!text)
        return defect(c, "a JSON of a size that makes no sense:");
    if (archive_read_data(a, text, (size_t)size) != size)
        return c->failed.text[0] ? false : defect(c, "cut short, or damaged:");
    return compare(c, path, text);
}

/* What has no shape to compare is passed on as it comes. */
static bool read_data(struct copying *c, struct archive *a)
{
    const void *data;
    size_t n;
    la_int64_t at;
    int rc;
    while ((rc = archive_read_data_block(a, &data, &n, &at)) == ARCHIVE_OK)
        if (!settle(c, archive_filter_bytes(a, 0)))
            return false;
    return rc == ARCHIVE_EOF || (c->failed.text[0] ? false : defect(c, "cut short, or damaged:"));
}

static bool copy_member(struct copying *c, struct archive *a, struct archive_entry *entry)
{
    char path[64];
    const char *name = archive_entry_pathname(entry);
    while (name && strncmp(name, "./", 2) == 0)
        name += 2;
    if (!name)
        return defect(c, "a member without a name:");
    (void)snprintf(path, sizeof path, "%s", name); /* `entry` is the next one's soon */
    c->wanted = is_wanted(c, name);
    bool json = strcmp(path, "config.json") == 0 || strcmp(path, "payload_index.json") == 0;
    return (!json || read_json(c, a, path, archive_entry_size(entry))) && read_data(c, a);
}

static bool copy_members(struct copying *c, struct archive *a)
{
    struct archive_entry *entry;
    int rc;
    while ((rc = archive_read_next_header(a, &entry)) == ARCHIVE_OK) {
        /* Where a member's header begins, the one before it ends, padding and all. */
        if (!settle(c, archive_read_header_position(a)) || !copy_member(c, a, entry))
            return false;
    }
    if (rc != ARCHIVE_EOF)
        return c->failed.text[0] ? false : defect(c, "no whole tar:");
    return settle(c, archive_read_header_position(a));
}

/* Libarchive stops at the mark that ends a tar; the hash is of all. */
static bool drain(struct copying *c)
{
    ssize_t n;
    while ((n = backup_reader_read(c->reader, c->window, c->room, &c->failed)) > 0)
        ;
    return n == 0;
}

static bool has_all(struct copying *c)
{
    for (size_t i = 0; i < c->from->n; i++)
        if (!c->seen[i])
            return defect(c, "a shard that its manifest tells is not in it:");
    return true;
}

static bool copy_source(struct copying *c)
{
    cleanup_archive struct archive *a = archive_read_new();
    if (!a || archive_read_support_format_tar(a) != ARCHIVE_OK || !make_room(c, CHUNK))
        return (void)err_set(&c->failed, ENOMEM, "cannot read", c->from->b->data, NULL), false;
    if (archive_read_open(a, c, NULL, feed, NULL) != ARCHIVE_OK)
        return c->failed.text[0] ? false : defect(c, "no tar:");
    return copy_members(c, a) && drain(c) && has_all(c);
}

/* --- all of them */

static int one_source(const struct splice *s, size_t i, const struct copy_watch *watch, const struct sink *to,
                      struct shape *shape, struct err *e)
{
    const struct splice_source *from = &s->of.v[i];
    cleanup_reader struct backup_reader *reader = backup_reader_open(from->b, watch, s->stop, e);
    if (!reader)
        return -1;
    cleanup_free bool *seen = calloc(from->n + 1, sizeof *seen);
    if (!seen)
        return err_set(e, ENOMEM, "cannot read", from->b->data, NULL);
    struct copying c = {
        .from = from, .first = i == 0, .reader = reader, .to = to, .shape = shape, .seen = seen};
    bool good = copy_source(&c);
    free(c.window);
    if (good)
        return 0;
    if (c.sink_failed)
        return err_set(e, EPIPE, "nobody takes the rest of", from->b->data, NULL);
    *e = c.failed;
    return -1;
}

/* One member of a tar, as libarchive makes it. */
static int stub(unsigned shard, const struct sink *to, struct err *e)
{
    static const char text[] = "{\"type\":\"ReplicaSet\"}";
    enum { BLOCK = 512, MEMBER = 2 * BLOCK, WHOLE = 8 * BLOCK };
    char path[48], whole[WHOLE];
    size_t used = 0;
    cleanup_archive struct archive *a = archive_write_new();
    cleanup_entry struct archive_entry *entry = archive_entry_new();
    (void)snprintf(path, sizeof path, "%u/shard_config.json", shard);
    if (!a || !entry)
        return err_set(e, ENOMEM, "cannot put the set together", NULL, NULL);
    archive_entry_set_pathname(entry, path);
    archive_entry_set_size(entry, sizeof text - 1);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    if (archive_write_set_format_ustar(a) != ARCHIVE_OK ||
        archive_write_set_bytes_per_block(a, 0) != ARCHIVE_OK ||
        archive_write_open_memory(a, whole, sizeof whole, &used) != ARCHIVE_OK ||
        archive_write_header(a, entry) != ARCHIVE_OK || archive_write_data(a, text, sizeof text - 1) < 0 ||
        archive_write_close(a) != ARCHIVE_OK || used < MEMBER)
        return err_set(e, EIO, "cannot make a tar's member", path, NULL);
    return to->put(to->arg, whole, MEMBER) == 0
               ? 0
               : err_set(e, EPIPE, "nobody takes the rest of the set", NULL, NULL);
}

/* -1 with `e`: code 0 when the source number *bad is at fault. */
static int splice_all(const struct splice *s, const struct copy_watch *watch, const struct sink *to,
                      size_t *bad, struct err *e)
{
    static const char end[TAR_END];
    struct shape shape = {0};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < s->of.n_stubs; i++)
        rc = stub(s->of.stubs[i], to, e);
    if (rc != 0)
        return rc;
    for (*bad = 0; rc == 0 && *bad < s->of.n; (*bad)++)
        rc = one_source(s, *bad, watch, to, &shape, e);
    if (rc != 0)
        (*bad)--;
    cJSON_Delete(shape.params);
    cJSON_Delete(shape.indexes);
    if (rc == 0 && to->put(to->arg, end, sizeof end) != 0)
        rc = err_set(e, EPIPE, "nobody takes the end of the set", NULL, NULL);
    return rc;
}

struct measuring {
    struct hasher *hash;
    uint64_t size;
};
static int measure(void *arg, const void *data, size_t n)
{
    struct measuring *m = arg;
    m->size += n;
    return hasher_add(m->hash, data, n) && hasher_wait(m->hash) ? 0 : -1;
}

void splice_form(struct manifest *m)
{
    m->bases = (struct bases){0};
    m->recipe = (struct recipe_place){0};
    (void)snprintf(m->codec, sizeof m->codec, "none");
}

enum restore_outcome splice_measure(struct splice *s, const struct copy_watch *watch, struct copy_result *out,
                                    size_t *bad, struct err *e)
{
    struct measuring m = {.hash = hasher_new()};
    struct sink to = {measure, &m};
    struct err why = {0};
    *bad = 0;
    int rc = m.hash ? splice_all(s, watch, &to, bad, &why) : err_set(&why, ENOMEM, "cannot hash", NULL, NULL);
    if (rc == 0 && !hasher_hex(m.hash, out->sha256))
        rc = err_set(&why, ENOMEM, "cannot hash", NULL, NULL);
    hasher_free(m.hash);
    if (rc != 0) {
        if (e)
            *e = why;
        return why.code == 0 ? RESTORE_DEFECT : RESTORE_FAILED;
    }
    out->size = out->stored_size = m.size;
    memcpy(out->stored_sha256, out->sha256, sizeof out->stored_sha256);
    return RESTORE_DONE;
}

/* --- for whoever reads it */

static int send(void *arg, piped_put *put, void *to, struct err *e)
{
    struct sink sink = {put, to};
    size_t bad;
    return splice_all(arg, NULL, &sink, &bad, e);
}

struct splice *splice_new(const struct splice_of *of, const atomic_bool *stop, struct err *e)
{
    struct splice *s = calloc(1, sizeof *s);
    if (!s)
        return (void)err_set(e, ENOMEM, "cannot put the set together", NULL, NULL), NULL;
    *s = (struct splice){.of = *of, .stop = stop};
    s->piped = (struct piped){.thread = "splice", .send = send, .arg = s};
    s->origin = piped_origin(&s->piped);
    return s;
}

void splice_free(struct splice *s) { free(s); }

const struct restore_origin *splice_origin(const struct splice *s) { return &s->origin; }
