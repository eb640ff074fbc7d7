#include "efs/cli/cmd_table.h"
#include "common/base/text.h"
#include <stdio.h>

void table_cell(const char *text, size_t width, bool right)
{
    size_t has = text_width(text);
    int space = has < width ? (int)(width - has) : 0;
    if (right)
        (void)printf("%*s%s  ", space, "", text);
    else
        (void)printf("%s%*s  ", text, space, "");
}

size_t table_wider(size_t width, const char *text)
{
    size_t w = text_width(text);
    return w > width ? w : width;
}

const char *table_source(const struct source *s, char *out, size_t size)
{
    char raw[sizeof s->collection + sizeof s->shard + 16];
    if (s->kind == KIND_STORAGE)
        return "(whole storage)";
    if (s->kind == KIND_SHARD && *s->shard)
        (void)snprintf(raw, sizeof raw, "%s, shard %s", s->collection, s->shard);
    else
        (void)snprintf(raw, sizeof raw, "%s", s->collection);
    return text_printable(raw, out, size);
}

const char *table_age(time_t seconds, char out[32])
{
    if (seconds < 2 * 3600)
        (void)snprintf(out, 32, "%ld min", (long)(seconds < 0 ? 0 : seconds / 60));
    else if (seconds < 2 * 86400)
        (void)snprintf(out, 32, "%ld h", (long)(seconds / 3600));
    else
        (void)snprintf(out, 32, "%ld days", (long)(seconds / 86400));
    return out;
}
