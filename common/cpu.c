#include "common/cpu.h"

#include <stdlib.h>
#include <string.h>

#include <xmmintrin.h>

/* Of the register MXCSR: tiny results become zero, and tiny operands are taken as it.
 */
enum { FLUSH_TO_ZERO = 1 << 15, DENORMALS_ARE_ZERO = 1 << 6 };

static enum cpu_level cpu_detect(void)
{
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))
        return CPU_V4;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
        __builtin_cpu_supports("bmi2"))
        return CPU_V3;
    return CPU_V2;
}

enum cpu_level cpu_level(void)
{
    enum cpu_level best = cpu_detect();
    const char *wish = getenv("ROWHOUSE_KERNELS");

    if (wish && strcmp(wish, "v2") == 0)
        return CPU_V2;
    if (wish && strcmp(wish, "v3") == 0 && best > CPU_V3)
        return CPU_V3;
    return best;
}

const char *cpu_level_name(enum cpu_level level)
{
    static const char *const name[] = {"x86-64-v2", "x86-64-v3", "x86-64-v4"};

    return name[level];
}

void cpu_flush_tiny(void)
{
    _mm_setcsr(_mm_getcsr() | FLUSH_TO_ZERO | DENORMALS_ARE_ZERO);
}
