/* What a confined process can do, asked of the kernel that runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "common/base/confine.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char top[] = "/tmp/test_confine.XXXXXX", in[PATH_MAX], out[PATH_MAX], deny[PATH_MAX], beside[PATH_MAX];

static int set_up(void **st)
{
    (void)st;
    if (!mkdtemp(top))
        return -1;
    (void)snprintf(in, sizeof in, "%s/in", top);
    (void)snprintf(out, sizeof out, "%s/out", top);
    (void)snprintf(deny, sizeof deny, "%s/way/deny", top);
    (void)snprintf(beside, sizeof beside, "%s/way/beside", top);
    char way[PATH_MAX + 8];
    (void)snprintf(way, sizeof way, "%s/way", top);
    return mkdir(in, 0700) || mkdir(out, 0700) || mkdir(way, 0700) || mkdir(deny, 0700) ||
           mkdir(beside, 0700);
}

static int tear_down(void **st)
{
    char command[PATH_MAX + 16];
    (void)st;
    (void)snprintf(command, sizeof command, "rm -rf %s", top);
    return system(command); /* our own name */
}

/* 0, or errno */
static int make(const char *dir)
{
    char path[PATH_MAX + 16];
    (void)snprintf(path, sizeof path, "%s/file", dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    return fd < 0 ? errno : close(fd) == 0 ? 0 : errno;
}

static int move(const char *from, const char *to)
{
    char a[PATH_MAX + 16], b[PATH_MAX + 16];
    (void)snprintf(a, sizeof a, "%s/file", from);
    (void)snprintf(b, sizeof b, "%s/file", to);
    return rename(a, b) == 0 ? 0 : errno;
}

static int list_of(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? errno : close(fd) == 0 ? 0 : errno;
}

/* Of a process of its own: what `act` gives, which is below 256. */
static int apart(int (*act)(void))
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0)
        _exit(act());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

#define NEED(what)                                                                                           \
    if (!(what))                                                                                             \
    return __LINE__ % 255 + 1

static int within_its_folder(void)
{
    int l = confine_open(true);
    NEED(l >= 0 && confine_allow(l, in, CONFINE_WRITE) == 0 && confine_allow(l, "/usr", CONFINE_READ) == 0);
    NEED(confine_allow(l, "/not/there", CONFINE_READ) == 0);
    NEED(confine_no_new_rights() == 0 && confine_enter(l) == 0);
    NEED(make(in) == 0);
    NEED(make(out) == EACCES);
    NEED(list_of(out) == EACCES);
    NEED(list_of("/usr") == 0);
    NEED(move(in, out) == EXDEV || make(out) == EACCES);
    return 0;
}

static void a_confined_process_writes_in_its_folder_alone(void **st)
{
    (void)st;
    if (confine_version() == 0)
        skip();
    assert_int_equal(apart(within_its_folder), 0);
}

static int all_but_one(void)
{
    const char *const paths[] = {deny};
    int l = confine_open(true);
    NEED(l >= 0 && confine_allow_but(l, paths, 1) == 0);
    NEED(confine_no_new_rights() == 0 && confine_enter(l) == 0);
    NEED(make(deny) == EACCES);
    NEED(list_of(deny) == EACCES);
    NEED(make(beside) == 0);
    NEED(move(beside, in) == 0);
    NEED(make(out) == 0);
    NEED(list_of("/usr") == 0);
    return 0;
}

static void all_but_one_folder_is_as_it_was(void **st)
{
    (void)st;
    if (confine_version() == 0)
        skip();
    assert_int_equal(apart(all_but_one), 0);
}

static int root_itself(void)
{
    const char *const paths[] = {"/"};
    int l = confine_open(true);
    NEED(l >= 0 && confine_allow_but(l, paths, 1) == -1 && errno == ENOTSUP);
    return 0;
}

static void the_whole_system_cannot_be_left_out(void **st)
{
    (void)st;
    if (confine_version() == 0)
        skip();
    assert_int_equal(apart(root_itself), 0);
}

/* A port that listens, in the parent. */
static struct sockaddr_in peer;

static int connects(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd < 0 ? 1 : connect(fd, (struct sockaddr *)&peer, sizeof peer) == 0 ? 0 : errno;
}

static int connects_confined(void)
{
    int l = confine_open(false);
    NEED(l >= 0 && confine_no_new_rights() == 0 && confine_enter(l) == 0);
    NEED(connects() == EACCES);
    return 0;
}

static void it_connects_to_nobody(void **st)
{
    socklen_t size = sizeof peer;
    (void)st;
    if (confine_version() < 4)
        skip();
    peer = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&peer, sizeof peer), 0);
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&peer, &size), 0);
    assert_int_equal(apart(connects), 0);
    assert_int_equal(apart(connects_confined), 0);
    (void)close(fd);
}

/* The line of /proc/self/status, as a number of hex digits. */
static unsigned long long status_of(const char *name)
{
    char line[200];
    unsigned long long value = 99;
    FILE *f = fopen("/proc/self/status", "re");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, name, strlen(name)) == 0)
            value = strtoull(line + strlen(name), NULL, 16);
    if (f)
        (void)fclose(f);
    return value;
}

static int without_capabilities(void)
{
    NEED(confine_no_new_rights() == 0 && confine_drop_capabilities(in) == 0);
    NEED(status_of("CapEff:") == 0 && status_of("CapPrm:") == 0 && status_of("NoNewPrivs:") == 1);
    return 0;
}

static int with_one_capability(void)
{
    NEED(confine_no_new_rights() == 0 && confine_drop_capabilities(in) == 0);
    NEED(status_of("CapEff:") == 2 && status_of("CapPrm:") == 2); /* CAP_DAC_OVERRIDE */
    NEED(make(in) == 0);
    return 0;
}

static void no_capability_is_left(void **st)
{
    (void)st;
    assert_int_equal(apart(without_capabilities), 0);
}

static void root_keeps_the_one_that_it_needs_in_anothers_folder(void **st)
{
    (void)st;
    if (geteuid() != 0)
        skip();
    assert_int_equal(chown(in, 12345, 12345), 0);
    assert_int_equal(apart(with_one_capability), 0);
    assert_int_equal(chown(in, 0, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_confined_process_writes_in_its_folder_alone),
                                       cmocka_unit_test(all_but_one_folder_is_as_it_was),
                                       cmocka_unit_test(the_whole_system_cannot_be_left_out),
                                       cmocka_unit_test(it_connects_to_nobody),
                                       cmocka_unit_test(no_capability_is_left),
                                       cmocka_unit_test(root_keeps_the_one_that_it_needs_in_anothers_folder)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
