#include "common/net/member.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"

enum {
    TICK_MS = 100,
    RETRY_MS = 10, /* while there is no connection for a status that is wanted now */
    FAREWELL_MS = 1000,
    /* Between two statuses with what is attached, which is large: twice as long each
     * time, since a slow network may still be busy with the one before. */
    ATTACH_MS = 1000,
    ATTACH_MOST_MS = 60000,
};

struct member {
    /* Set at the start. */
    pthread_t thread;
    char endpoint[ENDPOINT_MAX];
    int timeout_ms;
    int wake_fd; /* wakes the thread */
    int user_fd; /* wakes the user */

    /* The thread's alone. */
    struct port *port;
    struct frame frame;
    struct message sent, received;
    int64_t next_ms;  /* when the next status is due */
    int64_t heard_ms; /* when the coordinator spoke last */
    int64_t stop_ms;  /* when the user asked to stop, or 0 */
    bool heard;       /* the coordinator, ever */

    uint64_t order_number, order_dealt; /* atomic copies of the order's */

    pthread_mutex_t lock; /* of what follows */
    bool stop, now, reported;
    bool silent; /* the coordinator, for longer than the timeout */
    struct status status;
    struct order order;
    uint32_t order_incarnation; /* of the coordinator that gave it */
    struct err refusal;         /* code 0: not refused */
    struct buffer *attached;    /* or NULL */
    uint64_t attached_to;       /* the order that it belongs to */
    int64_t attach_ms;          /* when it may be sent again, */
    int64_t attach_wait_ms;     /* and how long after that once more */
    struct section section[COUNTS_KINDS];
    uint32_t sections;
};

static void wake(int fd)
{
    uint64_t one = 1;

    while (write(fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

static void sleep_again(int fd)
{
    uint64_t count;

    while (read(fd, &count, sizeof count) < 0 && errno == EINTR)
        ;
}

/* ---- the thread ---- */

/* Under the lock: what is attached may be sent now. */
static void attach_anew(struct member *member)
{
    member->attach_ms = 0;
    member->attach_wait_ms = ATTACH_MS;
}

/* Under the lock: what is to travel with the status that is about to be sent. The
 * reference is the caller's. */
static struct buffer *take_attached(struct member *member, int64_t now_ms)
{
    uint64_t to = member->attached_to;

    member->sent.sections = 0;
    if (!member->attached || member->status.done != to || member->order.number != to ||
        member->order.counted || now_ms < member->attach_ms)
        return NULL;
    member->attach_ms = now_ms + member->attach_wait_ms;
#ifndef MUTANT_ATTACH_WAIT
    if (member->attach_wait_ms < ATTACH_MOST_MS)
        member->attach_wait_ms *= 2;
#endif
    member->sent.sections = member->sections;
    memcpy(member->sent.section, member->section, sizeof member->section);
    return buffer_ref(member->attached);
}

/* Sends the latest status if it is due or wanted now; sets when the next one is.
 * Returns false if it could not be sent. */
static bool send_status(struct member *member, int64_t now_ms)
{
    struct peer coordinator = {0}; /* a connecting port has but one peer */
    struct buffer *body;
    struct err err;
    bool now;
    int rc;

    pthread_mutex_lock(&member->lock);
    now = member->now;
    if (!member->reported || (!now && now_ms < member->next_ms)) {
        pthread_mutex_unlock(&member->lock);
        return true;
    }
    member->now = false;
    member->status.number++;
    member->sent.status = member->status;
    body = take_attached(member, now_ms);
    pthread_mutex_unlock(&member->lock);

    rc = port_send(member->port, coordinator, &member->sent, body, &err);
    buffer_unref(body);
    if (rc && rc != -ERR_AGAIN)
        log_warn("a status was not sent: %s", err.text);
    member->next_ms = now_ms + (rc && now ? RETRY_MS : TICK_MS);
    if (rc && (now || body)) {
        pthread_mutex_lock(&member->lock);
        member->now = member->now || now;
        if (body)
            attach_anew(member);
        pthread_mutex_unlock(&member->lock);
    }
    return rc == 0;
}

static void take_order(struct member *member, const struct message *message)
{
    bool newer = true;

    pthread_mutex_lock(&member->lock);
    if (message->order.number == member->order.number &&
        message->incarnation == member->order_incarnation)
        member->order.counted |= message->order.counted; /* it has no more to say */
#ifndef MUTANT_ORDER_NUMBER
    newer = message->incarnation > member->order_incarnation ||
            (message->incarnation == member->order_incarnation &&
             (message->order.number > member->order.number ||
              (message->order.number == member->order.number &&
               message->order.dealt > member->order.dealt)));
#endif
    if (newer) {
        if (message->incarnation != member->order_incarnation)
            attach_anew(member); /* it knows nothing of what others were sent */
        member->order = message->order;
        member->order_incarnation = message->incarnation;
        __atomic_store_n(&member->order_number, message->order.number,
                         __ATOMIC_RELEASE);
        __atomic_store_n(&member->order_dealt, message->order.dealt, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&member->lock);
    if (newer)
        wake(member->user_fd);
}

static void take_refusal(struct member *member, const struct refusal *refusal)
{
    pthread_mutex_lock(&member->lock);
    err_set(&member->refusal, ERR_PEER,
            "the coordinator at %s refused this process: %s", member->endpoint,
            refusal->text);
    pthread_mutex_unlock(&member->lock);
    wake(member->user_fd);
}

static void receive_all(struct member *member)
{
    struct message *message = &member->received;
    struct err err;
    int rc;

    while ((rc = port_receive(member->port, message, &member->frame, &err))) {
        if (rc < 0) {
            log_warn("%s", err.text);
            if (rc != -ERR_PEER)
                return;
            continue;
        }
        member->heard_ms = clock_ms();
        member->heard = true;
        if (message->kind == MESSAGE_ORDER)
            take_order(member, message);
        else if (message->kind == MESSAGE_REFUSAL)
            take_refusal(member, &message->refusal);
        frame_release(&member->frame);
    }
}

/* Notes whether the coordinator is silent; wakes the user when that begins. */
static void watch_silence(struct member *member, int64_t now_ms)
{
    bool silent = now_ms - member->heard_ms > member->timeout_ms, begins;

    pthread_mutex_lock(&member->lock);
    begins = silent && !member->silent;
    member->silent = silent;
    pthread_mutex_unlock(&member->lock);
    if (begins)
        wake(member->user_fd);
}

static int wait_ms(const struct member *member)
{
    int64_t left = member->next_ms - clock_ms();

    return left < 0 ? 0 : left > TICK_MS ? TICK_MS : (int)left;
}

/* Has the user asked to stop? Then the last status is wanted once more. */
static bool must_stop(struct member *member)
{
    bool stop;

    pthread_mutex_lock(&member->lock);
    stop = member->stop;
    member->now = member->now || stop;
    pthread_mutex_unlock(&member->lock);
    return stop;
}

/* One round of the thread. Returns false when it is the last: a status is lost then
 * only if the coordinator has gone, not because the connection is not there yet. */
static bool member_round(struct member *member)
{
    bool stop, sent;
    int64_t now_ms;

    port_wait(&member->port, 1, &member->wake_fd, 1, wait_ms(member));
    sleep_again(member->wake_fd);
    receive_all(member);
    stop = must_stop(member);
    now_ms = clock_ms();
    if (stop && member->stop_ms == 0)
        member->stop_ms = now_ms;
    sent = send_status(member, now_ms);
    watch_silence(member, now_ms);
    if (member->next_ms <= now_ms)
        member->next_ms = now_ms + TICK_MS; /* nothing to send yet */
    if (stop && !sent && !member->heard && now_ms - member->stop_ms < FAREWELL_MS)
        return true;
    return !stop;
}

static void *member_run(void *context)
{
    while (member_round(context))
        ;
    return NULL;
}

/* ---- the user ---- */

/* What create has made so far, in reverse. */
static void member_free(struct member *member)
{
    port_close(member->port);
    frame_free(&member->frame);
    if (member->wake_fd >= 0)
        close(member->wake_fd);
    if (member->user_fd >= 0)
        close(member->user_fd);
    buffer_unref(member->attached);
    pthread_mutex_destroy(&member->lock);
    free(member);
}

/* Signals are for the threads that know what to do about them. */
static int start_thread(struct member *member, struct err *err)
{
    sigset_t all, old;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    errno = pthread_create(&member->thread, NULL, member_run, member);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return errno ? err_system(err, "cannot start the member's thread") : 0;
}

int member_create(struct net *net, const char *endpoint, struct peer self, uint64_t job,
                  int timeout_ms, struct member **out, struct err *err)
{
    struct member *member = calloc(1, sizeof *member);

    *out = NULL;
    if (!member)
        return err_set(err, ERR_MEMORY, "no memory for a member");
    pthread_mutex_init(&member->lock, NULL);
    member->timeout_ms = timeout_ms;
    member->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    member->user_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    member->sent.kind = MESSAGE_STATUS;
    member->heard_ms = clock_ms();
    if (member->wake_fd < 0 || member->user_fd < 0) {
        err_system(err, "cannot make an event descriptor");
        goto fail;
    }
    if (port_connect(net, endpoint, self, job, &member->port, err))
        goto fail;
    snprintf(member->endpoint, sizeof member->endpoint, "%s",
             port_endpoint(member->port));
    if (start_thread(member, err))
        goto fail;
    *out = member;
    return 0;
fail:
    member_free(member);
    return -err->code;
}

void member_destroy(struct member *member)
{
    if (!member)
        return;
    pthread_mutex_lock(&member->lock);
    member->stop = true;
    pthread_mutex_unlock(&member->lock);
    wake(member->wake_fd);
    pthread_join(member->thread, NULL);
    member_free(member);
}

void member_report(struct member *member, const struct status *status, bool now)
{
    uint64_t number;

    pthread_mutex_lock(&member->lock);
    number = member->status.number;
    status_copy(&member->status, status);
    member->status.number = number;
    member->reported = true;
    member->now = member->now || now;
    pthread_mutex_unlock(&member->lock);
    if (now)
        wake(member->wake_fd);
}

void member_attach(struct member *member, uint64_t order, const struct section *section,
                   uint32_t sections, struct buffer *body)
{
    struct buffer *before;

    pthread_mutex_lock(&member->lock);
    before = member->attached;
    member->attached = body ? buffer_ref(body) : NULL;
    member->attached_to = order;
    attach_anew(member);
    member->sections = body ? sections : 0;
    if (member->sections)
        memcpy(member->section, section, sections * sizeof *section);
    pthread_mutex_unlock(&member->lock);
    buffer_unref(before);
}

int member_order(struct member *member, uint64_t known, uint64_t dealt,
                 struct order *order, struct err *err)
{
    int rc = 0;

    pthread_mutex_lock(&member->lock);
    sleep_again(member->user_fd);
    if (member->refusal.code) {
        *err = member->refusal;
        rc = -err->code;
    } else if (member->silent) {
        rc = err_set(err, ERR_DEADLINE,
                     "the coordinator at %s has been silent for %d ms",
                     member->endpoint, member->timeout_ms);
    } else if ((member->order.number != known || member->order.dealt != dealt) &&
               member->order.number != 0) {
        *order = member->order;
        rc = 1;
    }
    pthread_mutex_unlock(&member->lock);
    return rc;
}

uint64_t member_order_number(const struct member *member)
{
    return __atomic_load_n(&member->order_number, __ATOMIC_ACQUIRE);
}

uint64_t member_order_dealt(const struct member *member)
{
    return __atomic_load_n(&member->order_dealt, __ATOMIC_ACQUIRE);
}

int member_fd(const struct member *member)
{
    return member->user_fd;
}
