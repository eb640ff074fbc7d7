/* Signals as the entrypoint wants them, and as its children should find them. */
#ifndef ENTRYPOINT_SIGNALS_H
#define ENTRYPOINT_SIGNALS_H
#include <signal.h>

/* From now on TERM, INT, QUIT, HUP, USR1, USR2 and CHLD wait to be read from the descriptor that is returned
 * (non-blocking), all others that can be are ignored: none may end the process that Qdrant's life depends
 * on. What the parent left is overridden. -1 with errno. */
int signals_take(void);
/* In a forked child, before exec: everything at its default, nothing blocked. */
void signals_give_back(void);
/* "TERM" for SIGTERM. */
const char *signals_name(int sig);
#endif
