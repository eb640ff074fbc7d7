/* The subcommand `qdrant-entrypoint health`: the container's health check, run beside PID 1 by the container
 * runtime. Touches no file but /proc/1/stat, and is over within
 * HEALTH_TIMEOUT_SECONDS. What it asks and how it judges is in health. */
#ifndef ENTRYPOINT_HEALTH_COMMAND_H
#define ENTRYPOINT_HEALTH_COMMAND_H
#include <stdbool.h>

/* Exactly "health" in the first place. Qdrant 1.18 has no argument without dashes, so none is taken from it.
 */
bool health_command_is_meant(int argc, char **argv);
/* Returns the exit code: 0 healthy, 1 unhealthy, 64 a wrong setting or argument. */
int health_command_run(int argc, char **argv);
#endif
