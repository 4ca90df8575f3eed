/* Dense products: the only user of OpenBLAS. Matrices are row by row; a stride is the
 * distance of two rows' beginnings in floats and may pass the columns used.
 *
 * Columns and strides are at most BLAS_SPAN_MAX (a mistake of the program otherwise);
 * rows may be any number. Any thread, each computes alone. */
#ifndef ROWHOUSE_WORKER_MODEL_BLAS_H
#define ROWHOUSE_WORKER_MODEL_BLAS_H

#include <stdint.h>

enum { BLAS_SPAN_MAX = 1 << 30 };

/* A matrix that somebody else owns: row i starts at value + i * stride. */
struct blas_rows {
    const float *value;
    uint32_t rows;
    uint32_t stride;
};

/* Once at start, before threads: OpenBLAS computes in the calling thread only. */
void blas_init(void);

/* out[i] += the first `columns` of a's row i . x: out is [a.rows], x is [columns]. */
void blas_add_dots(struct blas_rows a, const float *x, uint32_t columns, float *out);

/* out[i][j] += a's row i . b's row j over the first `columns`: out is [a.rows][b.rows],
 * its rows out_stride apart. */
void blas_add_products(struct blas_rows a, struct blas_rows b, uint32_t columns,
                       float *out, uint32_t out_stride);

/* out[i][j] += sum over r of a[i][r] b[r][j], with the first `columns` of b's rows: out
 * is [a.rows][columns]. b.rows is at most BLAS_SPAN_MAX. */
void blas_add_mapped(struct blas_rows a, struct blas_rows b, uint32_t columns,
                     float *out, uint32_t out_stride);

/* out[i][j] += sum over r of a[r][i] b[r][j]: the sum of the outer products of their
 * rows, of which there are as many of a as of b. out is [a_columns][b_columns]. */
void blas_add_outer(struct blas_rows a, uint32_t a_columns, struct blas_rows b,
                    uint32_t b_columns, float *out, uint32_t out_stride);

#endif
