/* How often each number of a column occurs: all that a preparation must know of it,
 * after one pass and in any order.
 *
 * Up to `cells_max` different numbers are counted exactly. With more, neighbours share
 * a cell: the numbers whose order-preserving codes are the same but for `shift` low
 * bits, with the smallest shift for which the cells suffice. A cell keeps its numbers'
 * exact mean. So a tally depends on the numbers alone: not on their order, nor on how
 * they were spread over tallies that are merged. A float is then known to a relative
 * 2^(shift - 24) and at worst to 2^-10, a time to 2^(shift - 1) microseconds. One
 * thread. */
#ifndef ROWHOUSE_WORKER_STREAM_PREPARE_TALLY_H
#define ROWHOUSE_WORKER_STREAM_PREPARE_TALLY_H

#include <stdint.h>

#include "common/err.h"

enum {
    TALLY_CELLS_MAX = 1 << 18
}; /* at least 512, so that a float's exponent is kept */
enum tally_kind { TALLY_FLOAT, TALLY_TIME };

struct tally_cell {
    uint64_t code;         /* without the low bits */
    uint64_t count;        /* 0 = free */
    unsigned __int128 low; /* the sum of the low bits */
};

struct tally {
    struct tally_cell *cell; /* [room], by hash; owned */
    uint32_t room, used, cells_max;
    uint8_t kind, shift;
    uint64_t count; /* of all numbers */
};

struct tally_value {
    double value;
    uint64_t count;
};

/* Empty; nothing is allocated. */
void tally_init(struct tally *tally, enum tally_kind kind, uint32_t cells_max);
void tally_release(struct tally *tally); /* zeroed is fine */

/* Counts a finite number, or a time in microseconds. -ERR_MEMORY. */
int tally_add_number(struct tally *tally, float number, struct err *err);
int tally_add_time(struct tally *tally, int64_t time, struct err *err);

/* Adds what another of the same kind and cells_max has counted. -ERR_MEMORY. */
int tally_merge(struct tally *to, const struct tally *from, struct err *err);

/* Its numbers, rising, in a list that the caller frees ([tally->used], NULL if empty).
 * -ERR_MEMORY. */
int tally_list(const struct tally *tally, struct tally_value **list, struct err *err);

/* The quantile 0 <= q <= 1 of a rising list with `count` numbers in all, at least one:
 * the number at place q (count - 1), counted from 0, between two numbers the straight
 * line (Hyndman and Fan 1996, definition 7). */
double tally_quantile(const struct tally_value *list, uint64_t count, double q);

#endif
