#include "worker/crew.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>

#include "common/cpu.h"

struct helper {
    struct crew *crew;
    pthread_t thread;
    uint32_t number; /* from 1 on: 0 is the caller */
};

struct crew {
    struct helper helper[CREW_MAX];
    uint32_t threads; /* that run, the caller among them */
    pthread_mutex_t lock;
    pthread_cond_t begun, finished;
    /* Under the lock. */
    uint64_t turn; /* of crew_run() */
    uint32_t busy; /* helpers that are not done with it */
    bool over;
    /* Of a turn; changed only while no helper is busy. */
    uint32_t lanes;
    void (*work)(void *of, uint32_t lane);
    void *of;
};

static void run_lanes(const struct crew *crew, uint32_t number)
{
    for (uint32_t lane = number; lane < crew->lanes; lane += crew->threads)
        crew->work(crew->of, lane);
}

static void *help(void *of)
{
    struct helper *helper = of;
    struct crew *crew = helper->crew;
    uint64_t turn = 0;

    pthread_setname_np(pthread_self(), "helper"); /* for those who profile */
    cpu_flush_tiny();
    pthread_mutex_lock(&crew->lock);
    for (;;) {
        while (crew->turn == turn && !crew->over)
            pthread_cond_wait(&crew->begun, &crew->lock);
        if (crew->over)
            break;
        turn = crew->turn;
        pthread_mutex_unlock(&crew->lock);
        run_lanes(crew, helper->number);
        pthread_mutex_lock(&crew->lock);
        if (--crew->busy == 0)
            pthread_cond_signal(&crew->finished);
    }
    pthread_mutex_unlock(&crew->lock);
    return NULL;
}

/* Signals are for the threads that know what to do about them. */
static int start(struct crew *crew, struct err *err)
{
    struct helper *helper = &crew->helper[crew->threads];
    sigset_t all, old;

    *helper = (struct helper){.crew = crew, .number = crew->threads};
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    errno = pthread_create(&helper->thread, NULL, help, helper);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (errno)
        return err_system(err, "cannot start a thread that computes gradients");
    crew->threads++;
    return 0;
}

int crew_create(uint32_t threads, struct crew **out, struct err *err)
{
    struct crew *crew = calloc(1, sizeof *crew);
    int rc = 0;

    *out = NULL;
    if (!crew)
        return err_set(err, ERR_MEMORY, "no memory for threads");
    pthread_mutex_init(&crew->lock, NULL);
    pthread_cond_init(&crew->begun, NULL);
    pthread_cond_init(&crew->finished, NULL);
    crew->threads = 1;
    while (rc == 0 && crew->threads < threads && crew->threads < CREW_MAX)
        rc = start(crew, err);
    if (rc) {
        crew_destroy(crew);
        return rc;
    }
    *out = crew;
    return 0;
}

void crew_destroy(struct crew *crew)
{
    if (!crew)
        return;
    pthread_mutex_lock(&crew->lock);
    crew->over = true;
    pthread_cond_broadcast(&crew->begun);
    pthread_mutex_unlock(&crew->lock);
    for (uint32_t i = 1; i < crew->threads; i++)
        pthread_join(crew->helper[i].thread, NULL);
    pthread_cond_destroy(&crew->finished);
    pthread_cond_destroy(&crew->begun);
    pthread_mutex_destroy(&crew->lock);
    free(crew);
}

void crew_run(struct crew *crew, uint32_t lanes, void (*work)(void *of, uint32_t lane),
              void *of)
{
    crew->lanes = lanes;
    crew->work = work;
    crew->of = of;
    if (crew->threads > 1) {
        pthread_mutex_lock(&crew->lock);
        crew->busy = crew->threads - 1;
        crew->turn++;
        pthread_cond_broadcast(&crew->begun);
        pthread_mutex_unlock(&crew->lock);
    }
    run_lanes(crew, 0);
    if (crew->threads > 1) {
        pthread_mutex_lock(&crew->lock);
        while (crew->busy)
            pthread_cond_wait(&crew->finished, &crew->lock);
        pthread_mutex_unlock(&crew->lock);
    }
}
