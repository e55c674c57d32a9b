/* What the example rdkafka_performance.c takes from librdkafka's internal headers, which no package installs: clock, names of
 * the C library's functions, and words for the compiler. */
#ifndef RDKAFKA_SHIM_H
#define RDKAFKA_SHIM_H
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

typedef int64_t rd_ts_t;

/* Microseconds of a clock that only grows. */
static inline rd_ts_t rd_clock(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (rd_ts_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

#define rd_snprintf snprintf
#define rd_strdup strdup
#define rd_malloc malloc
#define rd_free free
#define rd_usleep(us, flag) usleep(us)
#define RD_MAX(a, b) ((a) > (b) ? (a) : (b))
#define RD_MIN(a, b) ((a) < (b) ? (a) : (b))
#define RD_UNUSED __attribute__((unused))
#define RD_NORETURN __attribute__((noreturn))
#define RD_ARRAYSIZE(a) (sizeof(a) / sizeof(*(a)))
#endif
