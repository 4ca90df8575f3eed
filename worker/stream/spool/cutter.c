#include "worker/stream/spool/cutter.h"

#include <emmintrin.h>
#include <string.h>

void cutter_init(struct cutter *cutter, bool quotes, uint64_t at, uint64_t line)
{
    *cutter = (struct cutter){
        .quotes = quotes, .seen = at, .begin = at, .end = at, .line = line};
}

/* Sixteen at a time: every byte of a stream comes through here. */
static uint32_t count_lines(const char *bytes, size_t n)
{
    const __m128i line_end = _mm_set1_epi8('\n');
    uint32_t count = 0;
    __m128i part;

    for (; n >= 16; bytes += 16, n -= 16) {
        part = _mm_loadu_si128((const __m128i *)(const void *)bytes);
        part = _mm_cmpeq_epi8(part, line_end);
        count += (uint32_t)__builtin_popcount((unsigned)_mm_movemask_epi8(part));
    }
    for (; n > 0; bytes++, n--)
        count += *bytes == '\n';
    return count;
}

/* Bytes outside quotes. Returns how many it looked at. */
static size_t see_plain(struct cutter *cutter, const char *bytes, size_t n)
{
    const char *last = cutter->first_only ? memchr(bytes, '\n', n)
                                          : memrchr(bytes, '\n', n);
    size_t whole = last ? (size_t)(last - bytes) + 1 : 0;

    if (whole > 0) {
        cutter->lines += cutter->more + count_lines(bytes, whole);
        cutter->more = 0;
        cutter->end = cutter->seen + whole;
        if (cutter->first_only)
            n = whole;
    }
    cutter->seen += n;
    return n;
}

static size_t see_quoted(struct cutter *cutter, const char *bytes, size_t n)
{
#ifndef MUTANT_SPOOL_QUOTES
    cutter->more += count_lines(bytes, n);
    cutter->seen += n;
    return n;
#else
    return see_plain(cutter, bytes, n);
#endif
}

/* Quotes change sides one by one: "" inside a field goes out and in again. */
static size_t see_csv(struct cutter *cutter, const char *bytes, size_t n)
{
    size_t looked = 0, part, done;
    const char *quote;

    while (looked < n) {
        quote = memchr(bytes + looked, '"', n - looked);
        part = quote ? (size_t)(quote - bytes) - looked : n - looked;
        done = cutter->quoted ? see_quoted(cutter, bytes + looked, part)
                              : see_plain(cutter, bytes + looked, part);
        looked += done;
        if (done < part || (cutter->first_only && cutter->end > cutter->begin))
            break;
        if (quote) {
            cutter->quoted = !cutter->quoted;
            cutter->seen++;
            looked++;
        }
    }
    return looked;
}

size_t cutter_see(struct cutter *cutter, const char *bytes, size_t n, uint64_t max)
{
    uint64_t room = cutter->begin + max - cutter->seen;

    if (cutter->seen >= cutter->begin + max)
        return 0;
    if (n > room)
        n = (size_t)room;
    return cutter->quotes ? see_csv(cutter, bytes, n) : see_plain(cutter, bytes, n);
}

void cutter_finish(struct cutter *cutter)
{
    cutter->end = cutter->seen;
    cutter->lines += cutter->more;
    cutter->more = 0;
    cutter->quoted = false;
}

void cutter_take(struct cutter *cutter)
{
    cutter->line += cutter->lines;
    cutter->lines = 0;
    cutter->begin = cutter->end;
}
