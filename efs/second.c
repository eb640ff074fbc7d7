#include "efs/second.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/text.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum {
    TRIES = 3, /* another program may take a port before Qdrant does */
    LOOK_MS = 100,
    TERM_MS = 3000,
    TERM_SOON_MS = 300, /* when we are to end ourselves */
    KEY_BYTES = 32,
    VARIABLES = 32,
    IOPRIO_WHO_PROCESS = 1, /* ioprio_set(2); libc has no header for it */
    IDLE = 3 << 13,
    NICEST = 19,
};
extern char **environ;

struct second {
    pid_t pid; /* 0: none */
    int status;
    char log[PATH_MAX];
    char version[32];
    struct qdrant_settings settings, keyless;
    struct key *key, *no_key;
    struct qdrant *qdrant, *stranger; /* who comes without the key */
    const atomic_bool *stop;
};
struct start { /* made before fork: the child of a program with threads may only make system calls */
    const char *program, *dir, *log, *all;
    char *variable[VARIABLES];
    size_t n;
    char **environment;
    int failed; /* the child's end of a pipe */
};

static bool stopped(const struct second *s) { return s->stop && atomic_load(s->stop); }

/* --- what it is told */

static bool tell(struct start *t, const char *name, const char *value)
{
    return t->n < VARIABLES && asprintf(&t->variable[t->n], "%s=%s", name, value) >= 0 && ++t->n;
}

static bool tell_port(struct start *t, const char *name, unsigned port)
{
    char value[16];
    (void)snprintf(value, sizeof value, "%u", port);
    return tell(t, name, value);
}

static bool tell_path(struct start *t, const char *name, const char *below)
{
    char value[PATH_MAX];
    return (size_t)snprintf(value, sizeof value, "%s/%s", t->dir, below) < sizeof value &&
           tell(t, name, value);
}

static bool tell_all(struct start *t, const char *key, const unsigned ports[2])
{
    static const char *const fixed[][2] = {
        {"RUN_MODE", "production"},
        {"QDRANT__LOG_LEVEL", "WARN"},
        {"QDRANT__TELEMETRY_DISABLED", "true"},
        {"QDRANT__CLUSTER__ENABLED", "false"},
        {"QDRANT__SERVICE__HOST", "127.0.0.1"},
        {"QDRANT__SERVICE__ENABLE_TLS", "false"},
        {"QDRANT__SERVICE__MAX_WORKERS", "1"},
        {"QDRANT__SERVICE__ENABLE_STATIC_CONTENT", "false"},
        {"QDRANT__STORAGE__PERFORMANCE__MAX_SEARCH_THREADS", "1"},
        {"QDRANT__STORAGE__PERFORMANCE__OPTIMIZER_CPU_BUDGET", "1"},
        {"QDRANT__STORAGE__OPTIMIZERS__MAX_OPTIMIZATION_THREADS", "1"},
        {"QDRANT__STORAGE__HNSW_INDEX__MAX_INDEXING_THREADS", "1"},
    };
    bool good = tell(t, "QDRANT__SERVICE__API_KEY", key) &&
                tell_port(t, "QDRANT__SERVICE__HTTP_PORT", ports[0]) &&
                tell_port(t, "QDRANT__SERVICE__GRPC_PORT", ports[1]) &&
                tell_path(t, "QDRANT__STORAGE__STORAGE_PATH", "storage") &&
                tell_path(t, "QDRANT__STORAGE__SNAPSHOTS_PATH", "snapshots");
    /* With a folder for temporary files Qdrant (1.18.2, src/snapshots.rs) unpacks a snapshot of the whole
     * storage there, each collection over it, and moves all of that away with the first. */
    good = good && (t->all || tell_path(t, "QDRANT__STORAGE__TEMP_PATH", "temporary"));
    for (size_t i = 0; good && i < sizeof fixed / sizeof *fixed; i++)
        good = tell(t, fixed[i][0], fixed[i][1]);
    return good;
}

/* Nothing that is meant for the other Qdrant (its key, its cluster), and no key to anything else. */
static bool is_private(const char *variable)
{
    static const char *const prefix[] = {"QDRANT", "RUN_MODE=", "AWS_", "AK_", "ECS_"};
    for (size_t i = 0; i < sizeof prefix / sizeof *prefix; i++)
        if (strncmp(variable, prefix[i], strlen(prefix[i])) == 0)
            return true;
    return false;
}

static bool make_environment(struct start *t)
{
    size_t n = 0, all = 0;
    while (environ[all])
        all++;
    t->environment = calloc(all + t->n + 1, sizeof *t->environment);
    if (!t->environment)
        return false;
    for (size_t i = 0; i < all; i++)
        if (!is_private(environ[i]))
            t->environment[n++] = environ[i];
    for (size_t i = 0; i < t->n; i++)
        t->environment[n++] = t->variable[i];
    return true;
}

static void start_free(struct start *t)
{
    for (size_t i = 0; i < t->n; i++) {
        explicit_bzero(t->variable[i], strlen(t->variable[i]));
        free(t->variable[i]);
    }
    free(t->environment);
}
#define cleanup_start __attribute__((cleanup(start_free)))

/* Two that are free now. */
static bool free_ports(unsigned ports[2])
{
    int fd[2] = {-1, -1};
    bool good = true;
    for (int i = 0; i < 2; i++) {
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t size = sizeof a;
        fd[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        good = good && fd[i] >= 0 && bind(fd[i], (struct sockaddr *)&a, sizeof a) == 0 &&
               getsockname(fd[i], (struct sockaddr *)&a, &size) == 0;
        ports[i] = ntohs(a.sin_port);
    }
    for (int i = 0; i < 2; i++)
        cleanup_closep(&fd[i]);
    return good;
}

static bool random_key(char out[2 * KEY_BYTES + 1])
{
    unsigned char raw[KEY_BYTES];
    if (getrandom(raw, sizeof raw, 0) != (ssize_t)sizeof raw)
        return false;
    for (size_t i = 0; i < sizeof raw; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", raw[i]);
    explicit_bzero(raw, sizeof raw);
    return true;
}

/* --- the child */

/* Behind all others. What fails only makes it a little less so. */
static void step_behind(void)
{
    struct rlimit none = {0, 0};
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    bool good = fd >= 0 && write(fd, "1000", 4) == 4;
    good = setpriority(PRIO_PROCESS, 0, NICEST) == 0 && good;
    good = syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IDLE) == 0 && good;
    (void)(setrlimit(RLIMIT_CORE, &none) == 0 && good); /* no key in a core dump */
}

static int standard_files(const char *log)
{
    int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int out = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    return in >= 0 && out >= 0 && dup2(in, 0) == 0 && dup2(out, 1) == 1 && dup2(out, 2) == 2 ? 0 : -1;
}

_Noreturn static void become(const struct start *t, pid_t parent)
{
    char *argv[] = {(char *)t->program, t->all ? "--storage-snapshot" : NULL, (char *)t->all, NULL};
    sigset_t none;
    (void)sigemptyset(&none); /* cannot fail */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
        _exit(1); /* it would outlive us */
    step_behind();
    if (setpgid(0, 0) == 0 && chdir(t->dir) == 0 && standard_files(t->log) == 0 &&
        sigprocmask(SIG_SETMASK, &none, NULL) == 0 && signal(SIGPIPE, SIG_DFL) != SIG_ERR &&
        close_range(3, UINT_MAX, CLOSE_RANGE_CLOEXEC) == 0)
        (void)execve(t->program, argv, t->environment);
    int why = errno;
    ssize_t told = write(t->failed, &why, sizeof why);
    _exit(told == (ssize_t)sizeof why ? 127 : 126);
}

static int spawn(struct second *s, struct start *t, struct err *e)
{
    int ends[2], why = 0;
    pid_t parent = getpid();
    if (pipe2(ends, O_CLOEXEC) != 0)
        return err_set(e, errno, "cannot start", t->program, NULL);
    t->failed = ends[1];
    s->pid = fork();
    if (s->pid == 0)
        become(t, parent);
    (void)close(ends[1]); /* a pipe that nothing was written to */
    ssize_t n = s->pid > 0 ? read(ends[0], &why, sizeof why) : 0;
    (void)close(ends[0]);
    if (s->pid < 0) {
        s->pid = 0;
        return err_set(e, errno, "cannot start", t->program, NULL);
    }
    if (n == 0)
        return 0;
    (void)waitpid(s->pid, &s->status, 0);
    s->pid = 0;
    return err_set(e, why, "cannot start", t->program, "set QDRANT_BIN to Qdrant's program");
}

/* --- its life */

static bool reaped(struct second *s)
{
    if (s->pid > 0 && waitpid(s->pid, &s->status, WNOHANG) == s->pid)
        s->pid = 0;
    return s->pid == 0;
}

static void last_line(const char *path, char *out, size_t size)
{
    char text[4097];
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    off_t end = fd >= 0 ? lseek(fd, 0, SEEK_END) : 0;
    ssize_t n = fd >= 0 ? pread(fd, text, sizeof text - 1, end > 4096 ? end - 4096 : 0) : 0;
    text[n > 0 ? n : 0] = 0;
    for (size_t k = strlen(text); k > 0 && text[k - 1] == '\n';)
        text[--k] = 0;
    const char *line = strrchr(text, '\n');
    (void)text_printable(line ? line + 1 : text, out, size);
}

bool second_ended(struct second *s, char *why, size_t size)
{
    char line[300];
    if (!reaped(s))
        return false;
    last_line(s->log, line, sizeof line);
    if (WIFSIGNALED(s->status))
        (void)snprintf(why, size, "the second Qdrant was killed by signal %d%s%s%s", WTERMSIG(s->status),
                       WTERMSIG(s->status) == SIGKILL ? ", most likely for its memory" : "",
                       *line ? ": " : "", line);
    else
        (void)snprintf(why, size, "the second Qdrant ended with %d%s%s", WEXITSTATUS(s->status),
                       *line ? ": " : "", line);
    return true;
}

/* Is it ours that answers? A stranger that took the port has another key, or none. */
static int is_ours(struct second *s, struct err *e)
{
    struct qdrant_names names = {0};
    struct err why = {0};
    int with_key = qdrant_collections(s->qdrant, &names, &why);
    qdrant_names_free(&names);
    if (with_key != 0 && why.code != QDRANT_REFUSED)
        return e ? (*e = why, -1) : -1;
    int without = with_key == 0 ? qdrant_collections(s->stranger, &names, &why) : 0;
    qdrant_names_free(&names);
    return without != 0 && why.code == QDRANT_REFUSED && !reaped(s)
               ? 0
               : err_set(e, 0, "another program took the second Qdrant's port", NULL, NULL);
}

static int wait_ready(struct second *s, long start_ms, struct err *e)
{
    int64_t end = clock_ms() + start_ms;
    char why[500];
    struct err ignored;
    while (qdrant_ready(s->qdrant, &ignored) != 0) {
        if (second_ended(s, why, sizeof why))
            return err_set(e, 0, why, NULL, NULL);
        if (stopped(s))
            return err_set(e, ECANCELED, "stopped", NULL, NULL);
        if (clock_ms() >= end)
            return err_set(e, ETIMEDOUT, "the second Qdrant does not answer", NULL, NULL);
        clock_sleep(LOOK_MS);
    }
    if (qdrant_version(s->qdrant, s->version, sizeof s->version, e) != 0)
        return -1;
    return is_ours(s, e);
}

static void end_process(struct second *s)
{
    int64_t end = clock_ms() + (stopped(s) ? TERM_SOON_MS : TERM_MS);
    pid_t group = s->pid;
    if (reaped(s))
        return;
    (void)kill(group, SIGTERM); /* cannot fail: it is not reaped */
    while (!reaped(s) && clock_ms() < end)
        clock_sleep(LOOK_MS / 4);
    (void)kill(-group, SIGKILL); /* and whatever it started; there may be nothing */
    if (!reaped(s) && waitpid(s->pid, &s->status, 0) == s->pid)
        s->pid = 0;
}

static void forget(struct second *s)
{
    end_process(s);
    qdrant_free(s->qdrant);
    qdrant_free(s->stranger);
    key_free(s->key);
    key_free(s->no_key);
    s->qdrant = s->stranger = NULL;
    s->key = s->no_key = NULL;
}

static bool make_clients(struct second *s, unsigned port)
{
    (void)snprintf(s->settings.url, sizeof s->settings.url, "http://127.0.0.1:%u", port);
    memcpy(s->keyless.url, s->settings.url, sizeof s->keyless.url);
    return (s->key = key_new(&s->settings, s->stop)) && (s->no_key = key_new(&s->keyless, s->stop)) &&
           (s->qdrant = qdrant_new(&s->settings, s->key, s->stop)) &&
           (s->stranger = qdrant_new(&s->keyless, s->no_key, s->stop));
}

static int start_once(struct second *s, const struct second_options *o, struct err *e)
{
    unsigned ports[2];
    cleanup_start struct start t = {.program = o->program, .dir = o->dir, .log = s->log, .all = o->all};
    if (!random_key(s->settings.key) || !free_ports(ports))
        return err_set(e, errno, "cannot prepare a second Qdrant", NULL, NULL);
    if (!tell_all(&t, s->settings.key, ports) || !make_environment(&t) || !make_clients(s, ports[0]))
        return err_set(e, ENOMEM, "cannot prepare a second Qdrant", NULL, NULL);
    return spawn(s, &t, e) == 0 ? wait_ready(s, o->start_ms, e) : -1;
}

struct second *second_start(const struct second_options *o, struct err *e)
{
    struct second *s = calloc(1, sizeof *s);
    if (!s)
        return (void)err_set(e, ENOMEM, "cannot start a second Qdrant", NULL, NULL), NULL;
    s->stop = o->stop;
    (void)snprintf(s->log, sizeof s->log, "%s/qdrant.log", o->dir);
    for (int i = 0; i < TRIES && !stopped(s); i++) {
        if (start_once(s, o, e) == 0)
            return s;
        forget(s);
        if (e->code != 0) /* it did not end by itself, nor was it another one */
            break;
    }
    second_stop(s);
    return NULL;
}

struct qdrant *second_qdrant(struct second *s) { return s->qdrant; }
const char *second_version(const struct second *s) { return s->version; }

void second_stop(struct second *s)
{
    if (!s)
        return;
    forget(s);
    explicit_bzero(s, sizeof *s);
    free(s);
}
