#include "launch/bench_balance.h"

#include <math.h>
#include <stdlib.h>

#include "common/net/roster.h"
#include "common/rng.h"
#include "common/zipf.h"
#include "launch/bench_options.h"
#include "worker/keyset.h"

struct options {
    uint64_t servers, rows, batch, batches, dim, seed;
    double zipf;
    bool json;
};

/* The largest server over the mean. */
struct result {
    double rows, ideal_rows;      /* owned; thrown at random */
    double bytes, bytes_of_batch; /* served: in all; mean over batches */
    double unique_share,
        hot_share; /* of drawn keys; of the draws, the hottest 0.05 % */
};

struct bench {
    struct options options;
    struct zipf zipf;
    uint64_t *key; /* [batch] */
    struct keyset set;
    double owned[SERVERS_MAX], thrown[SERVERS_MAX], served[SERVERS_MAX];
    struct result result;
};

static const struct bench_option option_list[] = {
    {"--servers", BENCH_NUMBER, offsetof(struct options, servers), 1, SERVERS_MAX,
     NULL},
    {"--rows", BENCH_NUMBER, offsetof(struct options, rows), 1, 1 << 28, NULL},
    {"--batch", BENCH_NUMBER, offsetof(struct options, batch), 1, 1 << 20, NULL},
    {"--batches", BENCH_NUMBER, offsetof(struct options, batches), 1, 1 << 20, NULL},
    {"--zipf", BENCH_REAL, offsetof(struct options, zipf), 0, 10, NULL},
    {"--dim", BENCH_NUMBER, offsetof(struct options, dim), 1, 65536, NULL},
    {"--seed", BENCH_NUMBER, offsetof(struct options, seed), 0, 1u << 31, NULL},
    {"--json", BENCH_SWITCH, offsetof(struct options, json), 0, 0, NULL},
};

/* --- counting --------------------------------------------------------------------- */

/* The key of a rank: ids of popular rows are nothing special. */
static uint64_t key_of(const struct bench *b, uint64_t rank)
{
    return mix64(rank + mix64(b->options.seed));
}

static double most_over_mean(const double *count, uint64_t servers)
{
    double most = 0, sum = 0;

    for (uint64_t s = 0; s < servers; s++) {
        most = fmax(most, count[s]);
        sum += count[s];
    }
    return sum > 0 ? most * (double)servers / sum : 1;
}

static void count_rows(struct bench *b)
{
    uint32_t servers = (uint32_t)b->options.servers;

    for (uint64_t r = 0; r < b->options.rows; r++) {
        b->owned[slot_owner(key_slot(0, key_of(b, r)), servers)]++;
        b->thrown[rng_below(rng_at(b->options.seed, 9, r), servers)]++;
    }
    b->result.rows = most_over_mean(b->owned, servers);
    b->result.ideal_rows = most_over_mean(b->thrown, servers);
}

/* Pull: key, weights. Push: key, weight, gradient. */
static double bytes_of_row(const struct bench *b)
{
    return (double)(2 * sizeof(uint64_t) + (2 * b->options.dim + 1) * sizeof(float));
}

static void count_batch(struct bench *b, uint64_t batch, uint64_t *unique)
{
    const struct options *o = &b->options;
    double served[SERVERS_MAX];

    for (uint64_t i = 0; i < o->batch; i++)
        b->key[i] = key_of(
            b, zipf_draw(&b->zipf, rng_at(o->seed, 5, batch * o->batch + i)));
    keyset_build(&b->set, b->key, (uint32_t)o->batch, 1, (uint32_t)o->servers);
    for (uint64_t s = 0; s < o->servers; s++) {
        served[s] = (b->set.part[s + 1] - b->set.part[s]) * bytes_of_row(b);
        b->served[s] += served[s];
    }
    *unique += b->set.rows;
    b->result.bytes_of_batch += most_over_mean(served, o->servers) / (double)o->batches;
}

static void count_bytes(struct bench *b)
{
    const struct options *o = &b->options;
    uint64_t unique = 0, hot = (o->rows + 1999) / 2000;

    for (uint64_t batch = 0; batch < o->batches; batch++)
        count_batch(b, batch, &unique);
    b->result.bytes = most_over_mean(b->served, o->servers);
    b->result.unique_share = (double)unique / (double)(o->batch * o->batches);
    b->result.hot_share = zipf_share(&b->zipf, hot);
}

/* --- results ---------------------------------------------------------------------- */

static void print(const struct bench *b, FILE *out)
{
    const struct options *o = &b->options;
    const struct result *r = &b->result;

    fprintf(out,
            "%llu servers, %llu rows, %llu batches of %llu keys drawn with popularity "
            "r^-%g\n",
            (unsigned long long)o->servers, (unsigned long long)o->rows,
            (unsigned long long)o->batches, (unsigned long long)o->batch, o->zipf);
    fprintf(out, "%-44s %7.3f (%.3f thrown at random)\n",
            "rows, the largest server over the mean", r->rows, r->ideal_rows);
    fprintf(out, "%-44s %7.3f (%.3f within a batch)\n",
            "bytes served, the largest server over the mean", r->bytes,
            r->bytes_of_batch);
    fprintf(out, "%-44s %7.1f %%\n", "keys of a batch that are different",
            100 * r->unique_share);
    fprintf(out, "%-44s %7.1f %%\n", "draws of the most popular 0.05 % of rows",
            100 * r->hot_share);
}

static int print_json(const struct bench *b, FILE *out, struct err *err)
{
    const struct options *o = &b->options;
    const struct result *r = &b->result;

    return bench_print_json(
        json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:I, s:I, s:I, s:I, s:f, s:I}",
                  "rows_max_over_mean", r->rows, "rows_at_random_max_over_mean",
                  r->ideal_rows, "bytes_max_over_mean", r->bytes,
                  "bytes_of_batch_max_over_mean", r->bytes_of_batch, "unique_share",
                  r->unique_share, "hot_share", r->hot_share, "servers",
                  (json_int_t)o->servers, "rows", (json_int_t)o->rows, "batch",
                  (json_int_t)o->batch, "batches", (json_int_t)o->batches, "zipf",
                  o->zipf, "seed", (json_int_t)o->seed),
        out, err);
}

int bench_balance(int argc, char **argv, FILE *out, struct err *err)
{
    struct bench *b = calloc(1, sizeof *b);
    int rc;

    if (!b)
        return err_set(err, ERR_MEMORY, "bench balance: no memory for the results");
    b->options = (struct options){.servers = 8,
                                  .rows = 1000000,
                                  .batch = 8192,
                                  .batches = 100,
                                  .dim = 64,
                                  .seed = 1,
                                  .zipf = 1};
    rc = bench_parse("balance", option_list, sizeof option_list / sizeof *option_list,
                     argc, argv, &b->options, err);
    if (rc == 0) {
        b->key = malloc(b->options.batch * sizeof *b->key);
        zipf_init(&b->zipf, b->options.rows, b->options.zipf);
        rc = b->key ? 0 : err_set(err, ERR_MEMORY, "no memory for a batch");
    }
    if (rc == 0)
        rc = keyset_create(&b->set, 0, (uint32_t)b->options.batch,
                           (uint32_t)b->options.servers, err);
    if (rc == 0) {
        count_rows(b);
        count_bytes(b);
        rc = b->options.json ? print_json(b, out, err) : (print(b, out), 0);
    }
    keyset_release(&b->set);
    free(b->key);
    free(b);
    return rc;
}
