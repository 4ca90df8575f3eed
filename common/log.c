#include "common/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

static enum log_level log_level_now = LOG_INFO;
static char log_name[64];

void log_set_level(enum log_level level)
{
    log_level_now = level;
}

void log_set_name(const char *name)
{
    snprintf(log_name, sizeof log_name, "%s%s", name, name[0] ? ": " : "");
}

static void log_line(enum log_level level, const char *word, const char *format,
                     va_list args)
{
    char line[2048];
    int n, m;

    if (level > log_level_now)
        return;
    n = snprintf(line, sizeof line, "rowhouse: %s%s", log_name, word);
    m = vsnprintf(line + n, sizeof line - (size_t)n - 1, format, args);
    if (m > 0)
        n = n + m < (int)sizeof line - 2 ? n + m : (int)sizeof line - 2;
    line[n++] = '\n';
    if (write(STDERR_FILENO, line, (size_t)n) < 0)
        return; /* nobody to tell */
}

#define LOG_FUNCTION(name, level, word)                                                \
    void name(const char *format, ...)                                                 \
    {                                                                                  \
        va_list args;                                                                  \
                                                                                       \
        va_start(args, format);                                                        \
        log_line(level, word, format, args);                                           \
        va_end(args);                                                                  \
    }

LOG_FUNCTION(log_error, LOG_ERROR, "")
LOG_FUNCTION(log_warn, LOG_WARN, "warning: ")
LOG_FUNCTION(log_info, LOG_INFO, "")
LOG_FUNCTION(log_debug, LOG_DEBUG, "")
