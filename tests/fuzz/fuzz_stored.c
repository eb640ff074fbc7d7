/* Stored bytes as a broken disk or a half-done replication leaves them, and uploads that are no tar: read to
 * an error or to the end, in bounded memory. */
#include "efs/data/copy.h"
#include "replicator/publish/tar_check.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct copy_result r;
    struct err e = {0};
    char path[64];
    int fd = memfd_create("fuzz", MFD_CLOEXEC), null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (fd < 0 || null < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    for (int compressed = 0; compressed < 2; compressed++)
        if (lseek(fd, 0, SEEK_SET) != 0 ||
            (copy_check(fd, "x", null, compressed, COPY_ANY, NULL, &r, &e) != 0 && !e.text[0]))
            abort();
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    (void)tar_check(path, NULL, &e);
    (void)close(fd);
    (void)close(null);
    return 0;
}
