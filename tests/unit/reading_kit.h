/* Reading files as a source does, and the blocks as text that tests compare. */
#ifndef ROWHOUSE_TESTS_UNIT_READING_KIT_H
#define ROWHOUSE_TESTS_UNIT_READING_KIT_H

#include "tests/unit/scratch.h"

#include <math.h>

#include "common/key.h"
#include "common/log.h"
#include "common/rng.h"
#include "worker/stream/columns.h"
#include "worker/stream/source.h"

enum { CAPACITY = 500 };

static inline struct job *make_job(enum data_format format)
{
    struct job *job = calloc(1, sizeof *job);

    assert_non_null(job);
    job_init(job);
    job->data.format = format;
    return job;
}

static inline void set(struct job *job, const char *name, const char *value)
{
    struct err err = {0};

    if (job_set(job, name, value, "test", &err))
        fail_msg("%s", err.text);
}

/* Writes a block's examples as text, a line each. */
static inline void print_value(FILE *out, const struct schema_column *column,
                               const struct values *v, uint32_t i)
{
    if (column->kind == VALUE_KEY && v->missing && v->missing[i])
        fprintf(out, "-");
    else if (column->kind == VALUE_KEY)
        fprintf(out, "%llu", (unsigned long long)v->key[i]);
    else if (column->kind == VALUE_NUMBER)
        fprintf(out, "%.9g", (double)v->number[i]);
    else if (column->kind == VALUE_TIME)
        fprintf(out, "%lld", (long long)v->time[i]);
    else if (column->kind == VALUE_TEXT)
        fprintf(out, "%.*s", (int)(v->offset[i + 1] - v->offset[i]),
                v->text + v->offset[i]);
    for (uint32_t k = 0; column->kind == VALUE_VECTOR && k < column->dim; k++)
        fprintf(out, "%g,", (double)v->number[(size_t)i * column->dim + k]);
    for (uint32_t k = v->offset ? v->offset[i] : 0;
         column->kind == VALUE_KEYS && k < v->offset[i + 1]; k++)
        fprintf(out, "%llu*%g,", (unsigned long long)v->key[k], (double)v->number[k]);
}

static inline void print_block(FILE *out, const struct block *block)
{
    for (uint32_t i = 0; i < block->n; i++) {
        fprintf(out, "@%llu", (unsigned long long)block->place[i]);
        for (uint32_t c = 0; c < block->schema->columns; c++) {
            fputc(' ', out);
            print_value(out, &block->schema->column[c], &block->column[c], i);
        }
        fputc('\n', out);
    }
}

struct reading {
    struct schema schema;
    struct source *source;
    struct block block;
};

static inline void begin_reading(struct reading *reading, const struct job *job)
{
    struct err err = {0};

    if (schema_of_job(job, COLUMNS_LABEL, &reading->schema, &err) ||
        source_create(job, &reading->schema, &reading->source, &err) ||
        block_create(&reading->block, &reading->schema, CAPACITY, &err))
        fail_msg("%s", err.text);
}

static inline void end_reading(struct reading *reading)
{
    source_destroy(reading->source);
    block_release(&reading->block);
}

static inline int read_one(struct reading *reading, const struct piece *piece,
                           FILE *out, struct err *err)
{
    int rc = source_open(reading->source, piece, err);

    while (rc == 0 && (rc = source_next(reading->source, &reading->block, err)) > 0) {
        assert_in_range(reading->block.n, 1, CAPACITY);
        print_block(out, &reading->block);
        rc = 0;
    }
    return rc;
}

static inline int read_piece(struct reading *reading, const char *path, uint64_t begin,
                             uint64_t end, FILE *out, struct err *err)
{
    struct piece piece = {.path = path, .begin = begin, .end = end};

    return read_one(reading, &piece, out, err);
}

/* Reads the file in pieces between the cuts; the caller frees the text. */
static inline char *read_pieces(const struct job *job, const char *path,
                                const uint64_t *cut, uint32_t cuts)
{
    struct reading reading;
    struct err err = {0};
    size_t size;
    char *text;
    FILE *out = open_memstream(&text, &size);

    begin_reading(&reading, job);
    for (uint32_t i = 0; i <= cuts; i++) {
        uint64_t begin = i > 0 && cut ? cut[i - 1] : 0;
        uint64_t end = i < cuts && cut ? cut[i] : PIECE_END;

        if (read_piece(&reading, path, begin, end, out, &err))
            fail_msg("%s", err.text);
    }
    end_reading(&reading);
    fclose(out);
    return text;
}

static inline void expect(const struct job *job, const char *path, const char *expected)
{
    char *text = read_pieces(job, path, NULL, 0);

    assert_string_equal(text, expected);
    free(text);
}

static inline void expect_error(const struct job *job, const char *path,
                                const char *sentence)
{
    struct reading reading;
    struct err err = {0};
    size_t size;
    char *text;
    FILE *out = open_memstream(&text, &size);

    begin_reading(&reading, job);
    assert_int_equal(read_piece(&reading, path, 0, PIECE_END, out, &err), -ERR_INPUT);
    if (!strstr(err.text, sentence))
        fail_msg("'%s' has no '%s'", err.text, sentence);
    end_reading(&reading);
    fclose(out);
    free(text);
}

#endif
