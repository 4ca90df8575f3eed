#include "common/yaml.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

struct name {
    char *path;
    int line;
};

struct flattener {
    yaml_parser_t parser;
    const char *text; /* borrowed */
    size_t size;
    const char *file; /* borrowed, for sentences */
    yaml_item_fn *each;
    void *context;
    struct err *err;

    char path[YAML_PATH_SIZE]; /* of where the walk is */
    size_t length;
    int line; /* of the name that it ends with */
    int depth;
    struct name *name; /* all so far, to find one given twice */
    size_t names, names_room;
};

static int no_memory(struct flattener *f)
{
    return err_set(f->err, ERR_MEMORY, "no memory to read '%s'", f->file);
}

static int line_of(const yaml_event_t *event)
{
    return (int)event->start_mark.line + 1;
}

/* The parser counts no lines while it decodes bytes; so bytes that are not UTF-8 are
 * found again by their offset. */
static int line_at(const struct flattener *f, size_t offset)
{
    int line = 1;

    for (size_t i = 0; i < offset && i < f->size; i++)
        line += f->text[i] == '\n';
    return line;
}

static int column_at(const struct flattener *f, size_t offset)
{
    int column = 1;

    for (size_t i = 0; i < offset && i < f->size; i++)
        column = f->text[i] == '\n' ? 1 : column + 1;
    return column;
}

static int syntax_error(struct flattener *f)
{
    const yaml_parser_t *p = &f->parser;
    const char *problem = p->problem ? p->problem : "cannot be read";

    if (p->error == YAML_MEMORY_ERROR)
        return no_memory(f);
    if (p->error == YAML_READER_ERROR)
        return err_set(f->err, ERR_INPUT, "%s line %d, column %d: not valid YAML: %s",
                       f->file, line_at(f, p->problem_offset),
                       column_at(f, p->problem_offset), problem);
    return err_set(f->err, ERR_INPUT, "%s line %d, column %d: not valid YAML: %s%s%s",
                   f->file, (int)p->problem_mark.line + 1,
                   (int)p->problem_mark.column + 1, problem, p->context ? " " : "",
                   p->context ? p->context : "");
}

static int refuse(struct flattener *f, int line, const char *what)
{
    return err_set(f->err, ERR_INPUT, "%s line %d: %s", f->file, line, what);
}

static int check_marks(struct flattener *f, const yaml_event_t *event,
                       const yaml_char_t *anchor, const yaml_char_t *tag)
{
    if (anchor)
        return refuse(f, line_of(event),
                      "anchors (&name) and aliases (*name) cannot be used here");
    if (tag)
        return refuse(f, line_of(event), "tags (!name) cannot be used here");
    return 0;
}

/* The next event; on success the caller deletes it. */
static int next_event(struct flattener *f, yaml_event_t *event)
{
    int rc = 0;

    if (!yaml_parser_parse(&f->parser, event))
        return syntax_error(f);
    if (event->type == YAML_ALIAS_EVENT)
        rc = check_marks(f, event, event->data.alias.anchor, NULL);
    else if (event->type == YAML_SCALAR_EVENT)
        rc = check_marks(f, event, event->data.scalar.anchor, event->data.scalar.tag);
    else if (event->type == YAML_SEQUENCE_START_EVENT)
        rc = check_marks(f, event, event->data.sequence_start.anchor,
                         event->data.sequence_start.tag);
    else if (event->type == YAML_MAPPING_START_EVENT)
        rc = check_marks(f, event, event->data.mapping_start.anchor,
                         event->data.mapping_start.tag);
    if (rc)
        yaml_event_delete(event);
    return rc;
}

/* A scalar's text, without 0 bytes or other control characters; NULL after a
 * complaint. */
static const char *plain_text(struct flattener *f, const yaml_event_t *event)
{
    const unsigned char *text = event->data.scalar.value;

    for (size_t i = 0; i < event->data.scalar.length; i++) {
        if (text[i] < 0x20 || text[i] == 0x7f) {
            refuse(f, line_of(event),
                   "a line break, tab or other control character in a name or value");
            return NULL;
        }
    }
    return (const char *)text;
}

static bool is_null(const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;

    return event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (!*text || !strcmp(text, "~") || !strcmp(text, "null"));
}

static int remember_name(struct flattener *f)
{
#ifndef MUTANT_YAML_DUPLICATE
    for (size_t i = 0; i < f->names; i++) {
        if (!strcmp(f->name[i].path, f->path))
            return err_set(f->err, ERR_INPUT,
                           "%s line %d: '%s' is given twice, first on line %d", f->file,
                           f->line, f->path, f->name[i].line);
    }
#endif
    if (f->names == YAML_NAMES_MAX)
        return err_set(f->err, ERR_INPUT, "%s line %d: more than %d names", f->file,
                       f->line, YAML_NAMES_MAX);
    if (f->names == f->names_room) {
        size_t room = f->names_room ? 2 * f->names_room : 64;
        struct name *grown = realloc(f->name, room * sizeof *grown);

        if (!grown)
            return no_memory(f);
        f->name = grown;
        f->names_room = room;
    }
    f->name[f->names].path = strdup(f->path);
    if (!f->name[f->names].path)
        return no_memory(f);
    f->name[f->names++].line = f->line;
    return 0;
}

/* Moves down by the name in `event`. The caller cuts the path to its old length. */
static int enter_name(struct flattener *f, const yaml_event_t *event)
{
    const char *name;
    size_t length, dot = f->length > 0;

    f->line = line_of(event);
    if (event->type != YAML_SCALAR_EVENT)
        return refuse(f, f->line, "a name must be a plain text");
    name = plain_text(f, event);
    if (!name)
        return -f->err->code;
    length = strlen(name);
    if (length == 0)
        return refuse(f, f->line, "a name is empty");
    if (f->length + dot + length >= sizeof f->path)
        return err_set(f->err, ERR_INPUT, "%s line %d: a name is longer than %zu bytes",
                       f->file, f->line, sizeof f->path - 1);
    if (dot)
        f->path[f->length++] = '.';
    memcpy(f->path + f->length, name, length + 1);
    f->length += length;
    return remember_name(f);
}

static int deeper(struct flattener *f, int line)
{
    if (++f->depth > YAML_DEPTH_MAX)
        return err_set(f->err, ERR_INPUT, "%s line %d: nested deeper than %d levels",
                       f->file, line, YAML_DEPTH_MAX);
    return 0;
}

static int flatten_mapping(struct flattener *f, int line);
static int flatten_sequence(struct flattener *f, int line);

static int flatten_value(struct flattener *f)
{
    yaml_event_t event;
    int rc = next_event(f, &event);
    int line;

    if (rc)
        return rc;
    line = line_of(&event);
    if (event.type == YAML_SCALAR_EVENT) {
        const char *value = plain_text(f, &event);

        rc = value ? f->each(f->context, f->path, is_null(&event) ? NULL : value,
                             f->line, f->err)
                   : -f->err->code;
        yaml_event_delete(&event);
        return rc;
    }
    /* Only a mapping or a sequence can come here: next_event() refuses aliases. */
    rc = event.type == YAML_MAPPING_START_EVENT;
    yaml_event_delete(&event);
    return rc ? flatten_mapping(f, line) : flatten_sequence(f, line);
}

/* Appends the item in `event` and '\n' to the list of YAML_SIZE_MAX bytes. */
static int append_item(struct flattener *f, const yaml_event_t *event, char *list,
                       size_t *used)
{
    const char *item;
    size_t length;

    if (event->type != YAML_SCALAR_EVENT)
        return refuse(f, line_of(event),
                      "an item of a list must be a single value, not a list or map");
    item = plain_text(f, event);
    if (!item)
        return -f->err->code;
    length = strlen(item);
    if (*used + length + 2 > YAML_SIZE_MAX)
        return refuse(f, line_of(event), "a list is too long");
    memcpy(list + *used, item, length);
    *used += length;
    list[(*used)++] = '\n';
    return 0;
}

static int flatten_sequence(struct flattener *f, int line)
{
    char *list = NULL;
    size_t used = 0;
    int rc = deeper(f, line);
    bool open = true;

    if (rc)
        return rc;
    list = malloc(YAML_SIZE_MAX);
    if (!list)
        return no_memory(f);
    while (!rc && open) {
        yaml_event_t event;

        rc = next_event(f, &event);
        if (rc)
            break;
        open = event.type != YAML_SEQUENCE_END_EVENT;
        if (open)
            rc = append_item(f, &event, list, &used);
        yaml_event_delete(&event);
    }
    list[used] = '\0';
    if (!rc)
        rc = f->each(f->context, f->path, list, f->line, f->err);
    free(list);
    f->depth--;
    return rc;
}

/* The names of a mapping whose start has been read. */
static int flatten_mapping(struct flattener *f, int line)
{
    size_t length = f->length;
    bool empty = true;
    int name_line = f->line;
    int rc = deeper(f, line);

    while (!rc) {
        yaml_event_t event;
        bool end;

        rc = next_event(f, &event);
        if (rc)
            return rc;
        end = event.type == YAML_MAPPING_END_EVENT;
        if (!end)
            rc = enter_name(f, &event);
        yaml_event_delete(&event);
        if (end)
            break;
        empty = false;
        if (!rc)
            rc = flatten_value(f);
        f->length = length;
        f->path[length] = '\0';
    }
    f->depth--;
    if (!rc && empty && length > 0)
        rc = f->each(f->context, f->path, NULL, name_line, f->err);
    return rc;
}

/* The one thing in the document: a mapping, or nothing at all ("---"). */
static int flatten_root(struct flattener *f)
{
    yaml_event_t event;
    int rc = next_event(f, &event);
    int line;
    bool mapping, nothing;

    if (rc)
        return rc;
    line = line_of(&event);
    mapping = event.type == YAML_MAPPING_START_EVENT;
    nothing = event.type == YAML_SCALAR_EVENT && is_null(&event);
    yaml_event_delete(&event);
    if (mapping)
        return flatten_mapping(f, line);
    return nothing ? 0 : refuse(f, line, "expected settings of the form 'name: value'");
}

static int flatten_stream(struct flattener *f)
{
    int documents = 0;

    for (;;) {
        yaml_event_t event;
        yaml_event_type_t type;
        int line, rc = next_event(f, &event);

        if (rc)
            return rc;
        type = event.type;
        line = line_of(&event);
        yaml_event_delete(&event);
        if (type == YAML_STREAM_END_EVENT)
            return 0;
        if (type != YAML_DOCUMENT_START_EVENT)
            continue;
        if (documents++ > 0)
            return refuse(f, line, "a second document (---) begins, expected one");
        rc = flatten_root(f);
        if (rc)
            return rc;
    }
}

int yaml_flatten(const char *text, size_t size, const char *file, yaml_item_fn *each,
                 void *context, struct err *err)
{
    struct flattener f = {.text = text,
                          .size = size,
                          .file = file,
                          .each = each,
                          .context = context,
                          .err = err};
    int rc;

    if (size > YAML_SIZE_MAX)
        return err_set(err, ERR_INPUT, "%s line 1: the file is longer than %d bytes",
                       file, YAML_SIZE_MAX);
    if (!yaml_parser_initialize(&f.parser))
        return no_memory(&f);
    yaml_parser_set_input_string(&f.parser, (const unsigned char *)text, size);
    rc = flatten_stream(&f);
    for (size_t i = 0; i < f.names; i++)
        free(f.name[i].path);
    free(f.name);
    yaml_parser_delete(&f.parser);
    return rc;
}
