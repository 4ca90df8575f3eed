/* A new file, written through a large buffer: in the end it is whole and on the disk,
 * or it is gone. For shard files and exports. One thread.
 *
 * The writer asks for room and fills it in place, so that rows are copied once:
 *   outfile_create, { outfile_room + fill }*, outfile_finish, outfile_release
 * outfile_release() removes a file that outfile_finish() has not finished. */
#ifndef ROWHOUSE_SERVER_OUTFILE_H
#define ROWHOUSE_SERVER_OUTFILE_H

#include <stddef.h>
#include <stdint.h>
#include <xxhash.h>

#include "common/err.h"

enum {
    OUTFILE_ROOM_MAX = 3 * 1024 * 1024, /* bytes that can be asked for at once */
    OUTFILE_WRITE_BYTES = 1024 * 1024,  /* written at once, at least */
    OUTFILE_PATH_MAX = 4096,
};

struct outfile {
    char path[OUTFILE_PATH_MAX];
    int fd; /* of the unfinished file, or -1 */
    unsigned char *buffer;
    size_t used;
    uint64_t flushed;    /* bytes handed to the system so far */
    XXH3_state_t *whole; /* over all bytes of the file, XXH3-64 */
};

/* Makes the file; one that is there under that name (of a broken attempt) is replaced
 * by a new one, so that a late writer of the old one does no harm. Requests for room
 * may be up to room_max bytes. On an error, too, outfile_release() must be called. */
int outfile_create(struct outfile *file, const char *path, struct err *err);

/* Sets *room to the next n bytes of the file (n <= OUTFILE_ROOM_MAX), to be filled
 * before the next call; 8-byte aligned if all requests so far were multiples of 8.
 * -ERR_SYSTEM: "cannot write PATH: No space left on device", say. */
int outfile_room(struct outfile *file, size_t n, unsigned char **room, struct err *err);

/* Gives back the last n bytes of the room asked for last. */
void outfile_give_back(struct outfile *file, size_t n);

/* Bytes asked for so far: the size of the file if it ended here. */
uint64_t outfile_bytes(const struct outfile *file);

/* Writes what is left, waits until the disk has it, closes the file and keeps it. */
int outfile_finish(struct outfile *file, struct err *err);

/* XXH3-64 of the whole file; after outfile_finish(). */
uint64_t outfile_checksum(const struct outfile *file);

/* Frees everything, removing an unfinished file. A zeroed one with fd = -1 is fine. */
void outfile_release(struct outfile *file);

#endif
