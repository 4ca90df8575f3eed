/* The files of neural collaborative filtering's experiments.
 *
 *   user <tab> item <tab> rating <tab> time       columns user, item, rating, time
 *   (user,item) <tab> item <tab> item ...         columns user, item, negatives
 */
#include <string.h>

#include "common/wording.h"
#include "worker/stream/text/reader_lines.h"

enum { NAME_USER, NAME_ITEM, NAME_RATING, NAME_TIME, NAME_NEGATIVES };

static const char *const names[] = {"user", "item",      "rating",
                                    "time", "negatives", NULL};

static int wrong(struct span word, const char *expected, struct err *err)
{
    char shown[WORDING_SHOWN_MAX];

    return err_set(err, ERR_INPUT, ": '%s', expected %s", reader_shown(word, shown),
                   expected);
}

/* (user,item) */
static int read_pair(struct reader *reader, struct span word, struct block *block,
                     uint32_t *taken, struct err *err)
{
    const char *comma = memchr(word.text, ',', word.length);
    struct span user, item;
    int rc;

    if (!comma || word.text[word.length - 1] != ')')
        return wrong(word, "(user,item)", err);
    user = (struct span){word.text + 1, (size_t)(comma - word.text) - 1};
    item = (struct span){comma + 1, word.length - user.length - 3};
    if (user.length == 0 || item.length == 0)
        return wrong(word, "(user,item)", err);
    rc = linewise_add(reader, block, (struct role){NAME_USER, 0}, user, 1, taken, err);
    if (rc == 0)
        rc = linewise_add(reader, block, (struct role){NAME_ITEM, 0}, item, 1, taken,
                          err);
    return rc;
}

static int read_negatives(struct reader *reader, struct span line, struct block *block,
                          struct err *err)
{
    uint32_t taken[SCHEMA_COLUMNS_MAX] = {0};
    struct span word;
    int rc;

    linewise_word(&line, &word);
    rc = read_pair(reader, word, block, taken, err);
    while (rc == 0 && linewise_word(&line, &word))
        rc = linewise_add(reader, block, (struct role){NAME_NEGATIVES, 0}, word, 1,
                          taken, err);
    return rc ? rc : linewise_end(reader, block, taken, err);
}

static int read_rating(struct reader *reader, struct span line, struct block *block,
                       struct err *err)
{
    uint32_t taken[SCHEMA_COLUMNS_MAX] = {0};
    struct span word;
    int rc = 0;

    for (int name = NAME_USER; rc == 0 && name <= NAME_TIME; name++) {
        if (!linewise_word(&line, &word))
            return err_set(err, ERR_INPUT, ": %d fields, expected 4", name);
        rc = linewise_add(reader, block, (struct role){name, 0}, word, 1, taken, err);
    }
    if (rc == 0 && linewise_word(&line, &word))
        return err_set(err, ERR_INPUT, ": more than 4 fields, expected 4");
    return rc ? rc : linewise_end(reader, block, taken, err);
}

static int read_either(struct reader *reader, struct span line, struct block *block,
                       struct err *err)
{
    return line.text[0] == '(' ? read_negatives(reader, line, block, err)
                               : read_rating(reader, line, block, err);
}

static int create(struct reader *reader, const struct job *job, struct err *err)
{
    (void)job;
    return linewise_create(reader, "ncf", names, read_either, err);
}

const struct reader_format reader_ncf = {create, linewise_destroy, NULL, linewise_parse,
                                         false};
