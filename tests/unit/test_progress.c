#include <math.h>
#include <pty.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/progress.h"

static const struct progress_state example = {.epoch = 3,
                                              .epochs = 20,
                                              .done = 476,
                                              .total = 1000,
                                              .loss = 0.73124,
                                              .rate = 1.2398e6,
                                              .seconds_left = 12};

static void assert_count(double count, const char *expected)
{
    char text[64];

    assert_string_equal(progress_format_count(count, text, sizeof text), expected);
}

static void test_counts(void **state)
{
    (void)state;
    assert_count(0, "0");
    assert_count(12, "12");
    assert_count(999.4, "999");
    assert_count(999.6, "1.00 k");
    assert_count(9994, "9.99 k");
    assert_count(9996, "10.0 k");
    assert_count(99960, "100 k");
    assert_count(853200, "853 k");
    assert_count(999499, "999 k");
    assert_count(999500, "1.00 M");
    assert_count(1.2398e6, "1.24 M");
    assert_count(2.5e9, "2.50 G");
    assert_count(5e15, "5000 T");
    assert_count(NAN, "?");
    assert_count(-1, "?");
    assert_count(INFINITY, "?");
}

static void assert_time(double seconds, const char *expected)
{
    char text[64];

    assert_string_equal(progress_format_time(seconds, text, sizeof text), expected);
}

static void test_times(void **state)
{
    (void)state;
    assert_time(0, "0:00");
    assert_time(12.4, "0:12");
    assert_time(59.6, "1:00");
    assert_time(723, "12:03");
    assert_time(3599.4, "59:59");
    assert_time(3599.6, "1:00:00");
    assert_time(3723, "1:02:03");
    assert_time(360000, "100:00:00");
    assert_time(-1, "?");
    assert_time(NAN, "?");
    assert_time(INFINITY, "?");
}

static void test_epoch_line(void **state)
{
    char line[PROGRESS_LINE_MAX];

    (void)state;
    assert_string_equal(
        progress_format_epoch(3, 20, 0.73124, 1.2398e6, 0.81, line, sizeof line),
        "epoch 3/20  loss 0.7312  1.24 M examples/s  0.8 s");
    assert_string_equal(progress_format_epoch(1, 1, 1.5e7, 12, 100, line, sizeof line),
                        "epoch 1/1  loss 1.5e+07  12 examples/s  100.0 s");
    assert_string_equal(progress_format_epoch(1, 1, NAN, 0, 0, line, sizeof line),
                        "epoch 1/1  loss nan  0 examples/s  0.0 s");
}

static void assert_bar(struct progress_state state, uint32_t columns,
                       const char *expected)
{
    char line[PROGRESS_LINE_MAX];

    assert_string_equal(progress_format_bar(&state, columns, line, sizeof line),
                        expected);
    assert_true(strlen(line) <= columns);
}

static void test_bar(void **state)
{
    struct progress_state s = example;

    (void)state;
    assert_bar(s, 200,
               "epoch 3/20 [#########-----------]  47 %  loss 0.7312  1.24 M examples/s"
               "  0:12 left");
    s.seconds_left = -1;
    assert_bar(
        s, 200,
        "epoch 3/20 [#########-----------]  47 %  loss 0.7312  1.24 M examples/s");
    s.done = s.total;
    s.seconds_left = 0;
    assert_bar(s, 200,
               "epoch 3/20 [####################] 100 %  loss 0.7312  1.24 M examples/s"
               "  0:00 left");
    s.done = 2 * s.total; /* cannot be, must not matter */
    s.seconds_left = NAN;
    assert_bar(
        s, 200,
        "epoch 3/20 [####################] 100 %  loss 0.7312  1.24 M examples/s");
    s.done = 0;
    assert_bar(s, 200, "epoch 3/20 [--------------------]   0 %");
    s.total = 0;
    assert_bar(s, 200, "epoch 3/20 [--------------------]   0 %");
    s.total = 1000;
    s.done = 999;
    s.rate = 0;
    assert_bar(s, 200,
               "epoch 3/20 [###################-]  99 %  loss 0.7312  0 examples/s");
}

static void test_bar_in_little_room(void **state)
{
    (void)state;
    assert_bar(example, 79,
               "epoch 3/20 [########---------]  47 %  loss 0.7312  1.24 M examples/s"
               "  0:12 left");
    assert_bar(example, 67,
               "epoch 3/20 [##---]  47 %  loss 0.7312  1.24 M examples/s  0:12 left");
    assert_bar(example, 66,
               "epoch 3/20  47 %  loss 0.7312  1.24 M examples/s  0:12 left");
    assert_bar(example, 57, "epoch 3/20  47 %  loss 0.7312  1.24 M examples/s");
    assert_bar(example, 40, "epoch 3/20  47 %  loss 0.7312");
    assert_bar(example, 20, "epoch 3/20  47 %");
    assert_bar(example, 12, "epoch 3/20");
    assert_bar(example, 9, "");
    assert_bar(example, 0, "");
    for (uint32_t columns = 0; columns < 300; columns++) {
        char line[PROGRESS_LINE_MAX];

        progress_format_bar(&example, columns, line, sizeof line);
        assert_true(strlen(line) <= columns);
        assert_true(strlen(progress_format_bar(&example, columns, line, 30)) < 30);
    }
}

/* Reads as much as is expected, or to the end; waits for it. */
static void assert_written(int fd, const char *expected)
{
    char text[1024];
    size_t used = 0;
    ssize_t n = 1;

    while (n > 0 && (used < strlen(expected) || expected[0] == '\0')) {
        n = read(fd, text + used, sizeof text - 1 - used);
        used += n > 0 ? (size_t)n : 0;
    }
    text[used] = '\0';
    assert_string_equal(text, expected);
}

static void test_lines_in_a_file(void **state)
{
    struct progress progress;
    int pipe_fd[2];

    (void)state;
    assert_int_equal(pipe(pipe_fd), 0);
    progress_init(&progress, pipe_fd[1], false, false, 2);
    progress_update(&progress, 1, 5, 10, 0.5, 10, 3);
    progress_clear(&progress);
    progress_epoch_done(&progress, 1, 0.5, 1e6, 0.5, "");
    progress_epoch_done(&progress, 2, 0.25, 1e6, 0.5, "");
    progress_clear(&progress);
    close(pipe_fd[1]);
    assert_written(pipe_fd[0], "epoch 1/2  loss 0.5000  1.00 M examples/s  0.5 s\n"
                               "epoch 2/2  loss 0.2500  1.00 M examples/s  0.5 s\n");
    assert_written(pipe_fd[0], "");
    close(pipe_fd[0]);
}

static void test_nothing_when_quiet(void **state)
{
    int pipe_fd[2];

    (void)state;
    assert_int_equal(pipe(pipe_fd), 0);
    for (int terminal = 0; terminal < 2; terminal++) {
        struct progress progress;

        progress_init(&progress, pipe_fd[1], terminal, true, 1);
        progress_update(&progress, 1, 5, 10, 0.5, 10, 3);
        progress_clear(&progress);
        progress_epoch_done(&progress, 1, 0.5, 1e6, 0.5, "");
    }
    close(pipe_fd[1]);
    assert_written(pipe_fd[0], "");
    close(pipe_fd[0]);
}

/* A pseudo terminal of 41 columns: the bar leaves the last one free. */
static void test_bar_on_a_terminal(void **state)
{
    struct winsize size = {.ws_row = 24, .ws_col = 41};
    struct progress progress;
    int master, slave;

    (void)state;
    assert_int_equal(openpty(&master, &slave, NULL, NULL, &size), 0);
    progress_init(&progress, slave, true, false, 2);
    progress_clear(&progress); /* nothing there yet */
    progress_update(&progress, 1, 5, 10, 0.5, 10, 3);
    assert_written(master, "\repoch 1/2  50 %  loss 0.5000\x1b[K");
    progress_clear(&progress);
    assert_written(master, "\r\x1b[K");
    progress_clear(&progress);
    progress_update(&progress, 1, 7, 10, 0.5, 10, 3); /* after clearing: at once */
    assert_written(master, "\repoch 1/2  70 %  loss 0.5000\x1b[K");
    progress_epoch_done(&progress, 1, 0.5, 1e6, 0.5, ""); /* not the last: no line */
    progress.next_ms = 0;
    progress_update(&progress, 2, 1, 10, 0.5, 10, 3);
    assert_written(master, "\repoch 2/2  10 %  loss 0.5000\x1b[K");
    progress_epoch_done(&progress, 2, 0.25, 1e6, 0.5, "");
    assert_written(master,
                   "\r\x1b[Kepoch 2/2  loss 0.2500  1.00 M examples/s  0.5 s\r\n");
    close(master);
    close(slave);
}

#define TEN_PERCENT                                                                    \
    "\repoch 1/2 [##------------------]  10 %  loss 0.5000  10 examples/s  0:03 left"  \
    "\x1b[K"
#define THIRTY_PERCENT                                                                 \
    "\repoch 1/2 [######--------------]  30 %  loss 0.5000  10 examples/s  0:03 left"  \
    "\x1b[K"

static void test_bar_is_not_drawn_too_often(void **state)
{
    struct progress progress;
    int64_t before = clock_ms();
    int pipe_fd[2];

    (void)state;
    assert_int_equal(pipe(pipe_fd), 0);
    progress_init(&progress, pipe_fd[1], true, false, 2);
    progress_update(&progress, 1, 1, 10, 0.5, 10, 3);
    assert_true(progress.next_ms >= before + PROGRESS_PERIOD_MS);
    assert_true(progress.next_ms <= clock_ms() + PROGRESS_PERIOD_MS);
    progress.next_ms = clock_ms() + 60 * 1000;
    progress_update(&progress, 1, 2, 10, 0.5, 10, 3);
    progress.next_ms = clock_ms();
    progress_update(&progress, 1, 3, 10, 0.5, 10, 3);
    close(pipe_fd[1]);
    assert_written(pipe_fd[0], TEN_PERCENT THIRTY_PERCENT);
    assert_written(pipe_fd[0], "");
    close(pipe_fd[0]);
}

static void test_no_terminal_size_means_80_columns(void **state)
{
    struct progress progress;
    int pipe_fd[2];

    (void)state;
    assert_int_equal(pipe(pipe_fd), 0);
    progress_init(&progress, pipe_fd[1], true, false, 20);
    progress_update(&progress, 3, 476, 1000, 0.73124, 1.2398e6, 12);
    assert_written(pipe_fd[0], "\repoch 3/20 [########---------]  47 %  loss 0.7312  "
                               "1.24 M examples/s  0:12 left\x1b[K");
    close(pipe_fd[0]);
    close(pipe_fd[1]);
    progress_clear(&progress); /* a closed descriptor is no matter */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_epoch_line),
        cmocka_unit_test(test_bar),
        cmocka_unit_test(test_bar_in_little_room),
        cmocka_unit_test(test_lines_in_a_file),
        cmocka_unit_test(test_nothing_when_quiet),
        cmocka_unit_test(test_bar_on_a_terminal),
        cmocka_unit_test(test_bar_is_not_drawn_too_often),
        cmocka_unit_test(test_no_terminal_size_means_80_columns),
    };

    alarm(60); /* reads that wait for ever */
    return cmocka_run_group_tests_name("progress", tests, NULL, NULL);
}
