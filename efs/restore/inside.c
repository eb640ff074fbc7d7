#include "efs/restore/inside.h"
#include "common/base/cleanup.h"
#include "common/base/thread.h"
#include "common/archive.h"
#include "common/json.h"
#include "efs/restore/storage_tar.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>

enum { BLOCK = 1 << 16, PIPE = 1 << 20, JSON_MAX = 1 << 20 };

struct inside {
    pthread_t thread;
    int in, out; /* ends of a pipe; `in` is ours, -1 once all was fed */
    bool joined, storage;
    struct inside_says says;
};

/* NULL when it is no JSON, or too large for one that makes sense. */
static cJSON *read_json(struct archive *a, struct archive_entry *entry)
{
    la_int64_t size = archive_entry_size(entry);
    cleanup_free char *text = size > 0 && size <= JSON_MAX ? calloc(1, (size_t)size + 1) : NULL;
    return text && archive_read_data(a, text, (size_t)size) == size ? cJSON_Parse(text) : NULL;
}

static void keep(cJSON **where, struct archive *a, struct archive_entry *entry)
{
    cJSON_Delete(*where);
    *where = read_json(a, entry);
}

/* "N/replica_state.json" */
static bool is_state(const char *path)
{
    size_t digits = strspn(path, "0123456789");
    return digits > 0 && strcmp(path + digits, "/replica_state.json") == 0;
}

static bool ends_with(const char *s, const char *tail)
{
    size_t n = strlen(s), m = strlen(tail);
    return n >= m && strcmp(s + n - m, tail) == 0;
}

struct nested { /* a tar in the tar */
    struct archive *outer;
    char buf[BLOCK];
};

static la_ssize_t read_nested(struct archive *a, void *arg, const void **out)
{
    struct nested *n = arg;
    (void)a;
    *out = n->buf;
    return archive_read_data(n->outer, n->buf, sizeof n->buf);
}

/* "segments/{uuid}.tar" of a shard: what it says of its vectors. With Qdrant's other form of snapshot each
 * segment is a folder. */
static void keep_segment(cJSON **where, const char *path, struct archive *a, struct archive_entry *entry)
{
    struct archive_entry *inner;
    if (ends_with(path, "/segment.json"))
        return keep(where, a, entry);
    if (!ends_with(path, ".tar"))
        return;
    cleanup_free struct nested *n = calloc(1, sizeof *n);
    cleanup_archive struct archive *tar = archive_read_new();
    if (!n || !tar || archive_read_support_format_tar(tar) != ARCHIVE_OK)
        return;
    n->outer = a;
    if (archive_read_open(tar, n, NULL, read_nested, NULL) != ARCHIVE_OK)
        return;
    while (!*where && archive_read_next_header(tar, &inner) == ARCHIVE_OK) {
        const char *name = archive_entry_pathname(inner);
        if (name && (strcmp(name, "segment.json") == 0 || ends_with(name, "/segment.json")))
            keep(where, tar, inner);
    }
}

static void look(struct inside_says *says, struct archive *a, struct archive_entry *entry)
{
    const char *path = archive_entry_pathname(entry);
    while (path && strncmp(path, "./", 2) == 0)
        path += 2;
    if (!path)
        return;
    if (strcmp(path, "config.json") == 0)
        keep(&says->config, a, entry);
    else if (strcmp(path, "payload_index.json") == 0)
        keep(&says->indexes, a, entry);
    else if (strcmp(path, "shard_key_mapping.json") == 0)
        keep(&says->keys, a, entry);
    else if (strncmp(path, "segments/", 9) == 0 && !says->segment)
        keep_segment(&says->segment, path, a, entry);
    else if (is_state(path)) {
        cleanup_json cJSON *state = read_json(a, entry);
        says->shards++;
        says->local += json_true(state, "is_local") ? 1 : 0;
    }
}

static void look_at_all(struct inside *i, struct archive *a)
{
    struct archive_entry *entry;
    if (i->storage)
        (void)storage_tar_judge(a, NULL, &i->says.hostile); /* it is what it says */
    else
        while (archive_read_next_header(a, &entry) == ARCHIVE_OK)
            look(&i->says, a, entry);
}

/* To the end, whatever it is: whoever feeds must not wait for a reader that is no more. */
static void drain(int fd)
{
    char buf[16384];
    ssize_t n;
    do
        n = read(fd, buf, sizeof buf);
    while (n > 0 || (n < 0 && errno == EINTR));
}

static void *run(void *arg)
{
    struct inside *i = arg;
    cleanup_archive struct archive *a = archive_read_new();
    if (a && archive_read_support_format_tar(a) == ARCHIVE_OK &&
        archive_read_open_fd(a, i->out, BLOCK) == ARCHIVE_OK)
        look_at_all(i, a);
    const char *method = json_string(json_member(i->says.config, "params"), "sharding_method");
    i->says.custom = method && strcmp(method, "custom") == 0;
    drain(i->out);
    return NULL;
}

static struct inside *start(bool storage, struct err *e)
{
    struct inside *i = calloc(1, sizeof *i);
    int ends[2], rc;
    if (!i || pipe2(ends, O_CLOEXEC) != 0) {
        (void)err_set(e, errno, "cannot look into the snapshot", NULL, NULL);
        return free(i), NULL;
    }
    i->storage = storage;
    i->out = ends[0];
    i->in = ends[1];
    (void)fcntl(i->in, F_SETPIPE_SZ, PIPE); /* fewer switches; the limit may be lower */
    rc = thread_start(&i->thread, "tar-reader", run, i);
    if (rc == 0)
        return i;
    (void)err_set(e, rc, "cannot look into the snapshot", NULL, NULL);
    (void)close(i->in); /* nothing was written */
    (void)close(i->out);
    return free(i), NULL;
}

struct inside *inside_new(struct err *e) { return start(false, e); }
struct inside *inside_new_storage(struct err *e) { return start(true, e); }

void inside_feed(struct inside *i, const void *data, size_t n)
{
    const char *p = data;
    while (i->in >= 0 && n > 0) {
        ssize_t done = write(i->in, p, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return; /* the reader lives until our end is closed: it cannot be */
        p += done;
        n -= (size_t)done;
    }
}

const struct inside_says *inside_end(struct inside *i)
{
    cleanup_closep(&i->in);
    i->in = -1;
    if (!i->joined)
        (void)pthread_join(i->thread, NULL); /* cannot fail: it is ours, and joined once */
    i->joined = true;
    return &i->says;
}

void inside_freep(struct inside **i) { inside_free(*i); }

void inside_free(struct inside *i)
{
    if (!i)
        return;
    (void)inside_end(i);
    (void)close(i->out); /* only read */
    cJSON_Delete(i->says.config);
    cJSON_Delete(i->says.indexes);
    cJSON_Delete(i->says.keys);
    cJSON_Delete(i->says.segment);
    free(i);
}
