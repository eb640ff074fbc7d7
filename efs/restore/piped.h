/* Bytes that come from elsewhere than a file on EFS, for restores: a thread sends them into a pipe, which is
 * read as a backup's file is (struct restore_origin). */
#ifndef EFS_RESTORE_PIPED_H
#define EFS_RESTORE_PIPED_H
#include "efs/restore/restore.h"
#include <pthread.h>

/* Where they go. -1: nobody takes them any more. */
typedef int piped_put(void *to, const void *data, size_t n);
struct piped {
    const char *thread; /* its name */
    /* Sends all of them; -1 with `e`. */
    int (*send)(void *arg, piped_put *put, void *to, struct err *e);
    void *arg;
    /* its own: */
    pthread_t sender;
    int in; /* of the pipe; the thread's */
    int rc; /* the thread's, until it is joined */
    struct err why;
};
/* Of a piped that stays where it is. One reader at a time; the program ignores SIGPIPE. */
struct restore_origin piped_origin(struct piped *p);
#endif
