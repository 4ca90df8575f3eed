/* Time. All deadlines are points of the monotonic clock in milliseconds. */
#ifndef ROWHOUSE_COMMON_CLOCK_H
#define ROWHOUSE_COMMON_CLOCK_H

#include <stdint.h>

/* Milliseconds since an arbitrary start, never going back. */
int64_t clock_ms(void);

/* The same in seconds, with microseconds behind the point. */
double clock_seconds(void);

/* Processor seconds (user and system) of this process so far. */
double clock_cpu_seconds(void);

/* The same of the calling thread alone. */
double clock_thread_seconds(void);

#endif
