#include "common/base/thread.h"

int thread_start(pthread_t *out, const char *name, void *(*run)(void *), void *arg)
{
    int rc = pthread_create(out, NULL, run, arg);
    if (rc == 0)
        (void)pthread_setname_np(*out, name); /* only a name: too long, or over already, it goes without */
    return rc;
}
