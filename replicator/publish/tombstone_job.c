/* The jobs about tombstones: a collection was deleted in Qdrant, or is there again. */
#include "common/log.h"
#include "efs/repo/tombstone.h"
#include "replicator/publish/publish_job.h"
#include "replicator/status/state.h"
#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

/* Longer than the default RETENTION: until then a node may come back that has old snapshots on its disk. */
enum { FORGOTTEN_KEPT = 400 * 86400 };

/* Are there backups of it that were taken until then? By what the names tell, else by the manifests. */
static int has_backups(const char *base, const struct source *source, time_t until, bool *any, struct err *e)
{
    cleanup_backup_list struct backup_list list = {0};
    char folder[NAME_MAX * 2];
    *any = false;
    if (!name_folder(source, folder, sizeof folder))
        return 0;
    if (backup_list_folder(base, folder, &list, e) != 0)
        return -1;
    for (size_t i = 0; i < list.n && !*any; i++)
        *any = list.v[i].m.slot <= until;
    return 0;
}

void publish_job_tombstone(struct publish_job *p, const struct job *j)
{
    const struct settings *s = &p->context->settings;
    struct tombstone t = {.deleted = j->deleted, .seen = j->seen};
    struct err e = {0};
    bool any = *p->context->options.restore_from != 0; /* the replica may have some */
    (void)snprintf(t.collection, sizeof t.collection, "%s", j->source.collection);
    (void)snprintf(t.node, sizeof t.node, "%s", s->node);
    (void)snprintf(t.by, sizeof t.by, "%s", s->written_by);
    if (has_backups(s->base, &j->source, j->deleted, &any, &e) != 0 ||
        (any && tombstone_put(s->base, &t, &e) != 0)) {
        if (status_doubt(p->context->status, STATUS_DELETION, "", t.collection, e.text, t.deleted))
            log_line(
                LOG_ERROR, "tombstone_failed",
                "%s was deleted in Qdrant, and EFS does not take note of that: %s. It is tried again; until "
                "then a restore of an empty disk would bring the collection back",
                t.collection, e.text);
        return;
    }
    status_no_doubt(p->context->status, "", t.collection);
    if (!any)
        return; /* nothing could come back */
    cJSON *f = cJSON_CreateObject();
    if (f)
        (void)cJSON_AddStringToObject(f, "collection", t.collection);
    log_fields(
        LOG_INFO, "collection_deleted", f,
        "%s was deleted in Qdrant: its backups stay, and a restore of an empty disk leaves it out. To get it "
        "back: qdrant-efs restore --collection, or RESTORE_DELETED=1 at such a restore; to delete its "
        "backups, too: qdrant-efs forget",
        t.collection);
}

static void remove_one(const struct publish_job *p, const struct tombstone *t, const char *why)
{
    struct err e = {0};
    if (tombstone_remove(p->context->settings.base, t->node, t->collection, &e) != 0)
        log_line(LOG_WARN, "tombstone_failed", "%s", e.text);
    else
        log_line(LOG_INFO, "tombstone_removed", "that of %s: %s", t->collection, why);
}

static void see_to(const struct publish_job *p, const struct tombstone *t, const struct qdrant_names *present)
{
    struct source source = {.kind = KIND_COLLECTION};
    struct err e = {0};
    bool any = true;
    (void)snprintf(source.collection, sizeof source.collection, "%s", t->collection);
    if (present) {
        if (!t->forgotten && qdrant_names_have(present, t->collection))
            remove_one(p, t, "Qdrant has the collection again");
        return;
    }
    if (t->forgotten && time(NULL) - t->deleted < FORGOTTEN_KEPT)
        return;
    if (has_backups(p->context->settings.base, &source, t->deleted, &any, &e) == 0 && !any)
        remove_one(p, t, "there is no backup any more that it would cover");
}

void publish_job_tombstones(struct publish_job *p, const struct qdrant_names *present)
{
    cleanup_tombstones struct tombstones all = {0};
    struct err e = {0};
    const struct settings *s = &p->context->settings;
    /* A restore at boot that is not over needs them, and the replica may have backups that they cover. */
    if (!present && (atomic_load(&p->context->restore_pending) || *p->context->options.restore_from))
        return;
    if (tombstones_load(s->base, s->node, &all, &e) != 0 || all.unreadable > 0)
        log_line(LOG_WARN, "tombstones_unreadable", "%s", e.text[0] ? e.text : all.why);
    for (size_t i = 0; i < all.n; i++)
        see_to(p, &all.v[i], present);
}
