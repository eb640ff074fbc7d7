#include "entrypoint/qdrant_files.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { OUTPUT_MAX = 32768, WORDS = 256, KILLED_TRIES = 20, KILLED_NS = 10000000 };
static const char FLAG[] = "--config-path", VARIABLE[] = "QDRANT_CONFIG_PATH";

/* Kept here and not in the environment, which is Qdrant's too: there a value is not what it is in a file
 * (Qdrant 1.18.2 refuses 0x43b5 as a variable, and takes it in YAML). */
static const char *path; /* NULL: none */
static char answer[OUTPUT_MAX];
static size_t answer_size; /* lines, ended by NULs */

const char *qdrant_files_argument(char *const *argv, const char *flag, bool *there)
{
    const char *found = NULL;
    size_t n = strlen(flag);
    *there = false;
    for (; argv[0]; argv++) {
        bool is_it = strncmp(argv[0], flag, n) == 0 && (!argv[0][n] || argv[0][n] == '=');
        *there = *there || is_it;
        if (is_it && argv[0][n])
            found = argv[0] + n + 1;
        else if (is_it && argv[1])
            found = argv[1];
    }
    return found;
}

const char *qdrant_files_path(char *const *argv)
{
    bool there;
    return qdrant_files_argument(argv, FLAG, &there);
}

/* Of the arguments of process 1 those after the entrypoint's own name: an init may come before it. */
static char **ours(char **words)
{
    static const char name[] = "qdrant-entrypoint";
    for (; *words; words++) {
        const char *slash = strrchr(*words, '/');
        if (strcmp(slash ? slash + 1 : *words, name) == 0)
            return words + 1;
    }
    return NULL;
}

bool qdrant_files_note(char *const *argv, bool is_qdrant)
{
    const char *variable = getenv(VARIABLE);
    path = qdrant_files_path(argv);
    if (path || !variable || !*variable)
        return true;
    path = is_qdrant ? NULL : variable;
    return !is_qdrant;
}

void qdrant_files_note_init(void)
{
    static char text[OUTPUT_MAX];
    char *argv[WORDS + 1] = {NULL};
    size_t words = 0;
    int fd = open("/proc/1/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        (void)close(fd); /* only read from */
    for (ssize_t i = 0; i < n && words < WORDS; i += (ssize_t)strlen(text + i) + 1)
        argv[words++] = text + i;
    char **rest = ours(argv);
    bool other = !rest || (rest[0] && rest[1] && strcmp(rest[0], "--") == 0);
    (void)qdrant_files_note(rest ? rest : argv, !other); /* the entrypoint warns of it */
}

void qdrant_files_tell(void)
{
    if (path)
        (void)setenv(VARIABLE, path, 1); /* without memory the files in their places are read alone */
    else
        (void)unsetenv(VARIABLE); /* cannot fail for this name */
}

static bool are_there(void) { return path || access("config", F_OK) == 0; }

static void become(const char *program, int out)
{
    char *argv[] = {(char *)program, "qdrant-settings", NULL};
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0)
        _exit(127);
    qdrant_files_tell();
    (void)execvp(program, argv);
    _exit(127);
}

static long now_ms(void)
{
    struct timespec t = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &t); /* cannot fail for this clock */
    return t.tv_sec * 1000L + t.tv_nsec / 1000000;
}

/* All that it writes, until it closes. -1 with errno. */
static int hear(int fd, long end, char *out, size_t size)
{
    size_t n = 0;
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        long left = end - now_ms();
        int rc = left > 0 ? poll(&p, 1, (int)left) : 0;
        if (rc < 0 && errno == EINTR)
            continue;
        if (rc == 0)
            errno = ETIMEDOUT;
        if (rc <= 0)
            return -1;
        ssize_t got = read(fd, out + n, size - 1 - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        n += (size_t)got;
        out[n] = '\0';
        if (got == 0 || n == size - 1)
            return 0;
    }
}

/* Its exit code, -1 when it had to be killed. One that hangs in the kernel is left to whoever reaps. */
static int end_of(pid_t pid, bool kill_it)
{
    const struct timespec moment = {.tv_nsec = KILLED_NS};
    int status = -1;
    if (!kill_it)
        return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    (void)kill(pid, SIGKILL); /* it may be gone */
    for (int i = 0; i < KILLED_TRIES && waitpid(pid, &status, WNOHANG) == 0; i++)
        (void)nanosleep(&moment, NULL);
    return -1;
}

const char *qdrant_files_value(const char *name)
{
    static const char prefix[] = "QDRANT__";
    size_t n = strlen(name);
    const char *given = getenv(name);
    if ((given && *given) || strncmp(name, prefix, sizeof prefix - 1) != 0)
        return given;
    for (size_t i = 0; i < answer_size; i += strlen(answer + i) + 1)
        if (strncmp(answer + i, name, n) == 0 && answer[i + n] == '=')
            return answer + i + n + 1;
    return given;
}

static void keep(size_t n)
{
    for (char *end = answer; (end = memchr(end, '\n', (size_t)(answer + n - end)));)
        *end++ = '\0';
    answer_size = n;
}

int qdrant_files_ask(const char *program, int within_ms)
{
    int ends[2];
    answer_size = 0;
    if (!are_there())
        return 0;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0)
        become(program, ends[1]);
    (void)close(ends[1]); /* the child's */
    int rc = pid < 0 ? -1 : hear(ends[0], now_ms() + within_ms, answer, sizeof answer);
    int why = errno;
    (void)close(ends[0]); /* only read from */
    int code = pid < 0 ? -1 : end_of(pid, rc != 0);
    errno = rc != 0 ? why : EPROTO;
    if (rc != 0 || code != 0)
        return -1;
    keep(strlen(answer));
    return 0;
}
