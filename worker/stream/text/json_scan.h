/* One text of JSON (RFC 8259), member by member, strictly and without allocating:
 * values keep the digits and letters that the text has. */
#ifndef ROWHOUSE_WORKER_STREAM_TEXT_JSON_SCAN_H
#define ROWHOUSE_WORKER_STREAM_TEXT_JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>

enum { JSON_DEPTH_MAX = 64, JSON_PATH_MAX = 1024 };

enum json_kind {
    JSON_STRING,
    JSON_NUMBER,
    JSON_WORD,
    JSON_NULL,
    JSON_ARRAY,
    JSON_OBJECT
};

/* A member, or an element of an array that is one. */
struct json_value {
    const char *path; /* names of members with dots between, terminated */
    enum json_kind kind;
    const char *text; /* between the quotes, the number, true or false, "" */
    size_t length;
    bool escaped; /* a string with backslashes: see json_unescape() */
    bool element; /* of the array at `path` */
};

/* What is called with each. An array is announced (JSON_ARRAY) before its elements;
 * an object (JSON_OBJECT) before its members, but for the one that is the whole text.
 * What is inside of elements is looked through, but not told of. Nonzero ends it. */
typedef int json_visit(void *context, const struct json_value *value);

/* Scans text[0..length), which must be one object. 0, or what the visitor returned. It
 * is not JSON: 1, *at is the byte at which that was seen and *expected, else left
 * alone, what should be there. */
int json_scan(const char *text, size_t length, json_visit *visit, void *context,
              size_t *at, const char **expected);

/* Writes an escaped string's bytes, of which there are at most as many as it has, in
 * UTF-8. Their number; SIZE_MAX: half of a surrogate pair. */
size_t json_unescape(const char *text, size_t length, char *to);

#endif
