/* Sequences: words on a line, between blanks.
 *
 *   user item item item ...      columns `user` and `items`
 *   item item ... | next         columns `items` and `next`
 *
 * The first word is the user if a column `user` is wanted, else an item. What is behind
 * a bar is `next`. */
#include "worker/stream/text/reader_lines.h"

enum { NAME_USER, NAME_ITEMS, NAME_NEXT };

static const char *const names[] = {"user", "items", "next", NULL};

static bool wants(const struct reader *reader, int name)
{
    const struct linewise *lines = reader->state;

    for (uint32_t c = 0; c < reader->schema->columns; c++)
        if (lines->role[c].name == name)
            return true;
    return false;
}

static int read_sequence(struct reader *reader, struct span line, struct block *block,
                         struct err *err)
{
    uint32_t taken[SCHEMA_COLUMNS_MAX] = {0};
    struct role role = {wants(reader, NAME_USER) ? NAME_USER : NAME_ITEMS, 0};
    struct span word;
    int rc = 0;

    while (rc == 0 && linewise_word(&line, &word)) {
        if (word.length == 1 && word.text[0] == '|') {
            if (role.name == NAME_NEXT)
                return err_set(err, ERR_INPUT, ": more than one bar '|'");
            role.name = NAME_NEXT;
            continue;
        }
        rc = linewise_add(reader, block, role, word, 1, taken, err);
        if (role.name == NAME_USER)
            role.name = NAME_ITEMS;
    }
    return rc ? rc : linewise_end(reader, block, taken, err);
}

static int create(struct reader *reader, const struct job *job, struct err *err)
{
    (void)job;
    return linewise_create(reader, "sequence", names, read_sequence, err);
}

const struct reader_format reader_sequence = {create, linewise_destroy, NULL,
                                              linewise_parse, false};
