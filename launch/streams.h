/* The streams of a run: data that can be read only once (standard input, pipes) or that
 * grow (train.follow). The process that leads reads them into a spool
 * (worker/stream/spool/intake.h), whose chunks it deals out as they come; all processes
 * read the spool. */
#ifndef ROWHOUSE_LAUNCH_STREAMS_H
#define ROWHOUSE_LAUNCH_STREAMS_H

#include "launch/run.h"

enum { STREAMS_MAX = 256 }; /* paths of data.train, if it is streams */

/* Does data.train name streams, or is it followed? Then sets request->spool to the
 * spool's folder, which is there from then on, and checks what must hold. The first
 * rank only. -ERR_INPUT: a spool of an earlier run that is neither to be gone on with
 * nor to make way, settings that do not go together; -ERR_SYSTEM. */
int streams_prepare(struct run_request *request, bool resume, struct err *err);

/* Has an earlier run left something of its streams, from which one can begin without a
 * checkpoint? */
bool streams_left(const struct job *job);

/* Opens the named pipes, so that their writers find a reader also between two processes
 * that lead: fd[i] is that of path i, or -1. -ERR_SYSTEM. */
int streams_open_pipes(const struct run_request *request, int32_t fd[STREAMS_MAX],
                       struct err *err);

struct streams;

/* `pipe` as of streams_open_pipes(), or NULL; borrowed, like the request. `again`: an
 * earlier process of this run has read the same pipes. `shared`: other hosts read the
 * spool. -ERR_MEMORY. */
int streams_create(const struct run_request *request, const int32_t *pipe, bool again,
                   bool shared, struct streams **streams, struct err *err);
void streams_destroy(struct streams *streams); /* stops reading; NULL is fine */

/* For lead_setup, with the struct streams as `data`. The first call starts to read, or
 * to go on with what the spool has. Errors as of intake_start() and intake_check(). */
int streams_grow(void *data, uint64_t floor, uint64_t *known, bool *grows,
                 struct err *err);
int streams_secure(void *data, struct err *err);

/* The run is over: removes a spool that nobody can go on with. */
void streams_clean_up(const struct run_request *request, int status);

#endif
