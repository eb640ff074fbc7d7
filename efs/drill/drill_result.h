/* What a whole drill says: a pure function of how many backups had which verdict. */
#ifndef EFS_DRILL_DRILL_RESULT_H
#define EFS_DRILL_DRILL_RESULT_H
#include <stdbool.h>
#include <stddef.h>

struct drill_result {
    size_t n, proven, partly, refused; /* the rest have failed */
    bool stopped;                      /* by a signal, before all were tried */
    bool left;                         /* something of it is left on the disk, or the report is not kept */
};
/* "proven" of one that proved nothing would be a false green: "proven" is all of them, "partly_proven" that
 * all came back. */
const char *drill_result_verdict(const struct drill_result *s);
/* All came back, and nothing that is known of them is wrong: exit code 0. */
bool drill_result_good(const struct drill_result *s);
#endif
