#include "efs/drill/drill_sum.h"

const char *drill_sum_verdict(const struct drill_sum *s)
{
    if (s->proven + s->partly + s->refused < s->n)
        return "failed";
    if (s->refused > 0)
        return "refused";
    if (s->stopped)
        return "stopped";
    if (s->n == 0)
        return "nothing";
    if (s->left)
        return "failed";
    return s->partly > 0 ? "partly_proven" : "proven";
}

bool drill_sum_good(const struct drill_sum *s)
{
    return s->n > 0 && s->proven + s->partly == s->n && !s->stopped && !s->left;
}
