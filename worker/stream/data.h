/* What a worker's process has of the data: all of it in memory, or the chunks to read
 * it from again and again (data.in_memory). Made once, then shared read-only. */
#ifndef ROWHOUSE_WORKER_STREAM_DATA_H
#define ROWHOUSE_WORKER_STREAM_DATA_H

#include "worker/stream/dataset.h"
#include "worker/stream/streamed.h"

struct data {
    bool is_streamed;
    struct dataset memory;    /* if not */
    struct streamed streamed; /* if so */
    struct data_facts facts;
};

/* Decides data.in_memory if it is auto, by the sizes of the files. Errors as of
 * filelist_init(). */
int data_decide(struct job *job, struct err *err);

/* Before a training: no file is of two parts. -ERR_INPUT names it and the settings; and
 * the errors of filelist_init(). */
int data_parts_apart(const struct job *job, struct err *err);

/* Whether data.train is streams. */
struct data_streams {
    const char *spool; /* their spool's folder; NULL: data.train is files */
    bool test_only;    /* nothing is trained: data.train is not looked at */
};

/* `streams` NULL: there are none. `saved` and `*stop` as for dataset_load(). Errors as
 * of dataset_load(), streamed_open() and streamed_open_spool(). After one there is
 * nothing to release. */
int data_load(struct data *data, const struct job *job,
              const struct data_streams *streams, const struct saved_preparation *saved,
              const volatile bool *stop, struct err *err);
void data_release(struct data *data); /* zeroed is fine */

/* A part's positions are [0, data_end()). */
uint64_t data_end(const struct data *data, const struct job *job, enum split_part part);
/* A part of data in memory. */
const struct part *data_part(const struct data *data, enum split_part part);
/* What was left out (data.bad_rows: skip). */
const struct bad_rows *data_bad_rows(const struct data *data);
/* What was fitted to the training part; NULL: nothing is prepared. */
const unsigned char *data_preparation(const struct data *data);

#endif
