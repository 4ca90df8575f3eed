#include "worker/stream/text/fields_kernels.h"

#include <immintrin.h>
#include <string.h>

#define JOIN2(name, level) name##_##level
#define JOIN(name, level) JOIN2(name, level)
#define LEVEL(name) JOIN(name, KERNEL_LEVEL)

#define INLINE static inline __attribute__((always_inline))

enum { BLOCK = 64 }; /* bytes looked at together: a bit of a mask for each */

/* --- masks ----------------------------------------------------------------------- */

#if defined(__AVX512BW__)

struct bytes {
    __m512i v;
};

INLINE struct bytes load(const char *p)
{
    return (struct bytes){_mm512_loadu_si512(p)};
}

INLINE uint64_t equal(struct bytes b, char byte)
{
    return _mm512_cmpeq_epi8_mask(b.v, _mm512_set1_epi8(byte));
}

INLINE uint64_t high(struct bytes b)
{
    return _mm512_movepi8_mask(b.v);
}

#elif defined(__AVX2__)

struct bytes {
    __m256i v[2];
};

INLINE struct bytes load(const char *p)
{
    return (struct bytes){{_mm256_loadu_si256((const __m256i *)p),
                           _mm256_loadu_si256((const __m256i *)(p + 32))}};
}

INLINE uint64_t high(struct bytes b)
{
    return (uint32_t)_mm256_movemask_epi8(b.v[0]) |
           (uint64_t)(uint32_t)_mm256_movemask_epi8(b.v[1]) << 32;
}

INLINE uint64_t equal(struct bytes b, char byte)
{
    __m256i wanted = _mm256_set1_epi8(byte);

    return high((struct bytes){
        {_mm256_cmpeq_epi8(b.v[0], wanted), _mm256_cmpeq_epi8(b.v[1], wanted)}});
}

#else

struct bytes {
    __m128i v[4];
};

INLINE struct bytes load(const char *p)
{
    struct bytes b;

    for (int i = 0; i < 4; i++)
        b.v[i] = _mm_loadu_si128((const __m128i *)(p + 16 * i));
    return b;
}

INLINE uint64_t high(struct bytes b)
{
    uint64_t mask = 0;

    for (int i = 0; i < 4; i++)
        mask |= (uint64_t)(uint32_t)_mm_movemask_epi8(b.v[i]) << (16 * i);
    return mask;
}

INLINE uint64_t equal(struct bytes b, char byte)
{
    __m128i wanted = _mm_set1_epi8(byte);

    for (int i = 0; i < 4; i++)
        b.v[i] = _mm_cmpeq_epi8(b.v[i], wanted);
    return high(b);
}

#endif

/* The place of the lowest bit; anything where there is none. */
INLINE uint32_t lowest(uint64_t mask)
{
#ifdef __BMI__
    return (uint32_t)_tzcnt_u64(mask);
#else
    return mask ? (uint32_t)__builtin_ctzll(mask) : 0;
#endif
}

/* Writes the places of a mask's bits, some more than there are, and counts them. */
#if defined(__AVX512BW__)

INLINE uint32_t write_places(uint32_t *to, uint64_t mask, uint32_t base)
{
    const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
                                            13, 14, 15);
    uint32_t count = 0;

    for (int part = 0; part < 64; part += 16, mask >>= 16) {
        __mmask16 here = (__mmask16)mask;
        __m512i places = _mm512_add_epi32(lanes, _mm512_set1_epi32((int)base + part));

        _mm512_storeu_si512(to + count, _mm512_maskz_compress_epi32(here, places));
        count += (uint32_t)__builtin_popcount(here);
    }
    return count;
}

#else

INLINE uint32_t write_places(uint32_t *to, uint64_t mask, uint32_t base)
{
    uint32_t count = (uint32_t)__builtin_popcountll(mask);

    for (uint32_t n = 0; n < count; n += 4) {
        for (uint32_t i = 0; i < 4; i++, mask &= mask - 1)
            to[n + i] = base + lowest(mask);
    }
    return count;
}

#endif

/* Each bit: is the number of bits up to it odd? */
INLINE uint64_t prefix_odd(uint64_t mask)
{
    for (int shift = 1; shift < 64; shift *= 2)
        mask ^= mask << shift;
    return mask;
}

/* --- where fields end ------------------------------------------------------------ */

/* What one block hands on to the next. */
struct carry {
    uint64_t inside;                        /* all ones: in quotes */
    uint64_t newlines, delimiters, closing; /* the masks of the block before */
};

/* A mask moved up by `by` < 64 bits, with what comes in from the block before. */
INLINE uint64_t moved(uint64_t mask, uint64_t before, uint32_t by)
{
    return mask << by | before >> 1 >> (63 - by);
}

/* Takes what is in quotes out of the two masks, and checks where quotes stand: one
 * that opens behind a separator or another quote, one that closes before such. */
INLINE void look_at_quotes(const struct split_rules *rules, uint64_t quotes,
                           uint64_t *newlines, uint64_t *delimiters, const char *text,
                           uint32_t base, struct carry *carry, struct split *split)
{
    uint64_t inside = prefix_odd(quotes) ^ carry->inside;
    uint64_t opening = quotes & inside, closing = quotes & ~inside;
    uint64_t begins, behind, bad;

    *newlines &= ~inside;
    *delimiters &= ~inside;
    begins = moved(*newlines, carry->newlines, 1) |
             moved(*delimiters, carry->delimiters, rules->length);
    behind = moved(closing, carry->closing, 1);
    bad = (opening & ~(begins | behind)) |
          (behind & ~(*newlines | *delimiters | opening));
    carry->inside = 0 - (inside >> 63);
    carry->newlines = *newlines;
    carry->delimiters = *delimiters;
    carry->closing = closing;
    split->quoted |= quotes != 0;
    for (; bad && split->bad_quote == UINT32_MAX; bad &= bad - 1) {
        uint32_t at = base + lowest(bad);

        if (text[lowest(bad)] != '\r' || text[lowest(bad) + 1] != '\n')
            split->bad_quote = at;
    }
}

/* Delimiters of several bytes: those that begin in another one are none. */
INLINE uint32_t drop_overlaps(const struct split_rules *rules, const char *text,
                              uint32_t *end, uint32_t before, uint32_t count)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = end[i];
        const uint32_t *last = kept ? &end[kept - 1] : before ? end - 1 : NULL;

        if (last && text[*last] != '\n' && at - *last < rules->length)
            continue;
        end[kept++] = at;
    }
    return kept;
}

INLINE uint64_t find_delimiter(const struct split_rules *rules, struct bytes bytes,
                               const char *p, bool single)
{
    uint64_t mask = equal(bytes, rules->delimiter[0]);

    if (!single)
        for (uint32_t i = 1; i < rules->length && mask; i++)
            mask &= equal(load(p + i), rules->delimiter[i]);
    return mask;
}

/* One block; `valid` has a bit for each byte that is of the text. */
INLINE void split_block(const struct split_rules *rules, const char *text,
                        uint32_t base, uint64_t valid, bool single, bool quotes,
                        struct carry *carry, struct split *split)
{
    const char *p = text + base;
    struct bytes bytes = load(p);
    uint64_t newlines = equal(bytes, '\n') & valid;
    uint64_t delimiters = find_delimiter(rules, bytes, p, single) & valid;
    uint64_t quote = quotes ? equal(bytes, '"') & valid : 0;
    uint32_t count;

    split->suspect |= ((high(bytes) | equal(bytes, '\0')) & valid) != 0;
    if (quotes &&
        (quote | carry->inside | carry->closing | carry->newlines | carry->delimiters))
        look_at_quotes(rules, quote, &newlines, &delimiters, p, base, carry, split);
    count = write_places(split->end + split->ends, newlines | delimiters, base);
    if (!single)
        count = drop_overlaps(rules, text, split->end + split->ends, split->ends,
                              count);
    split->newlines += (uint32_t)__builtin_popcountll(newlines);
    split->ends += count;
}

INLINE void split_all(const struct split_rules *rules, const char *text,
                      uint32_t length, bool single, bool quotes, struct split *split)
{
    /* A record begins where a line has ended. */
    struct carry carry = {.newlines = (uint64_t)1 << 63};
    uint32_t base = 0;

    for (; length - base >= BLOCK; base += BLOCK)
        split_block(rules, text, base, ~(uint64_t)0, single, quotes, &carry, split);
    if (base < length)
        split_block(rules, text, base, ((uint64_t)1 << (length - base)) - 1, single,
                    quotes, &carry, split);
}

/* --- blanks ---------------------------------------------------------------------- */

/* Fields between runs of blanks: a line's last one ends at its newline, blanks behind
 * it included; a line without any has one that is empty. */
struct blanks {
    uint64_t gap;  /* the last bit: the byte before the block was blank or a newline */
    uint32_t line; /* number of the line's first field */
};

INLINE void end_line(struct split *split, struct blanks *blanks, uint32_t at)
{
    if (split->ends == blanks->line)
        split->begin[split->ends++] = at;
    split->end[split->ends - 1] = at;
    split->newlines++;
    blanks->line = split->ends;
}

INLINE void split_blank_block(const char *p, uint32_t base, uint64_t valid,
                              struct blanks *blanks, struct split *split)
{
    struct bytes bytes = load(p);
    uint64_t newlines = equal(bytes, '\n') & valid;
    uint64_t gap = (equal(bytes, ' ') | equal(bytes, '\t') | equal(bytes, '\r') |
                    newlines) &
                   valid;
    uint64_t behind = moved(gap, blanks->gap, 1);
    uint64_t begins = ~gap & behind & valid, stops = gap & ~behind;

    split->suspect |= ((high(bytes) | equal(bytes, '\0')) & valid) != 0;
    blanks->gap = gap;
    for (uint64_t all = begins | stops | newlines; all; all &= all - 1) {
        uint64_t bit = all & -all;
        uint32_t at = base + lowest(all);

        if (begins & bit)
            split->begin[split->ends] = at;
        if (stops & bit)
            split->end[split->ends++] = at;
        if (newlines & bit)
            end_line(split, blanks, at);
    }
}

static void split_blanks(const char *text, uint32_t length, struct split *split)
{
    struct blanks blanks = {.gap = (uint64_t)1 << 63};
    uint32_t base = 0;

    for (; length - base >= BLOCK; base += BLOCK)
        split_blank_block(text + base, base, ~(uint64_t)0, &blanks, split);
    if (base < length)
        split_blank_block(text + base, base, ((uint64_t)1 << (length - base)) - 1,
                          &blanks, split);
}

static void fields(const struct split_rules *rules, const char *text, uint32_t length,
                   struct split *split)
{
    split->ends = split->newlines = 0;
    split->quoted = split->suspect = false;
    split->bad_quote = UINT32_MAX;
    if (rules->blanks)
        split_blanks(text, length, split);
    else if (rules->length == 1 && !rules->quotes)
        split_all(rules, text, length, true, false, split);
    else if (rules->length == 1)
        split_all(rules, text, length, true, true, split);
    else
        split_all(rules, text, length, false, rules->quotes, split);
}

/* --- short fields ---------------------------------------------------------------- */

#define EACH_BYTE(byte) (0x0101010101010101u * (uint64_t)(byte))

INLINE uint64_t load_digits(const char *p)
{
    uint64_t word;

    memcpy(&word, p, sizeof word);
    return word ^ EACH_BYTE('0');
}

/* Is each byte 0..9? */
INLINE bool all_digits(uint64_t digits)
{
    return ((digits | (digits + EACH_BYTE(6))) & EACH_BYTE(0xf0)) == 0;
}

/* Eight digits, the first in the lowest byte, as a number. */
INLINE uint64_t digits_value(uint64_t digits)
{
    const uint64_t pairs = 0x000000ff000000ffu;

    digits = digits * 10 + (digits >> 8);
    return ((digits & pairs) * (100 + ((uint64_t)1000000 << 32)) +
            ((digits >> 16) & pairs) * (1 + ((uint64_t)10000 << 32))) >>
           32;
}

/* A field's place. */
struct span {
    const char *text;
    uint32_t length;
};

/* How the fields of a column stand: constants where this is inlined. */
struct form {
    bool last, quoted;
};

INLINE struct span field_of(const struct split_column *column, uint32_t r,
                            struct form form)
{
    size_t at = (size_t)r * column->stride;
    uint32_t begin = column->begin[at] + column->skip, end = column->end[at];

    if (form.last && end > begin && column->text[end - 1] == '\r')
        end--;
    if (form.quoted) { /* an empty one is never plain */
        bool is = (column->text[begin] == '"') & (end - begin > 2);

        begin++;
        end = is ? end - 1 : begin;
    }
    return (struct span){column->text + begin, end - begin};
}

/* Digits of 1..16 bytes, the first one's into *first. False: something else. */
INLINE bool short_digits(struct span field, uint64_t *value, uint64_t *first)
{
    static const uint32_t power[] = {1,      10,      100,      1000,     10000,
                                     100000, 1000000, 10000000, 100000000};
    uint64_t digits = load_digits(field.text), rest;

    *first = digits & 0xff;
    if (field.length - 1 < 8) {
        digits <<= 64 - 8 * field.length;
        *value = digits_value(digits);
        return all_digits(digits);
    }
    if (field.length - 9 >= 8)
        return false;
    rest = load_digits(field.text + 8) << (128 - 8 * field.length);
    *value = digits_value(digits) * power[field.length - 8] + digits_value(rest);
    return all_digits(digits) && all_digits(rest);
}

/* Zeros in front make a key a text (common/key.h). */
INLINE uint32_t keys_of(const struct split_column *column, uint32_t first,
                        uint32_t rows, struct form form, uint64_t *out)
{
    uint64_t leading;

    for (uint32_t r = first; r < rows; r++) {
        struct span field = field_of(column, r, form);

        if (!short_digits(field, &out[r], &leading) ||
            (leading == 0 && field.length > 1))
            return r;
    }
    return rows;
}

/* --- many short fields ----------------------------------------------------------- */

/* Fields of 1 to 8 bytes side by side: what is done with them then is the same for all,
 * without branches, so that the compiler uses wide registers. */
enum { BATCH = 128, WARM = 32 };

struct batch {
    uint64_t
        digits[BATCH]; /* from the first byte up; what is behind the field as well */
    uint64_t shift[BATCH]; /* bits to move up, so that the field ends the word */
};

/* Takes BATCH fields from `first` on; false: some are not of 1 to 8 bytes. */
INLINE bool take_batch(const struct split_column *column, uint32_t first,
                       struct form form, struct batch *batch)
{
    uint32_t odd = 0;

    for (uint32_t i = 0; i < BATCH; i++) {
        struct span field = field_of(column, first + i, form);

        batch->digits[i] = load_digits(field.text);
        batch->shift[i] = (64 - 8 * field.length) & 63;
        odd |= (field.length - 1) >> 3;
    }
    return odd == 0;
}

/* Their keys; false: some are none that is short and plain. */
INLINE bool batch_keys(const struct batch *batch, uint64_t *out)
{
    uint64_t odd = 0;

    for (uint32_t i = 0; i < BATCH; i++) {
        uint64_t digits = batch->digits[i] << batch->shift[i];

        odd |= (digits | (digits + EACH_BYTE(6))) & EACH_BYTE(0xf0);
        odd |= (batch->digits[i] & 0xff) == 0 && batch->shift[i] < 56;
        out[i] = digits_value(digits);
    }
    return odd == 0;
}

/* Batches as long as there are any that are all plain, from `r` on; where they end. */
INLINE uint32_t keys_in_batches(const struct split_column *column, uint32_t r,
                                uint32_t rows, struct form form, uint64_t *out)
{
    struct batch batch;

    while (rows - r >= BATCH && take_batch(column, r, form, &batch) &&
           batch_keys(&batch, out + r))
        r += BATCH;
    return r;
}

/* A few one by one first, where the field before was not plain: there may be more. */
INLINE uint32_t warm_end(uint32_t first, uint32_t rows)
{
    return first == 0 ? 0 : rows - first > WARM ? first + WARM : rows;
}

INLINE uint32_t all_keys(const struct split_column *column, uint32_t first,
                         uint32_t rows, struct form form, uint64_t *out)
{
    uint32_t r = first, end = warm_end(first, rows);

    do {
        r = keys_of(column, r, end, form, out);
        if (r < end)
            return r;
        r = keys_in_batches(column, r, rows, form, out);
        end = rows - r > BATCH ? r + BATCH : rows;
    } while (r < rows);
    return rows;
}

static uint32_t keys(const struct split_column *column, uint32_t first, uint32_t rows,
                     uint64_t *out)
{
    const struct form form = {column->last, column->quoted};

    if (form.quoted)
        return form.last
                   ? all_keys(column, first, rows, (struct form){true, true}, out)
                   : all_keys(column, first, rows, (struct form){false, true}, out);
    return form.last ? all_keys(column, first, rows, (struct form){true, false}, out)
                     : all_keys(column, first, rows, (struct form){false, false}, out);
}

/* --- numbers --------------------------------------------------------------------- */

/* Bytes behind the one whose lowest bit is the only one of `point`; 8 without one. */
INLINE uint32_t bytes_behind(uint64_t point)
{
#ifdef __LZCNT__
    return (uint32_t)_lzcnt_u64(point) / 8;
#else
    return point ? (uint32_t)__builtin_clzll(point) / 8 : 8;
#endif
}

/* The lowest bit of the first byte that is a point; 0 without one. */
INLINE uint64_t point_of(uint64_t digits)
{
    uint64_t other = digits ^ EACH_BYTE('.' ^ '0');
    uint64_t point = (other - EACH_BYTE(1)) & ~other & EACH_BYTE(0x80);

    return (point & -point) >> 7;
}

/* The digits before the point moved up over it. */
INLINE uint64_t without_point(uint64_t digits, uint64_t point)
{
    uint64_t before = point - 1; /* without a point all bytes are before it */

    return (digits & ~(point * 0xff | before)) | (digits & before)
                                                     << (point != 0 ? 8 : 0);
}

static const double inverse_power[] = {1e0,  1e-1, 1e-2, 1e-3, 1e-4,
                                       1e-5, 1e-6, 1e-7, 1e0};

/* Digits with at most one point among them, of 1..8 bytes that end the word: at most
 * seven digits with a point, eight without. As a double times the inverse of a power of
 * ten they are within 2^-52 of the quotient, which is never so near to the middle
 * between two floats, nor that middle: the float is rounded right. */
INLINE bool tiny_number(uint64_t digits, float *value)
{
    uint64_t point = point_of(digits);

    digits = without_point(digits, point);
    *value = (float)((double)(int32_t)digits_value(digits) *
                     inverse_power[bytes_behind(point)]);
    return all_digits(digits);
}

/* The same with 9..16 bytes and in doubles. What lies in the middle between two floats
 * may have been rounded to there: not here. */
INLINE bool small_number(struct span field, float *value)
{
    static const double power[] = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                   1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
    const uint64_t exact_max = (uint64_t)1 << 53;
    uint64_t sum = 0, bits;
    uint32_t point = UINT32_MAX;
    double number;

    for (uint32_t i = 0; i < field.length; i++) {
        uint32_t digit = (unsigned char)field.text[i] - (uint32_t)'0';

        if (digit > 9 && (field.text[i] != '.' || point != UINT32_MAX))
            return false;
        if (digit > 9)
            point = i;
        else
            sum = sum * 10 + digit;
    }
    if (sum > exact_max)
        return false;
    number = (double)sum;
    if (point == UINT32_MAX) {
        *value = (float)number;
        return true;
    }
    number /= power[field.length - 1 - point];
    memcpy(&bits, &number, sizeof bits);
    *value = (float)number;
    return (bits & 0x1fffffff) != 0x10000000;
}

INLINE float signed_as(float size, bool negative)
{
    uint32_t bits;

    memcpy(&bits, &size, sizeof bits);
    bits |= (uint32_t)negative << 31;
    memcpy(&size, &bits, sizeof size);
    return size;
}

INLINE uint32_t numbers_of(const struct split_column *column, uint32_t first,
                           uint32_t rows, struct form form, float *out)
{
    for (uint32_t r = first; r < rows; r++) {
        struct span field = field_of(column, r, form);
        bool negative = (*field.text == '-') & (field.length > 1), good;
        float size;

        field.text += negative;
        field.length -= negative;
        if (field.length - 1 < 8)
            good = tiny_number(load_digits(field.text) << (64 - 8 * field.length),
                               &size) &
                   !((field.length == 1) & (*field.text == '.'));
        else
            good = field.length - 9 < 8 && small_number(field, &size);
        if (!good)
            return r;
        out[r] = signed_as(size, negative);
    }
    return rows;
}

/* As batch_keys(). The digits as integers and where the point is first, as both can be
 * done in wide registers. */
INLINE bool batch_numbers(const struct batch *batch, float *out)
{
    int32_t value[BATCH];
    uint64_t point[BATCH], odd = 0;

    for (uint32_t i = 0; i < BATCH; i++) {
        uint64_t digits = batch->digits[i] << batch->shift[i];
        uint64_t at = point_of(digits);

        /* A point alone is no number. */
        odd |= at != 0 && batch->shift[i] == 56;
        digits = without_point(digits, at);
        odd |= (digits | (digits + EACH_BYTE(6))) & EACH_BYTE(0xf0);
        point[i] = at;
        value[i] = (int32_t)digits_value(digits);
    }
    for (uint32_t i = 0; odd == 0 && i < BATCH; i++)
        out[i] = (float)((double)value[i] * inverse_power[bytes_behind(point[i])]);
    return odd == 0;
}

INLINE uint32_t numbers_in_batches(const struct split_column *column, uint32_t r,
                                   uint32_t rows, struct form form, float *out)
{
    struct batch batch;

    while (rows - r >= BATCH && take_batch(column, r, form, &batch) &&
           batch_numbers(&batch, out + r))
        r += BATCH;
    return r;
}

INLINE uint32_t all_numbers(const struct split_column *column, uint32_t first,
                            uint32_t rows, struct form form, float *out)
{
    uint32_t r = first, end = warm_end(first, rows);

    do {
        r = numbers_of(column, r, end, form, out);
        if (r < end)
            return r;
        r = numbers_in_batches(column, r, rows, form, out);
        end = rows - r > BATCH ? r + BATCH : rows;
    } while (r < rows);
    return rows;
}

static uint32_t numbers(const struct split_column *column, uint32_t first,
                        uint32_t rows, float *out)
{
    const struct form form = {column->last, column->quoted};

    if (form.quoted)
        return form.last
                   ? all_numbers(column, first, rows, (struct form){true, true}, out)
                   : all_numbers(column, first, rows, (struct form){false, true}, out);
    return form.last
               ? all_numbers(column, first, rows, (struct form){true, false}, out)
               : all_numbers(column, first, rows, (struct form){false, false}, out);
}

/* --- counting -------------------------------------------------------------------- */

INLINE uint64_t count_byte(const char *text, size_t length, char byte)
{
    uint64_t count = 0;

    for (; length >= BLOCK; text += BLOCK, length -= BLOCK)
        count += (uint64_t)__builtin_popcountll(equal(load(text), byte));
    if (length > 0)
        count += (uint64_t)__builtin_popcountll(equal(load(text), byte) &
                                                (((uint64_t)1 << length) - 1));
    return count;
}

static uint64_t count_lines(const char *text, size_t length)
{
    return count_byte(text, length, '\n');
}

static bool odd_quotes(const char *text, size_t length)
{
    return count_byte(text, length, '"') % 2 != 0;
}

const struct split_kernels LEVEL(split_kernels) = {fields, keys, numbers, count_lines,
                                                   odd_quotes};
