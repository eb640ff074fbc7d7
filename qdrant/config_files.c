#include "qdrant/config_files.h"
#include "common/base/cleanup.h"
#include "common/config.h"
#include "common/base/files.h"
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <yaml.h>

/* The loader of libyaml takes time with the square of the depth, and of the anchors. */
enum { FILE_MAX = 1 << 20, PARTS = 3, DEPTH_MAX = 64, ANCHORS_MAX = 1000 };

static const struct row {
    const char *variable, *path[PARTS + 1];
    bool secret, folder;
} rows[CONFIG_KEYS] = {
    {"QDRANT__SERVICE__HOST", {"service", "host"}, false, false},
    {"QDRANT__SERVICE__HTTP_PORT", {"service", "http_port"}, false, false},
    {"QDRANT__SERVICE__ENABLE_TLS", {"service", "enable_tls"}, false, false},
    {"QDRANT__SERVICE__API_KEY", {"service", "api_key"}, true, false},
    {"QDRANT__SERVICE__READ_ONLY_API_KEY", {"service", "read_only_api_key"}, true, false},
    {"QDRANT__STORAGE__STORAGE_PATH", {"storage", "storage_path"}, false, true},
    {"QDRANT__STORAGE__SNAPSHOTS_PATH", {"storage", "snapshots_path"}, false, true},
    {"QDRANT__STORAGE__TEMP_PATH", {"storage", "temp_path"}, false, true},
    {"QDRANT__STORAGE__SNAPSHOTS_CONFIG__SNAPSHOTS_STORAGE",
     {"storage", "snapshots_config", "snapshots_storage"},
     false,
     false},
    {"QDRANT__CLUSTER__ENABLED", {"cluster", "enabled"}, false, false},
};

void config_values_free(struct config_values *c)
{
    for (size_t i = 0; i < CONFIG_KEYS; i++)
        free(c->v[i]);
    *c = (struct config_values){0};
}
#define cleanup_values __attribute__((cleanup(config_values_free)))

const char *config_values_get(const struct config_values *c, const char *variable)
{
    for (size_t i = 0; i < CONFIG_KEYS; i++)
        if (strcmp(rows[i].variable, variable) == 0)
            return c->v[i];
    return NULL;
}

/* --- YAML */

static bool is(const yaml_node_t *n, const char *text)
{
    return n && n->type == YAML_SCALAR_NODE && strlen(text) == n->data.scalar.length &&
           memcmp(n->data.scalar.value, text, n->data.scalar.length) == 0;
}

/* The last one of that name counts. */
static yaml_node_t *member(yaml_document_t *d, const yaml_node_t *map, const char *name)
{
    yaml_node_t *found = NULL;
    if (!map || map->type != YAML_MAPPING_NODE)
        return NULL;
    for (const yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top; p++)
        if (is(yaml_document_get_node(d, p->key), name))
            found = yaml_document_get_node(d, p->value);
    return found;
}

static bool is_null(const yaml_node_t *n)
{
    return n->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (n->data.scalar.length == 0 || is(n, "null") || is(n, "Null") || is(n, "NULL") || is(n, "~"));
}

/* An integer as it is written in decimal, which is how it becomes a string or a port: 0x43b5 is 17333, as
 * yaml-rust2 (0.11, Yaml::from_str) has it. */
static bool integer(const char *text, long long *out)
{
    int base = strncmp(text, "0x", 2) == 0 ? 16 : strncmp(text, "0o", 2) == 0 ? 8 : 10;
    const char *digits = text + (base != 10 ? 2 : *text == '+' || *text == '-');
    size_t n = strspn(digits, base == 16 ? "0123456789abcdefABCDEF" : base == 8 ? "01234567" : "0123456789");
    if (n == 0 || digits[n])
        return false;
    errno = 0;
    *out = strtoll(base == 10 ? text : digits, NULL, base);
    return errno == 0;
}

static char *text_of(const yaml_node_t *n)
{
    char *text = strndup((const char *)n->data.scalar.value, n->data.scalar.length), *decimal = NULL;
    long long number;
    if (!text || n->data.scalar.style != YAML_PLAIN_SCALAR_STYLE || !integer(text, &number))
        return text;
    free(text);
    return asprintf(&decimal, "%lld", number) < 0 ? NULL : decimal;
}

/* How many parts of the path this key of a file's top is: Qdrant's crate config (0.15.23, src/source.rs)
 * takes "service.http_port" there, and only there, for a path. 0: it is another's. */
static size_t parts(const yaml_node_t *key, const char *const *path)
{
    if (!key || key->type != YAML_SCALAR_NODE)
        return 0;
    const yaml_char_t *text = key->data.scalar.value;
    size_t left = key->data.scalar.length;
    for (size_t k = 0; path[k]; k++, text++, left--) {
        size_t n = strlen(path[k]);
        if (left < n || memcmp(text, path[k], n) != 0)
            return 0;
        text += n;
        left -= n;
        if (left == 0)
            return k + 1;
        if (*text != '.')
            return 0;
    }
    return 0;
}

static int set_one(struct config_values *c, size_t i, const yaml_node_t *n, struct err *e)
{
    free(c->v[i]);
    c->v[i] = NULL;
    if (is_null(n))
        return 0;
    c->v[i] = text_of(n);
    return c->v[i] ? 0 : err_set(e, ENOMEM, "cannot read Qdrant's configuration", NULL, NULL);
}

static int add_one(struct config_values *c, size_t i, yaml_document_t *d, struct err *e)
{
    const yaml_node_t *root = yaml_document_get_root_node(d);
    if (!root || root->type != YAML_MAPPING_NODE)
        return 0;
    for (const yaml_node_pair_t *p = root->data.mapping.pairs.start; p < root->data.mapping.pairs.top; p++) {
        size_t k = parts(yaml_document_get_node(d, p->key), rows[i].path);
        const yaml_node_t *n = k ? yaml_document_get_node(d, p->value) : NULL;
        for (; n && rows[i].path[k]; k++)
            n = member(d, n, rows[i].path[k]);
        if (n && n->type == YAML_SCALAR_NODE && set_one(c, i, n, e) != 0)
            return -1;
    }
    return 0;
}

static bool has_name(const yaml_event_t *v)
{
    return v->type == YAML_ALIAS_EVENT || (v->type == YAML_SCALAR_EVENT && v->data.scalar.anchor) ||
           (v->type == YAML_SEQUENCE_START_EVENT && v->data.sequence_start.anchor) ||
           (v->type == YAML_MAPPING_START_EVENT && v->data.mapping_start.anchor);
}

/* What of the text would keep the loader busy, or NULL; the loader itself says what is no YAML. */
static const char *excess(yaml_parser_t *parser, size_t *line)
{
    yaml_event_t v;
    bool over = false;
    for (size_t depth = 0, names = 0; !over && yaml_parser_parse(parser, &v); yaml_event_delete(&v)) {
        depth += v.type == YAML_SEQUENCE_START_EVENT || v.type == YAML_MAPPING_START_EVENT;
        depth -= v.type == YAML_SEQUENCE_END_EVENT || v.type == YAML_MAPPING_END_EVENT;
        names += has_name(&v);
        *line = v.start_mark.line + 1;
        over = v.type == YAML_DOCUMENT_END_EVENT || v.type == YAML_STREAM_END_EVENT;
        const char *what = depth > DEPTH_MAX     ? "it is nested too deep"
                           : names > ANCHORS_MAX ? "it has too many anchors and aliases"
                                                 : NULL;
        if (what)
            return yaml_event_delete(&v), what;
    }
    return NULL;
}

static int check_excess(const char *yaml, size_t n, struct err *e)
{
    yaml_parser_t parser;
    char what[300];
    size_t line = 0;
    if (!yaml_parser_initialize(&parser))
        return err_set(e, ENOMEM, "cannot read Qdrant's configuration", NULL, NULL);
    yaml_parser_set_input_string(&parser, (const unsigned char *)yaml, n);
    const char *why = excess(&parser, &line);
    yaml_parser_delete(&parser);
    if (!why)
        return 0;
    (void)snprintf(what, sizeof what, "%s to be read: line %zu", why, line);
    (void)err_set(e, 0, what, NULL, NULL);
    if (e)
        e->code = E2BIG; /* Qdrant may read it */
    return -1;
}

int config_values_add(struct config_values *c, const char *yaml, size_t n, struct err *e)
{
    yaml_parser_t parser;
    yaml_document_t document;
    char what[300];
    if (check_excess(yaml, n, e) != 0)
        return -1;
    if (!yaml_parser_initialize(&parser))
        return err_set(e, ENOMEM, "cannot read Qdrant's configuration", NULL, NULL);
    yaml_parser_set_input_string(&parser, (const unsigned char *)yaml, n);
    bool loaded = yaml_parser_load(&parser, &document);
    int rc = loaded ? 0 : -1;
    if (!loaded) {
        (void)snprintf(what, sizeof what, "it is no YAML: line %zu: %.200s", parser.problem_mark.line + 1,
                       parser.problem ? parser.problem : "no memory");
        (void)err_set(e, 0, what, NULL, NULL);
    }
    for (size_t i = 0; rc == 0 && i < CONFIG_KEYS; i++)
        rc = add_one(c, i, &document, e);
    if (loaded)
        yaml_document_delete(&document);
    yaml_parser_delete(&parser);
    return rc;
}

/* --- the files */

/* As the crate config (0.15) looks for it: the name itself, or with an extension. False: there is none. */
static bool find(const char *name, char out[PATH_MAX])
{
    static const char *const suffix[] = {"", ".yaml", ".yml"};
    struct stat st;
    for (size_t i = 0; i < sizeof suffix / sizeof *suffix; i++) {
        int n = snprintf(out, PATH_MAX, "%s%s", name, suffix[i]);
        const char *dot = strrchr(out, '.');
        if (n > 0 && n < PATH_MAX && dot && (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0) &&
            stat(out, &st) == 0 && S_ISREG(st.st_mode))
            return true;
    }
    return false;
}

static int add_file(struct config_values *c, const char *name, struct err *e)
{
    char path[PATH_MAX];
    struct err why = {0};
    if (!find(name, path))
        return 0;
    cleanup_free char *text = files_get(path, FILE_MAX, e);
    if (!text)
        return -1;
    if (config_values_add(c, text, strlen(text), &why) == 0)
        return 0;
    return err_set(e, 0, why.text, path,
                   why.code == E2BIG ? "make it simpler" : "Qdrant does not read it either");
}

static int read_all(struct config_values *c, struct err *e)
{
    char mode[PATH_MAX];
    const char *given = config_env("QDRANT_CONFIG_PATH", "");
    (void)snprintf(mode, sizeof mode, "config/%.255s", config_env("RUN_MODE", "development"));
    return add_file(c, "config/config", e) || add_file(c, mode, e) || add_file(c, "config/local", e) ||
                   (*given && add_file(c, given, e))
               ? -1
               : 0;
}

/* Qdrant takes a relative path as below its working folder, which is ours. */
static int absolute(char **value, struct err *e)
{
    char folder[PATH_MAX], *whole = NULL;
    if (**value == '/')
        return 0;
    if (!getcwd(folder, sizeof folder))
        return err_set(e, errno, "cannot tell the working folder", NULL, NULL);
    if (asprintf(&whole, "%s/%s", strcmp(folder, "/") == 0 ? "" : folder,
                 strncmp(*value, "./", 2) == 0 ? *value + 2 : *value) < 0)
        return err_set(e, ENOMEM, "cannot read Qdrant's configuration", NULL, NULL);
    free(*value);
    *value = whole;
    return 0;
}

/* What the files say beyond the variables. */
static int read_rest(struct config_values *c, struct err *e)
{
    if (read_all(c, e) != 0)
        return -1;
    for (size_t i = 0; i < CONFIG_KEYS; i++) {
        if (c->v[i] && (!*c->v[i] || *config_env(rows[i].variable, ""))) {
            free(c->v[i]);
            c->v[i] = NULL;
        }
        if (c->v[i] && rows[i].folder && absolute(&c->v[i], e) != 0)
            return -1;
    }
    return 0;
}

int config_files_apply(struct err *e)
{
    cleanup_values struct config_values c = {0};
    if (read_rest(&c, e) != 0)
        return -1;
    for (size_t i = 0; i < CONFIG_KEYS; i++)
        if (c.v[i] && setenv(rows[i].variable, c.v[i], 1) != 0)
            return err_set(e, errno, "cannot set", rows[i].variable, NULL);
    return 0;
}

int config_files_print(FILE *to)
{
    cleanup_values struct config_values c = {0};
    struct err e = {0};
    if (read_rest(&c, &e) != 0)
        return (void)fprintf(stderr, "qdrant-replicator: %s\n", e.text), EXIT_SETTING;
    for (size_t i = 0; i < CONFIG_KEYS; i++)
        if (c.v[i] && !rows[i].secret && !strchr(c.v[i], '\n') &&
            fprintf(to, "%s=%s\n", rows[i].variable, c.v[i]) < 0)
            return 1;
    return fflush(to) == 0 ? 0 : 1;
}
