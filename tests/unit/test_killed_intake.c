/* kill -9 of a process with an intake, at moments that nobody chooses, while a pipe and
 * a log that is rotated are written: what the spool has in the end is what was written,
 * byte for byte.
 *
 *   test_killed_intake.t [SEED [KILLS]] */
#include <signal.h>
#include <sys/wait.h>

#include "common/rng.h"
#include "tests/unit/intake_kit.h"

static uint64_t seed = 1, kills = 200, drawn;

static uint64_t draw(uint64_t bound)
{
    return rng_below(rng_at(seed, 0, drawn++), bound);
}

struct text {
    char *bytes; /* [size] */
    size_t size, room;
};

/* A few lines more, the last of which may lack its end. */
static void grow(struct text *text, size_t bytes)
{
    size_t end = text->size + bytes;
    char *larger = text->bytes;

    if (end > text->room) {
        text->room = 2 * end;
        larger = realloc(larger, text->room);
    }
    assert_non_null(larger);
    text->bytes = larger;
    for (; text->size < end; text->size++)
        text->bytes[text->size] = draw(40) ? (char)('a' + draw(26)) : '\n';
}

/* In a process of its own: an intake, until it is killed. */
static pid_t start_child(struct kit *kit)
{
    pid_t child = fork();

    assert_true(child >= 0);
    if (child > 0)
        return child;
    if (intake_start(&kit->config, &kit->intake, &kit->err)) {
        fprintf(stderr, "# %s\n", kit->err.text);
        _exit(1);
    }
    while (!intake_check(kit->intake, &kit->err))
        usleep(20000);
    fprintf(stderr, "# %s\n", kit->err.text);
    _exit(1);
}

static void kill_child(pid_t child)
{
    int status;

    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
}

static void expect(struct kit *kit, uint32_t source, const struct text *text)
{
    size_t size;
    char *got = kit_text_from(kit, 0, source, &size);

    if (size != text->size || memcmp(got, text->bytes, size) != 0) {
        size_t at = 0;

        while (at < size && at < text->size && got[at] == text->bytes[at])
            at++;
        fail_msg("seed %llu: %zu bytes instead of %zu, different from byte %zu on",
                 (unsigned long long)seed, size, text->size, at);
    }
    free(got);
}

/* Writes what the pipe takes for a while of `us` microseconds. */
static void write_for(int to, struct text *text, size_t *written, uint64_t us)
{
    double end = clock_seconds() + (double)us * 1e-6;

    do {
        ssize_t n;

        if (*written == text->size)
            grow(text, 1 + draw(draw(8) ? 3000 : 200000));
        n = write(to, text->bytes + *written, text->size - *written);
        if (n > 0)
            *written += (size_t)n;
    } while (clock_seconds() < end);
}

static void test_pipe(void **state)
{
    struct text text = {0};
    size_t written = 0;
    struct kit kit;
    int to;

    (void)state;
    kit_init(&kit);
    to = kit_pipe(&kit);
    fcntl(to, F_SETFL, O_NONBLOCK);
    kit.config.same_pipes = true;
    kit.config.spool_max = 1 << 30;
    for (uint64_t i = 0; i < kills; i++) {
        pid_t child = start_child(&kit);

        write_for(to, &text, &written, draw(6000));
        kill_child(child);
    }
    kit_start(&kit);
    fcntl(to, F_SETFL, 0);
    while (written < text.size)
        written += (size_t)write(to, text.bytes + written, text.size - written);
    close(to);
    kit_wait_ended(&kit);
    expect(&kit, UINT32_MAX, &text);
    free(text.bytes);
    kit_release(&kit);
    close(kit.fd[0]);
}

/* Waits until the spool has all of the text. */
static void wait_for(struct kit *kit, const struct text *text)
{
    int64_t deadline = clock_ms() + KIT_DEADLINE_MS;
    size_t size;

    for (;;) {
        free(kit_text_from(kit, 0, UINT32_MAX, &size));
        if (size >= text->size)
            return;
        if (clock_ms() > deadline)
            fail_msg("seed %llu: %zu bytes instead of %zu", (unsigned long long)seed,
                     size, text->size);
        usleep(5000);
    }
}

/* Appends some lines to the log, and goes on with a new file sometimes. */
static void log_more(struct kit *kit, struct text *text, char end)
{
    size_t from = text->size;
    FILE *log = fopen(kit->path[0], "a");

    assert_non_null(log);
    grow(text, 1 + draw(20000));
    if (end)
        text->bytes[text->size - 1] = end;
    assert_int_equal(fwrite(text->bytes + from, 1, text->size - from, log),
                     text->size - from);
    fclose(log);
}

/* A file that is not read to its end may be rotated once, but not twice: so the log
 * waits for the intake before each rotation, and is killed with a rotation in its back.
 */
static void test_rotated_log(void **state)
{
    struct text text = {0};
    struct kit kit;
    char old[400];

    (void)state;
    kit_init(&kit);
    kit_append(kit_path(&kit, "log"), "");
    kit.config.follow = true;
    for (uint64_t i = 0; i < kills / 16; i++) {
        pid_t child = start_child(&kit);

        log_more(&kit, &text, '\n');
        wait_for(&kit, &text);
        log_more(&kit, &text, '\n');
        snprintf(old, sizeof old, "%s.%u", kit.path[0], (unsigned)i);
        assert_int_equal(rename(kit.path[0], old), 0);
        log_more(&kit, &text, 0);
        usleep((useconds_t)draw(100000));
        kill_child(child);
        child = start_child(&kit);
        usleep((useconds_t)draw(3000));
        kill_child(child);
    }
    kit_start(&kit);
    log_more(&kit, &text, '\n');
    wait_for(&kit, &text);
    expect(&kit, UINT32_MAX, &text);
    for (uint64_t i = 0; i < kills / 16; i++) {
        snprintf(old, sizeof old, "%s.%u", kit.path[0], (unsigned)i);
        unlink(old);
    }
    unlink(kit.path[0]);
    free(text.bytes);
    kit_release(&kit);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pipe),
        cmocka_unit_test(test_rotated_log),
    };

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    if (argc > 2)
        kills = strtoull(argv[2], NULL, 10);
    return cmocka_run_group_tests_name("killed intake", tests, NULL, NULL);
}
