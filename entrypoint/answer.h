/* Arguments that ask something, or that cannot be meant for Qdrant: answered or refused, with no Qdrant and
 * no replicator started on live settings. */
#ifndef ENTRYPOINT_ANSWER_H
#define ENTRYPOINT_ANSWER_H
#include <stdbool.h>

/* One argument alone: --help, -h, --version, -V; or a word of letters. Qdrant (1.18.2, src/main.rs) has no
 * argument without a dash, so a word is most likely a mistyped "health". */
bool answer_is_meant(int argc, char **argv);
/* Help and version: ours, then Qdrant's own, which this process becomes; it returns 0 where there is no
 * Qdrant. A word: one line, 64. */
int answer_run(int argc, char **argv);
#endif
