#include "common/lease.h"

enum {
    PART = 4,          /* a piece is this part of an even share of what is left, */
    BATCHES_LEAST = 2, /* and two batches at least: one is asked for during the other */
};

static uint64_t least_of(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t share_of(uint64_t positions, uint64_t workers)
{
    return positions / workers + (positions % workers != 0);
}

static uint64_t round_up(uint64_t positions, uint64_t grain)
{
    uint64_t over = positions % grain;

    if (over == 0)
        return positions;
    return positions > UINT64_MAX - (grain - over) ? UINT64_MAX
                                                   : positions + grain - over;
}

uint64_t lease_positions(const struct data_facts *facts)
{
    return facts->positions ? facts->positions : facts->train_examples;
}

struct lease_rule lease_rule_of(const struct data_facts *facts, uint64_t batch,
                                uint32_t workers)
{
    struct lease_rule rule = {.positions = lease_positions(facts),
                              .grain = facts->grain,
                              .least = facts->grain,
                              .workers = workers};

    if (rule.grain)
        return rule;
    /* Batches are full but for the last, unless there is not one for everybody. */
    rule.grain = least_of(batch, share_of(rule.positions, workers));
    if (rule.grain == 0)
        rule.grain = 1;
    rule.least = rule.grain * BATCHES_LEAST;
    return rule;
}

uint64_t lease_piece(const struct lease_rule *rule, uint64_t left)
{
    uint64_t share = share_of(left, rule->workers);
    uint64_t piece = share / PART;

    if (rule->workers == 1)
        return left;
    if (piece < rule->least)
        piece = least_of(share, rule->least);
    return round_up(piece, rule->grain);
}

struct range lease_first(const struct lease_rule *rule, uint32_t worker)
{
    unsigned __int128 first = (unsigned __int128)lease_piece(rule, rule->positions) *
                              worker;
    struct range rest = {rule->positions, rule->positions};

    if (first < rule->positions)
        rest.first = (uint64_t)first;
    rest.end = lease_cut(rule, &rest, lease_piece(rule, rule->positions));
    return rest;
}

uint64_t lease_cut(const struct lease_rule *rule, const struct range *range,
                   uint64_t wanted)
{
    uint64_t cut;

    if (wanted >= range->end - range->first)
        return range->end;
    cut = round_up(range->first + wanted, rule->grain);
    return least_of(cut, range->end);
}

uint64_t lease_half(const struct lease_rule *rule, const struct range *range)
{
    uint64_t half = (range->end - range->first) / 2;

    return range->first + half / rule->grain * rule->grain;
}
