/* Preparations whose result is not one number or key: words, vectors, made columns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/key.h"
#include "common/rng.h"
#include "tests/unit/prepare_kit.h"

static const int64_t hour = 3600 * (int64_t)1000000, day = 24 * 3600 * (int64_t)1000000;

static double weight_of(const struct block *out, uint32_t c, uint32_t i,
                        const char *word)
{
    const struct values *values = &out->column[c];

    for (uint32_t k = values->offset[i]; k < values->offset[i + 1]; k++)
        if (values->key[k] == key_of_text(word, strlen(word)))
            return (double)values->number[k];
    return 0;
}

static void test_texts_become_bags_of_words(void **state)
{
    const char *const text[] = {"Red red wine", "", "white Wine!"};
    struct kit *kit = kit_create();
    uint32_t c = kit_column(kit, "title", VALUE_TEXT);
    struct prepare *prepare;
    struct block out;

    (void)state;
    kit_set(kit, "title", "words", "bag");
    kit_block(kit, 3);
    kit_texts(kit, c, text);
    prepare = kit_fitted(kit, &out);
    assert_int_equal(prepare_schema(prepare)->column[c].kind, VALUE_KEYS);
    assert_int_equal(out.column[c].offset[3], 4);
    assert_int_equal(out.column[c].offset[2], 2);
    assert_true(weight_of(&out, c, 0, "red") == 2 &&
                weight_of(&out, c, 2, "wine") == 1);
    block_release(&out);
    prepare_destroy(prepare);
    kit_destroy(kit);
}

/* tf (ln((1 + n) / (1 + df)) + 1), then each text's weights to length 1. */
static void test_texts_become_tfidf_weights(void **state)
{
    const char *const text[] = {"red red wine", "wine", "white wine"};
    double red = 2 * (log(4.0 / 2) + 1), wine = log(4.0 / 4) + 1;
    double length = sqrt(red * red + wine * wine), white = log(4.0 / 2) + 1;
    struct kit *kit = kit_create();
    uint32_t c = kit_column(kit, "title", VALUE_TEXT);
    struct prepare *prepare;
    struct block out;

    (void)state;
    kit_set(kit, "title", "words", "tfidf");
    kit_block(kit, 3);
    kit_texts(kit, c, text);
    prepare = kit_fitted(kit, &out);
    assert_true(fabs(weight_of(&out, c, 0, "red") - red / length) < 1e-6);
    assert_true(fabs(weight_of(&out, c, 0, "wine") - wine / length) < 1e-6);
    assert_true(fabs(weight_of(&out, c, 1, "wine") - 1) < 1e-6);
    assert_true(fabs(weight_of(&out, c, 2, "white") -
                     white / sqrt(white * white + wine * wine)) < 1e-6);
    /* A word that training never saw is rarer than any. */
    kit_texts(kit, c, (const char *const[]){"rose wine", "", ""});
    assert_int_equal(prepare_apply(prepare, &kit->block, &out, &kit->at, &kit->err), 0);
    assert_true(fabs(weight_of(&out, c, 0, "rose") / weight_of(&out, c, 0, "wine") -
                     (log(4.0) + 1)) < 1e-6);
    block_release(&out);
    prepare_destroy(prepare);
    kit_destroy(kit);
}

static void test_vectors_get_length_one(void **state)
{
    const float vector[] = {3, 4, 0, 0, NAN, 1};
    const float expected[] = {0.6F, 0.8F, 0, 0, 0, 0};
    struct kit *kit = kit_create();
    uint32_t c = kit_column(kit, "image", VALUE_VECTOR);
    struct prepare *prepare;
    struct block out;

    (void)state;
    kit->raw.column[c].dim = 2;
    kit_set(kit, "image", "scale", "unit");
    kit_set(kit, "image", "missing", "category");
    kit_block(kit, 3);
    memcpy(kit->block.column[c].number, vector, sizeof vector);
    prepare = kit_fitted(kit, &out);
    assert_memory_equal(out.column[c].number, expected, sizeof expected);
    assert_false(prepare_fits(prepare));
    block_release(&out);
    prepare_destroy(prepare);
    kit_destroy(kit);
}

/* 1970-01-01 was a Thursday, 2000-02-29 12:30 UTC a Tuesday; the day before 1970 too.
 */
static void test_times_become_hours_weekdays_and_recencies(void **state)
{
    const int64_t time[] = {0, 951827400 * (int64_t)1000000, -1, TIME_MISSING};
    const uint64_t hours[] = {0, 12, 23, 24}, days[] = {3, 1, 2, 7};
    struct kit *kit = kit_create();
    uint32_t t = kit_column(kit, "at", VALUE_TIME);
    struct prepare *prepare;
    struct block out;

    (void)state;
    kit_set(kit, "h", "make", "hour");
    kit_set(kit, "h", "of", "at");
    kit_set(kit, "h", "missing", "category");
    kit_set(kit, "w", "make", "weekday");
    kit_set(kit, "w", "of", "at");
    kit_set(kit, "w", "missing", "category");
    kit_set(kit, "age", "make", "recency");
    kit_set(kit, "age", "of", "at");
    kit_set(kit, "age", "missing", "constant");
    kit_set(kit, "age", "missing_value", "-1");
    kit_block(kit, 4);
    memcpy(kit->block.column[t].time, time, sizeof time);
    prepare = kit_fitted(kit, &out);
    assert_int_equal(prepare_schema(prepare)->columns, 4);
    assert_memory_equal(out.column[1].key, hours, sizeof hours);
    assert_memory_equal(out.column[2].key, days, sizeof days);
    assert_true(fabs((double)out.column[3].number[0] - 951827400 / 86400.0) < 1e-2);
    assert_true(out.column[3].number[1] == 0 && out.column[3].number[3] == -1);
    block_release(&out);
    prepare_destroy(prepare);
    kit_destroy(kit);
}

/* The newest time is known at the end of the pass only. */
static void test_recencies_are_scaled_in_the_same_pass(void **state)
{
    const int64_t time[] = {10 * day, 30 * day, 20 * day, 40 * day}; /* 30 10 20 0 */
    const double expected[] = {1, 1.0 / 3, 2.0 / 3, 0};
    struct kit *kit = kit_create();
    uint32_t t = kit_column(kit, "at", VALUE_TIME);
    struct prepare *prepare;
    struct block out;

    (void)state;
    kit_set(kit, "age", "make", "recency");
    kit_set(kit, "age", "of", "at");
    kit_set(kit, "age", "scale", "minmax");
    kit_block(kit, 4);
    memcpy(kit->block.column[t].time, time, sizeof time);
    prepare = kit_fitted(kit, &out);
    for (int i = 0; i < 4; i++)
        assert_true(fabs((double)out.column[1].number[i] - expected[i]) < 1e-6);
    block_release(&out);
    prepare_destroy(prepare);
    kit_destroy(kit);
}

static uint64_t crossed(uint64_t a, uint64_t b)
{
    return mix64(mix64(0x9e3779b97f4a7c15u + a) + 0x9e3779b97f4a7c15u + b);
}

static void test_columns_are_crossed_as_they_are_prepared(void **state)
{
    const uint64_t user[] = {1, 2, 1}, genre[] = {7, 7, 8};
    const float age[] = {10, 20, 30}; /* two buckets, edge 20 */
    struct kit *kit = kit_create();
    uint32_t u = kit_column(kit, "user", VALUE_KEY);
    uint32_t g = kit_column(kit, "genre", VALUE_KEY);
    uint32_t a = kit_column(kit, "age", VALUE_NUMBER);
    struct prepare *prepare;
    struct block out;

    (void)state;
    kit_set(kit, "age", "buckets", "2");
    kit_set(kit, "ug", "make", "cross");
    kit_set(kit, "ug", "of", "user,genre");
    kit_set(kit, "ag", "make", "cross");
    kit_set(kit, "ag", "of", "age,genre");
    kit_set(kit, "ag", "hash", "1000");
    kit_block(kit, 3);
    kit_keys(kit, u, user);
    kit_keys(kit, g, genre);
    kit_numbers(kit, a, age);
    prepare = kit_fitted(kit, &out);
    for (int i = 0; i < 3; i++) {
        assert_true(out.column[3].key[i] == crossed(user[i], genre[i]));
        assert_true(out.column[4].key[i] == mix64(crossed(i > 0, genre[i])) % 1000);
    }
    block_release(&out);
    prepare_destroy(prepare);
    kit_set(kit, "ag", "hash", "0");
    kit_set(kit, "ag", "vocabulary", "keep");
    assert_int_equal(prepare_create(&kit->job, &kit->raw, &prepare, &kit->err),
                     -ERR_INPUT);
    assert_non_null(strstr(kit->err.text, "one pass cannot"));
    kit_set(kit, "ag", "of", "genre,later");
    assert_int_equal(prepare_create(&kit->job, &kit->raw, &prepare, &kit->err),
                     -ERR_INPUT);
    assert_non_null(strstr(kit->err.text, "'later', which is no column"));
    kit_destroy(kit);
}

/* What the user did before, never this example or later ones, in the order of time. */
static void test_histories_are_what_was_before(void **state)
{
    const uint64_t user[] = {1, 2, 1, 1, 1, 1}, item[] = {10, 20, 11, 12, 13, 14};
    const int64_t time[] = {5 * hour, hour, 2 * hour, 9 * hour, 9 * hour, TIME_MISSING};
    const uint64_t expected[] = {11, 11, 10, 11, 10};
    const uint32_t offset[] = {0, 1, 1, 1, 3, 5, 5};
    struct kit *kit = kit_create();
    uint32_t u = kit_column(kit, "user", VALUE_KEY);
    uint32_t v = kit_column(kit, "item", VALUE_KEY);
    uint32_t t = kit_column(kit, "at", VALUE_TIME);
    struct prepare *prepare;
    struct block out;

    (void)state;
    kit_set(kit, "seen", "make", "history");
    kit_set(kit, "seen", "of", "item");
    kit_set(kit, "seen", "length", "2");
    assert_int_equal(prepare_create(&kit->job, &kit->raw, &prepare, &kit->err),
                     -ERR_INPUT); /* whose, and when? */
    kit->raw.user = (int)u;
    kit->raw.time = (int)t;
    kit_set(kit, "seen", "hash", "7"); /* its items' keys are what they are */
    assert_int_equal(prepare_create(&kit->job, &kit->raw, &prepare, &kit->err),
                     -ERR_INPUT);
    assert_non_null(strstr(kit->err.text, "vocabulary or hash"));
    kit_set(kit, "seen", "hash", "0");
    kit_set(kit, "seen", "table", "film");
    job_set(&kit->job, "tables.film.rows", "20", "test", &kit->err);
    assert_int_equal(prepare_create(&kit->job, &kit->raw, &prepare, &kit->err),
                     -ERR_INPUT); /* who says that the items' keys are its rows? */
    assert_non_null(strstr(kit->err.text, "data.columns.item.table"));
    kit_set(kit, "seen", "table", "");
    kit_block(kit, 6);
    kit_keys(kit, u, user);
    kit_keys(kit, v, item);
    memcpy(kit->block.column[t].time, time, sizeof time);
    prepare = kit_fitted(kit, &out);
    assert_memory_equal(out.column[3].offset, offset, sizeof offset);
    assert_memory_equal(out.column[3].key, expected, sizeof expected);
    /* A new example, long after: the last two. */
    kit_block(kit, 1);
    kit_keys(kit, u, user);
    kit_keys(kit, v, item);
    kit->block.column[t].time[0] = 100 * day;
    assert_int_equal(prepare_apply(prepare, &kit->block, &out, &kit->at, &kit->err), 0);
    assert_int_equal(out.column[3].offset[1], 2);
    assert_true(out.column[3].key[0] == 12 && out.column[3].key[1] == 13);
    block_release(&out);
    prepare_destroy(prepare);
    kit_destroy(kit);
}

/* Examples of nobody have no history and are in none. */
static void test_a_missing_user_has_no_history(void **state)
{
    const uint64_t user[] = {0, 0, 0, 0}, item[] = {10, 11, 12, 13};
    const int64_t time[] = {1, 2, 3, 4};
    const uint32_t offset[] = {0, 0, 0, 0, 1};
    struct kit *kit = kit_create();
    uint32_t u = kit_column(kit, "user", VALUE_KEY);
    uint32_t v = kit_column(kit, "item", VALUE_KEY);
    uint32_t t = kit_column(kit, "at", VALUE_TIME);
    struct prepare *prepare;
    struct block out;

    (void)state;
    kit_set(kit, "seen", "make", "history");
    kit_set(kit, "seen", "of", "item");
    kit_set(kit, "seen", "length", "2");
    kit->raw.user = (int)u;
    kit->raw.time = (int)t;
    kit_block(kit, 4);
    kit_keys(kit, u, user);
    kit_keys(kit, v, item);
    memcpy(kit->block.column[t].time, time, sizeof time);
    memcpy(kit->block.column[u].missing, (const uint8_t[]){1, 0, 1, 0}, 4);
    prepare = kit_fitted(kit, &out);
    assert_memory_equal(out.column[3].offset, offset, sizeof offset);
    assert_int_equal(out.column[3].key[0], 11);
    block_release(&out);
    prepare_destroy(prepare);
    kit_destroy(kit);
}

/* What a side table lacks, though missing is fail: `kind` of a column that stays as it
 * is. */
static void check_side(enum value_kind kind)
{
    const float vector[] = {3, 4, 0, NAN};
    const int64_t time[] = {5, TIME_MISSING};
    struct kit *kit = kit_create();
    uint32_t c = kit_column(kit, "x", kind);
    struct prepare *prepare;
    struct block out;

    kit->raw.column[c].dim = 2;
    kit_set(kit, "x", "as", kind == VALUE_TIME ? "time" : "vector");
    kit_set(kit, "x", "from", "side");
    kit_block(kit, 2);
    if (kind == VALUE_TIME)
        memcpy(kit->block.column[c].time, time, sizeof time);
    else
        memcpy(kit->block.column[c].number, vector, sizeof vector);
    prepare = kit_prepare(kit);
    assert_false(prepare_changes(prepare)); /* checkpoints need nothing of it */
    assert_true(prepare_checks(prepare));
    assert_int_equal(prepare_finish(prepare, &kit->err), 0);
    assert_int_equal(block_create(&out, prepare_schema(prepare), 2, &kit->err), 0);
    assert_int_equal(prepare_apply(prepare, &kit->block, &out, &kit->at, &kit->err),
                     -ERR_INPUT);
    assert_non_null(strstr(kit->err.text, "data.columns.x.missing"));
    assert_int_equal(kit->at, 1);
    kit->block.n = 1; /* the first has it */
    assert_int_equal(prepare_apply(prepare, &kit->block, &out, &kit->at, &kit->err), 0);
    block_release(&out);
    prepare_destroy(prepare);
    kit_set(kit, "x", "missing", "category"); /* stays missing */
    kit->block.n = 2;
    prepare = kit_fitted(kit, &out);
    assert_false(prepare_checks(prepare));
    block_release(&out);
    prepare_destroy(prepare);
    kit_destroy(kit);
}

static void test_side_tables_may_not_lack_what_must_be_there(void **state)
{
    (void)state;
    check_side(VALUE_VECTOR);
    check_side(VALUE_TIME);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts_become_bags_of_words),
        cmocka_unit_test(test_texts_become_tfidf_weights),
        cmocka_unit_test(test_vectors_get_length_one),
        cmocka_unit_test(test_times_become_hours_weekdays_and_recencies),
        cmocka_unit_test(test_recencies_are_scaled_in_the_same_pass),
        cmocka_unit_test(test_columns_are_crossed_as_they_are_prepared),
        cmocka_unit_test(test_histories_are_what_was_before),
        cmocka_unit_test(test_a_missing_user_has_no_history),
        cmocka_unit_test(test_side_tables_may_not_lack_what_must_be_there),
    };

    return cmocka_run_group_tests_name("prepare_made", tests, NULL, NULL);
}
