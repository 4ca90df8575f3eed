#include "common/wording.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* The bytes of the character at `text`: 1 to 4 if it is UTF-8 and no control character,
 * else 0. Overlong forms and surrogates are not told apart: they do no harm in print.
 */
static size_t printable(const unsigned char *text)
{
    size_t bytes = text[0] < 0x80 ? 1 : text[0] < 0xe0 ? 2 : text[0] < 0xf0 ? 3 : 4;

    if (text[0] < 0x20 || text[0] == 0x7f || text[0] > 0xf4 ||
        (text[0] >= 0x80 && text[0] < 0xc2))
        return 0;
    for (size_t i = 1; i < bytes; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    if (text[0] == 0xc2 && text[1] < 0xa0)
        return 0;
    return bytes;
}

const char *wording_shown(const char *text, char *shown)
{
    const size_t room = WORDING_SHOWN_MAX - sizeof "...";
    size_t used = 0, bytes;

    while (*text) {
        bytes = printable((const unsigned char *)text);
        if (used + (bytes ? bytes : 1) > room) {
            memcpy(shown + used, "...", 3);
            used += 3;
            break;
        }
        memcpy(shown + used, bytes ? text : "?", bytes ? bytes : 1);
        used += bytes ? bytes : 1;
        text += bytes ? bytes : 1;
    }
    shown[used] = '\0';
    return shown;
}

static bool same_letter(char a, char b)
{
    return tolower((unsigned char)a) == tolower((unsigned char)b);
}

size_t wording_distance(const char *a, const char *b)
{
    enum { LONGEST = 128, FAR = 1000 };
    size_t row[LONGEST + 1], n = strlen(a), m = strlen(b), diagonal, above;

    if (n > LONGEST || m > LONGEST)
        return FAR;
    for (size_t j = 0; j <= m; j++)
        row[j] = j;
    for (size_t i = 1; i <= n; i++) {
        diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            above = row[j];
            row[j] = diagonal + !same_letter(a[i - 1], b[j - 1]);
            if (above + 1 < row[j])
                row[j] = above + 1;
            if (row[j - 1] + 1 < row[j])
                row[j] = row[j - 1] + 1;
            diagonal = above;
        }
    }
    return row[m];
}

const char *wording_grouped(double count, char text[32])
{
    char digits[24];
    int n = snprintf(digits, sizeof digits, "%.0f", count), at = 0;

    for (int i = 0; i < n; i++) {
        if (i > 0 && (n - i) % 3 == 0)
            text[at++] = ',';
        text[at++] = digits[i];
    }
    text[at] = '\0';
    return text;
}
