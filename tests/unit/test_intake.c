/* The intake: pipes, followed files, room and ends. What a kill leaves is in
 * test_killed_intake.c. */
#include <signal.h>
#include <sys/resource.h>

#include "tests/unit/intake_kit.h"

static void test_pipe(void **state)
{
    struct spool *spool = NULL;
    struct spool_chunk chunk;
    struct kit kit;
    int to;

    (void)state;
    kit_init(&kit);
    to = kit_pipe(&kit);
    kit.config.header = true;
    kit_start(&kit);
    kit_put(to, "user\titem\n1\t2\n3");
    kit_wait_text(&kit, "1\t2\n"); /* what is whole waits for nothing */
    kit_put(to, "\t4\n5\t6");
    kit_wait_text(&kit, "1\t2\n3\t4\n");
    close(to);
    kit_wait_ended(&kit);
    kit_wait_text(&kit, "1\t2\n3\t4\n5\t6"); /* and the last line needs no end */
    chunk = kit_chunk(&kit, &spool, 0);
    assert_string_equal(chunk.name, "-");
    assert_string_equal(chunk.header, "user\titem\n");
    assert_int_equal(chunk.header_bytes, 10);
    assert_int_equal(chunk.offset, 10);
    assert_int_equal(chunk.line, 2);
    assert_int_equal(chunk.lines, 1);
    chunk = kit_chunk(&kit, &spool, 2);
    assert_int_equal(chunk.line, 4);
    assert_int_equal(chunk.lines, 0);
    assert_int_equal(spool_chunk(spool, 3, &chunk, &kit.err), -ERR_AGAIN);
    spool_close(spool);
    kit_release(&kit);
    close(kit.fd[0]);
}

/* 10 MiB through a pipe: chunks of about 1 MiB, lines counted, and the same bytes. */
static void test_large_pipe(void **state)
{
    enum { LINES = 300000 };
    char *text = malloc(LINES * 40), *got, *at = text;
    struct spool *spool = NULL;
    uint64_t line = 1;
    struct kit kit;
    size_t size;
    int to;

    (void)state;
    for (int i = 0; i < LINES; i++)
        at += sprintf(at, "%d,%d,\"a \"\"b\"\"\n, %d\"\n", i, i * 7, i % 5);
    kit_init(&kit);
    to = kit_pipe(&kit);
    kit.config.quotes = true;
    kit_start(&kit);
    for (const char *from = text; from < at;)
        from += write(to, from, (size_t)(at - from));
    close(to);
    kit_wait_ended(&kit);
    got = kit_text_from(&kit, 0, UINT32_MAX, &size);
    assert_int_equal(size, at - text);
    assert_memory_equal(got, text, size);
    for (uint64_t i = 0; i < intake_published(kit.intake); i++) {
        struct spool_chunk chunk = kit_chunk(&kit, &spool, i);

        assert_int_equal(chunk.line, line);
        assert_true(chunk.end - chunk.begin <= (1 << 20) + 2);
        line += chunk.lines;
        /* A record ends in a digit and a quote; the line end inside one does not. */
        assert_true(chunk.lines % 2 == 0);
    }
    assert_int_equal(line, 2 * LINES + 1);
    assert_true(intake_published(kit.intake) >= (uint64_t)(at - text) >> 20);
    assert_true(intake_published(kit.intake) < 200);
    spool_close(spool);
    free(got);
    free(text);
    kit_release(&kit);
    close(kit.fd[0]);
}

/* A pipe that says nothing holds up no other. */
static void test_quiet_pipe(void **state)
{
    struct kit kit;
    int quiet, busy;

    (void)state;
    kit_init(&kit);
    kit_path(&kit, "quiet");
    kit_path(&kit, "busy");
    assert_int_equal(mkfifo(kit.path[0], 0666), 0);
    assert_int_equal(mkfifo(kit.path[1], 0666), 0);
    kit_start(&kit);
    quiet = open(kit.path[0], O_WRONLY);
    busy = open(kit.path[1], O_WRONLY);
    kit_put(quiet, "half a");
    kit_put(busy, "one\n");
    kit_wait_text(&kit, "one\n");
    kit_put(busy, "two\n");
    close(busy);
    kit_wait_text(&kit, "one\ntwo\n");
    kit_put(quiet, " line\n");
    close(quiet);
    kit_wait_ended(&kit);
    kit_wait_text(&kit, "one\ntwo\nhalf a line\n");
    kit_release(&kit);
}

/* Writers of a named pipe come and go; without one for long enough, it has ended. */
static void test_writers_come_and_go(void **state)
{
    struct kit kit;
    int first, second;

    (void)state;
    kit_init(&kit);
    kit_path(&kit, "fifo");
    assert_int_equal(mkfifo(kit.path[0], 0666), 0);
    kit.config.patience_ms = 10 * KIT_DEADLINE_MS;
    kit_start(&kit);
    first = open(kit.path[0], O_WRONLY);
    kit_put(first, "a\n");
    second = open(kit.path[0], O_WRONLY);
    close(first);
    kit_put(second, "b\n");
    kit_wait_text(&kit, "a\nb\n");
    close(second);
    usleep(100000);
    assert_false(intake_ended(kit.intake));
    first = open(kit.path[0], O_WRONLY);
    kit_put(first, "c\n");
    kit_wait_text(&kit, "a\nb\nc\n");
    close(first);
    kit_stop(&kit);

    kit.config.patience_ms = 0;
    kit_start(&kit);
    first = open(kit.path[0], O_WRONLY);
    kit_put(first, "d\n");
    close(first);
    kit_wait_ended(&kit);
    kit_wait_text(&kit, "a\nb\nc\nd\n");
    kit_release(&kit);
}

/* A device that is always ready, and says that it has ended, has. */
static void test_empty_device(void **state)
{
    struct kit kit;

    (void)state;
    kit_init(&kit);
    kit.paths[kit.config.paths++] = "/dev/null";
    kit.config.patience_ms = 10 * KIT_DEADLINE_MS;
    kit_start(&kit);
    kit_wait_ended(&kit);
    assert_int_equal(intake_published(kit.intake), 0);
    kit_release(&kit);
}

/* A file that does not grow is read once, also when nothing of it is left in the spool.
 * The pipe keeps the spool going. */
static void test_file_is_read_once(void **state)
{
    struct kit kit;
    uint64_t chunks;
    int to;

    (void)state;
    kit_init(&kit);
    kit.config.header = kit.config.same_pipes = kit.config.shared = true;
    kit_append(kit_path(&kit, "history"), "head\na\nb\n");
    kit_append(kit_path(&kit, "empty"), "");
    to = kit_pipe(&kit);
    kit_start(&kit);
    kit_put(to, "head\nc\n");
    kit_wait_published(&kit, 2);
    for (int again = 0; again < 2; again++) {
        chunks = intake_published(kit.intake);
        kit_stop(&kit);
        kit.config.floor = kit.config.known = chunks;
        kit_start(&kit);
        kit_put(to, "d\n");
        kit_wait_published(&kit, chunks + 1);
        assert_int_equal(intake_published(kit.intake), chunks + 1);
    }
    close(to);
    kit_wait_ended(&kit);
    assert_int_equal(intake_published(kit.intake), 4);
    kit_release(&kit);
    close(kit.fd[2]);
}

/* --- followed files -------------------------------------------------------------- */

static void test_growing_file(void **state)
{
    struct kit kit;

    (void)state;
    kit_init(&kit);
    kit_append(kit_path(&kit, "log"), "h\na\n");
    kit.config.follow = kit.config.header = true;
    kit_start(&kit);
    kit_wait_text(&kit, "a\n");
    kit_append(kit.path[0], "b\nc");
    kit_wait_text(&kit, "a\nb\n");
    kit_append(kit.path[0], "d\n");
    kit_wait_text(&kit, "a\nb\ncd\n");
    assert_false(intake_ended(kit.intake));
    kit_release(&kit);
}

/* The old file is read to its end, also what comes to it after its name has gone. */
static void test_rotation(void **state)
{
    struct spool *spool = NULL;
    struct kit kit;
    char old[400];
    int writer;

    (void)state;
    kit_init(&kit);
    kit_append(kit_path(&kit, "log"), "h1\na\n");
    snprintf(old, sizeof old, "%s.1", kit.path[0]);
    kit.config.follow = kit.config.header = true;
    kit_start(&kit);
    kit_wait_text(&kit, "a\n");
    writer = open(kit.path[0], O_WRONLY | O_APPEND);
    assert_int_equal(rename(kit.path[0], old), 0);
    kit_put(writer, "b\nc"); /* its last line has no end */
    kit_append(kit.path[0], "h2\nd\n");
    close(writer);
    kit_wait_text(&kit, "a\nb\ncd\n");
    assert_string_equal(kit_chunk(&kit, &spool, 0).header, "h1\n");
    assert_string_equal(
        kit_chunk(&kit, &spool, intake_published(kit.intake) - 1).header, "h2\n");
    spool_close(spool);
    kit_release(&kit);
}

/* Rotated while nobody looked: the rest of the old file comes first. */
static void test_rotation_between_runs(void **state)
{
    struct kit kit;
    char old[400];

    (void)state;
    kit_init(&kit);
    kit_append(kit_path(&kit, "log"), "a\nb");
    snprintf(old, sizeof old, "%s.1", kit.path[0]);
    kit.config.follow = true;
    kit_start(&kit);
    kit_wait_text(&kit, "a\n");
    kit_stop(&kit);
    kit_append(kit.path[0], "c\nd\n");
    assert_int_equal(rename(kit.path[0], old), 0);
    kit_append(kit.path[0], "e\n");
    kit_start(&kit);
    kit_wait_text(&kit, "a\nbc\nd\ne\n");
    kit_stop(&kit);
    kit_append(kit.path[0], "f\n");
    kit_start(&kit);
    kit_wait_text(&kit, "a\nbc\nd\ne\nf\n");
    kit_release(&kit);
}

/* Another file of the same inode, or the same file with other bytes, is not gone on
 * with: cut down and longer than before, between two looks or between two runs. */
static void test_cut_down_and_longer(void **state)
{
    struct kit kit;

    (void)state;
    for (int between_runs = 0; between_runs < 2; between_runs++) {
        kit_init(&kit);
        kit_append(kit_path(&kit, "log"), "h\naaa\n");
        kit.config.follow = kit.config.header = true;
        kit_start(&kit);
        kit_wait_text(&kit, "aaa\n");
        if (between_runs)
            kit_stop(&kit);
        scratch_text(&kit.scratch, "log", "h\nbbb\nccc\n");
        if (between_runs)
            kit_start(&kit);
        kit_wait_text(&kit, "aaa\nbbb\nccc\n");
        kit_release(&kit);
    }
}

/* Cut down in place: goes on at its beginning, under the header that it had. */
static void test_cut_down(void **state)
{
    struct spool *spool = NULL;
    struct spool_chunk chunk;
    struct kit kit;

    (void)state;
    kit_init(&kit);
    kit_append(kit_path(&kit, "log"), "h\naaa\nbbb\n");
    kit.config.follow = kit.config.header = true;
    kit_start(&kit);
    kit_wait_text(&kit, "aaa\nbbb\n");
    assert_int_equal(truncate(kit.path[0], 0), 0);
    kit_append(kit.path[0], "c\n");
    kit_wait_text(&kit, "aaa\nbbb\nc\n");
    chunk = kit_chunk(&kit, &spool, intake_published(kit.intake) - 1);
    assert_string_equal(chunk.header, "h\n");
    assert_int_equal(chunk.line, 1);
    assert_int_equal(truncate(kit.path[0], 0), 0);
    kit_append(kit.path[0], "h\n");
    kit_append(kit.path[0], "d\n");
    kit_wait_text(&kit, "aaa\nbbb\nc\nd\n");
    chunk = kit_chunk(&kit, &spool, intake_published(kit.intake) - 1);
    assert_string_equal(chunk.header, "h\n");
    assert_int_equal(chunk.line, 2);
    spool_close(spool);
    kit_release(&kit);
}

/* --- room ------------------------------------------------------------------------ */

static uint64_t bytes_on_disk(const char *dir)
{
    DIR *listing = opendir(dir);
    struct dirent *entry;
    uint64_t bytes = 0;
    struct stat info;

    assert_non_null(listing);
    while ((entry = readdir(listing)))
        if (fstatat(dirfd(listing), entry->d_name, &info, 0) == 0 &&
            strncmp(entry->d_name, "segment", 7) == 0)
            bytes += (uint64_t)info.st_size;
    closedir(listing);
    return bytes;
}

/* Writes `least` bytes, and then until the pipe takes no more. */
static size_t write_until_it_blocks(int to, const char *line, size_t from, size_t least)
{
    size_t written = from, length = strlen(line);
    int64_t last = clock_ms(), deadline = last + KIT_DEADLINE_MS;

    fcntl(to, F_SETFL, O_NONBLOCK);
    while (written < from + least || clock_ms() - last < 100) {
        ssize_t n = write(to, line + written % length, length - written % length);

        if (n > 0) {
            written += (size_t)n;
            last = clock_ms();
        } else {
            usleep(1000);
        }
        assert_true(last < deadline);
    }
    fcntl(to, F_SETFL, 0);
    return written;
}

/* A full spool makes the writer wait; a floor that rises makes room again. */
static void test_spool_max(void **state)
{
    enum { MAX = 8 << 20 };
    static char line[100000];
    struct kit kit;
    size_t written, floor;
    int to;

    (void)state;
    memset(line, 'x', sizeof line - 2);
    line[sizeof line - 2] = '\n';
    kit_init(&kit);
    to = kit_pipe(&kit);
    kit.config.spool_max = MAX;
    kit_start(&kit);
    written = write_until_it_blocks(to, line, 0, MAX);
    assert_true(written <= MAX + (4 << 20));
    assert_true(bytes_on_disk(kit.spool) <= MAX + (2 << 20));
    floor = intake_published(kit.intake);
    intake_floor(kit.intake, floor);
    written = write_until_it_blocks(to, line, written, MAX - (2 << 20));
    assert_true(bytes_on_disk(kit.spool) <= MAX + (2 << 20));
    intake_floor(kit.intake, intake_published(kit.intake));
    while (written % (sizeof line - 1) != 0)
        written += (size_t)write(to, line + written % (sizeof line - 1),
                                 sizeof line - 1 - written % (sizeof line - 1));
    close(to);
    kit_wait_ended(&kit);
    intake_floor(kit.intake, intake_published(kit.intake));
    while (bytes_on_disk(kit.spool) > 0)
        usleep(1000);
    kit_stop(&kit);

    /* Numbers are not used again, and what is gone is not given out. */
    kit.config.floor = kit.config.known = floor;
    assert_int_equal(intake_start(&kit.config, &kit.intake, &kit.err), -ERR_DAMAGE);
    assert_non_null(strstr(kit.err.text, "has been removed"));
    kit.intake = NULL;
    kit_release(&kit);
    close(kit.fd[0]);
}

/* A disk that is full is a sentence; afterwards it goes on without a loss. */
static void test_disk_full(void **state)
{
    const struct rlimit little = {3 << 20, RLIM_INFINITY};
    struct rlimit before;
    struct kit kit;
    size_t size, n = 6 << 20, sent = 7 << 19;
    char *text = malloc(n), *got;
    int to;

    (void)state;
    for (size_t i = 0; i < n; i++)
        text[i] = i % 50 == 49 ? '\n' : (char)('a' + i / 50 % 26);
    kit_init(&kit);
    to = kit_pipe(&kit);
    fcntl(to, F_SETPIPE_SZ, 1 << 20);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    kit_start(&kit);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &little), 0);
    for (size_t at = 0; at < sent;) /* more than fits, but for what the pipe holds */
        at += (size_t)write(to, text + at, sent - at);
    assert_int_equal(kit_wait_failed(&kit), -ERR_SYSTEM);
    assert_non_null(strstr(kit.err.text, "segment-0"));
    assert_non_null(strstr(kit.err.text, "--resume"));
    kit_stop(&kit);
    setrlimit(RLIMIT_FSIZE, &before);
    kit.config.same_pipes = true;
    kit_start(&kit);
    for (size_t at = sent; at < n;)
        at += (size_t)write(to, text + at, n - at);
    close(to);
    kit_wait_ended(&kit);
    got = kit_text_from(&kit, 0, UINT32_MAX, &size);
    assert_int_equal(size, n);
    assert_memory_equal(got, text, n);
    free(got);
    free(text);
    kit_release(&kit);
    close(kit.fd[0]);
}

/* --- what is refused ------------------------------------------------------------- */

static void refused(struct kit *kit, int code, const char *part)
{
    assert_int_equal(intake_start(&kit->config, &kit->intake, &kit->err), -code);
    kit->intake = NULL;
    if (!strstr(kit->err.text, part))
        fail_msg("'%s' does not say '%s'", kit->err.text, part);
}

static void test_refused(void **state)
{
    struct kit kit;
    struct intake *other;

    (void)state;
    kit_init(&kit);
    refused(&kit, ERR_INPUT, "no stream");
    kit_path(&kit, "missing");
    refused(&kit, ERR_INPUT, "missing': No such file");
    kit.config.spool_max = 1000;
    refused(&kit, ERR_INPUT, "too small");
    kit.config.spool_max = 64 << 20;
    kit.paths[0] = kit.scratch.dir;
    refused(&kit, ERR_INPUT, "it is a folder");
    kit.paths[0] = kit.path[0];
    kit_append(kit.path[0], "a\n");
    kit.config.follow = true;
    kit_start(&kit);
    other = kit.intake;
    refused(&kit, ERR_INPUT, "in use");
    kit.intake = other;
    kit_release(&kit);
}

static void fails(const char *bytes, size_t n, const char *part)
{
    struct kit kit;
    int to;

    kit_init(&kit);
    to = kit_pipe(&kit);
    kit_start(&kit);
    for (size_t at = 0; at < n;)
        at += (size_t)write(to, bytes + at, n - at);
    assert_int_equal(kit_wait_failed(&kit), -ERR_INPUT);
    if (!strstr(kit.err.text, part))
        fail_msg("'%s' does not say '%s'", kit.err.text, part);
    close(to);
    kit_release(&kit);
    close(kit.fd[0]);
}

static void test_compressed(void **state)
{
    (void)state;
    fails("\x1f\x8b\x08\0", 4, "zcat");
    fails("\x28\xb5\x2f\xfd", 4, "zstdcat");
}

/* A record that never ends, in its 2nd line; one of just 1 MiB does no harm. */
static void test_long_record(void **state)
{
    enum { LINE = 1 << 20 };
    char *x = malloc(2 * LINE);
    struct kit kit;
    int to;

    (void)state;
    memset(x, 'x', 2 * LINE);
    x[0] = '\n';
    fails(x, LINE + 4, "standard input line 2: a record of more than 1048576 bytes");
    x[LINE] = '\r';
    x[LINE + 1] = '\n';
    x[0] = 'x';
    kit_init(&kit);
    to = kit_pipe(&kit);
    kit_start(&kit);
    for (size_t at = 0; at < LINE + 2;)
        at += (size_t)write(to, x + at, LINE + 2 - at);
    close(to);
    kit_wait_ended(&kit);
    assert_int_equal(intake_published(kit.intake), 1);
    free(x);
    kit_release(&kit);
    close(kit.fd[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pipe),
        cmocka_unit_test(test_large_pipe),
        cmocka_unit_test(test_quiet_pipe),
        cmocka_unit_test(test_writers_come_and_go),
        cmocka_unit_test(test_empty_device),
        cmocka_unit_test(test_file_is_read_once),
        cmocka_unit_test(test_growing_file),
        cmocka_unit_test(test_rotation),
        cmocka_unit_test(test_rotation_between_runs),
        cmocka_unit_test(test_cut_down_and_longer),
        cmocka_unit_test(test_cut_down),
        cmocka_unit_test(test_spool_max),
        cmocka_unit_test(test_disk_full),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_compressed),
        cmocka_unit_test(test_long_record),
    };

    return cmocka_run_group_tests_name("intake", tests, NULL, NULL);
}
