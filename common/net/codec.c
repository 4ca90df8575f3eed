/* Messages to headers and back. The only user of the generated wire code, and the only
 * door for what peers say: every number is bounded here before anyone uses it. */
#include <assert.h>
#include <string.h>

#include "common/net/message.h"
#include "common/net/roster.h"
#include "proto/wire.pb-c.h"

/* As many as data.bad_rows_max may be: sums over all workers do not overflow. */
static const uint64_t bad_rows_max = 1000000000000000;

_Static_assert((int)WIRE__ROLE__ROLE_SERVER == ROLE_SERVER &&
                   (int)WIRE__ROLE__ROLE_WORKER == ROLE_WORKER &&
                   (int)WIRE__ROLE__ROLE_COORDINATOR == ROLE_COORDINATOR,
               "roles are the same in C and on the wire");
_Static_assert((int)WIRE__PHASE__PHASE_ENDED == PHASE_ENDED, "so are phases");
_Static_assert((int)WIRE__ORDER_KIND__ORDER_END == ORDER_END, "and orders");
_Static_assert(sizeof(struct range) == 2 * sizeof(uint64_t),
               "a list of ranges is a list of numbers, too");

void status_copy(struct status *to, const struct status *from)
{
    memcpy(to, from,
           offsetof(struct status, table) + from->tables * sizeof from->table[0]);
}

/* ---- sizes ---- */

static size_t padded(size_t bytes, size_t to)
{
    return (bytes + to - 1) & ~(to - 1);
}

/* Places one section's arrays at `at`; returns where the next section begins. The
 * bounds of rows and width keep this far below the range of size_t. */
static size_t section_place(enum message_kind kind, const struct section *section,
                            size_t at, struct section_layout *layout)
{
    size_t rows = section->rows;

    *layout = (struct section_layout){0};
    if (kind != MESSAGE_ROWS) {
        layout->keys = at;
        at += rows * sizeof(uint64_t);
    }
    if (kind == MESSAGE_PULL || kind == MESSAGE_STATUS)
        return at;
    if (kind == MESSAGE_PUSH) {
        layout->weights = at;
        at += rows * sizeof(float);
    } else if (section->has_status) {
        layout->status = at;
        at += padded(rows, sizeof(float));
    }
    layout->values = at;
    return padded(at + rows * section->width * sizeof(float), 8);
}

static bool has_sections(enum message_kind kind)
{
    return kind == MESSAGE_PULL || kind == MESSAGE_ROWS || kind == MESSAGE_PUSH ||
           kind == MESSAGE_STATUS;
}

size_t message_layout(enum message_kind kind, const struct section *section,
                      uint32_t sections, struct section_layout *layout)
{
    size_t bytes = 0;

    if (!has_sections(kind))
        return 0;
    if (sections > MESSAGE_SECTIONS_MAX)
        return (size_t)-1;
    for (uint32_t i = 0; i < sections; i++) {
        struct section_layout place;

        if (section[i].width > MESSAGE_WIDTH_MAX)
            return (size_t)-1;
        bytes = section_place(kind, &section[i], bytes, &place);
        if (bytes > MESSAGE_BODY_MAX)
            return (size_t)-1;
        if (layout)
            layout[i] = place;
    }
    return bytes;
}

/* ---- to the wire ---- */

/* What a header points to while it is packed. */
struct parts {
    Wire__Section section[MESSAGE_SECTIONS_MAX];
    Wire__Section *sections[MESSAGE_SECTIONS_MAX];
    Wire__DataFacts data;
    Wire__TableFacts table[STATUS_TABLES_MAX];
    Wire__TableFacts *tables[STATUS_TABLES_MAX];
    Wire__Reach reach;
    union {
        Wire__Pull pull;
        Wire__Rows rows;
        Wire__Push push;
        Wire__Ack ack;
        Wire__Refusal refusal;
        Wire__Status status;
        Wire__Order order;
    };
};

static ProtobufCBinaryData put_text(const char *text, size_t capacity)
{
    return (ProtobufCBinaryData){strnlen(text, capacity - 1), (uint8_t *)text};
}

static void put_sections(Wire__Header *header, const struct message *message,
                         struct parts *parts)
{
    assert(message->sections <= MESSAGE_SECTIONS_MAX);
    for (uint32_t i = 0; i < message->sections; i++) {
        const struct section *section = &message->section[i];
        Wire__Section *wire = &parts->section[i];

        wire__section__init(wire);
        wire->table = section->table;
        wire->rows = section->rows;
        wire->width = section->width;
        wire->has_status = section->has_status;
        parts->sections[i] = wire;
    }
    header->n_section = message->sections;
    header->section = parts->sections;
}

static Wire__DataFacts *put_data(const struct data_facts *facts, struct parts *parts)
{
    Wire__DataFacts *wire = &parts->data;

    wire__data_facts__init(wire);
    wire->train_examples = facts->train_examples;
    wire->test_examples = facts->test_examples;
    wire->digest = facts->digest;
    wire->label_mean = facts->label_mean;
    wire->positions = facts->positions;
    wire->grain = facts->grain;
    wire->preparation_bytes = facts->preparation_bytes;
    wire->preparation_digest = facts->preparation_digest;
    wire->bad_rows = facts->bad_rows;
    return wire;
}

static void put_tables(Wire__Status *wire, const struct status *status,
                       struct parts *parts)
{
    assert(status->tables <= STATUS_TABLES_MAX);
    for (uint32_t i = 0; i < status->tables; i++) {
        const struct table_facts *facts = &status->table[i];
        Wire__TableFacts *table = &parts->table[i];
        size_t n = STALENESS_BUCKETS;

        while (n > 0 && facts->staleness[n - 1] == 0)
            n--;
        wire__table_facts__init(table);
        table->rows = facts->rows;
        table->bytes = facts->bytes;
        table->n_staleness = n;
        table->staleness = (uint64_t *)facts->staleness;
        table->reads_refused = facts->reads_refused;
        table->rows_refused = facts->rows_refused;
        table->full = (Wire__TableFull)facts->full;
        table->cache_reads = facts->cache_reads;
        table->cache_hits = facts->cache_hits;
        parts->tables[i] = table;
    }
    wire->n_table = status->tables;
    wire->table = parts->tables;
}

static void put_status(Wire__Status *wire, const struct status *status,
                       struct parts *parts)
{
    wire__status__init(wire);
    wire->rank = status->rank;
    wire->host = put_text(status->host, sizeof status->host);
    wire->number = status->number;
    wire->done = status->done;
    wire->phase = (Wire__Phase)status->phase;
    wire->epoch = status->epoch;
    wire->clock = status->clock;
    wire->taken = status->taken;
    wire->examples = status->examples;
    wire->loss_sum = status->loss_sum;
    wire->bytes_pulled = status->bytes_pulled;
    wire->bytes_pushed = status->bytes_pushed;
    wire->pushes_sent = status->pushes_sent;
    wire->pushes_resent = status->pushes_resent;
    wire->pushes_applied = status->pushes_applied;
    wire->pushes_duplicate = status->pushes_duplicate;
    wire->pushes_uncompensated = status->pushes_uncompensated;
    wire->cpu_seconds = status->cpu_seconds;
    wire->training_seconds = status->training_seconds;
    wire->wait_seconds = status->wait_seconds;
    wire->parked_seconds = status->parked_seconds;
    wire->train = status->train;
    wire->lease = status->lease;
    wire->position = status->position;
    wire->bad_rows = status->bad_rows;
    wire->data = put_data(&status->data, parts);
    wire->n_metric = METRIC_SUMS;
    while (wire->n_metric > 0 && status->metric[wire->n_metric - 1] == 0)
        wire->n_metric--;
    wire->metric = (double *)status->metric;
    wire->shard_bytes = status->shard_bytes;
    wire->shard_rows = status->shard_rows;
    wire->shard_checksum = status->shard_checksum;
    put_tables(wire, status, parts);
    wire->error = status->error;
    wire->text = put_text(status->text, sizeof status->text);
}

static void put_order(Wire__Order *wire, const struct order *order, struct parts *parts)
{
    assert(order->ranges <= SHARE_RANGES_MAX);
    wire__order__init(wire);
    wire->number = order->number;
    wire->kind = (Wire__OrderKind)order->kind;
    wire->epoch = order->epoch;
    wire->clock = order->clock;
    wire->n_range = (size_t)2 * order->ranges;
    wire->range = (uint64_t *)order->range;
    wire->path = put_text(order->path, sizeof order->path);
    wire->exit_status = (uint32_t)order->exit_status;
    wire->data = put_data(&order->data, parts);
    wire->text = put_text(order->text, sizeof order->text);
    wire->train = order->train;
    wire->limit = order->limit;
    wire->dealt = order->dealt;
    wire->lease = order->lease;
    wire->more = order->more != 0;
    wire->bad_rows = order->bad_rows;
    wire->counted = order->counted != 0;
    wire->validate = order->validate != 0;
}

static Wire__Reach *put_reach(const struct reach *reach, struct parts *parts)
{
    Wire__Reach *wire = &parts->reach;

    wire__reach__init(wire);
    wire->order = reach->order;
    wire->through = reach->through;
    wire->after = reach->after;
    wire->idle = reach->idle;
    wire->stint = reach->stint;
    return wire;
}

/* pull, rows, push and ack: what every batch sends. */
static void put_data_body(Wire__Header *header, const struct message *message,
                          struct parts *parts)
{
    switch (message->kind) {
    case MESSAGE_PULL:
        wire__pull__init(&parts->pull);
        parts->pull.request = message->pull.request;
        parts->pull.clock = message->pull.clock;
        parts->pull.read_only = message->pull.read_only;
        if (message->pull.reach.order)
            parts->pull.reach = put_reach(&message->pull.reach, parts);
        header->pull = &parts->pull;
        header->body_case = WIRE__HEADER__BODY_PULL;
        return;
    case MESSAGE_ROWS:
        wire__rows__init(&parts->rows);
        parts->rows.request = message->rows.request;
        parts->rows.parked_us = message->rows.parked_us;
        parts->rows.vintage = message->rows.vintage;
        header->rows = &parts->rows;
        header->body_case = WIRE__HEADER__BODY_ROWS;
        return;
    case MESSAGE_PUSH:
        wire__push__init(&parts->push);
        parts->push.clock = message->push.clock;
        parts->push.after = message->push.after;
        parts->push.part = message->push.part;
        parts->push.parts = message->push.parts;
        header->push = &parts->push;
        header->body_case = WIRE__HEADER__BODY_PUSH;
        return;
    default:
        wire__ack__init(&parts->ack);
        parts->ack.clock = message->ack.clock;
        parts->ack.part = message->ack.part;
        parts->ack.resend = message->ack.resend;
        parts->ack.through = message->ack.through;
        parts->ack.idle_order = message->ack.idle_order;
        parts->ack.parked = message->ack.parked;
        parts->ack.order = message->ack.order;
        parts->ack.stint = message->ack.stint;
        header->ack = &parts->ack;
        header->body_case = WIRE__HEADER__BODY_ACK;
        return;
    }
}

static void put_body(Wire__Header *header, const struct message *message,
                     struct parts *parts)
{
    switch (message->kind) {
    case MESSAGE_REFUSAL:
        wire__refusal__init(&parts->refusal);
        parts->refusal.code = message->refusal.code;
        parts->refusal.text = put_text(message->refusal.text,
                                       sizeof message->refusal.text);
        header->refusal = &parts->refusal;
        header->body_case = WIRE__HEADER__BODY_REFUSAL;
        return;
    case MESSAGE_STATUS:
        put_status(&parts->status, &message->status, parts);
        header->status = &parts->status;
        header->body_case = WIRE__HEADER__BODY_STATUS;
        return;
    case MESSAGE_ORDER:
        put_order(&parts->order, &message->order, parts);
        header->order = &parts->order;
        header->body_case = WIRE__HEADER__BODY_ORDER;
        return;
    case MESSAGE_CLOCK:
        header->reach = put_reach(&message->reach, parts);
        header->body_case = WIRE__HEADER__BODY_REACH;
        return;
    default:
        put_data_body(header, message, parts);
        return;
    }
}

size_t message_encode_from(const struct sender *sender, const struct message *message,
                           unsigned char *out)
{
    Wire__Header header = WIRE__HEADER__INIT;
    struct parts parts; /* set as far as the kind needs it */

    header.job = sender->job;
    header.role = (Wire__Role)sender->role;
    header.sender = sender->index;
    header.incarnation = sender->incarnation;
    put_body(&header, message, &parts);
    if (has_sections(message->kind))
        put_sections(&header, message, &parts);
    return wire__header__pack(&header, out);
}

size_t message_encode(const struct message *message, unsigned char *out)
{
    struct sender sender = {message->job, message->role, message->sender,
                            message->incarnation};

    return message_encode_from(&sender, message, out);
}

/* ---- from the wire ---- */

/* Memory for one unpacking, on the stack: no well-formed header needs more than its own
 * bound, and a hostile one cannot get more. */
struct arena {
    size_t used;
    _Alignas(16) unsigned char bytes[MESSAGE_HEADER_MAX];
};

static void *arena_alloc(void *context, size_t bytes)
{
    struct arena *arena = context;
    void *place = arena->bytes + arena->used;

    if (bytes > sizeof arena->bytes - arena->used)
        return NULL;
    arena->used = padded(arena->used + bytes, 16);
    return place;
}

static void arena_free(void *context, void *place)
{
    (void)context; /* all goes at once */
    (void)place;
}

static int check(const char *what, uint64_t value, uint64_t least, uint64_t most,
                 struct err *err)
{
    if (value >= least && value <= most)
        return 0;
    return err_set(
        err, ERR_PEER, "malformed message: %s is %llu, expected %llu to %llu", what,
        (unsigned long long)value, (unsigned long long)least, (unsigned long long)most);
}

static int take_text(char *out, size_t capacity, ProtobufCBinaryData text,
                     const char *what, struct err *err)
{
    if (text.len >= capacity)
        return err_set(err, ERR_PEER,
                       "malformed message: %s of %zu bytes, expected at most %zu", what,
                       text.len, capacity - 1);
    if (text.len > 0 && memchr(text.data, 0, text.len))
        return err_set(err, ERR_PEER, "malformed message: a zero byte in %s", what);
    if (text.len > 0)
        memcpy(out, text.data, text.len);
    out[text.len] = 0;
    return 0;
}

static int take_sender(const Wire__Header *wire, struct message *message,
                       struct err *err)
{
    static const uint32_t most[] = {
        [ROLE_SERVER] = SERVERS_MAX - 1,
        [ROLE_WORKER] = WORKERS_MAX - 1,
        [ROLE_COORDINATOR] = 0,
    };

    message->job = wire->job;
    message->role = (uint32_t)wire->role;
    message->sender = wire->sender;
    message->incarnation = wire->incarnation;
    if (check("the role", message->role, ROLE_SERVER, ROLE_COORDINATOR, err))
        return -err->code;
    return check("the sender's index", message->sender, 0, most[message->role], err);
}

/* A push of clock 0 only asks for an ack. */
static uint32_t sections_most(const struct message *message)
{
    if (message->kind == MESSAGE_PUSH && message->push.clock == 0)
        return 0;
    if (message->kind == MESSAGE_STATUS)
        return COUNTS_KINDS;
    return has_sections(message->kind) ? MESSAGE_SECTIONS_MAX : 0;
}

static int take_sections(const Wire__Header *wire, struct message *message,
                         struct err *err)
{
    bool status = message->kind == MESSAGE_STATUS;
    bool wide = message->kind != MESSAGE_PULL && !status;

    if (check("the number of sections", wire->n_section, 0, sections_most(message),
              err))
        return -err->code;
    message->sections = (uint32_t)wire->n_section;
    for (uint32_t i = 0; i < message->sections; i++) {
        const Wire__Section *in = wire->section[i];

        if (check("a section's table", in->table, 0,
                  (status ? (int)COUNTS_KINDS : (int)STATUS_TABLES_MAX) - 1, err) ||
            check("a section's width", in->width, wide, wide ? MESSAGE_WIDTH_MAX : 0,
                  err) ||
            check("a section's status mark", in->has_status != 0, 0,
                  message->kind == MESSAGE_ROWS, err))
            return -err->code;
        message->section[i] = (struct section){
            .table = in->table,
            .rows = in->rows,
            .width = in->width,
            .has_status = in->has_status != 0,
        };
    }
    return 0;
}

static int take_push(const Wire__Push *wire, struct push *push, struct err *err)
{
    *push = (struct push){wire->clock, wire->after, wire->part, wire->parts};
    if (check("the clock before a push's", push->after, 0,
              push->clock ? push->clock - 1 : 0, err) ||
        check("a push's number of parts", push->parts, 1, UINT32_MAX, err))
        return -err->code;
    return check("a push's part", push->part, 0, push->parts - 1, err);
}

static int take_reach(const Wire__Reach *wire, struct reach *reach, struct err *err)
{
    *reach = (struct reach){0};
    if (!wire)
        return 0;
    *reach = (struct reach){wire->order, wire->through, wire->after, wire->idle != 0,
                            wire->stint};
    return check("the clock of a worker's last push", reach->after, 0, reach->through,
                 err);
}

static int take_refusal(const Wire__Refusal *wire, struct refusal *refusal,
                        struct err *err)
{
    refusal->code = wire->code;
    if (check("a refusal's code", refusal->code, ERR_INPUT, ERR_INTERRUPTED, err))
        return -err->code;
    return take_text(refusal->text, sizeof refusal->text, wire->text,
                     "a refusal's text", err);
}

static void take_data(const Wire__DataFacts *wire, struct data_facts *facts)
{
    *facts = (struct data_facts){0};
    if (!wire)
        return;
    facts->train_examples = wire->train_examples;
    facts->test_examples = wire->test_examples;
    facts->digest = wire->digest;
    facts->label_mean = wire->label_mean;
    facts->positions = wire->positions;
    facts->grain = wire->grain;
    facts->preparation_bytes = wire->preparation_bytes;
    facts->preparation_digest = wire->preparation_digest;
    facts->bad_rows = wire->bad_rows;
}

static int take_tables(const Wire__Status *wire, struct status *status, struct err *err)
{
    if (check("a status' number of tables", wire->n_table, 0, STATUS_TABLES_MAX, err))
        return -err->code;
    status->tables = (uint32_t)wire->n_table;
    for (uint32_t i = 0; i < status->tables; i++) {
        const Wire__TableFacts *in = wire->table[i];
        struct table_facts *facts = &status->table[i];

        if (check("a table's number of staleness buckets", in->n_staleness, 0,
                  STALENESS_BUCKETS, err) ||
            check("why a table is full", in->full, FULL_NOT, FULL_MEMORY, err))
            return -err->code;
        facts->rows = in->rows;
        facts->bytes = in->bytes;
        facts->reads_refused = in->reads_refused;
        facts->rows_refused = in->rows_refused;
        facts->full = in->full;
        facts->cache_reads = in->cache_reads;
        facts->cache_hits = in->cache_hits;
        if (check("a cache's hits", in->cache_hits, 0, in->cache_reads, err))
            return -err->code;
        if (in->n_staleness > 0)
            memcpy(facts->staleness, in->staleness, in->n_staleness * sizeof(uint64_t));
    }
    return 0;
}

static void take_status_numbers(const Wire__Status *wire, struct status *status)
{
    status->rank = wire->rank;
    status->number = wire->number;
    status->done = wire->done;
    status->phase = (uint32_t)wire->phase;
    status->epoch = wire->epoch;
    status->clock = wire->clock;
    status->taken = wire->taken;
    status->examples = wire->examples;
    status->loss_sum = wire->loss_sum;
    status->bytes_pulled = wire->bytes_pulled;
    status->bytes_pushed = wire->bytes_pushed;
    status->pushes_sent = wire->pushes_sent;
    status->pushes_resent = wire->pushes_resent;
    status->pushes_applied = wire->pushes_applied;
    status->pushes_duplicate = wire->pushes_duplicate;
    status->pushes_uncompensated = wire->pushes_uncompensated;
    status->cpu_seconds = wire->cpu_seconds;
    status->training_seconds = wire->training_seconds;
    status->wait_seconds = wire->wait_seconds;
    status->parked_seconds = wire->parked_seconds;
    status->train = wire->train;
    status->lease = wire->lease;
    status->position = wire->position;
    status->bad_rows = wire->bad_rows;
    take_data(wire->data, &status->data);
    status->shard_bytes = wire->shard_bytes;
    status->shard_rows = wire->shard_rows;
    status->shard_checksum = wire->shard_checksum;
    status->error = wire->error;
}

static int take_status(const Wire__Status *wire, struct status *status, struct err *err)
{
    memset(status, 0, sizeof *status);
    take_status_numbers(wire, status);
    if (check("a status' phase", status->phase, 0, PHASE_ENDED, err) ||
        check("the end of the positions", status->data.positions, 0, INT64_MAX, err) ||
        check("the grain of the positions", status->data.grain, 0, INT64_MAX, err) ||
        check("a status' rows left out", status->bad_rows, 0, bad_rows_max, err) ||
        check("a status' error", status->error, 0, ERR_INTERRUPTED, err) ||
        check("a status' number of metrics", wire->n_metric, 0, METRIC_SUMS, err) ||
        take_tables(wire, status, err) ||
        take_text(status->host, sizeof status->host, wire->host, "a host's name",
                  err) ||
        take_text(status->text, sizeof status->text, wire->text, "a status' text", err))
        return -err->code;
    if (wire->n_metric > 0)
        memcpy(status->metric, wire->metric, wire->n_metric * sizeof(double));
    return 0;
}

static int take_ranges(const Wire__Order *wire, struct order *order, struct err *err)
{
    if (check("the count of an order's range ends", wire->n_range, 0,
              2 * SHARE_RANGES_MAX, err))
        return -err->code;
    if (wire->n_range % 2)
        return err_set(err, ERR_PEER,
                       "malformed message: the last of an order's ranges has no end");
    order->ranges = (uint32_t)(wire->n_range / 2);
    for (uint32_t i = 0; i < order->ranges; i++) {
        struct range range = {wire->range[2 * i], wire->range[2 * i + 1]};

        if (check("the end of a range", range.end, range.first, UINT64_MAX, err))
            return -err->code;
        order->range[i] = range;
    }
    return 0;
}

static int take_order(const Wire__Order *wire, struct order *order, struct err *err)
{
    order->number = wire->number;
    order->kind = (uint32_t)wire->kind;
    order->epoch = wire->epoch;
    order->clock = wire->clock;
    order->train = wire->train;
    order->limit = wire->limit;
    order->dealt = wire->dealt;
    order->lease = wire->lease;
    order->more = wire->more != 0;
    order->bad_rows = wire->bad_rows;
    order->counted = wire->counted != 0;
    order->validate = wire->validate != 0;
    order->exit_status = (int32_t)wire->exit_status;
    take_data(wire->data, &order->data);
    if (check("an order's kind", order->kind, 0, ORDER_END, err) ||
        check("an order's exit status", wire->exit_status, 0, 255, err) ||
        check("the number of a lease", order->lease, 0, INT64_MAX, err) ||
        check("an order's rows left out", order->bad_rows, 0, bad_rows_max, err) ||
        take_ranges(wire, order, err) ||
        take_text(order->path, sizeof order->path, wire->path, "an order's path", err))
        return -err->code;
    return take_text(order->text, sizeof order->text, wire->text, "an order's text",
                     err);
}

static int take_body(const Wire__Header *wire, struct message *message, struct err *err)
{
    switch (wire->body_case) {
    case WIRE__HEADER__BODY_PULL:
        message->kind = MESSAGE_PULL;
        message->pull = (struct pull){.request = wire->pull->request,
                                      .clock = wire->pull->clock,
                                      .read_only = wire->pull->read_only != 0};
        return take_reach(wire->pull->reach, &message->pull.reach, err);
    case WIRE__HEADER__BODY_ROWS:
        message->kind = MESSAGE_ROWS;
        message->rows = (struct rows){wire->rows->request, wire->rows->parked_us,
                                      wire->rows->vintage};
        return 0;
    case WIRE__HEADER__BODY_PUSH:
        message->kind = MESSAGE_PUSH;
        return take_push(wire->push, &message->push, err);
    case WIRE__HEADER__BODY_ACK:
        message->kind = MESSAGE_ACK;
        message->ack = (struct ack){wire->ack->clock,       wire->ack->part,
                                    wire->ack->resend != 0, wire->ack->through,
                                    wire->ack->idle_order,  wire->ack->parked != 0,
                                    wire->ack->order,       wire->ack->stint};
        return 0;
    case WIRE__HEADER__BODY_REACH:
        message->kind = MESSAGE_CLOCK;
        return take_reach(wire->reach, &message->reach, err);
    case WIRE__HEADER__BODY_REFUSAL:
        message->kind = MESSAGE_REFUSAL;
        return take_refusal(wire->refusal, &message->refusal, err);
    case WIRE__HEADER__BODY_STATUS:
        message->kind = MESSAGE_STATUS;
        return take_status(wire->status, &message->status, err);
    case WIRE__HEADER__BODY_ORDER:
        message->kind = MESSAGE_ORDER;
        return take_order(wire->order, &message->order, err);
    default:
        return err_set(err, ERR_PEER,
                       "malformed message: none of the kinds that are known here");
    }
}

static int check_body_bytes(const struct message *message, struct err *err)
{
    size_t expected = message_layout(message->kind, message->section, message->sections,
                                     NULL);

    if (expected == (size_t)-1)
        return err_set(err, ERR_PEER,
                       "malformed message: its sections are more than the %d bytes "
                       "that a body may have",
                       MESSAGE_BODY_MAX);
#ifndef MUTANT_WIRE_BODY_BYTES
    if (message->body_bytes != expected)
        return err_set(err, ERR_PEER,
                       "malformed message: a body of %zu bytes, its sections say %zu",
                       message->body_bytes, expected);
#endif
    return 0;
}

int message_decode(struct message *message, const unsigned char *bytes, size_t size,
                   size_t body_bytes, struct err *err)
{
    struct arena arena;
    ProtobufCAllocator allocator = {arena_alloc, arena_free, &arena};
    const Wire__Header *wire;

    if (check("the header's length", size, 0, MESSAGE_HEADER_MAX, err))
        return -err->code;
    arena.used = 0;
    wire = wire__header__unpack(&allocator, size, bytes);
    if (!wire)
        return err_set(err, ERR_PEER, "malformed message: %zu bytes that are no header",
                       size);
    message->body = NULL;
    message->body_bytes = body_bytes;
    if (take_sender(wire, message, err) || take_body(wire, message, err) ||
        take_sections(wire, message, err))
        return -err->code;
    return check_body_bytes(message, err);
}
