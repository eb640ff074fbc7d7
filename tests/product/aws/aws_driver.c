/* The aws library as a program, for the tests beside it: each result is a line of JSON on stdout. TERM sets
 * the library's stop flag. Usage: aws_driver [--flags] COMMAND ARGUMENTS, see `commands` below. */
#include "aws/digest.h"
#include "aws/ecs.h"
#include "aws/region.h"
#include "aws/s3/s3.h"
#include "aws/secret.h"
#include "aws/sign.h"
#include "common/base/files.h"
#include <cjson/cJSON.h>
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <libxml/parser.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static atomic_bool stop;
static void on_term(int n) { (void)n, atomic_store(&stop, true); }

static struct flags {
    const char *relative_host, *bucket, *region, *endpoint, *owner, *storage_class, *kms, *kms_key, *lock,
        *until, *part_size, *sha256, *patience, *ca_file, *peak;
} flag;
static const struct option options[] = {
#define FLAG(name)                                                                                           \
    {                                                                                                        \
        name, required_argument, NULL, 0                                                                     \
    }
    FLAG("relative-host"), FLAG("bucket"),        FLAG("region"),    FLAG("endpoint"),
    FLAG("owner"),         FLAG("storage-class"), FLAG("kms"),       FLAG("kms-key"),
    FLAG("lock"),          FLAG("until"),         FLAG("part-size"), FLAG("sha256"),
    FLAG("patience"),      FLAG("ca-file"),       FLAG("peak"),      {0}};
static const char **const places[] = {
    &flag.relative_host, &flag.bucket, &flag.region,   &flag.endpoint, &flag.owner,
    &flag.storage_class, &flag.kms,    &flag.kms_key,  &flag.lock,     &flag.until,
    &flag.part_size,     &flag.sha256, &flag.patience, &flag.ca_file,  &flag.peak};

static unsigned long long number(const char *text) { return text ? strtoull(text, NULL, 10) : 0; }

static int say(cJSON *o)
{
    char *text = cJSON_PrintUnformatted(o);
    if (!text || puts(text) < 0 || fflush(stdout) != 0)
        return 1;
    cJSON_free(text);
    cJSON_Delete(o);
    return 0;
}
static int say_error(const struct err *e)
{
    cJSON *o = cJSON_CreateObject();
    const char *name = strerrorname_np(e->code);
    cJSON_AddStringToObject(o, "error", e->text);
    cJSON_AddStringToObject(o, "code", name ? name : "");
    (void)say(o);
    return 1;
}

static struct credentials *credentials(struct err *e)
{
    struct credentials_options o = {
        .ca_file = flag.ca_file, .stop = &stop, .relative_host = flag.relative_host};
    return credentials_new(&o, e);
}
static struct aws_client *caller(struct credentials *c)
{
    struct aws_client_options o = {
        .ca_file = flag.ca_file, .stop = &stop, .patience_s = (unsigned)number(flag.patience)};
    return aws_client_new(c, &o);
}

/* ---- sign: vectors as in tests/data/sigv4 on stdin, the headers to send on stdout */

static const char *text(const cJSON *o, const char *name)
{
    const char *s = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, name));
    return s ? s : "";
}
static cJSON *sign_one(const cJSON *v)
{
    const char *headers[32] = {0};
    char hex[DIGEST_HEX];
    unsigned char raw[DIGEST_SIZE];
    size_t n = 0;
    const cJSON *h;
    struct aws_keys keys = {0};
    struct err e;
    (void)snprintf(keys.id, sizeof keys.id, "%s", text(v, "id"));
    (void)snprintf(keys.secret, sizeof keys.secret, "%s", text(v, "secret"));
    (void)snprintf(keys.token, sizeof keys.token, "%s", text(v, "token"));
    cJSON_ArrayForEach(h, cJSON_GetObjectItem(v, "headers")) headers[n++] = h->valuestring;
    if (!digest_sha256(text(v, "body"), strlen(text(v, "body")), raw))
        abort();
    digest_hex(raw, hex);
    struct sign_request r = {text(v, "method"), text(v, "host"), text(v, "path"),
                             text(v, "query"),  headers,         hex};
    struct sign_with w = {&keys, text(v, "region"), text(v, "service"),
                          (time_t)cJSON_GetObjectItem(v, "time")->valuedouble};
    char **lines = sign_headers(&r, &w, &e);
    cJSON *out = cJSON_CreateArray();
    for (char **l = lines; l && *l; l++)
        cJSON_AddItemToArray(out, cJSON_CreateString(*l));
    sign_free(lines);
    return out;
}
static int command_sign(char **args)
{
    struct err e;
    const cJSON *v;
    char *json = files_get(args[0], 64 << 20, &e);
    cJSON *all = json ? cJSON_Parse(json) : NULL, *out = cJSON_CreateArray();
    cJSON_ArrayForEach(v, all) cJSON_AddItemToArray(out, sign_one(v));
    cJSON_Delete(all);
    free(json);
    return say(out);
}

/* ---- keys COUNT PAUSE_MS THREADS ["refuse"] */

struct asking {
    struct credentials *c;
    unsigned count, pause_ms;
    bool refuse;
};
static void *ask(void *arg)
{
    struct asking *a = arg;
    struct aws_keys k;
    struct err e = {0};
    for (unsigned i = 0; i < a->count; i++) {
        if (i)
            (void)usleep(a->pause_ms * 1000);
        if (credentials_get(a->c, &k, &e) != 0) {
            (void)say_error(&e);
            continue;
        }
        cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "id", k.id);
        cJSON_AddStringToObject(o, "secret", k.secret);
        cJSON_AddStringToObject(o, "token", k.token);
        cJSON_AddNumberToObject(o, "expires", (double)k.expires);
        if (a->refuse)
            cJSON_AddNumberToObject(o, "refused", credentials_refused(a->c, &k, &e));
        (void)say(o);
    }
    return NULL;
}
static int command_keys(char **args)
{
    struct err e = {0};
    pthread_t thread[16];
    struct asking a = {.c = credentials(&e),
                       .count = (unsigned)number(args[0]),
                       .pause_ms = (unsigned)number(args[1]),
                       .refuse = args[3] != NULL};
    unsigned threads = (unsigned)number(args[2]);
    if (!a.c)
        return say_error(&e);
    for (unsigned i = 0; i < threads && i < 16; i++)
        if (pthread_create(&thread[i], NULL, ask, &a) != 0)
            abort();
    for (unsigned i = 0; i < threads && i < 16; i++)
        (void)pthread_join(thread[i], NULL);
    credentials_free(a.c);
    return 0;
}

/* ---- secret ARN [KEY [COUNT]] */

static int command_secret(char **args)
{
    struct err e = {0};
    int rc = 0;
    struct credentials *keys = credentials(&e);
    if (!keys)
        return say_error(&e);
    struct aws_client *c = caller(keys);
    unsigned count = args[1] && args[2] ? (unsigned)number(args[2]) : 1;
    for (unsigned i = 0; i < count; i++) {
        char *value = secret_get(c, args[0], args[1], &e), line[8];
        cJSON *o = value ? cJSON_CreateObject() : NULL;
        if (o)
            cJSON_AddStringToObject(o, "value", value);
        rc = o ? say(o) : say_error(&e);
        secret_free(value);
        if (i + 1 < count && !fgets(line, sizeof line, stdin)) /* the test says when to go on */
            break;
    }
    aws_client_free(c);
    credentials_free(keys);
    return rc;
}

/* ---- put FILE KEY, get KEY FILE, list PREFIX ["folders"] */

static struct s3 *bucket(struct aws_client *c, struct err *e)
{
    struct s3_bucket b = {.name = flag.bucket ? flag.bucket : "",
                          .region = flag.region,
                          .endpoint = flag.endpoint,
                          .owner = flag.owner,
                          .storage_class = flag.storage_class,
                          .kms = flag.kms != NULL,
                          .kms_key = flag.kms_key};
    return s3_new(c, &b, e);
}
static ssize_t read_file(void *arg, void *buf, size_t n)
{
    return read(*(int *)arg, buf, n > 99999 ? 99999 : n);
}
static int write_file(void *arg, const void *data, size_t n)
{
    return write(*(int *)arg, data, n) == (ssize_t)n ? 0 : -1;
}

static int put(struct s3 *s, const char *path, const char *key)
{
    struct stat st;
    struct err e = {0};
    struct s3_result r;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0)
        abort();
    struct s3_object o = {.key = key,
                          .size = (uint64_t)st.st_size,
                          .sha256 = flag.sha256 ? flag.sha256 : "",
                          .read = read_file,
                          .arg = &fd,
                          .part_size = number(flag.part_size),
                          .lock_mode = flag.lock,
                          .lock_until = (time_t)number(flag.until)};
    int rc = s3_put(s, &o, &r, &e);
    (void)close(fd);
    if (rc != 0)
        return say_error(&e);
    cJSON *out = cJSON_CreateObject();
    cJSON_AddBoolToObject(out, "existed", r.existed);
    cJSON_AddBoolToObject(out, "resumed", r.resumed);
    cJSON_AddNumberToObject(out, "sent", r.parts_sent);
    cJSON_AddNumberToObject(out, "kept", r.parts_kept);
    cJSON_AddStringToObject(out, "etag", r.etag);
    cJSON_AddStringToObject(out, "version", r.version);
    return say(out);
}

static int get(struct s3 *s, const char *key, const char *path)
{
    struct err e = {0};
    struct s3_info info;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        abort();
    int rc = s3_get(s, key, write_file, &fd, &info, &e);
    (void)close(fd);
    if (rc < 0)
        return say_error(&e);
    cJSON *out = cJSON_CreateObject();
    cJSON_AddBoolToObject(out, "there", rc == 0);
    cJSON_AddNumberToObject(out, "size", (double)info.size);
    cJSON_AddStringToObject(out, "sha256", info.sha256);
    return say(out);
}

static int tell_listed(void *arg, const struct s3_listed *o, struct err *e)
{
    cJSON *out = cJSON_CreateObject();
    (void)arg, (void)e;
    cJSON_AddStringToObject(out, "key", o->key);
    cJSON_AddNumberToObject(out, "size", (double)o->size);
    cJSON_AddNumberToObject(out, "modified", (double)o->modified);
    return say(out);
}
static int list(struct s3 *s, const char *prefix, const char *folders)
{
    struct err e = {0};
    return s3_list(s, prefix, folders != NULL, tell_listed, NULL, &e) == 0 ? 0 : say_error(&e);
}

static int with_bucket(int (*what)(struct s3 *, const char *, const char *), char **args)
{
    struct err e = {0};
    struct credentials *keys = credentials(&e);
    struct aws_client *c = keys ? caller(keys) : NULL;
    struct s3 *s = c ? bucket(c, &e) : NULL;
    int rc = s ? what(s, args[0], args[1]) : say_error(&e);
    s3_free(s);
    aws_client_free(c);
    credentials_free(keys);
    return rc;
}
static int command_put(char **args) { return with_bucket(put, args); }
static int command_get(char **args) { return with_bucket(get, args); }
static int command_list(char **args) { return with_bucket(list, args); }

/* ---- ecs: by ECS_CONTAINER_METADATA_URI_V4 */

static int command_ecs(char **args)
{
    struct ecs_task t;
    struct err e = {0};
    (void)args;
    int rc = ecs_task_get(getenv("ECS_CONTAINER_METADATA_URI_V4"), &stop, &t, &e);
    if (rc < 0)
        return say_error(&e);
    cJSON *o = cJSON_CreateObject();
    cJSON_AddBoolToObject(o, "on_ecs", rc == 0);
    cJSON_AddStringToObject(o, "arn", t.arn);
    cJSON_AddStringToObject(o, "cluster", t.cluster);
    cJSON_AddStringToObject(o, "family", t.family);
    cJSON_AddStringToObject(o, "revision", t.revision);
    cJSON_AddStringToObject(o, "zone", t.zone);
    cJSON_AddStringToObject(o, "region", t.region);
    return say(o);
}

/* ---- protect MINUTES: by ECS_AGENT_URI */

static int command_protect(char **args)
{
    struct err e = {0};
    if (ecs_task_protect(getenv("ECS_AGENT_URI"), (unsigned)atoi(args[0]), &stop, &e) != 0)
        return say_error(&e);
    return say(cJSON_CreateObject());
}

/* ---- host SERVICE REGION */

static int command_host(char **args)
{
    char host[HOST_MAX];
    region_host(args[0], args[1], host);
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "host", host);
    return say(o);
}

static const struct {
    const char *name;
    int arguments; /* at least */
    int (*run)(char **args);
} commands[] = {{"sign", 1, command_sign}, {"keys", 3, command_keys}, {"secret", 1, command_secret},
                {"put", 2, command_put},   {"get", 2, command_get},   {"list", 1, command_list},
                {"ecs", 0, command_ecs},   {"host", 2, command_host}, {"protect", 1, command_protect}};

/* --peak FILE: the most memory that this program had, in KiB. Not getrusage(2)'s, which begins with what the
 * process had before execve(2). */
static void tell_peak(void)
{
    char line[128];
    unsigned long kib = 0;
    FILE *in = fopen("/proc/self/status", "re"), *out = fopen(flag.peak, "we");
    while (in && fgets(line, sizeof line, in))
        if (strncmp(line, "VmHWM:", 6) == 0)
            kib = strtoul(line + 6, NULL, 10);
    if (!in || !out || fprintf(out, "%lu", kib) < 0 || fclose(out) != 0)
        abort();
    (void)fclose(in);
}

int main(int argc, char **argv)
{
    int index = 0, rc = 64;
    struct sigaction term = {.sa_handler = on_term};
    if (sigaction(SIGTERM, &term, NULL) != 0 || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return 70;
    xmlInitParser();
    while (getopt_long(argc, argv, "+", options, &index) == 0)
        *places[index] = optarg;
    for (size_t i = 0; optind < argc && i < sizeof commands / sizeof *commands; i++)
        if (strcmp(argv[optind], commands[i].name) == 0 && argc - optind - 1 >= commands[i].arguments)
            rc = commands[i].run(argv + optind + 1);
    if (flag.peak)
        tell_peak();
    curl_global_cleanup();
    xmlCleanupParser();
    return rc;
}
