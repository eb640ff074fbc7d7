/* CONFINE=all: what the Qdrant that serves is not to reach, which is EFS. Landlock knows no "all but": it is
 * allowed whatever lies beside the way to EFS when Qdrant starts. For its process, before exec. */
#ifndef ENTRYPOINT_OUT_OF_REACH_H
#define ENTRYPOINT_OUT_OF_REACH_H

/* Where that cannot be, it says why and leaves Qdrant as it is. Looks at nothing on EFS. */
void out_of_reach(void);
#endif
