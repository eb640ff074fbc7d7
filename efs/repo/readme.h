/* README.txt at the top of a tree: what lies there, and how to get it back with plain tools. For people; no
 * program of ours reads it. */
#ifndef EFS_REPO_README_H
#define EFS_REPO_README_H
#include "common/base/err.h"
/* Write {base}/README.txt, unless it is there as it should be. The tree itself must be there. */
int readme_put(const char *base, struct err *e);
#endif
