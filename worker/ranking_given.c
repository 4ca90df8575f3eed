#include "worker/ranking_given.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/unpack.h"
#include "worker/stream/filelist.h"
#include "worker/stream/input.h"

enum { BLOCK_LINES = 1024 };

struct reading {
    struct ranking_tasks *tasks;
    struct item_catalogue *catalogue;
    uint64_t pairs, room;
    uint32_t *user, *item; /* [pairs] */
};

/* Does the first file begin as NCF's do? */
static int looks_like_ncf(const char *files, bool *ncf, struct err *err)
{
    struct filelist list;
    struct unpack *unpack;
    char first = 0;
    size_t got;
    int rc = filelist_init(&list, files, "data.negatives", err);

    if (rc)
        return rc;
    rc = unpack_open(list.path[0], &unpack, err);
    if (rc == 0) {
        rc = unpack_read(unpack, &first, 1, &got, err);
        unpack_close(unpack);
    }
    filelist_release(&list);
    *ncf = first == '(';
    return rc ? err_prefix(err, "data.negatives") : 0;
}

/* Keys are checked as those of the job's table. */
static void take_table(const struct job *job, const char *name, struct job *made,
                       int number)
{
    int table = job_table_index(job, name);

    made->table[number].rows = table < 0 ? 0 : job->table[table].rows;
    snprintf(made->table[number].name, sizeof made->table[number].name, "%s", name);
    snprintf(made->data.column[number].table, sizeof made->data.column[number].table,
             "%s", name);
}

/* A job whose data are these files: a key and a list of keys. */
static int job_of_files(const struct job *job, struct job *made, struct err *err)
{
    static const char *const setting[][2] = {
        {"data.columns.user.as", "key"},
        {"data.columns.user.table", "user"},
        {"data.columns.negatives.as", "keys"},
        {"data.columns.negatives.table", "item"},
        {"tables.user.dim", "1"},
        {"tables.item.dim", "1"},
    };
    bool ncf = false;
    int rc = looks_like_ncf(job->data.negatives, &ncf, err);

    job_init(made);
    for (size_t i = 0; rc == 0 && i < sizeof setting / sizeof setting[0]; i++)
        rc = job_set(made, setting[i][0], setting[i][1], "data.negatives", err);
    take_table(job, job->model.user, made, 0);
    take_table(job, job->model.item, made, 1);
    if (!ncf)
        snprintf(made->data.column[1].name, sizeof made->data.column[1].name, "items");
    made->data.format = ncf ? DATA_NCF : DATA_SEQUENCE;
    made->data.encoding = job->data.encoding;
    return rc;
}

static int room_for(struct reading *r, uint64_t more, struct err *err)
{
    uint64_t room = r->room ? r->room : 4096;
    uint32_t *user, *item;

    if (r->pairs + more <= r->room)
        return 0;
    while (room < r->pairs + more)
        room *= 2;
    user = realloc(r->user, room * sizeof *user);
    if (user)
        r->user = user;
    item = user ? realloc(r->item, room * sizeof *item) : NULL;
    if (!item)
        return err_set(err, ERR_MEMORY, "no memory for %llu items of data.negatives",
                       (unsigned long long)room);
    r->item = item;
    r->room = room;
    return 0;
}

/* Adds a line's items; a user's line without any counts, too. */
static int take_line(struct reading *r, uint64_t user, const uint64_t *item, uint32_t n,
                     struct err *err)
{
    uint32_t number;
    int rc = room_for(r, n, err);

    if (rc == 0)
        rc = dictionary_id(&r->catalogue->user, user, &number, err);
    for (uint32_t i = 0; rc == 0 && i < n; i++) {
        r->user[r->pairs] = number;
        rc = dictionary_id(&r->catalogue->item, item[i], &r->item[r->pairs++], err);
    }
    return rc;
}

static int take_block(struct reading *r, const struct block *block, struct err *err)
{
    int user = schema_find(block->schema, "user"), items = user == 0 ? 1 : 0, rc = 0;
    const struct values *list = &block->column[items];

    for (uint32_t i = 0; rc == 0 && i < block->n; i++)
        rc = take_line(r, block->column[user].key[i], list->key + list->offset[i],
                       list->offset[i + 1] - list->offset[i], err);
    return rc;
}

static int read_files(struct reading *r, const struct job *job, const char *files,
                      const volatile bool *stop, struct err *err)
{
    struct block block = {0};
    struct input *input;
    int rc = input_open(job, files, "data.negatives", 0, &input, err);

    if (rc)
        return rc;
    rc = block_create(&block, input_schema(input), BLOCK_LINES, err);
    while (rc == 0 && (rc = input_next(input, &block, err)) > 0) {
        rc = take_block(r, &block, err);
        if (rc == 0 && stop && __atomic_load_n(stop, __ATOMIC_RELAXED))
            rc = err_set(err, ERR_INTERRUPTED, "interrupted in data.negatives");
    }
    block_release(&block);
    input_close(input);
    return rc < 0 ? rc : 0;
}

/* The pairs as a list for each user. */
static int sort_out(struct reading *r, struct err *err)
{
    struct ranking_tasks *tasks = r->tasks;

    tasks->users = r->catalogue->user.keys;
    return item_lists_create(r->user, r->item, r->pairs, tasks->users, &tasks->begin,
                             &tasks->given, err);
}

int ranking_read_given(struct ranking_tasks *tasks, struct item_catalogue *catalogue,
                       const volatile bool *stop, struct err *err)
{
    struct job *job = malloc(sizeof *job);
    struct reading r = {.tasks = tasks, .catalogue = catalogue};
    int rc = job ? job_of_files(tasks->job, job, err)
                 : err_set(err, ERR_MEMORY, "no memory to read data.negatives");

    if (rc == 0)
        rc = read_files(&r, job, tasks->job->data.negatives, stop, err);
    if (rc == 0)
        rc = sort_out(&r, err);
    free(r.user);
    free(r.item);
    free(job);
    return rc;
}
