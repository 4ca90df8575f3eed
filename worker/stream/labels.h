/* Labels as they are trained on. */
#ifndef ROWHOUSE_WORKER_STREAM_LABELS_H
#define ROWHOUSE_WORKER_STREAM_LABELS_H

#include "common/job.h"

/* Makes the label of a file what the job's loss needs: for the logistic loss 0 or 1 by
 * data.positive_from; without that, a label other than 0 and 1 is -ERR_INPUT, and the
 * caller puts file, line and column before the sentence. Any thread. */
int label_as_trained(const struct job *job, float *label, struct err *err);

#endif
