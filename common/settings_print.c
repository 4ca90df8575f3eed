/* The settings' table as a page: docs/settings.md and --help. */
#include <string.h>

#include "common/settings.h"
#include "common/settings_value.h"

enum { WIDTH = 100, INDENT = 28 };

static const char *type_name(const struct setting *row)
{
    switch (row->type) {
    case SETTING_INTEGER:
        return "whole number";
    case SETTING_REAL:
        return "number";
    case SETTING_BOOLEAN:
        return "true or false";
    case SETTING_TEXT:
        return row->choices ? "choice" : "text";
    case SETTING_CHOICE:
        return "choice";
    case SETTING_LIST:
        return "list";
    case SETTING_BYTES:
        return "size";
    case SETTING_SECONDS:
        return "time";
    case SETTING_EVERY:
        return "epochs or time";
    case SETTING_CIDR:
        return "IPv4 network";
    case SETTING_PATH:
        return "path";
    }
    return "";
}

/* "tables.NAME.dim" for "tables.*.dim" */
static void shown_name(const struct setting *row, char *name)
{
    const char *star = strchr(row->name, '*');

    if (star)
        snprintf(name, SETTING_NAME_MAX, "%.*sNAME%s", (int)(star - row->name),
                 row->name, star + 1);
    else
        snprintf(name, SETTING_NAME_MAX, "%s", row->name);
}

static bool in_section(const struct setting *row,
                       const struct settings_section *section)
{
    size_t length = strlen(section->name);

    if (length == 0)
        return !strchr(row->name, '.');
    return !strncmp(row->name, section->name, length) && row->name[length] == '.';
}

/* A '|' would end the cell. */
static void put_cell(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '|')
            putc('\\', out);
        putc(*text, out);
    }
}

static void print_row_markdown(FILE *out, const struct setting *row)
{
    char name[SETTING_NAME_MAX], range[SETTING_SENTENCE_MAX];

    shown_name(row, name);
    setting_range(row, range);
    fprintf(out, "| `%s` | %s | ", name, type_name(row));
    if (row->preset && *row->preset)
        fprintf(out, "`%s`", row->preset);
    fputs(" | ", out);
    put_cell(out, range);
    fprintf(out, " | %s | %s | ", row->unit ? row->unit : "",
            row->may_change ? "yes" : "");
    put_cell(out, row->doc);
    fputs(" |\n", out);
}

/* Settings that inherit from one section are alike: one line for them all. */
static bool begins_like(const struct setting *row, const struct settings *set)
{
    return row->like && (row == set->row || !row[-1].like);
}

/* "tables.NAME.optimizer.*" and "optimizer.*" */
static void shown_run(const struct setting *row, char *name, char *like)
{
    char one[SETTING_NAME_MAX];

    shown_name(row, one);
    snprintf(name, SETTING_NAME_MAX, "%.*s.*", (int)(strrchr(one, '.') - one), one);
    snprintf(like, SETTING_NAME_MAX, "%.*s.*", (int)strcspn(row->like, "."), row->like);
}

static void print_run_markdown(FILE *out, const struct setting *row)
{
    char name[SETTING_NAME_MAX], like[SETTING_NAME_MAX];

    shown_run(row, name, like);
    fprintf(out,
            "| `%s` | as `%s` | `inherit` |  |  |  | The settings `%s` for this one "
            "alone; those that are not given, or `inherit`, are as there. |\n",
            name, like, like);
}

/* Writes words from column *at on, breaking lines before WIDTH. */
static void put_words(FILE *out, const char *text, int *at)
{
    while (*text) {
        int length = (int)strcspn(text, " ");

        if (*at + 1 + length > WIDTH) {
            fprintf(out, "\n%*s", INDENT, "");
            *at = INDENT;
        } else if (*at > INDENT) {
            putc(' ', out);
            ++*at;
        }
        fprintf(out, "%.*s", length, text);
        *at += length;
        text += length;
        text += strspn(text, " ");
    }
}

static void print_row_plain(FILE *out, const struct setting *row)
{
    char name[SETTING_NAME_MAX], range[SETTING_SENTENCE_MAX], facts[1024];
    bool has_range;
    int at = INDENT;

    shown_name(row, name);
    setting_range(row, range);
    has_range = range[0] != '\0';
    snprintf(facts, sizeof facts, "%s%s%s%s%s; default %s%s", type_name(row),
             has_range ? ": " : "", range,
             !row->unit                  ? ""
             : row->type == SETTING_LIST ? " of "
                                         : ", in ",
             row->unit ? row->unit : "",
             row->preset && *row->preset ? row->preset : "empty",
             row->may_change ? "; may change on --resume" : "");
    fprintf(out, "  %-*s", INDENT - 2, name);
    put_words(out, facts, &at);
    fprintf(out, "\n%*s", INDENT, "");
    at = INDENT;
    put_words(out, row->doc, &at);
    putc('\n', out);
}

static void print_run_plain(FILE *out, const struct setting *row)
{
    char name[SETTING_NAME_MAX], like[SETTING_NAME_MAX], text[SETTING_NAME_MAX + 128];
    int at = INDENT;

    shown_run(row, name, like);
    snprintf(text, sizeof text,
             "the settings %s for this one alone; those that are not given, or "
             "'inherit', are as there",
             like);
    fprintf(out, "  %-*s", INDENT - 2, name);
    put_words(out, text, &at);
    putc('\n', out);
}

static void print_row(FILE *out, const struct settings *set, const struct setting *row,
                      bool markdown)
{
    if (begins_like(row, set))
        (markdown ? print_run_markdown : print_run_plain)(out, row);
    if (!row->like)
        (markdown ? print_row_markdown : print_row_plain)(out, row);
}

static void print_section(const struct settings *set,
                          const struct settings_section *section, FILE *out,
                          bool markdown)
{
    if (markdown) {
        fprintf(out, "\n## %s\n\n%s\n\n", *section->name ? section->name : "The job",
                section->doc);
        fputs("| setting | type | default | range | unit | may change on `--resume` | "
              "what it does |\n|---|---|---|---|---|---|---|\n",
              out);
    } else {
        fprintf(out, "%s%s\n", section == set->section ? "" : "\n",
                *section->name ? section->name : "The job");
    }
    for (size_t i = 0; i < set->rows; i++) {
        if (in_section(&set->row[i], section))
            print_row(out, set, &set->row[i], markdown);
    }
}

static const char page_top[] =
    "<!-- Generated by `make docs` from the table in common/job.c; do not edit. -->\n"
    "\n# Settings\n\n"
    "Every setting of a job file, and of `KEY=VALUE` on the command line. `NAME` "
    "stands\n"
    "for the name of a table or column. A list is `[a, b]` in a job file and `a,b` on\n"
    "the command line; a size is a number of bytes or has a unit (`512 MiB`, `4 "
    "GiB`);\n"
    "a time has a unit (`500 ms`, `30 s`, `5 min`, `1 h`), without one it is in\n"
    "seconds.\n";

void settings_print(const struct settings *set, FILE *out, bool markdown)
{
    if (markdown)
        fputs(page_top, out);
    for (size_t i = 0; i < set->sections; i++)
        print_section(set, &set->section[i], out, markdown);
}
