/* recovery_watch SUPERVISOR KILLS PAUSE_MS AHEAD: kills a server's process again and
 * again and says how long its supervisor, its successor and the workers take until
 * pushes are applied again.
 *
 * It looks into the server's region, which the supervisor keeps, through the
 * supervisor's descriptors: so it sees rows being applied within a fraction of a
 * millisecond, without a part in the job. A line for each kill, in milliseconds since
 * the kill: until the killed process was gone, until its successor was there, until
 * that one applied the first rows, and until it had applied AHEAD pushes more than
 * there were. The job may end before all kills are done. With KILLS 0 it only prints
 * the bytes in use and pushes applied. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "server/core_state.h"

enum { LOOK_US = 200, PATIENCE_S = 60 };

struct watched {
    pid_t supervisor;
    struct region region;
};

/* What has been applied, by all workers' pushes. */
struct progress {
    uint64_t pushes, steps; /* whole pushes; groups of rows */
};

static int complain(const char *what)
{
    fprintf(stderr, "recovery_watch: %s: %s\n", what, strerror(errno));
    return 1;
}

/* The supervisor's descriptor of the region, opened again for reading. */
static int open_region(pid_t supervisor)
{
    char folder[64], path[512], target[256];
    struct dirent *entry;
    int fd = -1;
    DIR *dir;

    snprintf(folder, sizeof folder, "/proc/%d/fd", (int)supervisor);
    dir = opendir(folder);
    while (dir && fd < 0 && (entry = readdir(dir))) {
        ssize_t n;

        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        n = readlink(path, target, sizeof target - 1);
        target[n > 0 ? n : 0] = '\0';
        if (strncmp(target, "/memfd:the region", 17) == 0)
            fd = open(path, O_RDONLY | O_CLOEXEC);
    }
    if (dir)
        closedir(dir);
    return fd;
}

static int watch(struct watched *w, pid_t supervisor)
{
    int fd = open_region(supervisor);
    struct stat facts;

    if (fd < 0 || fstat(fd, &facts))
        return complain("no region among the descriptors of that process");
    w->supervisor = supervisor;
    w->region = (struct region){.size = (uint64_t)facts.st_size, .fd = -1};
    w->region.base = mmap(NULL, w->region.size, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    return w->region.base == MAP_FAILED ? complain("cannot map the region") : 0;
}

static struct progress look(const struct watched *w)
{
    uint64_t root = region_formatted(&w->region)
                        ? region_root(&w->region, ROOT_SESSIONS)
                        : 0;
    struct progress sum = {0, 0};

    if (!root)
        return sum;
    /* Sessions have whole pages, zero behind the last worker's. */
    for (uint64_t at = sizeof(struct sessions); at + sizeof(struct session) < 4096;
         at += sizeof(struct session)) {
        const struct session *s = region_at(&w->region, root + at);

        sum.pushes += session_standing(s)->pushes_applied;
        sum.steps += s->current;
    }
    return sum;
}

static pid_t child_of(pid_t supervisor)
{
    char path[64], text[64] = "";
    FILE *file;
    size_t n;

    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)supervisor,
             (int)supervisor);
    file = fopen(path, "r");
    n = file ? fread(text, 1, sizeof text - 1, file) : 0;
    text[n] = '\0';
    if (file)
        fclose(file);
    return (pid_t)atoi(text);
}

static void sleep_us(long us)
{
    struct timespec t = {us / 1000000, us % 1000000 * 1000};

    nanosleep(&t, NULL);
}

/* One kill; 0, or 1 when there is nobody to kill or nothing comes after it. */
static int kill_once(const struct watched *w, uint64_t ahead)
{
    pid_t victim = child_of(w->supervisor), next = 0;
    int fd = (int)syscall(SYS_pidfd_open, victim, 0);
    struct pollfd gone = {.fd = fd, .events = POLLIN};
    double start, dead, born = 0, first = 0, last = 0;
    struct progress before, now;

    if (victim <= 0 || fd < 0)
        return 1;
    start = clock_seconds();
    if (kill(victim, SIGKILL) || poll(&gone, 1, PATIENCE_S * 1000) != 1)
        return complain("cannot kill the server's process");
    dead = clock_seconds() - start;
    close(fd);
    before = look(w);
    while (last == 0 && clock_seconds() - start < PATIENCE_S) {
        now = look(w);
        if (!born && (next = child_of(w->supervisor)) > 0 && next != victim)
            born = clock_seconds() - start;
        if (first == 0 && now.steps != before.steps)
            first = clock_seconds() - start;
        if (now.pushes >= before.pushes + ahead)
            last = clock_seconds() - start;
        sleep_us(LOOK_US);
    }
    if (last == 0) {
        fprintf(stderr, "recovery_watch: nothing was applied for %d s\n", PATIENCE_S);
        return 1;
    }
    printf("%.1f %.1f %.1f %.1f\n", dead * 1e3, born * 1e3, first * 1e3, last * 1e3);
    fflush(stdout);
    return 0;
}

int main(int argc, char **argv)
{
    struct watched w;
    struct progress now;
    int kills;

    if (argc != 5) {
        fprintf(stderr, "usage: recovery_watch SUPERVISOR KILLS PAUSE_MS AHEAD\n");
        return 2;
    }
    if (watch(&w, (pid_t)atoi(argv[1])))
        return 1;
    for (kills = 0; kills < atoi(argv[2]); kills++) {
        sleep_us(atol(argv[3]) * 1000);
        if (kill_once(&w, strtoull(argv[4], NULL, 10)))
            break;
    }
    now = look(&w);
    if (atoi(argv[2]) == 0)
        printf("%llu %llu\n", (unsigned long long)region_used(&w.region),
               (unsigned long long)now.pushes);
    return kills > 0 || atoi(argv[2]) == 0 ? 0 : 1;
}
