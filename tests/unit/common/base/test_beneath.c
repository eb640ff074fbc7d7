/* Reading below a folder in which others may write. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "common/base/beneath.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static char top[] = "/tmp/test_beneath.XXXXXX", root[PATH_MAX];

static bool shell(const char *script)
{
    char line[PATH_MAX + 600];
    (void)snprintf(line, sizeof line, "cd %s && %s", top, script);
    return system(line) == 0; /* our own words */
}

static int set_up(void **st)
{
    (void)st;
    if (!mkdtemp(top))
        return -1;
    (void)snprintf(root, sizeof root, "%s/link-to-root", top);
    return shell("mkdir -p root/a/b outside && ln -s root link-to-root && echo good > root/a/b/file && "
                 "echo bad > outside/file && ln -s ../../../outside/file root/a/b/link && "
                 "ln -s ../../outside root/a/out && ln -s b root/a/inside && mkfifo root/a/b/fifo && "
                 "ln -s / root/a/slash")
               ? 0
               : -1;
}

static int tear_down(void **st)
{
    (void)st;
    return shell("rm -rf ../\"$(basename \"$PWD\")\"") ? 0 : -1;
}

static const struct {
    const char *path;
    int code; /* -1: it is opened */
} table[] = {
    {"a/b/file", -1},
    {"a/b/none", ENOENT},
    {"a/b/link", 0},
    {"a/out/file", 0},
    {"a/inside/file", 0},
    {"a/b/fifo", 0},
    {"a/b", 0},
    {"a/slash/etc/passwd", 0},
    {"../outside/file", 0},
    {"a/../../outside/file", 0},
    {"a/b/file/x", 0},
};

/* The first row that is not as it should be, from 1; 0: none. */
static int first_wrong(void)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct err e = {.code = -2};
        char text[8] = "";
        int fd = beneath_open(root, table[i].path, &e);
        bool good = table[i].code == -1 ? fd >= 0 && read(fd, text, 4) == 4 && strcmp(text, "good") == 0
                                        : fd < 0 && e.code == table[i].code && e.text[0];
        if (fd >= 0)
            (void)close(fd);
        if (!good)
            return (int)i + 1;
    }
    return 0;
}

static void only_a_file_on_a_plain_way_is_opened(void **st)
{
    (void)st;
    assert_int_equal(first_wrong(), 0);
}

static void a_folder_is_one_and_no_link(void **st)
{
    struct err e;
    (void)st;
    assert_int_equal(beneath_folder(root, "a/b", &e), 0);
    assert_int_equal(beneath_folder(root, "a/inside", &e), -1);
    assert_int_equal(e.code, 0);
    assert_int_equal(beneath_folder(root, "a/out", &e), -1);
    assert_int_equal(beneath_folder(root, "a/b/file", &e), -1);
    assert_int_equal(beneath_folder(root, "a/none", &e), -1);
    assert_int_equal(e.code, ENOENT);
}

enum { NO_FILTER = 99 };

/* openat2(2) is refused as by a kernel that has none. */
static bool forget_openat2(void)
{
    struct sock_filter f[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0), /* the number of the call */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog p = {sizeof f / sizeof *f, f};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p) == 0;
}

static void it_is_the_same_where_the_kernel_has_no_openat2(void **st)
{
    int status = 0;
    (void)st;
    pid_t pid = fork();
    if (pid == 0)
        _exit(forget_openat2() ? first_wrong() : NO_FILTER);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == NO_FILTER)
        skip(); /* an emulator has no seccomp */
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(only_a_file_on_a_plain_way_is_opened),
                                       cmocka_unit_test(a_folder_is_one_and_no_link),
                                       cmocka_unit_test(it_is_the_same_where_the_kernel_has_no_openat2)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
