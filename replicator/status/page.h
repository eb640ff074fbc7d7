/* The status page, which is page.html, built in. */
#ifndef REPLICATOR_STATUS_PAGE_H
#define REPLICATOR_STATUS_PAGE_H
#include <stdbool.h>
#include <stddef.h>
const char *page_html(size_t *size);
/* The Content-Security-Policy that lets exactly this page's own script and style run, by their hashes: a name
 * of a collection that got into the markup would do nothing. False when `out` is too small. */
bool page_policy(char *out, size_t size);
#endif
