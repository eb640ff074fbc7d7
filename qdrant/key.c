#include "qdrant/key.h"
#include "aws/secret.h"
#include "common/base/clock.h"
#include "common/base/files.h"
#include "common/log.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { FETCH_AGAIN = 30000 };

struct key {
    const struct qdrant_settings *settings;
    const atomic_bool *stop;
    pthread_mutex_t mutex; /* for all below */
    char value[API_KEY_MAX];
    bool have;
    struct stat file; /* when `value` was read from it */
    struct err failed;
    int64_t fetch_after; /* monotonic milliseconds; do not bother Secrets Manager before */
    struct credentials *credentials;
    struct aws_client *caller;
};

struct key *key_new(const struct qdrant_settings *s, const atomic_bool *stop)
{
    struct key *k = calloc(1, sizeof *k);
    if (!k)
        return NULL;
    k->settings = s;
    k->stop = stop;
    if (pthread_mutex_init(&k->mutex, NULL) != 0)
        return free(k), NULL;
    if (!s->secret_arn[0] && !s->key_file[0]) {
        (void)snprintf(k->value, sizeof k->value, "%s", s->key);
        k->have = true;
    }
    return k;
}

void key_free(struct key *k)
{
    if (!k)
        return;
    (void)pthread_mutex_destroy(&k->mutex);
    aws_client_free(k->caller);
    credentials_free(k->credentials);
    explicit_bzero(k, sizeof *k);
    free(k);
}

/* The file's one line, wiped and freed by the caller; NULL with `e`. */
static char *read_file(const char *path, struct err *e)
{
    char *text = files_get(path, API_KEY_MAX - 1, e);
    size_t n = text ? strcspn(text, "\r\n") : 0;
    if (!text || (n > 0 && strspn(text + n, "\r\n") == strlen(text + n))) {
        if (text)
            text[n] = 0;
        return text;
    }
    free(text);
    (void)err_set(e, 0, "no key in QDRANT_API_KEY_FILE", path, "put the key there, on one line");
    return NULL;
}

int key_file_check(const struct qdrant_settings *s, struct err *e)
{
    struct err why = {0};
    if (!s->key_file[0] || s->secret_arn[0])
        return 0;
    char *text = read_file(s->key_file, &why);
    if (!text)
        return config_wrong(e, "QDRANT_API_KEY_FILE", s->key_file,
                            "a readable file that holds the key on one line of less than 1 KiB");
    explicit_bzero(text, strlen(text));
    free(text);
    return 0;
}

static int take_file(struct key *k, struct err *e)
{
    const char *path = k->settings->key_file;
    struct stat st;
    if (stat(path, &st) != 0)
        return err_set(e, errno, "cannot read QDRANT_API_KEY_FILE", path, "put the key there");
    if (k->have && st.st_ino == k->file.st_ino && st.st_size == k->file.st_size &&
        st.st_mtim.tv_sec == k->file.st_mtim.tv_sec && st.st_mtim.tv_nsec == k->file.st_mtim.tv_nsec)
        return 0;
    char *text = read_file(path, e);
    if (!text)
        return -1;
    (void)snprintf(k->value, sizeof k->value, "%s", text);
    explicit_bzero(text, strlen(text));
    free(text);
    k->file = st;
    k->have = true;
    return 0;
}

static int fetch(struct key *k, struct err *e)
{
    const struct qdrant_settings *s = k->settings;
    if (!k->credentials)
        k->credentials = credentials_new(&(struct credentials_options){.stop = k->stop}, e);
    if (k->credentials && !k->caller &&
        !(k->caller =
              aws_client_new(k->credentials, &(struct aws_client_options){.stop = k->stop, .patience_s = 5})))
        return err_set(e, ENOMEM, "cannot fetch AK_ARN", NULL, NULL);
    char *value =
        k->caller ? secret_get(k->caller, s->secret_arn, s->secret_json_key[0] ? s->secret_json_key : NULL, e)
                  : NULL;
    if (!value)
        return -1;
    (void)snprintf(k->value, sizeof k->value, "%s", value);
    secret_free(value);
    k->have = true;
    return 0;
}

/* With a fetch that failed a moment ago the same error is given at once: each of many requests would wait for
 * its time-outs else. */
static int take_secret(struct key *k, bool anew, struct err *e)
{
    if (k->have && !anew)
        return 0;
    if (clock_ms() >= k->fetch_after) {
        k->failed = (struct err){0};
        int rc = fetch(k, &k->failed);
        k->fetch_after = clock_ms() + FETCH_AGAIN;
        if (rc == 0)
            return 0;
        if (k->have && k->failed.code != ECANCELED)
            log_line(LOG_WARN, "key_not_fetched", "Qdrant refuses the key, and AK_ARN gives no other: %s",
                     k->failed.text);
    }
    if (k->have)
        return 0; /* the old one may do */
    *e = k->failed;
    return -1;
}

static int current(struct key *k, bool anew, struct err *e)
{
    if (k->settings->secret_arn[0])
        return take_secret(k, anew, e);
    return k->settings->key_file[0] ? take_file(k, e) : 0;
}

int key_get(struct key *k, char out[API_KEY_MAX], struct err *e)
{
    struct err why = {0};
    (void)pthread_mutex_lock(&k->mutex);
    int rc = current(k, false, &why);
    (void)snprintf(out, API_KEY_MAX, "%s", rc == 0 ? k->value : "");
    (void)pthread_mutex_unlock(&k->mutex);
    if (rc != 0 && e)
        *e = why;
    return rc;
}

bool key_refused(struct key *k, const char *used)
{
    struct err why = {0};
    (void)pthread_mutex_lock(&k->mutex);
    bool other = strcmp(used, k->value) != 0 /* another thread was here before */ ||
                 (current(k, true, &why) == 0 && strcmp(used, k->value) != 0);
    (void)pthread_mutex_unlock(&k->mutex);
    return other;
}
