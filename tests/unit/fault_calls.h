/* Calls to the system that fail when a test wants it: include this in one file of a
 * test program, whose functions then stand before those of the C library.
 *
 *   fault_arm(FAULT_WRITE, 3, ENOSPC);   the third write() from now fails, once
 *   ... fault_disarm() says whether it came to that */
#ifndef ROWHOUSE_TESTS_UNIT_FAULT_CALLS_H
#define ROWHOUSE_TESTS_UNIT_FAULT_CALLS_H

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum fault_call {
    FAULT_NONE,
    FAULT_WRITE,
    FAULT_READ,
    FAULT_FSYNC,
    FAULT_CLOSE,
    FAULT_RENAME,
    FAULT_RENAME_NEW
};

static struct {
    enum fault_call call;
    int left; /* calls until the one that fails */
    int error;
    bool
        short_writes; /* write() takes 1000 bytes at most, and EINTR every other time */
    int calls;
} fault;

static inline void fault_arm(enum fault_call call, int nth, int error)
{
    fault.call = call;
    fault.left = nth;
    fault.error = error;
}

/* Did the armed call fail? */
static inline bool fault_disarm(void)
{
    bool happened = fault.call != FAULT_NONE && fault.left <= 0;

    fault.call = FAULT_NONE;
    return happened;
}

static inline bool fault_now(enum fault_call call)
{
    if (fault.call != call || --fault.left != 0)
        return false;
    errno = fault.error;
    return true;
}

ssize_t write(int fd, const void *bytes, size_t n)
{
    if (fault_now(FAULT_WRITE))
        return -1;
    if (fault.short_writes && ++fault.calls % 2) {
        errno = EINTR;
        return -1;
    }
    return syscall(SYS_write, fd, bytes, fault.short_writes && n > 1000 ? 1000 : n);
}

ssize_t read(int fd, void *bytes, size_t n)
{
    if (fault_now(FAULT_READ))
        return -1;
    if (fault.short_writes && ++fault.calls % 2) {
        errno = EINTR;
        return -1;
    }
    return syscall(SYS_read, fd, bytes, fault.short_writes && n > 1000 ? 1000 : n);
}

/* Nothing here survives the test: only that it is called matters, not the disk. */
int fsync(int fd)
{
    (void)fd;
    return fault_now(FAULT_FSYNC) ? -1 : 0;
}

int close(int fd)
{
    bool fails = fault_now(FAULT_CLOSE);
    int rc = (int)syscall(SYS_close, fd); /* it is closed in any case, as in Linux */

    if (fails)
        errno = fault.error;
    return fails ? -1 : rc;
}

int rename(const char *from, const char *to)
{
    return fault_now(FAULT_RENAME) ? -1 : (int)syscall(SYS_rename, from, to);
}

int renameat2(int dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    if (fault_now(FAULT_RENAME_NEW))
        return -1;
    return (int)syscall(SYS_renameat2, dir, from, to_dir, to, flags);
}

#endif
