#include "server/shard.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxh_x86dispatch.h> /* the fastest XXH3 of this processor */

#include "common/net/roster.h" /* SERVERS_MAX */
#include "server/outfile.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "numbers are copied as they are: this needs a little-endian processor");

/* The layout, in bytes; docs/checkpoint-format.md draws it. */
enum {
    MAGIC_BYTES = 8,
    HEADER_BYTES = 40, /* then a description of each table, then a checksum */
    DESCRIPTION_BYTES = 96,
    BLOCK_HEADER_BYTES = 24, /* then the rows, padded, then a checksum */
    END_BYTES = 40,
    CHECKSUM_BYTES = 8,
    HEADER_BYTES_MAX = 65536, /* of any version */
    READ_BYTES = 1024 * 1024, /* read at once */
    BLOCK_BYTES_MAX = 32 + 8 + 4 * (SHARD_WIDTH_MAX + SHARD_STATE_MAX), /* one row */
};

_Static_assert((int)BLOCK_BYTES_MAX <= (int)OUTFILE_ROOM_MAX,
               "the largest block fits into a buffer");

static const unsigned char shard_magic[MAGIC_BYTES] = {0xD2, 'R',  'H',  'S',
                                                       'H',  '\r', '\n', 0x1A};
static const uint32_t block_mark = 0x4B4C4252; /* "RBLK" */
static const uint32_t end_mark = 0x444E4552;   /* "REND" */

static void put32(unsigned char *at, uint32_t value)
{
    memcpy(at, &value, sizeof value);
}

static void put64(unsigned char *at, uint64_t value)
{
    memcpy(at, &value, sizeof value);
}

static uint32_t get32(const unsigned char *at)
{
    uint32_t value;

    memcpy(&value, at, sizeof value);
    return value;
}

static uint64_t get64(const unsigned char *at)
{
    uint64_t value;

    memcpy(&value, at, sizeof value);
    return value;
}

static size_t header_bytes(uint32_t tables)
{
    return HEADER_BYTES + (size_t)tables * DESCRIPTION_BYTES + CHECKSUM_BYTES;
}

/* Bytes of a block with so many bytes of rows. */
static size_t block_bytes(size_t row_bytes)
{
    return BLOCK_HEADER_BYTES + (row_bytes + 7) / 8 * 8 + CHECKSUM_BYTES;
}

/* How many rows a full block has: as many as 64 KB hold, but at least one. */
static uint32_t block_rows(uint32_t row_bytes)
{
    uint32_t room = SHARD_BLOCK_BYTES - BLOCK_HEADER_BYTES - CHECKSUM_BYTES;

    return row_bytes > room ? 1 : room / row_bytes;
}

void shard_name(uint32_t server, uint32_t servers, char *name)
{
    snprintf(name, SHARD_NAME_MAX, "shard-%03u-of-%03u", server, servers);
}

bool shard_is_name(const char *name)
{
    char again[SHARD_NAME_MAX];
    unsigned server, servers;

    if (strnlen(name, SHARD_NAME_MAX) >= sizeof "shard-000-of-0000" ||
        sscanf(name, "shard-%3u-of-%3u", &server, &servers) != 2)
        return false;
    shard_name(server, servers, again);
    return server < servers && servers <= SERVERS_MAX && strcmp(name, again) == 0;
}

static bool name_is_fine(const char *name)
{
    size_t length = strnlen(name, SHARD_NAME_MAX);

    if (length == 0 || length == SHARD_NAME_MAX)
        return false;
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7F)
            return false;
    }
    return true;
}

const char *shard_tables_fault(const struct shard_table *table, uint32_t tables)
{
    if (tables == 0 || tables > SHARD_TABLES_MAX)
        return "the number of tables is not 1 to 64";
    for (uint32_t i = 0; i < tables; i++) {
        if (!name_is_fine(table[i].name))
            return "a table's name is empty, too long or not printable";
        if (table[i].id >= SHARD_TABLES_MAX)
            return "a table's id is not 0 to 63";
        if (table[i].width == 0 || table[i].width > SHARD_WIDTH_MAX)
            return "a table's width is not 1 to 65536";
        if (table[i].dim > table[i].width)
            return "a table's dim is larger than its width";
        if (table[i].state_width > SHARD_STATE_MAX)
            return "a table's state width is larger than 524288";
        for (uint32_t j = 0; j < i; j++) {
            if (strcmp(table[i].name, table[j].name) == 0 || table[i].id == table[j].id)
                return "two tables have the same name or id";
        }
    }
    return NULL;
}

/* --- writing --------------------------------------------------------------------- */

struct writer {
    struct outfile file;
    struct shard_table table[SHARD_TABLES_MAX];
    uint32_t tables, blocks;
    XXH3_state_t *sums; /* over the checksums of the header and of every block */
};

/* Ends a part of the file, `bytes` long with its checksum, by that checksum. */
static void seal(struct writer *writer, unsigned char *part, size_t bytes)
{
    size_t covered = bytes - CHECKSUM_BYTES;

    put64(part + covered, XXH3_64bits(part, covered));
    XXH3_64bits_update(writer->sums, part + covered, CHECKSUM_BYTES);
}

static int describe(struct writer *writer, const struct table *const *table,
                    const char *const *name, uint32_t tables, struct err *err)
{
    const char *fault;

    if (tables > SHARD_TABLES_MAX)
        return err_set(err, ERR_INPUT, "cannot write a shard of %u tables, %d are most",
                       tables, SHARD_TABLES_MAX);
    for (uint32_t i = 0; i < tables; i++) {
        struct shard_table *t = &writer->table[i];

        if (strlen(name[i]) >= sizeof t->name)
            return err_set(err, ERR_INPUT,
                           "cannot write a shard: the name %s is too long", name[i]);
        memcpy(t->name, name[i], strlen(name[i]) + 1);
        t->id = table[i]->spec.id;
        t->dim = table[i]->spec.dim;
        t->width = table[i]->spec.width;
        t->state_width = table[i]->spec.state_width;
        t->rows = table_rows(table[i]);
    }
    writer->tables = tables;
    fault = shard_tables_fault(writer->table, tables);
    return fault ? err_set(err, ERR_INPUT, "cannot write a shard: %s", fault) : 0;
}

static uint64_t all_rows(const struct shard_table *table, uint32_t tables)
{
    uint64_t rows = 0;

    for (uint32_t i = 0; i < tables; i++)
        rows += table[i].rows;
    return rows;
}

static int write_header(struct writer *writer, uint32_t server, uint32_t servers,
                        struct err *err)
{
    size_t bytes = header_bytes(writer->tables);
    unsigned char *header;
    int rc = outfile_room(&writer->file, bytes, &header, err);

    if (rc)
        return rc;
    memset(header, 0, bytes);
    memcpy(header, shard_magic, MAGIC_BYTES);
    put32(header + 8, SHARD_FORMAT);
    put32(header + 12, (uint32_t)bytes);
    put32(header + 16, server);
    put32(header + 20, servers);
    put32(header + 24, writer->tables);
    put64(header + 32, all_rows(writer->table, writer->tables));
    for (uint32_t i = 0; i < writer->tables; i++) {
        const struct shard_table *table = &writer->table[i];
        unsigned char *at = header + HEADER_BYTES + (size_t)i * DESCRIPTION_BYTES;

        memcpy(at, table->name, strlen(table->name));
        put32(at + 64, table->id);
        put32(at + 68, table->dim);
        put32(at + 72, table->width);
        put32(at + 76, table->state_width);
        put64(at + 80, table->rows);
    }
    seal(writer, header, bytes);
    return 0;
}

static int write_block(struct writer *writer, uint32_t index, const struct table *table,
                       uint64_t first, uint32_t n, struct err *err)
{
    uint32_t row_bytes = shard_row_bytes(&writer->table[index]);
    size_t bytes = block_bytes((size_t)n * row_bytes);
    unsigned char *block, *at;
    int rc = outfile_room(&writer->file, bytes, &block, err);

    if (rc)
        return rc;
    put32(block, block_mark);
    put32(block + 4, writer->blocks++);
    put32(block + 8, index);
    put32(block + 12, n);
    put32(block + 16, n * row_bytes);
    put32(block + 20, 0);
    put64(block + bytes - 2 * CHECKSUM_BYTES, 0); /* the padding, then rows over it */
    at = block + BLOCK_HEADER_BYTES;
    for (uint32_t i = 0; i < n; i++, at += row_bytes) {
        uint64_t key;
        const float *row = table_row(table, first + i, &key);

        put64(at, key);
        memcpy(at + sizeof key, row, row_bytes - sizeof key);
    }
    seal(writer, block, bytes);
    return 0;
}

static int write_table(struct writer *writer, uint32_t index, const struct table *table,
                       struct err *err)
{
    uint32_t full = block_rows(shard_row_bytes(&writer->table[index]));
    uint64_t rows = writer->table[index].rows;
    int rc = 0;

    for (uint64_t first = 0; first < rows && rc == 0; first += full) {
        uint32_t n = rows - first < full ? (uint32_t)(rows - first) : full;

        rc = write_block(writer, index, table, first, n, err);
    }
    return rc;
}

static int write_end(struct writer *writer, struct err *err)
{
    unsigned char *end;
    int rc = outfile_room(&writer->file, END_BYTES, &end, err);

    if (rc)
        return rc;
    put32(end, end_mark);
    put32(end + 4, writer->blocks);
    put64(end + 8, all_rows(writer->table, writer->tables));
    put64(end + 16, outfile_bytes(&writer->file));
    put64(end + 24, XXH3_64bits_digest(writer->sums));
    put64(end + 32, XXH3_64bits(end, END_BYTES - CHECKSUM_BYTES));
    return outfile_finish(&writer->file, err);
}

int shard_write(const char *path, uint32_t server, uint32_t servers,
                const struct table *const *table, const char *const *name,
                uint32_t tables, struct shard_facts *facts, struct err *err)
{
    struct writer writer = {.file.fd = -1};
    int rc = describe(&writer, table, name, tables, err);

    if (rc)
        goto out;
    rc = outfile_create(&writer.file, path, err);
    if (rc)
        goto out;
    writer.sums = XXH3_createState();
    if (!writer.sums) {
        rc = err_set(err, ERR_MEMORY, "no memory to write %s", path);
        goto out;
    }
    XXH3_64bits_reset(writer.sums);
    rc = write_header(&writer, server, servers, err);
    for (uint32_t i = 0; i < tables && rc == 0; i++)
        rc = write_table(&writer, i, table[i], err);
    if (rc == 0)
        rc = write_end(&writer, err);
    if (rc)
        goto out;
    facts->bytes = outfile_bytes(&writer.file);
    facts->rows = all_rows(writer.table, tables);
    facts->checksum = outfile_checksum(&writer.file);
out:
    XXH3_freeState(writer.sums);
    outfile_release(&writer.file);
    return rc;
}

/* --- reading --------------------------------------------------------------------- */

struct reader {
    const char *path;
    int fd;
    uint64_t size;   /* of the file */
    uint64_t offset; /* in the file, of the first byte not yet taken */
    unsigned char *buffer;
    size_t capacity, start, end; /* buffer[start, end) is read and not yet taken */
    XXH3_state_t *whole, *sums;
    struct shard_table table[SHARD_TABLES_MAX];
    uint32_t tables, blocks;
    struct err *err;
};

static int damaged(struct reader *reader, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* "PATH is damaged: header at offset 0: ..." */
static int damaged(struct reader *reader, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return err_set(reader->err, ERR_DAMAGE, "%s is damaged: %s", reader->path, text);
}

/* Makes at least n bytes (n <= BLOCK_BYTES_MAX) of what follows lie in one piece at
 * *part, as `what` ("block 3"). */
static int want(struct reader *reader, size_t n, const char *what, unsigned char **part)
{
    if (n > reader->size - reader->offset)
        return damaged(reader,
                       "%s at offset %llu: the file ends at %llu, before it does "
                       "(truncated?)",
                       what, (unsigned long long)reader->offset,
                       (unsigned long long)reader->size);
    if (n > reader->end - reader->start) {
        memmove(reader->buffer, reader->buffer + reader->start,
                reader->end - reader->start);
        reader->end -= reader->start;
        reader->start = 0;
    }
    while (n > reader->end - reader->start) {
        size_t room = reader->capacity - reader->end;
        ssize_t got = read(reader->fd, reader->buffer + reader->end,
                           room < READ_BYTES ? room : READ_BYTES);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_system(reader->err, "cannot read %s", reader->path);
        if (got == 0)
            return damaged(reader,
                           "%s at offset %llu: the file shrinks while it is read", what,
                           (unsigned long long)reader->offset);
        XXH3_64bits_update(reader->whole, reader->buffer + reader->end, (size_t)got);
        reader->end += (size_t)got;
    }
    *part = reader->buffer + reader->start;
    return 0;
}

static void take(struct reader *reader, size_t n)
{
    reader->start += n;
    reader->offset += n;
}

/* Is the part's checksum, its last 8 bytes, right? */
static int check_seal(struct reader *reader, const unsigned char *part, size_t bytes,
                      const char *what)
{
    size_t covered = bytes - CHECKSUM_BYTES;
    uint64_t stored = get64(part + covered), found = XXH3_64bits(part, covered);

    if (stored != found)
        return damaged(reader,
                       "%s at offset %llu: its bytes have the checksum %016llx, "
                       "written was %016llx",
                       what, (unsigned long long)reader->offset,
                       (unsigned long long)found, (unsigned long long)stored);
    return 0;
}

static int decode_tables(struct reader *reader, const unsigned char *header)
{
    uint64_t room = reader->size - header_bytes(reader->tables);
    const char *fault;

    for (uint32_t i = 0; i < reader->tables; i++) {
        const unsigned char *at = header + HEADER_BYTES + (size_t)i * DESCRIPTION_BYTES;
        struct shard_table *table = &reader->table[i];

        memcpy(table->name, at, sizeof table->name);
        table->id = get32(at + 64);
        table->dim = get32(at + 68);
        table->width = get32(at + 72);
        table->state_width = get32(at + 76);
        table->rows = get64(at + 80);
    }
    fault = shard_tables_fault(reader->table, reader->tables);
    if (fault)
        return damaged(reader, "header at offset 0: %s", fault);
    for (uint32_t i = 0; i < reader->tables; i++) {
        struct shard_table *table = &reader->table[i];

        if (table->rows > room / shard_row_bytes(table))
            return damaged(
                reader,
                "the file ends at offset %llu, too early for the %llu rows of "
                "table %s that its header tells of (truncated?)",
                (unsigned long long)reader->size, (unsigned long long)table->rows,
                table->name);
        room -= table->rows * shard_row_bytes(table);
    }
    return 0;
}

static int decode_header(struct reader *reader, const unsigned char *header,
                         size_t bytes)
{
    uint32_t server = get32(header + 16), servers = get32(header + 20);
    int rc;

    reader->tables = get32(header + 24);
    if (reader->tables == 0 || reader->tables > SHARD_TABLES_MAX ||
        bytes != header_bytes(reader->tables))
        return damaged(reader, "header at offset 0: %u tables in %zu bytes",
                       reader->tables, bytes);
    if (servers == 0 || servers > SERVERS_MAX || server >= servers)
        return damaged(reader, "header at offset 0: server %u of %u", server, servers);
    rc = decode_tables(reader, header);
    if (rc)
        return rc;
    if (get64(header + 32) != all_rows(reader->table, reader->tables))
        return damaged(reader, "header at offset 0: the tables' rows are not %llu",
                       (unsigned long long)get64(header + 32));
    return 0;
}

/* Magic, version, length and checksum are the same in all versions of the format, so
 * that damage and a newer version can be told apart. */
static int read_header(struct reader *reader)
{
    const size_t fixed = MAGIC_BYTES + 8;
    unsigned char *header;
    size_t bytes;
    int rc = want(reader, fixed, "header", &header);

    if (rc)
        return rc;
    if (memcmp(header, shard_magic, MAGIC_BYTES) != 0)
        return damaged(reader, "header at offset 0: it does not start as a shard file");
    bytes = get32(header + 12);
    if (bytes < fixed + CHECKSUM_BYTES || bytes > HEADER_BYTES_MAX)
        return damaged(reader, "header at offset 0: it claims to be %zu bytes long",
                       bytes);
    rc = want(reader, bytes, "header", &header);
    if (rc)
        return rc;
#ifndef MUTANT_SHARD_HEADER_CHECKSUM
    rc = check_seal(reader, header, bytes, "header");
    if (rc)
        return rc;
#endif
    if (get32(header + 8) != SHARD_FORMAT)
        return err_set(reader->err, ERR_INPUT,
                       "%s is of format %u, this program reads format %u", reader->path,
                       get32(header + 8), SHARD_FORMAT);
    rc = decode_header(reader, header, bytes);
    if (rc)
        return rc;
    XXH3_64bits_update(reader->sums, header + bytes - CHECKSUM_BYTES, CHECKSUM_BYTES);
    take(reader, bytes);
    return 0;
}

/* Is a block's header what must come now: rows of table `index`, `left` at most? */
static int check_block(struct reader *reader, const unsigned char *block,
                       uint32_t index, uint64_t left, const char *what)
{
    uint32_t row_bytes = shard_row_bytes(&reader->table[index]);
    uint32_t n = get32(block + 12);

    if (get32(block) != block_mark || get32(block + 4) != reader->blocks ||
        get32(block + 8) != index || get32(block + 20) != 0)
        return damaged(reader,
                       "%s at offset %llu: it does not start as block %u with rows of "
                       "table %s",
                       what, (unsigned long long)reader->offset, reader->blocks,
                       reader->table[index].name);
    if (n == 0 || n > left || n > block_rows(row_bytes) ||
        get32(block + 16) != n * row_bytes)
        return damaged(reader,
                       "%s at offset %llu: it claims %u rows in %u bytes, %llu rows of "
                       "%u bytes of table %s are left",
                       what, (unsigned long long)reader->offset, n, get32(block + 16),
                       (unsigned long long)left, row_bytes, reader->table[index].name);
    return 0;
}

/* Reads one block, whose number of rows goes to *n. */
static int read_block(struct reader *reader, const struct shard_visitor *visitor,
                      uint32_t index, uint64_t left, uint32_t *n)
{
    unsigned char *block;
    char what[32];
    size_t bytes;
    int rc;

    snprintf(what, sizeof what, "block %u", reader->blocks);
    rc = want(reader, BLOCK_HEADER_BYTES, what, &block);
    if (rc)
        return rc;
    rc = check_block(reader, block, index, left, what);
    if (rc)
        return rc;
    *n = get32(block + 12);
    bytes = block_bytes(get32(block + 16));
    rc = want(reader, bytes, what, &block);
    if (rc)
        return rc;
#ifndef MUTANT_SHARD_BLOCK_CHECKSUM
    rc = check_seal(reader, block, bytes, what);
    if (rc)
        return rc;
#endif
    XXH3_64bits_update(reader->sums, block + bytes - CHECKSUM_BYTES, CHECKSUM_BYTES);
    reader->blocks++;
    if (visitor && visitor->rows)
        rc = visitor->rows(visitor->context, index, block + BLOCK_HEADER_BYTES, *n,
                           reader->err);
    take(reader, bytes);
    return rc;
}

static int read_tables(struct reader *reader, const struct shard_visitor *visitor)
{
    int rc = 0;

    for (uint32_t i = 0; i < reader->tables && rc == 0; i++) {
        if (visitor && visitor->table)
            rc = visitor->table(visitor->context, i, &reader->table[i], reader->err);
    }
    for (uint32_t i = 0; i < reader->tables && rc == 0; i++) {
        uint64_t left = reader->table[i].rows;
        uint32_t n = 0;

        for (; left > 0 && rc == 0; left -= n)
            rc = read_block(reader, visitor, i, left, &n);
    }
    return rc;
}

static int read_end(struct reader *reader)
{
    unsigned char *end;
    int rc = want(reader, END_BYTES, "end mark", &end);

    if (rc)
        return rc;
    if (get32(end) != end_mark)
        return damaged(reader, "end mark at offset %llu: it does not start as one",
                       (unsigned long long)reader->offset);
    rc = check_seal(reader, end, END_BYTES, "end mark");
    if (rc)
        return rc;
    if (get32(end + 4) != reader->blocks ||
        get64(end + 8) != all_rows(reader->table, reader->tables) ||
        get64(end + 16) != reader->offset + END_BYTES ||
        get64(end + 24) != XXH3_64bits_digest(reader->sums))
        return damaged(reader,
                       "end mark at offset %llu: its totals do not fit the %u blocks "
                       "before it",
                       (unsigned long long)reader->offset, reader->blocks);
    take(reader, END_BYTES);
#ifndef MUTANT_SHARD_TAIL
    if (reader->offset != reader->size)
        return damaged(reader, "%llu more bytes at offset %llu, behind the end mark",
                       (unsigned long long)(reader->size - reader->offset),
                       (unsigned long long)reader->offset);
#endif
    return 0;
}

static int open_shard(struct reader *reader)
{
    struct stat info;

    /* Not to wait for a writer, should it be a pipe. */
    reader->fd = open(reader->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (reader->fd < 0 || fstat(reader->fd, &info))
        return err_system(reader->err, "cannot read %s", reader->path);
    if (!S_ISREG(info.st_mode))
        return err_set(reader->err, ERR_DAMAGE, "%s is damaged: it is not a file",
                       reader->path);
    reader->size = (uint64_t)info.st_size;
    (void)posix_fadvise(reader->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    reader->capacity = BLOCK_BYTES_MAX + READ_BYTES;
    if (reader->capacity > reader->size)
        reader->capacity = reader->size;
    reader->buffer = malloc(reader->capacity + 1);
    reader->whole = XXH3_createState();
    reader->sums = XXH3_createState();
    if (!reader->buffer || !reader->whole || !reader->sums)
        return err_set(reader->err, ERR_MEMORY, "no memory to read %s", reader->path);
    XXH3_64bits_reset(reader->whole);
    XXH3_64bits_reset(reader->sums);
    return 0;
}

int shard_read(const char *path, const struct shard_visitor *visitor,
               struct shard_facts *facts, struct err *err)
{
    struct reader reader = {.path = path, .fd = -1, .err = err};
    int rc = open_shard(&reader);

    if (rc == 0)
        rc = read_header(&reader);
    if (rc == 0)
        rc = read_tables(&reader, visitor);
    if (rc == 0)
        rc = read_end(&reader);
    if (rc == 0 && facts) {
        facts->bytes = reader.size;
        facts->rows = all_rows(reader.table, reader.tables);
        facts->checksum = XXH3_64bits_digest(reader.whole);
    }
    if (reader.fd >= 0)
        close(reader.fd);
    free(reader.buffer);
    XXH3_freeState(reader.whole);
    XXH3_freeState(reader.sums);
    return rc;
}
