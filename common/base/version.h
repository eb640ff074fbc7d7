/* The version that all three programs print. */
#ifndef COMMON_BASE_VERSION_H
#define COMMON_BASE_VERSION_H
#define VERSION "0.1.0"
#endif
