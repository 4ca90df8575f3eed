#include "worker/stream/packed/packed_kernels.h"

#include <string.h>

#define JOIN2(name, level) name##_##level
#define JOIN(name, level) JOIN2(name, level)
#define LEVEL(name) JOIN(name, KERNEL_LEVEL)

static void widen8(const uint8_t *restrict in, uint32_t n, uint64_t base, uint32_t step,
                   uint64_t *restrict out)
{
    for (uint32_t i = 0; i < n; i++)
        out[i] = base + (uint64_t)in[i] * step;
}

static void widen16(const uint16_t *restrict in, uint32_t n, uint64_t base,
                    uint32_t step, uint64_t *restrict out)
{
    for (uint32_t i = 0; i < n; i++)
        out[i] = base + (uint64_t)in[i] * step;
}

static void widen32(const uint32_t *restrict in, uint32_t n, uint64_t base,
                    uint32_t step, uint64_t *restrict out)
{
    for (uint32_t i = 0; i < n; i++)
        out[i] = base + (uint64_t)in[i] * step;
}

static void widen64(const uint64_t *restrict in, uint32_t n, uint64_t base,
                    uint64_t *restrict out)
{
    for (uint32_t i = 0; i < n; i++)
        out[i] = base + in[i];
}

static void widen(const unsigned char *in, uint32_t width, uint32_t n, uint64_t base,
                  uint32_t step, uint64_t *out)
{
    switch (width) {
    case 1:
        widen8((const void *)in, n, base, step, out);
        break;
    case 2:
        widen16((const void *)in, n, base, step, out);
        break;
    case 4:
        widen32((const void *)in, n, base, step, out);
        break;
    default:
        widen64((const void *)in, n, base, out);
    }
}

static void floats8(const uint8_t *restrict in, uint32_t n, int32_t base,
                    float *restrict out)
{
    for (uint32_t i = 0; i < n; i++)
        out[i] = (float)(base + in[i]);
}

static void floats16(const uint16_t *restrict in, uint32_t n, int32_t base,
                     float *restrict out)
{
    for (uint32_t i = 0; i < n; i++)
        out[i] = (float)(base + in[i]);
}

static void to_floats(const unsigned char *in, uint32_t width, uint32_t n, int32_t base,
                      float *out)
{
    if (width == 1)
        floats8(in, n, base, out);
    else
        floats16((const void *)in, n, base, out);
}

static uint32_t largest8(const uint8_t *in, uint32_t n)
{
    uint8_t most = 0;

    for (uint32_t i = 0; i < n; i++)
        most = in[i] > most ? in[i] : most;
    return most;
}

static uint32_t largest16(const uint16_t *in, uint32_t n)
{
    uint16_t most = 0;

    for (uint32_t i = 0; i < n; i++)
        most = in[i] > most ? in[i] : most;
    return most;
}

static uint32_t largest(const unsigned char *in, uint32_t width, uint32_t n)
{
    return width == 1 ? largest8(in, n) : largest16((const void *)in, n);
}

static bool not_finite(const float *in, uint32_t n, bool missing)
{
    /* Infinity has all bits of the exponent and no other; what is no number is above.
     */
    const uint32_t infinity = 0x7f800000, all = 0x7fffffff;
    uint32_t bad = 0;

    if (missing) {
        for (uint32_t i = 0; i < n; i++) {
            uint32_t bits;

            memcpy(&bits, &in[i], sizeof bits);
            bad |= (bits & all) == infinity;
        }
    } else {
        for (uint32_t i = 0; i < n; i++) {
            uint32_t bits;

            memcpy(&bits, &in[i], sizeof bits);
            bad |= (bits & all) >= infinity;
        }
    }
    return bad;
}

const struct packed_kernels LEVEL(packed_kernels) = {widen, to_floats, largest,
                                                     not_finite};
