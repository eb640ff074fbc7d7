/* Names come from the file system and from EFS: no name may lead out of its folder, and escaping goes both
 * ways. */
#include "common/base/text.h"
#include "efs/repo/name.h"
#include "efs/repo/settings.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void one(const char *raw)
{
    struct source s;
    char folder[600], escaped[256], back[256], line[1024], safe[64];
    if (name_source(raw, &s) == NAME_SOURCE && name_folder(&s, folder, sizeof folder)) {
        assert(folder[0] != '.' && folder[0] != '/' && !strstr(folder, "/.") && !strchr(s.stem, '/'));
        assert(s.kind == KIND_SHARD || !strchr(folder, '/'));
        assert(s.kind != KIND_COLLECTION || (!name_is_storage(folder) && !name_is_shard(folder)));
        assert(text_is_utf8(s.stem));
    }
    if (name_escape(raw, escaped, sizeof escaped)) {
        assert(!strchr(escaped, '/') && escaped[0] != '.' && escaped[0] != '-');
        assert(name_unescape(escaped, back, sizeof back) && strcmp(raw, back) == 0);
    }
    if (name_unescape(raw, back, sizeof back))
        assert(name_escape(back, escaped, sizeof escaped) && strcmp(raw, escaped) == 0);
    if (name_sum_line("00", raw, line, sizeof line))
        assert(strchr(line, '\n') == line + strlen(line) - 1);
    (void)text_printable(raw, safe, sizeof safe);
    assert(text_is_utf8(safe) && text_width(safe) < 2 * sizeof safe);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct retention r;
    char wrong[32], *text = malloc(size + 1);
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = 0;
    one(text);
    if (retention_parse(text, &r, wrong, sizeof wrong))
        for (int t = 0; t < FREQUENCY_COUNT; t++)
            assert((r.keep[t].count > 0) != (r.keep[t].age > 0));
    text_make_utf8(text);
    assert(text_is_utf8(text));
    free(text);
    return 0;
}
