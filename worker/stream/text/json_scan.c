#include "worker/stream/text/json_scan.h"

#include <stdint.h>
#include <string.h>

struct scan {
    const char *text, *at, *end;
    const char *expected; /* once something was wrong */
    json_visit *visit;
    void *context;
    int stopped; /* what the visitor returned */
    int depth;
    size_t path_length;
    char path[JSON_PATH_MAX + 1];
};

static bool fail(struct scan *s, const char *expected)
{
    s->expected = expected;
    return false;
}

static void skip_blanks(struct scan *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\r'))
        s->at++;
}

static bool take(struct scan *s, char byte, const char *expected)
{
    skip_blanks(s);
    if (s->at == s->end || *s->at != byte)
        return fail(s, expected);
    s->at++;
    return true;
}

static bool next_is(struct scan *s, char byte)
{
    skip_blanks(s);
    return s->at < s->end && *s->at == byte;
}

/* --- scalars --------------------------------------------------------------------- */

static int hexadecimal(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    digit |= 32;
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

static bool take_escape(struct scan *s)
{
    s->at++;
    if (s->at < s->end && *s->at && strchr("\"\\/bfnrt", *s->at)) {
        s->at++;
        return true;
    }
    if (s->at == s->end || *s->at != 'u')
        return fail(s, "an escape such as \\n or \\u00e9");
    s->at++;
    for (int i = 0; i < 4; i++, s->at++)
        if (s->at == s->end || hexadecimal(*s->at) < 0)
            return fail(s, "four hexadecimal digits");
    return true;
}

static bool take_string(struct scan *s, struct json_value *value)
{
    if (!take(s, '"', "a string"))
        return false;
    *value = (struct json_value){.kind = JSON_STRING, .text = s->at};
    while (s->at < s->end && *s->at != '"') {
        if ((unsigned char)*s->at < 0x20)
            return fail(s, "no control character in a string");
        if (*s->at != '\\') {
            s->at++;
            continue;
        }
        value->escaped = true;
        if (!take_escape(s))
            return false;
    }
    value->length = (size_t)(s->at - value->text);
    return take(s, '"', "the string's end");
}

static bool take_digits(struct scan *s)
{
    const char *first = s->at;

    while (s->at < s->end && *s->at >= '0' && *s->at <= '9')
        s->at++;
    return s->at > first ? true : fail(s, "a digit");
}

static bool take_number(struct scan *s, struct json_value *value)
{
    *value = (struct json_value){.kind = JSON_NUMBER, .text = s->at};
    s->at += *s->at == '-';
    if (s->at < s->end && *s->at == '0')
        s->at++;
    else if (!take_digits(s))
        return false;
    if (s->at < s->end && *s->at == '.') {
        s->at++;
        if (!take_digits(s))
            return false;
    }
    if (s->at < s->end && (*s->at | 32) == 'e') {
        s->at++;
        s->at += s->at < s->end && (*s->at == '+' || *s->at == '-');
        if (!take_digits(s))
            return false;
    }
    value->length = (size_t)(s->at - value->text);
    return true;
}

static bool take_word(struct scan *s, struct json_value *value)
{
    static const char *const words[] = {"true", "false", "null"};
    size_t left = (size_t)(s->end - s->at);

    for (int i = 0; i < 3; i++) {
        size_t length = strlen(words[i]);

        if (left < length || memcmp(s->at, words[i], length) != 0)
            continue;
        *value = (struct json_value){.kind = i == 2 ? JSON_NULL : JSON_WORD,
                                     .text = s->at,
                                     .length = i == 2 ? 0 : length};
        s->at += length;
        return true;
    }
    return fail(s, "a value");
}

/* --- values ---------------------------------------------------------------------- */

static bool tell(struct scan *s, struct json_value *value, bool element)
{
    value->path = s->path;
    value->element = element;
    s->stopped = s->visit(s->context, value);
    return s->stopped == 0;
}

static bool take_value(struct scan *s, bool quiet, bool element);

/* Members have the path of their object, a dot and their name. */
static bool take_member(struct scan *s, bool quiet)
{
    size_t before = s->path_length;
    struct json_value name;

    if (!take_string(s, &name) || !take(s, ':', "a colon"))
        return false;
    if (!quiet && before + 1 + name.length > JSON_PATH_MAX)
        return fail(s, "shorter names");
    if (!quiet) {
        size_t length;

        if (before > 0)
            s->path[s->path_length++] = '.';
        length = name.escaped
                     ? json_unescape(name.text, name.length, s->path + s->path_length)
                     : name.length;
        if (length == SIZE_MAX)
            return fail(s, "whole surrogate pairs");
        if (!name.escaped)
            memcpy(s->path + s->path_length, name.text, length);
        s->path_length += length;
        s->path[s->path_length] = '\0';
    }
    if (!take_value(s, quiet, false))
        return false;
    s->path_length = before;
    s->path[before] = '\0';
    return true;
}

static bool take_object(struct scan *s, bool quiet)
{
    s->at++;
    if (next_is(s, '}')) {
        s->at++;
        return true;
    }
    do {
        if (!take_member(s, quiet))
            return false;
        if (next_is(s, '}'))
            break;
    } while (take(s, ',', "a comma or a closing brace"));
    return !s->expected && take(s, '}', "a closing brace");
}

static bool take_array(struct scan *s, bool quiet)
{
    s->at++;
    if (next_is(s, ']')) {
        s->at++;
        return true;
    }
    do {
        if (!take_value(s, quiet, true))
            return false;
        if (next_is(s, ']'))
            break;
    } while (take(s, ',', "a comma or a closing bracket"));
    return !s->expected && take(s, ']', "a closing bracket");
}

/* Bounded by depth, so that recursion is too. */
static bool take_nested(struct scan *s, bool object, bool quiet, bool element)
{
    struct json_value value = {.kind = object ? JSON_OBJECT : JSON_ARRAY, .text = ""};
    bool good;

    if (s->depth == JSON_DEPTH_MAX)
        return fail(s, "at most 64 levels");
    if (!quiet && s->depth > 0 && !tell(s, &value, element))
        return false;
    quiet |= element;
    s->depth++;
    good = object ? take_object(s, quiet) : take_array(s, quiet);
    s->depth--;
    return good;
}

static bool take_value(struct scan *s, bool quiet, bool element)
{
    struct json_value value;
    bool good;

    skip_blanks(s);
    if (s->at == s->end)
        return fail(s, "a value");
    if (*s->at == '{' || *s->at == '[')
        return take_nested(s, *s->at == '{', quiet, element);
    if (*s->at == '"')
        good = take_string(s, &value);
    else if (*s->at == '-' || (*s->at >= '0' && *s->at <= '9'))
        good = take_number(s, &value);
    else
        good = take_word(s, &value);
    return good && (quiet || tell(s, &value, element));
}

int json_scan(const char *text, size_t length, json_visit *visit, void *context,
              size_t *at, const char **expected)
{
    struct scan s;
    bool good;

    s.text = s.at = text;
    s.end = text + length;
    s.visit = visit;
    s.context = context;
    s.stopped = s.depth = 0;
    s.expected = NULL;
    s.path_length = 0;
    s.path[0] = '\0';
    good = next_is(&s, '{') ? take_value(&s, false, false) : fail(&s, "an object");
    if (s.stopped)
        return s.stopped;
    skip_blanks(&s);
    if (good && s.at < s.end)
        good = fail(&s, "nothing behind the object");
    if (good)
        return 0;
    *at = (size_t)(s.at - s.text);
    *expected = s.expected;
    return 1;
}

/* --- strings --------------------------------------------------------------------- */

static uint32_t four_digits(const char *text)
{
    uint32_t value = 0;

    for (int i = 0; i < 4; i++)
        value = value * 16 + (uint32_t)hexadecimal(text[i]);
    return value;
}

static size_t write_character(uint32_t code, char *to)
{
    if (code < 0x80) {
        to[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        to[0] = (char)(0xc0 | code >> 6);
        to[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        to[0] = (char)(0xe0 | code >> 12);
        to[1] = (char)(0x80 | (code >> 6 & 0x3f));
        to[2] = (char)(0x80 | (code & 0x3f));
        return 3;
    }
    to[0] = (char)(0xf0 | code >> 18);
    to[1] = (char)(0x80 | (code >> 12 & 0x3f));
    to[2] = (char)(0x80 | (code >> 6 & 0x3f));
    to[3] = (char)(0x80 | (code & 0x3f));
    return 4;
}

/* The character of \uXXXX, of two of them if it is a pair, at *text, which moves on.
 * UINT32_MAX: half a pair, or NUL, which no text has. */
static uint32_t take_code(const char **text, const char *end)
{
    uint32_t code = four_digits(*text + 2), low;

    *text += 6;
    if (code >> 10 == 0x37 || code == 0)
        return UINT32_MAX;
    if (code >> 10 != 0x36)
        return code;
    if (end - *text < 6 || (*text)[0] != '\\' || (*text)[1] != 'u')
        return UINT32_MAX;
    low = four_digits(*text + 2);
    *text += 6;
    if (low >> 10 != 0x37)
        return UINT32_MAX;
    return 0x10000 + ((code & 0x3ff) << 10) + (low & 0x3ff);
}

size_t json_unescape(const char *text, size_t length, char *to)
{
    static const char letters[] = "bfnrt", meant[] = "\b\f\n\r\t";
    const char *end = text + length, *letter;
    size_t used = 0;
    uint32_t code;

    while (text < end) {
        if (*text != '\\') {
            to[used++] = *text++;
        } else if (text[1] == 'u') {
            code = take_code(&text, end);
            if (code == UINT32_MAX)
                return SIZE_MAX;
            used += write_character(code, to + used);
        } else {
            letter = strchr(letters, text[1]);
            to[used++] = letter ? meant[letter - letters] : text[1];
            text += 2;
        }
    }
    return used;
}
