#include "common/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <lz4frame.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

enum { MAGIC_BYTES = 4, INPUT_BYTES = 256 * 1024 };

struct unpack {
    char *path;
    int fd;
    int (*read)(struct unpack *unpack, void *to, size_t size, size_t *got,
                struct err *err);
    unsigned char magic[MAGIC_BYTES]; /* the first bytes of the file, not yet used */
    size_t magics;
    bool regular;
    bool ended;           /* the file has no more bytes */
    bool open;            /* in the middle of a member or frame */
    bool padding;         /* gzip: only zero bytes may follow (some tools add them) */
    unsigned char *input; /* owned; compressed bytes [at, end) */
    size_t at, end;
    z_stream gzip;
    bool gzip_ready;
    ZSTD_DCtx *zstd; /* owned */
    LZ4F_dctx *lz4;  /* owned */
};

/* --- the file itself ------------------------------------------------------------- */

static int read_fd(struct unpack *unpack, void *to, size_t size, size_t *got,
                   struct err *err)
{
    ssize_t n;

    do
        n = read(unpack->fd, to, size);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return err_system(err, "%s: cannot read", unpack->path);
    unpack->ended = n == 0;
    *got = (size_t)n;
    return 0;
}

/* The first bytes that open() looked at, then the rest of the file. */
static int read_plain(struct unpack *unpack, void *to, size_t size, size_t *got,
                      struct err *err)
{
    if (unpack->magics == 0)
        return read_fd(unpack, to, size, got, err);
    *got = unpack->magics < size ? unpack->magics : size;
    memcpy(to, unpack->magic, *got);
    unpack->magics -= *got;
    memmove(unpack->magic, unpack->magic + *got, unpack->magics);
    return 0;
}

/* Makes sure that there are compressed bytes, unless the file has ended. */
static int more_input(struct unpack *unpack, struct err *err)
{
    if (unpack->at < unpack->end || (unpack->ended && unpack->magics == 0))
        return 0;
    unpack->at = 0;
    return read_plain(unpack, unpack->input, INPUT_BYTES, &unpack->end, err);
}

/* At the end of a compressed file: was it all there? */
static int check_whole(const struct unpack *unpack, const char *kind, struct err *err)
{
#ifndef MUTANT_STREAM_TRUNCATED
    if (unpack->open)
        return err_set(err, ERR_INPUT,
                       "%s is truncated: the %s data stops before its end",
                       unpack->path, kind);
#endif
    return 0;
}

/* --- gzip ------------------------------------------------------------------------ */

/* Between members: only another member or zero bytes may follow. */
static int begin_member(struct unpack *unpack, struct err *err)
{
    while (unpack->padding && unpack->at < unpack->end && !unpack->input[unpack->at])
        unpack->at++;
    if (unpack->at == unpack->end)
        return 0;
    if (unpack->padding)
        return err_set(err, ERR_INPUT,
                       "%s is damaged: bytes after the end of the gzip data",
                       unpack->path);
    if (!unpack->input[unpack->at]) {
        unpack->padding = true;
        return 0;
    }
    if (inflateReset(&unpack->gzip) != Z_OK)
        return err_set(err, ERR_MEMORY, "%s: gzip cannot start again", unpack->path);
    unpack->open = true;
    return 0;
}

static int read_gzip(struct unpack *unpack, void *to, size_t size, size_t *got,
                     struct err *err)
{
    z_stream *gzip = &unpack->gzip;
    uInt room = size < INPUT_BYTES ? (uInt)size : INPUT_BYTES;
    int rc;

    for (*got = 0; *got == 0;) {
        rc = more_input(unpack, err);
        if (rc == 0 && !unpack->open && unpack->at < unpack->end) {
            rc = begin_member(unpack, err);
            if (rc == 0 && !unpack->open)
                continue;
        }
        if (rc)
            return rc;
        if (unpack->at == unpack->end && !unpack->open)
            return 0;
        gzip->next_in = unpack->input + unpack->at;
        gzip->avail_in = (uInt)(unpack->end - unpack->at);
        gzip->next_out = to;
        gzip->avail_out = room;
        rc = inflate(gzip, Z_NO_FLUSH);
        unpack->at = unpack->end - gzip->avail_in;
        *got = room - gzip->avail_out;
        if (rc == Z_STREAM_END)
            unpack->open = false;
        else if (rc == Z_BUF_ERROR && unpack->ended)
            return check_whole(unpack, "gzip", err);
        else if (rc != Z_OK && rc != Z_BUF_ERROR)
            return err_set(err, rc == Z_MEM_ERROR ? ERR_MEMORY : ERR_INPUT,
                           "%s is damaged: %s", unpack->path,
                           gzip->msg ? gzip->msg : "not gzip data");
    }
    return 0;
}

/* --- Zstandard ------------------------------------------------------------------- */

static int read_zstd(struct unpack *unpack, void *to, size_t size, size_t *got,
                     struct err *err)
{
    ZSTD_outBuffer out = {to, size, 0};
    ZSTD_inBuffer in;
    size_t left;
    int rc;

    while (out.pos == 0) {
        rc = more_input(unpack, err);
        if (rc)
            return rc;
        in = (ZSTD_inBuffer){unpack->input, unpack->end, unpack->at};
        if (in.pos == in.size && !unpack->open)
            break;
        left = ZSTD_decompressStream(unpack->zstd, &out, &in);
        if (ZSTD_isError(left))
            return err_set(err, ERR_INPUT, "%s is damaged or of an unknown kind: %s",
                           unpack->path, ZSTD_getErrorName(left));
        if (unpack->ended && in.pos == unpack->at && out.pos == 0) {
            *got = 0;
            return check_whole(unpack, "Zstandard", err);
        }
        unpack->open = left > 0;
        unpack->at = in.pos;
    }
    *got = out.pos;
    return 0;
}

/* --- LZ4 ------------------------------------------------------------------------- */

static int read_lz4(struct unpack *unpack, void *to, size_t size, size_t *got,
                    struct err *err)
{
    size_t used, left;
    int rc;

    for (*got = 0; *got == 0;) {
        rc = more_input(unpack, err);
        if (rc)
            return rc;
        used = unpack->end - unpack->at;
        if (used == 0 && !unpack->open)
            return 0;
        *got = size;
        left = LZ4F_decompress(unpack->lz4, to, got, unpack->input + unpack->at, &used,
                               NULL);
        if (LZ4F_isError(left))
            return err_set(err, ERR_INPUT, "%s is damaged or of an unknown kind: %s",
                           unpack->path, LZ4F_getErrorName(left));
        if (used == 0 && *got == 0 && unpack->ended)
            return check_whole(unpack, "LZ4", err);
        unpack->open = left > 0;
        unpack->at += used;
    }
    return 0;
}

/* --- opening --------------------------------------------------------------------- */

static bool is_gzip(const struct unpack *unpack)
{
    return unpack->magics >= 2 && unpack->magic[0] == 0x1f && unpack->magic[1] == 0x8b;
}

static uint32_t magic_of(const struct unpack *unpack)
{
    const unsigned char *m = unpack->magic;

    return m[0] | (uint32_t)m[1] << 8 | (uint32_t)m[2] << 16 | (uint32_t)m[3] << 24;
}

static bool is_lz4(const struct unpack *unpack)
{
    return unpack->magics == MAGIC_BYTES && magic_of(unpack) == LZ4F_MAGICNUMBER;
}

/* A frame, or one of the skippable frames that some tools put first. */
static bool is_zstd(const struct unpack *unpack)
{
    uint32_t magic = magic_of(unpack);

    return unpack->magics == MAGIC_BYTES &&
           (magic == ZSTD_MAGICNUMBER ||
            (magic & ZSTD_MAGIC_SKIPPABLE_MASK) == ZSTD_MAGIC_SKIPPABLE_START);
}

static bool is_standard_input(const char *path)
{
    return strcmp(path, "-") == 0;
}

static int open_file(struct unpack *unpack, const char *path, struct err *err)
{
    struct stat status;

    unpack->fd = is_standard_input(path) ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0)
                                         : open(path, O_RDONLY | O_CLOEXEC);
    if (unpack->fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return err_set(err, ERR_INPUT, "%s: no such file", unpack->path);
    if (unpack->fd < 0 || fstat(unpack->fd, &status) < 0)
        return err_system(err, "%s: cannot be opened", unpack->path);
    if (S_ISDIR(status.st_mode))
        return err_set(err, ERR_INPUT, "%s is a directory, expected a file",
                       unpack->path);
    unpack->regular = S_ISREG(status.st_mode) && !is_standard_input(path);
    return 0;
}

static int read_magic(struct unpack *unpack, struct err *err)
{
    size_t got = 0;
    int rc;

    while (unpack->magics < MAGIC_BYTES && !unpack->ended) {
        rc = read_fd(unpack, unpack->magic + unpack->magics,
                     MAGIC_BYTES - unpack->magics, &got, err);
        if (rc)
            return rc;
        unpack->magics += got;
    }
    return 0;
}

static int choose(struct unpack *unpack, struct err *err)
{
    unpack->read = read_plain;
    if (!is_gzip(unpack) && !is_zstd(unpack) && !is_lz4(unpack))
        return 0;
    unpack->input = malloc(INPUT_BYTES);
    if (is_gzip(unpack)) {
        unpack->read = read_gzip;
        /* 15 + 16: the largest window, and a gzip header rather than zlib's. */
        unpack->gzip_ready = inflateInit2(&unpack->gzip, 15 + 16) == Z_OK;
    } else if (is_lz4(unpack)) {
        unpack->read = read_lz4;
        LZ4F_createDecompressionContext(&unpack->lz4, LZ4F_VERSION);
    } else {
        unpack->read = read_zstd;
        unpack->zstd = ZSTD_createDCtx();
    }
    if (!unpack->input || (!unpack->gzip_ready && !unpack->zstd && !unpack->lz4))
        return err_set(err, ERR_MEMORY, "%s: no memory to unpack it", unpack->path);
    return 0;
}

int unpack_open(const char *path, struct unpack **unpack, struct err *err)
{
    struct unpack *made = calloc(1, sizeof *made);
    int rc;

    if (!made ||
        !(made->path = strdup(is_standard_input(path) ? "standard input" : path))) {
        free(made);
        return err_set(err, ERR_MEMORY, "%s: no memory to open it", path);
    }
    made->fd = -1;
    if ((rc = open_file(made, path, err)) || (rc = read_magic(made, err)) ||
        (rc = choose(made, err))) {
        unpack_close(made);
        return rc;
    }
    *unpack = made;
    return 0;
}

void unpack_close(struct unpack *unpack)
{
    if (!unpack)
        return;
    ZSTD_freeDCtx(unpack->zstd);
    LZ4F_freeDecompressionContext(unpack->lz4);
    if (unpack->gzip_ready)
        inflateEnd(&unpack->gzip);
    free(unpack->input);
    if (unpack->fd >= 0)
        close(unpack->fd);
    free(unpack->path);
    free(unpack);
}

int unpack_read(struct unpack *unpack, void *to, size_t size, size_t *got,
                struct err *err)
{
    return unpack->read(unpack, to, size, got, err);
}

int unpack_plain_fd(const struct unpack *unpack)
{
    return unpack->regular && unpack->read == read_plain ? unpack->fd : -1;
}

const char *unpack_path(const struct unpack *unpack)
{
    return unpack->path;
}
