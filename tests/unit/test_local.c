/* Whole runs as threads of one process: whatever the consistency, the cuts and the
 * shapes, a run ends, in time, with the status and the counts that it should. */
#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <sys/wait.h>

#include "common/clock.h"
#include "common/rng.h"
#include "launch/run.h"
#include "server/checkpoint.h"
#include "tests/unit/scratch.h"

enum { EXAMPLES = 6000, PATIENCE_S = 60 };

struct kit {
    struct scratch scratch;
    char data[1024], dir[1024], job[1024], report[1024], log[1024];
    const char *setting[16];
    int settings;
    bool resume;
};

static void kit_create(struct kit *kit)
{
    char *text, *end;

    memset(kit, 0, sizeof *kit);
    scratch_init(&kit->scratch);
    text = end = malloc(EXAMPLES * 40);
    end += sprintf(end, "person\tfilm\tstars\n");
    for (uint64_t i = 0; i < EXAMPLES; i++)
        end += sprintf(end, "%u\t%u\t%u\n", (unsigned)(rng_at(1, 1, i) % 300),
                       (unsigned)(rng_at(1, 2, i) % 200),
                       (unsigned)(1 + rng_at(1, 3, i) % 5));
    snprintf(kit->data, sizeof kit->data, "%s",
             scratch_write(&kit->scratch, "data.tsv", text, (size_t)(end - text)));
    free(text);
    snprintf(kit->dir, sizeof kit->dir, "%s",
             scratch_path(&kit->scratch, "checkpoints"));
    snprintf(kit->log, sizeof kit->log, "%s", scratch_path(&kit->scratch, "log"));
    snprintf(kit->report, sizeof kit->report, "%s",
             scratch_path(&kit->scratch, "report.json"));
    snprintf(kit->job, sizeof kit->job, "%s",
             scratch_text(&kit->scratch, "job.yaml",
                          "data:\n"
                          "  label: stars\n"
                          "  columns: {person: {as: key, table: user},"
                          " film: {as: key, table: item}}\n"
                          "  split: {test: 0.1}\n"
                          "tables: {user: {dim: 4}, item: {dim: 4}}\n"
                          "train: {epochs: 3, batch: 64}\n"
                          "cluster: {timeout: 10 s, memory_max: 64 MiB}\n"));
}

static void remove_checkpoints(struct kit *kit)
{
    struct err ignored;
    char path[CHECKPOINT_PATH_MAX];

    while (access(kit->dir, F_OK) == 0 &&
           checkpoint_find(kit->dir, path, sizeof path, &ignored) == 0)
        checkpoint_remove(path);
    rmdir(kit->dir);
}

static void kit_release(struct kit *kit)
{
    char left[1100];

    remove_checkpoints(kit);
    /* What is left of one that was not whole. */
    snprintf(left, sizeof left, "rm -rf '%s'", kit->dir);
    assert_int_equal(system(left), 0);
    scratch_release(&kit->scratch);
}

static void set(struct kit *kit, const char *setting)
{
    kit->setting[kit->settings++] = setting;
}

/* In the child process. */
static int run(const struct kit *kit)
{
    struct run_request *request = calloc(1, sizeof *request);
    char train[1100], dir[1100];
    char *override[20];
    struct err err;
    int n = 0, status;

    snprintf(train, sizeof train, "data.train=%s", kit->data);
    snprintf(dir, sizeof dir, "checkpoint.dir=%s", kit->dir);
    override[n++] = train;
    override[n++] = dir;
    for (int i = 0; i < kit->settings; i++)
        override[n++] = (char *)(uintptr_t)kit->setting[i];
    if (job_load(&request->job, kit->job, override, n, &err)) {
        fprintf(stderr, "# %s\n", err.text);
        return 99;
    }
    request->quiet = true;
    snprintf(request->report, sizeof request->report, "%s", kit->report);
    if (request->job.checkpoint.dir[0])
        request->checkpoint_last = checkpoint_newest(kit->dir);
    if (kit->resume && request->checkpoint_last &&
        checkpoint_find(kit->dir, request->restore, sizeof request->restore, &err))
        return 98;
    status = run_local(request);
    free(request);
    return status;
}

/* What the run had to say, for whoever looks into a failure. */
static void show_log(const struct kit *kit)
{
    FILE *log = fopen(kit->log, "r");
    char line[1024];

    while (log && fgets(line, sizeof line, log))
        fprintf(stderr, "# %s", line);
    if (log)
        fclose(log);
}

static void assert_status(const struct kit *kit, int status, int expected)
{
    if (status != expected)
        show_log(kit);
    assert_int_equal(status, expected);
}

/* Runs in a process of its own; after `interrupt_ms` (-1: never) it is asked to stop.
 * Returns the exit status. */
static int run_apart(struct kit *kit, int interrupt_ms)
{
    int64_t begin = clock_ms();
    bool asked = false;
    sigset_t stop;
    pid_t pid;

    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    fflush(stdout);
    sigprocmask(SIG_BLOCK, &stop, NULL); /* from its first moment on it is to hear it */
    pid = fork();
    if (pid)
        sigprocmask(SIG_UNBLOCK, &stop, NULL);
    assert_true(pid >= 0);
    if (pid == 0) {
        if (!freopen("/dev/null", "w", stdout) || !freopen(kit->log, "w", stderr))
            _exit(97);
        exit(run(kit));
    }
    for (;;) {
        int status;

        if (waitpid(pid, &status, WNOHANG) == pid) {
            if (!WIFEXITED(status))
                show_log(kit);
            if (!WIFEXITED(status))
                fail_msg("ended by signal %d", WTERMSIG(status));
            return WEXITSTATUS(status);
        }
        if (interrupt_ms >= 0 && !asked && clock_ms() - begin >= interrupt_ms) {
            asked = true;
            kill(pid, SIGTERM);
        }
        if (clock_ms() - begin > PATIENCE_S * 1000) {
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
            show_log(kit);
            fail_msg("it has not ended for %d s", PATIENCE_S);
        }
        usleep(1000);
    }
}

/* A number of the report, such as "pushes.sent". */
static double reported(const struct kit *kit, const char *object, const char *name)
{
    json_t *all = json_load_file(kit->report, 0, NULL);
    json_t *json = json_object_get(all, object);
    double value;

    if (name)
        json = json_object_get(json, name);
    assert_true(json_is_number(json));
    value = json_number_value(json);
    json_decref(all);
    return value;
}

static uint64_t examples_of_epoch(const struct kit *kit, size_t index)
{
    json_t *all = json_load_file(kit->report, 0, NULL);
    json_t *epoch = json_array_get(json_object_get(all, "epochs"), index);
    json_int_t examples = json_integer_value(json_object_get(epoch, "examples"));

    json_decref(all);
    return (uint64_t)examples;
}

static void assert_counts(const struct kit *kit)
{
    assert_true(reported(kit, "pushes", "sent") == reported(kit, "pushes", "applied"));
}

/* --- shapes
 * ---------------------------------------------------------------------------- */

static void test_shapes(void **state)
{
    static const struct {
        const char *setting[4];
    } cases[] = {
        {{"cluster.workers=1"}},
        {{"cluster.workers=3", "cluster.servers=2", "train.inflight=0"}},
        {{"train.batch=1048576", "train.inflight=0"}}, /* larger than the data */
        {{"train.inflight=64", "train.batch=16", "cluster.workers=2"}},
        {{"data.split.test=0"}},
        {{"cluster.workers=40", "train.batch=1000", "train.epochs=1"}},
        {{"tables.user.dim=1000", "tables.item.dim=1000", "train.batch=2000",
          "train.epochs=1"}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct kit kit;

        kit_create(&kit);
        for (int s = 0; s < 4 && cases[i].setting[s]; s++)
            set(&kit, cases[i].setting[s]);
        set(&kit, "checkpoint.every=0 epoch");
        assert_status(&kit, run_apart(&kit, -1), 0);
        assert_counts(&kit);
        assert_true(reported(&kit, "checkpoint", "bytes") > 0);
        kit_release(&kit);
    }
}

/* Cuts in the middle of epochs, with everybody at another clock. */
static void test_timed_cuts(void **state)
{
    static const char *const consistency[] = {
        "train.consistency=async", "train.consistency=ssp", "train.consistency=bsp"};

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct kit kit;
        uint64_t examples;

        kit_create(&kit);
        set(&kit, consistency[i]);
        set(&kit, "train.staleness=1");
        set(&kit, "cluster.workers=3");
        set(&kit, "cluster.servers=2");
        set(&kit, "checkpoint.every=0.1 s");
        set(&kit, "train.batch=8");
        set(&kit, "train.epochs=4");
        assert_status(&kit, run_apart(&kit, -1), 0);
        assert_counts(&kit);
        examples = examples_of_epoch(&kit, 0);
        assert_in_range(examples, EXAMPLES * 85 / 100, EXAMPLES * 95 / 100);
        for (size_t e = 1; e < 4; e++)
            assert_int_equal(examples_of_epoch(&kit, e), examples);
        kit_release(&kit);
    }
}

/* --- interrupts
 * ------------------------------------------------------------------------- */

/* Many workers, of whom some have seen that they are to stop and some wait for them. */
static void test_cuts_of_many(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct kit kit;

        kit_create(&kit);
        set(&kit, "train.consistency=bsp");
        set(&kit, "cluster.workers=16");
        set(&kit, "cluster.servers=3");
        set(&kit, "checkpoint.every=0.1 s");
        set(&kit, "train.batch=4");
        assert_status(&kit, run_apart(&kit, -1), 0);
        assert_counts(&kit);
        assert_int_equal(examples_of_epoch(&kit, 2), examples_of_epoch(&kit, 0));
        kit_release(&kit);
    }
}

/* A stop comes when some have made their last push, and wait until it is applied, and
 * others have stopped one clock before: epochs are two clocks long. */
static void test_cuts_near_the_end(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct kit kit;

        kit_create(&kit);
        set(&kit, "data.split.test=0.9");
        set(&kit, "train.consistency=bsp");
        set(&kit, "cluster.workers=16");
        set(&kit, "cluster.servers=3");
        set(&kit, "checkpoint.every=0.1 s");
        set(&kit, i ? "train.batch=64" : "train.batch=16");
        set(&kit, "train.epochs=200");
        assert_status(&kit, run_apart(&kit, -1), 0);
        assert_counts(&kit);
        kit_release(&kit);
    }
}

/* Asked to stop at any moment, and resumed, until it is through. */
static void interrupt_and_resume(const char *consistency, uint64_t seed)
{
    struct kit kit;
    int status = 130, rounds = 0;

    kit_create(&kit);
    set(&kit, consistency);
    set(&kit, "cluster.workers=2");
    set(&kit, "train.batch=8");
    set(&kit, "train.epochs=12");
    for (; status == 130 && rounds < 40; rounds++) {
        int after_ms = (int)(rng_at(seed, 5, (uint64_t)rounds) % 100);

        status = run_apart(&kit, rounds < 8 ? after_ms : -1);
        kit.resume = true;
    }
    assert_status(&kit, status, 0);
    assert_true(rounds > 1);
    assert_counts(&kit);
    kit_release(&kit);
}

static void test_interrupts(void **state)
{
    (void)state;
    interrupt_and_resume("train.consistency=async", 1);
    interrupt_and_resume("train.consistency=ssp", 2);
    interrupt_and_resume("train.consistency=bsp", 3);
}

/* Nothing to save: it ends at once, with pushes on their way. */
static void test_interrupts_without_checkpoints(void **state)
{
    (void)state;
    for (int ms = 0; ms < 200; ms += 20) {
        struct kit kit;
        int64_t begin = clock_ms();
        int status;

        kit_create(&kit);
        set(&kit, "checkpoint.dir=");
        set(&kit, "train.batch=8");
        set(&kit, "train.epochs=1000");
        set(&kit, "cluster.workers=2");
        status = run_apart(&kit, ms);
        assert_status(&kit, status, 130);
        assert_true(clock_ms() - begin < 30000);
        kit_release(&kit);
    }
}

/* --- failures
 * ----------------------------------------------------------------------------- */

static void assert_fails(const char *setting, const char *also, int expected)
{
    int64_t begin, ms = INT64_MAX;

    /* Nobody is waited for (3 s) who has said why it ends: once in three times at least
     * the machine should be free enough to show it. */
    for (int i = 0; i < 3 && ms > 2500; i++) {
        struct kit kit;

        kit_create(&kit);
        set(&kit, "tables.user.dim=2000");
        set(&kit, "tables.item.dim=2000");
        set(&kit, setting);
        set(&kit, also);
        set(&kit, "cluster.workers=2");
        set(&kit, "cluster.servers=2");
        begin = clock_ms();
        assert_status(&kit, run_apart(&kit, -1), expected);
        ms = clock_ms() - begin;
        assert_int_equal(access(kit.report, F_OK), -1);
        kit_release(&kit);
    }
    assert_true(ms <= 2500);
}

static void test_failures(void **state)
{
    (void)state;
    assert_fails("data.train=/no/such/file.tsv", "train.epochs=1", 2);
    assert_fails("data.label=star", "train.epochs=1", 2);
    assert_fails("checkpoint.dir=/proc/none", "train.epochs=1", 1);
    assert_fails("optimizer.rate=1000", "optimizer.kind=sgd", 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_timed_cuts),
        cmocka_unit_test(test_cuts_of_many),
        cmocka_unit_test(test_cuts_near_the_end),
        cmocka_unit_test(test_interrupts),
        cmocka_unit_test(test_interrupts_without_checkpoints),
        cmocka_unit_test(test_failures),
    };

    return cmocka_run_group_tests_name("local", tests, NULL, NULL);
}
