#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/net/roster.h"
#include "tests/golden/wire_samples.h"

/* ---- the heap is watched ---- */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static const bool heap_is_watched = false; /* the sanitizer has the heap */
static unsigned long heap_calls;
#else
static const bool heap_is_watched = true;
static unsigned long heap_calls;

void *__libc_malloc(size_t bytes);

void *malloc(size_t bytes)
{
    heap_calls++;
    return __libc_malloc(bytes);
}
#endif

/* ---- helpers ---- */

static size_t encode(const struct message *message, unsigned char *bytes)
{
    memset(bytes, 0xee, MESSAGE_HEADER_MAX);
    return message_encode(message, bytes);
}

static void round_trip(const struct message *message)
{
    unsigned char bytes[MESSAGE_HEADER_MAX];
    size_t size = encode(message, bytes);
    struct message found;
    struct err err = {0};

    assert_in_range(size, 1, MESSAGE_HEADER_MAX);
    memset(&found, 0, sizeof found);
    if (message_decode(&found, bytes, size, message->body_bytes, &err))
        fail_msg("%s", err.text);
    assert_true(wire_equal(message, &found));
    assert_null(found.body);
}

/* Decoding must fail with a sentence that has `expected` in it. */
static void refused_bytes(const unsigned char *bytes, size_t size, size_t body_bytes,
                          const char *expected)
{
    struct message found;
    struct err err = {0};

    if (message_decode(&found, bytes, size, body_bytes, &err) != -ERR_PEER)
        fail_msg("accepted, expected: %s", expected);
    assert_int_equal(err.code, ERR_PEER);
    if (!strstr(err.text, expected))
        fail_msg("\"%s\" does not say \"%s\"", err.text, expected);
}

static void refused(const struct message *message, const char *expected)
{
    unsigned char bytes[MESSAGE_HEADER_MAX];
    size_t size = encode(message, bytes);

    refused_bytes(bytes, size, message->body_bytes, expected);
}

/* ---- layouts ---- */

static void test_layout_places_arrays(void **state)
{
    const struct section section[] = {
        {.rows = 3, .width = 5},
        {.rows = 2, .width = 1, .has_status = true},
        {.rows = 0, .width = 9},
    };
    struct section_layout at[3];

    (void)state;
    assert_int_equal(message_layout(MESSAGE_PULL, section, 3, at), 40);
    assert_int_equal(at[0].keys, 0);
    assert_int_equal(at[1].keys, 24);
    assert_int_equal(at[2].keys, 40);
    /* 3 rows of 5 floats = 60 -> 64; 2 status bytes -> 4, 2 floats -> 76 -> 80 */
    assert_int_equal(message_layout(MESSAGE_ROWS, section, 3, at), 80);
    assert_int_equal(at[0].values, 0);
    assert_int_equal(at[1].status, 64);
    assert_int_equal(at[1].values, 68);
    assert_int_equal(at[2].values, 80);
    /* 24 keys + 12 weights + 60 = 96; 16 keys + 8 weights + 8 */
    assert_int_equal(message_layout(MESSAGE_PUSH, section, 3, at), 128);
    assert_int_equal(at[0].keys, 0);
    assert_int_equal(at[0].weights, 24);
    assert_int_equal(at[0].values, 36);
    assert_int_equal(at[1].keys, 96);
    assert_int_equal(at[1].weights, 112);
    assert_int_equal(at[1].values, 120);
    assert_int_equal(message_layout(MESSAGE_PUSH, section, 3, NULL), 128);
    assert_int_equal(message_layout(MESSAGE_PUSH, section, 0, NULL), 0);
    assert_int_equal(message_layout(MESSAGE_ACK, section, 3, NULL), 0);
}

static void test_layout_is_bounded(void **state)
{
    struct section section[MESSAGE_SECTIONS_MAX + 1] = {
        {.rows = MESSAGE_BODY_MAX / 8}, /* as keys, exactly the largest body */
    };

    (void)state;
    assert_int_equal(message_layout(MESSAGE_PULL, section, 2, NULL), MESSAGE_BODY_MAX);
    section[1].rows = 1;
    assert_true(message_layout(MESSAGE_PULL, section, 2, NULL) == (size_t)-1);
    section[1].rows = 0;
    assert_true(message_layout(MESSAGE_PULL, section, MESSAGE_SECTIONS_MAX + 1, NULL) ==
                (size_t)-1);
    for (int i = 0; i < MESSAGE_SECTIONS_MAX; i++)
        section[i] = (struct section){.rows = UINT32_MAX, .width = MESSAGE_WIDTH_MAX};
    assert_true(message_layout(MESSAGE_PUSH, section, MESSAGE_SECTIONS_MAX, NULL) ==
                (size_t)-1);
    /* 2^30 rows of 2^32 bytes: a product that 32 or 62 bits would lose. */
    section[0] = (struct section){.rows = 1u << 30, .width = 1u << 30};
    assert_true(message_layout(MESSAGE_ROWS, section, 1, NULL) == (size_t)-1);
}

/* ---- round trips ---- */

static void test_every_kind_comes_back(void **state)
{
    struct message message;

    (void)state;
    for (int i = 0; i < WIRE_SAMPLES; i++) {
        wire_sample(wire_sample_kinds[i].kind, &message);
        round_trip(&message);
    }
}

static void test_least_values_come_back(void **state)
{
    (void)state;
    for (int i = 0; i < WIRE_SAMPLES; i++) {
        struct message message;

        memset(&message, 0, sizeof message);
        message.role = ROLE_COORDINATOR;
        message.kind = wire_sample_kinds[i].kind;
        if (message.kind == MESSAGE_PUSH)
            message.push = (struct push){.clock = 1, .parts = 1};
        if (message.kind == MESSAGE_REFUSAL)
            message.refusal.code = ERR_INPUT;
        round_trip(&message);
    }
}

static void fill_text(char *text, size_t size)
{
    memset(text, 0xff, size - 1);
    text[size - 1] = 0;
}

static void test_largest_status_comes_back(void **state)
{
    struct message message;

    (void)state;
    wire_sample(MESSAGE_STATUS, &message);
    memset(&message.status, 0xff, sizeof message.status);
    for (int i = 0; i < METRIC_SUMS; i++)
        message.status.metric[i] = 1e300;
    message.status.loss_sum = message.status.cpu_seconds = -1;
    message.status.data.label_mean = 0.1;
    message.status.data.positions = message.status.data.grain = INT64_MAX;
    message.status.bad_rows = 1000000000000000;
    message.status.phase = PHASE_ENDED;
    message.status.error = ERR_INTERRUPTED;
    message.status.tables = STATUS_TABLES_MAX;
    for (int i = 0; i < STATUS_TABLES_MAX; i++)
        message.status.table[i].full = FULL_MEMORY;
    fill_text(message.status.host, sizeof message.status.host);
    fill_text(message.status.text, sizeof message.status.text);
    for (size_t i = 0; i < 4; i++) /* what lies between host and number */
        ((unsigned char *)&message.status)[offsetof(struct status, number) - 4 + i] = 0;
    message.status.host[sizeof message.status.host - 1] = 0;
    {
        unsigned char bytes[MESSAGE_HEADER_MAX];
        size_t size = encode(&message, bytes);
        struct message found;
        struct err err = {0};

        memset(&found, 0, sizeof found);
        assert_int_equal(message_decode(&found, bytes, size, message.body_bytes, &err),
                         0);
        assert_string_equal(found.status.host, message.status.host);
        assert_string_equal(found.status.text, message.status.text);
        assert_memory_equal(found.status.table, message.status.table,
                            sizeof found.status.table);
        assert_memory_equal(found.status.metric, message.status.metric,
                            sizeof found.status.metric);
        assert_in_range(size, 40000, MESSAGE_HEADER_MAX);
    }
}

static void test_largest_order_comes_back(void **state)
{
    struct message message;

    (void)state;
    wire_sample(MESSAGE_ORDER, &message);
    message.order.ranges = SHARE_RANGES_MAX;
    for (uint32_t i = 0; i < SHARE_RANGES_MAX; i++)
        message.order.range[i] = (struct range){UINT64_MAX - i, UINT64_MAX};
    memset(message.order.path, 0, sizeof message.order.path);
    memset(message.order.text, 0, sizeof message.order.text);
    fill_text(message.order.path, sizeof message.order.path);
    fill_text(message.order.text, sizeof message.order.text);
    message.order.exit_status = 255;
    round_trip(&message);
}

static void test_most_sections_come_back(void **state)
{
    struct message message;

    (void)state;
    wire_sample(MESSAGE_PUSH, &message);
    message.sections = MESSAGE_SECTIONS_MAX;
    for (uint32_t i = 0; i < MESSAGE_SECTIONS_MAX; i++)
        message.section[i] = (struct section){.table = i, .rows = i, .width = 1000 + i};
    message.section[0] = (struct section){.rows = 1, .width = MESSAGE_WIDTH_MAX};
    message.body_bytes = message_layout(MESSAGE_PUSH, message.section, message.sections,
                                        NULL);
    round_trip(&message);
}

/* A text without an end in its array is cut, not read past. */
static void test_text_without_end_is_cut(void **state)
{
    unsigned char bytes[MESSAGE_HEADER_MAX];
    struct message message, found;
    struct err err = {0};

    (void)state;
    wire_sample(MESSAGE_REFUSAL, &message);
    memset(message.refusal.text, 'x', sizeof message.refusal.text);
    assert_int_equal(message_decode(&found, bytes, encode(&message, bytes), 0, &err),
                     0);
    assert_int_equal(strlen(found.refusal.text), sizeof found.refusal.text - 1);
}

static void test_sender_can_be_given(void **state)
{
    const struct sender sender = {99, ROLE_SERVER, 3, 17};
    unsigned char bytes[MESSAGE_HEADER_MAX];
    struct message message, found;
    struct err err = {0};
    size_t size;

    (void)state;
    wire_sample(MESSAGE_ACK, &message);
    size = message_encode_from(&sender, &message, bytes);
    assert_int_equal(message_decode(&found, bytes, size, 0, &err), 0);
    assert_int_equal(found.job, 99);
    assert_int_equal(found.role, ROLE_SERVER);
    assert_int_equal(found.sender, 3);
    assert_int_equal(found.incarnation, 17);
    assert_true(found.ack.resend);
}

static void test_headers_are_small(void **state)
{
    unsigned char bytes[MESSAGE_HEADER_MAX];
    struct message message;

    (void)state;
    wire_sample(MESSAGE_PULL, &message);
    assert_in_range(encode(&message, bytes), 1, 64);
    /* Zeros at the end of a histogram are not sent, nor are those of the metrics. */
    memset(&message.status, 0, sizeof message.status);
    message.kind = MESSAGE_STATUS;
    message.sections = 0;
    message.status.tables = 1;
    message.status.table[0].staleness[0] = 7;
    message.status.metric[0] = 1;
    assert_in_range(encode(&message, bytes), 1, 50);
}

static void test_data_path_uses_no_heap(void **state)
{
    unsigned char bytes[MESSAGE_HEADER_MAX];
    unsigned long before;

    (void)state;
    if (!heap_is_watched)
        return; /* the sanitizer has the allocator */
    before = heap_calls;
    free(malloc(1)); /* is the heap really watched? */
    assert_int_equal(heap_calls, before + 1);
    for (int i = 0; i < WIRE_SAMPLES; i++) {
        struct message message, found;
        struct err err;
        size_t size;

        wire_sample(wire_sample_kinds[i].kind, &message);
        before = heap_calls;
        size = encode(&message, bytes);
        message_decode(&found, bytes, size, message.body_bytes, &err);
        assert_int_equal(heap_calls, before);
    }
}

/* ---- nonsense ---- */

static void refused_sender(uint32_t role, uint32_t count)
{
    struct message message;
    char expected[80];

    wire_sample(MESSAGE_ACK, &message);
    message.role = role;
    message.sender = count;
    snprintf(expected, sizeof expected, "the sender's index is %u, expected 0 to %u",
             count, count - 1);
    refused(&message, expected);
    message.sender = count - 1;
    round_trip(&message);
}

static void test_senders_are_bounded(void **state)
{
    struct message message;

    (void)state;
    wire_sample(MESSAGE_ACK, &message);
    message.role = 0;
    refused(&message, "the role is 0, expected 1 to 3");
    message.role = 4;
    refused(&message, "the role is 4");
    message.role = UINT32_MAX;
    refused(&message, "the role is 4294967295");
    refused_sender(ROLE_WORKER, WORKERS_MAX);
    refused_sender(ROLE_SERVER, SERVERS_MAX);
    refused_sender(ROLE_COORDINATOR, 1);
}

static void test_sections_are_bounded(void **state)
{
    struct message message;

    (void)state;
    wire_sample(MESSAGE_PUSH, &message);
    message.section[1].table = STATUS_TABLES_MAX;
    refused(&message, "a section's table is 64, expected 0 to 63");
    wire_sample(MESSAGE_PUSH, &message);
    message.section[1].width = MESSAGE_WIDTH_MAX + 1;
    refused(&message, "a section's width is 65537, expected 1 to 65536");
    message.section[1].width = 0;
    refused(&message, "a section's width is 0");
    wire_sample(MESSAGE_PUSH, &message);
    message.section[2].has_status = true;
    refused(&message, "a section's status mark is 1, expected 0 to 0");
    wire_sample(MESSAGE_PULL, &message);
    message.section[0].width = 1;
    refused(&message, "a section's width is 1, expected 0 to 0");
    wire_sample(MESSAGE_ROWS, &message);
    message.section[0] = (struct section){.rows = UINT32_MAX,
                                          .width = MESSAGE_WIDTH_MAX};
    refused(&message, "more than the 67108864 bytes that a body may have");
}

static void test_bodies_have_the_size_of_their_sections(void **state)
{
    struct message message;

    (void)state;
    for (int i = 0; i < WIRE_SAMPLES; i++) {
        wire_sample(wire_sample_kinds[i].kind, &message);
        message.body_bytes++;
        refused(&message, "its sections say");
        message.body_bytes += MESSAGE_BODY_MAX;
        refused(&message, "its sections say");
    }
    wire_sample(MESSAGE_PULL, &message);
    message.body_bytes -= 8;
    refused(&message, "a body of 8040 bytes, its sections say 8048");
}

static void test_pushes_are_bounded(void **state)
{
    struct message message;

    (void)state;
    wire_sample(MESSAGE_PUSH, &message);
    message.push.part = message.push.parts;
    refused(&message, "a push's part is 9, expected 0 to 8");
    message.push.part = message.push.parts = 0;
    refused(&message, "a push's number of parts is 0");
    wire_sample(MESSAGE_PUSH, &message);
    message.push.after = message.push.clock;
    refused(&message, "the clock before a push's is 70002, expected 0 to 70001");
}

/* Clock 0 asks where one stands and pushes nothing. */
static void test_question_of_a_push(void **state)
{
    struct message message;

    (void)state;
    wire_sample(MESSAGE_PUSH, &message);
    message.push = (struct push){.clock = 0, .parts = 1};
    refused(&message, "the number of sections is 3, expected 0 to 0");
    message.sections = 0;
    message.body_bytes = 0;
    round_trip(&message);
    message.push.after = 1;
    refused(&message, "the clock before a push's is 1, expected 0 to 0");
}

static void test_control_messages_are_bounded(void **state)
{
    struct message message;

    (void)state;
    wire_sample(MESSAGE_REFUSAL, &message);
    message.refusal.code = 0;
    refused(&message, "a refusal's code is 0, expected 1 to 8");
    message.refusal.code = ERR_INTERRUPTED + 1;
    refused(&message, "a refusal's code is 9");
    wire_sample(MESSAGE_STATUS, &message);
    message.status.phase = PHASE_ENDED + 1;
    refused(&message, "a status' phase is 8, expected 0 to 7");
    message.status.phase = UINT32_MAX;
    refused(&message, "a status' phase is 4294967295");
    wire_sample(MESSAGE_STATUS, &message);
    message.status.error = ERR_INTERRUPTED + 1;
    refused(&message, "a status' error is 9, expected 0 to 8");
    wire_sample(MESSAGE_ORDER, &message);
    message.order.kind = ORDER_END + 1;
    refused(&message, "an order's kind is 7, expected 0 to 6");
    wire_sample(MESSAGE_ORDER, &message);
    message.order.range[1] = (struct range){11, 10};
    refused(&message, "the end of a range is 10, expected 11 to");
    wire_sample(MESSAGE_ORDER, &message);
    message.order.exit_status = -1;
    refused(&message, "an order's exit status is 4294967295, expected 0 to 255");
}

/* Bytes that our encoder would not make: fields are put together by hand. */
struct bytes {
    unsigned char at[2 * MESSAGE_HEADER_MAX];
    size_t size;
};

static void put_varint(struct bytes *out, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        out->at[out->size++] = (unsigned char)(value | 0x80);
    out->at[out->size++] = (unsigned char)value;
}

/* A field that is a number, or (with bytes) a string of them. */
static void put_number(struct bytes *out, uint32_t field, uint64_t value)
{
    put_varint(out, field << 3);
    put_varint(out, value);
}

static void put_bytes(struct bytes *out, uint32_t field, const void *bytes, size_t size)
{
    put_varint(out, field << 3 | 2);
    put_varint(out, size);
    if (size > 0)
        memcpy(out->at + out->size, bytes, size);
    out->size += size;
}

enum { FIELD_ROLE = 2, FIELD_SECTION = 5, FIELD_PULL, FIELD_ROWS, FIELD_PUSH };
enum { FIELD_ACK = 9, FIELD_REFUSAL, FIELD_STATUS, FIELD_ORDER };

/* A header from server 0 with a body of that kind. */
static void put_header(struct bytes *out, uint32_t field, const struct bytes *body)
{
    out->size = 0;
    put_number(out, FIELD_ROLE, ROLE_SERVER);
    put_bytes(out, field, body ? body->at : NULL, body ? body->size : 0);
}

static void test_counts_are_bounded(void **state)
{
    static struct bytes header, body;
    static const unsigned char zeros[16 * (SHARE_RANGES_MAX + 1)];

    (void)state;
    put_header(&header, FIELD_ROWS, NULL);
    for (int i = 0; i <= MESSAGE_SECTIONS_MAX; i++)
        put_bytes(&header, FIELD_SECTION, "\x18\x01", 2); /* width 1 */
    refused_bytes(header.at, header.size, 0, "the number of sections is 65");
    put_header(&header, FIELD_ACK, NULL);
    put_bytes(&header, FIELD_SECTION, "\x18\x01", 2);
    refused_bytes(header.at, header.size, 0,
                  "the number of sections is 1, expected 0 to 0");

    body.size = 0;
    put_bytes(&body, 5, zeros, 24);
    put_header(&header, FIELD_ORDER, &body);
    refused_bytes(header.at, header.size, 0, "the last of an order's ranges");
    body.size = 0;
    put_bytes(&body, 5, zeros, sizeof zeros);
    put_header(&header, FIELD_ORDER, &body);
    refused_bytes(header.at, header.size, 0, "range ends is 2050, expected 0 to 2048");

    body.size = 0;
    put_bytes(&body, 19, zeros, 8 * (METRIC_SUMS + 1));
    put_header(&header, FIELD_STATUS, &body);
    refused_bytes(header.at, header.size, 0, "number of metrics is 65");
    body.size = 0;
    for (int i = 0; i <= STATUS_TABLES_MAX; i++)
        put_bytes(&body, 23, NULL, 0);
    put_header(&header, FIELD_STATUS, &body);
    refused_bytes(header.at, header.size, 0, "number of tables is 65");
    put_header(&header, FIELD_STATUS, NULL);
    put_bytes(&header, FIELD_SECTION, "\x18\x01", 2); /* counts have no width */
    refused_bytes(header.at, header.size, 0, "section's width is 1, expected 0 to 0");
    put_header(&header, FIELD_STATUS, NULL);
    put_bytes(&header, FIELD_SECTION, "\x08\x02", 2); /* counts of what? */
    refused_bytes(header.at, header.size, 0, "section's table is 2, expected 0 to 1");
    put_header(&header, FIELD_STATUS, NULL);
    put_bytes(&header, FIELD_SECTION, "\x10\x03", 2); /* 3 words */
    refused_bytes(header.at, header.size, 16,
                  "a body of 16 bytes, its sections say 24");
    for (int i = 0; i < COUNTS_KINDS; i++)
        put_bytes(&header, FIELD_SECTION, "\x10\x03", 2);
    refused_bytes(header.at, header.size, 72, "the number of sections is 3");
}

static void test_histograms_and_texts_are_bounded(void **state)
{
    static struct bytes header, body, table;
    static const unsigned char zeros[STALENESS_BUCKETS + 1];
    char text[ERR_TEXT_MAX + 1];

    (void)state;
    table.size = body.size = 0;
    put_bytes(&table, 3, zeros, sizeof zeros);
    put_bytes(&body, 23, table.at, table.size);
    put_header(&header, FIELD_STATUS, &body);
    refused_bytes(header.at, header.size, 0, "staleness buckets is 65");
    table.size = body.size = 0;
    put_number(&table, 6, FULL_MEMORY + 1);
    put_bytes(&body, 23, table.at, table.size);
    put_header(&header, FIELD_STATUS, &body);
    refused_bytes(header.at, header.size, 0, "why a table is full is 3");
    table.size = body.size = 0;
    put_number(&table, 7, 10);
    put_number(&table, 8, 11);
    put_bytes(&body, 23, table.at, table.size);
    put_header(&header, FIELD_STATUS, &body);
    refused_bytes(header.at, header.size, 0, "cache's hits is 11, expected 0 to 10");

    memset(text, 'x', sizeof text);
    body.size = 0;
    put_number(&body, 1, ERR_PEER);
    put_bytes(&body, 2, text, ERR_TEXT_MAX);
    put_header(&header, FIELD_REFUSAL, &body);
    refused_bytes(header.at, header.size, 0,
                  "a refusal's text of 1024 bytes, expected at most 1023");
    body.size = 0;
    put_number(&body, 1, ERR_PEER);
    put_bytes(&body, 2, "a\0b", 3);
    put_header(&header, FIELD_REFUSAL, &body);
    refused_bytes(header.at, header.size, 0, "a zero byte in a refusal's text");
    body.size = 0;
    put_bytes(&body, 6, text, 1024);
    put_header(&header, FIELD_ORDER, &body);
    refused_bytes(header.at, header.size, 0, "an order's path of 1024 bytes");
    body.size = 0;
    put_bytes(&body, 2, text, 64);
    put_header(&header, FIELD_STATUS, &body);
    refused_bytes(header.at, header.size, 0, "a host's name of 64 bytes");
}

static void test_no_header_at_all(void **state)
{
    static struct bytes header;
    struct message found;
    struct err err;

    (void)state;
    refused_bytes(header.at, 0, 0, "the role is 0");
    put_number(&header, FIELD_ROLE, ROLE_SERVER);
    refused_bytes(header.at, header.size, 0, "none of the kinds");
    put_bytes(&header, 99, "\x08\x01", 2); /* a kind of a later version */
    refused_bytes(header.at, header.size, 0, "none of the kinds");
    refused_bytes((const unsigned char *)"GET / HTTP/1.1\r\n", 16, 0, "no header");
    refused_bytes(header.at, sizeof header.at, 0, "the header's length is 131072");
    /* The bound itself is not the bytes' fault: a small header far below decodes. */
    put_header(&header, FIELD_ACK, NULL);
    assert_int_equal(message_decode(&found, header.at, header.size, 0, &err), 0);
}

/* Unknown fields cost memory in the unpacker: a header full of them must find its end.
 */
static void test_hostile_header_gets_no_memory(void **state)
{
    static struct bytes header;

    (void)state;
    put_header(&header, FIELD_ACK, NULL);
    while (header.size + 3 <= MESSAGE_HEADER_MAX)
        put_number(&header, 100, 1);
    refused_bytes(header.at, header.size, 0, "no header");
    put_header(&header, FIELD_ACK, NULL);
    while (header.size + 2 <= MESSAGE_HEADER_MAX)
        put_bytes(&header, FIELD_SECTION, NULL, 0);
    refused_bytes(header.at, header.size, 0, "malformed message");
}

/* Any beginning of a good header is good or refused, never read past. */
static void test_every_truncation_is_safe(void **state)
{
    unsigned char bytes[MESSAGE_HEADER_MAX];
    unsigned accepted = 0;

    (void)state;
    for (int i = 0; i < WIRE_SAMPLES; i++) {
        struct message message, found;
        struct err err;
        size_t size;

        wire_sample(wire_sample_kinds[i].kind, &message);
        size = encode(&message, bytes);
        for (size_t cut = 0; cut < size; cut++) {
            unsigned char *exact = malloc(cut ? cut : 1);

            memcpy(exact, bytes, cut);
            accepted += message_decode(&found, exact, cut, message.body_bytes, &err) ==
                        0;
            free(exact);
        }
    }
    assert_int_equal(accepted, 0); /* the body comes last, or its size is wrong */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layout_places_arrays),
        cmocka_unit_test(test_layout_is_bounded),
        cmocka_unit_test(test_every_kind_comes_back),
        cmocka_unit_test(test_least_values_come_back),
        cmocka_unit_test(test_largest_status_comes_back),
        cmocka_unit_test(test_largest_order_comes_back),
        cmocka_unit_test(test_most_sections_come_back),
        cmocka_unit_test(test_text_without_end_is_cut),
        cmocka_unit_test(test_sender_can_be_given),
        cmocka_unit_test(test_headers_are_small),
        cmocka_unit_test(test_data_path_uses_no_heap),
        cmocka_unit_test(test_senders_are_bounded),
        cmocka_unit_test(test_sections_are_bounded),
        cmocka_unit_test(test_bodies_have_the_size_of_their_sections),
        cmocka_unit_test(test_pushes_are_bounded),
        cmocka_unit_test(test_question_of_a_push),
        cmocka_unit_test(test_control_messages_are_bounded),
        cmocka_unit_test(test_counts_are_bounded),
        cmocka_unit_test(test_histograms_and_texts_are_bounded),
        cmocka_unit_test(test_no_header_at_all),
        cmocka_unit_test(test_hostile_header_gets_no_memory),
        cmocka_unit_test(test_every_truncation_is_safe),
    };

    return cmocka_run_group_tests_name("codec", tests, NULL, NULL);
}
