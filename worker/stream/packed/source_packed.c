/* Packed files as a source: blocks, of which a piece has those that begin in it. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "worker/stream/packed/packed.h"
#include "worker/stream/source_kinds.h"

struct state {
    const struct schema *schema; /* borrowed */
    char *path;                  /* owned */
    struct packed *packed;       /* owned; NULL = nothing is open */
    struct packed_columns columns;
    uint64_t block,
        end;       /* of a plain file: the next one, and the first of another piece */
    bool loaded;   /* a block, of which examples are left */
    uint32_t from; /* the first of them */
    char *where;   /* owned */
};

static bool is_packed(const unsigned char *magic, size_t bytes)
{
    return bytes >= PACKED_MAGIC_BYTES &&
           memcmp(magic, packed_magic, PACKED_MAGIC_BYTES) == 0;
}

static int create(const struct job *job, const struct schema *schema,
                  struct bad_rows *bad_rows, void **state, struct err *err)
{
    struct state *s = calloc(1, sizeof *s);

    (void)job;
    (void)bad_rows; /* what is damaged in a packed file is no row */
    if (!s)
        return err_set(err, ERR_MEMORY, "no memory to read packed files");
    s->schema = schema;
    *state = s;
    return 0;
}

static void destroy(void *state)
{
    struct state *s = state;

    if (!s)
        return;
    packed_close(s->packed);
    free(s->path);
    free(s->where);
    free(s);
}

/* Opens the file, unless it is the one that is open: pieces come one after the other.
 */
static int open_file(struct state *s, const char *path, struct err *err)
{
    int rc;

    if (s->packed && packed_is_whole(s->packed) && strcmp(s->path, path) == 0)
        return 0;
    packed_close(s->packed);
    s->packed = NULL;
    free(s->path);
    s->path = strdup(path);
    if (!s->path)
        return err_set(err, ERR_MEMORY, "no memory to read %s", path);
    rc = packed_open(path, &s->packed, err);
    return rc ? rc : packed_match(s->packed, s->schema, &s->columns, err);
}

/* The first block that begins at `offset` or behind it. */
static uint64_t block_from(const struct packed *packed, uint64_t offset)
{
    uint64_t low = 0, high = packed_blocks(packed);

    while (low < high) {
        uint64_t middle = low + (high - low) / 2;

        if (packed_offset(packed, middle) < offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int open_piece(void *state, const struct piece *piece, struct err *err)
{
    struct state *s = state;

    s->loaded = false;
    if (open_file(s, piece->path, err)) {
        packed_close(s->packed);
        s->packed = NULL;
        return -err->code;
    }
    if (packed_is_whole(s->packed)) {
        s->block = block_from(s->packed, piece->begin);
        s->end = block_from(s->packed, piece->end);
    } else if (piece->begin != 0 || piece->end != PIECE_END) {
        return err_set(err, ERR_INPUT,
                       "%.400s is compressed or a pipe and can only be read whole",
                       piece->path);
    }
    return 0;
}

/* The next block of the piece: 1, or 0 at its end. */
static int load(struct state *s, struct err *err)
{
    int rc = 1;

    if (!packed_is_whole(s->packed))
        rc = packed_next(s->packed, err);
    else if (s->block == s->end)
        return 0;
    else if (packed_load(s->packed, s->block++, err))
        rc = -err->code;
    s->loaded = rc > 0;
    s->from = 0;
    return rc;
}

static int next(void *state, struct block *block, struct err *err)
{
    struct state *s = state;

    while (block->n < block->capacity) {
        uint32_t had = block->n;
        int rc = s->loaded ? 1 : load(s, err);

        if (rc == 0)
            break;
        if (rc < 0)
            return rc;
        rc = packed_decode(s->packed, &s->columns, s->from, block, err);
        if (rc)
            return rc;
        s->from += block->n - had;
        s->loaded = s->from < packed_loaded_examples(s->packed);
    }
    return block->n > 0;
}

static const char *where(void *state, uint64_t place)
{
    struct state *s = state;
    size_t size = strlen(s->path ? s->path : "") + 40;
    char *larger = realloc(s->where, size);

    if (!larger)
        return "(no memory)";
    s->where = larger;
    snprintf(s->where, size, "%s example %" PRIu64, s->path ? s->path : "", place);
    return s->where;
}

const struct source_kind source_packed = {is_packed,  create, destroy,
                                          open_piece, next,   where};
