/* Threads with names: `top -H`, a core file and a debugger then say which of them it is. */
#ifndef COMMON_BASE_THREAD_H
#define COMMON_BASE_THREAD_H
#include <pthread.h>

/* As pthread_create, with its error codes. `name`: of at most 15 bytes (Linux); docs/architecture.md lists
 * them. */
int thread_start(pthread_t *out, const char *name, void *(*run)(void *), void *arg);
#endif
