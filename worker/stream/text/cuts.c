#include "worker/stream/text/cuts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/unpack.h"
#include "worker/stream/text/fields_kernels.h"
#include "worker/stream/text/reader.h"

enum { SCAN_BYTES = 256 * 1024 };

struct scan {
    const struct split_kernels *kernels;
    const char *path;
    int fd;
    char *bytes;      /* owned; [SCAN_BYTES + READER_SLACK] */
    uint64_t at;      /* of bytes[0] in the file */
    size_t used, end; /* bytes [used, end) are to be looked at */
    bool inside;      /* bytes[used] is in quotes */
};

/* Reads on where all bytes have been looked at; none at the end of the file. */
static int read_on(struct scan *s, struct err *err)
{
    ssize_t n;

    if (s->used < s->end)
        return 0;
    s->at += s->end;
    do
        n = pread(s->fd, s->bytes, SCAN_BYTES, (off_t)s->at);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return err_system(err, "%s: cannot read", s->path);
    s->used = 0;
    s->end = (size_t)n;
    return 0;
}

/* Looks at the bytes before `place`. */
static int go_to(struct scan *s, uint64_t place, struct err *err)
{
    size_t bytes;
    int rc;

    while (s->at + s->used < place) {
        if ((rc = read_on(s, err)))
            return rc;
        bytes = s->end - s->used;
        if (bytes == 0)
            return 0;
        if (bytes > place - s->at - s->used)
            bytes = (size_t)(place - s->at - s->used);
        s->inside ^= s->kernels->odd_quotes(s->bytes + s->used, bytes);
        s->used += bytes;
    }
    return 0;
}

/* Goes behind the quotes that it is in. */
static int leave_quotes(struct scan *s, struct err *err)
{
    const char *quote;
    int rc;

    while (s->inside) {
        if ((rc = read_on(s, err)))
            return rc;
        if (s->used == s->end)
            return 0;
        quote = memchr(s->bytes + s->used, '"', s->end - s->used);
        s->used = quote ? (size_t)(quote - s->bytes) + 1 : s->end;
        s->inside = !quote;
    }
    return 0;
}

static int move_all(struct scan *s, uint64_t *places, uint32_t n, struct err *err)
{
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < n; i++) {
        rc = go_to(s, places[i], err);
#ifndef MUTANT_STREAM_CUTS
        if (rc == 0)
            rc = leave_quotes(s, err);
        if (places[i] < s->at + s->used)
            places[i] = s->at + s->used;
#endif
    }
    return rc;
}

static bool has_quotes(const struct job *job)
{
    return job->data.quotes == DATA_YES
               ? job->data.format == DATA_TSV || job->data.format == DATA_CSV ||
                     job->data.format == DATA_CRITEO
               : job->data.quotes == DATA_BY_FORMAT && job->data.format == DATA_CSV;
}

int cuts_move(const struct job *job, const char *path, uint64_t *places, uint32_t n,
              struct err *err)
{
    struct scan scan = {.kernels = split_kernels(), .path = path};
    struct unpack *unpack;
    int rc;

    if (n == 0 || !has_quotes(job))
        return 0;
    rc = unpack_open(path, &unpack, err);
    if (rc)
        return rc;
    scan.fd = unpack_plain_fd(unpack);
    scan.bytes = calloc(1, SCAN_BYTES + READER_SLACK);
    if (!scan.bytes)
        rc = err_set(err, ERR_MEMORY, "%.400s: no memory to read it", path);
    else if (scan.fd >= 0)
        rc = move_all(&scan, places, n, err);
    free(scan.bytes);
    unpack_close(unpack);
    return rc;
}
