#include "server/region.h"

#include <assert.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

static const uint64_t magic = 0x31676572776f72; /* "rowreg1" */

enum {
    VERSION = 1,
    PAGES = REGION_CHUNK / REGION_PAGE, /* of a chunk */
    WORDS = PAGES / 64,                 /* of its bitmap */
};

enum chunk_kind {
    CHUNK_FREE,  /* zero, so that untouched memory is free chunks */
    CHUNK_PAGES, /* cut into runs of pages; has a bitmap */
    CHUNK_HEAD,  /* first of an extent of whole chunks */
    CHUNK_REST,  /* the others */
};

struct chunk {
    uint16_t kind;
    uint16_t longest; /* CHUNK_PAGES: free pages in its longest run */
    uint32_t pages;   /* CHUNK_HEAD: of the extent */
};

/* At offset 0; the chunks' records and then their bitmaps follow on the next page. */
struct header {
    uint64_t magic; /* written last */
    uint32_t version, page_bytes;
    uint64_t size;
    uint64_t used;      /* bytes; a cache of what chunks and bitmaps say */
    uint64_t own_pages; /* taken by header, records and bitmaps */
    uint64_t absent;    /* pages of the last chunk that lie behind the end */
    uint64_t chunks;
    /* Chunks low_end .. high_begin-1 have never been used. */
    uint64_t low_end, high_begin;
    uint64_t low_hint; /* no free chunk below */
    uint64_t root[REGION_ROOTS];
};

static_assert(sizeof(struct header) <= REGION_PAGE, "the header is one page");

static struct header *header_of(const struct region *region)
{
    return (struct header *)region->base;
}

static struct chunk *chunk_at(const struct region *region, uint64_t index)
{
    return (struct chunk *)(region->base + REGION_PAGE) + index;
}

static uint64_t *taken_at(const struct region *region, uint64_t index)
{
    const struct header *h = header_of(region);
    uint64_t maps = REGION_PAGE + h->chunks * sizeof(struct chunk);

    return (uint64_t *)(region->base + maps) + index * WORDS;
}

static uint64_t pages_of(uint64_t bytes)
{
    return bytes / REGION_PAGE + (bytes % REGION_PAGE != 0);
}

static uint64_t chunks_of(uint64_t pages)
{
    return (pages + PAGES - 1) / PAGES;
}

/* --- runs of pages in a chunk ---------------------------------------------------- */

/* First page from `page` on that is taken (or free); PAGES if there is none. */
static uint32_t next_page(const uint64_t *taken, uint32_t page, bool is_taken)
{
    while (page < PAGES) {
        uint64_t word = is_taken ? taken[page / 64] : ~taken[page / 64];

        word >>= page % 64;
        if (word)
            return page + (uint32_t)__builtin_ctzll(word);
        page = (page / 64 + 1) * 64;
    }
    return PAGES;
}

/* The shortest run of at least n free pages; PAGES if there is none. Sets *longest. */
static uint32_t chunk_search(const uint64_t *taken, uint32_t n, uint16_t *longest)
{
    uint32_t best = PAGES, best_length = PAGES + 1, end;

    *longest = 0;
    for (uint32_t page = next_page(taken, 0, false); page < PAGES;
         page = next_page(taken, end, false)) {
        uint32_t length;

        end = next_page(taken, page, true);
        length = end - page;
        if (length > *longest)
            *longest = (uint16_t)length;
        if (length >= n && length < best_length) {
            best = page;
            best_length = length;
        }
    }
    return best;
}

static void chunk_mark(uint64_t *taken, uint32_t page, uint32_t n, bool is_taken)
{
    for (uint32_t i = page; i < page + n; i++) {
        uint64_t bit = 1ull << (i % 64);

        assert(!(taken[i / 64] & bit) == is_taken);
        taken[i / 64] ^= bit;
    }
}

/* Brings a chunk's record up to date with its bitmap; returns its pages taken. */
static uint32_t chunk_settle(struct region *region, uint64_t index)
{
    const uint64_t *taken = taken_at(region, index);
    uint32_t count = 0;

    for (uint32_t i = 0; i < WORDS; i++)
        count += (uint32_t)__builtin_popcountll(taken[i]);
    chunk_search(taken, PAGES, &chunk_at(region, index)->longest);
    return count;
}

/* --- the memory behind it -------------------------------------------------------- */

/* Pages become zero and cost nothing until they are touched again. */
static void pages_drop(struct region *region, uint64_t offset, uint64_t bytes)
{
    void *at = region->base + offset;

    if (region->fd >= 0 &&
        fallocate(region->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
                  (off_t)bytes) == 0)
        return;
    /* MADV_REMOVE is for shared memory, and refused for private memory. */
    if (madvise(at, bytes, MADV_REMOVE) == 0)
        return;
    if (madvise(at, bytes, MADV_DONTNEED) == 0)
        return;
    memset(at, 0, bytes);
}

/* Whole chunks are rows, read at random: huge pages halve the time. Small extents come
 * and go: a huge page would keep memory that they have given back. Both are requests
 * only. */
static void chunks_advise(struct region *region, uint64_t first, uint64_t n, bool huge)
{
    uint64_t offset = first * REGION_CHUNK, bytes = n * REGION_CHUNK;

    if (offset + bytes > region->size)
        bytes = region->size - offset;
    (void)madvise(region->base + offset, bytes, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
}

/* Room for the alignment is mapped, too, and given back on both sides. */
int region_map(struct region *region, struct err *err)
{
    int flags = region->fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
    uint64_t room = region->size + REGION_CHUNK, before;
    unsigned char *at = mmap(NULL, room, PROT_NONE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (at == MAP_FAILED)
        goto fail;
    before = -(uintptr_t)at % REGION_CHUNK;
    if (mmap(at + before, region->size, PROT_READ | PROT_WRITE,
             flags | MAP_FIXED | MAP_NORESERVE, region->fd, 0) == MAP_FAILED) {
        munmap(at, room);
        goto fail;
    }
    if (before > 0)
        munmap(at, before);
    if (REGION_CHUNK > before)
        munmap(at + before + region->size, REGION_CHUNK - before);
    region->base = at + before;
    return 0;
fail:
    return err_system(err, "cannot map %llu bytes for a server's tables",
                      (unsigned long long)region->size);
}

/* --- format and open ------------------------------------------------------------- */

static int region_check(const struct region *region, struct err *err)
{
    if ((uintptr_t)region->base % REGION_PAGE)
        return err_set(err, ERR_INPUT,
                       "a region must start on a page boundary, not at %p",
                       (void *)region->base);
    if (region->size < 16 * REGION_PAGE || region->size >> 42)
        return err_set(
            err, ERR_INPUT,
            "a region of %llu bytes cannot be used: it must have 64 KiB to 4 TiB",
            (unsigned long long)region->size);
    return 0;
}

bool region_formatted(const struct region *region)
{
    return region->size >= REGION_PAGE && header_of(region)->magic == magic;
}

/* The chunk after `index` in the walk over chunks that are cut into pages: the first of
 * all, where the header is, then those at the high end. */
static uint64_t next_cut(const struct header *h, uint64_t index)
{
    if (index)
        return index + 1;
    return h->high_begin ? h->high_begin : 1;
}

/* The chunks of the header itself, and the last one when it is not whole. */
static void format_chunks(struct region *region)
{
    struct header *h = header_of(region);

    h->low_end = chunks_of(h->own_pages);
    if (h->own_pages < PAGES) {
        chunk_at(region, 0)->kind = CHUNK_PAGES;
        chunk_mark(taken_at(region, 0), 0, (uint32_t)h->own_pages, true);
    } else {
        chunk_at(region, 0)->pages = (uint32_t)h->own_pages;
        chunk_at(region, 0)->kind = CHUNK_HEAD;
        for (uint64_t i = 1; i < h->low_end; i++)
            chunk_at(region, i)->kind = CHUNK_REST;
    }
    if (h->absent) {
        h->high_begin = h->chunks - 1;
        chunk_at(region, h->high_begin)->kind = CHUNK_PAGES;
        chunk_mark(taken_at(region, h->high_begin), PAGES - (uint32_t)h->absent,
                   (uint32_t)h->absent, true);
    }
}

/* Makes everything that can be derived anew from the chunks' kinds and bitmaps; a
 * process killed between two stores leaves at most an extent that nobody uses. */
static void region_settle(struct region *region)
{
    struct header *h = header_of(region);
    uint64_t pages = 0;

    for (uint64_t i = 0; i < h->chunks; i = next_cut(h, i))
        if (chunk_at(region, i)->kind == CHUNK_PAGES) {
            pages += chunk_settle(region, i);
            chunks_advise(region, i, 1, false);
        }
    for (uint64_t i = 0; i < h->low_end;) {
        struct chunk *chunk = chunk_at(region, i);
        uint64_t n = chunk->kind == CHUNK_HEAD ? chunks_of(chunk->pages) : 1;

        if (chunk->kind == CHUNK_HEAD) {
            pages += chunk->pages;
            chunks_advise(region, i, n, true);
        } else if (chunk->kind == CHUNK_REST) {
            chunk->kind = CHUNK_FREE; /* its head was not written, or gone already */
        }
        i += n;
    }
    h->low_hint = 0;
    h->used = (pages - h->absent - h->own_pages + 1) * REGION_PAGE;
}

int region_format(struct region *region, struct err *err)
{
    struct header *h = header_of(region);
    uint64_t pages = region->size / REGION_PAGE, chunks = chunks_of(pages);
    uint64_t own_pages = 1 + pages_of(chunks * (sizeof(struct chunk) + WORDS * 8));
    int rc = region_check(region, err);

    if (rc)
        return rc;
    if (region_formatted(region))
        return err_set(err, ERR_INPUT, "the memory holds a region already");
    if (h->version) /* a process was killed in the middle of this */
        pages_drop(region, 0, own_pages * REGION_PAGE);
    h->version = VERSION;
    atomic_thread_fence(memory_order_release);
    h->page_bytes = REGION_PAGE;
    h->size = pages * REGION_PAGE;
    h->chunks = chunks;
    h->high_begin = chunks;
    h->absent = chunks * PAGES - pages;
    h->own_pages = own_pages;
    format_chunks(region);
    region_settle(region);
    atomic_thread_fence(memory_order_release);
    h->magic = magic;
    return 0;
}

int region_open(struct region *region, struct err *err)
{
    const struct header *h = header_of(region);
    int rc = region_check(region, err);

    if (rc)
        return rc;
#ifndef MUTANT_REGION_MAGIC
    if (h->magic != magic)
        return err_set(err, ERR_DAMAGE,
                       "the memory does not hold a region: it begins with %016llx, "
                       "expected %016llx",
                       (unsigned long long)h->magic, (unsigned long long)magic);
#endif
    if (h->version != VERSION || h->page_bytes != REGION_PAGE)
        return err_set(err, ERR_DAMAGE,
                       "the region has version %u and pages of %u bytes, expected "
                       "version %u and %u",
                       h->version, h->page_bytes, VERSION, REGION_PAGE);
    if (h->size > region->size)
        return err_set(err, ERR_DAMAGE,
                       "the region has %llu bytes, but only %llu of them are mapped",
                       (unsigned long long)h->size, (unsigned long long)region->size);
    if (h->chunks != chunks_of(h->size / REGION_PAGE) || h->low_end > h->chunks ||
        h->high_begin > h->chunks)
        return err_set(err, ERR_DAMAGE, "the region's header contradicts itself");
    region_settle(region);
    return 0;
}

/* --- allocate and free ----------------------------------------------------------- */

/* A run of n < PAGES pages; returns its first page in the region, or 0. */
static uint64_t take_pages(struct region *region, uint32_t n)
{
    struct header *h = header_of(region);
    struct chunk *chunk = NULL;
    uint64_t index = 0;
    uint32_t page;

    /* The chunk whose longest run is the shortest that will do. */
    for (uint64_t i = 0; i < h->chunks; i = next_cut(h, i)) {
        struct chunk *c = chunk_at(region, i);

        if (c->kind == CHUNK_PAGES && c->longest >= n &&
            (!chunk || c->longest < chunk->longest)) {
            chunk = c;
            index = i;
        }
    }
    if (!chunk) {
        if (h->high_begin <= h->low_end)
            return 0;
        index = h->high_begin - 1;
        chunk = chunk_at(region, index);
        chunk->kind = CHUNK_PAGES;
        h->high_begin = index;
        chunks_advise(region, index, 1, false);
    }
    page = chunk_search(taken_at(region, index), n, &chunk->longest);
    chunk_mark(taken_at(region, index), page, n, true);
    chunk_search(taken_at(region, index), PAGES, &chunk->longest);
    return index * PAGES + page;
}

/* Whole chunks for n >= PAGES pages; returns the first page in the region, or 0. */
static uint64_t take_chunks(struct region *region, uint32_t n)
{
    struct header *h = header_of(region);
    uint64_t want = chunks_of(n), run = 0, i = h->low_hint, first;

    /* Records from low_end on are not written yet: free. */
    for (; i < h->high_begin && run < want; i++)
        run = i >= h->low_end || chunk_at(region, i)->kind == CHUNK_FREE ? run + 1 : 0;
    if (run < want)
        return 0;
    first = i - want;
    if (want == 1)
        h->low_hint = i;
    for (uint64_t rest = first + 1; rest < i; rest++)
        chunk_at(region, rest)->kind = CHUNK_REST;
    chunk_at(region, first)->pages = n;
    chunk_at(region, first)->kind = CHUNK_HEAD;
    if (i > h->low_end)
        h->low_end = i;
    chunks_advise(region, first, want, true);
    return first * PAGES;
}

uint64_t region_alloc(struct region *region, uint64_t bytes)
{
    struct header *h = header_of(region);
    uint64_t pages = pages_of(bytes), page;

    assert(bytes > 0);
    if (pages > h->size / REGION_PAGE)
        return 0;
#ifndef MUTANT_REGION_CAP
    if (h->used + pages * REGION_PAGE > region->bytes_max)
        return 0;
#endif
    page = pages < PAGES ? take_pages(region, (uint32_t)pages)
                         : take_chunks(region, (uint32_t)pages);
    if (page)
        h->used += pages * REGION_PAGE;
    return page * REGION_PAGE;
}

void region_free(struct region *region, uint64_t offset, uint64_t bytes)
{
    struct header *h = header_of(region);
    uint64_t pages = pages_of(bytes), index = offset / REGION_CHUNK;
    struct chunk *chunk = chunk_at(region, index);

    if (!offset)
        return;
    assert(offset % REGION_PAGE == 0 && pages <= h->size / REGION_PAGE &&
           offset / REGION_PAGE <= h->size / REGION_PAGE - pages);
    pages_drop(region, offset, pages * REGION_PAGE);
    if (pages < PAGES) {
        uint64_t *taken = taken_at(region, index);

        assert(chunk->kind == CHUNK_PAGES);
        chunk_mark(taken, (uint32_t)(offset / REGION_PAGE % PAGES), (uint32_t)pages,
                   false);
        chunk_search(taken, PAGES, &chunk->longest);
    } else {
        assert(chunk->kind == CHUNK_HEAD && chunk->pages == pages);
        for (uint64_t i = 0; i < chunks_of(pages); i++)
            chunk_at(region, index + i)->kind = CHUNK_FREE;
        if (index < h->low_hint)
            h->low_hint = index;
    }
    h->used -= pages * REGION_PAGE;
}

uint64_t region_used(const struct region *region)
{
    return header_of(region)->used;
}

void region_set_root(struct region *region, uint32_t index, uint64_t offset)
{
    assert(index < REGION_ROOTS);
    /* What the root leads to is written before the root. */
    atomic_thread_fence(memory_order_release);
    header_of(region)->root[index] = offset;
}

uint64_t region_root(const struct region *region, uint32_t index)
{
    assert(index < REGION_ROOTS);
    return header_of(region)->root[index];
}
