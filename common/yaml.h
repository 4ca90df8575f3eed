/* A YAML file as a flat list of settings: (path "tables.user.dim", value, line).
 *
 * Only what settings need: nested mappings (block or flow) whose leaves are scalars or
 * sequences of scalars. Everything else in YAML is refused with file and line: anchors
 * and aliases, tags, a name given twice, several documents, line breaks and other
 * control characters in a name or value, and whatever passes the limits below. */
#ifndef ROWHOUSE_COMMON_YAML_H
#define ROWHOUSE_COMMON_YAML_H

#include <stddef.h>

#include "common/err.h"

enum {
    YAML_SIZE_MAX = 1024 * 1024, /* bytes of a file */
    YAML_DEPTH_MAX = 8,          /* mappings and sequences inside each other */
    YAML_PATH_SIZE = 512,        /* a path with its 0 byte */
    YAML_NAMES_MAX = 4096,       /* names in a file */
};

/* Takes one setting. `value` is a scalar's text, which holds no control character; or
 * a sequence with each item ended by '\n' ("" when it is empty); or NULL for an empty
 * mapping and for a name without value ("a: {}", "a:", "a: ~", "a: null"). Both texts
 * are borrowed for the call. `line` (from 1) is that of the name. Anything but 0 ends
 * the walk and becomes its result. */
typedef int yaml_item_fn(void *context, const char *path, const char *value, int line,
                         struct err *err);

/* Calls `each` for every setting in `text`, in the file's order. `file` is the name for
 * the sentences. -ERR_INPUT names file, line and, for broken syntax, column. */
int yaml_flatten(const char *text, size_t size, const char *file, yaml_item_fn *each,
                 void *context, struct err *err);

#endif
