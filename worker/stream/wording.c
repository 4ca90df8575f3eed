#include "worker/stream/wording.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

const char *wording_shown(const char *text, char *shown)
{
    size_t room = WORDING_SHOWN_MAX - sizeof "...", bytes = 0;

    for (; text[bytes] && bytes < room; bytes++)
        shown[bytes] = iscntrl((unsigned char)text[bytes]) ? '?' : text[bytes];
    if (text[bytes]) {
        /* Not in the middle of a UTF-8 character. */
        while (bytes > 0 && ((unsigned char)text[bytes] & 0xc0) == 0x80)
            bytes--;
        memcpy(shown + bytes, "...", 3);
        bytes += 3;
    }
    shown[bytes] = '\0';
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
