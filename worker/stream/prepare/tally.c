#include "worker/stream/prepare/tally.h"

#include <stdlib.h>
#include <string.h>

#include "common/rng.h"

enum { ROOM_FIRST = 64 };
static const uint64_t time_zero = (uint64_t)1 << 63;

void tally_init(struct tally *tally, enum tally_kind kind, uint32_t cells_max)
{
    *tally = (struct tally){.kind = (uint8_t)kind, .cells_max = cells_max};
}

void tally_release(struct tally *tally)
{
    free(tally->cell);
    *tally = (struct tally){0};
}

/* --- codes: whole numbers that rise with what they stand for ---------------------- */

static uint64_t code_of_number(float number)
{
    uint32_t bits;

    number += 0.0F; /* -0 is 0 */
    memcpy(&bits, &number, sizeof bits);
    return bits & 0x80000000u ? (uint32_t)~bits : bits | 0x80000000u;
}

static double number_of_code(uint64_t code)
{
    uint32_t bits = (uint32_t)code;
    float number;

    bits = bits & 0x80000000u ? bits & 0x7fffffffu : ~bits;
    memcpy(&number, &bits, sizeof number);
    return (double)number;
}

/* The mean of a cell's numbers. Codes of one cell have one exponent, so what they stand
 * for is a straight line. */
static double cell_mean(const struct tally *tally, const struct tally_cell *cell)
{
    uint64_t first = cell->code << tally->shift;
    double low = (double)cell->low / (double)cell->count, value;

    if (tally->kind == TALLY_TIME)
        return (double)(int64_t)(first - time_zero) + low;
    value = number_of_code(first);
    return tally->shift ? value + low * (number_of_code(first + 1) - value) : value;
}

/* --- cells ----------------------------------------------------------------------- */

static struct tally_cell *find(const struct tally *tally, uint64_t code)
{
    uint32_t mask = tally->room - 1, at = (uint32_t)mix64(code) & mask;

    while (tally->cell[at].count && tally->cell[at].code != code)
        at = (at + 1) & mask;
    return &tally->cell[at];
}

/* Lays the cells out anew in `room` places, with `more` bits of their codes left out.
 */
static int lay_out(struct tally *tally, uint32_t room, uint8_t more, struct err *err)
{
    struct tally_cell *before = tally->cell, *cell, *to;
    uint32_t before_room = tally->room;
    uint64_t mask = ((uint64_t)1 << more) - 1;

    cell = calloc(room, sizeof *cell);
    if (!cell)
        return err_set(err, ERR_MEMORY,
                       "no memory for %u different numbers of a column", room / 2);
    tally->cell = cell;
    tally->room = room;
    tally->used = 0;
    for (uint32_t i = 0; i < before_room; i++) {
        unsigned __int128 dropped = before[i].code & mask;

        if (before[i].count == 0)
            continue;
        to = find(tally, before[i].code >> more);
        tally->used += to->count == 0;
        to->code = before[i].code >> more;
        to->count += before[i].count;
        to->low += before[i].low + (dropped << tally->shift) * before[i].count;
    }
    tally->shift = (uint8_t)(tally->shift + more);
    free(before);
    return 0;
}

/* Adds to the cell of a full code. The smallest shift that suffices is reached whatever
 * the order: more numbers never need a smaller one. */
static int add(struct tally *tally, uint64_t code, uint64_t count,
               unsigned __int128 low, struct err *err)
{
    struct tally_cell *cell;
    int rc = 0;

    if (2 * tally->used >= tally->room)
        rc = lay_out(tally, tally->room ? 2 * tally->room : ROOM_FIRST, 0, err);
    if (rc)
        return rc;
    cell = find(tally, code >> tally->shift);
    tally->used += cell->count == 0;
    cell->code = code >> tally->shift;
    cell->count += count;
    cell->low += low + (unsigned __int128)(code & (((uint64_t)1 << tally->shift) - 1)) *
                           count;
    tally->count += count;
    while (rc == 0 && tally->used > tally->cells_max)
        rc = lay_out(tally, tally->room, 1, err);
    return rc;
}

int tally_add_number(struct tally *tally, float number, struct err *err)
{
    return add(tally, code_of_number(number), 1, 0, err);
}

int tally_add_time(struct tally *tally, int64_t time, struct err *err)
{
    return add(tally, (uint64_t)time + time_zero, 1, 0, err);
}

int tally_merge(struct tally *to, const struct tally *from, struct err *err)
{
    int rc = 0;

    while (rc == 0 && to->shift < from->shift)
        rc = to->room ? lay_out(to, to->room, 1, err) : (to->shift++, 0);
    for (uint32_t i = 0; rc == 0 && i < from->room; i++) {
        const struct tally_cell *cell = &from->cell[i];

        if (cell->count)
            rc = add(to, cell->code << from->shift, cell->count, cell->low, err);
    }
    return rc;
}

/* --- what it says ---------------------------------------------------------------- */

static int by_code(const void *a, const void *b)
{
    uint64_t x = ((const struct tally_cell *)a)->code,
             y = ((const struct tally_cell *)b)->code;

    return x < y ? -1 : x > y;
}

int tally_list(const struct tally *tally, struct tally_value **list, struct err *err)
{
    struct tally_cell *cell;
    uint32_t n = 0;

    *list = NULL;
    if (tally->used == 0)
        return 0;
    cell = malloc(tally->used * sizeof *cell);
    *list = malloc(tally->used * sizeof **list);
    if (!cell || !*list) {
        free(cell);
        free(*list);
        *list = NULL;
        return err_set(err, ERR_MEMORY, "no memory to sort %u numbers", tally->used);
    }
    for (uint32_t i = 0; i < tally->room; i++)
        if (tally->cell[i].count)
            cell[n++] = tally->cell[i];
    qsort(cell, n, sizeof *cell, by_code);
    for (uint32_t i = 0; i < n; i++)
        (*list)[i] = (struct tally_value){cell_mean(tally, &cell[i]), cell[i].count};
    free(cell);
    return 0;
}

double tally_quantile(const struct tally_value *list, uint64_t count, double q)
{
    double place = q * (double)(count - 1);
    uint64_t before = (uint64_t)place, seen = list->count;

    while (seen <= before)
        seen += (++list)->count;
    if (seen > before + 1 || before + 1 >= count)
        return list->value; /* the next number is the same, or there is none */
    return list->value + (place - (double)before) * (list[1].value - list->value);
}
