/* Errors: a code for the program, one sentence for the person.
 *
 * A function that can fail returns 0 or -ERR_..., takes `struct err *err` as its
 * last argument and writes the sentence there: what, where, what was found and
 * expected. Callers add context with err_prefix() on the way up. The first who
 * detects an error writes the sentence; nobody above prints it but the command. */
#ifndef ROWHOUSE_COMMON_ERR_H
#define ROWHOUSE_COMMON_ERR_H

/* Codes cross the wire: never renumber, only append. */
enum err_code {
    ERR_NONE = 0,
    ERR_INPUT = 1,       /* bad usage, setting, file or data: exit status 2 */
    ERR_SYSTEM = 2,      /* a call to the operating system failed: 1 */
    ERR_MEMORY = 3,      /* no memory left, or a memory cap reached: 1 */
    ERR_PEER = 4,        /* a peer is lost or sent nonsense: 1 */
    ERR_DEADLINE = 5,    /* a wait has expired: 1 */
    ERR_DAMAGE = 6,      /* stored bytes are not what was written: 1 */
    ERR_AGAIN = 7,       /* not now; try again after the next event */
    ERR_INTERRUPTED = 8, /* a person asked to stop: 130 */
};

enum { ERR_TEXT_MAX = 1024 };

struct err {
    int code; /* enum err_code */
    char text[ERR_TEXT_MAX];
};

/* Sets code and sentence (printf style). Returns -code. `err` must not be NULL. */
int err_set(struct err *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Like err_set() with ERR_SYSTEM and ": <text of errno>" appended. */
int err_system(struct err *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Puts "context: " in front of the sentence. Returns -err->code. */
int err_prefix(struct err *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The exit status of the contract for a code: 0, 1, 2 or 130. */
int err_exit_status(int code);

#endif
