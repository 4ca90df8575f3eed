#include "common/settings_value.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct unit {
    const char *name;
    double factor;
};

/* Canonical text uses the first ones, the largest that divides. */
enum { BINARY_UNITS = 4 };
static const struct unit byte_units[] = {
    {"TiB", 1099511627776.0},
    {"GiB", 1073741824.0},
    {"MiB", 1048576.0},
    {"KiB", 1024.0},
    {"TB", 1e12},
    {"GB", 1e9},
    {"MB", 1e6},
    {"kB", 1e3},
    {"KB", 1e3},
    {"B", 1},
    {"", 1},
    {NULL, 0},
};
static const struct unit second_units[] = {
    {"s", 1}, {"ms", 1e-3}, {"min", 60}, {"h", 3600}, {"", 1}, {NULL, 0},
};
static const double epochs_max = 1e6;

static void *field(const struct setting *row, void *base)
{
    return (char *)base + row->offset;
}

static const void *const_field(const struct setting *row, const void *base)
{
    return (const char *)base + row->offset;
}

/* --- text ---------------------------------------------------------------------- */

static bool has_control(const char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return true;
    }
    return false;
}

/* Bytes of the UTF-8 character at `s`, 0 if it is none. */
static int utf8_length(const unsigned char *s)
{
    int n = *s < 0x80 ? 1 : *s < 0xc2 ? 0 : *s < 0xe0 ? 2 : *s < 0xf0 ? 3 : 4;

    if (*s > 0xf4)
        return 0;
    for (int i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    }
    if ((*s == 0xe0 && s[1] < 0xa0) || (*s == 0xed && s[1] > 0x9f) ||
        (*s == 0xf0 && s[1] < 0x90) || (*s == 0xf4 && s[1] > 0x8f))
        return 0;
    return n;
}

bool setting_printable(const char *text)
{
    const unsigned char *s = (const unsigned char *)text;

    if (has_control(text))
        return false;
    while (*s) {
        int n = utf8_length(s);

        /* C1 controls, U+0080 to U+009f, are two bytes in UTF-8. */
        if (n == 0 || (*s == 0xc2 && s[1] < 0xa0))
            return false;
        s += n;
    }
    return true;
}

static bool copy_text(const struct setting *row, const char *text, char *to)
{
    size_t length = strlen(text);

    if (length >= row->size)
        return false;
    memcpy(to, text, length + 1);
    return true;
}

/* The index of `text` in "a|b|c", -1 if it is not there. */
static int choice_index(const char *choices, const char *text)
{
    size_t length = strlen(text);

    for (int i = 0;; i++) {
        const char *end = strchrnul(choices, '|');

        if ((size_t)(end - choices) == length && !memcmp(choices, text, length))
            return i;
        if (!*end)
            return -1;
        choices = end + 1;
    }
}

static void choice_name(const char *choices, int index, char *text, size_t size)
{
    while (index-- > 0 && *choices) {
        choices = strchrnul(choices, '|');
        choices += *choices == '|';
    }
    snprintf(text, size, "%.*s", (int)strcspn(choices, "|"), choices);
}

static bool parse_text(const struct setting *row, const char *text, char *to)
{
    if (row->choices && choice_index(row->choices, text) < 0)
        return false;
    return setting_printable(text) && copy_text(row, text, to);
}

/* "10.0.0.0/8" */
static bool is_cidr(const char *text)
{
    const char *slash = strchr(text, '/');
    char address[INET_ADDRSTRLEN];
    struct in_addr parsed;
    size_t digits;

    if (!slash || (size_t)(slash - text) >= sizeof address)
        return false;
    memcpy(address, text, (size_t)(slash - text));
    address[slash - text] = '\0';
    digits = strspn(slash + 1, "0123456789");
    if (digits < 1 || digits > 2 || slash[1 + digits] ||
        (digits == 2 && slash[1] == '0'))
        return false;
    return atoi(slash + 1) <= 32 && inet_pton(AF_INET, address, &parsed) == 1;
}

/* --- lists --------------------------------------------------------------------- */

/* The end of the item that starts at `s`. */
static const char *item_end(const char *s, bool exact)
{
    int braces = 0;

    if (exact)
        return s + strcspn(s, "\n\t");
    for (; *s; s++) {
        if (*s == '{')
            braces++;
        else if (*s == '}' && braces > 0)
            braces--;
        else if (*s == ',' && braces == 0)
            break;
    }
    return s;
}

static bool parse_list(const struct setting *row, const char *text, char *to)
{
    bool exact = strpbrk(text, "\n\t") != NULL;
    char list[SETTING_VALUE_MAX];
    size_t used = 0, room = row->size < sizeof list ? row->size : sizeof list;
    const char *s = text;

    while (*s) {
        const char *end = item_end(s, exact), *from = s, *to_end = end;
        size_t length;

        while (!exact && from < to_end && *from == ' ')
            from++;
        while (!exact && to_end > from && to_end[-1] == ' ')
            to_end--;
        length = (size_t)(to_end - from);
        if (length == 0 || used + (used > 0) + length >= room)
            return false;
        if (used > 0)
            list[used++] = '\n';
        memcpy(list + used, from, length);
        used += length;
        if (!*end)
            break;
        if (!exact && !end[1]) /* "a," */
            return false;
        s = end + 1;
    }
    list[used] = '\0';
    for (size_t i = 0; i < used; i++) {
        if (list[i] != '\n' && ((unsigned char)list[i] < 0x20 || list[i] == 0x7f))
            return false;
    }
    memcpy(to, list, used + 1);
    return true;
}

/* Items separated by tabs. A tab ends a single item that would else be split or cut. */
static void format_list(const char *list, char *text)
{
    size_t length = strlen(list);

    snprintf(text, SETTING_VALUE_MAX, "%s", list);
    if (length == 0)
        return;
    if (!strchr(text, '\n') &&
        (strchr(text, ',') || text[0] == ' ' || text[length - 1] == ' ')) {
        text[length] = '\t';
        text[length + 1] = '\0';
    }
    for (char *s = text; *s; s++) {
        if (*s == '\n')
            *s = '\t';
    }
}

/* --- numbers ------------------------------------------------------------------- */

/* A decimal number at *s, which is moved behind it. Unlike strtod() it takes no
 * leading space, hexadecimal, "inf" or "nan". */
static bool take_number(const char **s, double *value)
{
    const char *p = *s;
    size_t whole, part = 0;
    char *end;

    p += *p == '-' || *p == '+';
    whole = strspn(p, "0123456789");
    p += whole;
    if (*p == '.') {
        part = strspn(p + 1, "0123456789");
        p += 1 + part;
    }
    if (whole + part == 0)
        return false;
    if (*p == 'e' || *p == 'E') {
        const char *digits = p + 1 + (p[1] == '-' || p[1] == '+');

        if (strspn(digits, "0123456789") > 0)
            p = digits + strspn(digits, "0123456789");
    }
    *value = strtod(*s, &end);
    *s = end;
    return end == p && isfinite(*value);
}

/* A number and one of the units, perhaps with a space between. */
static bool take_quantity(const char *text, const struct unit *units, double *value)
{
    if (!take_number(&text, value))
        return false;
    text += *text == ' ';
    for (; units->name; units++) {
        if (!strcmp(text, units->name)) {
            *value *= units->factor;
            return true;
        }
    }
    return false;
}

static bool in_range(const struct setting *row, double value)
{
#ifndef MUTANT_SETTINGS_RANGE
    if (value < row->min || value > row->max)
        return false;
#endif
    return true;
}

/* The word for no value at all; NULL if there must be one. */
static const char *word_for_none(const struct setting *row)
{
    if (row->like)
        return "inherit";
    if (row->type == SETTING_CHOICE) /* which may have a "none" of its own */
        return NULL;
    return row->preset && !strcmp(row->preset, "none") ? "none" : NULL;
}

const char *setting_preset(const struct setting *row)
{
    return row->like ? word_for_none(row) : row->preset ? row->preset : "";
}

static bool has_value(const struct setting *row, const void *base)
{
    const void *from = const_field(row, base);

    switch (row->type) {
    case SETTING_INTEGER:
        return *(const int64_t *)from != SETTING_NO_INTEGER;
    case SETTING_REAL:
        return !isnan(*(const double *)from);
    case SETTING_CHOICE:
        return *(const int *)from != SETTING_NO_CHOICE;
    default:
        return true;
    }
}

bool setting_inherits(const struct setting *row, const void *base)
{
    return row->like && !has_value(row, base);
}

/* False: such a setting must have a value. */
static bool clear_value(const struct setting *row, void *to)
{
    switch (row->type) {
    case SETTING_INTEGER:
        *(int64_t *)to = SETTING_NO_INTEGER;
        return true;
    case SETTING_REAL:
        *(double *)to = NAN;
        return true;
    case SETTING_CHOICE:
        *(int *)to = SETTING_NO_CHOICE;
        return true;
    default:
        return false;
    }
}

static bool parse_integer(const struct setting *row, const char *text, int64_t *to)
{
    const char *digits = text + (*text == '-' || *text == '+');
    size_t length = strspn(digits, "0123456789");
    long long value;

    if (length == 0 || length > 18 || digits[length]) /* 18 digits always fit */
        return false;
    value = strtoll(text, NULL, 10);
    if (!in_range(row, (double)value))
        return false;
    *to = value;
    return true;
}

static bool parse_real(const struct setting *row, const char *text, double *to)
{
    double value;

    if (!take_number(&text, &value) || *text || !in_range(row, value))
        return false;
    *to = value + 0.0; /* no negative zero */
    return true;
}

static bool parse_boolean(const char *text, bool *to)
{
    int index = choice_index("false|true|no|yes|off|on", text);

    if (index >= 0)
        *to = index & 1;
    return index >= 0;
}

static bool parse_bytes(const struct setting *row, const char *text, int64_t *to)
{
    double value;

    if (!take_quantity(text, byte_units, &value) || !in_range(row, value))
        return false;
    *to = (int64_t)llrint(value);
    return true;
}

static bool parse_seconds(const struct setting *row, const char *text, double *to)
{
    double value;

    if (!take_quantity(text, second_units, &value) || !in_range(row, value))
        return false;
    *to = value + 0.0;
    return true;
}

static bool parse_every(const struct setting *row, const char *text, void *base)
{
    double *to = field(row, base), value;
    int *unit = (int *)(void *)((char *)base + row->unit_offset);
    const char *s = text;

    if (!take_number(&s, &value) || value < 0)
        return false;
    s += *s == ' ';
    if (!strcmp(s, "epoch") || !strcmp(s, "epochs") || (!*s && value == 0)) {
        if (value != floor(value) || value > epochs_max)
            return false;
        *to = value + 0.0;
        *unit = SETTING_EVERY_EPOCH;
        return true;
    }
    if (!*s || !take_quantity(text, second_units, &value) || !in_range(row, value))
        return false;
    *to = value;
    *unit = SETTING_EVERY_SECOND;
    return true;
}

bool setting_parse(const struct setting *row, const char *text, void *base)
{
    const char *none = word_for_none(row);
    void *to = field(row, base);
    int index;

    if (none && !strcmp(text, none))
        return clear_value(row, to);
    switch (row->type) {
    case SETTING_INTEGER:
        return parse_integer(row, text, to);
    case SETTING_REAL:
        return parse_real(row, text, to);
    case SETTING_BOOLEAN:
        return parse_boolean(text, to);
    case SETTING_TEXT:
        return parse_text(row, text, to);
    case SETTING_CHOICE:
        index = choice_index(row->choices, text);
        if (index >= 0)
            *(int *)to = index;
        return index >= 0;
    case SETTING_LIST:
        return parse_list(row, text, to);
    case SETTING_BYTES:
        return parse_bytes(row, text, to);
    case SETTING_SECONDS:
        return parse_seconds(row, text, to);
    case SETTING_EVERY:
        return parse_every(row, text, base);
    case SETTING_CIDR:
        return (!*text || is_cidr(text)) && copy_text(row, text, to);
    case SETTING_PATH:
        return !has_control(text) && copy_text(row, text, to);
    }
    return false;
}

/* --- to text ------------------------------------------------------------------- */

/* The shortest of the forms that read back as the same double. */
static void format_real(double value, char *text, size_t size)
{
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, size, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            return;
    }
}

static void format_bytes(double value, char *text, size_t size)
{
    for (int i = 0; i < BINARY_UNITS && value != 0; i++) {
        const struct unit *unit = &byte_units[i];

        if (fmod(value, unit->factor) == 0) {
            snprintf(text, size, "%.0f %s", value / unit->factor, unit->name);
            return;
        }
    }
    snprintf(text, size, "%.0f", value);
}

static void format_seconds(double value, char *text, size_t size)
{
    char number[40];

    format_real(value, number, sizeof number);
    snprintf(text, size, "%s s", number);
}

static void format_every(const struct setting *row, const void *base, char *text,
                         size_t size)
{
    double value = *(const double *)const_field(row, base);
    int unit = *(const int *)(const void *)((const char *)base + row->unit_offset);

    if (unit == SETTING_EVERY_SECOND)
        format_seconds(value, text, size);
    else if (value == 0)
        snprintf(text, size, "0");
    else
        snprintf(text, size, "%.0f %s", value, value == 1 ? "epoch" : "epochs");
}

void setting_format(const struct setting *row, const void *base, char *text)
{
    const char *none = word_for_none(row);
    const void *from = const_field(row, base);
    size_t size = SETTING_VALUE_MAX;

    if (none && !has_value(row, base)) {
        snprintf(text, size, "%s", none);
        return;
    }
    switch (row->type) {
    case SETTING_INTEGER:
        snprintf(text, size, "%lld", (long long)*(const int64_t *)from);
        break;
    case SETTING_REAL:
        format_real(*(const double *)from, text, size);
        break;
    case SETTING_BOOLEAN:
        snprintf(text, size, "%s", *(const bool *)from ? "true" : "false");
        break;
    case SETTING_CHOICE:
        choice_name(row->choices, *(const int *)from, text, size);
        break;
    case SETTING_LIST:
        format_list(from, text);
        break;
    case SETTING_BYTES:
        format_bytes((double)*(const int64_t *)from, text, size);
        break;
    case SETTING_SECONDS:
        format_seconds(*(const double *)from, text, size);
        break;
    case SETTING_EVERY:
        format_every(row, base, text, size);
        break;
    case SETTING_TEXT:
    case SETTING_CIDR:
    case SETTING_PATH:
        snprintf(text, size, "%s", (const char *)from);
        break;
    }
}

/* --- sentences ----------------------------------------------------------------- */

/* "a", "a or b", "a, b or c" */
static void list_choices(const char *choices, char *text, size_t size)
{
    size_t used = 0;

    for (const char *s = choices;; s++) {
        const char *end = strchrnul(s, '|');
        const char *link = s == choices ? "" : *end ? ", " : " or ";
        int n = snprintf(text + used, size - used, "%s%.*s", link, (int)(end - s), s);

        used += (size_t)n;
        if (!*end || used >= size)
            return;
        s = end;
    }
}

void setting_range(const struct setting *row, char *text)
{
    size_t size = SETTING_SENTENCE_MAX;
    char low[48], high[48];

    text[0] = '\0';
    switch (row->type) {
    case SETTING_INTEGER:
        snprintf(text, size, "%.0f to %.0f", row->min, row->max);
        break;
    case SETTING_REAL:
        format_real(row->min, low, sizeof low);
        format_real(row->max, high, sizeof high);
        snprintf(text, size, "%s to %s", low, high);
        break;
    case SETTING_BYTES:
        format_bytes(row->min, low, sizeof low);
        format_bytes(row->max, high, sizeof high);
        snprintf(text, size, "%s to %s", low, high);
        break;
    case SETTING_SECONDS:
        format_seconds(row->min, low, sizeof low);
        format_seconds(row->max, high, sizeof high);
        snprintf(text, size, "%s to %s", low, high);
        break;
    case SETTING_EVERY:
        format_seconds(row->min, low, sizeof low);
        format_seconds(row->max, high, sizeof high);
        snprintf(text, size, "0, 1 to %.0f epochs, or %s to %s", epochs_max, low, high);
        break;
    case SETTING_TEXT:
    case SETTING_CHOICE:
        if (row->choices)
            list_choices(row->choices, text, size);
        break;
    default:
        break;
    }
}

void setting_expected(const struct setting *row, char *text)
{
    size_t size = SETTING_SENTENCE_MAX;
    const char *none = word_for_none(row);
    char range[SETTING_SENTENCE_MAX];

    setting_range(row, range);
    if (none) {
        int used = snprintf(text, size, "%s%s", none,
                            row->type == SETTING_CHOICE ? ", " : " or ");

        text += used;
        size -= (size_t)used;
    }
    switch (row->type) {
    case SETTING_INTEGER:
        snprintf(text, size, "a whole number from %.200s", range);
        break;
    case SETTING_REAL:
        snprintf(text, size, "a number from %.200s", range);
        break;
    case SETTING_BOOLEAN:
        snprintf(text, size, "true or false");
        break;
    case SETTING_TEXT:
    case SETTING_CHOICE:
        if (row->choices)
            snprintf(text, size, "%s", range);
        else
            snprintf(text, size, "a printable text of at most %zu bytes",
                     row->size - 1);
        break;
    case SETTING_LIST:
        snprintf(text, size,
                 "a list such as [a, b] without empty items, at most %zu bytes",
                 row->size - 1);
        break;
    case SETTING_BYTES:
        snprintf(text, size, "a size such as 512 MiB, from %.200s", range);
        break;
    case SETTING_SECONDS:
        snprintf(text, size, "a time such as 30 s or 5 min, from %.190s", range);
        break;
    case SETTING_EVERY:
        snprintf(text, size, "1 epoch, 3 epochs, 30 s, 5 min or the like (%.190s)",
                 range);
        break;
    case SETTING_CIDR:
        snprintf(text, size, "an IPv4 network such as 10.0.0.0/8, or nothing");
        break;
    case SETTING_PATH:
        snprintf(text, size, "a path of at most %zu bytes", row->size - 1);
        break;
    }
}

void setting_shown(const char *value, char *text)
{
    const size_t limit = SETTING_SHOWN_MAX - 8; /* room for a character and "...]" */
    bool list = strpbrk(value, "\n\t") != NULL, valid = true;
    const unsigned char *s = (const unsigned char *)value;
    size_t used = 0;

    for (const unsigned char *p = s; *p && valid; p += utf8_length(p))
        valid = utf8_length(p) > 0;
    if (list)
        text[used++] = '[';
    while (*s && used < limit) {
        int n = valid ? utf8_length(s) : 1;

        if (*s == '\n' || *s == '\t') {
            if (s[1] && used + 1 < limit) {
                text[used++] = ',';
                text[used++] = ' ';
            }
        } else if (*s < 0x20 || *s == 0x7f || (*s >= 0x80 && !valid) ||
                   (*s == 0xc2 && s[1] < 0xa0)) {
            text[used++] = '?';
        } else {
            memcpy(text + used, s, (size_t)n);
            used += (size_t)n;
        }
        s += n;
    }
    snprintf(text + used, SETTING_SHOWN_MAX - used, "%s%s", *s ? "..." : "",
             list ? "]" : "");
}
