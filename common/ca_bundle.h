/* Which authorities HTTPS trusts where nobody names any: a library that was built for one distribution knows
 * that one's file alone, and programs that carry their libraries with them run on others, too. */
#ifndef COMMON_CA_BUNDLE_H
#define COMMON_CA_BUNDLE_H
#include <stdbool.h>

/* `given` (SSL_CERT_FILE) if it is not empty, also when nothing is there: the error then names it. Else NULL,
 * for the library's own default, where that is there. Else the file of another distribution, or NULL without
 * one. */
const char *ca_bundle_choose(const char *given, const char *built_in, bool (*is_there)(const char *path));
/* The same of this machine. */
const char *ca_bundle(void);
#endif
