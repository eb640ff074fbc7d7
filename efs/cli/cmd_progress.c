/* The bar: "[######......]  42 %  1.2 GiB of 2.9 GiB  180.3 MiB/s  0:09 left  NAME". */
#include "common/base/clock.h"
#include "common/base/text.h"
#include "efs/cli/cli.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { BAR = 20, REDRAW_MS = 100 };

struct progress {
    uint64_t total, done;
    int64_t started, drawn; /* milliseconds */
    char name[256];
};

struct progress *progress_new(uint64_t total)
{
    struct progress *p = isatty(STDERR_FILENO) ? calloc(1, sizeof *p) : NULL;
    if (p) {
        p->total = total;
        p->started = clock_ms();
    }
    return p;
}

static void draw(struct progress *p)
{
    char line[512], bar[BAR + 1], done[16], total[16], speed[16], left[32] = "";
    struct winsize size = {0};
    double part = p->total ? (double)p->done / (double)p->total : 1;
    double seconds = (double)(clock_ms() - p->started) / 1000 + 0.001, rate = (double)p->done / seconds;
    for (int i = 0; i < BAR; i++)
        bar[i] = i < (int)(part * BAR) ? '#' : '.';
    bar[BAR] = 0;
    if (rate > 0 && p->done < p->total) {
        unsigned long s = (unsigned long)((double)(p->total - p->done) / rate + 0.5);
        (void)snprintf(left, sizeof left, "  %lu:%02lu left", s / 60, s % 60);
    }
    (void)snprintf(line, sizeof line, "[%s] %3.0f %%  %s of %s  %s/s%s  %s", bar, part * 100,
                   cmd_human(p->done, done), cmd_human(p->total, total), cmd_human((uint64_t)rate, speed),
                   left, p->name);
    size_t columns = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 10 ? size.ws_col : 80;
    if (columns < sizeof line)
        line[columns - 1] = 0; /* a line that wraps cannot be redrawn */
    text_make_utf8(line);
    (void)fprintf(stderr, "\r\033[K%s", line);
    p->drawn = clock_ms();
}

void progress_name(struct progress *p, const char *name)
{
    if (!p)
        return;
    (void)text_printable(name, p->name, sizeof p->name);
    draw(p);
}

void progress_bytes(size_t n, void *progress)
{
    struct progress *p = progress;
    if (!p)
        return;
    p->done += n;
    if (p->done == p->total || clock_ms() - p->drawn >= REDRAW_MS)
        draw(p);
}

void progress_end(struct progress *p)
{
    if (p)
        (void)fprintf(stderr, "\r\033[K");
    free(p);
}
