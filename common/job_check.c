/* What settings of a job must hold for each other. */
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "common/job.h"
#include "common/metrics.h"

static int check_name(const struct job *job, struct err *err)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789._-";

    if (!job->name[0])
        return err_set(err, ERR_INPUT, "name is not set");
    if (job->name[strspn(job->name, allowed)] || job->name[0] == '.' ||
        job->name[0] == '-')
        return err_set(err, ERR_INPUT,
                       "name is '%s', expected letters, digits, '.', '_' and '-', not "
                       "beginning with '.' or '-'",
                       job->name);
    return 0;
}

static int check_data(const struct job *job, struct err *err)
{
    if (!job->data.train[0])
        return err_set(err, ERR_INPUT,
                       "data.train is not set: it names the files to "
                       "train on");
    if (!job->data.label[0] && job_needs_label(job))
        return err_set(err, ERR_INPUT,
                       "data.label is not set: it names the column to predict");
    if (job->data.test[0] && job->data.split_test > 0)
        return err_set(err, ERR_INPUT,
                       "data.test and data.split.test are both set, expected one of "
                       "them");
    if (job->data.validation[0] && job->data.split_validation > 0)
        return err_set(err, ERR_INPUT,
                       "data.validation and data.split.validation are both set, "
                       "expected one of them");
    if (!isnan(job->data.positive_from) && !job_has_classes(job) && !job_ranks(job))
        return err_set(err, ERR_INPUT,
                       "data.positive_from is set, but it needs model.loss logistic, "
                       "hinge, squared_hinge, sampled_softmax, bpr or warp");
    return 0;
}

static int check_split(const struct job *job, struct err *err)
{
    int by = job->data.split_by;
    double test = job->data.split_test, validation = job->data.split_validation;

    if (test + validation >= 1)
        return err_set(err, ERR_INPUT,
                       "data.split.test is %g and data.split.validation %g, expected "
                       "less than 1 together",
                       test, validation);
    if (by == SPLIT_TIME && !job->data.time[0])
        return err_set(err, ERR_INPUT,
                       "data.split.by is time, but data.time is not set: it names the "
                       "column with the times");
    if (job->data.split_after[0] && (by != SPLIT_TIME || test > 0))
        return err_set(err, ERR_INPUT,
                       "data.split.after is set, but it needs data.split.by: time, and "
                       "data.split.test to be 0");
    if (job->data.test[0] && (job->data.split_after[0] || by == SPLIT_LEAVE_ONE_OUT))
        return err_set(err, ERR_INPUT,
                       "data.test names files, and data.split holds out others for the "
                       "test, expected one of them");
    if (by == SPLIT_LEAVE_ONE_OUT && test > 0)
        return err_set(err, ERR_INPUT,
                       "data.split.test is %g, but leave_one_out holds out one example "
                       "of each user, expected 0",
                       test);
    return 0;
}

/* All examples of a group are looked for, so all are in memory; and a group has no
 * weight of its own. */
static int check_group(const struct job *job, struct err *err)
{
    if (!job->data.group[0])
        return 0;
    if (job->data.in_memory == DATA_NO || job->train.follow)
        return err_set(
            err, ERR_INPUT, "data.group is set, which needs the data in memory, but %s",
            job->train.follow ? "train.follow is set" : "data.in_memory is false");
    if (job->data.weight[0])
        return err_set(err, ERR_INPUT,
                       "data.group and data.weight are both set, expected one of them: "
                       "weights are of single examples");
    return 0;
}

/* Is another column made of this one? */
static bool is_source(const struct job *job, const struct job_column *column)
{
    char name[JOB_NAME_MAX * 2];

    for (int i = 0; i < job->data.columns; i++) {
        const char *of = job->data.column[i].steps.of;

        while (job_list_next(&of, name, sizeof name))
            if (!strcmp(name, column->name))
                return true;
    }
    return false;
}

/* Columns are made in their order, of what is there by then. */
static int check_sources(const struct job *job, const struct job_column *column,
                         struct err *err)
{
    char seen[JOB_SOURCES_MAX + 1][JOB_NAME_MAX * 2];
    const char *of = column->steps.of;
    int sources = 0;

    while (sources <= JOB_SOURCES_MAX &&
           job_list_next(&of, seen[sources], sizeof seen[0])) {
        const char *name = seen[sources++];

        for (int s = 0; s < sources - 1; s++)
            if (!strcmp(seen[s], name))
                return err_set(err, ERR_INPUT, "data.columns.%s.of has '%s' twice",
                               column->name, name);
        for (const struct job_column *c = column;
             c < job->data.column + job->data.columns; c++)
            if (c->steps.make != MAKE_NONE && !strcmp(c->name, name))
                return err_set(err, ERR_INPUT,
                               "data.columns.%s.of has '%s', which is made, too: "
                               "expected one that stands before it in data.columns",
                               column->name, name);
    }
    return 0;
}

/* What a made column is, and of what. */
static int check_made(const struct job *job, const struct job_column *column,
                      struct err *err)
{
    static const char *const name[] = {
        [COLUMN_KEY] = "key", [COLUMN_KEYS] = "keys", [COLUMN_NUMBER] = "number"};
    int make = column->steps.make;
    int as = make == MAKE_RECENCY   ? COLUMN_NUMBER
             : make == MAKE_HISTORY ? COLUMN_KEYS
                                    : COLUMN_KEY;

    if (make == MAKE_NONE && column->steps.of[0])
        return err_set(err, ERR_INPUT,
                       "data.columns.%s.of is set, but data.columns.%s.make is not",
                       column->name, column->name);
    if (make == MAKE_NONE)
        return 0;
    if (!column->steps.of[0])
        return err_set(err, ERR_INPUT,
                       "data.columns.%s.of is not set: it names what the column is "
                       "made of",
                       column->name);
    if (column->as != as)
        return err_set(err, ERR_INPUT,
                       "data.columns.%s.as is not %s, which is what "
                       "data.columns.%s.make makes",
                       column->name, name[as], column->name);
    return check_sources(job, column, err);
}

/* The label may be prepared as a number. */
static int check_label(const struct job *job, const struct job_column *column,
                       struct err *err)
{
    if (strcmp(column->name, job->data.label))
        return 0;
    if (column->as != COLUMN_NUMBER || column->steps.buckets > 0)
        return err_set(err, ERR_INPUT,
                       "data.columns.%s is the label, expected as: number, without "
                       "buckets",
                       column->name);
    if (job_has_classes(job))
        return err_set(err, ERR_INPUT,
                       "data.columns.%s prepares the label, but labels of this "
                       "model.loss are 0 and 1",
                       column->name);
    return 0;
}

/* Keys and titles belong to a table that is there; a table has at most one title. */
static int check_columns(const struct job *job, struct err *err)
{
    const struct job_column *title[JOB_TABLES_MAX] = {NULL};

    for (int i = 0; i < job->data.columns; i++) {
        const struct job_column *column = &job->data.column[i];
        int table = job_table_index(job, column->table);
        bool of_table = column->as == COLUMN_TITLE ||
                        (column->as == COLUMN_KEY && !is_source(job, column));

        if (check_made(job, column, err) || check_label(job, column, err))
            return -err->code;
        if (column->as == COLUMN_VECTOR && column->dim == 0)
            return err_set(err, ERR_INPUT,
                           "data.columns.%s.dim is not set: it says how many numbers "
                           "the vector has",
                           column->name);
        if (!of_table && !column->table[0])
            continue;
        if (!column->table[0])
            return err_set(
                err, ERR_INPUT,
                "data.columns.%s.table is not set: it names the column's table",
                column->name);
        if (column->table[0] && table < 0)
            return err_set(
                err, ERR_INPUT,
                "data.columns.%s.table is '%s', but there is no such table in "
                "tables",
                column->name, column->table);
        if (column->as != COLUMN_TITLE)
            continue;
        if (title[table])
            return err_set(err, ERR_INPUT,
                           "the columns '%s' and '%s' are both titles of table '%s', "
                           "expected one",
                           title[table]->name, column->name, column->table);
        title[table] = column;
    }
    return 0;
}

/* One of the model's two tables is there and has one key column. */
static int check_side(const struct job *job, const char *setting, const char *table,
                      struct err *err)
{
    const struct job_column *key = NULL;

    if (job_table_index(job, table) < 0)
        return err_set(err, ERR_INPUT,
                       "%s is '%s', but there is no such table in tables", setting,
                       table);
    for (int i = 0; i < job->data.columns; i++) {
        const struct job_column *column = &job->data.column[i];

        if (!job_column_is_key(column) || strcmp(column->table, table))
            continue;
        if (key)
            return err_set(err, ERR_INPUT,
                           "the columns '%s' and '%s' are both keys of table '%s', "
                           "expected one",
                           key->name, column->name, table);
        key = column;
    }
    if (!key)
        return err_set(err, ERR_INPUT,
                       "table '%s' has no key column: expected one in data.columns",
                       table);
    return 0;
}

/* A digest is for a file, and in the form that is compared. */
static int check_vectors(const struct job *job, struct err *err)
{
    for (int t = 0; t < job->tables; t++) {
        const struct job_table *table = &job->table[t];
        const char *digest = table->vectors_digest;

        if (digest[0] && !table->vectors[0])
            return err_set(err, ERR_INPUT,
                           "tables.%s.vectors_digest is set, but tables.%s.vectors is "
                           "not",
                           table->name, table->name);
        if (digest[0] && (strlen(digest) != 16 || digest[strspn(digest, "0123456789"
                                                                        "abcdef")]))
            return err_set(err, ERR_INPUT,
                           "tables.%s.vectors_digest is '%s', expected 16 hexadecimal "
                           "digits (0 to 9, a to f)",
                           table->name, digest);
    }
    return 0;
}

static int check_side_table(const struct job *job, const struct job_side *side,
                            struct err *err)
{
    if (!side->files[0] || !side->key[0])
        return err_set(err, ERR_INPUT,
                       "data.sides.%s needs files and key, the column of the data that "
                       "it joins",
                       side->name);
    for (int i = 0; i < job->data.columns; i++) {
        const struct job_column *column = &job->data.column[i];

        if (!strcmp(column->name, side->key) && column->as == COLUMN_KEY &&
            !column->from[0] && column->steps.make == MAKE_NONE)
            return 0;
    }
    return err_set(err, ERR_INPUT,
                   "data.sides.%s.key is '%s', expected one of data.columns that is a "
                   "key in the data",
                   side->name, side->key);
}

/* Side tables, and the columns that are theirs. */
static int check_side_tables(const struct job *job, struct err *err)
{
    int rc = 0;

    for (int s = 0; !rc && s < job->data.sides; s++)
        rc = check_side_table(job, &job->data.side[s], err);
    for (int i = 0; !rc && i < job->data.columns; i++) {
        const struct job_column *column = &job->data.column[i];
        bool known = !column->from[0];

        for (int s = 0; s < job->data.sides; s++)
            known |= !strcmp(column->from, job->data.side[s].name);
        if (!known)
            rc = err_set(
                err, ERR_INPUT,
                "data.columns.%s.from is '%s', but there is no such side table "
                "in data.sides",
                column->name, column->from);
        else if (column->from[0] && column->steps.make != MAKE_NONE)
            rc = err_set(err, ERR_INPUT,
                         "data.columns.%s has both from and make, expected one of them",
                         column->name);
    }
    return rc;
}

static int check_tables(const struct job *job, struct err *err)
{
    for (int i = 0; i < job->tables; i++) {
        const struct job_table *table = &job->table[i];

        if (table->rows && table->rows_max)
            return err_set(
                err, ERR_INPUT,
                "tables.%s.rows and tables.%s.rows_max are both set, expected "
                "one of them: a dense table has its rows from the start",
                table->name, table->name);
    }
    return 0;
}

/* Those of models with two sides. */
static int check_sides(const struct job *job, struct err *err)
{
    int rc = check_side(job, "model.user", job->model.user, err);

    if (!rc)
        rc = check_side(job, "model.item", job->model.item, err);
    if (!rc && !strcmp(job->model.user, job->model.item))
        rc = err_set(err, ERR_INPUT,
                     "model.user and model.item are both '%s', expected two tables",
                     job->model.user);
    return rc;
}

static int check_factors(const struct job *job, struct err *err)
{
    const struct job_table *user, *item;
    int rc = check_sides(job, err);

    if (rc)
        return rc;
    if (job->model.loss != LOSS_SQUARED && job->model.loss != LOSS_LOGISTIC &&
        !job_ranks(job) && !job->model.features)
        return err_set(err, ERR_INPUT,
                       "model.loss is not squared, logistic, sampled_softmax, bpr or "
                       "warp, which are those that model.kind mf has");
    user = &job->table[job_table_index(job, job->model.user)];
    item = &job->table[job_table_index(job, job->model.item)];
    if (user->dim != item->dim)
        return err_set(err, ERR_INPUT,
                       "tables.%s.dim is %lld and tables.%s.dim is %lld, expected the "
                       "same",
                       user->name, (long long)user->dim, item->name,
                       (long long)item->dim);
    return 0;
}

static int check_widths(const char *setting, const char *list, struct err *err)
{
    uint32_t width[JOB_WIDTHS_MAX];
    char item[JOB_WIDTHS_TEXT];
    const char *cursor = list;

    while (job_list_next(&cursor, item, sizeof item))
        if (job_widths(item, width) < 0)
            return err_set(err, ERR_INPUT,
                           "%s has '%s', expected whole numbers from 1 to %d", setting,
                           item, JOB_WIDTH_MAX);
    if (job_widths(list, width) < 0)
        return err_set(err, ERR_INPUT, "%s has more than %d numbers", setting,
                       JOB_WIDTHS_MAX);
    return 0;
}

/* It counts, once. */
static int check_popularity(const struct job *job, struct err *err)
{
    if (job->model.loss != LOSS_SQUARED)
        return err_set(err, ERR_INPUT,
                       "model.loss is set, but model.kind popularity counts examples "
                       "and has none, expected squared");
    if (job->train.epochs != 1)
        return err_set(err, ERR_INPUT,
                       "train.epochs is %lld, but model.kind popularity counts each "
                       "example once, expected 1",
                       (long long)job->train.epochs);
    if (job->train.negatives)
        return err_set(err, ERR_INPUT,
                       "train.negatives is %lld, but model.kind popularity counts the "
                       "examples of the data alone, expected 0",
                       (long long)job->train.negatives);
    return check_side(job, "model.item", job->model.item, err);
}

static int check_autoencoder(const struct job *job, struct err *err)
{
    bool multdae = job->model.kind == MODEL_MULTDAE;

    if (!job->model.hidden[0])
        return err_set(err, ERR_INPUT,
                       "model.hidden is empty, expected how wide the layers of the "
                       "encoder are, because model.kind is %s",
                       multdae ? "multdae" : "autoencoder");
    if (multdae && !job->data.group[0])
        return err_set(err, ERR_INPUT,
                       "data.group is not set, but model.kind multdae is of groups: "
                       "expected the column of those who have the items");
    if (multdae && job->model.loss != LOSS_SOFTMAX)
        return err_set(err, ERR_INPUT,
                       "model.kind is multdae, expected model.loss softmax");
    return 0;
}

static int check_model(const struct job *job, struct err *err)
{
    int kind = job->model.kind;
    int rc = check_widths("model.hidden", job->model.hidden, err);

    if (!rc)
        rc = check_widths("model.bottom", job->model.bottom, err);
    if (rc)
        return rc;
    if (job->train.update == UPDATE_DELTA && (kind != MODEL_MF || job->model.features))
        return err_set(err, ERR_INPUT,
                       "train.update is delta, but it needs model.kind mf%s",
                       job->model.features ? ", without model.features" : "");
    if (job->model.features && kind != MODEL_MF)
        return err_set(err, ERR_INPUT,
                       "model.features is set, but it needs model.kind mf");
    if (kind == MODEL_MF)
        return check_factors(job, err);
    if (kind == MODEL_GMF || kind == MODEL_MLP || kind == MODEL_NEUMF ||
        kind == MODEL_TWOTOWER)
        return check_sides(job, err);
    if (kind == MODEL_AUTOENCODER || kind == MODEL_MULTDAE)
        return check_autoencoder(job, err);
    return kind == MODEL_POPULARITY ? check_popularity(job, err) : 0;
}

static int check_penalties(const struct job_optimizer *o, struct err *err)
{
    int kind = o->kind;
    bool has_l1 = kind == OPTIMIZER_SGD || kind == OPTIMIZER_ADAGRAD ||
                  kind == OPTIMIZER_FTRL;
    bool has_decay = kind != OPTIMIZER_ADAM && kind != OPTIMIZER_FTRL &&
                     kind != OPTIMIZER_ADD;

    if (o->l1 > 0 && !has_l1)
        return err_set(err, ERR_INPUT,
                       "optimizer.l1 is set, but it needs optimizer.kind sgd, adagrad "
                       "or ftrl");
    if (o->l2 > 0 && kind == OPTIMIZER_ADAMW)
        return err_set(
            err, ERR_INPUT,
            "optimizer.l2 is %g, but adamw has optimizer.decay in its place, "
            "expected 0",
            o->l2);
    if (o->l2 > 0 && kind == OPTIMIZER_ADD)
        return err_set(err, ERR_INPUT,
                       "optimizer.l2 is %g, but optimizer.kind add has no penalties, "
                       "expected 0",
                       o->l2);
    if (o->decay > 0 && kind == OPTIMIZER_ADAM)
        return err_set(err, ERR_INPUT,
                       "optimizer.decay is set with optimizer.kind adam, expected "
                       "adamw");
    if (o->decay > 0 && !has_decay)
        return err_set(err, ERR_INPUT,
                       "optimizer.decay is set, which does not go with optimizer.kind "
                       "ftrl or add");
    if (o->decay == 0 && kind == OPTIMIZER_ADAMW)
        return err_set(err, ERR_INPUT,
                       "optimizer.decay is 0, but optimizer.kind adamw needs it, for "
                       "example 0.01");
    if (o->decay * o->rate > 1)
        return err_set(err, ERR_INPUT,
                       "optimizer.decay times optimizer.rate is %g, expected at most 1",
                       o->decay * o->rate);
    return 0;
}

static int check_schedule(const struct job_optimizer *o, struct err *err)
{
    int schedule = o->schedule;

    if (schedule == SCHEDULE_CONSTANT && o->schedule_steps > 0)
        return err_set(err, ERR_INPUT,
                       "optimizer.schedule_steps is set, but optimizer.schedule is "
                       "constant");
    if (schedule != SCHEDULE_CONSTANT && o->schedule_steps == 0)
        return err_set(err, ERR_INPUT,
                       "optimizer.schedule_steps is not set: it says in how many "
                       "batches the rate falls");
    if ((schedule == SCHEDULE_STEP || schedule == SCHEDULE_EXPONENTIAL) &&
        o->schedule_factor == 0)
        return err_set(err, ERR_INPUT,
                       "optimizer.schedule_factor is 0, expected more for this "
                       "optimizer.schedule");
    return 0;
}

static int check_optimizer(const struct job_optimizer *o, struct err *err)
{
    int kind = o->kind, rc = check_penalties(o, err);
    bool scheduled = o->schedule != SCHEDULE_CONSTANT || o->warmup > 0;

    if (!rc)
        rc = check_schedule(o, err);
    if (rc)
        return rc;
    if (o->clip > 0 && o->clip_norm > 0)
        return err_set(err, ERR_INPUT,
                       "optimizer.clip and optimizer.clip_norm are both set, expected "
                       "one of them");
    if (kind == OPTIMIZER_FTRL && o->rate == 0)
        return err_set(err, ERR_INPUT,
                       "optimizer.rate is 0, expected more with optimizer.kind ftrl");
    if (scheduled && (kind == OPTIMIZER_FTRL || kind == OPTIMIZER_ADD))
        return err_set(err, ERR_INPUT,
                       "optimizer.schedule or optimizer.warmup is set, but the rate of "
                       "optimizer.kind ftrl and add does not change");
    if (o->max_norm > 0 && (kind == OPTIMIZER_FTRL || kind == OPTIMIZER_ADD))
        return err_set(err, ERR_INPUT,
                       "optimizer.max_norm is set, which does not go with "
                       "optimizer.kind ftrl or add");
    if (kind == OPTIMIZER_ADD && (o->clip > 0 || o->clip_norm > 0))
        return err_set(err, ERR_INPUT,
                       "optimizer.clip or optimizer.clip_norm is set, but "
                       "optimizer.kind add takes what is pushed as it is");
    if (o->stale_rate != STALE_RATE_SAME &&
        (kind == OPTIMIZER_FTRL || kind == OPTIMIZER_ADD))
        return err_set(err, ERR_INPUT,
                       "optimizer.stale_rate is inverse, but the rate of "
                       "optimizer.kind ftrl and add does not change");
    if (o->compensate > 0 && kind == OPTIMIZER_ADD)
        return err_set(err, ERR_INPUT,
                       "optimizer.compensate is set, but optimizer.kind add takes what "
                       "is pushed as it is");
    return 0;
}

/* Each table's optimizer as it comes together from its own settings and the job's. */
static int check_optimizers(const struct job *job, struct err *err)
{
    for (int t = 0; t < job->tables; t++) {
        const struct job_optimizer optimizer = job_table_optimizer(job, t);
        struct err same = {0, ""};

        if (check_optimizer(&optimizer, err) == 0)
            continue;
        check_optimizer(&job->optimizer, &same);
        return strcmp(err->text, same.text)
                   ? err_prefix(err, "table %s", job->table[t].name)
                   : -err->code;
    }
    return 0;
}

/* Is `metric` named before `end` in the list already? */
static bool named_before(const char *list, const char *end, const char *metric)
{
    char item[JOB_NAME_MAX];

    while (list < end && job_list_next(&list, item, sizeof item)) {
        if (list < end && !strcmp(item, metric))
            return true;
    }
    return false;
}

static int check_metric(const struct job *job, const char *metric, struct err *err)
{
    int loss = job->model.loss;
    struct metric_facts facts;

    if (!metrics_find(metric, &facts))
        return err_set(err, ERR_INPUT, "evaluate.metrics has '%s', expected %s", metric,
                       metrics_names());
    if (facts.needs == NEEDS_PROBABILITIES && loss != LOSS_LOGISTIC)
        return err_set(err, ERR_INPUT,
                       "evaluate.metrics has %s, which needs model.loss logistic",
                       metric);
    if (facts.needs == NEEDS_CLASSES && loss != LOSS_LOGISTIC && loss != LOSS_HINGE &&
        loss != LOSS_SQUARED_HINGE)
        return err_set(
            err, ERR_INPUT,
            "evaluate.metrics has %s, which needs model.loss logistic, hinge "
            "or squared_hinge",
            metric);
    if (facts.needs == NEEDS_LISTS && job->evaluate.protocol == PROTOCOL_SPLIT)
        return err_set(err, ERR_INPUT,
                       "evaluate.metrics has %s, which needs an evaluate.protocol that "
                       "ranks items; split scores each example alone",
                       metric);
    return 0;
}

static int check_metrics(const struct job *job, struct err *err)
{
    const char *cursor = job->evaluate.metrics;
    char metric[JOB_NAME_MAX];
    uint32_t slots = metrics_slots(cursor, NULL);

    if (slots > RANKING_SLOTS)
        return err_set(
            err, ERR_INPUT,
            "evaluate.metrics has %u different numbers behind @, expected at "
            "most %d",
            slots, RANKING_SLOTS);
    while (job_list_next(&cursor, metric, sizeof metric)) {
        if (check_metric(job, metric, err))
            return -err->code;
        if (named_before(job->evaluate.metrics, cursor, metric))
            return err_set(err, ERR_INPUT, "evaluate.metrics has %s twice", metric);
    }
    return 0;
}

/* Evaluations between epochs, and what they decide. */
static int check_validation(const struct job *job, struct err *err)
{
    if (job->evaluate.every > 0 && !job->data.validation[0] &&
        job->data.split_validation == 0)
        return err_set(err, ERR_INPUT,
                       "evaluate.every is set, but there is no validation part: set "
                       "data.validation or data.split.validation");
    if (job->train.patience > 0 && job->evaluate.every == 0)
        return err_set(err, ERR_INPUT,
                       "train.patience is set, but it needs evaluate.every, for "
                       "example 1");
    if (job->train.patience > 0 && !job->evaluate.metrics[0])
        return err_set(err, ERR_INPUT,
                       "train.patience is set, but evaluate.metrics is empty");
    return 0;
}

/* Workers make the steps, all tables' with one rate and penalty. */
static int check_update(const struct job *job, struct err *err)
{
    for (int t = 0; t < job->tables && job->train.update == UPDATE_DELTA; t++) {
        const struct job_optimizer o = job_table_optimizer(job, t);

        if (o.kind != OPTIMIZER_SGD)
            return err_set(err, ERR_INPUT,
                           "train.update: delta needs optimizer.kind: sgd, whose "
                           "steps the workers make themselves, also for table %s",
                           job->table[t].name);
        if (o.l1 > 0 || o.decay > 0 || o.clip > 0 || o.clip_norm > 0 ||
            o.max_norm > 0 || o.stale_rate != STALE_RATE_SAME || o.compensate > 0)
            return err_set(
                err, ERR_INPUT,
                "train.update: delta makes plain steps with optimizer.rate, its "
                "schedule and optimizer.l2 alone: expected no l1, decay, clip, "
                "clip_norm, max_norm, stale_rate or compensate");
        if (o.rate != job->optimizer.rate || o.l2 != job->optimizer.l2 ||
            o.schedule != job->optimizer.schedule ||
            o.schedule_steps != job->optimizer.schedule_steps ||
            o.schedule_factor != job->optimizer.schedule_factor ||
            o.warmup != job->optimizer.warmup)
            return err_set(err, ERR_INPUT,
                           "tables.%s.optimizer has a rate, schedule or l2 of its own, "
                           "but train.update: delta makes its steps with those of "
                           "optimizer",
                           job->table[t].name);
    }
    if (job->data.weight[0] && job->train.update == UPDATE_DELTA)
        return err_set(err, ERR_INPUT,
                       "data.weight is set, but train.update: delta makes its steps "
                       "without weights");
    if (job->model.bias_rate != 1 && job->train.update != UPDATE_DELTA)
        return err_set(err, ERR_INPUT,
                       "model.bias_rate is %g, but it needs train.update: delta",
                       job->model.bias_rate);
    return 0;
}

/* The cures for gradients that come late. */
static int check_cures(const struct job *job, struct err *err)
{
    for (int t = 0; t < job->tables && job->train.consistency == CONSISTENCY_BSP; t++) {
        const struct job_optimizer o = job_table_optimizer(job, t);

        if (o.stale_rate != STALE_RATE_SAME || o.compensate > 0)
            return err_set(err, ERR_INPUT,
                           "optimizer.%s is set for table %s, but with "
                           "train.consistency bsp no push is late",
                           o.compensate > 0 ? "compensate" : "stale_rate",
                           job->table[t].name);
    }
    return 0;
}

/* Where rows may be read that no server has given out for this batch. */
static int check_cache(const struct job *job, struct err *err)
{
    if (job->train.cache == 0)
        return 0;
    if (job->train.consistency == CONSISTENCY_BSP)
        return err_set(
            err, ERR_INPUT,
            "train.cache is set, but with train.consistency: bsp every batch "
            "reads rows that all have just changed, expected 0");
    for (int t = 0; t < job->tables; t++) {
        const struct job_optimizer o = job_table_optimizer(job, t);

        if (o.stale_rate != STALE_RATE_SAME || o.compensate > 0)
            return err_set(err, ERR_INPUT,
                           "train.cache is set, but optimizer.%s of table %s goes by "
                           "when each row was pulled, expected 0",
                           o.compensate > 0 ? "compensate" : "stale_rate",
                           job->table[t].name);
    }
    return 0;
}

int job_check(const struct job *job, struct err *err)
{
    int rc = check_name(job, err);

    if (!rc)
        rc = check_data(job, err);
    if (!rc)
        rc = check_split(job, err);
    if (!rc)
        rc = check_group(job, err);
    if (!rc)
        rc = check_columns(job, err);
    if (!rc)
        rc = check_side_tables(job, err);
    if (!rc)
        rc = check_tables(job, err);
    if (!rc)
        rc = check_vectors(job, err);
    if (!rc)
        rc = check_model(job, err);
    if (!rc)
        rc = check_optimizers(job, err);
    if (!rc)
        rc = check_update(job, err);
    if (!rc)
        rc = check_cures(job, err);
    if (!rc)
        rc = check_cache(job, err);
    if (!rc)
        rc = check_metrics(job, err);
    if (!rc)
        rc = check_validation(job, err);
    if (!rc)
        rc = job_check_ranking(job, err);
    if (!rc)
        rc = job_check_negatives(job, err);
    return rc;
}
