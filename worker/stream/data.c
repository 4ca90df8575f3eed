#include "worker/stream/data.h"

#include <sys/stat.h>

#include "common/unpack.h"
#include "worker/stream/filelist.h"

/* Up to here files are held in memory; packed bytes count more. */
static const uint64_t memory_max = (uint64_t)1 << 30;
enum { UNPACKED = 4 };

/* What the files of a list would be as text, about; a pipe is nothing that could be
 * read again. */
static int add_sizes(const char *files, const char *why, uint64_t *bytes,
                     struct err *err)
{
    struct filelist list;
    struct unpack *unpack;
    struct stat status;
    struct err ignored;
    int rc = filelist_init(&list, files, why, err);

    if (rc)
        return rc;
    for (size_t i = 0; i < list.files; i++) {
        if (stat(list.path[i], &status) < 0 || !S_ISREG(status.st_mode) ||
            unpack_open(list.path[i], &unpack, &ignored))
            continue; /* whoever reads it says what is wrong */
        *bytes += (uint64_t)status.st_size *
                  (unpack_plain_fd(unpack) < 0 ? UNPACKED : 1);
        unpack_close(unpack);
    }
    filelist_release(&list);
    return 0;
}

int data_parts_apart(const struct job *job, struct err *err)
{
    const char *const why[] = {"data.train", "data.validation", "data.test"};
    const char *const files[] = {job->data.train, job->data.validation, job->data.test};
    int rc = 0;

    for (int i = 0; i < 3; i++)
        for (int k = i + 1; rc == 0 && k < 3; k++)
            if (files[i][0] && files[k][0])
                rc = filelist_apart(files[i], why[i], files[k], why[k], err);
    return rc;
}

int data_decide(struct job *job, struct err *err)
{
    uint64_t bytes = 0;

    if (job->data.in_memory != DATA_BY_FORMAT)
        return 0;
    if (add_sizes(job->data.train, "data.train", &bytes, err))
        return -err->code;
    job->data.in_memory = bytes <= memory_max ? DATA_YES : DATA_NO;
    return 0;
}

int data_load(struct data *data, const struct job *job,
              const struct data_streams *streams, const struct saved_preparation *saved,
              const volatile bool *stop, struct err *err)
{
    bool spooled = streams && (streams->spool || streams->test_only);
    int rc;

    *data = (struct data){.is_streamed = spooled || job->data.in_memory == DATA_NO};
    if (data->is_streamed && job->data.group[0])
        return err_set(err, ERR_INPUT,
                       "data.group is set, which needs the data in memory, but they "
                       "are %s",
                       spooled ? "a pipe" : "large: expected data.in_memory true");
    if (spooled)
        rc = streamed_open_spool(&data->streamed, job, streams->spool, saved, stop,
                                 err);
    else if (data->is_streamed)
        rc = streamed_open(&data->streamed, job, saved, stop, err);
    else
        rc = dataset_load(&data->memory, job, saved, stop, err);
    if (rc)
        return rc;
    data->facts = data->is_streamed ? data->streamed.facts : data->memory.facts;
    data->facts.bad_rows = data_bad_rows(data)->count;
    return 0;
}

void data_release(struct data *data)
{
    dataset_release(&data->memory);
    streamed_release(&data->streamed);
    *data = (struct data){0};
}

uint64_t data_end(const struct data *data, const struct job *job, enum split_part part)
{
    return data->is_streamed ? streamed_end(&data->streamed, job, part)
                             : data_part(data, part)->examples;
}

const struct part *data_part(const struct data *data, enum split_part part)
{
    return dataset_part(&data->memory, part);
}

const unsigned char *data_preparation(const struct data *data)
{
    return data->is_streamed ? data->streamed.preparation : data->memory.preparation;
}

const struct bad_rows *data_bad_rows(const struct data *data)
{
    return data->is_streamed ? &data->streamed.bad_rows : &data->memory.bad_rows;
}
