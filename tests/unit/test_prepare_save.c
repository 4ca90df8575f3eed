/* What is fitted on, how it is merged, and what becomes of it as bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/golden/prepare_sample.h"

struct saved {
    unsigned char *bytes;
    size_t size;
};

/* Ends the pass of a preparation and takes its bytes. */
static struct saved finished(struct kit *kit, struct prepare *prepare)
{
    struct saved saved;

    if (prepare_finish(prepare, &kit->err) ||
        prepare_save(prepare, &saved.bytes, &saved.size, &kit->err))
        fail_msg("%s", kit->err.text);
    prepare_destroy(prepare);
    return saved;
}

static void fit(struct kit *kit, struct prepare *prepare, uint32_t first, uint32_t n)
{
    sample_block(kit, first, n);
    assert_int_equal(prepare_fit(prepare, &kit->block, NULL, &kit->err), 0);
}

static void check_same(struct saved a, struct saved b)
{
    assert_int_equal(a.size, b.size);
    assert_memory_equal(a.bytes, b.bytes, a.size);
}

static void test_parts_that_are_merged_are_the_whole(void **state)
{
    struct kit *kit = sample_kit();
    struct prepare *whole = kit_prepare(kit), *blocks = kit_prepare(kit);
    struct prepare *part[3], *backwards = kit_prepare(kit);
    const uint32_t first[] = {0, 5, 6, 12};
    struct saved expected, found;

    (void)state;
    fit(kit, whole, 0, 12);
    expected = finished(kit, whole);
    for (int p = 0; p < 3; p++) {
        part[p] = kit_prepare(kit);
        fit(kit, part[p], first[p], first[p + 1] - first[p]);
        fit(kit, blocks, first[p], first[p + 1] - first[p]);
    }
    found = finished(kit, blocks);
    check_same(found, expected);
    free(found.bytes);
    for (int p = 2; p >= 0; p--) /* no two examples of a user have one time */
        assert_int_equal(prepare_merge(backwards, part[p], &kit->err), 0);
    found = finished(kit, backwards);
    check_same(found, expected);
    for (int p = 0; p < 3; p++)
        prepare_destroy(part[p]);
    free(found.bytes);
    free(expected.bytes);
    kit_destroy(kit);
}

/* Not one bit of what was fitted comes from an example that was left out. */
static void test_what_is_left_out_leaves_no_trace(void **state)
{
    const uint8_t keep[12] = {1, 1, 1, 0, 1, 1, 0, 1, 1, 1, 1, 1};
    struct kit *kit = sample_kit();
    struct prepare *before = kit_prepare(kit), *after = kit_prepare(kit);
    struct saved a, b;

    (void)state;
    sample_block(kit, 0, 12);
    assert_int_equal(prepare_fit(before, &kit->block, keep, &kit->err), 0);
    for (uint32_t i = 3; i <= 6; i += 3) {
        kit->block.column[0].key[i] = 1000;
        kit->block.column[1].key[i] = 2000;
        kit->block.column[2].number[i] = 1e9F;
        kit->block.column[3].number[i] = -1e9F;
        kit->block.column[5].time[i] = INT64_MAX / 2;
        memset(kit->block.column[4].text + kit->block.column[4].offset[i], 'x',
               kit->block.column[4].offset[i + 1] - kit->block.column[4].offset[i]);
    }
    assert_int_equal(prepare_fit(after, &kit->block, keep, &kit->err), 0);
    a = finished(kit, before);
    b = finished(kit, after);
    check_same(a, b);
    free(a.bytes);
    free(b.bytes);
    kit_destroy(kit);
}

static void check_same_block(const struct block *a, const struct block *b)
{
    for (uint32_t c = 0; c < a->schema->columns; c++) {
        const struct values *x = &a->column[c], *y = &b->column[c];
        int kind = a->schema->column[c].kind;
        size_t keys = kind == VALUE_KEYS ? x->offset[a->n] : a->n;

        if (kind == VALUE_KEYS)
            assert_memory_equal(x->offset, y->offset, (a->n + 1) * sizeof *x->offset);
        if (x->key && keys)
            assert_memory_equal(x->key, y->key, keys * sizeof *x->key);
        if (x->number && keys)
            assert_memory_equal(x->number, y->number, keys * sizeof *x->number);
    }
}

/* What was loaded does to other data what the fitted one does, alone or among others.
 */
static void test_loaded_is_as_good_as_fitted(void **state)
{
    struct kit *kit = sample_kit();
    struct prepare *fitted = sample_fitted(kit), *loaded = kit_prepare(kit);
    struct block a, b;
    unsigned char *bytes;
    size_t size;

    (void)state;
    assert_int_equal(prepare_save(fitted, &bytes, &size, &kit->err), 0);
    assert_int_equal(prepare_load(loaded, bytes, size, &kit->err), 0);
    assert_int_equal(block_create(&a, prepare_schema(fitted), 12, &kit->err), 0);
    assert_int_equal(block_create(&b, prepare_schema(loaded), 12, &kit->err), 0);
    sample_block(kit, 7, 12);
    assert_int_equal(prepare_apply(fitted, &kit->block, &a, &kit->at, &kit->err), 0);
    assert_int_equal(prepare_apply(loaded, &kit->block, &b, &kit->at, &kit->err), 0);
    assert_int_equal(b.n, 12);
    check_same_block(&a, &b);
    for (uint32_t i = 0; i < 12; i++) {
        sample_block(kit, 7 + i, 1);
        assert_int_equal(prepare_apply(loaded, &kit->block, &b, &kit->at, &kit->err),
                         0);
        assert_true(b.column[2].number[0] == a.column[2].number[i]);
        assert_true(b.column[0].key[0] == a.column[0].key[i]);
    }
    block_release(&a);
    block_release(&b);
    free(bytes);
    prepare_destroy(fitted);
    prepare_destroy(loaded);
    kit_destroy(kit);
}

static void test_a_changed_byte_is_found(void **state)
{
    struct kit *kit = sample_kit();
    struct prepare *prepare = sample_fitted(kit);
    unsigned char *bytes;
    size_t size;

    (void)state;
    assert_int_equal(prepare_save(prepare, &bytes, &size, &kit->err), 0);
    for (size_t i = 0; i < size; i++) {
        bytes[i] ^= 4;
        assert_int_equal(prepare_load(prepare, bytes, size, &kit->err), -ERR_DAMAGE);
        bytes[i] ^= 4;
        assert_int_equal(prepare_load(prepare, bytes, i, &kit->err), -ERR_DAMAGE);
    }
    assert_int_equal(prepare_load(prepare, bytes, size, &kit->err), 0);
    free(bytes);
    prepare_destroy(prepare);
    kit_destroy(kit);
}

static void test_other_steps_are_refused(void **state)
{
    struct kit *kit = sample_kit();
    struct prepare *prepare = sample_fitted(kit), *other;
    unsigned char *bytes;
    size_t size;

    (void)state;
    assert_int_equal(prepare_save(prepare, &bytes, &size, &kit->err), 0);
    kit_set(kit, "price", "clip_high", "0.8");
    other = kit_prepare(kit);
    assert_int_equal(prepare_load(other, bytes, size, &kit->err), -ERR_INPUT);
    assert_non_null(strstr(kit->err.text, "data.columns.price is prepared in another"));
    prepare_destroy(other);
    kit_set(kit, "price", "clip_high", "0.9");
    kit_set(kit, "user", "vocabulary", "none");
    other = kit_prepare(kit);
    assert_int_equal(prepare_load(other, bytes, size, &kit->err), -ERR_INPUT);
    assert_non_null(strstr(kit->err.text, "data.columns.user is prepared in another"));
    prepare_destroy(other);
    kit_set(kit, "user", "vocabulary", "number");
    kit_set(kit, "new", "make", "hour");
    kit_set(kit, "new", "of", "at");
    other = kit_prepare(kit);
    assert_int_equal(prepare_load(other, bytes, size, &kit->err), -ERR_INPUT);
    assert_non_null(strstr(kit->err.text, "data.columns.new"));
    prepare_destroy(other);
    free(bytes);
    prepare_destroy(prepare);
    kit_destroy(kit);
}

static void test_single_keys_are_looked_up(void **state)
{
    struct kit *kit = sample_kit();
    struct prepare *prepare = sample_fitted(kit);
    uint64_t key;

    (void)state;
    assert_true(prepare_key(prepare, 0, 0, &key) && key == 0); /* as often as 1 */
    assert_false(prepare_key(prepare, 0, 99, &key));
    assert_int_equal(key, 5);
    assert_true(prepare_key(prepare, 1, 0xfffffffffffffff3u, &key));
    assert_true(key == 0xfffffffffffffff3u);
    assert_false(prepare_key(prepare, 1, 7, &key));
    prepare_destroy(prepare);
    kit_destroy(kit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts_that_are_merged_are_the_whole),
        cmocka_unit_test(test_what_is_left_out_leaves_no_trace),
        cmocka_unit_test(test_loaded_is_as_good_as_fitted),
        cmocka_unit_test(test_a_changed_byte_is_found),
        cmocka_unit_test(test_other_steps_are_refused),
        cmocka_unit_test(test_single_keys_are_looked_up),
    };

    return cmocka_run_group_tests_name("prepare_save", tests, NULL, NULL);
}
