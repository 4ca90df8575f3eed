/* Threads that help one thread: a function is called for each of some lanes at the same
 * time. */
#ifndef ROWHOUSE_WORKER_CREW_H
#define ROWHOUSE_WORKER_CREW_H

#include <stdint.h>

#include "common/err.h"

enum { CREW_MAX = 64 };

struct crew;

/* `threads` in all, 1 to CREW_MAX, the caller among them. -ERR_MEMORY, or -ERR_SYSTEM
 * with a sentence. */
int crew_create(uint32_t threads, struct crew **crew, struct err *err);
/* NULL is fine. Not during crew_run(). */
void crew_destroy(struct crew *crew);

/* Calls work(of, lane) for the lanes 0 to lanes - 1, lane l by thread l % threads; all
 * are done, and what they wrote is seen, when it returns. One caller at a time. */
void crew_run(struct crew *crew, uint32_t lanes, void (*work)(void *of, uint32_t lane),
              void *of);

#endif
