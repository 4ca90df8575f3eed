/* Presets: models that a job names in one line, as the layers that they are. */
#ifndef ROWHOUSE_WORKER_PRESET_H
#define ROWHOUSE_WORKER_PRESET_H

#include "common/job.h"

/* Makes the layers of a job whose model.kind is a preset: model.layers and model.output
 * of its columns, and what its tables must have for that (tables.*.bias; linear: dim 1,
 * zeros). mf with model.features becomes a graph by name, too. A job that has been
 * through this, as one of a checkpoint, stays as it is. docs/models.md says what each
 * preset becomes.
 *
 * Before blueprint_expand(), and after job_check(). -ERR_INPUT: a sentence that names
 * the setting, what was found and what was expected. Any thread. */
int preset_expand(struct job *job, struct err *err);

#endif
