/* Fills a status as a test says and shows what operators see of it: a line on stdin is a JSON object, {"do":
 * what,
 * ...}, and is answered by a line on stdout. Times are seconds since 1970. See status_driver.py. */
#include "common/log.h"
#include "replicator/status/emf.h"
#include "replicator/status/state.h"
#include "replicator/status/prometheus.h"
#include "replicator/status/status_http.h"
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct status *status;
static struct status_http *server;
static cJSON *before; /* the document that the last "emf" showed */

static const char *text(const cJSON *o, const char *key)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, key)); /* NULL: not given */
}
static const char *word(const cJSON *o, const char *key)
{
    const char *s = text(o, key);
    return s ? s : "";
}
static double number(const cJSON *o, const char *key)
{
    const cJSON *n = cJSON_GetObjectItemCaseSensitive(o, key);
    return cJSON_IsNumber(n) ? n->valuedouble : 0;
}
static time_t when(const cJSON *o, const char *key) { return (time_t)number(o, key); }
static unsigned whole(const cJSON *o, const char *key) { return (unsigned)number(o, key); }
static bool flag(const cJSON *o, const char *key) { return cJSON_IsTrue(cJSON_GetObjectItem(o, key)); }

static struct source source_of(const cJSON *o)
{
    struct source s = {.kind = KIND_COLLECTION, .taken = when(o, "taken")};
    if (text(o, "shard"))
        s.kind = KIND_SHARD;
    if (!text(o, "collection"))
        s.kind = KIND_STORAGE;
    (void)snprintf(s.collection, sizeof s.collection, "%s", word(o, "collection"));
    (void)snprintf(s.shard, sizeof s.shard, "%s", word(o, "shard"));
    (void)snprintf(s.stem, sizeof s.stem, "%s", word(o, "snapshot"));
    return s;
}

static struct manifest manifest_of(const cJSON *o)
{
    struct manifest m = {
        .source = source_of(o),
        .created = when(o, "taken"),
        .slot = frequency_slot(when(o, "taken")),
        .content = {.size = (uint64_t)number(o, "size"), .stored_size = (uint64_t)number(o, "stored")}};
    (void)frequency_parse(word(o, "frequency"), &m.frequency);
    return m;
}

static void do_new(const cJSON *o)
{
    struct retention retention;
    char wrong[64];
    (void)retention_parse("", &retention, wrong, sizeof wrong);
    const struct status_options options = {.base = word(o, "base"),
                                           .node = word(o, "node"),
                                           .qdrant_url = word(o, "qdrant_url"),
                                           .rpo_seconds = whole(o, "rpo"),
                                           .interval = whole(o, "interval"),
                                           .offset = whole(o, "offset"),
                                           .retention = &retention,
                                           .s3 = flag(o, "s3")};
    status_free(status);
    status = status_new(&options, when(o, "now"));
}

static void do_found(const cJSON *o)
{
    struct status_tier tiers[FREQUENCY_COUNT] = {0};
    const struct source s = source_of(o);
    for (int t = 0; t < FREQUENCY_COUNT; t++) {
        const cJSON *in =
            cJSON_GetObjectItem(cJSON_GetObjectItem(o, "tiers"), frequency_text((enum frequency)t));
        tiers[t] = (struct status_tier){.count = whole(in, "count"),
                                        .newest_slot = frequency_slot(when(in, "taken")),
                                        .newest_taken = when(in, "taken"),
                                        .stored_bytes = (uint64_t)number(in, "stored")};
    }
    status_found(status, &s, tiers);
}

static void do_collections(const cJSON *o)
{
    static const char *names[20000];
    size_t n = 0;
    const cJSON *name;
    cJSON_ArrayForEach(name, cJSON_GetObjectItem(o, "names")) names[n++] = name->valuestring;
    status_collections(status, names, n, when(o, "now"));
}

static void do_run(const cJSON *o)
{
    const struct status_run r = {.slot = when(o, "slot"),
                                 .begun = when(o, "begun"),
                                 .ended = when(o, "ended"),
                                 .collections = whole(o, "collections"),
                                 .made = whole(o, "made"),
                                 .failed = whole(o, "failed"),
                                 .skipped = whole(o, "skipped"),
                                 .bytes = (uint64_t)number(o, "bytes")};
    status_run(status, &r);
}

static void do_counts(const cJSON *o)
{
    const struct counts c = {.published = whole(o, "published"),
                             .bytes = (unsigned long long)number(o, "bytes"),
                             .stored = (unsigned long long)number(o, "stored"),
                             .mismatch = whole(o, "mismatch"),
                             .conflict = whole(o, "conflict"),
                             .failed = whole(o, "failed"),
                             .pruned = whole(o, "pruned")};
    status_counts(status, &c);
}

static void do_queue(const cJSON *o)
{
    const struct status_queue q = {whole(o, "waiting"), whole(o, "publishing"), whole(o, "s3"),
                                   number(o, "oldest")};
    status_queue(status, &q);
    status_s3_queue(status, whole(o, "s3"));
}

static void do_log(const cJSON *o)
{
    enum log_level level = LOG_INFO;
    cJSON *fields = cJSON_CreateObject();
    (void)log_level_parse(word(o, "level"), &level);
    if (text(o, "collection"))
        (void)cJSON_AddStringToObject(fields, "collection", text(o, "collection"));
    log_fields(level, word(o, "event"), fields, "%s", word(o, "message"));
}

/* Filling. False: it is none of these. */
static bool fill(const char *what, const cJSON *o)
{
    const time_t now = when(o, "now");
    const struct manifest m = manifest_of(o);
    if (strcmp(what, "new") == 0)
        do_new(o);
    else if (strcmp(what, "task") == 0)
        status_task(status, text(o, "arn"), text(o, "zone"), text(o, "family"));
    else if (strcmp(what, "found") == 0)
        do_found(o);
    else if (strcmp(what, "found_backup") == 0)
        status_found_backup(status, &m);
    else if (strcmp(what, "published") == 0)
        status_published(status, &m, number(o, "delay"), now);
    else if (strcmp(what, "collections") == 0)
        do_collections(o);
    else if (strcmp(what, "run") == 0)
        do_run(o);
    else if (strcmp(what, "next_run") == 0)
        status_next_run(status, when(o, "when"));
    else if (strcmp(what, "slots_missed") == 0)
        status_slots_missed(status, whole(o, "n"));
    else if (strcmp(what, "snapshot_failed") == 0)
        status_snapshot_failed(status, text(o, "collection"), text(o, "why"), now);
    else if (strcmp(what, "qdrant") == 0)
        status_qdrant(status, flag(o, "reachable"), flag(o, "recovery_mode"), text(o, "version"), now);
    else if (strcmp(what, "efs") == 0)
        status_efs(status, flag(o, "usable"), text(o, "why"), now);
    else if (strcmp(what, "busy") == 0)
        status_busy(status, whole(o, "worker"), text(o, "what"), now);
    else if (strcmp(what, "queue") == 0)
        do_queue(o);
    else if (strcmp(what, "counts") == 0)
        do_counts(o);
    else if (strcmp(what, "s3") == 0)
        status_s3(status, &m, text(o, "why"), now);
    else if (strcmp(what, "drill") == 0)
        status_drill(status, text(o, "collection"), text(o, "snapshot"), number(o, "seconds"), text(o, "why"),
                     now);
    else if (strcmp(what, "restoring") == 0) {
        status_restore(status, STATUS_RESTORING, "", whole(o, "done"), whole(o, "total"), now);
        status_restore_works(status, now);
    } else if (strcmp(what, "drill_next") == 0)
        status_drill_next(status, (time_t)number(o, "when"));
    else if (strcmp(what, "log") == 0)
        do_log(o);
    else
        return false;
    return true;
}

/* ---- showing ---- */

static void print(cJSON *o)
{
    char *json = o ? cJSON_PrintUnformatted(o) : NULL;
    (void)puts(json ? json : "null");
    free(json);
    cJSON_Delete(o);
}

static cJSON *lines_json(char **lines)
{
    cJSON *list = cJSON_CreateArray();
    for (char **at = lines; at && *at; at++)
        (void)cJSON_AddItemToArray(list, cJSON_CreateString(*at));
    emf_lines_free(lines);
    return list;
}

/* What happened since the last time, as lines. */
static cJSON *show_emf(const cJSON *o)
{
    const struct emf_options options = {word(o, "namespace"), word(o, "tier"), word(o, "cpu_arch")};
    cJSON *now = status_document(status, when(o, "now"));
    char **lines = emf_lines(&options, now, before);
    cJSON_Delete(before);
    before = now;
    return lines_json(lines);
}

static cJSON *show_metrics(const cJSON *o)
{
    size_t size;
    cJSON *document = status_document(status, when(o, "now"));
    char *out = prometheus_write(document, &size);
    cJSON *json = cJSON_CreateString(out);
    cJSON_Delete(document);
    free(out);
    return json;
}

/* {"port"} or {"error"} */
static cJSON *serve(const cJSON *o)
{
    struct err e = {0};
    cJSON *out = cJSON_CreateObject();
    const struct status_http_options options = {.listen = word(o, "listen"),
                                                .token = word(o, "token"),
                                                .node = word(o, "node"),
                                                .hosts = word(o, "hosts")};
    struct status_http *s = status_http_start(&options, status, &e);
    if (s)
        (void)cJSON_AddNumberToObject(out, "port", status_http_port(s));
    else
        (void)cJSON_AddStringToObject(out, "error", e.text);
    if (server && s)
        status_http_stop(s); /* one stays; whoever asks for two wants to see them fail */
    else
        server = s;
    return out;
}

static cJSON *answer(const cJSON *o)
{
    const char *what = word(o, "do");
    if (fill(what, o))
        return cJSON_CreateTrue();
    if (strcmp(what, "status") == 0)
        return status_document(status, when(o, "now"));
    if (strcmp(what, "metrics") == 0)
        return show_metrics(o);
    if (strcmp(what, "emf") == 0)
        return show_emf(o);
    if (strcmp(what, "serve") == 0)
        return serve(o);
    return NULL;
}

int main(void)
{
    char *line = NULL;
    size_t size = 0;
    log_open("driver", LOG_WARN, false);
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    while (getline(&line, &size, stdin) > 0) {
        cJSON *o = cJSON_Parse(line);
        print(answer(o));
        cJSON_Delete(o);
    }
    free(line);
    status_http_stop(server);
    cJSON_Delete(before);
    status_free(status);
    log_close();
    return 0;
}
