#include "worker/stream/chunks.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "common/unpack.h"
#include "worker/stream/packed/packed.h"
#include "worker/stream/text/cuts.h"

enum { ENDS_BYTES = 64 * 1024 }; /* of each end of a file that the digest is over */

static int too_many(struct err *err)
{
    return err_set(err, ERR_INPUT,
                   "the data have more than %d chunks; a larger data.chunk makes fewer",
                   CHUNKS_MAX);
}

static int add_chunk(struct chunks *chunks, size_t file, uint64_t begin, uint64_t end,
                     struct err *err)
{
    if (chunks->count == CHUNKS_MAX)
        return too_many(err);
    if ((chunks->count & (chunks->count - 1)) == 0) {
        size_t room = chunks->count ? 2 * (size_t)chunks->count : 1;
        struct chunk *larger = realloc(chunks->chunk, room * sizeof *larger);

        if (!larger)
            return err_set(err, ERR_MEMORY, "no memory for %zu chunks", room);
        chunks->chunk = larger;
    }
    chunks->chunk[chunks->count++] = (struct chunk){(uint32_t)file, begin, end};
    return 0;
}

/* Adds a file's size and ends to the digest. */
static int digest_file(XXH3_state_t *digest, const char *path, uint64_t size,
                       unsigned char *bytes, struct err *err)
{
    uint64_t at[] = {0, size > ENDS_BYTES ? size - ENDS_BYTES : 0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = 0;

    XXH3_64bits_update(digest, &size, sizeof size);
    for (int i = 0; fd >= 0 && got >= 0 && i < 2; i++) {
        got = pread(fd, bytes, ENDS_BYTES, (off_t)at[i]);
        if (got > 0)
            XXH3_64bits_update(digest, bytes, (size_t)got);
    }
    if (fd < 0 || got < 0)
        err_system(err, "cannot read %s", path);
    if (fd >= 0)
        close(fd);
    return fd < 0 || got < 0 ? -err->code : 0;
}

/* Stretches of equal size, moved on where a cut would be in quotes; the last is rather
 * larger than tiny. */
static int cut_text(struct chunks *chunks, const struct job *job, size_t file,
                    uint64_t size, struct err *err)
{
    uint64_t bytes = (uint64_t)job->data.chunk, count = size / bytes ? size / bytes : 1;
    uint64_t *place;
    int rc;

    if (count > CHUNKS_MAX)
        return too_many(err);
    place = malloc((count + 1) * sizeof *place);
    if (!place)
        return err_set(err, ERR_MEMORY, "no memory for %llu chunks",
                       (unsigned long long)count);
    for (uint64_t i = 0; i <= count; i++)
        place[i] = i < count ? i * bytes : PIECE_END;
    rc = cuts_move(job, chunks->list.path[file], place + 1, (uint32_t)count - 1, err);
    for (uint64_t i = 0; rc == 0 && i < count; i++)
        if (place[i] < place[i + 1])
            rc = add_chunk(chunks, file, place[i], place[i + 1], err);
    free(place);
    return rc;
}

/* Its blocks one by one: a piece has those that begin in it. */
static int cut_packed(struct chunks *chunks, size_t file, const char *path,
                      struct err *err)
{
    struct packed *packed;
    int rc = packed_open(path, &packed, err);

    if (rc)
        return rc;
    for (uint64_t i = 0; rc == 0 && i < packed_blocks(packed); i++)
        rc = add_chunk(chunks, file, packed_offset(packed, i),
                       i + 1 < packed_blocks(packed) ? packed_offset(packed, i + 1)
                                                     : PIECE_END,
                       err);
    packed_close(packed);
    return rc;
}

static int cut_file(struct chunks *chunks, const struct job *job, size_t file,
                    const struct unpack *unpack, uint64_t size, struct err *err)
{
    unsigned char magic[PACKED_MAGIC_BYTES];
    int fd = unpack_plain_fd(unpack);

    if (fd < 0)
        return add_chunk(chunks, file, 0, PIECE_END, err);
    if (pread(fd, magic, sizeof magic, 0) == sizeof magic &&
        memcmp(magic, packed_magic, sizeof magic) == 0)
        return cut_packed(chunks, file, chunks->list.path[file], err);
    return cut_text(chunks, job, file, size, err);
}

/* What is to be read again and again must lie there as a file. */
static int size_of(const char *path, uint64_t *size, struct err *err)
{
    struct stat status;

    if (stat(path, &status) < 0)
        return err_system(err, "cannot look at %s", path);
    if (!S_ISREG(status.st_mode))
        return err_set(err, ERR_INPUT,
                       "%s is no regular file, which data.in_memory: false needs",
                       path);
    *size = (uint64_t)status.st_size;
    return 0;
}

static int look_at(struct chunks *chunks, const struct job *job, size_t file,
                   XXH3_state_t *digest, unsigned char *ends, struct err *err)
{
    const char *path = chunks->list.path[file];
    struct unpack *unpack;
    uint64_t size = 0;
    int rc = unpack_open(path, &unpack, err);

    if (rc)
        return rc;
    rc = size_of(path, &size, err);
    if (rc == 0)
        rc = cut_file(chunks, job, file, unpack, size, err);
    if (rc == 0)
        rc = digest_file(digest, path, size, ends, err);
    unpack_close(unpack);
    chunks->bytes += rc ? 0 : size;
    return rc;
}

int chunks_open(struct chunks *chunks, const struct job *job, const char *files,
                const char *why, struct err *err)
{
    unsigned char *ends = malloc(ENDS_BYTES);
    XXH3_state_t *digest = XXH3_createState();
    int rc;

    *chunks = (struct chunks){0};
    if (!ends || !digest || XXH3_64bits_reset(digest) != XXH_OK)
        rc = err_set(err, ERR_MEMORY, "%s: no memory to look at the files", why);
    else
        rc = filelist_init(&chunks->list, files, why, err);
    for (size_t i = 0; rc == 0 && i < chunks->list.files; i++) {
        rc = look_at(chunks, job, i, digest, ends, err);
        if (rc)
            err_prefix(err, "%s", why);
    }
    if (rc == 0)
        chunks->digest = XXH3_64bits_digest(digest);
    else
        chunks_release(chunks);
    XXH3_freeState(digest);
    free(ends);
    return rc;
}

void chunks_release(struct chunks *chunks)
{
    filelist_release(&chunks->list);
    free(chunks->chunk);
    *chunks = (struct chunks){0};
}

struct piece chunks_piece(const struct chunks *chunks, uint32_t number)
{
    const struct chunk *chunk = &chunks->chunk[number];

    return (struct piece){.path = chunks->list.path[chunk->file],
                          .begin = chunk->begin,
                          .end = chunk->end};
}
