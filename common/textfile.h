/* Lines of a text file: plain, gzip or Zstandard (told by the first bytes, not by the
 * name), streamed through a buffer. One thread. */
#ifndef ROWHOUSE_COMMON_TEXTFILE_H
#define ROWHOUSE_COMMON_TEXTFILE_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

enum { TEXTFILE_LINE_MAX = 1024 * 1024 }; /* bytes, without the line's end */

struct textfile;

/* Opens `path` (copied). -ERR_INPUT: no such file, or a directory; -ERR_SYSTEM: cannot
 * be opened; -ERR_MEMORY. */
int textfile_open(const char *path, struct textfile **file, struct err *err);
void textfile_close(struct textfile *file); /* NULL is fine */

/* The next line without its end (\n or \r\n; the last line may have none): 1, and *line
 * is valid until the next call, with a '\0' at (*line)[*length]; 0 at the end. The
 * caller may change the line's bytes. -ERR_INPUT: a line longer than TEXTFILE_LINE_MAX,
 * a NUL byte (no text), a truncated or damaged compressed file; -ERR_SYSTEM: cannot
 * read; -ERR_MEMORY. Do not go on after an error. */
int textfile_next(struct textfile *file, char **line, size_t *length, struct err *err);

/* The number of the line last returned, from 1. */
uint64_t textfile_line(const struct textfile *file);

/* The path as it was given; valid until textfile_close(). */
const char *textfile_path(const struct textfile *file);

#endif
