/* libsvm, libfm and libffm: a label, then the features that are not 0.
 *
 *   libsvm, libfm:  label key:value key:value ...     # words for people
 *   libffm:         label field:key:value ...
 *
 * Columns: `label`; `features`, all keys with their values as weights; `field0`,
 * `field1`, ..., in libffm the keys of that field, else the key at that place of the
 * line. In libffm one key may be of several fields: there the key in `features` is that
 * of the text "field:key". `qid:...` behind the label is passed over. */
#include <string.h>

#include "common/number.h"
#include "common/wording.h"
#include "worker/stream/text/reader_lines.h"

enum { NAME_LABEL, NAME_FEATURES, NAME_FIELD };

static const char *const names[] = {"label", "features", "field#", NULL};

/* Takes what is behind the last colon of *word as a number; false: it is none. */
static bool take_value(struct span *word, float *value)
{
    const char *colon = memrchr(word->text, ':', word->length);
    char copy[64];
    size_t length;

    if (!colon)
        return false;
    length = (size_t)(word->text + word->length - colon - 1);
    if (length == 0 || length >= sizeof copy)
        return false;
    memcpy(copy, colon + 1, length);
    copy[length] = '\0';
    word->length = (size_t)(colon - word->text);
    return word->length > 0 && number_parse(copy, length, value) == NUMBER_GOOD;
}

static int wrong_feature(struct span word, const char *form, struct err *err)
{
    char shown[WORDING_SHOWN_MAX];

    return err_set(err, ERR_INPUT, ": '%s' is no feature, expected %s",
                   reader_shown(word, shown), form);
}

/* A field's number, at most 9 digits, and a colon in front of the key. */
static bool take_field(struct span *key, uint32_t *field)
{
    size_t at = 0;

    for (*field = 0; at < key->length && at < 10; at++) {
        uint32_t digit = (unsigned char)key->text[at] - (uint32_t)'0';

        if (digit > 9)
            break;
        *field = *field * 10 + digit;
    }
    if (at == 0 || at == 10 || at + 1 >= key->length || key->text[at] != ':')
        return false;
    *key = (struct span){key->text + at + 1, key->length - at - 1};
    return true;
}

/* What ranking data have behind the label. */
static void skip_query(struct span *rest)
{
    struct span behind = *rest, word;

    if (linewise_word(&behind, &word) && word.length > 4 &&
        memcmp(word.text, "qid:", 4) == 0)
        *rest = behind;
}

static int read_features(struct reader *reader, struct span rest, bool fields,
                         struct block *block, uint32_t *taken, struct err *err)
{
    struct role role = {.name = NAME_FIELD};
    struct span word;
    int rc = 0;

    skip_query(&rest);
    for (uint32_t n = 0; rc == 0 && linewise_word(&rest, &word); n++) {
        struct span whole = word, key;
        float value;

        if (word.text[0] == '#')
            break;
        if (!take_value(&word, &value))
            return wrong_feature(whole, fields ? "field:key:value" : "key:value", err);
        key = word;
        role.number = n;
        if (fields && !take_field(&key, &role.number))
            return wrong_feature(whole, "field:key:value", err);
        rc = linewise_add(reader, block, role, key, value, taken, err);
        if (rc == 0)
            rc = linewise_add(reader, block, (struct role){.name = NAME_FEATURES}, word,
                              value, taken, err);
    }
    return rc;
}

static int read_example(struct reader *reader, struct span line, bool fields,
                        struct block *block, struct err *err)
{
    uint32_t taken[SCHEMA_COLUMNS_MAX] = {0};
    struct span label;
    int rc;

    linewise_word(&line, &label);
    if (label.text[0] == '#')
        return 1;
    rc = linewise_add(reader, block, (struct role){NAME_LABEL, 0}, label, 1, taken,
                      err);
    if (rc == 0)
        rc = read_features(reader, line, fields, block, taken, err);
    return rc ? rc : linewise_end(reader, block, taken, err);
}

static int read_svm(struct reader *reader, struct span line, struct block *block,
                    struct err *err)
{
    return read_example(reader, line, false, block, err);
}

static int read_ffm(struct reader *reader, struct span line, struct block *block,
                    struct err *err)
{
    return read_example(reader, line, true, block, err);
}

static int create(struct reader *reader, const struct job *job, struct err *err)
{
    bool ffm = job->data.format == DATA_LIBFFM;

    return linewise_create(reader,
                           ffm                              ? "libffm"
                           : job->data.format == DATA_LIBFM ? "libfm"
                                                            : "libsvm",
                           names, ffm ? read_ffm : read_svm, err);
}

const struct reader_format reader_svm = {create, linewise_destroy, NULL, linewise_parse,
                                         false};
