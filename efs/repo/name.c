#include "efs/repo/name.h"
#include "common/base/text.h"
#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

static const char SUFFIX[] = ".snapshot";
/* ".snapshot.zst.sha256" is the longest thing that follows a stem on EFS; names there end at 255 bytes. */
enum { STEM_MAX = 255 - 20 };

const char *kind_text(enum kind k)
{
    static const char *const text[] = {"collection", "shard", "storage"};
    return text[k];
}

bool kind_parse(const char *text, enum kind *out)
{
    for (*out = KIND_COLLECTION; *out <= KIND_STORAGE; (*out)++)
        if (strcmp(text, kind_text(*out)) == 0)
            return true;
    return false;
}

static int digits(const char *s, int n)
{
    int v = 0;
    for (int i = 0; i < n; i++)
        v = v * 10 + (s[i] - '0');
    return v;
}

/* Parse the "-YYYY-MM-DD-HH-MM-SS" at the end of a stem; sets *at to where it begins. */
static time_t stem_time(const char *stem, size_t *at)
{
    size_t n = strlen(stem);
    if (n < 20 || stem[n - 20] != '-')
        return 0;
    const char *t = stem + n - 19;
    for (int i = 0; i < 19; i++)
        if ((i == 4 || (i > 4 && i % 3 == 1)) ? t[i] != '-' : !isdigit((unsigned char)t[i]))
            return 0;
    struct tm tm = {.tm_year = digits(t, 4) - 1900,
                    .tm_mon = digits(t + 5, 2) - 1,
                    .tm_mday = digits(t + 8, 2),
                    .tm_hour = digits(t + 11, 2),
                    .tm_min = digits(t + 14, 2),
                    .tm_sec = digits(t + 17, 2)};
    struct tm check = tm;
    time_t when = timegm(&check);
    if (check.tm_mday != tm.tm_mday || check.tm_mon != tm.tm_mon || check.tm_hour != tm.tm_hour ||
        check.tm_min != tm.tm_min || when <= 0)
        return 0; /* 31 February and the like */
    *at = n - 20;
    return when;
}

static void stem_parse(struct source *s)
{
    size_t at = 0;
    s->taken = stem_time(s->stem, &at);
    if (!s->taken || s->kind != KIND_COLLECTION)
        return;
    size_t from = at;
    while (from > 0 && isdigit((unsigned char)s->stem[from - 1]))
        from--;
    if (from > 0 && s->stem[from - 1] == '-' && at > from && at - from < sizeof s->peer) {
        memcpy(s->peer, s->stem + from, at - from);
        s->peer[at - from] = 0;
    }
}

static bool set(char *out, size_t size, const char *from, size_t n)
{
    if (n == 0 || n >= size)
        return false;
    memcpy(out, from, n);
    out[n] = 0;
    return strcmp(out, ".") != 0 && strcmp(out, "..") != 0;
}

/* Where the parts of a path begin and how long they are; 0 when there are more than four. */
static size_t split(const char *rel, const char *part[4], size_t len[4])
{
    for (size_t count = 0;; rel++) {
        const char *slash = strchrnul(rel, '/');
        if (count == 4)
            return 0;
        part[count] = rel;
        len[count++] = (size_t)(slash - rel);
        if (!*slash)
            return count;
        rel = slash;
    }
}

static bool place(struct source *s, const char *const part[4], const size_t len[4], size_t count)
{
    if (count == 1) {
        s->kind = KIND_STORAGE;
        return true;
    }
    if ((len[0] == 3 && memcmp(part[0], "tmp", 3) == 0) ||
        !set(s->collection, sizeof s->collection, part[0], len[0]))
        return false; /* tmp: Qdrant's workshop, uploads and tars in the making */
    if (count == 2)
        return true;
    s->kind = KIND_SHARD;
    return count == 4 && len[1] == 6 && memcmp(part[1], "shards", 6) == 0 &&
           set(s->shard, sizeof s->shard, part[2], len[2]) && strspn(s->shard, "0123456789") == len[2];
}

/* Does Qdrant name its own snapshots of that collection so? Other hidden files are somebody's temporary ones.
 */
static bool of_collection(const char *file, const char *collection)
{
    size_t n = strlen(collection);
    return n > 0 && strncmp(file, collection, n) == 0 && file[n] == '-';
}

static bool must_store(const char *stem) { return stem[0] == '.' || strncmp(stem, "%2", 2) == 0; }

void name_stored(const char *stem, char out[NAME_STORED])
{
    const char *first = !must_store(stem) ? "" : stem[0] == '.' ? "%2E" : "%25";
    (void)snprintf(out, NAME_STORED, "%s%s", first, stem + (*first ? 1 : 0));
}

void name_from_stored(const char *stored, char out[NAME_STORED])
{
    bool dot = strncmp(stored, "%2E", 3) == 0, percent = strncmp(stored, "%25", 3) == 0;
    (void)snprintf(out, NAME_STORED, "%s%s",
                   dot       ? "."
                   : percent ? "%"
                             : "",
                   stored + (dot || percent ? 3 : 0));
}

enum name_class name_source(const char *rel, struct source *out)
{
    const char *part[4];
    char folder[2 * NAME_STORED];
    size_t len[4], suffix = sizeof SUFFIX - 1, n = strlen(rel), count = split(rel, part, len);
    memset(out, 0, sizeof *out);
    if (count == 0 || n <= suffix || strcmp(rel + n - suffix, SUFFIX) != 0 || len[count - 1] <= suffix ||
        !place(out, part, len, count) ||
        (part[count - 1][0] == '.' && !of_collection(part[count - 1], out->collection)))
        return NAME_NOT_SOURCE;
    size_t stem = len[count - 1] - suffix;
    if (stem + (must_store(part[count - 1]) ? 2 : 0) > STEM_MAX || !text_is_utf8(rel) ||
        !name_folder(out, folder, sizeof folder))
        return NAME_UNFIT;
    memcpy(out->stem, part[count - 1], stem);
    out->stem[stem] = 0;
    stem_parse(out);
    return NAME_SOURCE;
}

static bool must_escape(unsigned char c, bool first)
{
    return c < 0x20 || c == 0x7f || c == '/' || c == '\\' || c == '%' || (first && (c == '.' || c == '-'));
}

bool name_escape(const char *raw, char *out, size_t size)
{
    size_t n = 0;
    for (const char *p = raw; *p; p++) {
        unsigned char c = (unsigned char)*p;
        size_t need = must_escape(c, p == raw) ? 3 : 1;
        if (n + need >= size)
            return false;
        if (need == 3)
            (void)snprintf(out + n, 4, "%%%02X", c);
        else
            out[n] = (char)c;
        n += need;
    }
    out[n] = 0;
    return n > 0 && n <= NAME_MAX;
}

bool name_unescape(const char *escaped, char *out, size_t size)
{
    size_t n = 0;
    for (const char *p = escaped; *p; p++) {
        unsigned c = (unsigned char)*p;
        if (n + 1 >= size)
            return false;
        if (c == '%') {
            static const char hex[] = "0123456789ABCDEF";
            const char *hi = p[1] ? strchr(hex, p[1]) : NULL, *lo = hi && p[2] ? strchr(hex, p[2]) : NULL;
            if (!lo)
                return false;
            c = (unsigned)((hi - hex) * 16 + (lo - hex));
            if (!must_escape((unsigned char)c, p == escaped) || c == 0)
                return false;
            p += 2;
        } else if (must_escape((unsigned char)c, p == escaped))
            return false;
        out[n++] = (char)c;
    }
    out[n] = 0;
    return n > 0 && strlen(escaped) <= NAME_MAX;
}

bool name_folder(const struct source *s, char *out, size_t size)
{
    char escaped[256];
    int n;
    if (s->kind == KIND_STORAGE)
        n = snprintf(out, size, "%%storage");
    else if (!name_escape(s->collection, escaped, sizeof escaped))
        return false;
    else if (s->kind == KIND_SHARD)
        n = snprintf(out, size, "%s/%%shard-%s", escaped, s->shard);
    else
        n = snprintf(out, size, "%s", escaped);
    return n > 0 && (size_t)n < size;
}

bool name_is_storage(const char *folder) { return strcmp(folder, "%storage") == 0; }

bool name_is_shard(const char *folder)
{
    return strncmp(folder, "%shard-", 7) == 0 && folder[7] &&
           strspn(folder + 7, "0123456789") == strlen(folder + 7);
}

bool name_sum_line(const char *sha256, const char *name, char *out, size_t size)
{
    int n = snprintf(out, size, "%s%s  ", name[strcspn(name, "\\\n\r")] ? "\\" : "", sha256);
    if (n < 0)
        return false;
    size_t at = (size_t)n;
    for (; *name; name++) {
        char c = *name == '\n' ? 'n' : *name == '\r' ? 'r' : *name == '\\' ? '\\' : 0;
        if (at + 4 > size)
            return false;
        if (c)
            out[at++] = '\\';
        out[at++] = c ? c : *name;
    }
    out[at++] = '\n';
    out[at] = 0;
    return true;
}
