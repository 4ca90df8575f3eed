/* rowhouse recommend: what users would like best, with titles. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/key.h"
#include "common/log.h"
#include "common/textfile.h"
#include "launch/recommend_graph.h"
#include "launch/trained.h"

enum { LIKED = 5, TITLE_COLUMNS = 58, TOP_DEFAULT = 10 };

struct asked {
    char **text; /* user ids as given; owned */
    uint64_t *key;
    uint32_t n, capacity;
};

struct recommending {
    struct trained *trained;
    struct asked asked;
    struct recommend_data data;
    struct catalogue catalogue;    /* of matrix factorisation */
    struct graph_ranking *ranking; /* of graphs */
    struct ranked *list;           /* [top] */
    uint32_t top;
    bool json;
};

static int asked_add(struct asked *asked, const char *text, struct err *err)
{
    if (asked->n == asked->capacity) {
        uint32_t capacity = asked->capacity ? asked->capacity * 2 : 64;
        char **texts = realloc(asked->text, capacity * sizeof *texts);
        uint64_t *keys;

        if (texts)
            asked->text = texts;
        keys = texts ? realloc(asked->key, capacity * sizeof *keys) : NULL;
        if (!keys)
            return err_set(err, ERR_MEMORY, "no memory for %u users", capacity);
        asked->key = keys;
        asked->capacity = capacity;
    }
    asked->text[asked->n] = strdup(text);
    if (!asked->text[asked->n])
        return err_set(err, ERR_MEMORY, "no memory for a user's name");
    asked->key[asked->n++] = key_of_text(text, strlen(text));
    return 0;
}

static void asked_release(struct asked *asked)
{
    for (uint32_t i = 0; i < asked->n; i++)
        free(asked->text[i]);
    free(asked->text);
    free(asked->key);
}

static int read_users(struct asked *asked, const char *path, struct err *err)
{
    struct textfile *file;
    size_t length;
    char *line;
    int rc = textfile_open(path, &file, err);

    if (rc)
        return err_prefix(err, "--users");
    while ((rc = textfile_next(file, &line, &length, err)) > 0) {
        char text[1024];

        if (length == 0)
            continue;
        if (length >= sizeof text) {
            rc = err_set(err, ERR_INPUT, "%s line %llu: a user id of %zu bytes", path,
                         (unsigned long long)textfile_line(file), length);
            break;
        }
        memcpy(text, line, length);
        text[length] = '\0';
        if ((rc = asked_add(asked, text, err)))
            break;
    }
    textfile_close(file);
    if (rc == 0 && asked->n == 0)
        rc = err_set(err, ERR_INPUT, "--users %s has no user in it", path);
    return rc;
}

static int parse_top(const char *text, uint32_t *top, struct err *err)
{
    char *end;
    long value = TOP_DEFAULT;

    if (text) {
        value = strtol(text, &end, 10);
        if (end == text || *end || value < 1 || value > RECOMMEND_TOP_MAX)
            return err_set(err, ERR_INPUT,
                           "--top is '%s', expected a whole number from 1 to %d", text,
                           RECOMMEND_TOP_MAX);
    }
    *top = (uint32_t)value;
    return 0;
}

static int by_key(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* Has the item been rated? A dense table has rows that nobody has trained, a vocabulary
 * rows that items share. */
static bool is_rated(const struct recommending *r, uint64_t key)
{
    const struct popularity *popularity = &r->data.popularity;

    return (r->trained->item->spec.rows == 0 && !r->data.some_items) ||
           bsearch(&key, popularity->key, popularity->keys, sizeof key, by_key);
}

static int fill_catalogue(struct recommending *r, struct err *err)
{
    const struct table *item = r->trained->item;
    uint64_t rows = table_rows(item);

    catalogue_init(&r->catalogue, item->spec.width);
    for (uint64_t i = 0; i < rows; i++) {
        uint64_t key;
        const float *row = table_row(item, i, &key);

        if (is_rated(r, key) && catalogue_add(&r->catalogue, key, row, err))
            return -err->code;
    }
    return 0;
}

/* JSON carries UTF-8 only: a title in another encoding is shown byte by byte as
 * Latin-1, which is what such files mostly are. */
static json_t *json_text(const char *text)
{
    json_t *json = json_string(text);
    char utf8[2 * TITLE_BYTES_MAX + 1];
    size_t n = 0;

    if (json)
        return json;
    for (const unsigned char *c = (const unsigned char *)text;
         *c && n + 2 < sizeof utf8; c++) {
        if (*c >= 0x80)
            utf8[n++] = (char)(0xc0 | *c >> 6);
        utf8[n++] = (char)(*c >= 0x80 ? 0x80 | (*c & 0x3f) : *c);
    }
    utf8[n] = '\0';
    return json_string(utf8);
}

static const char *title_of(const struct recommending *r, uint64_t key)
{
    const char *title = titles_find(r->data.titles, key);

    return title ? title : "(no title)";
}

static void print_list(const struct recommending *r, const struct ranked *list,
                       uint32_t n, const char *format)
{
    char title[TITLE_FIT_BYTES(TITLE_COLUMNS)];

    for (uint32_t i = 0; i < n; i++) {
        printf("  %3u  %s  ", i + 1,
               title_fit(title_of(r, list[i].key), TITLE_COLUMNS, title));
        printf(format, list[i].score);
        putchar('\n');
    }
}

/* What the number beside a recommendation is. */
static const char *expected_of(const struct job *job)
{
    bool is_rating = job->model.loss == LOSS_SQUARED ||
                     job->model.loss == LOSS_ABSOLUTE || job->model.loss == LOSS_HUBER;

    if (job->model.kind == MODEL_POPULARITY)
        return "number of examples";
    if (job->model.loss == LOSS_LOGISTIC)
        return "probability expected";
    return is_rating && job->data.label[0] ? "rating expected" : "score";
}

/* What the user has; best first, if examples have labels that say so. */
static void print_known(const struct recommending *r, const char *name, uint64_t key)
{
    struct ranked liked[LIKED];
    uint32_t likes = history_liked(&r->data.history, key, LIKED, liked);
    uint32_t items = history_items(&r->data.history, key).n;

    if (r->trained->job.data.label[0])
        printf("user %s has rated %u items and liked best\n", name, items);
    else
        printf("user %s has %u items, among them\n", name, items);
    print_list(r, liked, likes, r->trained->job.data.label[0] ? "%5.1f" : "");
    printf("and would like, with the %s\n", expected_of(&r->trained->job));
}

static void print_text(const struct recommending *r, uint32_t user, bool known,
                       uint32_t n)
{
    uint64_t key = r->asked.key[user];
    char name[TITLE_FIT_BYTES(40)];
    char *end;

    title_fit(r->asked.text[user], 40, name);
    for (end = name + strlen(name); end > name && end[-1] == ' '; end--)
        end[-1] = '\0';
    if (user)
        putchar('\n');
    if (known) {
        print_known(r, name, key);
        print_list(r, r->list, n, "%7.3f");
    } else {
        printf("user %s is not known; these items have been %s most often\n", name,
               r->trained->job.data.label[0] ? "rated" : "chosen");
        print_list(r, r->list, n, "%7.0f");
    }
}

static int print_json(const struct recommending *r, uint32_t user, bool known,
                      uint32_t n, struct err *err)
{
    json_t *items = json_array();
    json_t *all;
    char *text;

    for (uint32_t i = 0; i < n; i++) {
        const char *title = titles_find(r->data.titles, r->list[i].key);
        char key[24];

        /* Keys pass what JSON's numbers hold exactly. */
        snprintf(key, sizeof key, "%llu", (unsigned long long)r->list[i].key);
        json_array_append_new(items, json_pack("{s:s, s:o, s:f}", "key", key, "title",
                                               title ? json_text(title) : json_null(),
                                               "score", r->list[i].score));
    }
    all = json_pack("{s:o, s:b, s:o}", "user", json_text(r->asked.text[user]), "known",
                    known, "items", items);
    text = all ? json_dumps(all, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(all);
    if (!text)
        return err_set(err, ERR_MEMORY, "no memory for the list of user '%s'",
                       r->asked.text[user]);
    puts(text);
    free(text);
    return 0;
}

/* The user's row, or NULL where training has made none. */
static const float *find_user(const struct recommending *r, uint64_t key,
                              struct key_list seen)
{
    uint64_t row_key = recommend_user_row(&r->data, key);
    float *row;

    table_find(r->trained->user, &row_key, 1, &row);
    return r->trained->user->spec.rows && seen.n == 0 ? NULL : row;
}

/* Without a row that the model uses, a user is known if the data know it. */
static bool is_known(const struct recommending *r, uint64_t key, struct key_list seen)
{
    if (!r->ranking)
        return find_user(r, key, seen) != NULL;
    return graph_ranking_knows(r->ranking, key) &&
           (!graph_ranking_uses_users(r->ranking) || find_user(r, key, seen));
}

static int rank(struct recommending *r, uint64_t key, struct key_list seen, uint32_t *n,
                struct err *err)
{
    if (r->ranking)
        return graph_ranking_top(r->ranking, key, seen, r->top, r->list, n, err);
    return recommend_top(&r->catalogue, &r->trained->mf, find_user(r, key, seen), seen,
                         r->top, r->list, n, err);
}

static int recommend_one(struct recommending *r, uint32_t user, struct err *err)
{
    uint64_t key = r->asked.key[user];
    struct key_list seen = history_items(&r->data.history, key);
    bool known = is_known(r, key, seen);
    uint32_t n;
    int rc;

    rc = known ? rank(r, key, seen, &n, err)
               : recommend_popular(&r->data.popularity, seen, r->top, r->list, &n, err);
    if (rc)
        return rc;
    if (r->json)
        return print_json(r, user, known, n, err);
    print_text(r, user, known, n);
    return 0;
}

/* Which column is the user, and which the item? */
static int check_side(const struct job *job, const char *setting, const char *table,
                      struct err *err)
{
    int column[JOB_COLUMNS_MAX], keys = job_key_columns(job, column), found = 0;

    for (int k = 0; k < keys; k++)
        found += !strcmp(job->data.column[column[k]].table, table);
    if (found == 1 && job_table_index(job, table) >= 0)
        return 0;
    return err_set(err, ERR_INPUT,
                   "recommend needs one key column of table '%s' (%s), but "
                   "data.columns has %d",
                   table, setting, found);
}

static int get_ready(struct recommending *r, struct err *err)
{
    const struct job *job = &r->trained->job;
    int rc = check_side(job, "model.user", job->model.user, err);

    if (rc == 0)
        rc = check_side(job, "model.item", job->model.item, err);
    if (rc == 0)
        rc = recommend_data_read(&r->data, r->trained, r->asked.key, r->asked.n, err);
    if (rc)
        return rc;
    if (r->trained->is_graph)
        return graph_ranking_create(r->trained, &r->data, &r->ranking, err);
    return fill_catalogue(r, err);
}

static int recommend(const struct arguments *arguments, struct recommending *r,
                     struct err *err)
{
    int rc;

    if (!arguments->user == !arguments->users)
        return err_set(err, ERR_INPUT,
                       "recommend needs one of --user ID and --users FILE");
    rc = parse_top(arguments->top, &r->top, err);
    if (rc == 0)
        rc = arguments->user ? asked_add(&r->asked, arguments->user, err)
                             : read_users(&r->asked, arguments->users, err);
    if (rc == 0)
        rc = trained_open(arguments, &r->trained, err);
    if (rc)
        return rc;
    r->json = arguments->json;
    r->list = malloc(r->top * sizeof *r->list);
    if (!r->list)
        return err_set(err, ERR_MEMORY, "no memory for %u items", r->top);
    rc = get_ready(r, err);
    for (uint32_t i = 0; i < r->asked.n && rc == 0; i++)
        rc = recommend_one(r, i, err);
    if (rc == 0 && (fflush(stdout) || ferror(stdout)))
        rc = err_system(err, "cannot write the recommendations");
    return rc;
}

int command_recommend(const struct arguments *arguments)
{
    struct recommending *r = calloc(1, sizeof *r);
    struct err err;
    int rc;

    if (!r) {
        log_error("no memory");
        return 1;
    }
    rc = recommend(arguments, r, &err);
    if (rc)
        log_error("%s", err.text);
    free(r->list);
    catalogue_release(&r->catalogue);
    graph_ranking_destroy(r->ranking);
    recommend_data_release(&r->data);
    trained_close(r->trained);
    asked_release(&r->asked);
    free(r);
    return rc ? err_exit_status(err.code) : 0;
}
