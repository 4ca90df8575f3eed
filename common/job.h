/* The job: what to train, on what, where. Read from a job file (YAML) and
 * KEY=VALUE overrides; every setting is one row of one table (common/job.c) that
 * makes parsing, checks, --help and docs/settings.md.
 *
 * A job is plain data without pointers: copy it with =. Its canonical text form,
 * one "name=value" line for each setting, goes to child processes and into
 * checkpoints. */
#ifndef ROWHOUSE_COMMON_JOB_H
#define ROWHOUSE_COMMON_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/err.h"

enum {
    JOB_NAME_MAX = 64,
    JOB_PATH_MAX = 1024,
    JOB_LIST_MAX = 8192, /* a list: its items separated by '\n' */
    JOB_TABLES_MAX = 64,
    JOB_COLUMNS_MAX = 64,
    JOB_SOURCES_MAX = 8, /* columns that one is made of */
    JOB_SIDES_MAX = 8,
    JOB_LAYERS_MAX = 128,
    JOB_FORK_MAX = 16,   /* layers that one layer takes */
    JOB_WIDTHS_MAX = 16, /* of a list of widths */
    JOB_WIDTHS_TEXT = 128,
    JOB_WIDTH_MAX = 65536,
};

/* What becomes of a column's values (docs/preparation.md). */
enum missing_kind {
    MISSING_FAIL,
    MISSING_CONSTANT,
    MISSING_MEAN,
    MISSING_MEDIAN,
    MISSING_MOST_FREQUENT,
    MISSING_CATEGORY,
};
enum transform_kind { TRANSFORM_NONE, TRANSFORM_LOG };
enum scale_kind { SCALE_NONE, SCALE_STANDARD, SCALE_MINMAX, SCALE_UNIT };
enum vocabulary_kind { VOCABULARY_NONE, VOCABULARY_KEEP, VOCABULARY_NUMBER };
enum words_kind { WORDS_NONE, WORDS_BAG, WORDS_TFIDF };
enum make_kind {
    MAKE_NONE,
    MAKE_CROSS,
    MAKE_HOUR,
    MAKE_WEEKDAY,
    MAKE_RECENCY,
    MAKE_HISTORY,
};
/* Numbers of choices are on disk and on the wire: new ones come last. */
enum data_format {
    DATA_TSV,
    DATA_CSV,
    DATA_PACKED,
    DATA_LIBSVM,
    DATA_LIBFFM,
    DATA_LIBFM,
    DATA_CRITEO,
    DATA_JSONL,
    DATA_SEQUENCE,
    DATA_NCF,
};
enum data_choice { DATA_BY_FORMAT, DATA_YES, DATA_NO };
enum data_encoding { ENCODING_UTF8, ENCODING_LATIN1 };
enum bad_rows_kind { BAD_ROWS_FAIL, BAD_ROWS_SKIP };
enum split_by { SPLIT_RANDOM, SPLIT_TIME, SPLIT_LEAVE_ONE_OUT, SPLIT_USER };
enum part_kind { PART_TEST, PART_VALIDATION };
/* What is asked of a model (docs/evaluation.md): to score each example by itself, or to
 * rank those of a user among other items. */
enum evaluate_protocol {
    PROTOCOL_SPLIT,
    PROTOCOL_GIVEN,
    PROTOCOL_SAMPLED,
    PROTOCOL_ALL
};
enum seen_items { SEEN_LEAVE_OUT, SEEN_KEEP };
enum column_as {
    COLUMN_KEY,
    COLUMN_TITLE,
    COLUMN_KEYS,
    COLUMN_NUMBER,
    COLUMN_VECTOR,
    COLUMN_TEXT,
    COLUMN_TIME,
};
enum init_kind {
    INIT_ZERO,
    INIT_CONSTANT,
    INIT_UNIFORM,
    INIT_NORMAL,
    INIT_TRUNCATED_NORMAL,
    INIT_XAVIER,
    INIT_HE,
};
/* MODEL_MF has code of its own; the others are graphs of layers, MODEL_GRAPH as the job
 * says, the rest are presets (worker/preset.h). */
enum model_kind {
    MODEL_MF,
    MODEL_GRAPH,
    MODEL_LINEAR,
    MODEL_GMF,
    MODEL_MLP,
    MODEL_NEUMF,
    MODEL_FM,
    MODEL_DEEPFM,
    MODEL_WIDEDEEP,
    MODEL_DCN,
    MODEL_DLRM,
    MODEL_TWOTOWER,
    MODEL_POPULARITY,
    MODEL_AUTOENCODER,
    MODEL_MULTDAE,
    MODEL_KINDS,
};
enum loss_kind {
    LOSS_SQUARED,
    LOSS_LOGISTIC,
    LOSS_ABSOLUTE,
    LOSS_HUBER,
    LOSS_HINGE,
    LOSS_SQUARED_HINGE,
    LOSS_SOFTMAX,
    LOSS_SAMPLED_SOFTMAX,
    LOSS_BPR,
    LOSS_WARP,
};
enum layer_kind {
    LAYER_ROWS,       /* input: `steps` keys an example, their rows: [steps][width] */
    LAYER_BAG,        /* input: any number of keys, the sum or mean of rows: [width] */
    LAYER_NUMBERS,    /* input: [steps][width] numbers, which have no gradient */
    LAYER_DENSE,      /* f(x W + b), step by step: [s][w] -> [s][width] */
    LAYER_CROSS,      /* x0, x -> x0 * (x W + b) + x; x may be left out: x0 */
    LAYER_BIAS,       /* x + b, the same b for each example and step */
    LAYER_ACTIVATION, /* f(x) */
    LAYER_CONCAT,     /* side by side: [s][a], [s][b], .. -> [s][a + b + ..] */
    LAYER_STACK,      /* below each other: [a][w], [b][w], .. -> [a + b + ..][w] */
    LAYER_FLATTEN,    /* [s][w] -> [1][s w] */
    LAYER_ADD,        /* of equal shapes; a residual connection is one */
    LAYER_MULTIPLY,   /* of two equal shapes, number by number */
    LAYER_DOT,        /* of two equal shapes, step by step: [s][w] -> [s][1] */
    LAYER_PAIRS,      /* inner products of all pairs of steps: -> [1][s (s - 1) / 2] */
    LAYER_FM,         /* their sum (Rendle 2010): -> [1][1] */
    LAYER_POOL,       /* the sum or mean of the steps: -> [1][w] */
    LAYER_LAYER_NORM, /* over each step */
    LAYER_BATCH_NORM, /* over all examples and steps, column by column */
    LAYER_DROPOUT,    /* in training only */
    LAYER_KINDS,
};
enum activation {
    ACTIVATION_LINEAR,
    ACTIVATION_RELU,
    ACTIVATION_LEAKY_RELU, /* slope * x below 0; slope > 0 */
    ACTIVATION_GELU,       /* x s(2 u), s = sigmoid, u = sqrt(2/pi)(x + 0.044715 x^3):
                              the form with tanh of Hendrycks and Gimpel 2016 */
    ACTIVATION_SIGMOID,
    ACTIVATION_TANH,
    ACTIVATION_SOFTMAX, /* over a row */
};
enum pool_kind { POOL_SUM, POOL_MEAN };
enum negatives_by { NEGATIVES_UNIFORM, NEGATIVES_POPULARITY, NEGATIVES_BATCH };
/* Where an item stands among those with the same score. */
enum ranking_ties {
    TIES_EXPECTED, /* the mean over all orders of the equals */
    TIES_BEHIND,   /* the item stands behind them */
    TIES_AHEAD,
};
enum optimizer_kind {
    OPTIMIZER_SGD,
    OPTIMIZER_ADAGRAD,
    OPTIMIZER_MOMENTUM,
    OPTIMIZER_NESTEROV,
    OPTIMIZER_ROWWISE_ADAGRAD,
    OPTIMIZER_ADADELTA,
    OPTIMIZER_RMSPROP,
    OPTIMIZER_ADAM,
    OPTIMIZER_ADAMW,
    OPTIMIZER_AMSGRAD,
    OPTIMIZER_FTRL,
    OPTIMIZER_ADD,
};
enum schedule_kind {
    SCHEDULE_CONSTANT,
    SCHEDULE_STEP,
    SCHEDULE_EXPONENTIAL,
    SCHEDULE_INVERSE_SQRT,
    SCHEDULE_COSINE,
};
enum stale_rate_kind { STALE_RATE_SAME, STALE_RATE_INVERSE };
enum consistency_kind { CONSISTENCY_ASYNC, CONSISTENCY_SSP, CONSISTENCY_BSP };
enum update_kind { UPDATE_GRADIENT, UPDATE_DELTA };
enum every_unit { EVERY_EPOCH, EVERY_SECOND };

/* How servers apply gradients; server/optimizer.h has the rules. */
struct job_optimizer {
    int kind; /* enum optimizer_kind */
    double rate;
    double momentum;     /* momentum, nesterov */
    double beta1, beta2; /* adam and its kin */
    double rho;          /* adadelta, rmsprop */
    double epsilon;
    double beta;            /* ftrl */
    double l1, l2;          /* per example; ftrl: once */
    double decay;           /* decoupled, per push */
    double clip;            /* of gradients by value; 0 = none, as the next two */
    double clip_norm;       /* by a row's norm */
    double max_norm;        /* of a row's weights */
    double initial;         /* Adagrad: first value of the accumulator */
    int schedule;           /* enum schedule_kind */
    int64_t schedule_steps; /* clocks */
    double schedule_factor;
    int64_t warmup;    /* clocks */
    int stale_rate;    /* enum stale_rate_kind: of pushes that come late */
    double compensate; /* for what has changed since the pull; 0 = not */
};

struct job_table {
    char name[JOB_NAME_MAX];
    int64_t dim;      /* embedding columns of a row */
    int init;         /* enum init_kind */
    double scale;     /* of the initialiser: half width, deviation or constant */
    int64_t rows_max; /* over all servers; 0 = none */
    int64_t rows;     /* of a dense table; 0 = it is sparse */
    bool bias;        /* a number behind the embedding that begins as 0 */
    struct job_optimizer optimizer; /* its own settings: see job_table_optimizer() */
    char vectors[JOB_PATH_MAX];     /* a file of first values; "" = none */
    char vectors_digest[17];        /* of that file: hexadecimal digits */
};

/* How a column's values are prepared. */
struct job_steps {
    int make; /* enum make_kind: the column is in no file */
    char of[JOB_SOURCES_MAX * JOB_NAME_MAX]; /* a list: what it is made of */
    int64_t length;                          /* of a history */
    int missing;                             /* enum missing_kind */
    char missing_value[JOB_NAME_MAX];        /* MISSING_CONSTANT */
    double clip_low, clip_high;              /* quantiles; 0 and 1 = not */
    double clip_z;                           /* standard deviations; 0 = not */
    int transform;                           /* enum transform_kind */
    int scale;                               /* enum scale_kind */
    int64_t buckets;                         /* 0 = none, as hash */
    int64_t hash;
    int words; /* enum words_kind */
    int64_t words_max;
    int vocabulary; /* enum vocabulary_kind */
    int64_t vocabulary_min, vocabulary_max;
    int64_t unseen; /* rows for keys that are not in the vocabulary */
};

struct job_column {
    char name[JOB_NAME_MAX * 2]; /* as in the file's header */
    int as;                      /* enum column_as */
    char table[JOB_NAME_MAX];    /* the table that the column is a key or title of */
    char from[JOB_NAME_MAX];     /* the side table that has it; "" = the data */
    struct job_steps steps;
    char separator[8]; /* between the parts of keys and vectors */
    int64_t dim;       /* of a vector */
    char time_format[JOB_NAME_MAX];
};

/* A side table: what is known of keys beside the data. */
struct job_side {
    char name[JOB_NAME_MAX];
    char files[2 * JOB_PATH_MAX];
    int format;
    char delimiter[32];
    int header;
    char names[JOB_PATH_MAX];
    int encoding;
    char key[JOB_NAME_MAX * 2]; /* the column of the data that it joins */
    char id[JOB_NAME_MAX * 2];  /* its own column with that key */
    char keys[JOB_PATH_MAX];    /* NumPy: the file with the keys of its rows */
};

/* A layer of a graph. What a kind does not have is not used. */
struct job_layer {
    char name[JOB_NAME_MAX];
    int kind;                                 /* enum layer_kind */
    char inputs[JOB_FORK_MAX * JOB_NAME_MAX]; /* a list of layers */
    char columns[JOB_LIST_MAX / 4];           /* of inputs: a list of data.columns */
    char table[JOB_NAME_MAX]; /* of rows and bags; "" = that of the columns */
    int64_t width;            /* dense; rows, bag: 0 = from `first` to the row's end */
    int64_t first;            /* rows, bag: the first number of a row that is used */
    int64_t length;           /* most keys of a list that are used */
    int pool;                 /* enum pool_kind: bag, pool */
    int activation;           /* enum activation: dense, activation */
    double slope;             /* of leaky_relu */
    double drop;              /* of dropout */
    double epsilon;           /* of norms */
    double momentum;          /* of batch norm */
};

struct job {
    char name[JOB_NAME_MAX];
    struct {
        char train[JOB_LIST_MAX];     /* files or globs */
        char test[JOB_LIST_MAX];      /* "" = from the split */
        char negatives[JOB_LIST_MAX]; /* of PROTOCOL_GIVEN */
        char spool[JOB_PATH_MAX];     /* folder for streams; "" = choose */
        int64_t spool_max;            /* bytes in it that are not trained yet */
        char validation[JOB_LIST_MAX];
        int format;                 /* enum data_format */
        char delimiter[32];         /* with escapes; "" = by the format */
        int header, quotes;         /* enum data_choice */
        char names[JOB_LIST_MAX];   /* of the columns */
        int encoding;               /* enum data_encoding */
        char missing[JOB_PATH_MAX]; /* a list: what means a missing value */
        int bad_rows;               /* enum bad_rows_kind */
        int64_t bad_rows_max;
        char weight[JOB_NAME_MAX * 2]; /* the column of examples' weights; "" = none */
        int64_t chunk;                 /* bytes of a text file read at a time */
        int64_t mix;                   /* chunks shuffled together */
        int in_memory;                 /* enum data_choice, resolved at the start */
        char label[JOB_NAME_MAX * 2];
        char time[JOB_NAME_MAX * 2];  /* the column of examples' times; "" = none */
        char group[JOB_NAME_MAX * 2]; /* a key column: examples are what it has */
        double positive_from; /* logistic loss: labels >= this count 1, others 0;
                                 NaN = labels must be 0 and 1 already */
        double split_test;    /* share held out, 0..1 */
        double split_validation;
        int split_by;                   /* enum split_by */
        char split_after[JOB_NAME_MAX]; /* of time: a date; "" = a share */
        int64_t split_seed;
        struct job_column column[JOB_COLUMNS_MAX];
        int columns;
        struct job_side side[JOB_SIDES_MAX];
        int sides;
    } data;
    struct job_table table[JOB_TABLES_MAX];
    int tables;
    struct {
        int kind; /* enum model_kind */
        bool bias;
        double bias_rate;        /* of optimizer.rate; delta only */
        int loss;                /* enum loss_kind */
        char user[JOB_NAME_MAX]; /* tables of the two sides */
        char item[JOB_NAME_MAX];
        struct job_layer layer[JOB_LAYERS_MAX];
        int layers;
        char output[2 * JOB_NAME_MAX]; /* a list: a layer with the score, or two whose
                                          product it is; "" = the last layer */
        char target[JOB_NAME_MAX * 2]; /* the column of classes; "" = data.label */
        double delta;                  /* of the Huber loss */
        /* Of presets (worker/preset.h). */
        char hidden[JOB_WIDTHS_TEXT]; /* a list: widths of the deep layers */
        char bottom[JOB_WIDTHS_TEXT]; /* dlrm: of those for numbers */
        int activation;               /* enum activation: of these */
        double dropout;
        bool batch_norm;
        int64_t cross;  /* dcn: cross layers */
        int64_t width;  /* of towers, of neumf's products; 0 = choose */
        int64_t length; /* most keys of a list that are used */
        bool features;  /* mf: with all columns of both sides, as a graph */
    } model;
    struct job_optimizer optimizer;
    struct {
        int64_t epochs;
        bool follow; /* files of data.train grow, and are rotated */
        int64_t batch;
        int consistency; /* enum consistency_kind */
        int update;      /* enum update_kind */
        int64_t staleness;
        int64_t seed;
        int64_t cache;           /* bytes of each worker's cache of rows; 0 = none */
        int64_t cache_staleness; /* batches for which a row in it may be used */
        int64_t inflight;        /* batches pulled ahead of the one being computed */
        bool check_finite;       /* stop on NaN or Inf in a gradient */
        int64_t negatives;       /* examples that are made for each one of the data */
        int negatives_by;        /* enum negatives_by */
        bool negatives_seen;     /* also items that the user has */
        int64_t patience; /* evaluations without a better one, then stop; 0 = never */
    } train;
    struct {
        char metrics[JOB_LIST_MAX];
        int protocol;      /* enum evaluate_protocol */
        int part;          /* enum part_kind */
        int64_t negatives; /* of PROTOCOL_SAMPLED: items beside the one asked for */
        int negatives_by;  /* enum negatives_by: uniform, popularity */
        int64_t seed;
        int seen; /* enum seen_items: of PROTOCOL_ALL */
        int ties; /* enum ranking_ties */
        int64_t
            every; /* epochs between two evaluations of the validation part; 0 = none */
    } evaluate;
    struct {
        int64_t servers;
        int64_t workers;
        char network[JOB_NAME_MAX]; /* CIDR, "" = choose */
        int64_t memory_max;         /* bytes a server's region may use */
        double timeout;             /* seconds: deadline of every wait */
        int64_t restarts_max;       /* of one rank's child */
    } cluster;
    struct {
        char dir[JOB_PATH_MAX]; /* "" = no checkpoints */
        double every;           /* 0 = only at the end */
        int every_unit;         /* enum every_unit */
        int64_t keep;
    } checkpoint;
};

/* Fills in every setting's default; no table, no column. */
void job_init(struct job *job);

/* Reads the job file `path`, then applies `overrides` ("name=value"), then checks
 * everything that can be checked without opening data (job_check). Errors name
 * file and line, or the override, and offer the nearest known name. */
int job_load(struct job *job, const char *path, char *const overrides[], int count,
             struct err *err);

/* Sets one setting from text; `where` ("job.yaml line 7") goes into the sentence.
 * Mentioning tables.T.* or data.columns.C.* makes that table or column; tables.T or
 * data.columns.C with `value` NULL makes it with all defaults. A list's items end at
 * '\n' or '\t' if it has one, else at commas outside braces. On an error (-ERR_INPUT)
 * the job is as before. */
int job_set(struct job *job, const char *name, const char *value, const char *where,
            struct err *err);

/* Checks settings against each other: a column's table exists, the model's tables
 * have key columns and equal dim, a metric is known, and so on. */
int job_check(const struct job *job, struct err *err);

/* A part of job_check(): what is ranked to evaluate. */
int job_check_ranking(const struct job *job, struct err *err);
/* Likewise: negatives, and the losses and labels that go with them. */
int job_check_negatives(const struct job *job, struct err *err);

/* Writes the canonical lines to a new string that the caller frees; NULL without
 * memory. job_from_lines() reads them back exactly. */
char *job_to_lines(const struct job *job);
int job_from_lines(struct job *job, const char *lines, struct err *err);

/* Is a run with `job` a continuation of one that ran with the settings in `lines`?
 * -ERR_INPUT names the first setting that differs and may not (cluster.*,
 * train.epochs, checkpoint.*, report.*, and paths may). */
int job_continues(const struct job *job, const char *lines, struct err *err);

/* The optimizer of a table: its own settings, the job's where it has none. */
struct job_optimizer job_table_optimizer(const struct job *job, int table);

/* Is a column, as it is prepared, the key of a table's row? */
bool job_column_is_key(const struct job_column *column);

/* The places of those columns among the job's, in its order: column[JOB_COLUMNS_MAX].
 * Returns how many there are. */
int job_key_columns(const struct job *job, int *column);

/* Is the loss one of two classes, whose labels are 0 and 1? */
bool job_has_classes(const struct job *job);

/* Floats of a table's row: its embedding, and its bias if it has one. */
uint32_t job_row_width(const struct job *job, int table);

/* Does a column of the job belong to the item: its key, what a side table has of it, or
 * what is made of nothing else? Negatives bring their own. */
bool job_column_is_items(const struct job *job, int column);
/* Is it made of what belongs to the item and what does not? */
bool job_column_is_mixed(const struct job *job, int column);

/* Is the output compared with something else than the label? */
bool job_has_target(const struct job *job);

/* Must examples have a label? Else all of them are of chosen items, or the model is
 * compared with model.target. */
bool job_needs_label(const struct job *job);

/* Does the loss compare scores of items with each other, and not each with a label? */
bool job_ranks(const struct job *job);

/* Examples that a training batch has for each one of the data: it and its negatives. */
uint32_t job_group(const struct job *job);

/* Index of a table or column by name, or -1. */
int job_table_index(const struct job *job, const char *name);
int job_column_index(const struct job *job, const char *name);

/* Iterates over the items of a list setting: *cursor starts as the list, is moved on;
 * copies the next item to `item`. False at the end. */
bool job_list_next(const char **cursor, char *item, size_t size);

/* The numbers of a list of widths, width[JOB_WIDTHS_MAX]. Returns how many there are,
 * or -1: one is not a whole number from 1 to JOB_WIDTH_MAX, or there are more. */
int job_widths(const char *list, uint32_t *width);

/* Prints every setting with type, default, range, unit and sentence: as Markdown
 * (docs/settings.md) or as plain text (--help). */
void job_print_settings(FILE *out, bool markdown);

#endif
