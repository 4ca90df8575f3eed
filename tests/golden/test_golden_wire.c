/* Headers as they were once sent must stay readable, whatever becomes of the protocol.
 * `test_golden_wire --write` writes the files that are missing, and never another one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/golden/wire_samples.h"

static const char *golden_path(const char *name)
{
    static char path[256];

    snprintf(path, sizeof path, "tests/golden/wire/%s.bin", name);
    return path;
}

static void check_file(const char *name, const struct message *expected)
{
    unsigned char bytes[MESSAGE_HEADER_MAX];
    long size = wire_file_read(golden_path(name), bytes, sizeof bytes);
    struct message found;
    struct err err = {0};

    if (size < 0)
        fail_msg("%s is missing", golden_path(name));
    memset(&found, 0, sizeof found);
    if (message_decode(&found, bytes, (size_t)size, expected->body_bytes, &err))
        fail_msg("%s: %s", name, err.text);
    assert_true(wire_equal(expected, &found));
}

static void check_encoding(const char *name, const struct message *message)
{
    unsigned char golden[MESSAGE_HEADER_MAX], bytes[MESSAGE_HEADER_MAX];
    long size = wire_file_read(golden_path(name), golden, sizeof golden);

    assert_int_equal(message_encode(message, bytes), size);
    assert_memory_equal(bytes, golden, size);
}

static void test_every_kind_stays_readable(void **state)
{
    struct message message;

    (void)state;
    for (int i = 0; i < WIRE_SAMPLES; i++) {
        wire_sample(wire_sample_kinds[i].kind, &message);
        check_file(wire_sample_kinds[i].name, &message);
    }
    for (int i = 0; i < WIRE_LATER; i++) {
        wire_later[i].fill(&message);
        check_file(wire_later[i].name, &message);
    }
}

/* A later version may add fields; this one reads what it knows. */
static void test_unknown_fields_are_passed_over(void **state)
{
    struct message message;

    (void)state;
    wire_sample(MESSAGE_PULL, &message);
    check_file("pull-of-a-later-version", &message);
}

/* What is sent today is what was sent then: old processes can read it. */
static void test_encoding_has_not_changed(void **state)
{
    struct message message;

    (void)state;
    for (int i = 0; i < WIRE_SAMPLES; i++) {
        wire_sample(wire_sample_kinds[i].kind, &message);
        check_encoding(wire_sample_kinds[i].name, &message);
    }
    for (int i = 0; i < WIRE_LATER; i++) {
        wire_later[i].fill(&message);
        check_encoding(wire_later[i].name, &message);
    }
}

static int write_missing(const char *name, const struct message *message, bool later)
{
    /* Field 100: the number 5; field 101: three bytes. */
    static const unsigned char unknown[] = {0xa0, 0x06, 5,   0xaa, 0x06,
                                            3,    'n',  'e', 'w'};
    unsigned char bytes[MESSAGE_HEADER_MAX];
    size_t size;
    FILE *file;

    if (access(golden_path(name), F_OK) == 0)
        return 0;
    size = message_encode(message, bytes);
    if (later) {
        memcpy(bytes + size, unknown, sizeof unknown);
        size += sizeof unknown;
    }
    file = fopen(golden_path(name), "wb");
    if (!file || fwrite(bytes, 1, size, file) != size || fclose(file))
        return 1;
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind_stays_readable),
        cmocka_unit_test(test_unknown_fields_are_passed_over),
        cmocka_unit_test(test_encoding_has_not_changed),
    };
    struct message message;
    int failed = 0;

    if (argc != 2 || strcmp(argv[1], "--write") != 0)
        return cmocka_run_group_tests_name("golden_wire", tests, NULL, NULL);
    for (int i = 0; i < WIRE_SAMPLES; i++) {
        wire_sample(wire_sample_kinds[i].kind, &message);
        failed |= write_missing(wire_sample_kinds[i].name, &message, false);
    }
    for (int i = 0; i < WIRE_LATER; i++) {
        wire_later[i].fill(&message);
        failed |= write_missing(wire_later[i].name, &message, false);
    }
    wire_sample(MESSAGE_PULL, &message);
    return failed | write_missing("pull-of-a-later-version", &message, true);
}
