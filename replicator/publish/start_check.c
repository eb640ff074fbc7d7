#include "replicator/publish/start_check.h"
#include "common/log.h"
#include "efs/repo/local_check.h"
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>

struct line {
    FILE *out;
    int count[CHECK_FAILED + 1];
    int said;
};

static void add(void *arg, enum check_state state, const char *name, const char *remedy, const char *text)
{
    struct line *l = arg;
    (void)fprintf(l->out, "%s%s %s: %s", l->said++ ? "; " : "", name, check_state_text(state), text);
    if (remedy)
        (void)fprintf(l->out, " (do: %s)", remedy);
    l->count[state]++;
}

static void print(const struct line *l, const char *text)
{
    int failed = l->count[CHECK_FAILED], warnings = l->count[CHECK_WARNING];
    cJSON *f = cJSON_CreateObject();
    if (f) { /* a member that finds no memory is left out */
        (void)cJSON_AddNumberToObject(f, "ok", l->count[CHECK_OK]);
        (void)cJSON_AddNumberToObject(f, "warnings", warnings);
        (void)cJSON_AddNumberToObject(f, "failed", failed);
    }
    log_fields(failed > 0 ? LOG_ERROR : warnings > 0 ? LOG_WARN : LOG_INFO, "checked", f, "%s", text);
}

void start_check(struct context *x)
{
    char *text = NULL;
    size_t n = 0;
    struct line l = {.out = open_memstream(&text, &n)};
    const struct local_check c = {
        .settings = &x->settings, .root = x->settings.efs_root, .say = add, .arg = &l};
    if (!l.out)
        return;
    local_check_efs(&c);
    local_check_disk(&c, x->options.min_free);
    if (fclose(l.out) == 0)
        print(&l, text);
    free(text);
}
