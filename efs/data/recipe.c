#include "efs/data/recipe.h"
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const char ADVICE[] = "take another backup";

void pieces_free(struct pieces *p)
{
    free(p->v);
    *p = (struct pieces){0};
}

static bool add(struct pieces *p, const struct piece *piece)
{
    if (p->n == p->room) {
        size_t room = p->room ? p->room * 2 : 256;
        struct placed *v = realloc(p->v, room * sizeof *v);
        if (!v)
            return false;
        p->v = v;
        p->room = room;
    }
    p->v[p->n++] = (struct placed){piece, p->size};
    p->size += piece->length;
    return true;
}

/* The last one that starts at `from` or before. */
static size_t find(const struct pieces *p, uint64_t from)
{
    size_t low = 0, high = p->n;
    while (high - low > 1) {
        size_t mid = low + (high - low) / 2;
        if (p->v[mid].start <= from)
            low = mid;
        else
            high = mid;
    }
    return low;
}

const struct placed *pieces_range(const struct pieces *p, uint64_t from, uint64_t length, size_t *n)
{
    if (p->n == 0 || length == 0 || from >= p->size || length > p->size - from)
        return NULL;
    size_t i = find(p, from), j = i;
    if (p->v[i].start != from)
        return NULL;
    for (uint64_t left = length; left > 0; j++) {
        if (p->v[j].piece->length > left)
            return NULL;
        left -= p->v[j].piece->length;
    }
    *n = j - i;
    return &p->v[i];
}

/* One line as it is read. */
struct step {
    char how;
    uint64_t from, prefix, at, size, length;
    const char *sha256, *key;
};

static bool number(const char **at, uint64_t *out)
{
    char *end = NULL;
    if (**at < '0' || **at > '9')
        return false;
    errno = 0;
    *out = strtoull(*at, &end, 10);
    if (errno || (*end != ' ' && *end != '\n'))
        return false;
    *at = end + (*end == ' ');
    return true;
}

/* The next line; `at` goes to the one behind it. False when it is none. */
static bool read_step(const char **at, struct step *s)
{
    const char *p = *at, *end = strchr(p, '\n');
    if (!end || (*p != '=' && *p != '+' && *p != '~') || p[1] != ' ')
        return false;
    *s = (struct step){.how = *p};
    p += 2;
    *at = end + 1;
    if (!number(&p, &s->from) || !number(&p, &s->prefix))
        return false;
    if (s->how == '=') {
        s->length = s->prefix;
        return p == end && p[-1] != ' ';
    }
    if (!number(&p, &s->at) || !number(&p, &s->size) || !number(&p, &s->length) || end - p < 66 ||
        p[64] != ' ')
        return false;
    s->sha256 = p;
    s->key = p + 65;
    return end - s->key == (*s->key == '-' ? 1 : 16);
}

static bool hex_bytes(const char *text, unsigned char *out, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < 2 * n; i++) {
        const char *d = text[i] ? strchr(digits, text[i]) : NULL;
        if (!d)
            return false;
        out[i / 2] = (unsigned char)((unsigned)out[i / 2] << 4 | (unsigned)(d - digits));
    }
    return true;
}

static bool key_of(const char *text, uint64_t *key)
{
    unsigned char raw[8] = {0};
    *key = 0;
    if (*text == '-')
        return true;
    if (!hex_bytes(text, raw, sizeof raw))
        return false;
    for (size_t i = 0; i < sizeof raw; i++)
        *key = *key << 8 | raw[i];
    return true;
}

/* A frame of this file, as a piece. */
static bool take_frame(const struct step *s, uint64_t frames, const struct pieces *base, struct piece *p)
{
    if (s->length == 0 || s->length > PIECE_MAX || s->size == 0 || s->size > FRAME_MAX || s->at > frames ||
        s->size > frames - s->at || !hex_bytes(s->sha256, p->sha256, sizeof p->sha256) ||
        !key_of(s->key, &p->key))
        return false;
    p->at = s->at;
    p->size = (uint32_t)s->size;
    p->length = (uint32_t)s->length;
    if (s->how == '+')
        return true;
    size_t n = 0;
    const struct placed *range = base ? pieces_range(base, s->from, s->prefix, &n) : NULL;
    if (!range || n != 1)
        return false;
    p->prefix = range->piece;
    return true;
}

static bool take_copy(const struct step *s, const struct pieces *base, struct pieces *out, bool *memory)
{
    size_t n = 0;
    const struct placed *range = base ? pieces_range(base, s->from, s->length, &n) : NULL;
    if (!range || n > PIECES_MAX - out->n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!add(out, range[i].piece))
            return *memory = false;
    return true;
}

static size_t count_frames(const char *text)
{
    size_t n = 0;
    for (const char *p = text; *p;) {
        const char *end = strchr(p, '\n');
        n += *p != '=';
        if (!end)
            break;
        p = end + 1;
    }
    return n;
}

int recipe_apply(const char *text, unsigned layer, uint64_t frames, const struct pieces *base,
                 struct pieces *out, struct piece **own, const char *path, struct err *e)
{
    bool memory = true, good = true;
    struct piece *next = *own = calloc(count_frames(text) + 1, sizeof *next);
    *out = (struct pieces){0};
    memory = next != NULL;
    for (const char *at = text; memory && good && *at;) {
        struct step s;
        good = read_step(&at, &s);
        if (good && s.how == '=') {
            good = take_copy(&s, base, out, &memory);
        } else if (good && (good = out->n < PIECES_MAX && take_frame(&s, frames, base, next))) {
            next->layer = layer;
            memory = add(out, next++);
        }
    }
    if (memory && good)
        return 0;
    pieces_free(out);
    free(*own);
    *own = NULL;
    return memory ? err_set(e, 0, "the recipe is damaged in", path, ADVICE)
                  : err_set(e, ENOMEM, "cannot read the recipe in", path, NULL);
}

static void flush_copy(struct recipe_writer *w)
{
    if (w->length > 0)
        (void)fprintf(w->to, "= %" PRIu64 " %" PRIu64 "\n", w->from, w->length);
    w->length = 0;
}

void recipe_copy(struct recipe_writer *w, uint64_t from, uint64_t length)
{
    if (w->length > 0 && w->from + w->length == from) {
        w->length += length;
        return;
    }
    flush_copy(w);
    w->from = from;
    w->length = length;
}

void recipe_frame(struct recipe_writer *w, const struct piece *p, uint64_t prefix_from)
{
    flush_copy(w);
    (void)fprintf(w->to, "%c %" PRIu64 " %u %" PRIu64 " %u %u ", p->prefix ? '~' : '+',
                  p->prefix ? prefix_from : 0, p->prefix ? p->prefix->length : 0, p->at, p->size, p->length);
    for (size_t i = 0; i < sizeof p->sha256; i++)
        (void)fprintf(w->to, "%02x", p->sha256[i]);
    if (p->key)
        (void)fprintf(w->to, " %016" PRIx64 "\n", p->key);
    else
        (void)fprintf(w->to, " -\n");
}

void recipe_end(struct recipe_writer *w) { flush_copy(w); }
