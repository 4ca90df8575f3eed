#include "worker/stream/text/timestamp.h"

#include <string.h>
#include <time.h>

enum { TEXT_MAX = 64 };

static const int64_t second = 1000000;
/* The years 1 to 9999. */
static const int64_t first_second = -62135596800, last_second = 253402300799;

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Days from 1970-01-01 to a day of the Gregorian calendar; years begin in March. */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
    int64_t y = year - (month <= 2), m = month > 2 ? month - 3 : month + 9;
    int64_t era = (y >= 0 ? y : y - 399) / 400, of_era = y - era * 400;

    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + (153 * m + 2) / 5 +
           day - 1 - 719468;
}

static int64_t month_days(int64_t year, int64_t month)
{
    static const int8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

    return days[month - 1] + (month == 2 && leap);
}

/* A number of seconds with at most `places` digits behind a point that count. */
static bool parse_since_1970(const char *text, int64_t unit, int64_t *us)
{
    bool negative = *text == '-';
    int64_t whole = 0, fraction = 0, place = unit;
    const char *first;

    text += negative;
    for (first = text; is_digit(*text); text++) {
        if (whole > INT64_MAX / 16 / unit)
            return false;
        whole = whole * 10 + (*text - '0');
    }
    if (text == first)
        return false;
    if (*text == '.') {
        first = ++text;
        for (; is_digit(*text); text++, place /= 10)
            fraction += (*text - '0') * (place / 10);
        if (text == first)
            return false;
    }
    whole = whole * unit + fraction;
    whole = negative ? -whole : whole;
    if (*text || whole < first_second * second || whole > last_second * second)
        return false;
    *us = whole;
    return true;
}

/* Takes exactly `digits` digits. */
static bool take(const char **text, int digits, int64_t *value)
{
    *value = 0;
    for (int i = 0; i < digits; i++, *text += 1) {
        if (!is_digit(**text))
            return false;
        *value = *value * 10 + (**text - '0');
    }
    return true;
}

/* Z, +hh, +hhmm, +hh:mm or nothing; *offset in seconds. */
static bool take_zone(const char **text, int64_t *offset)
{
    int64_t hours, minutes = 0, sign;

    *offset = 0;
    if (!**text)
        return true;
    if (**text == 'Z' || **text == 'z') {
        *text += 1;
        return true;
    }
    if (**text != '+' && **text != '-')
        return false;
    sign = **text == '-' ? -1 : 1;
    *text += 1;
    if (!take(text, 2, &hours))
        return false;
    *text += **text == ':';
    if (**text && !take(text, 2, &minutes))
        return false;
    *offset = sign * (hours * 3600 + minutes * 60);
    return hours < 24 && minutes < 60;
}

/* hh:mm[:ss[.fraction]] */
static bool take_clock(const char **text, int64_t *us)
{
    int64_t hour, minute, seconds = 0, place = second, fraction = 0;

    if (!take(text, 2, &hour) || *(*text)++ != ':' || !take(text, 2, &minute))
        return false;
    if (**text == ':') {
        *text += 1;
        if (!take(text, 2, &seconds))
            return false;
        if (**text == '.' || **text == ',') {
            *text += 1;
            if (!is_digit(**text))
                return false;
            for (; is_digit(**text); *text += 1, place /= 10)
                fraction += (**text - '0') * (place / 10);
        }
    }
    *us = (hour * 3600 + minute * 60 + seconds) * second + fraction;
    return hour < 24 && minute < 60 && seconds <= 60;
}

/* yyyy-mm-dd, or with a clock behind 'T' or a blank. */
static bool parse_iso(const char *text, int64_t *us)
{
    int64_t year, month, day, clock = 0, zone = 0;

    if (!take(&text, 4, &year) || *text++ != '-' || !take(&text, 2, &month) ||
        *text++ != '-' || !take(&text, 2, &day))
        return false;
    if (year < 1 || month < 1 || month > 12 || day < 1 || day > month_days(year, month))
        return false;
    if (*text == 'T' || *text == 't' || *text == ' ') {
        text++;
        if (!take_clock(&text, &clock) || !take_zone(&text, &zone))
            return false;
    }
    if (*text)
        return false;
    *us = days_of(year, month, day) * 86400 * second + clock - zone * second;
    return true;
}

static bool parse_pattern(const char *format, const char *text, int64_t *us)
{
    struct tm tm = {.tm_mday = 1};
    const char *stop = strptime(text, format, &tm);
    int64_t year = (int64_t)tm.tm_year + 1900;

    if (!stop || *stop || year < 1 || year > 9999 || tm.tm_mon < 0 || tm.tm_mon > 11 ||
        tm.tm_mday < 1 || tm.tm_mday > month_days(year, tm.tm_mon + 1))
        return false;
    *us = (days_of(year, tm.tm_mon + 1, tm.tm_mday) * 86400 +
           (int64_t)tm.tm_hour * 3600 + (int64_t)tm.tm_min * 60 + tm.tm_sec -
           tm.tm_gmtoff) *
          second;
    return true;
}

bool timestamp_parse(const char *format, const char *text, size_t length, int64_t *us)
{
    char copy[TEXT_MAX];

    if (length == 0 || length >= sizeof copy)
        return false;
    memcpy(copy, text, length);
    copy[length] = '\0';
    if (strlen(copy) != length)
        return false;
    if (!*format || strcmp(format, "seconds") == 0)
        return parse_since_1970(copy, second, us);
    if (strcmp(format, "milliseconds") == 0)
        return parse_since_1970(copy, 1000, us);
    if (strcmp(format, "microseconds") == 0)
        return parse_since_1970(copy, 1, us);
    if (strcmp(format, "iso") == 0)
        return parse_iso(copy, us);
    return parse_pattern(format, copy, us);
}
