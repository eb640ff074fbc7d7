#include "efs/cli/suggest.h"
#include <string.h>

enum { LONGEST = 40, TWO_SLIPS = 6 };

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

/* How many slips lie between two words (optimal string alignment); more than LONGEST where one is longer. */
static size_t slips(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b), row[3][LONGEST + 1];
    size_t *before = row[0], *last = row[1], *now = row[2];
    if (n > LONGEST || m > LONGEST)
        return LONGEST + 1;
    memset(row, 0, sizeof row);
    for (size_t k = 0; k <= m; k++)
        last[k] = k;
    for (size_t i = 1; i <= n; i++) {
        now[0] = i;
        for (size_t k = 1; k <= m; k++) {
            now[k] = least(least(last[k], now[k - 1]) + 1, last[k - 1] + (a[i - 1] != b[k - 1]));
            if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1])
                now[k] = least(now[k], before[k - 2] + 1);
        }
        size_t *free_row = before;
        before = last;
        last = now;
        now = free_row;
    }
    return last[m];
}

const char *suggest(const char *written, const char *const *words, size_t n)
{
    const char *best = NULL, *begun = NULL;
    size_t letters = strlen(written + strspn(written, "-")), nearest = letters < TWO_SLIPS ? 2 : 3,
           begins = 0;
    for (size_t i = 0; i < n; i++) {
        size_t far = slips(written, words[i]);
        if (far < nearest) {
            nearest = far;
            best = words[i];
        }
        if (letters > 1 && strncmp(words[i], written, strlen(written)) == 0 &&
            (!begun || strcmp(begun, words[i]) != 0)) {
            begun = words[i];
            begins++;
        }
    }
    return best ? best : begins == 1 ? begun : NULL;
}
