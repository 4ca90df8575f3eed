/* The server's core, message by message: whom it refuses, what it makes, what it
 * applies once, and what it remembers when its process dies. */
#include "tests/unit/core_kit.h"

static struct ack ack_of(uint64_t clock, uint32_t part, bool resend)
{
    return (struct ack){.clock = clock, .part = part, .resend = resend};
}

static void assert_refused(const struct core_kit *kit, uint32_t code, const char *part)
{
    assert_int_equal(kit->out.kind, MESSAGE_REFUSAL);
    assert_int_equal(kit->out.refusal.code, code);
    assert_int_equal(kit->out.sections, 0);
    assert_null(kit->body);
    if (!strstr(kit->out.refusal.text, part))
        fail_msg("'%s' does not say '%s'", kit->out.refusal.text, part);
}

static void pull(struct core_kit *kit, uint32_t worker, uint64_t clock, uint64_t key)
{
    kit_pull(kit, worker, clock, 0, &key, 1);
    assert_int_equal(kit_handle(kit), 0);
    assert_int_equal(kit->out.kind, MESSAGE_ROWS);
}

/* Pushes one key of table 0; `ack` is what must come back. */
static void push(struct core_kit *kit, uint32_t worker, struct push what, uint64_t key,
                 float value, struct ack ack)
{
    kit_push(kit, worker, what, 0, &key, 1, value);
    assert_int_equal(kit_handle(kit), 0);
    assert_int_equal(kit->out.kind, MESSAGE_ACK);
    assert_int_equal(kit->out.ack.clock, ack.clock);
    assert_int_equal(kit->out.ack.part, ack.part);
    assert_int_equal(kit->out.ack.resend, ack.resend);
    assert_null(kit->body);
}

static float value_of(const struct core_kit *kit, uint64_t key)
{
    uint32_t tables;
    const struct table *table = core_tables(kit->core, &tables)[0];
    float *row;

    table_find(table, &key, 1, &row);
    assert_non_null(row);
    return row[0];
}

static uint64_t rows_of(const struct core_kit *kit, uint32_t table)
{
    uint32_t tables;

    return table_rows(core_tables(kit->core, &tables)[table]);
}

static struct status *status_of(const struct core_kit *kit)
{
    static struct status status;

    memset(&status, 0, sizeof status);
    core_fill_status(kit->core, &status);
    return &status;
}

/* --- refusals ------------------------------------------------------------------------
 */

static void test_strangers(void **state)
{
    struct core_kit *kit = core_kit_create(1, 3);
    const uint64_t key = 5;

    (void)state;
    kit_pull(kit, 3, 1, 0, &key, 1);
    assert_int_equal(kit_handle(kit), 0);
    assert_refused(kit, ERR_PEER, "knows workers 0 to 2, not 3");
    kit_pull(kit, 0, 1, 0, &key, 1);
    kit->in.role = ROLE_SERVER;
    assert_int_equal(kit_handle(kit), 0);
    assert_refused(kit, ERR_PEER, "knows workers");
    kit_from_worker(kit, 0, MESSAGE_STATUS);
    assert_int_equal(kit_handle(kit), 0);
    assert_refused(kit, ERR_PEER, "serves pulls and pushes");
    assert_int_equal(rows_of(kit, 0), 0);
    core_kit_destroy(kit);
}

/* Nothing that a worker's earlier process has sent counts any more, also when the
 * server has been restarted since. */
static void test_stale_process(void **state)
{
    struct core_kit *kit = core_kit_create(1, 2);
    const uint64_t key = 5;

    (void)state;
    for (uint32_t i = 0; i < 3; i++) {
        kit_push(kit, 1, (struct push){1, 0, 0, 1}, 0, &key, 1, 1);
        kit->in.incarnation = i < 2 ? i + 1 : 1;
        assert_int_equal(kit_handle(kit), 0);
        if (i < 2)
            assert_int_equal(kit->out.kind, MESSAGE_ACK);
    }
    assert_refused(kit, ERR_PEER,
                   "worker 1 has been restarted; incarnation 1 is stale");
    core_kit_restart(kit);
    kit_pull(kit, 1, 2, 0, &key, 1);
    kit->in.incarnation = 1;
    assert_int_equal(kit_handle(kit), 0);
    assert_refused(kit, ERR_PEER,
                   "worker 1 has been restarted; incarnation 1 is stale");
    kit_push(kit, 0, (struct push){1, 0, 0, 1}, 0, &key, 1, 1); /* of another worker */
    assert_int_equal(kit_handle(kit), 0);
    assert_int_equal(kit->out.kind, MESSAGE_ACK);
    core_kit_destroy(kit);
}

static void test_unfit_sections(void **state)
{
    struct core_kit *kit = core_kit_create(2, 1);
    uint64_t ours = kit_key(kit, 0, true, 0), theirs = kit_key(kit, 0, false, 0);
    uint64_t both[2] = {ours, theirs};

    (void)state;
    kit_pull(kit, 0, 1, 2, &ours, 1);
    assert_int_equal(kit_handle(kit), 0);
    assert_refused(kit, ERR_PEER, "named table 2, there are 2");

    kit_push(kit, 0, (struct push){1, 0, 0, 1}, 0, &ours, 1, 1);
    kit->in.section[0].width = 4;
    assert_int_equal(kit_handle(kit), 0);
    assert_refused(kit, ERR_PEER, "pushed rows of 4 floats to table user, which has 3");

    kit_pull(kit, 0, 1, 0, both, 2);
    assert_int_equal(kit_handle(kit), 0);
    assert_refused(kit, ERR_PEER, "of table user to server 0, which does not own it");
    kit_push(kit, 0, (struct push){1, 0, 0, 1}, 0, both, 2, 1);
    assert_int_equal(kit_handle(kit), 0);
    assert_refused(kit, ERR_PEER, "does not own it");

    /* Nothing of it was done, and the worker is not held to be further. */
    assert_int_equal(rows_of(kit, 0), 0);
    push(kit, 0, (struct push){1, 0, 0, 1}, ours, 1, ack_of(1, 0, false));
    core_kit_destroy(kit);
}

/* A dense table's rows are all there, a run of them here; others are refused. */
static void test_dense_tables(void **state)
{
    struct core_kit *kit = core_kit_create(3, 1);
    const uint64_t rows = 1000, first = row_first(rows, 1, 3),
                   end = row_first(rows, 2, 3);
    uint64_t key[] = {first, end - 1, 0};

    (void)state;
    kit->job.table[0].rows = (int64_t)rows;
    kit->index = 1;
    core_kit_renew(kit);
    assert_int_equal(rows_of(kit, 0), end - first);
    assert_in_range(end - first, rows / 3 - 1, rows / 3 + 1);
    for (uint64_t k = 0; k < rows; k++)
        assert_int_equal(core_owns(kit->core, 0, k), k >= first && k < end);
    kit_push(kit, 0, (struct push){1, 0, 0, 1}, 0, key, 2, 4);
    assert_int_equal(kit_handle(kit), 0);
    assert_int_equal(kit->out.ack.clock, 1);
    assert_true(value_of(kit, first) == 4 && value_of(kit, end - 1) == 4);
    assert_true(value_of(kit, first + 1) == 0);
    for (int i = 0; i < 3; i++) {
        key[2] = (uint64_t[]){first - 1, rows, UINT64_MAX}[i];
        kit_pull(kit, 0, 2, 0, key, 3);
        assert_int_equal(kit_handle(kit), 0);
        assert_refused(kit, ERR_PEER,
                       i == 0 ? "to server 1, which does not own it"
                              : "of table user, whose rows are 0 to 999");
        kit_push(kit, 0, (struct push){2, 1, 0, 1}, 0, key, 3, 4);
        assert_int_equal(kit_handle(kit), 0);
        assert_refused(kit, ERR_PEER, i == 0 ? "does not own it" : "are 0 to 999");
    }
    core_kit_restart(kit);
    assert_true(value_of(kit, first) == 4);
    assert_int_equal(rows_of(kit, 0), end - first);
    core_kit_destroy(kit);
}

static void test_dense_tables_need_their_memory(void **state)
{
    struct core_kit *kit = core_kit_create(1, 1);
    struct core *core;
    struct err err;

    (void)state;
    core_destroy(kit->core);
    madvise(kit->region.base, kit->region.size, MADV_DONTNEED);
    kit->job.table[1].rows = 3000000;
    assert_int_equal(
        core_create(&kit->job, 0, 1, 1, &kit->region, kit->pool, &core, &err),
        -ERR_MEMORY);
    assert_string_equal(err.text,
                        "server 0: table side: the 3000000 of its rows that are here "
                        "(tables.side.rows is 3000000) do not fit into "
                        "cluster.memory_max (32 MiB) with what else is in it; raise it "
                        "or add servers");
    kit->core = NULL;
    core_kit_destroy(kit);
}

/* 32 KiB of keys whose rows would take 64 MB and more. */
static void test_answer_too_large(void **state)
{
    struct core_kit *kit = core_kit_create(1, 1);
    uint64_t *key = calloc(4096, sizeof *key);

    (void)state;
    core_destroy(kit->core);
    munmap(kit->region.base, KIT_REGION_BYTES);
    kit->job.table[1].dim = 16384;
    kit->region.base = mmap(NULL, KIT_REGION_BYTES, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    kit_core_open(kit);
    kit_pull(kit, 0, 1, 1, key, 4096);
    assert_int_equal(kit_handle(kit), 0);
    assert_refused(kit, ERR_PEER, "asked for more rows than fit an answer");
    assert_int_equal(rows_of(kit, 1), 0);
    free(key);
    core_kit_destroy(kit);
}

/* A server without a buffer for an answer does not give up: the worker asks again. */
static void test_no_buffer(void **state)
{
    struct core_kit *kit = core_kit_create(1, 1);
    struct buffer *held[64];
    uint32_t n = 0;

    (void)state;
    while (n < 64 && (held[n] = buffer_get(kit->pool, 32 << 20)))
        n++;
    while (n < 64 && (held[n] = buffer_get(kit->pool, 1)))
        n++;
    if (n < 64) {
        kit_pull(kit, 0, 9, 0, (uint64_t[]){1}, 1);
        assert_int_equal(kit_handle(kit), -1);
        assert_int_equal(rows_of(kit, 0), 0);
        assert_int_equal(status_of(kit)->table[0].staleness[0], 0);
    }
    assert_true(n < 64);
    while (n)
        buffer_unref(held[--n]);
    pull(kit, 0, 9, 1);
    core_kit_destroy(kit);
}

/* --- reading -------------------------------------------------------------------------
 */

static void test_read_only_makes_nothing(void **state)
{
    struct core_kit *kit = core_kit_create(1, 1);
    struct section_layout at;
    const float *values;

    (void)state;
    push(kit, 0, (struct push){1, 0, 0, 1}, 10, 4, ack_of(1, 0, false));
    kit_pull(kit, 0, 0, 0, (uint64_t[]){10, 11}, 2);
    kit->in.pull.read_only = true;
    assert_int_equal(kit_handle(kit), 0);
    assert_int_equal(kit->out.kind, MESSAGE_ROWS);
    assert_int_equal(kit->out.rows.request, 77);
    assert_int_equal(kit->out.sections, 1);
    assert_true(kit->out.section[0].has_status);
    assert_int_equal(message_layout(MESSAGE_ROWS, kit->out.section, 1, &at),
                     kit->body->used);
    assert_int_equal(kit->body->data[at.status], ROW_OK);
    assert_int_equal(kit->body->data[at.status + 1], ROW_ABSENT);
    values = (const float *)(kit->body->data + at.values);
    for (int i = 0; i < 3; i++) {
        assert_true(values[i] == 4);
        assert_true(values[3 + i] == 0);
    }
    assert_int_equal(rows_of(kit, 0), 1);
    assert_int_equal(status_of(kit)->table[0].staleness[0], 0);

    kit_pull(kit, 0, 2, 0, (uint64_t[]){10, 11}, 2);
    assert_int_equal(kit_handle(kit), 0);
    assert_false(kit->out.section[0].has_status);
    assert_int_equal(rows_of(kit, 0), 2);
    assert_int_equal(status_of(kit)->table[0].staleness[1], 0);
    assert_int_equal(status_of(kit)->table[0].staleness[0], 1);
    core_kit_destroy(kit);
}

/* --- pushing -------------------------------------------------------------------------
 */

static void test_push_order(void **state)
{
    struct core_kit *kit = core_kit_create(1, 2);

    (void)state;
    push(kit, 0, (struct push){0, 0, 0, 1}, 1, 9, ack_of(0, 0, false)); /* asks */
    assert_int_equal(rows_of(kit, 0), 0);
    push(kit, 0, (struct push){3, 0, 0, 1}, 1, 1, ack_of(3, 0, false));
    push(kit, 0, (struct push){3, 0, 0, 1}, 1, 1, ack_of(3, 0, false)); /* again */
    push(kit, 0, (struct push){9, 7, 0, 1}, 1, 1, ack_of(3, 0, true));  /* early */
    push(kit, 0, (struct push){7, 3, 0, 1}, 1, 1, ack_of(7, 0, false));
    push(kit, 0, (struct push){9, 7, 0, 1}, 1, 1, ack_of(9, 0, false));
    push(kit, 0, (struct push){3, 0, 0, 1}, 1, 1, ack_of(9, 0, false));
    assert_true(value_of(kit, 1) == 3);
    /* Another worker's clocks are its own. */
    push(kit, 1, (struct push){1, 0, 0, 1}, 1, 1, ack_of(1, 0, false));
    assert_true(value_of(kit, 1) == 4);
    assert_int_equal(status_of(kit)->pushes_applied, 4);
    assert_int_equal(status_of(kit)->pushes_duplicate, 2);
    core_kit_destroy(kit);
}

static void test_parts_in_order(void **state)
{
    struct core_kit *kit = core_kit_create(1, 1);

    (void)state;
    push(kit, 0, (struct push){1, 0, 1, 3}, 1, 1, ack_of(0, 0, true));
    push(kit, 0, (struct push){1, 0, 0, 3}, 1, 1, ack_of(0, 1, false));
    push(kit, 0, (struct push){1, 0, 0, 3}, 1, 1, ack_of(0, 1, false));
    push(kit, 0, (struct push){1, 0, 2, 3}, 1, 1, ack_of(0, 1, true));
    push(kit, 0, (struct push){1, 0, 1, 3}, 1, 1, ack_of(0, 2, false));
    push(kit, 0, (struct push){2, 1, 0, 1}, 1, 1, ack_of(0, 2, true));
    assert_int_equal(status_of(kit)->pushes_applied, 0);
    push(kit, 0, (struct push){1, 0, 2, 3}, 1, 1, ack_of(1, 0, false));
    push(kit, 0, (struct push){1, 0, 2, 3}, 1, 1, ack_of(1, 0, false));
    assert_true(value_of(kit, 1) == 3);
    assert_int_equal(status_of(kit)->pushes_applied, 1);
    core_kit_destroy(kit);
}

/* The rate is that of the push's clock, for each worker and each part. */
static void test_rate_of_the_clock(void **state)
{
    struct core_kit *kit = core_kit_create(1, 2);

    (void)state;
    kit->job.optimizer.warmup = 8;
    core_kit_restart(kit);
    push(kit, 0, (struct push){2, 0, 0, 1}, 1, 8, ack_of(2, 0, false));
    assert_true(value_of(kit, 1) == 2);
    push(kit, 1, (struct push){1, 0, 0, 1}, 1, 8, ack_of(1, 0, false));
    assert_true(value_of(kit, 1) == 3);
    push(kit, 0, (struct push){7, 2, 0, 2}, 1, 8, ack_of(2, 1, false));
    core_kit_restart(kit);
    push(kit, 0, (struct push){7, 2, 1, 2}, 2, 8, ack_of(7, 0, false));
    assert_true(value_of(kit, 1) == 10 && value_of(kit, 2) == 7);
    push(kit, 0, (struct push){100, 7, 0, 1}, 2, 8, ack_of(100, 0, false));
    assert_true(value_of(kit, 2) == 15);
    core_kit_destroy(kit);
}

/* A table's rows are changed by its own rule, and have the state that it needs. */
static void test_each_table_has_its_optimizer(void **state)
{
    static struct job job;
    const struct table *side;
    const uint64_t key = 9;
    struct core_kit *kit;
    uint32_t tables;
    float *row;

    (void)state;
    kit_job_init(&job);
    job.table[1].optimizer.kind = OPTIMIZER_ADAGRAD;
    job.table[1].optimizer.rate = 0.5;
    job.table[1].optimizer.initial = 7;
    kit = core_kit_create_for(&job, 1, 1);
    assert_int_equal(core_tables(kit->core, &tables)[0]->spec.state_width, 0);
    side = core_tables(kit->core, &tables)[1];
    assert_int_equal(side->spec.state_width, 4);
    push(kit, 0, (struct push){1, 0, 0, 1}, key, 3, ack_of(1, 0, false));
    kit_push(kit, 0, (struct push){2, 1, 0, 1}, 1, &key, 1, 3);
    assert_int_equal(kit_handle(kit), 0);
    assert_true(value_of(kit, key) == 3); /* rate 1 */
    table_find(side, &key, 1, &row);
    assert_non_null(row);
    assert_true(row[4] == 16);                 /* 7 + 3^2 */
    assert_true(row[0] == 0.5f * 3.0f / 4.0f); /* and its root */
    core_kit_destroy(kit);
}

/* First values from elsewhere: the rest of the row begins as ever, twice is as once. */
static void test_first_values_are_given(void **state)
{
    struct core_kit *kit = core_kit_create(1, 1);
    const float values[] = {5, 6, 7};
    const uint64_t key = 9;
    struct err err = {0, ""};

    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(core_first_row(kit->core, 0, key, values, 2, &err), 0);
        assert_int_equal(rows_of(kit, 0), 1);
        core_kit_restart(kit);
    }
    assert_true(value_of(kit, key) == 5);
    push(kit, 0, (struct push){1, 0, 0, 1}, key, 1, ack_of(1, 0, false));
    assert_true(value_of(kit, key) == 6);
    for (uint64_t k = 0; err.code == 0; k++) /* until it is full */
        core_first_row(kit->core, 1, k, values, 3, &err);
    assert_int_equal(err.code, ERR_MEMORY);
    assert_string_equal(err.text, "server 0: the vectors of table side pass "
                                  "cluster.memory_max (32 MiB); raise it or add "
                                  "servers");
    core_kit_destroy(kit);
}

static void test_sessions_survive(void **state)
{
    struct core_kit *kit = core_kit_create(1, 2);

    (void)state;
    push(kit, 0, (struct push){4, 0, 0, 1}, 1, 1, ack_of(4, 0, false));
    push(kit, 0, (struct push){6, 4, 0, 2}, 1, 1, ack_of(4, 1, false));
    push(kit, 1, (struct push){1, 0, 0, 1}, 2, 5, ack_of(1, 0, false));
    core_kit_restart(kit);
    assert_true(value_of(kit, 1) == 2 && value_of(kit, 2) == 5);
    push(kit, 0, (struct push){0, 0, 0, 1}, 1, 1, ack_of(4, 1, false));
    push(kit, 0, (struct push){6, 4, 0, 2}, 1, 1, ack_of(4, 1, false));
    push(kit, 0, (struct push){6, 4, 1, 2}, 1, 1, ack_of(6, 0, false));
    push(kit, 1, (struct push){1, 0, 0, 1}, 2, 5, ack_of(1, 0, false));
    assert_true(value_of(kit, 1) == 3 && value_of(kit, 2) == 5);
    assert_int_equal(status_of(kit)->pushes_applied, 3);
    core_kit_destroy(kit);
}

static void test_other_settings(void **state)
{
    struct core_kit *kit = core_kit_create(1, 1);
    struct core *core;
    struct err err;

    (void)state;
    kit->job.table[1].dim = 5;
    assert_int_equal(
        core_create(&kit->job, 0, 1, 1, &kit->region, kit->pool, &core, &err),
        -ERR_INPUT);
    assert_non_null(
        strstr(err.text, "server 0: table side: the table was made with dim"));
    core_kit_destroy(kit);
}

/* --- staleness -----------------------------------------------------------------------
 */

static void assert_staleness(const struct core_kit *kit, const uint64_t *count, int n)
{
    const struct table_facts *facts = &status_of(kit)->table[0];

    for (int b = 0; b < STALENESS_BUCKETS; b++)
        if (facts->staleness[b] != (b < n ? count[b] : 0))
            fail_msg("%llu reads of staleness %d",
                     (unsigned long long)facts->staleness[b], b);
}

static void test_staleness_of_one_held_back(void **state)
{
    struct core_kit *kit = core_kit_create(1, 2);

    (void)state;
    kit_begin(kit, 1, 0, 2);
    for (uint64_t clock = 1; clock <= 4; clock++) {
        pull(kit, 0, clock, 1);
        assert_int_equal(kit->out.rows.vintage, 0);
        push(kit, 0, (struct push){clock, clock - 1, 0, 1}, 1, 1,
             ack_of(clock, 0, false));
    }
    assert_staleness(kit, (uint64_t[]){1, 1, 1, 1}, 4);
    /* Without data it holds nobody back. */
    kit_say(kit, 1, (struct reach){1, 0, 0, true, 0});
    pull(kit, 0, 5, 1);
    assert_int_equal(kit->out.rows.vintage, 4);
    assert_staleness(kit, (uint64_t[]){2, 1, 1, 1}, 4);
    /* Pulls ahead are as stale as what is on its way. */
    pull(kit, 0, 6, 1);
    assert_int_equal(kit->out.rows.vintage, 4);
    assert_staleness(kit, (uint64_t[]){2, 2, 1, 1}, 4);
    core_kit_destroy(kit);
}

/* A clock without rows here is behind its worker once it says so, but not before the
 * pushes that it names have been applied. */
static void test_clocks_without_rows(void **state)
{
    struct core_kit *kit = core_kit_create(1, 2);

    (void)state;
    kit_begin(kit, 1, 0, 2);
    kit_say(kit, 1, (struct reach){1, 9, 0, true, 0});
    kit_say(kit, 0, (struct reach){1, 7, 3, false, 0});
    assert_int_equal(kit->out.ack.through, 0);
    push(kit, 0, (struct push){3, 0, 0, 1}, 1, 1, ack_of(3, 0, false));
    assert_int_equal(kit->out.ack.through, 7);
    kit_say(kit, 0, (struct reach){1, 5, 3, false, 0}); /* late */
    assert_int_equal(kit->out.ack.through, 7);
    assert_int_equal(kit->out.ack.idle_order, 0);
    kit_say(kit, 0, (struct reach){1, 7, 3, true, 0});
    assert_int_equal(kit->out.ack.idle_order, 1);
    core_kit_destroy(kit);
}

/* Clocks go on where a checkpoint left them; who has no share is idle at once. */
static void test_staleness_after_resume(void **state)
{
    struct core_kit *kit = core_kit_create(1, 2);

    (void)state;
    kit_begin(kit, 4, 5000, 1);
    pull(kit, 1, 5001, 1);
    push(kit, 1, (struct push){5001, 0, 0, 1}, 1, 1, ack_of(5001, 0, false));
    pull(kit, 1, 5002, 1);
    assert_staleness(kit, (uint64_t[]){2}, 1);
    core_kit_restart(kit);
    kit_begin(kit, 4, 5000, 1);
    kit_say(kit, 1, (struct reach){4, 5001, 5001, false, 0});
    assert_int_equal(kit->out.ack.through, 5001);
    core_kit_destroy(kit);
}

/* --- consistency ---------------------------------------------------------------------
 */

static struct core_kit *kit_with(int consistency, uint32_t staleness)
{
    struct core_kit *kit = core_kit_create(1, 2);

    kit->job.train.consistency = consistency;
    kit->job.train.staleness = staleness;
    return kit;
}

static void test_ssp_gate(void **state)
{
    struct core_kit *kit = kit_with(CONSISTENCY_SSP, 2);

    (void)state;
    /* Before the order has come to the server, nobody goes ahead. */
    assert_int_equal(kit_gated_pull(kit, 0, 1, (struct reach){1, 0, 0, false, 0}), -1);
    kit_begin(kit, 1, 0, 2);
    assert_int_equal(kit_next(kit), 0);
    assert_int_equal(kit->out.kind, MESSAGE_ROWS);
    assert_int_equal(kit_gated_pull(kit, 0, 3, (struct reach){1, 2, 0, false, 0}), 0);
    assert_int_equal(kit_gated_pull(kit, 0, 4, (struct reach){1, 3, 0, false, 0}), -1);
    /* Asked again, it is told that we live. */
    assert_int_equal(kit_gated_pull(kit, 0, 4, (struct reach){1, 3, 0, false, 0}), 0);
    assert_int_equal(kit->out.kind, MESSAGE_ACK);
    kit_say(kit, 1, (struct reach){1, 1, 0, false, 0});
    assert_int_equal(kit_next(kit), 0);
    assert_int_equal(kit->out.kind, MESSAGE_ROWS);
    core_kit_destroy(kit);
}

/* From when it was first asked for; one that is answered at once was not parked. */
static void test_how_long_pulls_are_parked(void **state)
{
    struct core_kit *kit = kit_with(CONSISTENCY_SSP, 1);

    (void)state;
    core_set_time(kit->core, 100);
    kit_begin(kit, 1, 0, 2);
    assert_int_equal(kit_gated_pull(kit, 0, 2, (struct reach){1, 1, 0, false, 0}), 0);
    assert_int_equal(kit->out.rows.parked_us, 0);
    core_set_time(kit->core, 101);
    assert_int_equal(kit_gated_pull(kit, 0, 3, (struct reach){1, 2, 0, false, 0}), -1);
    core_set_time(kit->core, 102.5);
    assert_int_equal(kit_gated_pull(kit, 0, 3, (struct reach){1, 2, 0, false, 0}), 0);
    assert_int_equal(kit->out.kind, MESSAGE_ACK);
    core_set_time(kit->core, 104);
    kit_say(kit, 1, (struct reach){1, 1, 0, false, 0});
    assert_int_equal(kit_next(kit), 0);
    assert_int_equal(kit->out.kind, MESSAGE_ROWS);
    assert_int_equal(kit->out.rows.parked_us, 3000000);
    core_kit_destroy(kit);
}

/* Pulls that a stop has cut off are nobody's: with the next order their memory is back.
 */
static void test_pulls_of_an_order_that_is_over(void **state)
{
    struct core_kit *kit = kit_with(CONSISTENCY_SSP, 0);
    uint64_t *key = calloc(KIT_BODY_BYTES / 8, sizeof *key);
    struct buffer *large;

    (void)state;
    kit_begin(kit, 1, 0, 2);
    for (uint64_t i = 0; i < 48; i++) {
        kit_pull(kit, 0, 2, 0, key, KIT_BODY_BYTES / 8);
        kit->in.pull.request = 100 + i;
        kit->in.pull.reach = (struct reach){1, 1, 0, false, 0};
        assert_int_equal(kit_handle(kit), -1);
    }
    assert_null(buffer_get(kit->pool, 32 << 20));
    kit_begin(kit, 2, 5, 2);
    assert_int_equal(kit_next(kit), -1);
    large = buffer_get(kit->pool, 32 << 20);
    assert_non_null(large);
    buffer_unref(large);
    free(key);
    core_kit_destroy(kit);
}

/* bsp: pushes of a clock are applied together, and a pull waits for all of them. */
static void test_bsp_turns(void **state)
{
    struct core_kit *kit = kit_with(CONSISTENCY_BSP, 0);
    uint64_t key = 1;

    (void)state;
    kit_begin(kit, 1, 0, 2);
    kit_push(kit, 1, (struct push){1, 0, 0, 1}, 0, &key, 1, 5);
    assert_int_equal(kit_handle(kit), -1);
    assert_int_equal(kit_gated_pull(kit, 1, 2, (struct reach){1, 1, 1, false, 0}), -1);
    kit_push(kit, 0, (struct push){1, 0, 0, 1}, 0, &key, 1, 7);
    assert_int_equal(kit_handle(kit), 0); /* worker 0 first */
    assert_int_equal(kit->out.kind, MESSAGE_ACK);
    assert_int_equal(kit_next(kit), 0);
    assert_int_equal(kit->out.kind, MESSAGE_ACK);
    assert_int_equal(kit_next(kit), 0);
    assert_int_equal(kit->out.kind, MESSAGE_ROWS);
    assert_int_equal(kit_next(kit), -1);
    assert_true(value_of(kit, 1) == 12);
    core_kit_destroy(kit);
}

/* --- restoring -----------------------------------------------------------------------
 */

static void test_restored_rows(void **state)
{
    struct core_kit *kit = core_kit_create(1, 1);
    unsigned char bytes[1 + 3 * sizeof(float)];
    const float values[3] = {1.5f, -2, 3};
    struct err err;

    (void)state;
    memcpy(bytes + 1, values, sizeof values); /* not aligned */
    for (int again = 0; again < 2; again++)
        assert_int_equal(core_restore_row(kit->core, 0, 42, bytes + 1, &err), 0);
    assert_int_equal(rows_of(kit, 0), 1);
    assert_true(value_of(kit, 42) == 1.5f);
    assert_true(status_of(kit)->table[0].bytes > 0);
    assert_int_equal(status_of(kit)->tables, 2);
    core_kit_destroy(kit);
}

static void test_every_key_has_one_owner(void **state)
{
    struct core_kit *kit[3];

    (void)state;
    for (uint32_t s = 0; s < 3; s++) {
        struct err err;

        kit[s] = core_kit_create(3, 1);
        core_destroy(kit[s]->core);
        assert_int_equal(core_create(&kit[s]->job, s, 3, 1, &kit[s]->region,
                                     kit[s]->pool, &kit[s]->core, &err),
                         0);
    }
    for (uint64_t key = 0; key < 3000; key++)
        assert_int_equal(core_owns(kit[0]->core, 1, key) +
                             core_owns(kit[1]->core, 1, key) +
                             core_owns(kit[2]->core, 1, key),
                         1);
    for (uint32_t s = 0; s < 3; s++)
        core_kit_destroy(kit[s]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strangers),
        cmocka_unit_test(test_stale_process),
        cmocka_unit_test(test_unfit_sections),
        cmocka_unit_test(test_dense_tables),
        cmocka_unit_test(test_dense_tables_need_their_memory),
        cmocka_unit_test(test_answer_too_large),
        cmocka_unit_test(test_no_buffer),
        cmocka_unit_test(test_read_only_makes_nothing),
        cmocka_unit_test(test_push_order),
        cmocka_unit_test(test_parts_in_order),
        cmocka_unit_test(test_rate_of_the_clock),
        cmocka_unit_test(test_each_table_has_its_optimizer),
        cmocka_unit_test(test_first_values_are_given),
        cmocka_unit_test(test_sessions_survive),
        cmocka_unit_test(test_other_settings),
        cmocka_unit_test(test_staleness_of_one_held_back),
        cmocka_unit_test(test_staleness_after_resume),
        cmocka_unit_test(test_clocks_without_rows),
        cmocka_unit_test(test_ssp_gate),
        cmocka_unit_test(test_how_long_pulls_are_parked),
        cmocka_unit_test(test_bsp_turns),
        cmocka_unit_test(test_pulls_of_an_order_that_is_over),
        cmocka_unit_test(test_restored_rows),
        cmocka_unit_test(test_every_key_has_one_owner),
    };

    return cmocka_run_group_tests_name("core", tests, NULL, NULL);
}
