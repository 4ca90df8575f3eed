/* The layout of packed files, in bytes; docs/packed-format.md draws it. For the files
 * of packed.c. */
#ifndef ROWHOUSE_WORKER_STREAM_PACKED_PACKED_FORMAT_H
#define ROWHOUSE_WORKER_STREAM_PACKED_PACKED_FORMAT_H

#include <string.h>

#include "worker/stream/packed/packed.h"
#include "worker/stream/packed/packed_runs.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "numbers are copied as they are: this needs a little-endian processor");

enum {
    HEADER_BYTES = 48, /* then a description of each column, then a checksum */
    DESCRIPTION_BYTES = 144,
    DESCRIPTION_NAME = 128,
    HEADER_BYTES_MAX = 65536, /* of any version */
    BLOCK_HEADER_BYTES = 32,  /* then where each column begins, its runs, a checksum */
    BLOCK_COLUMN_BYTES = 8,
    FOOTER_HEADER_BYTES = 16, /* then the blocks, then the trailer */
    FOOTER_BLOCK_BYTES = 16,
    TRAILER_BYTES = 32,
    CHECKSUM_BYTES = 8,
};

/* Flags of a column. */
enum { COLUMN_MAY_MISS = 1, COLUMN_HAS_TEXT = 2 };

static const uint32_t block_mark = 0x4B425052;  /* "RPBK" */
static const uint32_t footer_mark = 0x58495052; /* "RPIX" */
static const uint32_t no_column = UINT32_MAX;

static inline void put32(unsigned char *at, uint32_t value)
{
    memcpy(at, &value, sizeof value);
}

static inline void put64(unsigned char *at, uint64_t value)
{
    memcpy(at, &value, sizeof value);
}

static inline uint32_t get32(const unsigned char *at)
{
    uint32_t value;

    memcpy(&value, at, sizeof value);
    return value;
}

static inline uint64_t get64(const unsigned char *at)
{
    uint64_t value;

    memcpy(&value, at, sizeof value);
    return value;
}

static inline size_t header_bytes(uint32_t columns)
{
    return HEADER_BYTES + (size_t)columns * DESCRIPTION_BYTES + CHECKSUM_BYTES;
}

static inline bool column_has_text(const struct schema_column *column)
{
    return column->kind == VALUE_TEXT ||
           (column->kind == VALUE_KEY && column->keep_text);
}

/* Has it a run that says which values are missing? */
static inline bool column_may_miss(const struct schema_column *column)
{
    return column->may_miss &&
           (column->kind == VALUE_KEY || column->kind == VALUE_NUMBER ||
            column->kind == VALUE_TIME);
}

/* Bytes that an example takes in memory, without what differs from one to the next. */
uint64_t packed_example_bytes(const struct schema *schema);
/* What makes a schema impossible in a packed file, or NULL. */
const char *packed_schema_fault(const struct schema *schema);

#endif
