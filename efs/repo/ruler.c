#include "efs/repo/ruler.h"
#include "common/base/files.h"
#include "common/base/text.h"
#include <stdio.h>
#include <string.h>

enum { SLOT = 900, TRIES = 8 };

time_t ruler_above(time_t slot)
{
    time_t day = frequency_period(FREQUENCY_DAILY, slot);
    unsigned long number = (unsigned long)((slot - day) / SLOT);
    return number == 0 ? 0 : day + (time_t)(number & (number - 1)) * SLOT;
}

bool ruler_hangs(time_t slot, time_t older)
{
    while (slot > older)
        slot = ruler_above(slot);
    return slot == older && slot != 0;
}

bool ruler_is_delta(const struct backup *b) { return text_ends(b->data, ".snapshot.delta"); }

/* Loaded, can it be the base of what `m` describes? */
static bool fits(struct backup *b, const struct manifest *m)
{
    struct err ignored;
    if (!b->has_manifest || (b->state == ENTRY_UNREAD && backup_load(b, &ignored) != 0))
        return false;
    return b->state == ENTRY_COMPLETE && b->signature != SIGNATURE_BAD && backup_trusted(b) &&
           b->m.recipe.size > 0 && !b->m.upload && b->m.qdrant_checksum && b->m.slot < m->slot &&
           b->m.slot + RULER_REACH >= m->slot && strcmp(b->m.node, m->node) == 0 &&
           strcmp(b->m.qdrant_version, m->qdrant_version) == 0;
}

/* The newest whole before it; `own`: of the same peer, of which names tell, so that no other one is read. */
static struct backup *anchor(struct backup_list *list, const struct manifest *m, bool own)
{
    int tries = TRIES;
    for (size_t i = list->n; i > 0 && tries > 0; i--) { /* oldest first in the list */
        struct backup *b = &list->v[i - 1];
        if (ruler_is_delta(b) || b->m.slot >= m->slot ||
            (own && strcmp(b->m.source.peer, m->source.peer) != 0))
            continue;
        if (b->m.slot + RULER_REACH < m->slot)
            break;
        tries--;
        if (fits(b, m))
            return b;
    }
    return NULL;
}

static struct backup *of_slot(struct backup_list *list, time_t slot, const struct manifest *m)
{
    for (size_t i = list->n; i > 0; i--) {
        struct backup *b = &list->v[i - 1];
        if (b->m.slot == slot && fits(b, m) && b->m.bases.n < BASES_MAX)
            return b;
    }
    return NULL;
}

struct backup *ruler_base(struct backup_list *list, const struct manifest *m)
{
    if (!m->qdrant_version[0])
        return NULL; /* of no version's backup, so that none need be read */
    struct backup *of_peer = anchor(list, m, true), *whole = of_peer ? of_peer : anchor(list, m, false);
    for (time_t slot = whole ? ruler_above(m->slot) : 0; slot != 0 && slot > whole->m.slot;
         slot = ruler_above(slot)) {
        struct backup *b = of_slot(list, slot, m);
        struct bases bases;
        if (b && ruler_bases(b, &bases))
            return b;
    }
    return whole;
}

bool ruler_bases(const struct backup *b, struct bases *out)
{
    struct base one = {
        .frequency = b->frequency, .stored_size = b->m.content.stored_size, .recipe = b->m.recipe};
    memcpy(one.sha256, b->m.content.sha256, sizeof one.sha256);
    *out = b->m.bases;
    return bases_add(out, &one, b->data);
}

bool ruler_bases_stay(const char *tree, const char *folder, const struct manifest *m)
{
    for (unsigned i = 0; i < m->bases.n; i++) {
        char below[NAME_MAX * 2 + 32], name[NAME_STORED + 8], dir[PATH_MAX], path[PATH_MAX];
        const char *data = base_data(&m->bases, i), *end = strstr(data, ".snapshot.");
        struct stat st;
        for (const char *next = end; next; next = strstr(next + 1, ".snapshot."))
            end = next; /* a stem may hold anything */
        (void)snprintf(below, sizeof below, "%s/%s", frequency_text(m->bases.v[i].frequency), folder);
        (void)snprintf(name, sizeof name, "%.*s.json", end ? (int)(end - data) : 0, data);
        files_refresh(tree, below);
        if (files_join(dir, sizeof dir, tree, below, NULL) != 0 ||
            files_join(path, sizeof path, dir, name, NULL) != 0 || lstat(path, &st) != 0)
            return false;
    }
    return true;
}

void ruler_count(struct backup_list *list)
{
    for (size_t i = 0; i < list->n; i++) {
        const struct backup *delta = &list->v[i];
        unsigned left = delta->m.bases.n;
        list->v[i].needed_by = 0;
        for (size_t j = i; j > 0 && left > 0; j--) { /* oldest first in the list */
            struct backup *b = &list->v[j - 1];
            if (delta->m.slot - b->m.slot > RULER_REACH)
                break;
            if (!ruler_may_need(delta, b) || !ruler_needs(delta, b))
                continue;
            b->needed_by++;
            left--;
        }
    }
}

bool ruler_may_need(const struct backup *delta, const struct backup *b)
{
    if (!ruler_is_delta(delta) || delta->m.slot <= b->m.slot || delta->m.slot - b->m.slot > RULER_REACH)
        return false;
    return !ruler_is_delta(b) || ruler_hangs(delta->m.slot, b->m.slot);
}

bool ruler_needs(const struct backup *delta, const struct backup *b)
{
    for (unsigned i = 0; i < delta->m.bases.n; i++)
        if (delta->m.bases.v[i].frequency == b->frequency &&
            strcmp(base_data(&delta->m.bases, i), b->data) == 0)
            return true;
    return false;
}
