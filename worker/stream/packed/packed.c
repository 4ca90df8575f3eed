#include "worker/stream/packed/packed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxh_x86dispatch.h> /* the fastest XXH3 of this processor */

#include "common/unpack.h"
#include "worker/stream/packed/packed_read.h"

const unsigned char packed_magic[PACKED_MAGIC_BYTES] = {0xD2, 'R',  'H',  'P',
                                                        'K',  '\r', '\n', 0x1A};

int packed_damaged(const struct packed *packed, struct err *err, const char *format,
                   ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return err_set(err, ERR_INPUT, "%.400s is damaged: %s", packed->path, text);
}

/* --- bytes --------------------------------------------------------------------- */

/* The buffer has room for so many bytes; what it has is kept if `keep`. */
static int buffer_room(struct packed *packed, size_t bytes, size_t keep,
                       struct err *err)
{
    unsigned char *grown;
    size_t room = packed->room ? packed->room : 65536;

    if (bytes <= packed->room)
        return 0;
    while (room < bytes)
        room *= 2;
    grown = aligned_alloc(64, room);
    if (!grown)
        return err_set(err, ERR_MEMORY, "no memory to read %s", packed->path);
    if (keep)
        memcpy(grown, packed->bytes, keep);
    free(packed->bytes);
    packed->bytes = grown;
    packed->room = room;
    return 0;
}

/* Reads `bytes` bytes at `offset` of a plain file to buffer[0..). */
static int read_at(struct packed *packed, uint64_t offset, size_t bytes,
                   const char *what, struct err *err)
{
    size_t done = 0;

    if (buffer_room(packed, bytes, 0, err))
        return -err->code;
    while (done < bytes) {
        ssize_t n = pread(packed->fd, packed->bytes + done, bytes - done,
                          (off_t)(offset + done));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_system(err, "cannot read %s", packed->path);
        if (n == 0)
            return packed_damaged(packed, err,
                                  "%s at offset %llu: the file ends at %llu, before "
                                  "it does (truncated?)",
                                  what, (unsigned long long)offset,
                                  (unsigned long long)offset + done);
        done += (size_t)n;
    }
    return 0;
}

/* Reads the stream's next bytes to buffer[have..bytes). */
static int read_on(struct packed *packed, size_t have, size_t bytes, const char *what,
                   struct err *err)
{
    uint64_t begin = packed->offset - have;

    if (buffer_room(packed, bytes, have, err))
        return -err->code;
    while (have < bytes) {
        size_t got;

        if (unpack_read(packed->unpack, packed->bytes + have, bytes - have, &got, err))
            return -err->code;
        if (got == 0)
            return packed_damaged(packed, err,
                                  "%s at offset %llu: the file ends at %llu, before "
                                  "it does (truncated?)",
                                  what, (unsigned long long)begin,
                                  (unsigned long long)packed->offset);
        packed->offset += got;
        have += got;
    }
    return 0;
}

/* Is the part's checksum, its last 8 bytes, right? */
static int check_seal(const struct packed *packed, const unsigned char *part,
                      size_t bytes, uint64_t offset, const char *what, struct err *err)
{
    size_t covered = bytes - CHECKSUM_BYTES;
    uint64_t stored = get64(part + covered), found = XXH3_64bits(part, covered);

    if (stored != found)
        return packed_damaged(packed, err,
                              "%s at offset %llu: its bytes have the checksum %016llx, "
                              "written was %016llx",
                              what, (unsigned long long)offset,
                              (unsigned long long)found, (unsigned long long)stored);
    return 0;
}

/* --- header -------------------------------------------------------------------- */

static int role_of(uint32_t place)
{
    return place == no_column           ? SCHEMA_NONE
           : place > SCHEMA_COLUMNS_MAX ? SCHEMA_COLUMNS_MAX
                                        : (int)place;
}

static int decode_header(struct packed *packed, const unsigned char *header,
                         struct err *err)
{
    struct schema *schema = &packed->schema;
    const char *fault = NULL;

    *schema = (struct schema){.columns = get32(header + 16),
                              .label = role_of(get32(header + 24)),
                              .weight = role_of(get32(header + 28)),
                              .user = role_of(get32(header + 32)),
                              .time = role_of(get32(header + 36))};
    packed->capacity = get32(header + 20);
    if (schema->columns > SCHEMA_COLUMNS_MAX ||
        get32(header + 12) != header_bytes(schema->columns))
        fault = "its size does not fit its number of columns";
    for (uint32_t c = 0; !fault && c < schema->columns; c++) {
        const unsigned char *at = header + HEADER_BYTES + (size_t)c * DESCRIPTION_BYTES;
        struct schema_column *column = &schema->column[c];
        uint32_t kind = get32(at + DESCRIPTION_NAME);
        uint32_t flags = get32(at + DESCRIPTION_NAME + 4);

        memcpy(column->name, at, DESCRIPTION_NAME);
        column->kind = kind > VALUE_TIME ? UINT8_MAX : (uint8_t)kind;
        column->may_miss = flags & COLUMN_MAY_MISS;
        column->keep_text = kind == VALUE_KEY && flags & COLUMN_HAS_TEXT;
        column->dim = get32(at + DESCRIPTION_NAME + 8);
    }
    if (!fault)
        fault = packed_schema_fault(schema);
    if (!fault &&
        (packed->capacity < 1 || packed->capacity > PACKED_EXAMPLES_MAX ||
         packed->capacity * packed_example_bytes(schema) > PACKED_CAPACITY_BYTES_MAX))
        fault = "its blocks have an impossible number of examples";
    return fault ? packed_damaged(packed, err, "header at offset 0: %s", fault) : 0;
}

/* The first bytes of the buffer are the header's; *bytes is how long it is. */
static int begin_header(const struct packed *packed, size_t *bytes, struct err *err)
{
    *bytes = get32(packed->bytes + 12);
    if (*bytes < HEADER_BYTES + CHECKSUM_BYTES || *bytes > HEADER_BYTES_MAX)
        return packed_damaged(packed, err,
                              "header at offset 0: it claims %zu bytes, %d to %d are "
                              "possible",
                              *bytes, HEADER_BYTES + CHECKSUM_BYTES, HEADER_BYTES_MAX);
    return 0;
}

static int end_header(struct packed *packed, size_t bytes, struct err *err)
{
    uint32_t format = get32(packed->bytes + 8);

#ifndef MUTANT_PACKED_HEADER_CHECKSUM
    if (check_seal(packed, packed->bytes, bytes, 0, "header", err))
        return -err->code;
#endif
    if (format > PACKED_FORMAT)
        return err_set(err, ERR_INPUT,
                       "%.400s has format %u, this program reads formats up to %d: a "
                       "newer one is needed",
                       packed->path, format, PACKED_FORMAT);
    if (format == 0)
        return packed_damaged(packed, err, "header at offset 0: its format is 0");
    XXH3_64bits_update(packed->sums, packed->bytes + bytes - CHECKSUM_BYTES,
                       CHECKSUM_BYTES);
    if (decode_header(packed, packed->bytes, err))
        return -err->code;
    packed->number = malloc(packed->capacity * sizeof *packed->number);
    return packed->number
               ? 0
               : err_set(err, ERR_MEMORY, "no memory to read %s", packed->path);
}

/* --- index --------------------------------------------------------------------- */

static int index_add(struct packed *packed, struct indexed_block block, struct err *err)
{
    if (packed->blocks == packed->index_room) {
        uint64_t room = packed->index_room ? 2 * packed->index_room : 64;
        struct indexed_block *index = realloc(packed->index, room * sizeof *index);

        if (!index)
            return err_set(err, ERR_MEMORY, "no memory for the index of %s",
                           packed->path);
        packed->index = index;
        packed->index_room = room;
    }
    block.first = packed->examples;
    packed->index[packed->blocks++] = block;
    packed->examples += block.examples;
    return 0;
}

static size_t block_bytes_min(const struct packed *packed)
{
    return BLOCK_HEADER_BYTES + packed->schema.columns * (size_t)BLOCK_COLUMN_BYTES +
           CHECKSUM_BYTES;
}

static bool block_is_possible(const struct packed *packed, uint32_t size,
                              uint32_t examples)
{
    return size % 8 == 0 && size >= block_bytes_min(packed) &&
           size <= PACKED_BLOCK_BYTES_MAX && examples >= 1 &&
           examples <= packed->capacity;
}

/* The index, which a plain file has at buffer[0..bytes): each block where the one
 * before it ends. */
static int decode_index(struct packed *packed, uint64_t offset, size_t bytes,
                        struct err *err)
{
    const unsigned char *at = packed->bytes + FOOTER_HEADER_BYTES;
    const unsigned char *trailer = packed->bytes + bytes - TRAILER_BYTES;
    uint64_t end = header_bytes(packed->schema.columns);

    for (; at < trailer; at += FOOTER_BLOCK_BYTES) {
        struct indexed_block block = {
            .offset = get64(at), .size = get32(at + 8), .examples = get32(at + 12)};

        if (block.offset != end ||
            !block_is_possible(packed, block.size, block.examples))
            return packed_damaged(packed, err,
                                  "index at offset %llu: block %llu cannot be where or "
                                  "what it says",
                                  (unsigned long long)offset,
                                  (unsigned long long)packed->blocks);
        if (index_add(packed, block, err))
            return -err->code;
        end += block.size;
    }
    if (end != offset || get64(trailer) != packed->examples)
        return packed_damaged(packed, err,
                              "index at offset %llu: its totals do not fit its blocks",
                              (unsigned long long)offset);
    return 0;
}

/* Reads the index from the end of a plain file. */
static int read_index(struct packed *packed, struct err *err)
{
    uint64_t offset, least = header_bytes(packed->schema.columns);
    size_t bytes;

    if (packed->size < least + FOOTER_HEADER_BYTES + TRAILER_BYTES)
        return packed_damaged(packed, err,
                              "it ends at offset %llu, without an index "
                              "(truncated?)",
                              (unsigned long long)packed->size);
    if (read_at(packed, packed->size - TRAILER_BYTES, TRAILER_BYTES, "trailer", err))
        return -err->code;
    offset = get64(packed->bytes + 8);
    if (offset < least || offset > packed->size - FOOTER_HEADER_BYTES - TRAILER_BYTES ||
        (packed->size - offset - FOOTER_HEADER_BYTES - TRAILER_BYTES) %
            FOOTER_BLOCK_BYTES)
        return packed_damaged(
            packed, err,
            "no index ends at offset %llu, where the file does (truncated?)",
            (unsigned long long)packed->size);
    bytes = packed->size - offset;
    if (read_at(packed, offset, bytes, "index", err))
        return -err->code;
    if (get32(packed->bytes) != footer_mark || get32(packed->bytes + 4) != 0 ||
        get64(packed->bytes + 8) !=
            (bytes - FOOTER_HEADER_BYTES - TRAILER_BYTES) / FOOTER_BLOCK_BYTES)
        return packed_damaged(packed, err,
                              "no index is at offset %llu, where its end "
                              "says so",
                              (unsigned long long)offset);
#ifndef MUTANT_PACKED_INDEX_CHECKSUM
    if (check_seal(packed, packed->bytes, bytes, offset, "index", err))
        return -err->code;
#endif
    return decode_index(packed, offset, bytes, err);
}

/* What is behind a stream's blocks, whose header is at buffer[0..), must be what they
 * make it: only its checksum and end are new. */
static int check_footer(struct packed *packed, struct err *err)
{
    uint64_t offset = packed->offset - FOOTER_HEADER_BYTES;
    size_t bytes = FOOTER_HEADER_BYTES + packed->blocks * FOOTER_BLOCK_BYTES +
                   TRAILER_BYTES;
    const unsigned char *trailer, *at;
    bool fits;
    size_t got;

    fits = get32(packed->bytes + 4) == 0 && get64(packed->bytes + 8) == packed->blocks;
    if (fits && read_on(packed, FOOTER_HEADER_BYTES, bytes, "index", err))
        return -err->code;
    if (fits && check_seal(packed, packed->bytes, bytes, offset, "index", err))
        return -err->code;
    at = packed->bytes + FOOTER_HEADER_BYTES;
    for (uint64_t i = 0; fits && i < packed->blocks; i++, at += FOOTER_BLOCK_BYTES)
        fits = get64(at) == packed->index[i].offset &&
               get32(at + 8) == packed->index[i].size &&
               get32(at + 12) == packed->index[i].examples;
    trailer = at;
    if (!fits || get64(trailer) != packed->examples || get64(trailer + 8) != offset ||
        get64(trailer + 16) != XXH3_64bits_digest(packed->sums))
        return packed_damaged(packed, err,
                              "index at offset %llu: it does not fit the %llu blocks "
                              "before it",
                              (unsigned long long)offset,
                              (unsigned long long)packed->blocks);
    if (unpack_read(packed->unpack, packed->bytes, 1, &got, err))
        return -err->code;
#ifndef MUTANT_PACKED_TAIL
    if (got)
        return packed_damaged(packed, err, "more bytes at offset %llu, behind its end",
                              (unsigned long long)packed->offset);
#endif
    packed->ended = true;
    return 0;
}

/* --- opening ------------------------------------------------------------------- */

/* Everything but a plain file that begins as a packed one goes through unpack. */
static int open_bytes(struct packed *packed, struct err *err)
{
    unsigned char magic[PACKED_MAGIC_BYTES] = {0};
    struct stat info;

    /* A pipe is opened once, or its writer would take us for gone. */
    if (stat(packed->path, &info) == 0 && S_ISREG(info.st_mode))
        packed->fd = open(packed->path, O_RDONLY | O_CLOEXEC);
    if (packed->fd >= 0 && fstat(packed->fd, &info) == 0 &&
        pread(packed->fd, magic, sizeof magic, 0) == sizeof magic &&
        memcmp(magic, packed_magic, sizeof magic) == 0) {
        packed->size = (uint64_t)info.st_size;
        return 0;
    }
    if (packed->fd >= 0)
        close(packed->fd);
    packed->fd = -1;
    return unpack_open(packed->path, &packed->unpack, err);
}

static int open_header(struct packed *packed, struct err *err)
{
    const size_t least = HEADER_BYTES + CHECKSUM_BYTES;
    size_t bytes = 0;

    if (packed->fd >= 0 ? read_at(packed, 0, least, "header", err)
                        : read_on(packed, 0, PACKED_MAGIC_BYTES, "header", err))
        return -err->code;
    if (memcmp(packed->bytes, packed_magic, PACKED_MAGIC_BYTES) != 0)
        return err_set(err, ERR_INPUT,
                       "%.400s is not a packed file (rowhouse pack makes them)",
                       packed->path);
    if (packed->fd < 0 && read_on(packed, PACKED_MAGIC_BYTES, least, "header", err))
        return -err->code;
    if (begin_header(packed, &bytes, err))
        return -err->code;
    if (packed->fd >= 0 ? read_at(packed, 0, bytes, "header", err)
                        : read_on(packed, least, bytes, "header", err))
        return -err->code;
    return end_header(packed, bytes, err);
}

/* A plain file without its index: goes from block to block, to say which one is cut off
 * or in the way. 0: none is. */
static int find_gap(struct packed *packed, struct err *err)
{
    uint64_t offset = header_bytes(packed->schema.columns);
    char what[40];

    for (uint64_t number = 0;; number++) {
        uint32_t size;

        snprintf(what, sizeof what, "block %llu", (unsigned long long)number);
        if (read_at(packed, offset, BLOCK_HEADER_BYTES, what, err))
            return -err->code;
        size = get32(packed->bytes + 4);
        if (get32(packed->bytes) == footer_mark)
            return 0;
        if (get32(packed->bytes) != block_mark ||
            !block_is_possible(packed, size, get32(packed->bytes + 24)))
            return packed_damaged(packed, err,
                                  "%s at offset %llu: neither a block nor the index "
                                  "begins there",
                                  what, (unsigned long long)offset);
        offset += size;
        if (offset > packed->size)
            return packed_damaged(packed, err,
                                  "%s at offset %llu: the file ends at %llu, before it "
                                  "does (truncated?)",
                                  what, (unsigned long long)(offset - size),
                                  (unsigned long long)packed->size);
    }
}

static int open_all(struct packed *packed, struct err *err)
{
    struct err why;
    int rc;

    if (open_bytes(packed, err) || open_header(packed, err))
        return -err->code;
    if (packed->fd < 0)
        return 0;
    rc = read_index(packed, err);
    if (rc == -ERR_INPUT && find_gap(packed, &why) == -ERR_INPUT)
        *err = why;
    return rc;
}

int packed_open(const char *path, struct packed **packed, struct err *err)
{
    struct packed *p = calloc(1, sizeof *p);
    int rc;

    *packed = NULL;
    if (!p)
        return err_set(err, ERR_MEMORY, "no memory to read %s", path);
    p->fd = -1;
    p->loaded = UINT64_MAX;
    p->path = strdup(path);
    p->sums = XXH3_createState();
    if (!p->path || !p->sums) {
        packed_close(p);
        return err_set(err, ERR_MEMORY, "no memory to read %s", path);
    }
    XXH3_64bits_reset(p->sums);
    rc = open_all(p, err);
    if (rc) {
        packed_close(p);
        return rc;
    }
    *packed = p;
    return 0;
}

void packed_close(struct packed *packed)
{
    if (!packed)
        return;
    if (packed->fd >= 0)
        close(packed->fd);
    unpack_close(packed->unpack);
    XXH3_freeState(packed->sums);
    free(packed->index);
    free(packed->bytes);
    free(packed->number);
    free(packed->path);
    free(packed);
}

/* --- what there is ------------------------------------------------------------- */

const struct schema *packed_schema(const struct packed *packed)
{
    return &packed->schema;
}

uint32_t packed_capacity(const struct packed *packed)
{
    return packed->capacity;
}

bool packed_is_whole(const struct packed *packed)
{
    return packed->fd >= 0;
}

uint64_t packed_examples(const struct packed *packed)
{
    return packed->fd >= 0 || packed->ended ? packed->examples : 0;
}

uint64_t packed_blocks(const struct packed *packed)
{
    return packed->fd >= 0 || packed->ended ? packed->blocks : 0;
}

uint64_t packed_first(const struct packed *packed, uint64_t block)
{
    return block < packed->blocks ? packed->index[block].first : packed->examples;
}

uint64_t packed_offset(const struct packed *packed, uint64_t block)
{
    return packed->index[block].offset;
}

uint64_t packed_loaded(const struct packed *packed)
{
    return packed->loaded;
}

uint32_t packed_loaded_examples(const struct packed *packed)
{
    return packed->index[packed->loaded].examples;
}

/* --- blocks -------------------------------------------------------------------- */

/* The columns of the block in the buffer: one behind the other, and no byte between. */
static bool columns_fit(const struct packed *packed, uint32_t size)
{
    uint64_t begin = block_bytes_min(packed) - CHECKSUM_BYTES;
    const unsigned char *entry = packed->bytes + BLOCK_HEADER_BYTES;

    for (uint32_t c = 0; c < packed->schema.columns; c++) {
        uint32_t bytes = get32(entry + 4);

        if (get32(entry) != begin || bytes % 8 || begin + bytes > size - CHECKSUM_BYTES)
            return false;
        begin += bytes;
        entry += BLOCK_COLUMN_BYTES;
    }
    return begin == size - CHECKSUM_BYTES;
}

/* Checks the block in the buffer, which is to be number `number`. */
static int check_block(struct packed *packed, uint64_t number, uint64_t offset,
                       uint64_t first, uint32_t size, struct err *err)
{
    const unsigned char *bytes = packed->bytes;
    char what[40];

    snprintf(what, sizeof what, "block %llu", (unsigned long long)number);
#ifndef MUTANT_PACKED_BLOCK_CHECKSUM
    if (check_seal(packed, bytes, size, offset, what, err))
        return -err->code;
#endif
    if (get32(bytes) != block_mark || get64(bytes + 8) != number ||
        get64(bytes + 16) != first || get32(bytes + 28) != 0 ||
        !columns_fit(packed, size))
        return packed_damaged(packed, err,
                              "%s at offset %llu: it is not what must come "
                              "there",
                              what, (unsigned long long)offset);
    return 0;
}

int packed_load(struct packed *packed, uint64_t block, struct err *err)
{
    const struct indexed_block *entry = &packed->index[block];
    char what[40];
    int rc;

    packed->loaded = UINT64_MAX;
    snprintf(what, sizeof what, "block %llu", (unsigned long long)block);
    rc = read_at(packed, entry->offset, entry->size, what, err);
    if (rc == 0)
        rc = check_block(packed, block, entry->offset, entry->first, entry->size, err);
    if (rc == 0 && (get32(packed->bytes + 4) != entry->size ||
                    get32(packed->bytes + 24) != entry->examples))
        rc = packed_damaged(packed, err,
                            "%s at offset %llu: it is not what the index says", what,
                            (unsigned long long)entry->offset);
    if (rc == 0)
        packed->loaded = block;
    return rc;
}

/* The next block of a stream, or its end. */
static int load_next(struct packed *packed, struct err *err)
{
    struct indexed_block block = {.offset = packed->offset};
    char what[40];
    int rc;

    if (packed->ended)
        return 0;
    packed->loaded = UINT64_MAX;
    snprintf(what, sizeof what, "block %llu", (unsigned long long)packed->blocks);
    if (read_on(packed, 0, FOOTER_HEADER_BYTES, what, err))
        return -err->code;
    if (get32(packed->bytes) == footer_mark)
        return check_footer(packed, err);
    if (read_on(packed, FOOTER_HEADER_BYTES, BLOCK_HEADER_BYTES, what, err))
        return -err->code;
    block.size = get32(packed->bytes + 4);
    block.examples = get32(packed->bytes + 24);
    if (get32(packed->bytes) != block_mark ||
        !block_is_possible(packed, block.size, block.examples))
        return packed_damaged(packed, err,
                              "%s at offset %llu: neither a block nor the index begins "
                              "there",
                              what, (unsigned long long)block.offset);
    if (read_on(packed, BLOCK_HEADER_BYTES, block.size, what, err))
        return -err->code;
    rc = check_block(packed, packed->blocks, block.offset, packed->examples, block.size,
                     err);
    if (rc == 0)
        rc = index_add(packed, block, err);
    if (rc)
        return rc;
    XXH3_64bits_update(packed->sums, packed->bytes + block.size - CHECKSUM_BYTES,
                       CHECKSUM_BYTES);
    packed->loaded = packed->blocks - 1;
    return 1;
}

int packed_next(struct packed *packed, struct err *err)
{
    int rc;

    if (packed->fd < 0)
        return load_next(packed, err);
    if (packed->next == packed->blocks)
        return 0;
    rc = packed_load(packed, packed->next, err);
    if (rc)
        return rc;
    packed->next++;
    return 1;
}

int packed_read_block(struct packed *packed, uint64_t number,
                      const struct packed_columns *columns, struct block *block,
                      struct err *err)
{
    int rc = packed_load(packed, number, err);

    block_clear(block);
    return rc ? rc : packed_decode(packed, columns, 0, block, err);
}
