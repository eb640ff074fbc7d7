#include "common/base/fds.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <unistd.h>

int fds_keep_std(void)
{
    if (close_range(3, UINT_MAX, CLOSE_RANGE_CLOEXEC) == 0)
        return 0;
    long limit = sysconf(_SC_OPEN_MAX);
    for (int fd = 3; fd < limit; fd++)
        if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 && errno != EBADF)
            return -1;
    return 0;
}
