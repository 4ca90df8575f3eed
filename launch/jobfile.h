/* The job file of a command. */
#ifndef ROWHOUSE_LAUNCH_JOBFILE_H
#define ROWHOUSE_LAUNCH_JOBFILE_H

#include "common/job.h"
#include "launch/command.h"

/* Loads the job that the arguments name, with their overrides, and makes its model
 * complete (worker/blueprint.h). Errors as of job_load() and blueprint_make(). */
int jobfile_load(const struct arguments *arguments, struct job *job, struct err *err);

#endif
