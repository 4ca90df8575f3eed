/* Kills the working process of a rank at a chosen moment, and says from the memory that
 * it leaves behind what it was doing. The rank's supervisor is stopped meanwhile, so
 * that no other process tidies up before that memory has been looked at.
 *
 *   strike SERVERS WORKERS PID ...     the supervisors' process ids, rank by rank
 *
 * Then one line of standard input for each kill: RANK MOMENT MICROSECONDS. MOMENT is
 * one of those below, waited for at most so long; the answer is one line, like
 *
 *   killed 4711 stage=2 apply growth
 *
 * or `none` if the rank had no process in two seconds. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "server/coordinator.h"
#include "server/core_state.h"
#include "server/table_index.h"
#include "worker/outbox.h"

enum {
    CHILD_MS = 2000,
    MOMENT_MS = 150, /* the longest wait for a moment */
    NAP_US = 50,
};

struct rank {
    pid_t supervisor;
    bool is_server;
    uint32_t index;
    int fd;              /* of the region, or the outbox */
    uint64_t size;       /* its bytes */
    struct region shown; /* server: as it is now, read-only */
};

struct scene {
    uint32_t servers, workers;
    struct rank *rank; /* servers first */
    const struct coordinator_memory *lead;
};

/* What the dead process was doing. */
struct fate {
    bool start;          /* its memory was still empty */
    bool apply;          /* rows were being changed */
    bool growth;         /* a sub-table of an index was growing */
    bool insert;         /* a row was made and not entered */
    bool push;           /* a push was applied in part */
    bool between;        /* a push was applied by one server and not by another */
    bool unacknowledged; /* worker: its outbox held pushes */
};

static void nap(long us)
{
    struct timespec time = {us / 1000000, us % 1000000 * 1000};

    nanosleep(&time, NULL);
}

/* The supervisor's memory of that name, opened anew; -1 without. */
static int open_memory(pid_t supervisor, const char *name, uint64_t *size)
{
    char path[64], link[512], target[256], wanted[128];
    struct dirent *entry;
    struct stat info;
    int fd = -1;
    DIR *dir;

    snprintf(path, sizeof path, "/proc/%d/fd", supervisor);
    snprintf(wanted, sizeof wanted, "/memfd:%s (deleted)", name);
    dir = opendir(path);
    while (dir && fd < 0 && (entry = readdir(dir))) {
        ssize_t n;

        snprintf(link, sizeof link, "%s/%s", path, entry->d_name);
        n = readlink(link, target, sizeof target - 1);
        if (n <= 0)
            continue;
        target[n] = '\0';
        if (strcmp(target, wanted) == 0)
            fd = open(link, O_RDONLY | O_CLOEXEC);
    }
    if (dir)
        closedir(dir);
    if (fd >= 0 && fstat(fd, &info) == 0)
        *size = (uint64_t)info.st_size;
    return fd;
}

/* PROT_WRITE: a copy of its own, to be tidied up without harm. */
static void *map_memory(int fd, uint64_t size, int protection)
{
    void *at = mmap(
        NULL, size, protection,
        (protection & PROT_WRITE ? MAP_PRIVATE : MAP_SHARED) | MAP_NORESERVE, fd, 0);

    return at == MAP_FAILED ? NULL : at;
}

/* --- what is in a server's region ------------------------------------------------ */

static const void *root_at(const struct region *region, uint32_t index)
{
    uint64_t offset = region_formatted(region) ? region_root(region, index) : 0;

    return offset ? region_at(region, offset) : NULL;
}

static const struct table_root *table_at(const struct region *region, uint32_t table)
{
    return root_at(region, ROOT_TABLES + table);
}

static uint64_t rows_made(const struct region *region)
{
    uint64_t rows = 0;

    for (uint32_t t = 0; t < JOB_TABLES_MAX; t++) {
        const struct table_root *root = table_at(region, t);

        if (root)
            rows += __atomic_load_n(&root->rows, __ATOMIC_RELAXED);
    }
    return rows;
}

static bool is_growing(const struct region *region)
{
    for (uint32_t t = 0; t < JOB_TABLES_MAX; t++) {
        const struct table_root *root = table_at(region, t);

        if (root && __atomic_load_n(&root->growth.new, __ATOMIC_RELAXED))
            return true;
    }
    return false;
}

static bool is_applying(const struct region *region)
{
    const struct undo *undo = root_at(region, ROOT_UNDO);

    return undo && __atomic_load_n(&undo->armed, __ATOMIC_RELAXED);
}

/* How far the worker's pushes are applied there. */
static struct standing standing_of(const struct region *region, uint32_t worker)
{
    static const struct standing none;
    const struct sessions *sessions = root_at(region, ROOT_SESSIONS);

    return sessions ? *session_standing(&sessions->session[worker]) : none;
}

/* Do two servers differ in how far they are with a worker's pushes? */
static bool servers_differ(const struct scene *scene)
{
    for (uint32_t w = 0; w < scene->workers; w++)
        for (uint32_t s = 1; s < scene->servers; s++)
            if (standing_of(&scene->rank[s].shown, w).applied !=
                standing_of(&scene->rank[0].shown, w).applied)
                return true;
    return false;
}

/* Opens the tables of a private copy as the next process will, and sees what that
 * tidies up. */
static void look_at_tables(struct region *region, struct fate *fate)
{
    struct err err;

    fate->growth = is_growing(region);
    if (region_open(region, &err))
        return;
    for (uint32_t t = 0; t < JOB_TABLES_MAX; t++) {
        const struct table_root *root = table_at(region, t);
        struct table_spec spec;
        struct table table;
        uint64_t rows;

        if (!root)
            continue;
        spec = root->spec;
        rows = root->rows;
        if (table_open(&table, region, ROOT_TABLES + t, &spec, &err) == 0)
            fate->insert |= root->rows < rows;
    }
}

static void look_at_server(const struct scene *scene, const struct rank *rank,
                           struct fate *fate)
{
    struct region region = {.size = rank->size, .bytes_max = rank->size, .fd = -1};

    region.base = map_memory(rank->fd, rank->size, PROT_READ | PROT_WRITE);
    if (!region.base)
        return;
    fate->start = !root_at(&region, ROOT_SESSIONS);
    fate->apply = is_applying(&region);
    for (uint32_t w = 0; w < scene->workers; w++)
        fate->push |= standing_of(&region, w).under_way != 0;
    look_at_tables(&region, fate);
    munmap(region.base, rank->size);
}

/* --- what is in a worker's outbox ------------------------------------------------ */

/* Has one server of these parts applied them, and another not? `whom`: it must be one
 * of them; NULL: whichever. */
static bool is_between(const struct scene *scene, uint32_t worker,
                       const struct parcel *parcel, uint32_t parcels,
                       const struct rank *whom)
{
    bool applied = false, missing = false, concerned = !whom;

    for (uint32_t i = 0; i < parcels; i++) {
        const struct rank *server;

        if (parcel[i].server >= scene->servers)
            return false;
        server = &scene->rank[parcel[i].server];
        concerned |= server == whom;
        if (standing_of(&server->shown, worker).applied >= parcel[i].clock)
            applied = true;
        else
            missing = true;
    }
    return concerned && applied && missing;
}

/* `dead`: its own process is; else it may change while we read, and counts only for
 * the server `whom`. */
static void look_at_outbox(const struct scene *scene, const struct rank *rank,
                           const struct rank *whom, struct fate *fate)
{
    void *memory = map_memory(rank->fd, rank->size, PROT_READ | PROT_WRITE);
    struct outbox *outbox;
    struct err err;

    if (!memory)
        return;
    if (*(uint64_t *)memory == 0)
        fate->start |= !whom;
    else if (outbox_open(memory, rank->size, &outbox, &err) == 0) {
        if (!whom)
            fate->unacknowledged = outbox_entries(outbox) > 0;
        for (uint32_t i = 0; i < outbox_entries(outbox); i++) {
            uint32_t parcels;
            const struct parcel *parcel = outbox_parcels(outbox, i, &parcels);

            fate->between |= is_between(scene, rank->index, parcel, parcels, whom);
        }
        outbox_close(outbox);
    }
    munmap(memory, rank->size);
}

static void look(const struct scene *scene, const struct rank *victim,
                 struct fate *fate)
{
    if (!victim->is_server) {
        look_at_outbox(scene, victim, NULL, fate);
        return;
    }
    look_at_server(scene, victim, fate);
    for (uint32_t w = 0; w < scene->workers; w++)
        look_at_outbox(scene, &scene->rank[scene->servers + w], victim, fate);
}

/* --- killing --------------------------------------------------------------------- */

/* The text of a file of the system's; "" without. */
static void read_text(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, size - 1);

    text[n > 0 ? n : 0] = '\0';
    if (fd >= 0)
        close(fd);
}

/* The supervisor's child; 0 while there is none. */
static pid_t child_of(pid_t supervisor)
{
    char path[64], text[32];

    snprintf(path, sizeof path, "/proc/%d/task/%d/children", supervisor, supervisor);
    read_text(path, text, sizeof text);
    return (pid_t)atoi(text);
}

/* What the system says of a process: its state, and for one that has ended ('Z') also
 * how. 0: there is none. */
static char state_of(pid_t pid, int *end)
{
    char path[64], text[1024], *at;

    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    read_text(path, text, sizeof text);
    at = strrchr(text, ' '); /* the status is the last of the fields */
    *end = at ? atoi(at) : 0;
    at = strrchr(text, ')');
    return at && at[1] ? at[2] : 0;
}

static bool moment_has_come(const struct scene *scene, const struct rank *victim,
                            const char *moment, uint64_t rows)
{
    if (strcmp(moment, "growth") == 0)
        return is_growing(&victim->shown);
    if (strcmp(moment, "apply") == 0)
        return is_applying(&victim->shown);
    if (strcmp(moment, "insert") == 0)
        return rows_made(&victim->shown) > rows;
    if (strcmp(moment, "between") == 0)
        return servers_differ(scene);
    return false;
}

/* As long as rows are being made there is something to wait for. */
static void wait_for_moment(const struct scene *scene, const struct rank *victim,
                            const char *moment, long us)
{
    int64_t until = clock_ms() + us / 1000, last = clock_ms() + MOMENT_MS;
    uint64_t rows, before;

    if (strcmp(moment, "any") == 0) {
        nap(us);
        return;
    }
    rows = before = victim->is_server ? rows_made(&victim->shown) : 0;
    while (clock_ms() < until && !moment_has_come(scene, victim, moment, before)) {
        uint64_t now = victim->is_server ? rows_made(&victim->shown) : 0;

        if (now != rows && clock_ms() < last)
            until = clock_ms() + us / 1000;
        rows = now;
    }
}

static pid_t wait_for_child(pid_t supervisor)
{
    int64_t until = clock_ms() + CHILD_MS;
    pid_t pid;
    int end;

    while (!(pid = child_of(supervisor)) || state_of(pid, &end) == 'Z') {
        if (clock_ms() > until || !state_of(supervisor, &end))
            return 0;
        nap(NAP_US);
    }
    return pid;
}

/* Is the stopped process where it is wanted? */
static bool is_caught(const struct scene *scene, const struct rank *victim,
                      const char *moment)
{
    struct fate fate = {0};

    if (strcmp(moment, "growth") == 0)
        return is_growing(&victim->shown);
    if (strcmp(moment, "apply") == 0)
        return is_applying(&victim->shown);
    look_at_server(scene, victim, &fate);
    return fate.insert;
}

static void freeze(pid_t pid)
{
    char state;
    int end;

    kill(pid, SIGSTOP);
    while ((state = state_of(pid, &end)) && state != 'T' && state != 'Z')
        ;
}

/* Most moments last but microseconds, too short for a signal: the process is stopped
 * again and again until it stands where it is wanted, if it ever does. */
static void catch_at(const struct scene *scene, const struct rank *victim, pid_t pid,
                     const char *moment, long us)
{
    int64_t until = clock_ms() + MOMENT_MS;
    int end;

    do {
        wait_for_moment(scene, victim, moment, us);
        freeze(pid);
        if (is_caught(scene, victim, moment))
            return;
        kill(pid, SIGCONT);
    } while (clock_ms() < until && state_of(pid, &end) != 'Z');
}

/* A process that has gone by itself meanwhile keeps its number until its supervisor
 * goes on. False: it had. */
static bool kill_at(const struct scene *scene, const struct rank *victim, pid_t pid,
                    const char *moment, long us)
{
    int end = 0;
    char state;

    if (strcmp(moment, "any") == 0 || strcmp(moment, "between") == 0)
        wait_for_moment(scene, victim, moment, us);
    else if (victim->is_server)
        catch_at(scene, victim, pid, moment, us);
    kill(pid, SIGKILL);
    while ((state = state_of(pid, &end)) && state != 'Z')
        nap(NAP_US);
    return WIFSIGNALED(end) && WTERMSIG(end) == SIGKILL;
}

static void strike(const struct scene *scene, const struct rank *victim,
                   const char *moment, long us)
{
    struct fate fate = {0};
    pid_t pid = wait_for_child(victim->supervisor);
    bool killed = false;

    if (pid) {
        kill(victim->supervisor, SIGSTOP);
        if (child_of(victim->supervisor) == pid)
            killed = kill_at(scene, victim, pid, moment, us);
        if (killed)
            look(scene, victim, &fate);
        kill(victim->supervisor, SIGCONT);
    }
    if (!killed) {
        puts("none");
        return;
    }
    printf("killed %d stage=%u%s%s%s%s%s%s%s\n", pid,
           scene->lead ? scene->lead->state.stage : 0, fate.start ? " start" : "",
           fate.apply ? " apply" : "", fate.growth ? " growth" : "",
           fate.insert ? " insert" : "", fate.push ? " push" : "",
           fate.between ? " between" : "",
           fate.unacknowledged ? " unacknowledged" : "");
}

/* --- the job --------------------------------------------------------------------- */

static int meet(struct scene *scene, char **pid)
{
    uint64_t size;
    int fd;

    for (uint32_t i = 0; i < scene->servers + scene->workers; i++) {
        struct rank *rank = &scene->rank[i];

        rank->supervisor = (pid_t)atoi(pid[i]);
        rank->is_server = i < scene->servers;
        rank->index = rank->is_server ? i : i - scene->servers;
        rank->fd = open_memory(rank->supervisor,
                               rank->is_server ? "the region" : "the outbox",
                               &rank->size);
        if (rank->fd < 0)
            return -1;
        if (rank->is_server) {
            rank->shown = (struct region){.size = rank->size, .fd = -1};
            rank->shown.base = map_memory(rank->fd, rank->size, PROT_READ);
            if (!rank->shown.base)
                return -1;
        }
    }
    fd = open_memory(scene->rank[0].supervisor, "the coordinator's state", &size);
    if (fd >= 0)
        scene->lead = map_memory(fd, size, PROT_READ);
    return 0;
}

int main(int argc, char **argv)
{
    struct scene scene = {0};
    unsigned rank;
    char moment[16];
    long us;

    if (argc > 3) {
        scene.servers = (uint32_t)atoi(argv[1]);
        scene.workers = (uint32_t)atoi(argv[2]);
        scene.rank = calloc((size_t)argc, sizeof *scene.rank);
    }
    if (!scene.rank || !scene.servers ||
        (uint32_t)argc != 3 + scene.servers + scene.workers || meet(&scene, argv + 3)) {
        fprintf(stderr, "strike: SERVERS WORKERS and their supervisors' process ids\n");
        free(scene.rank);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    while (scanf("%u %15s %ld", &rank, moment, &us) == 3 &&
           rank < scene.servers + scene.workers)
        strike(&scene, &scene.rank[rank], moment, us);
    free(scene.rank);
    return 0;
}
