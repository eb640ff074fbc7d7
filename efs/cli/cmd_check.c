/* check: the settings, the mount, writing to it, clocks, the local disk; what replicators and drills left. */
#include "efs/cli/cmd_check.h"
#include "common/base/cleanup.h"
#include "common/base/files.h"
#include "common/base/text.h"
#include "common/json.h"
#include "efs/cli/cmd_page.h"
#include "efs/cli/cmd_table.h"
#include "efs/replica/replica.h"
#include "efs/repo/mount.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct check {
    const struct options *o;
    size_t count[CHECK_FAILED + 1];
    struct page page;
    cJSON *all, *list; /* with --json */
};

const struct options *check_options(const struct check *k) { return k->o; }

static void say_line(const struct check *k, enum check_state state, const char *name, const char *text,
                     const char *remedy)
{
    static const char *const paint[] = {"\033[32m", "", "\033[33m", "\033[31m"};
    bool colour = cmd_colour() && state != CHECK_OFF;
    (void)k;
    (void)printf("%s%-8s%s %-11s %s\n", colour ? paint[state] : "", check_state_text(state),
                 colour ? "\033[0m" : "", name, text);
    if (remedy)
        (void)printf("%20s do: %s\n", "", remedy);
    (void)fflush(stdout); /* the next one may take long, or hang */
}

void check_say(struct check *k, enum check_state state, const char *name, const char *remedy, const char *fmt,
               ...)
{
    char raw[2048], text[2048];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(raw, sizeof raw, fmt, ap);
    va_end(ap);
    (void)text_printable(raw, text, sizeof text);
    k->count[state]++;
    if (!k->all)
        return say_line(k, state, name, text, remedy);
    static const char *const word[] = {"ok", "off", "warning", "failed"};
    cJSON *o = page_element(&k->page, k->list);
    page_text(&k->page, o, "name", name);
    page_text(&k->page, o, "state", word[state]);
    page_text(&k->page, o, "text", text);
    page_text(&k->page, o, "remedy", remedy ? remedy : "");
}

/* --- the mount, writing to it, the clock, the local disk */

static void say_local(void *arg, enum check_state state, const char *name, const char *remedy,
                      const char *text)
{
    check_say(arg, state, name, remedy, "%s", text);
}

static void look_around(struct check *k)
{
    const struct local_check c = {.settings = &k->o->settings,
                                  .root = k->o->root,
                                  .rounds = LOCAL_CHECK_ROUNDS,
                                  .say = say_local,
                                  .arg = k};
    struct err e = {0};
    uint64_t least;
    local_check_efs(&c);
    if (config_bytes("MIN_FREE", config_standard(drill_rows, DRILL_ROWS, "MIN_FREE"), &least, &e) != 0)
        check_say(k, CHECK_FAILED, "disk", "correct MIN_FREE", "%s", e.text);
    else
        local_check_disk(&c, least);
}

/* --- what was left on EFS */

struct trees {
    struct check *k;
    size_t n;
};

static void look_at_beats(struct check *k, const char *base, const char *tree)
{
    struct replica_beats beats = {0};
    struct err e = {0};
    char age[32], safe[600];
    size_t n = 0;
    if (replica_beats_read(base, &beats, &e) != 0)
        check_say(k, CHECK_FAILED, "replicator", "let this user read there", "%s", e.text);
    for (size_t i = 0; i < beats.n; i++) {
        const struct replica_beat *b = &beats.v[i];
        if (!b->read || replica_beat_gone(&beats, b))
            continue;
        time_t old = replica_age(b->h.written, time(NULL));
        n++;
        check_say(k, old > CHECK_BEAT ? CHECK_WARNING : CHECK_OK, "replicator",
                  old > CHECK_BEAT ? "see that the task of this node runs, and its log" : NULL,
                  "%s: heartbeat of %s, %s ago", tree,
                  b->h.node[0] ? text_printable(b->h.node, safe, sizeof safe) : "a node without NODE_NAME",
                  table_age(old, age));
    }
    if (n == 0 && !e.text[0])
        check_say(k, CHECK_WARNING, "replicator", "start qdrant-replicator, and see its log",
                  "%s: no heartbeat, so that no replicator has published there", tree);
    replica_beats_free(&beats);
}

static void look_at_drills(struct check *k, const char *base, const char *tree)
{
    struct err e = {0};
    time_t when = 0;
    char age[32];
    const char *remedy;
    cleanup_free char *text = history_last_text(base, &history_drills, NULL, &when, &e);
    cleanup_json cJSON *o = text ? cJSON_Parse(text) : NULL;
    if (!text && when == 0) {
        check_say(k, CHECK_WARNING, "drill", "set DRILL_SCHEDULE, or run qdrant-efs drill --keep-report",
                  "%s: no backup was ever restored for proof", tree);
        return;
    }
    if (!cJSON_IsObject(o)) {
        check_say(k, CHECK_FAILED, "drill", "run qdrant-efs drill --keep-report",
                  "%s: the report of the last one cannot be read", tree);
        return;
    }
    time_t old = replica_age(when, time(NULL));
    enum check_state state = check_drill_rule(json_text(o, "verdict"), old, &remedy);
    check_say(k, state, "drill", remedy, "%s: %s, %s ago", tree, json_text(o, "verdict"),
              table_age(old, age));
}

static int look_at_tree(const struct options *o, const char *base, void *arg, struct err *e)
{
    struct trees *t = arg;
    const char *tree = strrchr(base, '/') + 1;
    struct stat st;
    (void)o;
    (void)e;
    if (stat(base, &st) != 0)
        return 0;
    t->n++;
    look_at_beats(t->k, base, tree);
    look_at_drills(t->k, base, tree);
    return 0;
}

static void look_at_trees(struct check *k)
{
    struct trees t = {.k = k};
    struct err e = {0};
    struct stat st;
    if (stat(k->o->root, &st) != 0 || !S_ISDIR(st.st_mode))
        return; /* that was said */
    if (cmd_each_tree(k->o, look_at_tree, &t, &e) != 0)
        check_say(k, CHECK_FAILED, "backups", "let this user read there", "%s", e.text);
    else if (t.n == 0)
        check_say(k, CHECK_WARNING, "backups",
                  "start qdrant-replicator with this EFS_ROOT, TIER and CPU_ARCH",
                  "no tree of backups below %s", k->o->root);
}

/* --- all */

static void look_at_settings(struct check *k)
{
    const struct settings *s = &k->o->settings;
    const char *unsigned_why = settings_unsigned(s);
    check_say(k, unsigned_why ? CHECK_WARNING : CHECK_OK, "settings",
              unsigned_why ? "give writers and readers keys of one pair" : NULL, "tree %s below %s, %s%s%s%s",
              strrchr(s->base, '/') ? strrchr(s->base, '/') + 1 : "-", k->o->root,
              s->node[0] ? "node " : "without NODE_NAME", s->node, unsigned_why ? "; " : "",
              unsigned_why ? unsigned_why : "");
}

static int finish(struct check *k)
{
    size_t bad = k->count[CHECK_FAILED];
    int rc;
    if (k->all) {
        page_flag(&k->page, k->all, "good", bad == 0);
        rc = page_print(&k->page, k->all);
    } else {
        (void)printf("%zu ok, %zu warning%s, %zu failed, %zu off\n", k->count[CHECK_OK],
                     k->count[CHECK_WARNING], k->count[CHECK_WARNING] == 1 ? "" : "s", bad,
                     k->count[CHECK_OFF]);
        rc = fflush(stdout) == 0 ? 0 : EXIT_DEFECT;
    }
    return bad > 0 ? EXIT_DEFECT : rc;
}

int cmd_check(const struct options *o)
{
    struct check k = {.o = o, .all = o->json ? cJSON_CreateObject() : NULL};
    k.page.ok = true;
    k.list = k.all ? page_array(&k.page, k.all, "checks") : NULL;
    if (o->json && !k.list)
        return cmd_print_json(NULL);
    look_at_settings(&k);
    look_around(&k);
    look_at_trees(&k);
    check_remote(&k);
    return finish(&k);
}
