/* Requests to stop arrive, whichever threads there are. */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "launch/run.h"

static void *sleep_until_told(void *context)
{
    const bool *told = context;

    while (!__atomic_load_n(told, __ATOMIC_RELAXED))
        usleep(1000);
    return NULL;
}

/* A library has started a thread before anything was blocked: the process must not die,
 * and nothing must get lost. */
static void test_signals_come_through(void **state)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGUSR1};
    pthread_t thread;
    bool told = false;
    int fd;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, sleep_until_told, &told), 0);
    fd = run_interrupt_fd();
    assert_true(fd >= 0);
    for (int i = 0; i < 300; i++) {
        struct pollfd item = {fd, POLLIN, 0};
        struct signalfd_siginfo info;

        assert_int_equal(kill(getpid(), signals[i % 3]), 0);
        assert_int_equal(poll(&item, 1, 10000), 1);
        assert_int_equal(read(fd, &info, sizeof info), sizeof info);
        assert_int_equal(info.ssi_signo, signals[i % 3]);
    }
    __atomic_store_n(&told, true, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_signals_come_through)};

    return cmocka_run_group_tests_name("interrupt", tests, NULL, NULL);
}
