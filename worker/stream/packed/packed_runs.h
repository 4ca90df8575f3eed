/* Runs: the values of a column of a block as they are packed, each run in the shortest
 * of the few encodings that can be read as fast as memory (docs/packed-format.md):
 *
 *   steps   value = base + step * n, with n in 0, 1, 2, 4 or 8 bytes
 *   table   the different values once, then the place of each in 0, 1 or 2 bytes
 *   plain   floats and bytes of text as they are
 *
 * For the files of packed.c. Any thread, each with its own struct. */
#ifndef ROWHOUSE_WORKER_STREAM_PACKED_PACKED_RUNS_H
#define ROWHOUSE_WORKER_STREAM_PACKED_PACKED_RUNS_H

#include <stddef.h>

#include "common/err.h"
#include "worker/stream/packed/packed_kernels.h"

enum {
    RUN_HEADER_BYTES = 24,
    RUN_TABLE_MAX = 65536,      /* entries */
    RUN_VALUES_MAX = 1 << 26,   /* in any run: bytes of text, keys */
    RUN_WHOLE_FLOATS = 1 << 24, /* up to this, whole numbers are exact as floats */
};

enum run_encoding { RUN_PLAIN, RUN_STEPS, RUN_TABLE };
/* What the values are: bytes, floats or 64-bit integers. */
enum run_kind { RUN_BYTES = 1, RUN_FLOATS = 4, RUN_INTEGERS = 8 };

/* --- writing ------------------------------------------------------------------- */

/* Packed bytes so far, and what finding tables needs. Zeroed at first. */
struct run_writer {
    unsigned char *bytes; /* owned; [room] */
    size_t used, room;
    uint32_t *bucket; /* owned; of the table being made */
    uint64_t *entry;  /* owned; [RUN_TABLE_MAX] */
    uint16_t *place;  /* owned; [place_room]: of each value */
    size_t place_room;
};

void run_writer_release(struct run_writer *writer);
/* Room for `more` bytes behind those used. -ERR_MEMORY. */
int run_writer_room(struct run_writer *writer, size_t more, struct err *err);

/* Add a run of n values, n <= RUN_VALUES_MAX; all start and end at multiples of 8.
 * -ERR_MEMORY. */
int run_put_integers(struct run_writer *writer, const uint64_t *value, uint32_t n,
                     struct err *err);
int run_put_floats(struct run_writer *writer, const float *value, uint32_t n,
                   struct err *err);
int run_put_bytes(struct run_writer *writer, const char *byte, uint32_t n,
                  struct err *err);

/* --- reading ------------------------------------------------------------------- */

struct run {
    enum run_kind kind;
    enum run_encoding encoding;
    uint32_t width, n, entries;
    uint64_t base, step;
    const unsigned char *table, *data; /* borrowed: [entries] of kind, [n] of width */
    size_t bytes;                      /* all of it, with header and padding */
};

/* Reads the header of a run at at[0..left), aligned to 8, and checks all its numbers:
 * NULL, or what is wrong with it. n: how many values it must have, or UINT32_MAX for
 * any up to RUN_VALUES_MAX. */
const char *run_parse(const unsigned char *at, size_t left, enum run_kind kind,
                      uint32_t n, struct run *run);

/* The values first .. first+n-1 of a run of that kind. */
void run_get_integers(const struct run *run, uint32_t first, uint32_t n, uint64_t *out);
void run_get_floats(const struct run *run, uint32_t first, uint32_t n, float *out);
void run_get_bytes(const struct run *run, uint32_t first, uint32_t n, char *out);

#endif
