#include "efs/drill/scratch_qdrant.h"
#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/confine.h"
#include "common/base/fds.h"
#include "common/base/text.h"
#include <errno.h>
#include <fcntl.h>
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
    TRIES = 3,           /* another program may take a port before Qdrant does */
    PATIENCE_MS = 30000, /* of one question */
    FIRST_LOOK_MS = 10,
    LOOK_MS = 250,
    LOOK_SHARE = 16, /* of the time that it has taken: it is found ready at most so much too late */
    TERM_MS = 3000,
    TERM_AGAIN_MS = 2000,
    TERM_SOON_MS = 300, /* when we are to end ourselves */
    KEY_BYTES = 32,
    VARIABLES = 32,
    IOPRIO_WHO_PROCESS = 1, /* ioprio_set(2); libc has no header for it */
    IDLE = 3 << 13,
    NICEST = 19,
};
extern char **environ;

struct scratch_qdrant {
    pid_t pid; /* 0: none */
    int status;
    char log[PATH_MAX];
    char version[32];
    struct qdrant_settings settings, keyless;
    struct key *key, *no_key;
    struct qdrant *qdrant, *stranger; /* who comes without the key */
    const atomic_bool *stop;
    long stop_ms;
    uint64_t ticks; /* of processor time, when it was last looked at */
};
struct start { /* made before fork: the child of a program with threads may only make system calls */
    const struct scratch_qdrant_options *o;
    const char *log;
    char *variable[VARIABLES];
    size_t n;
    char **environment, **argv;
    int failed; /* the child's end of a pipe */
    int list;   /* of what it may open; -1: everything */
};

static _Atomic pid_t running; /* for scratch_qdrant_abandon alone; 0: none. A process has one at a time. */

static bool stopped(const struct scratch_qdrant *s) { return s->stop && atomic_load(s->stop); }

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
    return (size_t)snprintf(value, sizeof value, "%s/%s", t->o->dir, below) < sizeof value &&
           tell(t, name, value);
}

typedef const char *const pair[2];

static bool tell_pairs(struct start *t, pair *pairs, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!tell(t, pairs[i][0], pairs[i][1]))
            return false;
    return true;
}
#define TELL(t, pairs) tell_pairs(t, pairs, sizeof(pairs) / sizeof *(pairs))

static bool tell_all(struct start *t, const char *key, const unsigned ports[2])
{
    static pair always[] = {
        {"QDRANT__LOG_LEVEL", "WARN"},
        {"QDRANT__TELEMETRY_DISABLED", "true"},
        {"QDRANT__CLUSTER__ENABLED", "false"},
        {"QDRANT__SERVICE__HOST", "127.0.0.1"},
        {"QDRANT__SERVICE__ENABLE_TLS", "false"},
        {"QDRANT__SERVICE__ENABLE_STATIC_CONTENT", "false"},
    };
    static pair small[] = {
        {"RUN_MODE", "production"},
        {"QDRANT__SERVICE__MAX_WORKERS", "1"},
        {"QDRANT__STORAGE__PERFORMANCE__MAX_SEARCH_THREADS", "1"},
        {"QDRANT__STORAGE__PERFORMANCE__OPTIMIZER_CPU_BUDGET", "1"},
        {"QDRANT__STORAGE__OPTIMIZERS__MAX_OPTIMIZATION_THREADS", "1"},
        {"QDRANT__STORAGE__HNSW_INDEX__MAX_INDEXING_THREADS", "1"},
    };
    const struct scratch_qdrant_options *o = t->o;
    bool good = tell(t, "QDRANT__SERVICE__API_KEY", key) &&
                tell_port(t, "QDRANT__SERVICE__HTTP_PORT", ports[0]) &&
                tell_port(t, "QDRANT__SERVICE__GRPC_PORT", ports[1]) &&
                (o->storage ? tell(t, "QDRANT__STORAGE__STORAGE_PATH", o->storage)
                            : tell_path(t, "QDRANT__STORAGE__STORAGE_PATH", "storage")) &&
                tell_path(t, "QDRANT__STORAGE__SNAPSHOTS_PATH", "snapshots") && tell(t, "TMPDIR", o->dir) &&
                TELL(t, always);
    /* Its mark of a finished start must not be taken for that of the Qdrant that will serve. What it unpacks
     * goes to a folder that can be emptied: beside the collections it would be in the way of the next try,
     * and a collection of the name "x.tmp" would be in its way (1.18.2, src/snapshots.rs). */
    if (o->alone)
        return good && tell_path(t, "QDRANT__STORAGE__TEMP_PATH", "temporary") &&
               tell_path(t, "QDRANT_INIT_FILE_PATH", "initialized");
    /* With a folder for temporary files Qdrant (1.18.2, src/snapshots.rs) unpacks a snapshot of the whole
     * storage there, each collection over it, and moves all of that away with the first. */
    return good && (o->all || tell_path(t, "QDRANT__STORAGE__TEMP_PATH", "temporary")) && TELL(t, small);
}

static bool begins(const char *variable, const char *const *prefix, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strncmp(variable, prefix[i], strlen(prefix[i])) == 0)
            return true;
    return false;
}
#define BEGINS(variable, list) begins(variable, list, sizeof(list) / sizeof *(list))

/* What any program needs; unconfined, all that is not private. Nothing that is meant for the other Qdrant
 * (its key, its cluster), and no key to anything else. */
static bool is_common(const char *variable, bool unconfined)
{
    static const char *const common[] = {"PATH=",
                                         "LANG=",
                                         "LC_",
                                         "TZ=",
                                         "TZDIR=",
                                         "LD_LIBRARY_PATH=",
                                         "GLIBC_TUNABLES=",
                                         "MALLOC_",
                                         "_RJEM_MALLOC_CONF=",
                                         "RUST_BACKTRACE=",
                                         "RUST_MIN_STACK=",
                                         "SSL_CERT_FILE=",
                                         "SSL_CERT_DIR="};
    static const char *const hidden[] = {"QDRANT", "RUN_MODE=", "AWS_", "AK_", "ECS_"};
    return unconfined ? !BEGINS(variable, hidden) : BEGINS(variable, common);
}

/* What is said of storage holds for both, but where it is; a folder for temporary files may be on another
 * file system, from where Qdrant (1.18.2) does not get a collection into its place. */
static bool is_for_both(const char *variable)
{
    static const char *const not [] = {"STORAGE_PATH=", "SNAPSHOTS_PATH=", "TEMP_PATH=", "RECOVERY_MODE="};
    static const char storage[] = "QDRANT__STORAGE__";
    if (strncmp(variable, "RUN_MODE=", 9) == 0)
        return true;
    if (strncmp(variable, storage, sizeof storage - 1) != 0)
        return false;
    for (size_t i = 0; i < sizeof not / sizeof *not ; i++)
        if (strncmp(variable + sizeof storage - 1, not [i], strlen(not [i])) == 0)
            return false;
    return true;
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
        if (is_common(environ[i], t->o->unconfined) || (t->o->alone && is_for_both(environ[i])))
            t->environment[n++] = environ[i];
    for (size_t i = 0; i < t->n; i++)
        t->environment[n++] = t->variable[i];
    return true;
}

static bool make_arguments(struct start *t)
{
    static char all[] = "--storage-snapshot", one[] = "--snapshot";
    const struct scratch_qdrant_options *o = t->o;
    size_t n = 0, mappings = 0;
    while (o->mappings && o->mappings[mappings])
        mappings++;
    t->argv = calloc(2 * mappings + 4, sizeof *t->argv);
    if (!t->argv)
        return false;
    t->argv[n++] = (char *)o->program; /* execve takes it as it is */
    if (o->all) {
        t->argv[n++] = all;
        t->argv[n++] = (char *)o->all;
    }
    for (size_t i = 0; i < mappings; i++) {
        t->argv[n++] = one;
        t->argv[n++] = o->mappings[i];
    }
    return true;
}

/* --- what it may open */

static int allow_all(int list, const struct scratch_qdrant_options *o)
{
    return confine_allow_system(list) || confine_allow_search(list, getenv("PATH")) ||
                   confine_allow_search(list, getenv("LD_LIBRARY_PATH")) ||
                   confine_allow_search(list, getenv("SSL_CERT_FILE")) ||
                   confine_allow_search(list, getenv("SSL_CERT_DIR")) ||
                   confine_allow(list, o->program, CONFINE_READ) ||
                   confine_allow(list, o->dir, CONFINE_WRITE) ||
                   (o->storage && confine_allow(list, o->storage, CONFINE_WRITE)) ||
                   (o->alone && confine_allow(list, "config", CONFINE_READ)) /* Qdrant's files */
               ? -1
               : 0;
}

/* Without Landlock there is none, and it may open what we may. */
static int make_list(struct start *t)
{
    if (t->o->unconfined || confine_version() == 0)
        return 0;
    t->list = confine_open(false);
    return t->list >= 0 ? allow_all(t->list, t->o) : -1;
}

static void start_free(struct start *t)
{
    if (t->list >= 0)
        (void)close(t->list); /* the child has it */
    free(t->argv);
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

/* Behind all others, but for the one that nobody serves beside: that one is only the first to go when memory
 * runs out. What fails only makes it a little less so. */
static void step_behind(bool alone)
{
    struct rlimit none = {0, 0};
    /* What is hidden from others belongs to root in /proc, and another user could not write there. */
    bool good = prctl(PR_SET_DUMPABLE, 1) == 0;
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    good = prctl(PR_SET_DUMPABLE, 0) == 0 && good;
    good = fd >= 0 && write(fd, "1000", 4) == 4 && good;
    good = (alone || setpriority(PRIO_PROCESS, 0, NICEST) == 0) && good;
    good = (alone || syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IDLE) == 0) && good;
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
    const struct scratch_qdrant_options *o = t->o;
    sigset_t none;
    (void)sigemptyset(&none); /* cannot fail */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
        _exit(1); /* it would outlive us */
    step_behind(o->alone);
    bool less = o->unconfined || (confine_no_new_rights() == 0 && confine_drop_capabilities(o->dir) == 0);
    /* Qdrant looks for its configuration below its working folder. */
    if (less && setpgid(0, 0) == 0 && (o->alone || chdir(o->dir) == 0) && standard_files(t->log) == 0 &&
        sigprocmask(SIG_SETMASK, &none, NULL) == 0 && signal(SIGPIPE, SIG_DFL) != SIG_ERR &&
        fds_keep_std() == 0 && (t->list < 0 || confine_enter(t->list) == 0))
        (void)execve(o->program, t->argv, t->environment);
    int why = errno;
    ssize_t told = write(t->failed, &why, sizeof why);
    _exit(told == (ssize_t)sizeof why ? 127 : 126);
}

static int spawn(struct scratch_qdrant *s, struct start *t, struct err *e)
{
    int ends[2], why = 0;
    pid_t parent = getpid();
    if (pipe2(ends, O_CLOEXEC) != 0)
        return err_set(e, errno, "cannot start", t->o->program, NULL);
    t->failed = ends[1];
    s->pid = fork();
    if (s->pid == 0)
        become(t, parent);
    running = s->pid > 0 ? s->pid : 0;
    (void)close(ends[1]); /* a pipe that nothing was written to */
    ssize_t n = s->pid > 0 ? read(ends[0], &why, sizeof why) : 0;
    (void)close(ends[0]);
    if (s->pid < 0) {
        s->pid = 0;
        return err_set(e, errno, "cannot start", t->o->program, NULL);
    }
    if (n == 0)
        return 0;
    (void)waitpid(s->pid, &s->status, 0);
    running = s->pid = 0;
    return err_set(e, why, "cannot start", t->o->program, "set QDRANT_BIN to Qdrant's program");
}

/* --- its life */

static bool reaped(struct scratch_qdrant *s)
{
    if (s->pid > 0 && waitpid(s->pid, &s->status, WNOHANG) == s->pid)
        running = s->pid = 0;
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

bool scratch_qdrant_ended(struct scratch_qdrant *s, char *why, size_t size)
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
static int is_ours(struct scratch_qdrant *s, struct err *e)
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

/* Fields 14 and 15 of /proc/PID/stat; the name before them may have anything in it. */
static uint64_t processor_time(pid_t pid)
{
    char path[64], text[1024];
    char *user = NULL;
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    text[n > 0 ? n : 0] = 0;
    const char *at = strrchr(text, ')');
    for (int field = 2; at && field < 14; field++)
        at = strchr(at + 1, ' ');
    if (!at)
        return 0;
    uint64_t ticks = strtoull(at, &user, 10);
    return ticks + strtoull(user, NULL, 10);
}

static void look_whether_it_works(struct scratch_qdrant *s, const struct scratch_qdrant_options *o)
{
    uint64_t ticks = o->works && s->pid > 0 ? processor_time(s->pid) : 0;
    if (ticks != s->ticks && o->works)
        o->works(o->arg);
    s->ticks = ticks;
}

static int ended(struct scratch_qdrant *s, const struct scratch_qdrant_options *o, struct err *e)
{
    char why[500];
    if (!scratch_qdrant_ended(s, why, sizeof why))
        return 0;
    (void)err_set(e, 0, why, NULL, NULL);
    if (e && o->mappings)
        e->code = WIFSIGNALED(s->status) ? SCRATCH_QDRANT_KILLED : SCRATCH_QDRANT_ENDED;
    return -1;
}

static int wait_ready(struct scratch_qdrant *s, const struct scratch_qdrant_options *o, struct err *e)
{
    int64_t begin = clock_ms(), end = begin + o->start_ms;
    struct err ignored;
    while (qdrant_ready(s->qdrant, &ignored) != 0) {
        if (ended(s, o, e) != 0)
            return -1;
        look_whether_it_works(s, o);
        if (stopped(s))
            return err_set(e, ECANCELED, "stopped", NULL, NULL);
        if (clock_ms() >= end)
            return err_set(e, ETIMEDOUT, "the second Qdrant does not answer", NULL, NULL);
        int64_t pause = (clock_ms() - begin) / LOOK_SHARE;
        clock_sleep(pause < FIRST_LOOK_MS ? FIRST_LOOK_MS : pause < LOOK_MS ? pause : LOOK_MS);
    }
    if (qdrant_version(s->qdrant, s->version, sizeof s->version, e) != 0)
        return -1;
    return is_ours(s, e);
}

/* Did it end by itself, with 0? */
static bool end_process(struct scratch_qdrant *s)
{
    int64_t end = clock_ms() + (stopped(s) ? TERM_SOON_MS : s->stop_ms > 0 ? s->stop_ms : TERM_MS);
    pid_t group = s->pid;
    if (reaped(s))
        return false;
    /* Again and again: 1.18.2 misses a TERM between the starts of its REST and gRPC servers. */
    for (int64_t again = 0; !reaped(s) && clock_ms() < end; clock_sleep(FIRST_LOOK_MS))
        if (clock_ms() >= again) {
            (void)kill(group, SIGTERM); /* cannot fail: it is not reaped */
            again = clock_ms() + TERM_AGAIN_MS;
        }
    (void)kill(-group, SIGKILL); /* and whatever it started; there may be nothing */
    if (!reaped(s) && waitpid(s->pid, &s->status, 0) == s->pid)
        running = s->pid = 0;
    return WIFEXITED(s->status) && WEXITSTATUS(s->status) == 0;
}

static bool kill_process(struct scratch_qdrant *s)
{
    bool ran = !reaped(s);
    if (ran)
        (void)kill(-s->pid, SIGKILL); /* cannot fail: it is not reaped */
    if (ran && waitpid(s->pid, &s->status, 0) == s->pid)
        running = s->pid = 0;
    return ran && WIFSIGNALED(s->status) && WTERMSIG(s->status) == SIGKILL;
}

static void free_clients(struct scratch_qdrant *s)
{
    qdrant_free(s->qdrant);
    qdrant_free(s->stranger);
    key_free(s->key);
    key_free(s->no_key);
    s->qdrant = s->stranger = NULL;
    s->key = s->no_key = NULL;
}

static void scratch_free(struct scratch_qdrant *s)
{
    free_clients(s);
    explicit_bzero(s, sizeof *s);
    free(s);
}

static bool make_clients(struct scratch_qdrant *s, unsigned port)
{
    (void)snprintf(s->settings.url, sizeof s->settings.url, "http://127.0.0.1:%u", port);
    memcpy(s->keyless.url, s->settings.url, sizeof s->keyless.url);
    return (s->key = key_new(&s->settings, s->stop)) && (s->no_key = key_new(&s->keyless, s->stop)) &&
           (s->qdrant = qdrant_new(&s->settings, s->key, s->stop)) &&
           (s->stranger = qdrant_new(&s->keyless, s->no_key, s->stop));
}

static int start_once(struct scratch_qdrant *s, const struct scratch_qdrant_options *o, struct err *e)
{
    unsigned ports[2];
    cleanup_start struct start t = {.o = o, .log = s->log, .list = -1};
    if (!random_key(s->settings.key) || !free_ports(ports) || make_list(&t) != 0)
        return err_set(e, errno, "cannot prepare a second Qdrant", NULL, NULL);
    if (!tell_all(&t, s->settings.key, ports) || !make_environment(&t) || !make_arguments(&t) ||
        !make_clients(s, ports[0]))
        return err_set(e, ENOMEM, "cannot prepare a second Qdrant", NULL, NULL);
    if (spawn(s, &t, e) != 0 || wait_ready(s, o, e) != 0)
        return -1;
    qdrant_patience(s->qdrant, PATIENCE_MS);
    qdrant_patience(s->stranger, PATIENCE_MS);
    return 0;
}

struct scratch_qdrant *scratch_qdrant_start(const struct scratch_qdrant_options *o, struct err *e)
{
    struct scratch_qdrant *s = calloc(1, sizeof *s);
    if (!s)
        return (void)err_set(e, ENOMEM, "cannot start a second Qdrant", NULL, NULL), NULL;
    s->stop = o->stop;
    s->stop_ms = o->stop_ms;
    (void)snprintf(s->log, sizeof s->log, "%s/qdrant.log", o->dir);
    /* A second try with snapshots to restore would find what the first has left, and tell of that. */
    for (int i = 0; i < (o->all ? 1 : TRIES) && !stopped(s); i++) {
        if (start_once(s, o, e) == 0)
            return s;
        (void)end_process(s);
        free_clients(s);
        if (e->code != 0) /* it did not end by itself, nor was it another one */
            break;
    }
    (void)scratch_qdrant_stop(s);
    return NULL;
}

void scratch_qdrant_abandon(void)
{
    pid_t group = running;
    if (group > 0)
        (void)kill(-group, SIGKILL); /* it may just have ended */
}

struct qdrant *scratch_qdrant_qdrant(struct scratch_qdrant *s) { return s->qdrant; }
const char *scratch_qdrant_version(const struct scratch_qdrant *s) { return s->version; }

bool scratch_qdrant_stop(struct scratch_qdrant *s)
{
    if (!s)
        return true;
    bool whole = end_process(s);
    scratch_free(s);
    return whole;
}

bool scratch_qdrant_kill(struct scratch_qdrant *s)
{
    bool ran = kill_process(s);
    scratch_free(s);
    return ran;
}
