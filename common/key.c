#include "common/key.h"

#include <stdbool.h>
#include <xxhash.h>

/* Digits without zeros in front, up to `max`. */
static bool parse_digits(const char *text, size_t length, uint64_t max, uint64_t *value)
{
    uint64_t sum = 0;

    if (length == 0 || length > 20 || (text[0] == '0' && length > 1))
        return false;
    for (size_t i = 0; i < length; i++) {
        uint64_t digit = (uint64_t)(unsigned char)text[i] - '0';

        if (digit > 9 || (i == 19 && (sum > max / 10 || sum * 10 > max - digit)))
            return false;
        sum = sum * 10 + digit;
    }
    *value = sum;
    return sum <= max;
}

uint64_t key_of_text(const char *text, size_t length)
{
    uint64_t value;

    if (length > 0 && text[0] == '-') {
        if (parse_digits(text + 1, length - 1, (uint64_t)1 << 63, &value) && value > 0)
            return 0 - value;
    } else if (parse_digits(text, length, UINT64_MAX, &value)) {
        return value;
    }
    return XXH3_64bits(text, length);
}
