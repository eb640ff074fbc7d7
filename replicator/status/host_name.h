/* Which names the status server answers to. A page elsewhere can make a name of its own point here, and have
 * the browser of whoever looks at it ask us under that name (DNS rebinding): it would read what only this
 * network may. So no name counts that a stranger can register. */
#ifndef REPLICATOR_STATUS_HOST_NAME_H
#define REPLICATOR_STATUS_HOST_NAME_H
#include <stdbool.h>

struct host_names {
    bool loopback;     /* where it listens: then localhost, 127.0.0.1, [::1] and `bound` alone */
    const char *bound; /* the address that it listens on, as a Host header has it, without the port */
    const char *node;  /* a name of this node; NULL: none */
    const char *more;  /* STATUS_HOSTS: patterns as fnmatch(3) has them, with commas between; NULL: none */
};
/* Is that Host header, with or without a port, one of ours? Elsewhere than on the loopback these are also:
 * any address, names of one word, and those in .internal, .local and .localhost, which nobody can register.
 */
bool host_name_is_ours(const struct host_names *names, const char *host);
#endif
