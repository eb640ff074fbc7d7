/* One error value: what failed, on which path, why, and what to do. It is made where the failure
 * happens and reported once, by whoever decides what follows. */
#ifndef COMMON_BASE_ERR_H
#define COMMON_BASE_ERR_H
struct err {
    int code; /* errno of the cause, 0 when there is none */
    char text[1024];
};
/* Fill `e` (may be NULL): "WHAT PATH: strerror(code); ADVICE". Returns -1 so that callers can
 * `return err_set(...)`. `path` and `advice` may be NULL. */
int err_set(struct err *e, int code, const char *what, const char *path, const char *advice);
#endif
