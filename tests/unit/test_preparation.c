/* A run's preparation on its way into checkpoints: whole, and the one that was meant.
 */
#include "tests/unit/scratch.h"

#include <sys/stat.h>
#include <xxhash.h>

#include "common/file.h"
#include "server/preparation.h"

static const char bytes[] = "not for a server to understand";

static struct data_facts facts_of(const char *data, size_t size)
{
    return (struct data_facts){.preparation_bytes = size,
                               .preparation_digest = XXH3_64bits(data, size)};
}

/* As worker 0 leaves it in checkpoint.dir. */
static void put(struct scratch *scratch, const struct data_facts *facts,
                const char *data, size_t size)
{
    char name[PREPARATION_NAME_MAX];

    preparation_name(facts->preparation_digest, name);
    scratch_write(scratch, name, data, size);
}

static void make_checkpoint(struct scratch *scratch, char *path)
{
    snprintf(path, 512, "%s/checkpoint-0000000001", scratch->dir);
    assert_int_equal(mkdir(path, 0777), 0);
}

static void remove_checkpoint(const char *path)
{
    char file[600];

    snprintf(file, sizeof file, "%s/preparation", path);
    unlink(file);
    assert_int_equal(rmdir(path), 0);
}

static void test_it_gets_into_the_checkpoint(void **state)
{
    struct data_facts facts = facts_of(bytes, sizeof bytes), none = {0};
    struct scratch scratch;
    unsigned char *read;
    struct err err = {0};
    char path[512];

    (void)state;
    scratch_init(&scratch);
    make_checkpoint(&scratch, path);
    assert_int_equal(preparation_keep(scratch.dir, path, &none, &err), 0);
    put(&scratch, &facts, bytes, sizeof bytes);
    scratch_text(&scratch, "preparation-0000000000000001", "of a run before");
    scratch_text(&scratch, "preparation-notes", "somebody else's");
    assert_int_equal(preparation_keep(scratch.dir, path, &facts, &err), 0);
    assert_int_equal(preparation_read(path, &facts, &read, &err), 0);
    assert_memory_equal(read, bytes, sizeof bytes);
    free(read);
    assert_int_not_equal(
        access(scratch_path(&scratch, "preparation-0000000000000001"), F_OK), 0);
    assert_int_equal(access(scratch_path(&scratch, "preparation-notes"), F_OK), 0);
    /* The next checkpoint needs it again. */
    assert_int_equal(preparation_keep(scratch.dir, path, &facts, &err), 0);
    remove_checkpoint(path);
    scratch_release(&scratch);
}

static void test_another_one_is_damage(void **state)
{
    struct data_facts facts = facts_of(bytes, sizeof bytes), longer = facts;
    struct scratch scratch;
    struct err err = {0};
    char path[512];

    (void)state;
    scratch_init(&scratch);
    make_checkpoint(&scratch, path);
    assert_int_equal(preparation_keep(scratch.dir, path, &facts, &err), -ERR_DAMAGE);
    put(&scratch, &facts, "not for a server to understanD", sizeof bytes);
    assert_int_equal(preparation_keep(scratch.dir, path, &facts, &err), -ERR_DAMAGE);
    put(&scratch, &facts, bytes, sizeof bytes - 1);
    assert_int_equal(preparation_keep(scratch.dir, path, &facts, &err), -ERR_DAMAGE);
    assert_int_equal(preparation_read(path, &facts, NULL, &err), -ERR_DAMAGE);
    put(&scratch, &facts, bytes, sizeof bytes);
    assert_int_equal(preparation_keep(scratch.dir, path, &facts, &err), 0);
    assert_int_equal(preparation_read(path, &facts, NULL, &err), 0);
    longer.preparation_bytes++;
    assert_int_equal(preparation_read(path, &longer, NULL, &err), -ERR_DAMAGE);
    longer.preparation_bytes -= 2;
    assert_int_equal(preparation_read(path, &longer, NULL, &err), -ERR_DAMAGE);
    remove_checkpoint(path);
    scratch_release(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_gets_into_the_checkpoint),
        cmocka_unit_test(test_another_one_is_damage),
    };

    return cmocka_run_group_tests_name("preparation", tests, NULL, NULL);
}
