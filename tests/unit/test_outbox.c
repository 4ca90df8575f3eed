/* The outbox: entries keep their bytes until dropped and sent, and a process that dies
 * at any point leaves whole entries only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/rng.h"
#include "worker/outbox.h"

enum { BODY = 1000, PARTS = 3, ENTRIES = 4 };

static void fill(unsigned char *body, uint64_t bytes, uint64_t clock, uint32_t part)
{
    for (uint64_t i = 0; i < bytes; i++)
        body[i] = (unsigned char)rng_at(clock, part, i);
}

static bool filled(const unsigned char *body, uint64_t bytes, uint64_t clock,
                   uint32_t part)
{
    for (uint64_t i = 0; i < bytes; i++)
        if (body[i] != (unsigned char)rng_at(clock, part, i))
            return false;
    return true;
}

static uint64_t part_bytes(uint64_t clock, uint32_t part)
{
    return rng_at(9, clock, part) % (BODY / PARTS);
}

static int put(struct outbox *outbox, uint64_t clock)
{
    uint32_t parts = 1 + (uint32_t)(clock % PARTS);
    struct journal_entry standing = {.clock = clock, .taken = clock * 10};
    uint64_t bytes = 0;
    struct err err;
    int rc;

    for (uint32_t p = 0; p < parts; p++)
        bytes += part_bytes(clock, p);
    rc = outbox_begin(outbox, parts, bytes, &err);
    if (rc)
        return rc;
    for (uint32_t p = 0; p < parts; p++) {
        unsigned char *body;
        struct parcel *parcel = outbox_add(outbox, part_bytes(clock, p), &body);

        parcel->clock = clock;
        parcel->part = p;
        assert_int_equal((uintptr_t)body % 8, 0);
        fill(body, part_bytes(clock, p), clock, p);
    }
    assert_int_equal(outbox_commit(outbox, clock, &standing, &err), 0);
    return 0;
}

static void check_entry(struct outbox *outbox, uint32_t i, uint64_t clock)
{
    uint32_t parts;
    const struct parcel *parcel = outbox_parcels(outbox, i, &parts);

    assert_int_equal(parts, 1 + clock % PARTS);
    for (uint32_t p = 0; p < parts; p++) {
        const struct buffer *body = outbox_body(outbox, i, p);

        assert_int_equal(parcel[p].clock, clock);
        assert_int_equal(body->used, part_bytes(clock, p));
        assert_true(filled(body->data, body->used, clock, p));
    }
}

static struct outbox *reopen(struct outbox *outbox, void *memory, uint64_t size)
{
    struct err err;

    outbox_close(outbox);
    assert_int_equal(outbox_open(memory, size, &outbox, &err), 0);
    return outbox;
}

/* Puts and drops at random, dying now and then, against a plain model. */
static void test_random(void **state)
{
    uint64_t size = outbox_bytes(BODY, PARTS, ENTRIES), first = 1, next = 1, n = 0;
    void *memory = calloc(1, size);
    struct outbox *outbox = NULL;
    bool was_full = false;
    struct err err;

    (void)state;
    assert_int_equal(outbox_open(memory, size, &outbox, &err), 0);
    for (int step = 0; step < 20000; step++) {
        uint64_t dice = rng_at(1, 2, n++) % 100;

        if (dice < 50) {
            int rc = put(outbox, next);

            assert_true(rc == 0 || (rc == -ERR_AGAIN && next > first));
            was_full |= rc == -ERR_AGAIN;
            next += rc == 0;
        } else if (dice < 90 && first < next) {
            first += 1 + rng_at(1, 3, n++) % (next - first);
            outbox_drop(outbox, first - 1);
        } else if (dice >= 95) {
            outbox = reopen(outbox, memory, size);
        }
        assert_int_equal(outbox_entries(outbox), next - first);
        if (first < next) {
            check_entry(outbox, 0, first);
            check_entry(outbox, (uint32_t)(next - first) - 1, next - 1);
        }
        assert_int_equal(outbox_standing(outbox)->taken, (next - 1) * 10);
    }
    assert_true(was_full);
    outbox_close(outbox);
    free(memory);
}

/* At least as many entries of full size fit as were asked for, wherever the ring
 * stands. */
static void test_room(void **state)
{
    uint64_t size = outbox_bytes(BODY, 1, ENTRIES), clock = 0;
    void *memory = calloc(1, size);
    struct journal_entry standing = {0};
    struct outbox *outbox;
    struct err err;

    (void)state;
    assert_int_equal(outbox_open(memory, size, &outbox, &err), 0);
    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < ENTRIES; i++) {
            unsigned char *body;

            assert_int_equal(outbox_begin(outbox, 1, BODY, &err), 0);
            outbox_add(outbox, BODY, &body);
            assert_int_equal(outbox_commit(outbox, ++clock, &standing, &err), 0);
        }
        outbox_drop(outbox, clock);
    }
    assert_int_equal(outbox_begin(outbox, 1, size, &err), -ERR_MEMORY);
    outbox_close(outbox);
    free(memory);
}

/* Room is not used again while a copy is still on its way out. */
static void test_still_being_sent(void **state)
{
    uint64_t size = outbox_bytes(BODY, PARTS, 2);
    void *memory = calloc(1, size);
    struct outbox *outbox;
    struct buffer *sent;
    struct err err;
    uint64_t clock = 0;

    (void)state;
    assert_int_equal(outbox_open(memory, size, &outbox, &err), 0);
    assert_int_equal(put(outbox, ++clock), 0);
    sent = buffer_ref(outbox_body(outbox, 0, 0));
    outbox_drop(outbox, clock);
    assert_int_equal(outbox_entries(outbox), 0);
    for (int i = 0; i < 100; i++) {
        if (put(outbox, clock + 1) == 0)
            outbox_drop(outbox, ++clock);
        assert_true(filled(sent->data, sent->used, 1, 0));
    }
    assert_int_equal(put(outbox, clock + 1), -ERR_AGAIN);
    buffer_unref(sent);
    assert_int_equal(put(outbox, clock + 1), 0);
    outbox_close(outbox);
    free(memory);
}

/* What was begun and not committed was never there. */
static void test_death_before_commit(void **state)
{
    uint64_t size = outbox_bytes(BODY, PARTS, ENTRIES);
    void *memory = calloc(1, size);
    struct outbox *outbox;
    unsigned char *body;
    struct err err;

    (void)state;
    assert_int_equal(outbox_open(memory, size, &outbox, &err), 0);
    assert_int_equal(put(outbox, 1), 0);
    assert_int_equal(outbox_begin(outbox, 1, 8, &err), 0);
    outbox_add(outbox, 8, &body);
    outbox = reopen(outbox, memory, size);
    assert_int_equal(outbox_entries(outbox), 1);
    check_entry(outbox, 0, 1);
    outbox_close(outbox);
    memset(memory, 1, 64);
    assert_int_equal(outbox_open(memory, size, &outbox, &err), -ERR_DAMAGE);
    free(memory);
}

/* With nothing before it an entry lies where the first one lay; also when the process
 * died while it went back there. */
static void test_begins_again(void **state)
{
    enum { HEADER = 4096 };
    uint64_t size = outbox_bytes(BODY, PARTS, ENTRIES);
    unsigned char *memory = calloc(1, size);
    const uint64_t ring = (size - HEADER) / 64 * 64;
    struct outbox *outbox = NULL;
    struct err err;

    (void)state;
    assert_int_equal(outbox_open(memory, size, &outbox, &err), 0);
    for (uint64_t clock = 1; clock < 50; clock++) {
        assert_int_equal(put(outbox, clock), 0);
        assert_in_range(outbox_body(outbox, 0, 0)->data - memory, HEADER,
                        HEADER + (size - HEADER) / (ENTRIES + 1));
        outbox_drop(outbox, clock);
        if (clock % 3 ==
            0) { /* the rest is skipped, and the skipped part still counts */
            uint64_t *header = (uint64_t *)memory, next = header[3];
            uint64_t *filler = (uint64_t *)(memory + HEADER + next % ring);

            filler[0] = 0;
            filler[1] = ring - next % ring;
            header[3] = next + filler[1];
            outbox = reopen(outbox, memory, size);
        }
    }
    outbox_close(outbox);
    free(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_room),
        cmocka_unit_test(test_still_being_sent),
        cmocka_unit_test(test_death_before_commit),
        cmocka_unit_test(test_begins_again),
    };

    return cmocka_run_group_tests_name("outbox", tests, NULL, NULL);
}
