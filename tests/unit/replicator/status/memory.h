/* Allocations that fail, for "no allocation failure may crash": the Nth one from memory_fail_after on, and
 * all that follow, have no memory. Over glibc's own; with sanitizers, which have theirs, only cJSON's fail.
 */
#ifndef TESTS_UNIT_MEMORY_H
#define TESTS_UNIT_MEMORY_H
#include <cjson/cJSON.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

static long memory_left = -1; /* -1: no limit. Only one thread runs while there is one. */
static bool memory_take(void)
{
    if (memory_left > 0)
        memory_left--;
    if (memory_left != 0)
        return true;
    errno = ENOMEM;
    return false;
}
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(__clang__)
static void *memory_hook(size_t n) { return memory_take() ? malloc(n) : NULL; }
static void memory_fail_after(long n)
{
    memory_left = n;
    cJSON_InitHooks(n < 0 ? NULL : &(cJSON_Hooks){memory_hook, free});
}
#else
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
void *malloc(size_t n) { return memory_take() ? __libc_malloc(n) : NULL; }
void *calloc(size_t n, size_t size) { return memory_take() ? __libc_calloc(n, size) : NULL; }
void *realloc(void *p, size_t n) { return memory_take() ? __libc_realloc(p, n) : NULL; }
static void memory_fail_after(long n) { memory_left = n; }
#endif
#endif
