/* Pages shared by index arrays smaller than a page.
 *
 *   page   header (64 bytes) | array | array | ...     all arrays of one class
 *
 * Each class has a list of its pages with room. A process killed at any instruction may
 * leave a page that is on no list or an array that nobody uses; never one used twice.
 */
#include <assert.h>
#include <string.h>

#include "server/table_index.h"

struct pool_page {
    uint64_t free; /* bit i: array i is free, and zero */
    uint64_t next; /* page with room; offset */
    uint32_t class;
    uint32_t listed;
    uint64_t spare[5];
};

static_assert(sizeof(struct pool_page) == sizeof(struct bucket), "header = a bucket");

/* As many of each as fit behind the header. */
static const uint8_t class_buckets[POOL_CLASSES] = {1, 2,  3,  4,  5, 7,
                                                    9, 12, 15, 21, 31};

static uint32_t class_of(uint32_t buckets)
{
    uint32_t class = 0;

    while (class < POOL_CLASSES && class_buckets[class] != buckets)
        class ++;
    assert(class < POOL_CLASSES);
    return class;
}

static uint64_t all_free(uint32_t class)
{
    return (1ull << (PAGE_BUCKETS - 1) / class_buckets[class]) - 1;
}

uint32_t pool_next_size(uint32_t buckets)
{
    for (uint32_t class = 0; class < POOL_CLASSES; class ++)
        if (class_buckets[class] > buckets)
            return class_buckets[class];
    return PAGE_BUCKETS;
}

static void page_list(struct table_root *root, struct pool_page *page, uint64_t offset)
{
    page->listed = 1;
    page->next = root->pool_head[page->class];
    root->pool_head[page->class] = offset;
}

/* Takes a page from its class' list; it is there. */
static void page_unlist(struct table *table, struct pool_page *page, uint64_t offset)
{
    uint64_t *link = &table->root->pool_head[page->class];

    while (*link && *link != offset)
        link = &((struct pool_page *)region_at(table->region, *link))->next;
    if (*link)
        *link = page->next;
    page->listed = 0;
}

static uint64_t page_make(struct table *table, uint32_t class)
{
    uint64_t offset = region_alloc(table->region, REGION_PAGE);
    struct pool_page *page = region_at(table->region, offset);

    if (!offset)
        return 0;
    table->root->pool_pages++;
    page->class = class;
    page->free = all_free(class);
    page_list(table->root, page, offset);
    return offset;
}

uint64_t pool_alloc(struct table *table, uint32_t buckets)
{
    uint32_t class = class_of(buckets), place;
    struct pool_page *page;
    uint64_t offset;

    for (;;) {
        offset = table->root->pool_head[class];
        if (!offset)
            offset = page_make(table, class);
        if (!offset)
            return 0;
        page = region_at(table->region, offset);
        if (page->free)
            break;
        page_unlist(table, page, offset); /* a process was killed before it did */
    }
    place = (uint32_t)__builtin_ctzll(page->free);
    page->free &= page->free - 1;
    if (!page->free)
        page_unlist(table, page, offset);
    return offset + (1 + place * buckets) * sizeof(struct bucket);
}

void pool_free(struct table *table, uint64_t offset, uint32_t buckets)
{
    uint64_t start = offset & ~(uint64_t)(REGION_PAGE - 1);
    struct pool_page *page = region_at(table->region, start);
    uint32_t place = (uint32_t)((offset - start) / sizeof(struct bucket) - 1) / buckets;

    assert(page->class == class_of(buckets) && !(page->free >> place & 1));
    memset(region_at(table->region, offset), 0, buckets * sizeof(struct bucket));
    page->free |= 1ull << place;
    if (page->free == all_free(page->class)) {
        if (page->listed)
            page_unlist(table, page, start);
        table->root->pool_pages--;
        region_free(table->region, start, REGION_PAGE);
    } else if (!page->listed) {
        page_list(table->root, page, start);
    }
}
