#include "worker/model/blas.h"

#include <assert.h>
#include <cblas.h>

/* A call gets at most this many rows, so that no index passes an int. */
enum { ROWS_A_CALL = 1 << 20 };

/* Rows from `first` on, at most ROWS_A_CALL of them. */
static struct blas_rows stretch(struct blas_rows a, uint32_t first)
{
    uint32_t left = a.rows - first;

    return (struct blas_rows){.value = a.value + (size_t)first * a.stride,
                              .rows = left < ROWS_A_CALL ? left : ROWS_A_CALL,
                              .stride = a.stride};
}

static void check_span(struct blas_rows a, uint32_t columns)
{
    assert(columns <= a.stride && a.stride <= BLAS_SPAN_MAX);
}

void blas_init(void)
{
    openblas_set_num_threads(1);
}

void blas_add_dots(struct blas_rows a, const float *x, uint32_t columns, float *out)
{
    check_span(a, columns);
    if (columns == 0)
        return;
    for (uint32_t first = 0; first < a.rows; first += ROWS_A_CALL) {
        struct blas_rows s = stretch(a, first);

        cblas_sgemv(CblasRowMajor, CblasNoTrans, (int)s.rows, (int)columns, 1, s.value,
                    (int)s.stride, x, 1, 1, out + first, 1);
    }
}

/* blas_add_products() of at most ROWS_A_CALL rows of either. */
static void add_products_block(struct blas_rows a, struct blas_rows b, uint32_t columns,
                               float *out, uint32_t out_stride)
{
    if (columns == 1) /* a rank-1 update needs no packing */
        cblas_sger(CblasRowMajor, (int)a.rows, (int)b.rows, 1, a.value, (int)a.stride,
                   b.value, (int)b.stride, out, (int)out_stride);
    else
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)a.rows, (int)b.rows,
                    (int)columns, 1, a.value, (int)a.stride, b.value, (int)b.stride, 1,
                    out, (int)out_stride);
}

void blas_add_products(struct blas_rows a, struct blas_rows b, uint32_t columns,
                       float *out, uint32_t out_stride)
{
    check_span(a, columns);
    check_span(b, columns);
    assert(b.rows <= out_stride && out_stride <= BLAS_SPAN_MAX);
    if (columns == 0)
        return;
    for (uint32_t i = 0; i < a.rows; i += ROWS_A_CALL)
        for (uint32_t j = 0; j < b.rows; j += ROWS_A_CALL)
            add_products_block(stretch(a, i), stretch(b, j), columns,
                               out + (size_t)i * out_stride + j, out_stride);
}

void blas_add_mapped(struct blas_rows a, struct blas_rows b, uint32_t columns,
                     float *out, uint32_t out_stride)
{
    check_span(a, b.rows);
    check_span(b, columns);
    assert(columns <= out_stride && out_stride <= BLAS_SPAN_MAX);
    if (columns == 0 || b.rows == 0)
        return;
    for (uint32_t i = 0; i < a.rows; i += ROWS_A_CALL) {
        struct blas_rows s = stretch(a, i);
        float *to = out + (size_t)i * out_stride;

        if (columns == 1)
            cblas_sgemv(CblasRowMajor, CblasNoTrans, (int)s.rows, (int)b.rows, 1,
                        s.value, (int)s.stride, b.value, (int)b.stride, 1, to,
                        (int)out_stride);
        else
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)s.rows,
                        (int)columns, (int)b.rows, 1, s.value, (int)s.stride, b.value,
                        (int)b.stride, 1, to, (int)out_stride);
    }
}

/* blas_add_outer() of at most ROWS_A_CALL rows. */
static void add_outer_block(struct blas_rows a, uint32_t a_columns, struct blas_rows b,
                            uint32_t b_columns, float *out, uint32_t out_stride)
{
    if (b_columns == 1)
        cblas_sgemv(CblasRowMajor, CblasTrans, (int)a.rows, (int)a_columns, 1, a.value,
                    (int)a.stride, b.value, (int)b.stride, 1, out, (int)out_stride);
    else
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)a_columns,
                    (int)b_columns, (int)a.rows, 1, a.value, (int)a.stride, b.value,
                    (int)b.stride, 1, out, (int)out_stride);
}

void blas_add_outer(struct blas_rows a, uint32_t a_columns, struct blas_rows b,
                    uint32_t b_columns, float *out, uint32_t out_stride)
{
    check_span(a, a_columns);
    check_span(b, b_columns);
    assert(a.rows == b.rows && b_columns <= out_stride && out_stride <= BLAS_SPAN_MAX);
    if (a_columns == 0 || b_columns == 0)
        return;
    for (uint32_t i = 0; i < a.rows; i += ROWS_A_CALL)
        add_outer_block(stretch(a, i), a_columns, stretch(b, i), b_columns, out,
                        out_stride);
}
