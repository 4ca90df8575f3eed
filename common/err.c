#include "common/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int err_set(struct err *err, int code, const char *format, ...)
{
    va_list args;

    err->code = code;
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    return -code;
}

/* Adds ": more" behind the first n characters; what does not fit is cut. */
static void append(struct err *err, int n, const char *more)
{
    size_t at = n < 0 ? 0 : (size_t)n, length = strlen(more);

    if (at + 3 >= sizeof err->text)
        return;
    if (length > sizeof err->text - at - 3)
        length = sizeof err->text - at - 3;
    memcpy(err->text + at, ": ", 2);
    memcpy(err->text + at + 2, more, length);
    err->text[at + 2 + length] = '\0';
}

int err_system(struct err *err, const char *format, ...)
{
    const char *reason = strerror(errno);
    va_list args;
    int n;

    err->code = ERR_SYSTEM;
    va_start(args, format);
    n = vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    append(err, n, reason);
    return -ERR_SYSTEM;
}

int err_prefix(struct err *err, const char *format, ...)
{
    char old[ERR_TEXT_MAX];
    va_list args;
    int n;

    memcpy(old, err->text, sizeof old);
    va_start(args, format);
    n = vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    append(err, n, old);
    return -err->code;
}

int err_exit_status(int code)
{
    switch (code) {
    case ERR_NONE:
        return 0;
    case ERR_INPUT:
        return 2;
    case ERR_INTERRUPTED:
        return 130;
    default:
        return 1;
    }
}
