#include "efs/name.h"
#include <ctype.h>
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

/* Parse the "-YYYY-MM-DD-HH-MM-SS" at the end of a stem; sets *at to where it begins. */
static time_t stem_time(const char *stem, size_t *at)
{
    struct tm tm = {0}, check;
    size_t n = strlen(stem);
    int end = 0;
    if (n < 20 || stem[n - 20] != '-')
        return 0;
    const char *t = stem + n - 19;
    for (int i = 0; i < 19; i++)
        if ((i == 4 || (i > 4 && i % 3 == 1)) ? t[i] != '-' : !isdigit((unsigned char)t[i]))
            return 0;
    if (sscanf(t, "%4d-%2d-%2d-%2d-%2d-%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min,
               &tm.tm_sec, &end) != 6 || end != 19)
        return 0;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    check = tm;
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

bool name_source(const char *rel, struct source *out)
{
    const char *part[4];
    size_t len[4], count = 0, n = strlen(rel);
    memset(out, 0, sizeof *out);
    if (n <= strlen(SUFFIX) || strcmp(rel + n - strlen(SUFFIX), SUFFIX) != 0)
        return false;
    for (const char *p = rel;; p++) {
        const char *slash = strchrnul(p, '/');
        if (count == 4)
            return false;
        part[count] = p;
        len[count++] = (size_t)(slash - p);
        if (!*slash)
            break;
        p = slash;
    }
    const char *file = part[count - 1];
    if (!set(out->stem, STEM_MAX + 1, file, len[count - 1] - strlen(SUFFIX)) || out->stem[0] == '.')
        return false;
    if (count == 1)
        out->kind = KIND_STORAGE;
    else if (len[0] == 3 && memcmp(part[0], "tmp", 3) == 0)
        return false; /* Qdrant's workshop: uploads, tars in the making */
    else if (!set(out->collection, sizeof out->collection, part[0], len[0]))
        return false;
    if (count == 3)
        return false;
    if (count == 4) {
        if (len[1] != 6 || memcmp(part[1], "shards", 6) != 0 ||
            !set(out->shard, sizeof out->shard, part[2], len[2]) ||
            strspn(out->shard, "0123456789") != len[2])
            return false;
        out->kind = KIND_SHARD;
    }
    stem_parse(out);
    return true;
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
    return n > 0 && n <= 255;
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
    return n > 0;
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
