/* What the coordinator consists of, shared by coordinator.c (the run) and
 * coordinator_view.c (where it stands). Nobody else includes this. */
#ifndef ROWHOUSE_SERVER_COORDINATOR_PARTS_H
#define ROWHOUSE_SERVER_COORDINATOR_PARTS_H

#include "server/coordinator.h"

struct member_record {
    bool known;
    uint32_t *incarnation; /* in the state */
    int64_t heard_ms;
    struct status status;
};

struct coordinator {
    struct coordinator_plan plan;
    struct coordinator_host host;
    struct coordinator_memory *memory; /* borrowed */
    struct coordinator_state *state;   /* the one that is worked on */
    struct member_record *server, *worker;
    struct manifest *manifest; /* scratch for saving */
    int64_t started_ms, stage_ms, saved_ms, interrupted_ms, looked_ms;
    int64_t stop_ms; /* when the stop in force was ordered */
};

/* Sums up what the members have said last, whatever is kept. */
void coordinator_sum(const struct coordinator *coordinator, int64_t now_ms,
                     struct run_view *view);

#endif
