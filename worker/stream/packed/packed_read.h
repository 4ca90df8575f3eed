/* A packed file being read. For packed.c and packed_decode.c. */
#ifndef ROWHOUSE_WORKER_STREAM_PACKED_PACKED_READ_H
#define ROWHOUSE_WORKER_STREAM_PACKED_PACKED_READ_H

#include <xxhash.h>

#include "worker/stream/packed/packed_format.h"

struct unpack;

struct indexed_block {
    uint64_t offset, first;
    uint32_t size, examples;
};

struct packed {
    char *path;
    int fd;                /* of a plain file, or -1 */
    struct unpack *unpack; /* of anything else, or NULL */
    uint64_t size;         /* of a plain file */
    uint64_t offset;       /* in any other: of the byte that comes next */
    struct schema schema;
    uint32_t capacity;

    /* Of a plain file, or of as much of a stream as was read. Owned; [blocks]. */
    struct indexed_block *index;
    uint64_t blocks, index_room, examples;
    bool ended;         /* a stream, to its end */
    XXH3_state_t *sums; /* of a stream: over the checksums of header and blocks */

    uint64_t next;        /* the block that packed_next() loads */
    uint64_t loaded;      /* number of the block in `bytes` */
    unsigned char *bytes; /* owned; [room], aligned to 64 */
    size_t room;
    uint64_t *number; /* owned; [capacity]: lengths and the like on their way */
};

/* "PATH is damaged: block 3 at offset 812: ..." */
int packed_damaged(const struct packed *packed, struct err *err, const char *format,
                   ...) __attribute__((format(printf, 3, 4)));

#endif
