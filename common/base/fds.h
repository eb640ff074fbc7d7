/* Descriptors of a child that is about to become another program. */
#ifndef COMMON_BASE_FDS_H
#define COMMON_BASE_FDS_H
/* Nothing but 0, 1 and 2 goes on to the next program. Also on kernels before 5.11, which do not know
 * CLOSE_RANGE_CLOEXEC. Safe after fork. -1 with errno. */
int fds_keep_std(void);
#endif
