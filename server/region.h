/* The region: one stretch of memory, given by the caller, in which everything that a
 * server has acknowledged lives, as offsets from its start. The caller maps it (a memfd
 * that outlives a killed process, or anonymous memory) and may map it elsewhere later.
 * One thread. Bytes handed out are zero.
 *
 * Address space costs nothing, pages cost memory: map at least twice `bytes_max`, start
 * at a multiple of 2 MiB (region_map() does), and pass fresh memory. Pages are touched
 * only when they are used.
 *
 * The region is cut into chunks of 2 MiB. Extents of 2 MiB and more take whole chunks
 * from the low end upwards, and ask for huge pages; smaller ones are runs of pages in
 * chunks from the high end downwards. A chunk's bitmap says which of its pages are
 * taken, so free neighbours are one again without any list, and a process killed at any
 * instruction leaves a region that region_open() counts correctly. */
#ifndef ROWHOUSE_SERVER_REGION_H
#define ROWHOUSE_SERVER_REGION_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

struct region {
    unsigned char *base; /* borrowed; a multiple of 4096 */
    uint64_t size;       /* of the mapping */
    uint64_t bytes_max;  /* cap on bytes in use; the mapping may be larger */
    int fd;              /* of the mapping, which starts at its byte 0, to give pages
                            back; -1 = anonymous */
};

enum { REGION_ROOTS = 128, REGION_PAGE = 4096, REGION_CHUNK = 2 << 20 };

/* Maps region->size bytes at a multiple of REGION_CHUNK and sets region->base: of
 * region->fd, or anonymous memory. Gives it back with munmap(). -ERR_SYSTEM. */
int region_map(struct region *region, struct err *err);

/* Formats fresh (zero) memory. -ERR_INPUT: memory that is too small, not on a page
 * boundary, or holds a region already. */
int region_format(struct region *region, struct err *err);
/* Checks that the memory holds a region formatted by this version, and settles what a
 * killed process left half done. -ERR_DAMAGE: it holds something else. */
int region_open(struct region *region, struct err *err);
/* Does the memory hold a formatted region (of any version)? */
bool region_formatted(const struct region *region);

/* Allocates whole pages; returns the offset, a multiple of REGION_PAGE (of REGION_CHUNK
 * from 2 MiB on), or 0 when bytes_max or the end of the mapping is reached. `bytes` is
 * not 0. */
uint64_t region_alloc(struct region *region, uint64_t bytes);
/* Gives an allocation (offset and bytes as for region_alloc; 0 is nothing) back to the
 * operating system. */
void region_free(struct region *region, uint64_t offset, uint64_t bytes);
/* Bytes in use now: whole pages handed out, and the header. The chunks' bitmaps, 72
 * bytes for each 2 MiB, are not counted. */
uint64_t region_used(const struct region *region);

/* Named places that a new process finds again; 0 = nothing there yet. */
void region_set_root(struct region *region, uint32_t index, uint64_t offset);
uint64_t region_root(const struct region *region, uint32_t index);

static inline void *region_at(const struct region *region, uint64_t offset)
{
    return region->base + offset;
}

#endif
