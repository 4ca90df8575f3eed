/* What a spool is on disk: written, read, damaged, opened again. */
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

#include "common/log.h"
#include "tests/unit/scratch.h"
#include "worker/stream/spool/spool.h"
#include "worker/stream/spool/spool_writer.h"

struct fixture {
    struct scratch scratch;
    char dir[300];
    struct spool_writer writer;
    struct spool_segment *segment;
    struct err err;
};

static void setup(struct fixture *f)
{
    memset(f, 0, sizeof *f);
    log_set_level(LOG_SILENT);
    scratch_init(&f->scratch);
    snprintf(f->dir, sizeof f->dir, "%s/spool", f->scratch.dir);
}

static void teardown(struct fixture *f)
{
    spool_writer_close(&f->writer);
    assert_int_equal(spool_remove(f->dir, &f->err), 0);
    scratch_release(&f->scratch);
}

static void open_writer(struct fixture *f, uint64_t floor, uint64_t known)
{
    if (spool_writer_open(&f->writer, f->dir, floor, known, &f->err))
        fail_msg("%s", f->err.text);
}

static void reopen(struct fixture *f, uint64_t floor, uint64_t known)
{
    spool_writer_close(&f->writer);
    open_writer(f, floor, known);
    f->segment = NULL;
    for (uint32_t i = 0; i < f->writer.segments; i++)
        if (f->writer.segment[i]->current)
            f->segment = f->writer.segment[i];
    assert_non_null(f->segment);
}

static void refused(struct fixture *f, uint64_t floor, uint64_t known, const char *part)
{
    spool_writer_close(&f->writer);
    assert_int_equal(spool_writer_open(&f->writer, f->dir, floor, known, &f->err),
                     -ERR_DAMAGE);
    if (!strstr(f->err.text, part))
        fail_msg("'%s' does not say '%s'", f->err.text, part);
}

static void begin_source(struct fixture *f)
{
    char path[] = "pipe";
    struct spool_source source = {.path = path, .header_state = SPOOL_HEADER_KNOWN};

    assert_int_equal(spool_writer_begin(&f->writer, &source, &f->segment, &f->err), 0);
}

static void put(struct fixture *f, const char *text)
{
    size_t n = strlen(text);

    assert_int_equal(spool_segment_open(&f->writer, f->segment, &f->err), 0);
    assert_int_equal(
        pwrite(f->segment->fd, text, n, (off_t)(SPOOL_HEAD_BYTES + f->segment->bytes)),
        n);
    spool_writer_grew(&f->writer, f->segment, n);
}

static void publish(struct fixture *f, uint64_t bytes)
{
    if (spool_writer_publish(&f->writer, f->segment, f->segment->published + bytes, 1,
                             &f->err))
        fail_msg("%s", f->err.text);
}

/* n chunks "aa\n", in a source of their own. */
static void put_chunks(struct fixture *f, int n)
{
    begin_source(f);
    for (int i = 0; i < n; i++) {
        put(f, "aa\n");
        publish(f, 3);
    }
}

static char *in_spool(struct fixture *f, const char *name)
{
    static char path[PATH_MAX];

    snprintf(path, sizeof path, "%s/%s", f->dir, name);
    return path;
}

static void flip(struct fixture *f, const char *name, off_t at)
{
    int fd = open(in_spool(f, name), O_RDWR);
    char byte;

    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 4;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

static off_t record_at(uint64_t chunk)
{
    return (off_t)(SPOOL_HEAD_BYTES + chunk * sizeof(struct spool_record));
}

/* --- reading --------------------------------------------------------------------- */

static void test_there_is_none(void **state)
{
    struct spool *spool;
    struct fixture f;

    (void)state;
    setup(&f);
    assert_int_equal(spool_open(f.dir, &spool, &f.err), -ERR_INPUT);
    mkdir(f.dir, 0777);
    assert_int_equal(spool_open(f.dir, &spool, &f.err), -ERR_INPUT);
    assert_non_null(strstr(f.err.text, "no index"));
    teardown(&f);
}

static void test_reader_beside_writer(void **state)
{
    struct spool_chunk chunk;
    struct spool *spool;
    struct fixture f;
    uint64_t chunks;
    bool ended;

    (void)state;
    setup(&f);
    open_writer(&f, 0, 0);
    assert_int_equal(spool_open(f.dir, &spool, &f.err), 0);
    assert_int_equal(spool_published(spool, &chunks, &ended, &f.err), 0);
    assert_int_equal(chunks, 0);
    assert_int_equal(spool_chunk(spool, 0, &chunk, &f.err), -ERR_AGAIN);
    put_chunks(&f, 2);
    assert_int_equal(spool_published(spool, &chunks, &ended, &f.err), 0);
    assert_int_equal(chunks, 2);
    assert_false(ended);
    assert_int_equal(spool_chunk(spool, 1, &chunk, &f.err), 0);
    assert_int_equal(chunk.begin, SPOOL_HEAD_BYTES + 3);
    assert_int_equal(chunk.end, SPOOL_HEAD_BYTES + 6);
    assert_int_equal(chunk.line, 2);
    assert_string_equal(chunk.name, "pipe");
    assert_int_equal(spool_writer_end(&f.writer, &f.err), 0);
    assert_int_equal(spool_published(spool, &chunks, &ended, &f.err), 0);
    assert_int_equal(chunks, 2);
    assert_true(ended);
    assert_int_equal(spool_chunk(spool, 2, &chunk, &f.err), -ERR_AGAIN);
    flip(&f, "index-0", record_at(1) + 20);
    assert_int_equal(spool_chunk(spool, 1, &chunk, &f.err), -ERR_DAMAGE);
    assert_non_null(strstr(f.err.text, "chunk 1 "));
    flip(&f, "source-0", 70);
    spool_close(spool);
    assert_int_equal(spool_open(f.dir, &spool, &f.err), 0);
    assert_int_equal(spool_chunk(spool, 0, &chunk, &f.err), -ERR_DAMAGE);
    spool_close(spool);
    teardown(&f);
}

/* --- opening again --------------------------------------------------------------- */

static void test_goes_on(void **state)
{
    struct fixture f;

    (void)state;
    setup(&f);
    open_writer(&f, 0, 0);
    put_chunks(&f, 3);
    put(&f, "bb\ncc");
    assert_int_equal(spool_writer_end(&f.writer, &f.err), 0);
    reopen(&f, 0, 3); /* the end is no end any more */
    assert_int_equal(f.writer.published, 3);
    assert_int_equal(f.segment->published, 9);
    assert_int_equal(f.segment->bytes, 14);
    assert_int_equal(f.segment->line, 4);
    assert_int_equal(f.writer.live, 14);
    publish(&f, 3);
    reopen(&f, 0, 4);
    assert_int_equal(f.writer.published, 4);
    teardown(&f);
}

/* A segment takes over from the one before where it begins. */
static void test_roll(void **state)
{
    struct spool_segment *old;
    struct fixture f;

    (void)state;
    setup(&f);
    open_writer(&f, 0, 0);
    put_chunks(&f, 2);
    put(&f, "half");
    old = f.segment;
    assert_int_equal(spool_writer_roll(&f.writer, &f.segment, &f.err), 0);
    assert_int_equal(old->bytes, 6);
    assert_int_equal(f.segment->offset, 6);
    assert_int_equal(f.segment->bytes, 4);
    assert_int_equal(f.writer.live, 10);
    reopen(&f, 0, 2);
    assert_int_equal(f.writer.segments, 2);
    assert_int_equal(f.writer.segment[0]->bytes, 6);
    assert_int_equal(f.segment->offset, 6);
    assert_int_equal(f.segment->line, 3);
    assert_int_equal(f.writer.live, 10);
    put(&f, "\n");
    publish(&f, 5);
    assert_int_equal(spool_writer_floor(&f.writer, 2, &f.err), 0);
    assert_int_equal(f.writer.segments, 1);
    reopen(&f, 2, 3);
    assert_int_equal(f.writer.published, 3);
    assert_int_equal(f.segment->published, 11);
    teardown(&f);
}

/* A record that a crash has left damaged, or cut short, at the end is dropped. */
static void test_damaged_tail(void **state)
{
    struct fixture f;

    (void)state;
    setup(&f);
    open_writer(&f, 0, 0);
    put_chunks(&f, 5);
    flip(&f, "index-0", record_at(4) + 8);
    reopen(&f, 0, 4);
    assert_int_equal(f.writer.published, 4);
    assert_int_equal(f.segment->published, 12);
    publish(&f, 3);
    assert_int_equal(truncate(in_spool(&f, "index-0"), record_at(4) + 63), 0);
    reopen(&f, 0, 0);
    assert_int_equal(f.writer.published, 4);
    /* But not if somebody has seen it. */
    refused(&f, 0, 5, "4 chunks, but 5");
    teardown(&f);
}

static void test_damage_inside(void **state)
{
    struct fixture f;

    (void)state;
    setup(&f);
    open_writer(&f, 0, 0);
    put_chunks(&f, 5);
    flip(&f, "index-0", record_at(2) + 8);
    refused(&f, 0, 0, "chunk 2 ");
    flip(&f, "index-0", record_at(2) + 8);
    flip(&f, "index-0", 10);
    refused(&f, 0, 0, "index-0");
    flip(&f, "index-0", 10);
    open_writer(&f, 0, 5);
    teardown(&f);
}

/* The machine went down: bytes of chunks that nobody has seen are not there. */
static void test_lost_bytes(void **state)
{
    struct fixture f;

    (void)state;
    setup(&f);
    open_writer(&f, 0, 0);
    put_chunks(&f, 5);
    assert_int_equal(truncate(in_spool(&f, "segment-0"), SPOOL_HEAD_BYTES + 10), 0);
    reopen(&f, 0, 3);
    assert_int_equal(f.writer.published, 3);
    assert_int_equal(f.segment->bytes, 10);
    assert_int_equal(f.segment->published, 9);

    /* What begins behind a hole is dropped too. */
    put(&f, "a\n");
    publish(&f, 3);
    assert_int_equal(spool_writer_roll(&f.writer, &f.segment, &f.err), 0);
    put(&f, "bb\n");
    publish(&f, 3);
    assert_int_equal(f.writer.published, 5);
    assert_int_equal(truncate(in_spool(&f, "segment-0"), SPOOL_HEAD_BYTES + 9), 0);
    reopen(&f, 0, 3);
    assert_int_equal(f.writer.segments, 1);
    assert_int_equal(f.writer.published, 3);
    assert_int_equal(f.segment->bytes, 9);
    assert_int_equal(truncate(in_spool(&f, "segment-0"), 10), 0);
    refused(&f, 0, 3, "segment-0");
    teardown(&f);
}

static void test_removed_chunks(void **state)
{
    struct fixture f;

    (void)state;
    setup(&f);
    open_writer(&f, 0, 0);
    put_chunks(&f, 3);
    spool_writer_done(f.segment);
    assert_int_equal(spool_writer_floor(&f.writer, 2, &f.err), 0);
    assert_int_equal(f.writer.segments, 1); /* chunk 2 is needed */
    put_chunks(&f, 1);
    assert_int_equal(spool_writer_floor(&f.writer, 3, &f.err), 0);
    assert_int_equal(f.writer.segments, 1);
    assert_int_equal(access(in_spool(&f, "segment-0"), F_OK), -1);
    assert_int_equal(access(in_spool(&f, "source-0"), F_OK), -1);
    reopen(&f, 3, 4);
    assert_int_equal(f.writer.published, 4);
    refused(&f, 2, 4, "chunk 2 ");
    open_writer(&f, 4, 4);
    spool_writer_done(f.writer.segment[0]);
    assert_int_equal(spool_writer_floor(&f.writer, 4, &f.err), 0);
    assert_int_equal(f.writer.live, 0);
    spool_writer_close(&f.writer);
    open_writer(&f, 4, 4);
    put_chunks(&f, 1); /* numbers are never used again */
    assert_int_equal(f.segment->number, 2);
    assert_int_equal(f.segment->source, 2);
    teardown(&f);
}

/* An index file is full after 65536 chunks, and removed when none is needed. */
static void test_many_chunks(void **state)
{
    struct spool_chunk chunk;
    struct spool *spool;
    struct fixture f;
    uint64_t chunks;
    bool ended;

    (void)state;
    setup(&f);
    open_writer(&f, 0, 0);
    put_chunks(&f, SPOOL_INDEX_CHUNKS);
    assert_int_equal(spool_open(f.dir, &spool, &f.err), 0);
    assert_int_equal(spool_published(spool, &chunks, &ended, &f.err), 0);
    assert_int_equal(chunks, SPOOL_INDEX_CHUNKS);
    reopen(&f, 0, SPOOL_INDEX_CHUNKS);
    assert_int_equal(f.writer.published, SPOOL_INDEX_CHUNKS);
    put(&f, "bbb\nccc\n");
    publish(&f, 4);
    publish(&f, 4);
    assert_int_equal(spool_chunk(spool, SPOOL_INDEX_CHUNKS + 1, &chunk, &f.err), 0);
    assert_int_equal(chunk.line, SPOOL_INDEX_CHUNKS + 2);
    assert_int_equal(spool_chunk(spool, SPOOL_INDEX_CHUNKS - 1, &chunk, &f.err), 0);
    assert_int_equal(spool_published(spool, &chunks, &ended, &f.err), 0);
    assert_int_equal(chunks, SPOOL_INDEX_CHUNKS + 2);
    assert_int_equal(spool_writer_floor(&f.writer, SPOOL_INDEX_CHUNKS + 1, &f.err), 0);
    assert_int_equal(access(in_spool(&f, "index-0"), F_OK), -1);
    assert_int_equal(spool_published(spool, &chunks, &ended, &f.err), 0);
    assert_int_equal(chunks, SPOOL_INDEX_CHUNKS + 2);
    reopen(&f, SPOOL_INDEX_CHUNKS + 1, SPOOL_INDEX_CHUNKS + 2);
    assert_int_equal(f.writer.published, SPOOL_INDEX_CHUNKS + 2);
    assert_int_equal(f.segment->line, SPOOL_INDEX_CHUNKS + 3);
    spool_close(spool);
    teardown(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_is_none),
        cmocka_unit_test(test_reader_beside_writer),
        cmocka_unit_test(test_goes_on),
        cmocka_unit_test(test_roll),
        cmocka_unit_test(test_damaged_tail),
        cmocka_unit_test(test_damage_inside),
        cmocka_unit_test(test_lost_bytes),
        cmocka_unit_test(test_removed_chunks),
        cmocka_unit_test(test_many_chunks),
    };

    return cmocka_run_group_tests_name("spool", tests, NULL, NULL);
}
