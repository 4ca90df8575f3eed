/* The report: what a run did, as JSON (docs/report.md has the fields). */
#ifndef ROWHOUSE_LAUNCH_REPORT_H
#define ROWHOUSE_LAUNCH_REPORT_H

#include "launch/run.h"

/* Writes the report to request->report, whole or not at all. `seconds` is the wall time
 * of the whole run, `cpu_seconds` the processor time of all its processes. */
int report_write(const struct run_request *request, const struct roster *roster,
                 const struct coordinator_state *state, const struct run_view *view,
                 double seconds, double cpu_seconds, struct err *err);

#endif
