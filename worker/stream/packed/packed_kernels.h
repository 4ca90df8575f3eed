/* The inner loops of reading packed files, for the three processor levels, all with the
 * same results. Numbers are stored in `width` bytes, 1, 2 or 4 (u64: 8, too), aligned
 * to that. Cannot fail; any thread. */
#ifndef ROWHOUSE_WORKER_STREAM_PACKED_PACKED_KERNELS_H
#define ROWHOUSE_WORKER_STREAM_PACKED_PACKED_KERNELS_H

#include <stdbool.h>
#include <stdint.h>

/* out[i] = base + step * in[i], modulo 2^64; in 8 bytes `step` is 1. */
typedef void packed_widen(const unsigned char *in, uint32_t width, uint32_t n,
                          uint64_t base, uint32_t step, uint64_t *out);
/* out[i] = base + in[i], as floats; in 1 or 2 bytes. */
typedef void packed_to_floats(const unsigned char *in, uint32_t width, uint32_t n,
                              int32_t base, float *out);
/* The largest of in[0..n), in 1 or 2 bytes; 0 for none. */
typedef uint32_t packed_largest(const unsigned char *in, uint32_t width, uint32_t n);
/* Is one of them infinite, or, unless `missing`, not a number? */
typedef bool packed_not_finite(const float *in, uint32_t n, bool missing);

struct packed_kernels {
    packed_widen *widen;
    packed_to_floats *to_floats;
    packed_largest *largest;
    packed_not_finite *not_finite;
};

extern const struct packed_kernels packed_kernels_v2, packed_kernels_v3,
    packed_kernels_v4;

/* Those for this processor (common/cpu.h). */
const struct packed_kernels *packed_kernels(void);

#endif
