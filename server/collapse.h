/* Huge pages for rows in shared memory. Random rows in 4 KB pages cost a walk of the
 * page tables each, and a killed process's millions of pages must be taken apart before
 * its successor can begin. Linux gives a memfd huge pages by itself only where an
 * administrator has said so (shmem_enabled), but makes one of full pages on request
 * (MADV_COLLAPSE, Linux 6.1). That takes milliseconds for each 2 MiB, so a thread of
 * low priority does it behind the server's back, once for each slab that is full.
 * Contents and addresses stay as they are; where it is not possible nothing happens. */
#ifndef ROWHOUSE_SERVER_COLLAPSE_H
#define ROWHOUSE_SERVER_COLLAPSE_H

#include "server/table.h"

struct collapse;

/* Starts the thread for tables in a region with a descriptor (else *collapse is NULL).
 * The region and the tables are borrowed until collapse_stop(). -ERR_SYSTEM: no thread;
 * -ERR_MEMORY. */
int collapse_start(const struct region *region, const struct table *const *table,
                   uint32_t tables, struct collapse **collapse, struct err *err);
/* Ends the thread, within milliseconds; NULL is fine. */
void collapse_stop(struct collapse *collapse);

/* Slabs that have become huge pages so far. Any thread. */
uint64_t collapse_count(const struct collapse *collapse);

#endif
