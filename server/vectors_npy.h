/* Vectors in NumPy's format: part of server/vectors.h. */
#ifndef ROWHOUSE_SERVER_VECTORS_NPY_H
#define ROWHOUSE_SERVER_VECTORS_NPY_H

#include "server/vectors.h"

/* Does the file begin as NumPy's do? Errors as of unpack_open(). */
int vectors_are_npy(const char *path, bool *npy, struct err *err);

/* vectors_read() of such a file. */
int vectors_read_npy(const char *path, uint32_t dim, uint32_t width,
                     const struct vectors_sink *sink, struct err *err);

#endif
