#include "efs/drill/drill_result.h"

const char *drill_result_verdict(const struct drill_result *s)
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

bool drill_result_good(const struct drill_result *s)
{
    return s->n > 0 && s->proven + s->partly == s->n && !s->stopped && !s->left;
}
