/* Vectors in NumPy's format, plain or compressed: a matrix of <f4 or <f8 in C order,
 * the number of whose row, from 0, is its key. One thread. */
#ifndef ROWHOUSE_COMMON_VECTORS_NPY_H
#define ROWHOUSE_COMMON_VECTORS_NPY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

/* Who takes vectors. */
struct vectors_sink {
    /* Is this key's vector wanted? Numbers of others are counted, but not read. */
    bool (*wants)(void *context, uint64_t key);
    /* Takes `n` numbers, all finite; valid during the call. 0, or the error that ends
     * the reading. */
    int (*take)(void *context, uint64_t key, const float *values, uint32_t n,
                struct err *err);
    void *context;
};

/* Does the file begin as NumPy's do? Errors as of unpack_open(). */
int vectors_are_npy(const char *path, bool *npy, struct err *err);

/* Reads such a file, whose rows have `dim` or `width` numbers. -ERR_INPUT: not such a
 * file, or damaged; rows of another length; what is no finite number; fewer or more
 * rows than the file says. -ERR_MEMORY, -ERR_SYSTEM, and what the sink answers. */
int vectors_read_npy(const char *path, uint32_t dim, uint32_t width,
                     const struct vectors_sink *sink, struct err *err);

#endif
