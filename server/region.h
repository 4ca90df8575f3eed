/* The region: one stretch of memory, given by the caller, in which everything that a
 * server has acknowledged lives, as offsets from its start. The caller maps it (a memfd
 * that outlives a killed process, or anonymous memory) and may map it elsewhere later.
 * One thread. Bytes handed out are zero. */
#ifndef ROWHOUSE_SERVER_REGION_H
#define ROWHOUSE_SERVER_REGION_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

struct region {
    unsigned char *base; /* borrowed */
    uint64_t size;       /* of the mapping */
    uint64_t
        bytes_max; /* cap on bytes in use; the mapping may be larger, it is sparse */
    int fd;        /* of the mapping, to give pages back; -1 = anonymous */
};

enum { REGION_ROOTS = 64 };

/* Formats fresh (zero) memory. */
int region_format(struct region *region, struct err *err);
/* Checks that the memory holds a region formatted by this version. */
int region_open(struct region *region, struct err *err);
/* Does the memory hold a formatted region? */
bool region_formatted(const struct region *region);

/* Allocates whole pages (4096 bytes); returns the offset, 0 when the cap is reached. */
uint64_t region_alloc(struct region *region, uint64_t bytes);
/* Gives an allocation back to the operating system; freed extents are used again. */
void region_free(struct region *region, uint64_t offset, uint64_t bytes);
/* Bytes in use now. */
uint64_t region_used(const struct region *region);

/* Named places that a new process finds again. */
void region_set_root(struct region *region, uint32_t index, uint64_t offset);
uint64_t region_root(const struct region *region, uint32_t index);

static inline void *region_at(const struct region *region, uint64_t offset)
{
    return region->base + offset;
}

#endif
