#include "worker/stream/profile/generator.h"

#include <math.h>
#include <string.h>

#include "common/rng.h"

/* Part of what a seed means: a change makes other logs of the same seed. */
static const double user_zipf = 0.6;
static const double mean = 2.8, user_spread = 0.3, item_spread = 0.5, fit_spread = 0.8;
static const int64_t year_begin = 1735689600, year_seconds = 365 * 86400; /* 2025 */
static const uint64_t stream_draws = 0x6c6f67, stream_users = 0x75736572,
                      stream_items = 0x6974656d, stream_ids = 0x696473;
enum { CANDIDATES = 3, VECTOR_WORDS = GENERATOR_DIM_MAX / 8 };

/* The deviation of an odd number drawn from -255 .. 255: entries of hidden vectors. */
static const double entry_deviation = 147.8005412710989;

/* --- ids ----------------------------------------------------------------------- */

static struct scatter scatter_of(uint64_t n, uint64_t seed, uint64_t stream)
{
    struct scatter scatter = {.n = n};
    uint32_t bits = 1;

    while (bits < 63 && (uint64_t)1 << bits < n)
        bits++;
    scatter.mask = ((uint64_t)1 << bits) - 1;
    scatter.shift = (bits + 1) / 2;
    for (uint64_t i = 0; i < 3; i++)
        scatter.factor[i] = rng_at(seed, stream, i) | 1;
    return scatter;
}

/* Steps that are each a permutation of the numbers of so many bits, again and again
 * until the result is one of the n: twice at most on average. */
static uint64_t scatter_at(const struct scatter *scatter, uint64_t x)
{
    do {
        for (int i = 0; i < 3; i++) {
            x = (x * scatter->factor[i] + (scatter->factor[i] >> 32)) & scatter->mask;
            x ^= x >> scatter->shift;
        }
    } while (x >= scatter->n);
    return x;
}

/* --- hidden vectors ------------------------------------------------------------ */

/* The hidden vector of an id, 8 entries a word, and what its bias is drawn from. */
struct hidden {
    uint64_t word[VECTOR_WORDS], own;
};

/* Four halves of 16 bits summed up are nearly a normal number. */
static double normal(uint64_t bits)
{
    int64_t sum = (int64_t)(bits & 0xffff) + (int64_t)(bits >> 16 & 0xffff) +
                  (int64_t)(bits >> 32 & 0xffff) + (int64_t)(bits >> 48) - 2 * 65535;

    return (double)sum * (1.7320508075688772 / 65536);
}

static void hide(uint64_t side, uint64_t id, uint32_t dim, struct hidden *hidden)
{
    hidden->own = mix64(side ^ mix64(id + 0x9e3779b97f4a7c15u));
    for (uint32_t w = 0; w * 8 < dim; w++)
        hidden->word[w] = mix64(hidden->own + (w + 1) * 0x9e3779b97f4a7c15u);
}

/* Of mean 0 and deviation 1. */
static double bias_of(uint64_t own)
{
    return normal(mix64(own));
}

/* The sum of products of the entries, odd numbers from -255 to 255: exact. */
static int64_t product(const struct hidden *a, const struct hidden *b, uint32_t dim)
{
    int64_t sum = 0;

    for (uint32_t w = 0; w * 8 < dim; w++) {
        uint32_t n = dim - w * 8 < 8 ? dim - w * 8 : 8;

        for (uint32_t i = 0; i < n; i++)
            sum += (2 * (int64_t)(int8_t)(a->word[w] >> i * 8) + 1) *
                   (2 * (int64_t)(int8_t)(b->word[w] >> i * 8) + 1);
    }
    return sum;
}

/* --- examples ------------------------------------------------------------------ */

void generator_init(struct generator *generator, const struct generator_plan *plan)
{
    uint64_t seed = plan->seed;

    *generator = (struct generator){.plan = *plan};
    zipf_init(&generator->users, plan->users, user_zipf);
    zipf_init(&generator->items, plan->items, plan->zipf);
    generator->user_ids = scatter_of(plan->users, seed, stream_ids);
    generator->item_ids = scatter_of(plan->items, seed, stream_ids + 1);
    generator->draws = rng_at(seed, stream_draws, 0);
    generator->user_side = rng_at(seed, stream_users, 0);
    generator->item_side = rng_at(seed, stream_items, 0);
    generator->fit_scale = fit_spread /
                           (sqrt(plan->dim) * entry_deviation * entry_deviation);
}

/* Draw `n` of what makes up an example. */
static uint64_t draw(uint64_t own, uint64_t n)
{
    return mix64(own + (n + 1) * 0x9e3779b97f4a7c15u);
}

static int64_t time_of(const struct generator_plan *plan, uint64_t number,
                       uint64_t bits)
{
    unsigned __int128 at = ((unsigned __int128)number << 16) + (bits >> 48);

    at *= (uint64_t)year_seconds;
    return year_begin + (int64_t)(at / ((unsigned __int128)plan->examples << 16));
}

static uint32_t halves_of(double label)
{
    double halves = 2 * label + 0.5;

    return halves < 1 ? 1 : halves >= 10 ? 10 : (uint32_t)halves;
}

void generator_example(const struct generator *generator, uint64_t number,
                       struct generated *example)
{
    const struct generator_plan *plan = &generator->plan;
    uint64_t own = draw(generator->draws, number);
    struct hidden user, item;
    int64_t best = INT64_MIN;
    uint64_t best_own = 0;
    double label;

    example->user = scatter_at(&generator->user_ids,
                               zipf_draw(&generator->users, draw(own, 0)));
    hide(generator->user_side, example->user, plan->dim, &user);
    for (uint64_t i = 0; i < CANDIDATES; i++) {
        uint64_t id = scatter_at(&generator->item_ids,
                                 zipf_draw(&generator->items, draw(own, i + 1)));
        int64_t fit;

        hide(generator->item_side, id, plan->dim, &item);
        fit = product(&user, &item, plan->dim);
        if (fit <= best)
            continue;
        best = fit;
        best_own = item.own;
        example->item = id;
    }
    label = mean + user_spread * bias_of(user.own) + item_spread * bias_of(best_own) +
            generator->fit_scale * (double)best +
            plan->noise * normal(draw(own, CANDIDATES + 1));
    example->halves = halves_of(label);
    example->seconds = time_of(plan, number, draw(own, CANDIDATES + 2));
    example->user++;
    example->item++;
}

struct schema generator_schema(void)
{
    struct schema schema = SCHEMA_EMPTY;

    schema.user = schema_add(&schema, "user", VALUE_KEY);
    schema_add(&schema, "item", VALUE_KEY);
    schema.label = schema_add(&schema, "label", VALUE_NUMBER);
    schema.time = schema_add(&schema, "time", VALUE_TIME);
    return schema;
}

void generator_fill(const struct generator *generator, uint64_t first,
                    struct block *block)
{
    uint64_t left = generator->plan.examples - first;
    struct generated example;

    block->n = left < block->capacity ? (uint32_t)left : block->capacity;
    for (uint32_t i = 0; i < block->n; i++) {
        generator_example(generator, first + i, &example);
        block->place[i] = first + i;
        block->column[0].key[i] = example.user;
        block->column[1].key[i] = example.item;
        block->column[2].number[i] = (float)example.halves / 2;
        block->column[3].time[i] = example.seconds * 1000000;
    }
}
