#include "common/vectors_npy.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/unpack.h"
#include "common/wording.h"

enum { MAGIC_BYTES = 6, HEADER_MAX = 65536 };

static const char magic[] = "\x93NUMPY";

/* A matrix in an open file. */
struct matrix {
    struct unpack *unpack;
    const char *path;
    uint64_t rows, columns;
    uint32_t bytes; /* of a number: 4 or 8 */
};

/* Reads up to `size` bytes, fewer only at the end of the file. */
static int read_all(struct unpack *unpack, void *to, size_t size, size_t *got,
                    struct err *err)
{
    size_t n = 1;

    for (*got = 0; *got < size && n > 0; *got += n) {
        int rc = unpack_read(unpack, (char *)to + *got, size - *got, &n, err);

        if (rc)
            return rc;
    }
    return 0;
}

int vectors_are_npy(const char *path, bool *npy, struct err *err)
{
    char begin[MAGIC_BYTES];
    struct unpack *unpack;
    size_t got;
    int rc = unpack_open(path, &unpack, err);

    if (rc)
        return rc;
    rc = read_all(unpack, begin, sizeof begin, &got, err);
    *npy = rc == 0 && got == MAGIC_BYTES && memcmp(begin, magic, MAGIC_BYTES) == 0;
    unpack_close(unpack);
    return rc;
}

/* --- the header ------------------------------------------------------------------ */

static const char *skip_blanks(const char *s)
{
    return s + strspn(s, " ");
}

/* What stands behind 'name': in the header, a Python dictionary; NULL if nothing. */
static const char *value_of(const char *header, const char *name)
{
    const char *at = strstr(header, name);

    if (!at)
        return NULL;
    at = skip_blanks(at + strlen(name));
    return *at == ':' ? skip_blanks(at + 1) : NULL;
}

static const char *take_whole(const char *s, uint64_t *value)
{
    size_t digits = strspn(s, "0123456789");

    if (digits == 0 || digits > 18)
        return NULL;
    *value = strtoull(s, NULL, 10);
    return skip_blanks(s + digits);
}

/* "(3, 4)" */
static bool take_shape(const char *s, struct matrix *m)
{
    if (!s || *s != '(' || !(s = take_whole(skip_blanks(s + 1), &m->rows)) ||
        *s != ',' || !(s = take_whole(skip_blanks(s + 1), &m->columns)))
        return false;
    return *skip_blanks(s + (*s == ',')) == ')';
}

static int understand(struct matrix *m, const char *header, struct err *err)
{
    const char *type = value_of(header, "'descr'");
    const char *fortran = value_of(header, "'fortran_order'");
    char shown[WORDING_SHOWN_MAX];

    if (type && strncmp(type, "'<f4'", 5) == 0)
        m->bytes = sizeof(float);
    else if (type && strncmp(type, "'<f8'", 5) == 0)
        m->bytes = sizeof(double);
    if (m->bytes && fortran && strncmp(fortran, "False", 5) == 0 &&
        take_shape(value_of(header, "'shape'"), m))
        return 0;
    return err_set(err, ERR_INPUT,
                   "%s: expected a NumPy array of <f4 or <f8 with two dimensions in C "
                   "order, its header is '%s'",
                   m->path, wording_shown(header, shown));
}

static int cut_off(const struct matrix *m, struct err *err)
{
    return err_set(err, ERR_INPUT, "%s is truncated: its NumPy header is not whole",
                   m->path);
}

/* The magic, a version, the header's length (2 bytes, from version 2 on 4), it. */
static int read_header(struct matrix *m, struct err *err)
{
    unsigned char begin[MAGIC_BYTES + 2], length[4] = {0};
    size_t got, bytes;
    char *header;
    int rc = read_all(m->unpack, begin, sizeof begin, &got, err);

    if (rc)
        return rc;
    bytes = begin[MAGIC_BYTES] > 1 ? 4 : 2;
    if (got < sizeof begin)
        return cut_off(m, err);
    rc = read_all(m->unpack, length, bytes, &got, err);
    if (rc)
        return rc;
    if (got < bytes)
        return cut_off(m, err);
    bytes = length[0] | length[1] << 8 | length[2] << 16 | (size_t)length[3] << 24;
    if (bytes > HEADER_MAX)
        return err_set(err, ERR_INPUT, "%s: a NumPy header of %zu bytes, at most %d",
                       m->path, bytes, HEADER_MAX);
    header = calloc(1, bytes + 1);
    if (!header)
        return err_set(err, ERR_MEMORY, "%s: no memory to read it", m->path);
    rc = read_all(m->unpack, header, bytes, &got, err);
    if (rc == 0)
        rc = got < bytes ? cut_off(m, err) : understand(m, header, err);
    free(header);
    return rc;
}

/* --- rows ------------------------------------------------------------------------ */

static int convert(const struct matrix *m, uint64_t row, const unsigned char *raw,
                   float *values, struct err *err)
{
    for (uint64_t i = 0; i < m->columns; i++) {
        double wide;

        if (m->bytes == sizeof(float))
            memcpy(&values[i], raw + i * sizeof(float), sizeof(float));
        else {
            memcpy(&wide, raw + i * sizeof(double), sizeof(double));
            values[i] = (float)wide;
        }
        if (!isfinite(values[i]))
            return err_set(err, ERR_INPUT,
                           "%s row %" PRIu64 ", column %" PRIu64 ": not a finite float",
                           m->path, row, i);
    }
    return 0;
}

static int read_rows(struct matrix *m, unsigned char *raw, float *values,
                     const struct vectors_sink *sink, struct err *err)
{
    size_t size = m->columns * m->bytes, got;
    int rc = 0;

    for (uint64_t row = 0; row < m->rows; row++) {
        rc = read_all(m->unpack, raw, size, &got, err);
        if (rc)
            return rc;
#ifndef MUTANT_VECTORS_COUNT
        if (got < size)
            return err_set(err, ERR_INPUT,
                           "%s is truncated: its header says %" PRIu64
                           " rows, number %" PRIu64 " is not whole",
                           m->path, m->rows, row);
#endif
        if (!sink->wants(sink->context, row))
            continue;
        rc = convert(m, row, raw, values, err);
        if (rc == 0)
            rc = sink->take(sink->context, row, values, (uint32_t)m->columns, err);
        if (rc)
            return rc;
    }
    rc = read_all(m->unpack, raw, 1, &got, err);
    if (rc == 0 && got > 0)
        return err_set(err, ERR_INPUT, "%s goes on behind its %" PRIu64 " rows",
                       m->path, m->rows);
    return rc;
}

static int read_matrix(struct matrix *m, uint32_t dim, uint32_t width,
                       const struct vectors_sink *sink, struct err *err)
{
    unsigned char *raw;
    float *values;
    int rc = read_header(m, err);

    if (rc)
        return rc;
    if (m->rows == 0)
        return err_set(err, ERR_INPUT, "%s has no vectors", m->path);
    if (m->columns != dim && m->columns != width)
        return err_set(err, ERR_INPUT,
                       "%s: vectors of %" PRIu64 " numbers, expected %u", m->path,
                       m->columns, dim);
    raw = malloc(m->columns * m->bytes);
    values = malloc(m->columns * sizeof *values);
    rc = raw && values ? read_rows(m, raw, values, sink, err)
                       : err_set(err, ERR_MEMORY, "%s: no memory to read it", m->path);
    free(raw);
    free(values);
    return rc;
}

int vectors_read_npy(const char *path, uint32_t dim, uint32_t width,
                     const struct vectors_sink *sink, struct err *err)
{
    struct matrix m = {.path = path};
    int rc = unpack_open(path, &m.unpack, err);

    if (rc == 0) {
        rc = read_matrix(&m, dim, width, sink, err);
        unpack_close(m.unpack);
    }
    return rc;
}
