/* The second half of titles.h: texts on a terminal. */
#include <stdbool.h>
#include <string.h>

#include "worker/titles.h"

enum { MARKS_MAX = 3 }; /* combining marks that a character keeps */

struct code_range {
    uint32_t first, last;
};

#ifndef MUTANT_TITLE_CONTROLS
/* What could steer a terminal, or show text in another order than it is stored. */
static const struct code_range unsafe[] = {
    {0x0000, 0x001f}, {0x007f, 0x009f}, {0x061c, 0x061c},
    {0x200e, 0x200f}, {0x2028, 0x202e}, {0x2061, 0x206f},
    {0xfff9, 0xfffb}, {0xfffe, 0xffff}, {0xe0000, 0xe007f},
};
#endif

/* Drawn over the character before (categories Mn and Me), or not at all, in the scripts
 * whose writing needs it often. From the Unicode character database, 14.0. */
static const struct code_range combining[] = {
    {0x0300, 0x036f},   {0x0483, 0x0489}, {0x0591, 0x05bd}, {0x05bf, 0x05bf},
    {0x05c1, 0x05c2},   {0x05c4, 0x05c5}, {0x05c7, 0x05c7}, {0x0610, 0x061a},
    {0x064b, 0x065f},   {0x0670, 0x0670}, {0x06d6, 0x06dc}, {0x06df, 0x06e4},
    {0x06e7, 0x06e8},   {0x06ea, 0x06ed}, {0x0900, 0x0902}, {0x093a, 0x093a},
    {0x093c, 0x093c},   {0x0941, 0x0948}, {0x094d, 0x094d}, {0x0951, 0x0957},
    {0x0962, 0x0963},   {0x0981, 0x0981}, {0x0e31, 0x0e31}, {0x0e34, 0x0e3a},
    {0x0e47, 0x0e4e},   {0x1160, 0x11ff}, {0x1ab0, 0x1ace}, {0x1dc0, 0x1dff},
    {0x200b, 0x200d},   {0x2060, 0x2060}, {0x20d0, 0x20f0}, {0x302a, 0x302d},
    {0x3099, 0x309a},   {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f}, {0xfeff, 0xfeff},
    {0xe0100, 0xe01ef},
};

/* Two columns wide (East Asian Width W and F, emoji included); the same source. */
static const struct code_range wide[] = {
    {0x1100, 0x115f},   {0x231a, 0x231b},   {0x2329, 0x232a},   {0x23e9, 0x23ec},
    {0x23f0, 0x23f0},   {0x23f3, 0x23f3},   {0x25fd, 0x25fe},   {0x2614, 0x2615},
    {0x2648, 0x2653},   {0x267f, 0x267f},   {0x2693, 0x2693},   {0x26a1, 0x26a1},
    {0x26aa, 0x26ab},   {0x26bd, 0x26be},   {0x26c4, 0x26c5},   {0x26ce, 0x26ce},
    {0x26d4, 0x26d4},   {0x26ea, 0x26ea},   {0x26f2, 0x26f3},   {0x26f5, 0x26f5},
    {0x26fa, 0x26fa},   {0x26fd, 0x26fd},   {0x2705, 0x2705},   {0x270a, 0x270b},
    {0x2728, 0x2728},   {0x274c, 0x274c},   {0x274e, 0x274e},   {0x2753, 0x2755},
    {0x2757, 0x2757},   {0x2795, 0x2797},   {0x27b0, 0x27b0},   {0x27bf, 0x27bf},
    {0x2b1b, 0x2b1c},   {0x2b50, 0x2b50},   {0x2b55, 0x2b55},   {0x2e80, 0x3029},
    {0x302e, 0x303e},   {0x3041, 0x3096},   {0x309b, 0x3247},   {0x3250, 0x4dbf},
    {0x4e00, 0xa4c6},   {0xa960, 0xa97c},   {0xac00, 0xd7a3},   {0xf900, 0xfad9},
    {0xfe10, 0xfe19},   {0xfe30, 0xfe6b},   {0xff01, 0xff60},   {0xffe0, 0xffe6},
    {0x1f004, 0x1f004}, {0x1f0cf, 0x1f0cf}, {0x1f18e, 0x1f18e}, {0x1f191, 0x1f19a},
    {0x1f200, 0x1f320}, {0x1f32d, 0x1f335}, {0x1f337, 0x1f37c}, {0x1f37e, 0x1f393},
    {0x1f3a0, 0x1f3ca}, {0x1f3cf, 0x1f3d3}, {0x1f3e0, 0x1f3f0}, {0x1f3f4, 0x1f3f4},
    {0x1f3f8, 0x1f43e}, {0x1f440, 0x1f440}, {0x1f442, 0x1f4fc}, {0x1f4ff, 0x1f53d},
    {0x1f54b, 0x1f54e}, {0x1f550, 0x1f567}, {0x1f57a, 0x1f57a}, {0x1f595, 0x1f596},
    {0x1f5a4, 0x1f5a4}, {0x1f5fb, 0x1f64f}, {0x1f680, 0x1f6c5}, {0x1f6cc, 0x1f6cc},
    {0x1f6d0, 0x1f6d2}, {0x1f6d5, 0x1f6df}, {0x1f6eb, 0x1f6ec}, {0x1f6f4, 0x1f6fc},
    {0x1f7e0, 0x1f7f0}, {0x1f90c, 0x1f93a}, {0x1f93c, 0x1f945}, {0x1f947, 0x1f9ff},
    {0x1fa70, 0x1faf6}, {0x20000, 0x3fffd},
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static bool is_in(uint32_t code, const struct code_range *range, size_t n)
{
    size_t first = 0, end = n;

    while (first < end) {
        size_t middle = (first + end) / 2;

        if (range[middle].last < code)
            first = middle + 1;
        else
            end = middle;
    }
    return first < n && range[first].first <= code;
}

/* Decodes one character of UTF-8. Returns its bytes, or 0 if there is none: a stray or
 * missing byte, a longer form than needed, a surrogate, a code above 0x10ffff. */
static size_t decode(const char *text, uint32_t *code)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *byte = (const unsigned char *)text;
    size_t length = byte[0] < 0x80             ? 1
                    : (byte[0] & 0xe0) == 0xc0 ? 2
                    : (byte[0] & 0xf0) == 0xe0 ? 3
                    : (byte[0] & 0xf8) == 0xf0 ? 4
                                               : 0;

    if (length == 0)
        return 0;
    *code = length == 1 ? byte[0] : byte[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((byte[i] & 0xc0) != 0x80)
            return 0; /* the zero at the text's end is no such byte either */
        *code = *code << 6 | (byte[i] & 0x3fu);
    }
    if (*code < least[length] || *code > 0x10ffff || (*code >> 11) == 0x1b)
        return 0;
    return length;
}

/* A character as it will be shown. */
struct shown {
    const char *text;
    size_t bytes;
    uint32_t columns;
};

/* Takes the next character from *text, which is not at its end. */
static struct shown next_shown(const char **text)
{
    struct shown shown = {.text = *text, .columns = 1};
    uint32_t code = 0;

    shown.bytes = decode(*text, &code);
    *text += shown.bytes ? shown.bytes : 1;
    if (shown.bytes == 0)
        return (struct shown){.text = "?", .bytes = 1, .columns = 1};
#ifndef MUTANT_TITLE_CONTROLS
    if (is_in(code, unsafe, COUNT(unsafe)))
        return (struct shown){.text = "?", .bytes = 1, .columns = 1};
#endif
    if (is_in(code, combining, COUNT(combining)))
        shown.columns = 0;
    else if (is_in(code, wide, COUNT(wide)))
        shown.columns = 2;
    return shown;
}

uint32_t title_columns(const char *text)
{
    uint32_t columns = 0;

    while (*text)
        columns += next_shown(&text).columns;
    return columns;
}

/* Copies what fits into `columns`; returns how many it takes, *bytes how many bytes. */
static uint32_t copy_columns(const char *text, uint32_t columns, char *out,
                             size_t *bytes)
{
    uint32_t used = 0, marks = MARKS_MAX; /* a mark without a character is dropped */

    *bytes = 0;
    while (*text) {
        struct shown shown = next_shown(&text);

        if (used + shown.columns > columns)
            break;
        if (shown.columns == 0 && marks++ >= MARKS_MAX)
            continue;
        if (shown.columns > 0)
            marks = 0;
        memcpy(out + *bytes, shown.text, shown.bytes);
        *bytes += shown.bytes;
        used += shown.columns;
    }
    return used;
}

char *title_fit(const char *text, uint32_t columns, char *out)
{
    static const char ellipsis[] = "\xe2\x80\xa6";
    bool cut = title_columns(text) > columns;
    size_t bytes;
    uint32_t used = copy_columns(text, cut && columns > 0 ? columns - 1 : columns, out,
                                 &bytes);

    if (cut && columns > 0) {
        memcpy(out + bytes, ellipsis, sizeof ellipsis - 1);
        bytes += sizeof ellipsis - 1;
        used++;
    }
    memset(out + bytes, ' ', columns - used);
    out[bytes + columns - used] = '\0';
    return out;
}
