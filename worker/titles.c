#include "worker/titles.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/rng.h"

enum { CHUNK_BYTES = 64 * 1024, INDEX_FIRST = 64 };

/* Texts lie one behind the other in chunks that never move. */
struct chunk {
    struct chunk *before;
    size_t used;
    char text[CHUNK_BYTES - 2 * sizeof(void *)];
};

struct entry {
    uint64_t key;
    const char *text; /* in a chunk; NULL: free */
};

struct titles {
    struct chunk *last;
    struct entry *entry;
    size_t entries; /* a power of two; at most half of them used */
    size_t used;
    size_t bytes, bytes_max;
};

static int claim(struct titles *titles, size_t bytes, struct err *err)
{
    if (bytes > titles->bytes_max - titles->bytes)
        return err_set(err, ERR_MEMORY,
                       "%zu titles are kept, and no more fit into %zu bytes",
                       titles->used, titles->bytes_max);
    titles->bytes += bytes;
    return 0;
}

static int no_memory(const struct titles *titles, struct err *err)
{
    return err_set(err, ERR_MEMORY, "no memory for more than %zu titles", titles->used);
}

int titles_create(struct titles **titles, size_t bytes_max, struct err *err)
{
    *titles = calloc(1, sizeof **titles);
    if (!*titles)
        return err_set(err, ERR_MEMORY, "no memory for titles");
    (*titles)->bytes_max = bytes_max;
    return 0;
}

void titles_destroy(struct titles *titles)
{
    if (!titles)
        return;
    while (titles->last) {
        struct chunk *before = titles->last->before;

        free(titles->last);
        titles->last = before;
    }
    free(titles->entry);
    free(titles);
}

/* The key's entry or the free one where it would be; needs a free one. */
static struct entry *entry_of(struct entry *entry, size_t entries, uint64_t key)
{
    size_t i = mix64(key) & (entries - 1);

    while (entry[i].text && entry[i].key != key)
        i = (i + 1) & (entries - 1);
    return &entry[i];
}

static int grow(struct titles *titles, struct err *err)
{
    size_t entries = titles->entries ? 2 * titles->entries : INDEX_FIRST;
    struct entry *more;
    int rc = claim(titles, (entries - titles->entries) * sizeof *more, err);

    if (rc < 0)
        return rc;
    more = calloc(entries, sizeof *more);
    if (!more)
        return no_memory(titles, err);
    for (size_t i = 0; i < titles->entries; i++)
        if (titles->entry[i].text)
            *entry_of(more, entries, titles->entry[i].key) = titles->entry[i];
    free(titles->entry);
    titles->entry = more;
    titles->entries = entries;
    return 0;
}

/* Room for a text in the last chunk, or in a new one. */
static int reserve(struct titles *titles, size_t bytes, struct err *err)
{
    struct chunk *chunk = titles->last;
    int rc;

    if (chunk && bytes <= sizeof chunk->text - chunk->used)
        return 0;
    rc = claim(titles, sizeof *chunk, err);
    if (rc < 0)
        return rc;
    chunk = malloc(sizeof *chunk);
    if (!chunk)
        return no_memory(titles, err);
    chunk->before = titles->last;
    chunk->used = 0;
    titles->last = chunk;
    return 0;
}

/* The bytes of a text that are kept. */
static size_t kept_length(const char *text)
{
    size_t length = strnlen(text, TITLE_BYTES_MAX + 1);

    if (length <= TITLE_BYTES_MAX)
        return length;
    length = TITLE_BYTES_MAX;
    while (length > TITLE_BYTES_MAX - 3 && ((unsigned char)text[length] & 0xc0) == 0x80)
        length--;
    return length;
}

int titles_add(struct titles *titles, uint64_t key, const char *text, struct err *err)
{
    size_t length = kept_length(text);
    struct chunk *chunk;
    struct entry *entry;
    char *copy;
    int rc = 0;

    if (titles_find(titles, key))
        return 0;
    if (2 * (titles->used + 1) > titles->entries)
        rc = grow(titles, err);
    if (rc == 0)
        rc = reserve(titles, length + 1, err);
    if (rc < 0)
        return rc;
    chunk = titles->last;
    copy = chunk->text + chunk->used;
    memcpy(copy, text, length);
    copy[length] = '\0';
    chunk->used += length + 1;
    entry = entry_of(titles->entry, titles->entries, key);
    *entry = (struct entry){.key = key, .text = copy};
    titles->used++;
    return 0;
}

const char *titles_find(const struct titles *titles, uint64_t key)
{
    if (titles->entries == 0)
        return NULL;
    return entry_of(titles->entry, titles->entries, key)->text;
}

uint32_t titles_count(const struct titles *titles)
{
    return (uint32_t)titles->used;
}
