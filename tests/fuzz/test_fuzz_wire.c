/* The wire decoder against arbitrary bytes.
 *
 * An input is two bytes that choose the size of the body, then a header. Decoding must
 * never crash, and what it accepts must come back from encoding and decoding once more.
 * As a test (without a fuzzer) it runs tests/fuzz/corpus/wire and mutations of good
 * messages; with one: make fuzz FUZZ=wire.
 * `test_fuzz_wire --write` writes the corpus of good messages. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/rng.h"
#include "tests/golden/wire_samples.h"

enum { CHOICE_BYTES = 2, INPUT_MAX = CHOICE_BYTES + MESSAGE_HEADER_MAX + 64 };

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

/* Sizes below 256 KB in steps of 8, or up to 64 MB in steps of 2 KB. */
static size_t chosen_body_bytes(const uint8_t *input)
{
    size_t choice = (size_t)input[0] | (size_t)input[1] << 8;

    return (choice & 0x7fff) * (choice & 0x8000 ? 2048 : 8);
}

static void require(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "test_fuzz_wire: %s\n", what);
    abort();
}

/* What no accepted message may break. */
static void check_accepted(const struct message *message)
{
    require(message->sections <= MESSAGE_SECTIONS_MAX, "too many sections");
    require(message->body_bytes <= MESSAGE_BODY_MAX, "too large a body");
    require(message->body_bytes == message_layout(message->kind, message->section,
                                                  message->sections, NULL),
            "a body that is not of its sections' size");
    if (message->kind == MESSAGE_PUSH)
        require(message->push.part < message->push.parts, "a part beyond the parts");
    if (message->kind == MESSAGE_REFUSAL)
        require(strnlen(message->refusal.text, ERR_TEXT_MAX) < ERR_TEXT_MAX,
                "a refusal without an end");
    if (message->kind == MESSAGE_STATUS) {
        require(message->status.tables <= STATUS_TABLES_MAX, "too many tables");
        for (uint32_t i = 0; i < message->status.tables; i++)
            require(message->status.table[i].full <= FULL_MEMORY, "full of what?");
        require(strnlen(message->status.text, ERR_TEXT_MAX) < ERR_TEXT_MAX,
                "a status without an end");
    }
    if (message->kind == MESSAGE_ORDER) {
        require(message->order.ranges <= SHARE_RANGES_MAX, "too many ranges");
        for (uint32_t i = 0; i < message->order.ranges; i++)
            require(message->order.range[i].first <= message->order.range[i].end,
                    "a range that ends before it begins");
    }
}

/* Returns whether the input is a good message. */
static bool try_input(const uint8_t *input, size_t size)
{
    static struct message first, second;
    static unsigned char once[MESSAGE_HEADER_MAX], twice[MESSAGE_HEADER_MAX];
    struct err err = {0};
    size_t once_bytes, twice_bytes;

    if (size < CHOICE_BYTES)
        return false;
    memset(&first, 0xaa, sizeof first);
    if (message_decode(&first, input + CHOICE_BYTES, size - CHOICE_BYTES,
                       chosen_body_bytes(input), &err)) {
        require(err.code == ERR_PEER && err.text[0], "an error without a sentence");
        return false;
    }
    check_accepted(&first);
    once_bytes = message_encode(&first, once);
    memset(&second, 0x55, sizeof second);
    require(message_decode(&second, once, once_bytes, first.body_bytes, &err) == 0,
            "refused after encoding");
    twice_bytes = message_encode(&second, twice);
    require(once_bytes == twice_bytes && memcmp(once, twice, once_bytes) == 0,
            "changed by encoding and decoding");
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    try_input(input, size);
    return 0;
}

#ifndef FUZZER

static const char corpus[] = "tests/fuzz/corpus/wire";

/* The message as an input. The samples' bodies are multiples of 8 below 256 KB. */
static size_t make_input(const struct message *message, uint8_t *input)
{
    input[0] = (uint8_t)(message->body_bytes / 8);
    input[1] = (uint8_t)(message->body_bytes / 8 >> 8);
    return CHOICE_BYTES + message_encode(message, input + CHOICE_BYTES);
}

/* As the fuzzer does, from memory of exactly that size: the sanitizer sees the end. */
static bool run_input(const uint8_t *input, size_t size)
{
    uint8_t *exact = malloc(size ? size : 1);
    bool accepted;

    memcpy(exact, input, size);
    accepted = try_input(exact, size);
    free(exact);
    return accepted;
}

static void test_corpus(void **state)
{
    static uint8_t input[INPUT_MAX];
    unsigned files = 0, accepted = 0;
    struct dirent *entry;
    DIR *folder = opendir(corpus);

    (void)state;
    assert_non_null(folder);
    while ((entry = readdir(folder))) {
        char path[512];
        long size;

        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", corpus, entry->d_name);
        size = wire_file_read(path, input, sizeof input);
        assert_true(size >= 0);
        accepted += run_input(input, (size_t)size);
        files++;
    }
    closedir(folder);
    assert_in_range(accepted, WIRE_SAMPLES, files - 1); /* good ones and bad ones */
}

/* One random change: a bit, a byte, a stretch removed, doubled or cut off. */
static size_t mutate(uint8_t *input, size_t size, uint64_t random)
{
    size_t at = (size_t)rng_below(mix64(random + 1), size);
    size_t length = (size_t)rng_below(mix64(random + 2), size - at) % 16 + 1;

    if (at + length > size)
        length = size - at;
    switch (random % 6) {
    case 0:
        input[at] ^= (uint8_t)(1u << (random >> 8) % 8);
        return size;
    case 1:
        input[at] = (uint8_t)(random >> 8);
        return size;
    case 2:
        input[at] = random >> 8 & 1 ? 0xff : 0;
        return size;
    case 3:
        memmove(input + at, input + at + length, size - at - length);
        return size - length;
    case 4:
        memmove(input + at + length, input + at, size - at);
        return size + length;
    default:
        return at + 1;
    }
}

static void test_mutations(void **state)
{
    enum { MUTATIONS = 50000 };
    static uint8_t good[WIRE_SAMPLES][INPUT_MAX], input[INPUT_MAX];
    size_t size[WIRE_SAMPLES];
    unsigned accepted = 0;

    (void)state;
    for (int i = 0; i < WIRE_SAMPLES; i++) {
        struct message message;

        wire_sample(wire_sample_kinds[i].kind, &message);
        size[i] = make_input(&message, good[i]);
        assert_true(run_input(good[i], size[i]));
    }
    for (uint64_t n = 0; n < MUTATIONS; n++) {
        size_t kind = n % WIRE_SAMPLES, bytes = size[kind];
        uint64_t changes = rng_at(1, n, 0) % 4 + 1;

        memcpy(input, good[kind], bytes);
        for (uint64_t k = 1; k <= changes && bytes > 1; k++)
            bytes = mutate(input, bytes, rng_at(1, n, k));
        accepted += run_input(input, bytes);
    }
    /* Many mutants are good messages, many are not; both paths were taken. */
    assert_in_range(accepted, MUTATIONS / 50, MUTATIONS * 9 / 10);
}

static void test_random_bytes(void **state)
{
    enum { INPUTS = 5000 };
    uint8_t input[256];
    unsigned accepted = 0;

    (void)state;
    for (uint64_t n = 0; n < INPUTS; n++) {
        size_t size = rng_at(2, n, 0) % sizeof input;

        for (size_t i = 0; i < size; i++)
            input[i] = (uint8_t)rng_at(2, n, i + 1);
        accepted += run_input(input, size);
    }
    assert_in_range(accepted, 0, INPUTS / 100); /* noise is no message */
}

static int write_input(const char *name, const struct message *message)
{
    static uint8_t input[INPUT_MAX];
    size_t size = make_input(message, input);
    char path[512];
    FILE *file;

    snprintf(path, sizeof path, "%s/good-%s", corpus, name);
    file = fopen(path, "wb");
    return !file || fwrite(input, 1, size, file) != size || fclose(file);
}

static int write_corpus(void)
{
    struct message message;
    int failed = 0;

    for (int i = 0; i < WIRE_SAMPLES; i++) {
        wire_sample(wire_sample_kinds[i].kind, &message);
        failed |= write_input(wire_sample_kinds[i].name, &message);
    }
    for (int i = 0; i < WIRE_LATER; i++) {
        wire_later[i].fill(&message);
        failed |= write_input(wire_later[i].name, &message);
    }
    return failed;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_corpus),
        cmocka_unit_test(test_mutations),
        cmocka_unit_test(test_random_bytes),
    };

    if (argc == 2 && strcmp(argv[1], "--write") == 0)
        return write_corpus();
    return cmocka_run_group_tests_name("fuzz_wire", tests, NULL, NULL);
}

#endif
