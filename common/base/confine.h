/* Less than our own rights for a child process: no way to more of them, no capabilities, and Landlock, by
 * which the kernel (5.19 and later, where it is built in; Fargate's 5.10 has none) lets it open nothing but
 * what a list allows. What can be prepared is prepared before fork: the child makes system calls alone. */
#ifndef COMMON_BASE_CONFINE_H
#define COMMON_BASE_CONFINE_H
#include <stdbool.h>
#include <stddef.h>

/* The version of Landlock that this kernel has and that is good for us, else 0. */
int confine_version(void);

enum confine_may {
    CONFINE_READ,  /* list, read, run */
    CONFINE_WRITE, /* list, read, and all that changes */
    CONFINE_ALL,   /* both */
};
/* A list that allows nothing yet: a descriptor, closed at exec. With `tcp` false connecting anywhere is
 * denied where the kernel can (6.7). -1: the kernel has no Landlock, or there is no descriptor; errno says.
 */
int confine_open(bool tcp);
/* Allow all that is at `path` and below it. What is not there needs no leave: 0. -1 with errno. */
int confine_allow(int list, const char *path, enum confine_may may);
/* Allow what a program reads of its system before it does anything: libraries, time zone, names, the kernel's
 * tables; and the certificates of authorities, without which Qdrant (1.18.2) does not start. Of /etc nothing
 * that is secret. -1 with errno. */
int confine_allow_system(int list);
/* Allow to read the folders of a search path, and of one that ends with "/bin" what it is the bin of. NULL is
 * an empty one. -1 with errno. */
int confine_allow_search(int list, const char *path);
/* Allow all but what is at the `n` paths and below them: whatever lies beside them on the way there, as it is
 * now. In the folders on that way, of which "/" is one, nothing new can be made, and they cannot be listed.
 * -1 with errno; ENOTSUP: a path is "/" itself. */
int confine_allow_but(int list, const char *const *paths, size_t n);

/* In the child. From now on, also after exec, neither a set-uid file nor anything else gives it more. */
int confine_no_new_rights(void);
/* After that: drop every capability. As root without them it has no way into others' folders; where it needs
 * one into `folder`, it keeps CAP_DAC_OVERRIDE. */
int confine_drop_capabilities(const char *folder);
/* After that: by the list. */
int confine_enter(int list);
#endif
