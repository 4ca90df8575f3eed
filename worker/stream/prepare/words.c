#include "worker/stream/prepare/words.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "common/key.h"

static const utf8proc_option_t word_form = UTF8PROC_STABLE | UTF8PROC_COMPAT |
                                           UTF8PROC_COMPOSE | UTF8PROC_CASEFOLD |
                                           UTF8PROC_IGNORE;

void words_release(struct words *words)
{
    free(words->key);
    free(words->count);
    free(words->copy);
    free(words->form);
    *words = (struct words){0};
}

static int no_memory(size_t bytes, struct err *err)
{
    return err_set(err, ERR_MEMORY, "no memory for the words of a text of %zu bytes",
                   bytes);
}

/* Copies the text with blanks for bytes that are no UTF-8. */
static int copy_valid(struct words *words, const char *text, uint32_t length,
                      struct err *err)
{
    const utf8proc_uint8_t *from = (const utf8proc_uint8_t *)text;
    utf8proc_int32_t code;

    if (words->copy_room < length) {
        char *larger = realloc(words->copy, 2 * (size_t)length);

        if (!larger)
            return no_memory(length, err);
        words->copy = larger;
        words->copy_room = 2 * (size_t)length;
    }
    memcpy(words->copy, text, length);
    for (uint32_t i = 0; i < length;) {
        utf8proc_ssize_t n = utf8proc_iterate(from + i, (utf8proc_ssize_t)(length - i),
                                              &code);

        if (n <= 0)
            words->copy[i] = ' ';
        i += n > 0 ? (uint32_t)n : 1;
    }
    return 0;
}

/* The text in its one form, as code points in words->form. */
static int normalise(struct words *words, uint32_t length, utf8proc_ssize_t *codes,
                     struct err *err)
{
    const utf8proc_uint8_t *from = (const utf8proc_uint8_t *)words->copy;

    for (;;) {
        utf8proc_ssize_t n = utf8proc_decompose(
            from, length, words->form, (utf8proc_ssize_t)words->form_room, word_form);
        size_t room = 2 * (size_t)(n > 0 ? n : 0) + 64;
        int32_t *larger;

        if (n < 0)
            return err_set(err, ERR_INPUT, "a text cannot be put into words: %s",
                           utf8proc_errmsg(n));
        if ((size_t)n <= words->form_room) {
            *codes = utf8proc_normalize_utf32(words->form, n, word_form);
            return 0;
        }
        larger = realloc(words->form, room * sizeof *larger);
        if (!larger)
            return no_memory(length, err);
        words->form = larger;
        words->form_room = room;
    }
}

static bool in_word(int32_t code)
{
    utf8proc_category_t category = utf8proc_category(code);

    return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_NO;
}

static int add_word(struct words *words, const char *text, size_t length,
                    struct err *err)
{
    if (words->n == words->room) {
        uint32_t room = words->room ? 2 * words->room : 256;
        uint64_t *key = realloc(words->key, room * sizeof *key);
        float *count;

        if (key)
            words->key = key;
        count = realloc(words->count, room * sizeof *count);
        if (count)
            words->count = count;
        if (!key || !count)
            return no_memory(length, err);
        words->room = room;
    }
    words->key[words->n++] = key_of_text(text, length);
    return 0;
}

/* Cuts words->form into words. They are written as UTF-8 over words->copy, which is
 * made long enough: a code point has at most 4 bytes. */
static int cut(struct words *words, utf8proc_ssize_t codes, uint32_t max,
               struct err *err)
{
    size_t used = 0;
    int rc = 0;

    if (words->copy_room < 4 * (size_t)codes) {
        char *larger = realloc(words->copy, 4 * (size_t)codes);

        if (!larger)
            return no_memory((size_t)codes, err);
        words->copy = larger;
        words->copy_room = 4 * (size_t)codes;
    }
    for (utf8proc_ssize_t i = 0; rc == 0 && words->n < max && i <= codes; i++) {
        if (i < codes && in_word(words->form[i])) {
            used += (size_t)utf8proc_encode_char(
                words->form[i], (utf8proc_uint8_t *)words->copy + used);
            continue;
        }
        if (used)
            rc = add_word(words, words->copy, used, err);
        used = 0;
    }
    return rc;
}

static int by_key(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* Each word once, with its count. */
static void count_words(struct words *words)
{
    uint32_t different = 0;

    if (words->n)
        qsort(words->key, words->n, sizeof *words->key, by_key);
    for (uint32_t i = 0; i < words->n; i++) {
        if (different && words->key[different - 1] == words->key[i]) {
            words->count[different - 1]++;
            continue;
        }
        words->key[different] = words->key[i];
        words->count[different++] = 1;
    }
    words->n = different;
}

int words_find(struct words *words, const char *text, uint32_t length, uint32_t max,
               struct err *err)
{
    utf8proc_ssize_t codes = 0;
    int rc;

    words->n = 0;
    if (length == 0)
        return 0;
    rc = copy_valid(words, text, length, err);
    if (rc == 0)
        rc = normalise(words, length, &codes, err);
    if (rc == 0)
        rc = cut(words, codes, max, err);
    if (rc == 0)
        count_words(words);
    return rc;
}
