/* Files below a folder in which others may write: neither a link, nor a mount, nor a FIFO in a file's place
 * leads a reader elsewhere or holds it up. By openat2(2), or folder by folder where the kernel has none. */
#ifndef COMMON_BASE_BENEATH_H
#define COMMON_BASE_BENEATH_H
#include "common/base/err.h"

/* Open a regular file to read it. `root` may be reached by links, `relative` not. -1: with the code of the
 * cause, which is 0 where what is there is another thing than a file in a folder of this file system. */
int beneath_open(const char *root, const char *relative, struct err *e);
/* Is `relative` a folder below `root`, and no link on the way? -1 as above. */
int beneath_folder(const char *root, const char *relative, struct err *e);
#endif
