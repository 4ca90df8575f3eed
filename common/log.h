/* Log lines on standard error, for people. The level is the one global of the
 * program. Any thread may call; each call is one write of one line. */
#ifndef ROWHOUSE_COMMON_LOG_H
#define ROWHOUSE_COMMON_LOG_H

enum log_level { LOG_SILENT, LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* What is printed from now on; LOG_INFO at start. */
void log_set_level(enum log_level level);

/* A short name of this process ("server 1"), put into every line; "" for none.
 * The text is copied; call before threads start. */
void log_set_name(const char *name);

void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
