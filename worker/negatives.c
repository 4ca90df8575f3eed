#include "worker/negatives.h"

#include <math.h>
#include <stdlib.h>

#include "common/rng.h"

/* For one negative. A user who has all but one of a thousand items gets that one with a
 * probability of 1/10. */
enum { DRAWS = 100 };

/* Keeps the draws apart from other things that go by train.seed. */
static const uint64_t salt = 0x6e65676174697665u;

static void set_log_q(struct negatives *negatives)
{
    const struct item_catalogue *catalogue = negatives->catalogue;

    for (uint32_t i = 0; i < catalogue->items; i++)
        negatives->log_q[i] = negatives->by == NEGATIVES_UNIFORM
                                  ? (float)-log((double)catalogue->items)
                                  : (float)log((double)catalogue->count[i] /
                                               (double)catalogue->examples);
}

int negatives_init(struct negatives *negatives, const struct job *job,
                   const struct item_catalogue *catalogue, struct err *err)
{
    *negatives = (struct negatives){
        .catalogue = catalogue,
        .seed = mix64((uint64_t)job->train.seed ^ salt),
        .by = job->train.negatives_by,
        .seen = job->train.negatives_seen,
        .each = (uint32_t)job->train.negatives,
    };
    if (catalogue->items < 2)
        return err_set(err, ERR_INPUT,
                       "train.negatives is %u, but all examples to train on have the "
                       "same item",
                       negatives->each);
    negatives->log_q = malloc(catalogue->items * sizeof *negatives->log_q);
    if (!negatives->log_q)
        return err_set(err, ERR_MEMORY, "no memory for the shares of %u items",
                       catalogue->items);
    set_log_q(negatives);
    return 0;
}

void negatives_release(struct negatives *negatives)
{
    free(negatives->log_q);
    *negatives = (struct negatives){0};
}

static uint32_t draw(const struct negatives *negatives, uint64_t bits)
{
    const struct item_catalogue *catalogue = negatives->catalogue;

    return negatives->by == NEGATIVES_UNIFORM
               ? (uint32_t)rng_below(bits, catalogue->items)
               : catalogue->item_of[rng_below(bits, catalogue->examples)];
}

void negatives_draw(const struct negatives *negatives, uint32_t epoch, uint64_t example,
                    uint32_t *item)
{
    const struct item_catalogue *catalogue = negatives->catalogue;
    uint32_t own = catalogue->item_of[example];
    uint64_t stream, number = 0;

#ifdef MUTANT_NEGATIVES_SEED
    epoch = 1;
#endif
    stream = rng_at(negatives->seed, epoch, example);
    for (uint32_t i = 0; i < negatives->each; i++) {
        uint32_t drawn, last = (own + 1) % catalogue->items;

        for (uint32_t draws = 0; draws < DRAWS; draws++) {
            drawn = draw(negatives, mix64(stream + ++number * 0x9e3779b97f4a7c15u));
            if (drawn == own)
                continue;
            last = drawn;
#ifndef MUTANT_NEGATIVES_SEEN
            if (!negatives->seen &&
                item_catalogue_has_seen(catalogue, catalogue->user_of[example], drawn))
                continue;
#endif
            break;
        }
        item[i] = last;
    }
}
