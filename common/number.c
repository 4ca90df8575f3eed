#include "common/number.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

/* Integers up to here are exact floats, and so are these powers of ten. */
enum { EXACT_MAX = 1 << 24, SHORT_MAX = 9 };
static const float power_of_ten[SHORT_MAX + 1] = {1e0f, 1e1f, 1e2f, 1e3f, 1e4f,
                                                  1e5f, 1e6f, 1e7f, 1e8f, 1e9f};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Skips digits and adds their number to *count. */
static const char *skip_digits(const char *p, size_t *count)
{
    const char *first = p;

    while (is_digit(*p))
        p++;
    *count += (size_t)(p - first);
    return p;
}

/* [+-] digits [. digits] [e [+-] digits], with a digit before or behind the point. */
static bool is_decimal(const char *p, const char *end)
{
    size_t digits = 0, exponent = 0;

    p += *p == '+' || *p == '-';
    p = skip_digits(p, &digits);
    if (*p == '.')
        p = skip_digits(p + 1, &digits);
    if (digits == 0)
        return false;
    if (*p == 'e' || *p == 'E') {
        p++;
        p += *p == '+' || *p == '-';
        p = skip_digits(p, &exponent);
        if (exponent == 0)
            return false;
    }
    return p == end;
}

/* Short numbers without an exponent: digits and a power of ten that are both exact, so
 * that the one division rounds correctly. False: not so short, or not a number. */
static bool parse_short(const char *p, const char *end, float *value)
{
    uint32_t digits = 0;
    size_t fraction = 0, seen;
    bool negative = *p == '-';
    const char *first;
    float size;

    p += *p == '-' || *p == '+';
    first = p;
    if (end - p > SHORT_MAX) /* so that `digits` cannot overflow */
        return false;
    for (; is_digit(*p); p++)
        digits = digits * 10 + (uint32_t)(*p - '0');
    seen = (size_t)(p - first);
    if (*p == '.') {
        for (first = ++p; is_digit(*p); p++)
            digits = digits * 10 + (uint32_t)(*p - '0');
        fraction = (size_t)(p - first);
    }
    if (p != end || seen + fraction == 0 || digits > EXACT_MAX)
        return false;
    size = (float)digits / power_of_ten[fraction];
    *value = negative ? -size : size;
    return true;
}

enum number_found number_parse(const char *text, size_t length, float *value)
{
    char *stop;
    float parsed;

    if (parse_short(text, text + length, value))
        return NUMBER_GOOD;
    if (!is_decimal(text, text + length))
        return NUMBER_NONE;
    parsed = strtof(text, &stop);
    if (stop != text + length)
        return NUMBER_NONE;
    if (!isfinite(parsed))
        return NUMBER_TOO_LARGE;
    *value = parsed;
    return NUMBER_GOOD;
}
