#include "worker/stream/profile/guess.h"

#include <string.h>
#include <strings.h>

#include "common/key.h"
#include "common/number.h"
#include "worker/stream/packed/packed.h"

/* What may stand between columns. Nobody writes the first two in a field; of the next
 * three the one with more columns is it, and a blank only where there is nothing else.
 */
static const char *const candidates[] = {"\t", "::", ",", ";", "|", " "};
enum { CANDIDATES = 6, SURE = 2, LAST = 5 };

struct span {
    const char *text;
    size_t length;
};

/* --- lines and fields ---------------------------------------------------------- */

/* The next record of the text, without its end; false at the end of the text. */
static bool next_line(struct span *text, bool quotes, struct span *line)
{
    bool inside = false;

    *line = (struct span){text->text, 0};
    for (size_t i = 0; i < text->length; i++) {
        if (quotes && text->text[i] == '"')
            inside = !inside;
        if (text->text[i] != '\n' || inside)
            continue;
        line->length = i > 0 && text->text[i - 1] == '\r' ? i - 1 : i;
        text->text += i + 1;
        text->length -= i + 1;
        return true;
    }
    if (text->length == 0 || inside)
        return false;
    line->length = text->length; /* the last one of a file need not end */
    text->length = 0;
    return true;
}

/* Where the field at the line's beginning ends. */
static size_t field_end(struct span line, const char *delimiter, bool quotes)
{
    size_t length = strlen(delimiter), i = 0;

    if (quotes && line.length > 0 && line.text[0] == '"') {
        for (i = 1; i < line.length; i++) {
            if (line.text[i] != '"')
                continue;
            if (i + 1 < line.length && line.text[i + 1] == '"')
                i++;
            else
                break;
        }
    }
    for (; i + length <= line.length; i++)
        if (memcmp(line.text + i, delimiter, length) == 0 ||
            (*delimiter == ' ' && line.text[i] == '\t'))
            return i;
    return line.length;
}

/* The next field of a line: false when there is none. *line becomes what is behind it,
 * with text NULL behind the last. */
static bool next_field(struct span *line, const char *delimiter, bool quotes,
                       struct span *field)
{
    bool blanks = strcmp(delimiter, " ") == 0;
    size_t end;

    while (blanks && line->text && line->length &&
           (*line->text == ' ' || *line->text == '\t'))
        line->text++, line->length--;
    if (!line->text || (blanks && line->length == 0))
        return false;
    end = field_end(*line, delimiter, quotes);
    *field = (struct span){line->text, end};
    if (end == line->length) {
        line->text = NULL;
    } else {
        line->text += end + strlen(delimiter);
        line->length -= end + strlen(delimiter);
    }
    if (quotes && field->length >= 2 && field->text[0] == '"' &&
        field->text[field->length - 1] == '"')
        *field = (struct span){field->text + 1, field->length - 2};
    return true;
}

static uint32_t count_fields(struct span line, const char *delimiter, bool quotes)
{
    struct span field;
    uint32_t n = 0;

    while (n < GUESS_FIELDS_MAX && next_field(&line, delimiter, quotes, &field))
        n++;
    return n;
}

/* --- delimiters ---------------------------------------------------------------- */

/* How many columns a delimiter makes of the lines, or 0 if they differ. */
static uint32_t columns_by(struct span text, const char *delimiter, bool quotes)
{
    uint32_t columns = 0, lines = 0, same = 0;
    struct span line;

    while (lines < GUESS_LINES && next_line(&text, quotes, &line)) {
        uint32_t n;

        if (line.length == 0)
            continue;
        n = count_fields(line, delimiter, quotes);
        if (lines == 0)
            columns = n;
        same += n == columns;
        lines++;
    }
    return same * 20 >= lines * 19 ? columns : 0;
}

/* Does a field begin with a quote and another one end? */
static bool has_quotes(struct span text, const char *delimiter)
{
    size_t length = strlen(delimiter);

    if (strcmp(delimiter, "\t") == 0 || strcmp(delimiter, " ") == 0)
        return false;
    for (size_t i = 0; i < text.length; i++)
        if (text.text[i] == '"' &&
            (i == 0 || text.text[i - 1] == '\n' ||
             (i >= length && memcmp(text.text + i - length, delimiter, length) == 0)))
            return true;
    return false;
}

static void guess_delimiter(struct guess *guess, struct span text, const char *given)
{
    guess->columns = 1;
    memcpy(guess->delimiter, "\t", 2);
    for (int i = 0; i < (*given ? 1 : CANDIDATES); i++) {
        const char *delimiter = *given ? given : candidates[i];
        bool quotes = has_quotes(text, delimiter);
        uint32_t columns = columns_by(text, delimiter, quotes);

        if (columns <= guess->columns && !*given)
            continue;
        if (i == LAST && guess->columns > 1)
            break;
        guess->columns = columns ? columns : 1;
        guess->quotes = quotes;
        memset(guess->delimiter, 0, sizeof guess->delimiter);
        memcpy(guess->delimiter, delimiter,
               strnlen(delimiter, GUESS_DELIMITER_MAX - 1));
        if (i < SURE && columns > 1)
            break;
    }
}

/* --- header -------------------------------------------------------------------- */

static bool is_number(struct span field)
{
    char copy[40];
    float value;

    if (field.length == 0 || field.length >= sizeof copy)
        return false;
    memcpy(copy, field.text, field.length);
    copy[field.length] = '\0';
    return number_parse(copy, field.length, &value) == NUMBER_GOOD;
}

static bool nth_field(const struct guess *guess, struct span line, uint32_t column,
                      struct span *field)
{
    for (uint32_t i = 0; i <= column; i++)
        if (!next_field(&line, guess->delimiter, guess->quotes, field))
            return false;
    return true;
}

/* What the lines behind the first one say about its field: +1 a name, -1 a value. */
static int vote(const struct guess *guess, struct span text, struct span first,
                uint32_t column)
{
    struct span line, name, field;
    uint32_t lines = 0, numbers = 0;

    if (!nth_field(guess, first, column, &name))
        return -1;
    if (name.length == 0)
        return 0; /* as over a table's numbers of rows */
    while (lines < GUESS_LINES / 4 && next_line(&text, guess->quotes, &line)) {
        if (!nth_field(guess, line, column, &field))
            continue;
        if (field.length == name.length &&
            strncasecmp(field.text, name.text, field.length) == 0)
            return -1; /* it comes up again */
        numbers += is_number(field);
        lines++;
    }
    if (is_number(name))
        return -1;
    return lines > 0 && numbers * 10 >= lines * 9 ? 1 : 0;
}

/* Only if no field of the first line is a value. Where all are texts, a line that never
 * comes up again and has neither digits nor empty fields is one of names. */
static bool guess_header(const struct guess *guess, struct span text)
{
    struct span first, rest = text;
    bool names = false, other = false;

    if (!next_line(&rest, guess->quotes, &first))
        return false;
    for (uint32_t c = 0; c < guess->columns && c < 256; c++) {
        int says = vote(guess, rest, first, c);
        struct span name = {0};

        if (says < 0)
            return false;
        names |= says > 0;
        other |= nth_field(guess, first, c, &name) && name.length == 0;
    }
    for (size_t i = 0; i < first.length; i++)
        other |= first.text[i] >= '0' && first.text[i] <= '9';
    return names || (!other && guess->columns > 1);
}

/* --- letters ------------------------------------------------------------------- */

/* Is it UTF-8, but for a character that is cut off at the end? */
static bool is_utf8(struct span text)
{
    const unsigned char *s = (const void *)text.text;

    for (size_t i = 0; i < text.length;) {
        size_t more = s[i] < 0x80   ? 0
                      : s[i] < 0xC2 ? 9
                      : s[i] < 0xE0 ? 1
                      : s[i] < 0xF0 ? 2
                      : s[i] < 0xF5 ? 3
                                    : 9;

        if (more == 9)
            return false;
        for (size_t k = 1; k <= more && i + k < text.length; k++)
            if ((s[i + k] & 0xC0) != 0x80)
                return false;
        i += more + 1;
    }
    return true;
}

static bool is_json(struct span text)
{
    struct span line;

    return text.length > 0 && text.text[0] == '{' && next_line(&text, false, &line) &&
           line.length > 1 && line.text[line.length - 1] == '}';
}

/* How many colons each word behind the first one of a line has, which is a number: 1 in
 * libsvm's lines, 2 in libffm's. 0: it is none of them. */
static int colons_of(struct span line)
{
    struct span word;
    int colons = 0;

    if (!next_field(&line, " ", false, &word) || !is_number(word))
        return 0;
    while (next_field(&line, " ", false, &word)) {
        int n = 0;

        for (size_t i = 0; i < word.length; i++) {
            char c = word.text[i];

            n += c == ':';
            if (c != ':' && !(c && strchr("0123456789.-+eE", c)))
                return 0;
        }
        if (n == 0 || n > 2 || (colons && n != colons))
            return 0;
        colons = n;
    }
    return colons;
}

static enum guess_format guess_sparse(struct span text)
{
    struct span line;
    int colons = 0, lines = 0;

    for (; lines < 20 && next_line(&text, false, &line); lines++) {
        int n = colons_of(line);

        if (n == 0 || (colons && n != colons))
            return GUESS_TABLE;
        colons = n;
    }
    return colons == 1 ? GUESS_SPARSE : colons == 2 ? GUESS_FIELDS : GUESS_TABLE;
}

/* --- all of it ----------------------------------------------------------------- */

/* The text without a byte order mark, and without the part of a line at its end. */
static struct span whole_lines(const char *text, size_t length)
{
    const char *end = length >= GUESS_BYTES ? memrchr(text, '\n', length) : NULL;

    if (end)
        length = (size_t)(end - text) + 1;
    if (length >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        return (struct span){text + 3, length - 3};
    return (struct span){text, length};
}

struct guess guess_table(const char *text, size_t length, const char *given)
{
    struct span lines = whole_lines(text, length);
    struct guess guess = {.format = GUESS_TABLE, .columns = 1};

    if (length >= PACKED_MAGIC_BYTES &&
        memcmp(text, packed_magic, PACKED_MAGIC_BYTES) == 0) {
        guess.format = GUESS_PACKED;
        return guess;
    }
    if (memchr(text, '\0', length)) {
        guess.format = GUESS_NOT_TEXT;
        return guess;
    }
    guess.latin1 = !is_utf8(lines);
    if (is_json(lines)) {
        guess.format = GUESS_JSON;
        return guess;
    }
    if (!*given)
        guess.format = guess_sparse(lines);
    if (guess.format != GUESS_TABLE)
        return guess;
    guess_delimiter(&guess, lines, given);
    guess.header = guess_header(&guess, lines);
    return guess;
}

/* As readers do: in quotes two are one, and the end of a line is \n; letters of Latin-1
 * become UTF-8. As many whole letters as fit into `size`. */
static size_t decode_name(const struct guess *guess, struct span field, bool quoted,
                          char *name, size_t size)
{
    size_t used = 0;

    for (size_t i = 0; i < field.length; i++) {
        unsigned char letter = (unsigned char)field.text[i];
        char next = i + 1 < field.length ? field.text[i + 1] : '\0';
        bool two = guess->latin1 && letter >= 0x80;

        if (quoted && letter == '\r' && next == '\n')
            continue;
        if (used + 1 + two > size)
            break;
        if (two)
            name[used++] = (char)(0xc0 | letter >> 6);
        name[used++] = (char)(two ? 0x80 | (letter & 0x3f) : letter);
        i += quoted && letter == '"' && next == '"';
    }
    return used;
}

int guess_name(const struct guess *guess, const char *text, size_t length,
               uint32_t column, char *name, size_t size)
{
    struct span lines = whole_lines(text, length), line, field;

    if (!next_line(&lines, guess->quotes, &line) ||
        !nth_field(guess, line, column, &field))
        return -1;
    length = decode_name(guess, field, field.text > text && field.text[-1] == '"', name,
                         size - 1);
    name[length] = '\0';
    return (int)length;
}
