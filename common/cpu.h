/* Which kernels this processor can run, and how. */
#ifndef ROWHOUSE_COMMON_CPU_H
#define ROWHOUSE_COMMON_CPU_H

enum cpu_level { CPU_V2, CPU_V3, CPU_V4 };

/* The highest x86-64 level of this processor, or the lower one that the environment
 * variable ROWHOUSE_KERNELS (v2, v3, v4) asks for. */
enum cpu_level cpu_level(void);
/* "x86-64-v3" */
const char *cpu_level_name(enum cpu_level level);

/* From here on this thread computes with zero in place of numbers that are too small
 * for a normal float, as a moment that only decays becomes: some processors take a
 * hundred times as long for them. */
void cpu_flush_tiny(void);

#endif
