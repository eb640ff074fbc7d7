#include "aws/uri.h"
#include "common/base/cleanup.h"
#include "common/base/text.h"
#include "efs/restore/s3.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { ALIASES_MAX = 1000 }; /* of the 2 KB that S3 gives to all of an object's labels */

static bool add(struct restore_s3_labels *out, size_t *n, char *line, size_t size, const char *name,
                const char *value)
{
    static const char fit[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~%,+";
    if (!*value || value[strspn(value, fit)] || (size_t)snprintf(line, size, "%s: %s", name, value) >= size)
        return false;
    out->line[(*n)++] = line;
    return true;
}

static void join_aliases(const struct aliases *a, char out[ALIASES_MAX + 20])
{
    size_t n = 0;
    unsigned left_out = a->left_out;
    for (const char *name = NULL; (name = aliases_next(a, name));) {
        cleanup_free char *text = uri_encoded(name, true);
        size_t more = text ? strlen(text) + (n > 0) : ALIASES_MAX + 1;
        if (n + more > ALIASES_MAX)
            left_out++;
        else
            n += (size_t)snprintf(out + n, ALIASES_MAX + 20 - n, "%s%s", n ? "," : "", text);
    }
    if (left_out)
        (void)snprintf(out + n, ALIASES_MAX + 20 - n, "%s+%u", n ? "," : "", left_out);
}

void restore_s3_labels(const struct manifest *m, struct restore_s3_labels *out)
{
    char points[24], aliases[ALIASES_MAX + 20] = "";
    size_t n = 0;
    *out = (struct restore_s3_labels){0};
    (void)add(out, &n, out->node, sizeof out->node, "node", m->node);
    (void)snprintf(points, sizeof points, "%" PRId64, m->points);
    if (m->points >= 0)
        (void)add(out, &n, out->points, sizeof out->points, "points", points);
    (void)add(out, &n, out->version, sizeof out->version, "qdrant-version", m->qdrant_version);
    if (m->aliases.known)
        join_aliases(&m->aliases, aliases);
    (void)add(out, &n, out->aliases, sizeof out->aliases, "aliases", aliases);
}

void restore_s3_aliases(const char *text, struct aliases *out)
{
    struct aliases all = {.known = true};
    *out = (struct aliases){0};
    for (const char *at = text; *at; at += *at == ',') {
        char name[1024];
        size_t n = strcspn(at, ",");
        if (n == 0 || n >= sizeof name)
            return;
        (void)snprintf(name, sizeof name, "%.*s", (int)n, at);
        at += n;
        if (name[0] == '+') {
            all.left_out += (unsigned)strtoul(name + 1, NULL, 10);
            continue;
        }
        if (uri_decode(name, false) != strlen(name) || !text_is_utf8(name))
            return;
        (void)aliases_add(&all, name);
    }
    if (all.n + all.left_out > 0)
        *out = all;
}
