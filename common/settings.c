#include "common/settings.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/settings_value.h"

enum { COMPARED_MAX = 128 }; /* names longer than this have no near one */

/* A setting of an object: its row and, for a '*', which element. */
struct place {
    const struct setting *row;
    const struct settings_group *group; /* NULL without '*' */
    const char *element;                /* its name: a part of the given one */
    size_t length;
};

/* --- groups -------------------------------------------------------------------- */

static const struct settings_group *group_of(const struct settings *set,
                                             const struct setting *row)
{
    const char *star = strchr(row->name, '*');

    for (size_t i = 0; star && i < set->groups; i++) {
        size_t length = strlen(set->group[i].prefix);

        if ((size_t)(star - row->name) == length &&
            !memcmp(row->name, set->group[i].prefix, length))
            return &set->group[i];
    }
    return NULL;
}

static int *group_count(const struct settings_group *group, void *object)
{
    return (int *)(void *)((char *)object + group->count_offset);
}

static int group_size(const struct settings_group *group, const void *object)
{
    return *(const int *)(const void *)((const char *)object + group->count_offset);
}

static const char *element_at(const struct settings_group *group, const void *object,
                              int i)
{
    return (const char *)object + group->offset + (size_t)i * group->stride;
}

static int find_element(const struct settings_group *group, const void *object,
                        const char *name, size_t length)
{
    for (int i = 0; i < group_size(group, object); i++) {
        const char *known = element_at(group, object, i);

        if (strlen(known) == length && !memcmp(known, name, length))
            return i;
    }
    return -1;
}

static void set_preset(const struct setting *row, void *base)
{
    bool done = setting_parse(row, setting_preset(row), base);

    /* A default outside its own limits is a mistake in the table. */
    assert(done);
    (void)done;
}

/* Element `i` of the group, with all defaults and without a name. */
static char *clear_element(const struct settings *set,
                           const struct settings_group *group, void *object, int i)
{
    char *element = (char *)object + group->offset + (size_t)i * group->stride;

    memset(element, 0, group->stride);
    for (size_t r = 0; r < set->rows; r++) {
        if (group_of(set, &set->row[r]) == group)
            set_preset(&set->row[r], element);
    }
    return element;
}

static void add_element(const struct settings *set, const struct settings_group *group,
                        void *object, const char *name, size_t length)
{
    int *count = group_count(group, object);

    memcpy(clear_element(set, group, object, *count), name, length);
    ++*count;
}

static bool is_plain(const char *name)
{
    for (; *name; name++) {
        bool letter = (*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z');

        if (!letter && !(*name >= '0' && *name <= '9') && *name != '_' && *name != '-')
            return false;
    }
    return true;
}

/* Can the group have one more element, with this name? */
static int check_element(const struct settings_group *group, const void *object,
                         const char *name, size_t length, const char *where,
                         struct err *err)
{
    char copy[SETTING_NAME_MAX], shown[SETTING_SHOWN_MAX];

    snprintf(copy, sizeof copy, "%.*s", (int)length, name);
    if (length == 0 || length >= group->name_size || !setting_printable(copy) ||
        (group->plain_names && !is_plain(copy))) {
        setting_shown(copy, shown);
        return err_set(err, ERR_INPUT,
                       "%s: a %s is named '%s', expected at most %zu %s", where,
                       group->word, shown, group->name_size - 1,
                       group->plain_names ? "letters, digits, '_' and '-'"
                                          : "bytes of printable text");
    }
    if (group_size(group, object) >= group->max)
        return err_set(err, ERR_INPUT, "%s: more than %d %ss", where, group->max,
                       group->word);
    return 0;
}

/* --- names --------------------------------------------------------------------- */

/* How much of `rest`, what follows a group's prefix, names the element: all of it, or
 * what is before its first dot if that leads to settings of a plain name. */
static size_t element_length(const struct settings *set,
                             const struct settings_group *group, const char *rest)
{
    size_t first = strcspn(rest, "."), part;

    if (!group->plain_names || !rest[first])
        return strlen(rest);
    part = 1 + strcspn(rest + first + 1, ".");
    for (size_t i = 0; i < set->rows; i++) {
        const char *below = strchr(set->row[i].name, '*');

        if (group_of(set, &set->row[i]) == group &&
            !strncmp(below + 1, rest + first, part) && below[1 + part] == '.')
            return first;
    }
    return strlen(rest);
}

/* Does `name` fit the row's name? The element is what lies between the text before
 * the '*' and the text after it, so it may hold dots. */
static bool row_matches(const struct setting *row, const char *name,
                        struct place *place)
{
    const char *star = strchr(row->name, '*');
    size_t length = strlen(name), before, after;

    *place = (struct place){.row = row};
    if (!star)
        return !strcmp(row->name, name);
    before = (size_t)(star - row->name);
    after = strlen(star + 1);
    if (length <= before + after || memcmp(name, row->name, before) ||
        memcmp(name + length - after, star + 1, after))
        return false;
    place->element = name + before;
    place->length = length - before - after;
    return true;
}

static bool find_place(const struct settings *set, const char *name,
                       struct place *place)
{
    for (size_t i = 0; i < set->rows; i++) {
        if (!row_matches(&set->row[i], name, place))
            continue;
        place->group = group_of(set, place->row);
        if (!place->group ||
            element_length(set, place->group, place->element) >= place->length)
            return true;
    }
    return false;
}

/* How many letters must be changed, added, dropped, or swapped with the next one to
 * make `b` from `a`; COMPARED_MAX when one is too long. */
static int edit_distance(const char *a, const char *b)
{
    int row[3][COMPARED_MAX + 1];
    int n = (int)strnlen(a, COMPARED_MAX), m = (int)strnlen(b, COMPARED_MAX);
    int *before = row[0], *last = row[1], *now = row[2];

    if (n == COMPARED_MAX || m == COMPARED_MAX)
        return COMPARED_MAX;
    for (int j = 0; j <= m; j++)
        last[j] = j;
    for (int i = 1; i <= n; i++) {
        int *spare = before;

        now[0] = i;
        for (int j = 1; j <= m; j++) {
            int cost = last[j - 1] + (a[i - 1] != b[j - 1]);

            cost = last[j] + 1 < cost ? last[j] + 1 : cost;
            cost = now[j - 1] + 1 < cost ? now[j - 1] + 1 : cost;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                before[j - 2] + 1 < cost)
                cost = before[j - 2] + 1;
            now[j] = cost;
        }
        before = last;
        last = now;
        now = spare;
    }
    return last[m];
}

static const char *last_part(const char *name)
{
    const char *dot = strrchr(name, '.');

    return dot ? dot + 1 : name;
}

/* The length of text[0..length) without its last parts, one for each dot of `tail`, as
 * long as there is one left. */
static size_t without_tail(const char *text, size_t length, const char *tail)
{
    for (tail = strchr(tail, '.'); tail; tail = strchr(tail + 1, '.')) {
        const char *dot = memrchr(text, '.', length);

        length = dot ? (size_t)(dot - text) : length;
    }
    return length;
}

/* The row's name with the '*' replaced by what stands in its place in `name`, or by
 * "NAME" if `name` has too few parts. */
static void candidate(const struct settings *set, const struct setting *row,
                      const char *name, char *text)
{
    const char *star = strchr(row->name, '*'), *element = name;
    size_t length = 0;

    if (!star) {
        snprintf(text, SETTING_NAME_MAX, "%s", row->name);
        return;
    }
    for (const char *s = row->name; s < star && element; s++) {
        if (*s == '.') {
            element = strchr(element, '.');
            element = element ? element + 1 : NULL;
        }
    }
    if (element) {
        length = element_length(set, group_of(set, row), element);
        if (!element[length])
            length = without_tail(element, length, star);
    }
    if (length == 0) {
        element = "NAME";
        length = 4;
    }
    snprintf(text, SETTING_NAME_MAX, "%.*s%.*s%s", (int)(star - row->name), row->name,
             (int)length, element, star + 1);
}

/* How far `name` is from `known`: the letters that differ; or those of the last part,
 * and 2 because it is in another section; or 1 if it only goes on below it. Not near at
 * all (COMPARED_MAX) when every second letter of the last part differs. */
static int name_distance(const char *name, const char *known)
{
    size_t length = strlen(known), last = strlen(last_part(known));
    int whole = edit_distance(name, known);
    int part = edit_distance(last_part(name), last_part(known));

    if (!strncmp(name, known, length) && name[length] == '.')
        return 1;
    if (part + 2 < whole)
        return 2 * (size_t)part <= last ? part + 2 : COMPARED_MAX;
    return 2 * (size_t)whole <= last ? whole : COMPARED_MAX;
}

/* The known name nearest to an unknown one, "" if none is within 3 letters. Of two as
 * near, the first, but rather a setting of its own than one that inherits. */
static void nearest_name(const struct settings *set, const char *name, char *nearest)
{
    const struct setting *found = NULL;
    int best = 4;

    nearest[0] = '\0';
    for (size_t i = 0; i < set->rows; i++) {
        char known[SETTING_NAME_MAX];
        int distance;

        candidate(set, &set->row[i], name, known);
        distance = name_distance(name, known);
        if (distance < best ||
            (distance == best && found && found->like && !set->row[i].like)) {
            best = distance;
            found = &set->row[i];
            snprintf(nearest, SETTING_NAME_MAX, "%s", known);
        }
    }
}

/* Is there a setting below `name` ("train", "data.split", "tables.user")? Writes the
 * first. */
static bool is_section(const struct settings *set, const char *name, char *first)
{
    size_t length = strlen(name);

    for (size_t i = 0; i < set->rows; i++) {
        candidate(set, &set->row[i], name, first);
        if (!strncmp(first, name, length) && first[length] == '.')
            return true;
    }
    return false;
}

/* --- setting one ---------------------------------------------------------------- */

static int unknown(const struct settings *set, const char *name, const char *value,
                   const char *where, struct err *err)
{
    char near[SETTING_NAME_MAX], shown[SETTING_SHOWN_MAX],
        shown_value[SETTING_SHOWN_MAX];
    char shown_near[SETTING_SHOWN_MAX];

    setting_shown(name, shown);
    if (value && is_section(set, name, near)) {
        setting_shown(value, shown_value);
        setting_shown(near, shown_near);
        return err_set(err, ERR_INPUT,
                       "%s: %s is '%s', expected settings below it, such as %s", where,
                       shown, shown_value, shown_near);
    }
    nearest_name(set, name, near);
    setting_shown(near, shown_near);
    return err_set(err, ERR_INPUT, "%s: unknown setting '%s'%s%s%s", where, shown,
                   *near ? "; did you mean '" : "", shown_near, *near ? "'?" : "");
}

/* A name without value: a section, or an element of a group to be made. */
static int mention(const struct settings *set, void *object, const char *name,
                   const char *where, struct err *err)
{
    char first[SETTING_NAME_MAX];

    for (size_t i = 0; i < set->groups; i++) {
        const struct settings_group *group = &set->group[i];
        size_t skip = strlen(group->prefix), length;
        int rc;

        if (strncmp(name, group->prefix, skip))
            continue;
        length = element_length(set, group, name + skip);
        if (name[skip + length] && !is_section(set, name, first))
            break;
        if (length > 0 && find_element(group, object, name + skip, length) >= 0)
            return 0;
        rc = check_element(group, object, name + skip, length, where, err);
        if (!rc)
            add_element(set, group, object, name + skip, length);
        return rc;
    }
    return is_section(set, name, first) ? 0 : unknown(set, name, NULL, where, err);
}

static int wrong_value(const struct setting *row, const char *name, const char *value,
                       const char *where, struct err *err)
{
    char expected[SETTING_SENTENCE_MAX], shown[SETTING_SHOWN_MAX];
    char shown_name[SETTING_SHOWN_MAX];

    setting_expected(row, expected);
    setting_shown(name, shown_name);
    if (!value)
        return err_set(err, ERR_INPUT, "%s: %s has no value, expected %s", where,
                       shown_name, expected);
    setting_shown(value, shown);
    return err_set(err, ERR_INPUT, "%s: %s is '%s', expected %s", where, shown_name,
                   shown, expected);
}

int settings_set(const struct settings *set, void *object, const char *name,
                 const char *value, const char *where, struct err *err)
{
    struct place place;
    void *base = object;
    bool made = false;

    if (strlen(name) >= SETTING_NAME_MAX)
        return err_set(err, ERR_INPUT, "%s: a name is longer than %d bytes", where,
                       SETTING_NAME_MAX - 1);
    if (!find_place(set, name, &place))
        return value ? unknown(set, name, value, where, err)
                     : mention(set, object, name, where, err);
    if (!value)
        return wrong_value(place.row, name, NULL, where, err);
    if (place.group) {
        int i = find_element(place.group, object, place.element, place.length);

        made = i < 0;
        if (made) {
            int rc = check_element(place.group, object, place.element, place.length,
                                   where, err);

            if (rc)
                return rc;
            i = group_size(place.group, object);
            add_element(set, place.group, object, place.element, place.length);
        }
        base = (char *)object + place.group->offset + (size_t)i * place.group->stride;
    }
    if (setting_parse(place.row, value, base))
        return 0;
    if (made)
        --*group_count(place.group, object);
    return wrong_value(place.row, name, value, where, err);
}

void settings_init(const struct settings *set, void *object)
{
    for (size_t i = 0; i < set->groups; i++) {
        const struct settings_group *group = &set->group[i];
        char *first = clear_element(set, group, object, 0);

        *group_count(group, object) = 0;
        for (int k = 1; k < group->max; k++)
            memcpy(first + (size_t)k * group->stride, first, group->stride);
    }
    for (size_t i = 0; i < set->rows; i++) {
        if (!group_of(set, &set->row[i]))
            set_preset(&set->row[i], object);
    }
}

/* --- lines ---------------------------------------------------------------------- */

/* The full name of a row for an element: '*' replaced by its name. */
static void full_name(const struct setting *row, const char *element, char *name)
{
    const char *star = strchr(row->name, '*');

    if (star)
        snprintf(name, SETTING_NAME_MAX, "%.*s%s%s", (int)(star - row->name), row->name,
                 element, star + 1);
    else
        snprintf(name, SETTING_NAME_MAX, "%s", row->name);
}

static void write_line(FILE *out, const struct setting *row, const void *base)
{
    char name[SETTING_NAME_MAX], value[SETTING_VALUE_MAX];

    if (setting_inherits(row, base))
        return;
    full_name(row, base, name);
    setting_format(row, base, value);
    for (const char *s = name; *s; s++) {
        if (*s == '=' || *s == '\\')
            putc('\\', out);
        putc(*s, out);
    }
    fprintf(out, "=%s\n", value);
}

static void write_group(FILE *out, const struct settings *set,
                        const struct settings_group *group, const void *object)
{
    for (int i = 0; i < group_size(group, object); i++) {
        for (size_t r = 0; r < set->rows; r++) {
            if (group_of(set, &set->row[r]) == group)
                write_line(out, &set->row[r], element_at(group, object, i));
        }
    }
}

char *settings_to_lines(const struct settings *set, const void *object)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    bool failed;

    if (!out)
        return NULL;
    for (size_t i = 0; i < set->rows; i++) {
        if (!group_of(set, &set->row[i]))
            write_line(out, &set->row[i], object);
    }
    for (size_t i = 0; i < set->groups; i++)
        write_group(out, set, &set->group[i], object);
    failed = ferror(out) != 0;
    if (fclose(out) || failed) {
        free(text);
        return NULL;
    }
    return text;
}

/* Splits "name=value" at the first '=' that has no '\' before it. */
static int read_line(const struct settings *set, void *object, const char *line,
                     size_t length, const char *where, struct err *err)
{
    char name[SETTING_NAME_MAX], value[SETTING_VALUE_MAX];
    size_t used = 0, i = 0;

    for (; i < length && line[i] != '='; i++) {
        if (line[i] == '\\' && i + 1 < length)
            i++;
        if (used + 1 == sizeof name)
            return err_set(err, ERR_INPUT, "%s: a name is longer than %zu bytes", where,
                           sizeof name - 1);
        name[used++] = line[i];
    }
    name[used] = '\0';
    if (i == length)
        return err_set(err, ERR_INPUT, "%s: expected 'name=value'", where);
    line += i + 1;
    length -= i + 1;
    if (length >= sizeof value)
        return err_set(err, ERR_INPUT, "%s: a value is longer than %zu bytes", where,
                       sizeof value - 1);
    memcpy(value, line, length);
    value[length] = '\0';
    return settings_set(set, object, name, value, where, err);
}

int settings_from_lines(const struct settings *set, void *object, const char *lines,
                        struct err *err)
{
    settings_init(set, object);
    for (int number = 1; *lines; number++) {
        size_t length = strcspn(lines, "\n");
        char where[48];
        int rc;

        snprintf(where, sizeof where, "settings line %d", number);
        rc = read_line(set, object, lines, length, where, err);
        if (rc)
            return rc;
        lines += length + (lines[length] == '\n');
    }
    return 0;
}

/* --- on resume ------------------------------------------------------------------ */

/* A value for a sentence; nothing at all would look like a mistake. */
static void format_shown(const struct setting *row, const void *base, char *shown)
{
    char value[SETTING_VALUE_MAX];

    setting_format(row, base, value);
    setting_shown(*value ? value : "''", shown);
}

static int compare_row(const struct setting *row, const void *now, const void *before,
                       struct err *err)
{
    char name[SETTING_NAME_MAX], a[SETTING_VALUE_MAX], b[SETTING_VALUE_MAX];

    if (row->may_change)
        return 0;
    setting_format(row, now, a);
    setting_format(row, before, b);
    if (!strcmp(a, b))
        return 0;
    full_name(row, now, name);
    format_shown(row, now, a);
    format_shown(row, before, b);
    return err_set(err, ERR_INPUT,
                   "%s is %s, the checkpoint was made with %s; this cannot change on "
                   "--resume",
                   name, a, b);
}

static int compare_rows(const struct settings *set, const struct settings_group *group,
                        const void *now, const void *before, struct err *err)
{
    for (size_t i = 0; i < set->rows; i++) {
        int rc = group_of(set, &set->row[i]) == group
                     ? compare_row(&set->row[i], now, before, err)
                     : 0;

        if (rc)
            return rc;
    }
    return 0;
}

/* Has `b` every element of `a`? The sentence says what the one it lacks is. */
static int compare_names(const struct settings_group *group, const void *a,
                         const void *b, const char *is, const char *with,
                         struct err *err)
{
    for (int i = 0; i < group_size(group, a); i++) {
        const char *name = element_at(group, a, i);

        if (find_element(group, b, name, strlen(name)) < 0)
            return err_set(err, ERR_INPUT,
                           "%s%s %s, the checkpoint was made %s it; this cannot change "
                           "on --resume",
                           group->prefix, name, is, with);
    }
    return 0;
}

static int compare_group(const struct settings *set, const struct settings_group *group,
                         const void *now, const void *before, struct err *err)
{
    int rc = compare_names(group, now, before, "is new", "without", err);

    if (!rc)
        rc = compare_names(group, before, now, "is missing", "with", err);
    for (int i = 0; !rc && i < group_size(group, now); i++) {
        const char *element = element_at(group, now, i);
        int j = find_element(group, before, element, strlen(element));

        if (group->ordered && i != j)
            return err_set(err, ERR_INPUT,
                           "%s%s is %s %d, the checkpoint was made with it as %s %d; "
                           "this cannot change on --resume",
                           group->prefix, element, group->word, i + 1, group->word,
                           j + 1);
        rc = compare_rows(set, group, element, element_at(group, before, j), err);
    }
    return rc;
}

int settings_continues(const struct settings *set, const void *now, const void *before,
                       struct err *err)
{
    int rc = compare_rows(set, NULL, now, before, err);

    for (size_t i = 0; !rc && i < set->groups; i++)
        rc = compare_group(set, &set->group[i], now, before, err);
#ifndef MUTANT_SETTINGS_CONTINUE
    if (rc)
        return rc;
#endif
    return 0;
}
