/* rowhouse generate: a made-up log of any size. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/output.h"
#include "launch/command.h"
#include "worker/stream/packed/packed.h"
#include "worker/stream/profile/generator.h"

enum { ROW_BYTES_MAX = 80, ROWS_AT_ONCE = 1024, BLOCK_EXAMPLES = 8192 };

/* --- options ------------------------------------------------------------------- */

static int unfit(const char *name, const char *text, double least, double most,
                 struct err *err)
{
    return err_set(err, ERR_INPUT,
                   "%s must be a number from %.15g to %.15g, not '%.64s'", name, least,
                   most, text);
}

/* A whole number; one that is not given keeps its value. */
static int take_number(const char *name, const char *text, uint64_t least,
                       uint64_t most, uint64_t *value, struct err *err)
{
    char *end;

    if (!text)
        return 0;
    errno = 0;
    *value = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno || *value < least || *value > most)
        return unfit(name, text, (double)least, (double)most, err);
    return 0;
}

static int take_real(const char *name, const char *text, double most, double *value,
                     struct err *err)
{
    char *end;

    if (!text)
        return 0;
    *value = strtod(text, &end);
    if (end == text || *end || !(*value >= 0 && *value <= most))
        return unfit(name, text, 0, most, err);
    return 0;
}

static int take_plan(const struct arguments *arguments, struct generator_plan *plan,
                     struct err *err)
{
    uint64_t dim = 8;

    *plan = (struct generator_plan){.seed = 1, .zipf = 1, .noise = 0.4};
    if (!arguments->examples || !arguments->users || !arguments->items)
        return err_set(err, ERR_INPUT,
                       "generate needs --examples N, --users U and --items I");
    if (take_number("--examples", arguments->examples, 1, GENERATOR_EXAMPLES_MAX,
                    &plan->examples, err) ||
        take_number("--users", arguments->users, 1, GENERATOR_IDS_MAX, &plan->users,
                    err) ||
        take_number("--items", arguments->items, 1, GENERATOR_IDS_MAX, &plan->items,
                    err) ||
        take_number("--seed", arguments->seed, 0, (uint64_t)1 << 53, &plan->seed,
                    err) ||
        take_number("--dim", arguments->dim, 1, GENERATOR_DIM_MAX, &dim, err) ||
        take_real("--zipf", arguments->zipf, ZIPF_EXPONENT_MAX, &plan->zipf, err) ||
        take_real("--noise", arguments->noise, GENERATOR_NOISE_MAX, &plan->noise, err))
        return -err->code;
    plan->dim = (uint32_t)dim;
    return 0;
}

/* --- TSV ----------------------------------------------------------------------- */

/* The decimal digits of a number; where they end. */
static unsigned char *put_number(unsigned char *to, uint64_t value)
{
    unsigned char digit[20];
    int n = 0;

    do
        digit[n++] = (unsigned char)('0' + value % 10);
    while (value /= 10);
    while (n > 0)
        *to++ = digit[--n];
    return to;
}

static unsigned char *put_row(unsigned char *to, const struct generated *example)
{
    to = put_number(to, example->user);
    *to++ = '\t';
    to = put_number(to, example->item);
    *to++ = '\t';
    to = put_number(to, example->halves / 2);
    if (example->halves % 2) {
        *to++ = '.';
        *to++ = '5';
    }
    *to++ = '\t';
    to = put_number(to, (uint64_t)example->seconds);
    *to++ = '\n';
    return to;
}

static int write_tsv(const struct generator *generator, struct output *output,
                     struct err *err)
{
    static const char header[] = "user\titem\tlabel\ttime\n";
    uint64_t examples = generator->plan.examples;
    int rc = output_write(output, header, sizeof header - 1, err);

    for (uint64_t i = 0; i < examples && rc == 0 && !output->closed;) {
        uint64_t stop = examples - i < ROWS_AT_ONCE ? examples : i + ROWS_AT_ONCE;
        unsigned char *room, *at;

        rc = output_room(output, ROWS_AT_ONCE * ROW_BYTES_MAX, &room, err);
        if (rc)
            break;
        for (at = room; i < stop; i++) {
            struct generated example;

            generator_example(generator, i, &example);
            at = put_row(at, &example);
        }
        output_used(output, (size_t)(at - room));
    }
    return rc;
}

/* --- the command --------------------------------------------------------------- */

static int generate_tsv(const struct generator *generator, const char *path,
                        struct err *err)
{
    struct output output;
    int rc = output_open(&output, path, err);

    if (rc == 0)
        rc = write_tsv(generator, &output, err);
    if (rc == 0)
        rc = output_finish(&output, err);
    output_release(&output);
    return rc;
}

static int generate_packed(const struct generator *generator, const char *path,
                           struct err *err)
{
    struct schema schema = generator_schema();
    uint64_t examples = generator->plan.examples;
    struct packed_writer *writer = NULL;
    struct packed_facts facts;
    struct block block;
    int rc = block_create(&block, &schema, BLOCK_EXAMPLES, err);

    if (rc)
        return rc;
    rc = packed_create(path, &schema, 0, &writer, err);
    for (uint64_t i = 0; i < examples && rc == 0 && !packed_abandoned(writer);
         i += block.n) {
        generator_fill(generator, i, &block);
        rc = packed_append(writer, &block, err);
    }
    if (rc == 0)
        rc = packed_finish(writer, &facts, err);
    packed_destroy(writer);
    block_release(&block);
    return rc;
}

static int generate(const struct arguments *arguments, struct err *err)
{
    const char *path = arguments->out ? arguments->out : "-";
    const char *format = arguments->format ? arguments->format : "tsv";
    struct generator_plan plan;
    struct generator generator;
    int rc = take_plan(arguments, &plan, err);

    if (rc)
        return rc;
    generator_init(&generator, &plan);
    if (strcmp(format, "tsv") == 0)
        return generate_tsv(&generator, path, err);
    if (strcmp(format, "packed") == 0)
        return generate_packed(&generator, path, err);
    return err_set(err, ERR_INPUT, "--format must be tsv or packed, not '%.64s'",
                   format);
}

int command_generate(const struct arguments *arguments)
{
    struct err err;

    /* Whoever reads a part of it and leaves has what it wanted. */
    signal(SIGPIPE, SIG_IGN);
    if (generate(arguments, &err) == 0)
        return 0;
    log_error("%s", err.text);
    return err_exit_status(err.code);
}
