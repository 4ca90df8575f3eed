#include "common/job.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/settings.h"

/* --- the table ----------------------------------------------------------------- */

#define AT(field)                                                                      \
    .offset = offsetof(struct job, field), .size = sizeof(((struct job *)0)->field)
#define AT_TABLE(field)                                                                \
    .offset = offsetof(struct job_table, field),                                       \
    .size = sizeof(((struct job_table *)0)->field)
#define AT_COLUMN(field)                                                               \
    .offset = offsetof(struct job_column, field),                                      \
    .size = sizeof(((struct job_column *)0)->field)

#define AT_SIDE(field)                                                                 \
    .offset = offsetof(struct job_side, field),                                        \
    .size = sizeof(((struct job_side *)0)->field)
#define AT_STEP(field) AT_COLUMN(steps.field)
#define AT_LAYER(field)                                                                \
    .offset = offsetof(struct job_layer, field),                                       \
    .size = sizeof(((struct job_layer *)0)->field)

/* clang-format off */
static const struct setting rows[] = {
    {"name", SETTING_TEXT, AT(name),
     .doc = "The job's name in reports and checkpoints: letters, digits, '.', '_' and "
            "'-'. If empty, the job file's name without '.yaml'."},

    {"data.train", SETTING_LIST, AT(data.train), .unit = "files or globs",
     .may_change = true,
     .doc = "What to train on: files, globs, folders (the files in them), named pipes, or - "
            "for standard input; plain or compressed (gzip, Zstandard, LZ4). Pipes are read "
            "once, as they come, and must be plain, unless data.in_memory is true."},
    {"data.test", SETTING_LIST, AT(data.test), .unit = "files or globs",
     .may_change = true,
     .doc = "What to test on. If empty, the share that data.split.test holds out."},
    {"data.validation", SETTING_LIST, AT(data.validation), .unit = "files or globs",
     .may_change = true,
     .doc = "What to validate on. If empty, the share that data.split.validation holds "
            "out."},
    {"data.negatives", SETTING_LIST, AT(data.negatives), .unit = "files or globs",
     .may_change = true,
     .doc = "With evaluate.protocol: given, the items that each user's are ranked among: "
            "lines of a user and items (user item item ...), or those of NCF's files, "
            "(user,item) item item ...; keys as in the data."},
    {"data.spool", SETTING_PATH, AT(data.spool), .may_change = true,
     .doc = "A folder for what was read of pipes and followed files and is not trained "
            "yet. If empty, spool in checkpoint.dir; without that, a temporary one."},
    {"data.spool_max", SETTING_BYTES, AT(data.spool_max), .min = 16777216,
     .max = 70368744177664.0, .preset = "1 GiB", .may_change = true,
     .doc = "The most bytes in it. When it is full, reading waits for the training, and "
            "so do writers of pipes."},
    {"data.format", SETTING_CHOICE, AT(data.format),
     .choices = "tsv|csv|packed|libsvm|libffm|libfm|criteo|jsonl|sequence|ncf",
     .preset = "tsv",
     .doc = "How the files are laid out. tsv and csv: columns separated by tabs or by "
            "commas, under a header line with their names; packed, as `rowhouse pack` writes "
            "them. The others name their columns themselves: docs/data.md says how. A packed "
            "file is also known by its first bytes, but not through a pipe or compressed."},
    {"data.delimiter", SETTING_TEXT, AT(data.delimiter),
     .doc = "What stands between the columns of tsv and csv files: 1 to 8 bytes, such as "
            "'|', ';' or '::', with \\t for a tab and \\xHH for any byte. A single blank "
            "means any run of blanks and tabs. If empty, a tab or a comma, by the format."},
    {"data.header", SETTING_CHOICE, AT(data.header), .choices = "auto|true|false",
     .preset = "auto",
     .doc = "Whether tsv and csv files begin with a line of column names; auto is true. "
            "Without, columns have the names of data.names, or are called 1, 2, 3 and so "
            "on."},
    {"data.names", SETTING_LIST, AT(data.names), .unit = "names",
     .doc = "Names of the columns of tsv and csv files, in their order, instead of those "
            "that the files give them."},
    {"data.quotes", SETTING_CHOICE, AT(data.quotes), .choices = "auto|true|false",
     .preset = "auto",
     .doc = "Whether a field may stand in double quotes, with two of them for one; auto is "
            "true for csv."},
    {"data.encoding", SETTING_CHOICE, AT(data.encoding), .choices = "utf-8|latin-1",
     .preset = "utf-8",
     .doc = "How letters are written in the files. What is not UTF-8 is an error; latin-1 "
            "is turned into it."},
    {"data.missing", SETTING_LIST, AT(data.missing), .unit = "texts",
     .doc = "Texts that mean that a value is missing, such as '?' or 'NA', besides an "
            "empty field."},
    {"data.bad_rows", SETTING_CHOICE, AT(data.bad_rows), .choices = "fail|skip",
     .preset = "fail",
     .doc = "What becomes of a row that is wrong: fail ends the run with a sentence that "
            "names file, line and column; skip leaves it out, warns once and counts."},
    {"data.bad_rows_max", SETTING_INTEGER, AT(data.bad_rows_max), .min = 0, .max = 1e15,
     .preset = "1000", .may_change = true,
     .doc = "With data.bad_rows: skip: so many may be left out by each process; one more "
            "ends the run."},
    {"data.weight", SETTING_TEXT, AT(data.weight),
     .doc = "The column with each example's weight, from 0 on: its loss and its gradients "
            "count so many times. Metrics count each example once. If empty, all weigh the "
            "same."},
    {"data.in_memory", SETTING_CHOICE, AT(data.in_memory), .choices = "auto|true|false",
     .preset = "auto", .may_change = true,
     .doc = "Hold all examples in the memory of each worker's process (12 bytes for each "
            "with two keys), or read them from the files again in each epoch, chunk by "
            "chunk. auto: in memory as long as the files have at most 1 GiB, "
            "compressed ones 256 MiB; it stays what it was when the run goes on."},
    {"data.chunk", SETTING_BYTES, AT(data.chunk), .min = 256, .max = 1073741824.0,
     .preset = "128 KiB",
     .doc = "How much of a text file is read at a time when data are not held in memory: "
            "an epoch takes such chunks in random order. Packed files have their own."},
    {"data.mix", SETTING_INTEGER, AT(data.mix), .min = 1, .max = 1000, .preset = "8",
     .unit = "chunks",
     .doc = "How many of them are shuffled together, and given to one worker."},
    {"data.label", SETTING_TEXT, AT(data.label),
     .doc = "The column to predict. If empty, every example is one of a chosen item, with "
            "the label 1: for losses and settings that have negatives, and where "
            "model.target is what the output is compared with."},
    {"data.time", SETTING_TEXT, AT(data.time),
     .doc = "The column with each example's time, by which splits and histories go: one "
            "of data.columns that is a time, or one that has seconds since 1970."},
    {"data.group", SETTING_TEXT, AT(data.group),
     .doc = "A key column, such as the user: all examples with the same key become one. "
            "Other key columns become lists: inputs get the keys of the training part, "
            "weighted by their labels; model.target names the one whose keys are to be "
            "found. Needs data in memory and model.kind autoencoder, multdae or graph."},
    {"data.positive_from", SETTING_REAL, AT(data.positive_from), .min = -1e30,
     .max = 1e30, .preset = "none",
     .doc = "Labels of at least this count as 1, others as 0, with the losses of two "
            "classes and those of chosen items. With none, labels of the former must be 0 "
            "and 1, and for the latter those above 0 are chosen."},
    {"data.split.test", SETTING_REAL, AT(data.split_test), .min = 0, .max = 0.99,
     .preset = "0",
     .doc = "Share of the examples of data.train that is held out for the test."},
    {"data.split.validation", SETTING_REAL, AT(data.split_validation), .min = 0,
     .max = 0.99, .preset = "0",
     .doc = "Share of the examples of data.train that is held out for validation."},
    {"data.split.by", SETTING_CHOICE, AT(data.split_by),
     .choices = "random|time|leave_one_out|user", .preset = "random",
     .doc = "How held-out examples are chosen: random, each by itself; time, the newest; "
            "leave_one_out, each user's last one (and, if data.split.validation is more "
            "than 0, the one before it), but none of users with fewer than 3; user, whole "
            "users by chance."},
    {"data.split.after", SETTING_TEXT, AT(data.split_after),
     .doc = "With data.split.by: time: the date (2015-01-01, 2015-01-01T12:00:00Z, or "
            "seconds since 1970) from which on examples are for the test, in place of "
            "data.split.test."},
    {"data.split.seed", SETTING_INTEGER, AT(data.split_seed), .min = 0, .max = 1e15,
     .preset = "1",
     .doc = "Which examples are held out: the same seed chooses the same ones."},
    {"data.columns.*.as", SETTING_CHOICE, AT_COLUMN(as),
     .choices = "key|title|keys|number|vector|text|time", .preset = "key",
     .doc = "What the column NAME of the files is: the key of a row in a table, a title to "
            "show for that key, any number of keys, a number, a vector of numbers, a text, "
            "or a date and time. A name may hold dots and spaces."},
    {"data.columns.*.table", SETTING_TEXT, AT_COLUMN(table),
     .doc = "The table that the column is a key or title of, or has keys of."},
    {"data.columns.*.separator", SETTING_TEXT, AT_COLUMN(separator), .preset = "|",
     .doc = "What stands between the parts of keys and of a vector: 1 to 7 bytes."},
    {"data.columns.*.dim", SETTING_INTEGER, AT_COLUMN(dim), .min = 0, .max = 65536,
     .preset = "0",
     .doc = "How many numbers a vector has."},
    {"data.columns.*.time_format", SETTING_TEXT, AT_COLUMN(time_format),
     .preset = "seconds",
     .doc = "How a time is written: seconds, milliseconds or microseconds since 1970, iso "
            "(2024-05-31, 2024-05-31T12:30:00Z and the like; UTC where no zone is given), "
            "or a pattern with % as of strptime, such as %d/%m/%Y %H:%M."},

    {"data.columns.*.from", SETTING_TEXT, AT_COLUMN(from),
     .doc = "The side table (data.sides) whose column this is; if empty, it is one of the "
            "data."},
    {"data.columns.*.make", SETTING_CHOICE, AT_STEP(make),
     .choices = "none|cross|hour|weekday|recency|history", .preset = "none",
     .doc = "Makes a column that no file has, of those in data.columns.NAME.of: cross, one "
            "key for several columns' keys; hour (0 to 23) and weekday (0 is Monday) of a "
            "time, in UTC; recency, the days from a time to the newest one of the training "
            "part; history, the last items of the example's user before its time."},
    {"data.columns.*.of", SETTING_LIST, AT_STEP(of), .unit = "columns",
     .doc = "What a made column is made of: columns that stand before it in "
            "data.columns."},
    {"data.columns.*.length", SETTING_INTEGER, AT_STEP(length), .min = 1, .max = 65536,
     .preset = "50", .unit = "items",
     .doc = "The most items of a history."},
    {"data.columns.*.missing", SETTING_CHOICE, AT_STEP(missing),
     .choices = "fail|constant|mean|median|most_frequent|category", .preset = "fail",
     .doc = "What an example without a value gets: fail stops the run; constant is "
            "data.columns.NAME.missing_value; mean, median and most_frequent are those of "
            "the training part; category is a key of its own (a text, time, list or "
            "vector stays empty)."},
    {"data.columns.*.missing_value", SETTING_TEXT, AT_STEP(missing_value),
     .doc = "With missing: constant, the value: a number, or a key as a file would have "
            "it."},
    {"data.columns.*.clip_low", SETTING_REAL, AT_STEP(clip_low), .min = 0, .max = 1,
     .preset = "0",
     .doc = "Numbers below this quantile of the training part become that quantile."},
    {"data.columns.*.clip_high", SETTING_REAL, AT_STEP(clip_high), .min = 0, .max = 1,
     .preset = "1",
     .doc = "Numbers above this quantile of the training part become that quantile."},
    {"data.columns.*.clip_z", SETTING_REAL, AT_STEP(clip_z), .min = 0, .max = 1000,
     .preset = "0", .unit = "standard deviations",
     .doc = "Numbers farther than this from the training part's mean are brought there; "
            "0: none."},
    {"data.columns.*.transform", SETTING_CHOICE, AT_STEP(transform),
     .choices = "none|log", .preset = "none",
     .doc = "log: x becomes the logarithm of 1 + x (of a negative x, minus that of 1 - "
            "x)."},
    {"data.columns.*.scale", SETTING_CHOICE, AT_STEP(scale),
     .choices = "none|standard|minmax|unit", .preset = "none",
     .doc = "standard: mean 0 and deviation 1 over the training part; minmax: 0 to 1 over "
            "it; unit: each vector has the length 1."},
    {"data.columns.*.buckets", SETTING_INTEGER, AT_STEP(buckets), .min = 0, .max = 65536,
     .preset = "0",
     .doc = "Makes a number a key, 0 to buckets - 1: which of so many equally frequent "
            "ranges it is in; 0: it stays a number."},
    {"data.columns.*.hash", SETTING_INTEGER, AT_STEP(hash), .min = 0, .max = 1e15,
     .preset = "0", .unit = "keys",
     .doc = "Keys become 0 to hash - 1 by a hash of theirs; 0: they stay."},
    {"data.columns.*.vocabulary", SETTING_CHOICE, AT_STEP(vocabulary),
     .choices = "none|keep|number", .preset = "none",
     .doc = "Only keys (words) of the training part have rows of their own, others share "
            "data.columns.NAME.unseen rows: keep leaves known keys as they are, number "
            "counts them 0, 1, 2, ... from the most frequent on."},
    {"data.columns.*.vocabulary_min", SETTING_INTEGER, AT_STEP(vocabulary_min), .min = 1,
     .max = 1e12, .preset = "1", .unit = "examples",
     .doc = "A key must be in so many examples of the training part to be known."},
    {"data.columns.*.vocabulary_max", SETTING_INTEGER, AT_STEP(vocabulary_max), .min = 0,
     .max = 33554432, .preset = "0", .unit = "keys",
     .doc = "How many keys, the most frequent ones, are known; 0: all."},
    {"data.columns.*.unseen", SETTING_INTEGER, AT_STEP(unseen), .min = 0, .max = 65536,
     .preset = "1", .unit = "keys",
     .doc = "Keys that all those outside the vocabulary share, by a hash; 0, in a list "
            "of keys or words: they are left out."},
    {"data.columns.*.words", SETTING_CHOICE, AT_STEP(words), .choices = "none|bag|tfidf",
     .preset = "none",
     .doc = "Makes a text a list of its words as keys: with how often each is there (bag), "
            "or with TF-IDF weights. Words are runs of letters, marks and digits, in "
            "lower case."},
    {"data.columns.*.words_max", SETTING_INTEGER, AT_STEP(words_max), .min = 1,
     .max = 1048576, .preset = "1024", .unit = "words",
     .doc = "Of a text only so many words from its beginning are taken."},
    {"data.sides.*.files", SETTING_LIST, AT_SIDE(files), .unit = "files or globs",
     .may_change = true,
     .doc = "The files of the side table NAME, which has columns of users or items. They "
            "are held in memory."},
    {"data.sides.*.format", SETTING_CHOICE, AT_SIDE(format),
     .choices = "tsv|csv|packed|libsvm|libffm|libfm|criteo|jsonl|sequence|ncf",
     .preset = "tsv",
     .doc = "As data.format."},
    {"data.sides.*.delimiter", SETTING_TEXT, AT_SIDE(delimiter),
     .doc = "As data.delimiter."},
    {"data.sides.*.header", SETTING_CHOICE, AT_SIDE(header),
     .choices = "auto|true|false", .preset = "auto", .doc = "As data.header."},
    {"data.sides.*.names", SETTING_LIST, AT_SIDE(names), .unit = "names",
     .doc = "As data.names."},
    {"data.sides.*.encoding", SETTING_CHOICE, AT_SIDE(encoding),
     .choices = "utf-8|latin-1", .preset = "utf-8", .doc = "As data.encoding."},
    {"data.sides.*.key", SETTING_TEXT, AT_SIDE(key),
     .doc = "The column of the data whose keys the side table has rows for."},
    {"data.sides.*.id", SETTING_TEXT, AT_SIDE(id),
     .doc = "The side table's own column with that key. No key may be there twice; one "
            "that is not there leaves its columns missing. A NumPy file (.npy), known by "
            "its first bytes, has none: the number of a row is its key, and its one column "
            "is a vector."},
    {"data.sides.*.keys", SETTING_TEXT, AT_SIDE(keys), .may_change = true,
     .doc = "A text file with the keys of a NumPy file's rows, one a line: that on line n "
            "is the key of the nth row."},

    {"tables.*.dim", SETTING_INTEGER, AT_TABLE(dim), .min = 1, .max = 65535,
     .preset = "32",
     .doc = "Numbers in the embedding of a key (the factors of matrix factorisation)."},
    {"tables.*.init", SETTING_CHOICE, AT_TABLE(init),
     .choices = "zero|constant|uniform|normal|truncated_normal|xavier|he",
     .preset = "normal",
     .doc = "First values of a row. They depend only on train.seed, table and key. "
            "truncated_normal draws again what is beyond two deviations; xavier is "
            "uniform with half width sqrt(3 / dim), he normal with deviation "
            "sqrt(2 / dim)."},
    {"tables.*.scale", SETTING_REAL, AT_TABLE(scale), .min = 0, .max = 1000,
     .preset = "0.1",
     .doc = "Of tables.NAME.init: the constant, the half width of uniform, or the "
            "standard deviation of normal (of truncated_normal before it is "
            "truncated). xavier and he do without."},
    {"tables.*.rows", SETTING_INTEGER, AT_TABLE(rows), .min = 0, .max = 4294967295.0,
     .preset = "0",
     .doc = "Makes a dense table: it has so many rows from the start, with the keys 0, 1, "
            "2 and so on, and another key in the data is an error. Each server has a run "
            "of them, without an index. 0: a sparse table, which makes a row when its key "
            "first comes up, whatever it is."},
    {"tables.*.rows_max", SETTING_INTEGER, AT_TABLE(rows_max), .min = 0, .max = 1e12,
     .preset = "0", .may_change = true,
     .doc = "Most rows that the table may have, on all servers together; 0: as many as "
            "cluster.memory_max has room for. A row that cannot be made reads as zeros "
            "and what is pushed to it is dropped; a warning says so once, and the "
            "report counts it. Each server makes its share, by the keys that it owns, "
            "so that one may be full a little before the others."},
    {"tables.*.bias", SETTING_BOOLEAN, AT_TABLE(bias), .preset = "false",
     .doc = "Gives each row one number more, behind its embedding, that begins as 0: the "
            "linear weight of a factorisation machine. (The tables of mf have one by "
            "model.bias.)"},
    {"tables.*.vectors", SETTING_PATH, AT_TABLE(vectors), .may_change = true,
     .doc = "A file of vectors, whose rows are all made when a run begins; rows that it "
            "does not have start as tables.NAME.init says. Text as word2vec and GloVe "
            "write it, CSV as `rowhouse export` does, or a NumPy matrix whose row "
            "numbers are the keys; plain or compressed (.gz, .zst)."},
    {"tables.*.vectors_digest", SETTING_TEXT, AT_TABLE(vectors_digest),
     .doc = "XXH3-64 of that file, 16 hexadecimal digits: a run only begins, or goes on, "
            "with the file that has it. If empty, a run begins with the file there is."},
#define ROW(field, kind, value, ...) \
    {"tables.*.optimizer." #field, SETTING_##kind, AT_TABLE(optimizer.field), \
     .like = "optimizer." #field, __VA_ARGS__},
#include "common/job_optimizer.h"

    {"model.kind", SETTING_CHOICE, AT(model.kind), .preset = "mf",
     .choices = "mf|graph|linear|gmf|mlp|neumf|fm|deepfm|widedeep|dcn|dlrm|twotower|"
                "popularity|autoencoder|multdae",
     .doc = "The model: mf, matrix factorisation; graph, the layers of model.layers; the "
            "others are presets, which make such layers of the job's columns: "
            "docs/models.md says which, and `rowhouse plan` shows them."},
    {"model.bias", SETTING_BOOLEAN, AT(model.bias), .preset = "true",
     .doc = "Give each user and each item a bias besides its embedding."},
    {"model.bias_rate", SETTING_REAL, AT(model.bias_rate), .min = 0, .max = 1000,
     .preset = "1",
     .doc = "With train.update: delta, what share of optimizer.rate biases learn with. "
            "They have larger gradients than factors: less than 1 is usual."},
    {"model.loss", SETTING_CHOICE, AT(model.loss), .preset = "squared",
     .choices = "squared|logistic|absolute|huber|hinge|squared_hinge|softmax|"
                "sampled_softmax|bpr|warp",
     .doc = "What training makes small. Of ratings and other numbers: squared, absolute, "
            "or huber, which is squared for small errors and absolute for large ones. Of "
            "labels 0 and 1: logistic, which gives probabilities, hinge and "
            "squared_hinge (support vector machines). Of one among many: softmax, "
            "which needs model.target. Of chosen items against those of train.negatives: "
            "sampled_softmax, bpr and warp. mf has squared, logistic and these three."},
    {"model.delta", SETTING_REAL, AT(model.delta), .min = 1e-9, .max = 1e9, .preset = "1",
     .doc = "With model.loss huber: up to which error it is squared."},
    {"model.hidden", SETTING_LIST, AT(model.hidden), .unit = "numbers",
     .preset = "64\t32\t16",
     .doc = "Of presets with deep layers: how wide each of them is, from the input on; "
            "[] is none. Of autoencoders: of those before the narrowest, and that."},
    {"model.bottom", SETTING_LIST, AT(model.bottom), .unit = "numbers",
     .doc = "Of dlrm: how wide the layers are that numbers go through, before one as wide "
            "as an embedding."},
    {"model.activation", SETTING_CHOICE, AT(model.activation),
     .choices = "linear|relu|leaky_relu|gelu|sigmoid|tanh", .preset = "relu",
     .doc = "The function at the end of each of them; multdae has tanh."},
    {"model.dropout", SETTING_REAL, AT(model.dropout), .min = 0, .max = 0.99,
     .preset = "0",
     .doc = "The share of their numbers that is left out in training."},
    {"model.batch_norm", SETTING_BOOLEAN, AT(model.batch_norm), .preset = "false",
     .doc = "Whether each of them has a batch norm between its product and its function."},
    {"model.cross", SETTING_INTEGER, AT(model.cross), .min = 1, .max = 16, .preset = "3",
     .unit = "layers", .doc = "Of dcn: cross layers, beside the deep ones."},
    {"model.width", SETTING_INTEGER, AT(model.width), .min = 0, .max = JOB_WIDTH_MAX,
     .preset = "0", .unit = "numbers",
     .doc = "Of twotower: the width of the two vectors; 0: the dim of the item's table. Of "
            "neumf: how many numbers of an embedding are for the product, the rest are for "
            "the deep layers; 0: as many as the last of those is wide."},
    {"model.length", SETTING_INTEGER, AT(model.length), .min = 1, .max = 1048576,
     .preset = "64", .unit = "keys",
     .doc = "Of presets: how many keys of a list are used, from its beginning."},
    {"model.features", SETTING_BOOLEAN, AT(model.features), .preset = "false",
     .doc = "Of mf: whether the other columns count, too: the vector of each side is the "
            "sum of the embeddings of its columns. docs/models.md says which are whose."},
    {"model.user", SETTING_TEXT, AT(model.user), .preset = "user",
     .doc = "The table of those who rate."},
    {"model.item", SETTING_TEXT, AT(model.item), .preset = "item",
     .doc = "The table of what is rated and recommended."},
    {"model.output", SETTING_LIST, AT(model.output), .unit = "layers",
     .doc = "With graph: the layer whose one number is the score; or two of equal width, "
            "whose inner product it is (user and item, in this order). If empty, the "
            "last layer."},
    {"model.target", SETTING_TEXT, AT(model.target), .unit = "column or layer",
     .doc = "What the output is compared with. If empty, the label, and the output is one "
            "number. A key column with a dense table: the output has a number for each of "
            "its rows, of which the key's is to be the highest (model.loss softmax). A "
            "list of keys, or the column that data.group makes one: softmax over all of "
            "them, or other losses between the numbers at its keys and the weights that "
            "these have. An input of kind numbers: those (an autoencoder)."},
    {"model.layers.*.kind", SETTING_CHOICE, AT_LAYER(kind),
     .choices = "rows|bag|numbers|dense|cross|bias|activation|concat|stack|flatten|add|"
                "multiply|dot|pairs|fm|pool|layer_norm|batch_norm|dropout",
     .preset = "dense",
     .doc = "What the layer NAME computes. Inputs: rows, the embeddings of keys below each "
            "other; bag, the sum or mean of the embeddings of lists of keys; numbers. "
            "docs/models.md has all of them, with their shapes."},
    {"model.layers.*.inputs", SETTING_LIST, AT_LAYER(inputs), .unit = "layers",
     .doc = "The layers whose values it takes. If empty, the layer before it, unless it is "
            "an input."},
    {"model.layers.*.columns", SETTING_LIST, AT_LAYER(columns), .unit = "columns",
     .doc = "Of an input: which of data.columns it takes, in this order: keys of one table "
            "(rows), one list of keys (rows, bag), or numbers and vectors (numbers)."},
    {"model.layers.*.table", SETTING_TEXT, AT_LAYER(table),
     .doc = "Of rows and bag: the table that their keys have their rows in. If empty, the "
            "table of the columns; one of its own gives the same keys other rows."},
    {"model.layers.*.width", SETTING_INTEGER, AT_LAYER(width), .min = 0, .max = 65536,
     .preset = "0", .unit = "numbers",
     .doc = "Of dense: the numbers that it makes of each example. Of rows and bag: how "
            "many numbers of a row are used; 0: those from model.layers.NAME.first to "
            "the end."},
    {"model.layers.*.first", SETTING_INTEGER, AT_LAYER(first), .min = 0, .max = 16384,
     .preset = "0", .unit = "numbers",
     .doc = "Of rows and bag: how many numbers at the beginning of a row are left out, so "
            "that two layers can share a table."},
    {"model.layers.*.length", SETTING_INTEGER, AT_LAYER(length), .min = 0, .max = 1048576,
     .preset = "0", .unit = "keys",
     .doc = "Of rows and bag of a column that is a list: how many keys of it are used, "
            "from its beginning. rows need it, and short lists are filled up with zeros; "
            "0 with bag: 64."},
    {"model.layers.*.pool", SETTING_CHOICE, AT_LAYER(pool), .choices = "sum|mean",
     .preset = "sum",
     .doc = "Of bag and pool: what becomes of the rows. Those of a bag count with the "
            "weights that its keys have."},
    {"model.layers.*.activation", SETTING_CHOICE, AT_LAYER(activation),
     .choices = "linear|relu|leaky_relu|gelu|sigmoid|tanh|softmax", .preset = "linear",
     .doc = "Of dense and activation: the function at its end."},
    {"model.layers.*.slope", SETTING_REAL, AT_LAYER(slope), .min = 1e-6, .max = 1,
     .preset = "0.01", .doc = "Of leaky_relu: its slope below 0."},
    {"model.layers.*.drop", SETTING_REAL, AT_LAYER(drop), .min = 0, .max = 0.99,
     .preset = "0.5",
     .doc = "Of dropout: the share of numbers that are left out in training."},
    {"model.layers.*.epsilon", SETTING_REAL, AT_LAYER(epsilon), .min = 1e-12, .max = 1,
     .preset = "1e-05", .doc = "Of layer_norm and batch_norm: keeps divisors from 0."},
    {"model.layers.*.momentum", SETTING_REAL, AT_LAYER(momentum), .min = 1e-6, .max = 1,
     .preset = "0.01",
     .doc = "Of batch_norm: the share of each worker's batch in the means that are used "
            "after training."},

#define ROW(field, kind, value, ...) \
    {"optimizer." #field, SETTING_##kind, AT(optimizer.field), .preset = value, __VA_ARGS__},
#include "common/job_optimizer.h"

    {"train.epochs", SETTING_INTEGER, AT(train.epochs), .min = 1, .max = 1e6,
     .preset = "10", .may_change = true,
     .doc = "Passes over the training examples in all, those before a --resume "
            "included."},
    {"train.follow", SETTING_BOOLEAN, AT(train.follow), .preset = "false",
     .may_change = true,
     .doc = "Whether the files of data.train grow: they are followed, also when they are "
            "rotated, and training goes on until it is interrupted. Needs one epoch, "
            "and async or ssp. Globs must not match what rotated files are called."},
    {"train.batch", SETTING_INTEGER, AT(train.batch), .min = 1, .max = 1048576,
     .preset = "4096", .unit = "examples",
     .doc = "Examples whose gradients are computed and sent together."},
    {"train.consistency", SETTING_CHOICE, AT(train.consistency), .choices = "async|ssp|bsp",
     .preset = "async",
     .doc = "How far workers wait for each other: async not at all within an epoch; ssp "
            "until all are at most train.staleness batches behind; bsp for every batch, "
            "which gives the same bits for any number of servers."},
    {"train.update", SETTING_CHOICE, AT(train.update), .choices = "gradient|delta",
     .preset = "gradient",
     .doc = "What workers push: a batch's gradients, which the servers apply; or the "
            "differences that a worker's own steps of plain SGD, one example at a time, "
            "have made to its rows (needs optimizer.kind: sgd)."},
    {"train.staleness", SETTING_INTEGER, AT(train.staleness), .min = 0, .max = 60,
     .preset = "8", .unit = "batches",
     .doc = "With ssp: how far a worker may be ahead of the slowest one."},
    {"train.seed", SETTING_INTEGER, AT(train.seed), .min = 0, .max = 1e15,
     .preset = "1",
     .doc = "Of everything random in training: first values and the order of "
            "examples."},
    {"train.inflight", SETTING_INTEGER, AT(train.inflight), .min = 0, .max = 64,
     .preset = "2", .unit = "batches",
     .doc = "Batches whose rows are pulled ahead of the one being computed."},
    {"train.cache", SETTING_BYTES, AT(train.cache), .min = 0, .max = 70368744177664.0,
     .preset = "0 B",
     .doc = "Memory with which each worker keeps rows that it has pulled, to use them "
            "again for the next batches; 0: none. Fewer rows are pulled, and those read are "
            "older; it pays where servers or the network are the limit. Not with bsp, "
            "optimizer.stale_rate or optimizer.compensate."},
    {"train.cache_staleness", SETTING_INTEGER, AT(train.cache_staleness), .min = 1,
     .max = 1000, .preset = "4", .unit = "batches",
     .doc = "For how many batches after the one that it was pulled for a row in "
            "train.cache may be used. With ssp never beyond train.staleness either: a "
            "kept row is read with the guarantee of one that is pulled."},
    {"train.check_finite", SETTING_BOOLEAN, AT(train.check_finite), .preset = "true",
     .doc = "Stop when a gradient is not a finite number."},
    {"train.negatives", SETTING_INTEGER, AT(train.negatives), .min = 0, .max = 1000,
     .preset = "0", .unit = "items",
     .doc = "Items that the user has not chosen, drawn for each example of the training "
            "part in each epoch: as many examples with the label 0 (docs/negatives.md). "
            "Needs the data in memory."},
    {"train.negatives_by", SETTING_CHOICE, AT(train.negatives_by),
     .choices = "uniform|popularity|batch", .preset = "uniform",
     .doc = "How they are drawn: uniform, all items of the training part alike; "
            "popularity, as often as examples have them; batch, none are drawn, the "
            "items of the batch's other examples are taken, which needs model.loss "
            "sampled_softmax."},
    {"train.negatives_seen", SETTING_BOOLEAN, AT(train.negatives_seen), .preset = "false",
     .doc = "Whether an item that the user has in the training part may be drawn for "
            "another of the user's examples."},
    {"train.patience", SETTING_INTEGER, AT(train.patience), .min = 0, .max = 10000,
     .preset = "0", .unit = "evaluations", .may_change = true,
     .doc = "Stop when the first of evaluate.metrics was not better on the validation part "
            "for so many evaluations (evaluate.every), and go back to the best epoch "
            "(docs/metrics.md). 0: train all epochs. Needs checkpoint.dir."},

    {"evaluate.metrics", SETTING_LIST, AT(evaluate.metrics), .preset = "rmse",
     .doc = "What to report on the test examples (docs/metrics.md). Of numbers: rmse, "
            "mae. Of two classes, with model.loss logistic: logloss, calibration; also with "
            "hinge and squared_hinge: accuracy, precision, recall, f1, auc. Of lists, with an "
            "evaluate.protocol that ranks: hr@K, ndcg@K, recall@K, recall_capped@K, "
            "precision@K, mrr@K, map@K, coverage@K, such as ndcg@10, with up to four different K."},
    {"evaluate.protocol", SETTING_CHOICE, AT(evaluate.protocol),
     .choices = "split|given|sampled|all", .preset = "split", .may_change = true,
     .doc = "What to ask (docs/evaluation.md). split: a score for each held-out example. The "
            "others rank the items of held-out examples among other items: given, those of "
            "data.negatives; sampled, evaluate.negatives items by chance; all, all items of "
            "the training part. They need the data in memory."},
    {"evaluate.every", SETTING_INTEGER, AT(evaluate.every), .min = 0, .max = 1e6,
     .preset = "0", .unit = "epochs", .may_change = true,
     .doc = "After how many epochs to score the validation part (docs/metrics.md); 0: never."},
    {"evaluate.part", SETTING_CHOICE, AT(evaluate.part), .choices = "test|validation",
     .preset = "test", .may_change = true,
     .doc = "Which part to score at the end of a run and by `rowhouse evaluate`."},
    {"evaluate.negatives", SETTING_INTEGER, AT(evaluate.negatives), .min = 1, .max = 1e9,
     .preset = "100", .unit = "items", .may_change = true,
     .doc = "With sampled: how many items each held-out one is ranked among, of the "
            "training part, which its user does not have there; all such if there are "
            "fewer."},
    {"evaluate.negatives_by", SETTING_CHOICE, AT(evaluate.negatives_by),
     .choices = "uniform|popularity", .preset = "uniform", .may_change = true,
     .doc = "How they are drawn, none twice: uniform, all alike; popularity, as often as "
            "examples of the training part have them."},
    {"evaluate.seed", SETTING_INTEGER, AT(evaluate.seed), .min = 0, .max = 1e15,
     .preset = "1", .may_change = true,
     .doc = "Which items are drawn: the same seed draws the same ones, for any number of "
            "workers."},
    {"evaluate.seen", SETTING_CHOICE, AT(evaluate.seen), .choices = "leave_out|keep",
     .preset = "leave_out", .may_change = true,
     .doc = "With all: whether items that the user has in the training part are left out "
            "of the list, or stay on it."},
    {"evaluate.ties", SETTING_CHOICE, AT(evaluate.ties),
     .choices = "expected|behind|ahead", .preset = "expected", .may_change = true,
     .doc = "Where an item stands among those with the same score: the mean over all "
            "orders, or behind or ahead of them."},

    {"cluster.servers", SETTING_INTEGER, AT(cluster.servers), .min = 1, .max = 256,
     .preset = "1", .may_change = true,
     .doc = "Servers that share the tables. Under mpirun so many of the ranks become "
            "servers."},
    {"cluster.workers", SETTING_INTEGER, AT(cluster.workers), .min = 1, .max = 512,
     .preset = "1", .may_change = true,
     .doc = "Workers that share the data. Under mpirun all ranks that are no servers "
            "are workers, whatever is given here."},
    {"cluster.network", SETTING_CIDR, AT(cluster.network), .may_change = true,
     .doc = "The network on which the processes find each other, such as 10.0.0.0/8. "
            "If empty, one is chosen: loopback when all are on one host."},
    {"cluster.memory_max", SETTING_BYTES, AT(cluster.memory_max), .min = 1048576,
     .max = 70368744177664.0, .preset = "4 GiB", .may_change = true,
     .doc = "Memory that the tables of one server may use."},
    {"cluster.timeout", SETTING_SECONDS, AT(cluster.timeout), .min = 0.1, .max = 86400,
     .preset = "30 s", .may_change = true,
     .doc = "After waiting so long for another process the run ends with a sentence "
            "that names it."},
    {"cluster.restarts_max", SETTING_INTEGER, AT(cluster.restarts_max), .min = 0,
     .max = 1000, .preset = "3", .may_change = true,
     .doc = "How often in all a rank under mpirun may start its process again after a crash."},

    {"checkpoint.dir", SETTING_PATH, AT(checkpoint.dir), .may_change = true,
     .doc = "The directory for checkpoints; made if it is not there. If empty, none "
            "are written."},
    {"checkpoint.every", SETTING_EVERY, AT(checkpoint.every),
     .unit_offset = offsetof(struct job, checkpoint.every_unit), .min = 0.1,
     .max = 1e7, .preset = "1 epoch", .may_change = true,
     .doc = "How often to write one. There is always one at the end; with 0 only "
            "that."},
    {"checkpoint.keep", SETTING_INTEGER, AT(checkpoint.keep), .min = 1, .max = 10000,
     .preset = "3", .may_change = true,
     .doc = "How many of the newest checkpoints to keep."},
};
/* clang-format on */

static const struct settings_group groups[] = {
    {.prefix = "tables.",
     .word = "table",
     .offset = offsetof(struct job, table),
     .stride = sizeof(struct job_table),
     .count_offset = offsetof(struct job, tables),
     .max = JOB_TABLES_MAX,
     .name_size = JOB_NAME_MAX,
     .plain_names = true,
     .ordered = true},
    {.prefix = "data.columns.",
     .word = "column",
     .offset = offsetof(struct job, data.column),
     .stride = sizeof(struct job_column),
     .count_offset = offsetof(struct job, data.columns),
     .max = JOB_COLUMNS_MAX,
     .name_size = sizeof(((struct job_column *)0)->name)},
    {.prefix = "data.sides.",
     .word = "side table",
     .offset = offsetof(struct job, data.side),
     .stride = sizeof(struct job_side),
     .count_offset = offsetof(struct job, data.sides),
     .max = JOB_SIDES_MAX,
     .name_size = JOB_NAME_MAX,
     .plain_names = true},
    {.prefix = "model.layers.",
     .word = "layer",
     .offset = offsetof(struct job, model.layer),
     .stride = sizeof(struct job_layer),
     .count_offset = offsetof(struct job, model.layers),
     .max = JOB_LAYERS_MAX,
     .name_size = JOB_NAME_MAX,
     .plain_names = true,
     .ordered = true},
};

static const struct settings_section sections[] = {
    {"", "What the job is called."},
    {"data", "What is in the files."},
    {"tables",
     "The tables that servers hold. `tables: {user: {}, item: {}}` declares two "
     "with defaults."},
    {"model", "What is trained."},
    {"optimizer", "How servers apply gradients."},
    {"train", "How workers go through the data."},
    {"evaluate", "What is measured."},
    {"cluster", "What it runs on."},
    {"checkpoint", "What is kept."},
};

#define COUNT(array) (sizeof(array) / sizeof *(array))
static const struct settings job_settings = {
    rows, COUNT(rows), groups, COUNT(groups), sections, COUNT(sections)};

static_assert(offsetof(struct job_table, name) == 0 &&
                  offsetof(struct job_column, name) == 0 &&
                  offsetof(struct job_side, name) == 0 &&
                  offsetof(struct job_layer, name) == 0,
              "an element starts with its name");
static_assert((int)EVERY_EPOCH == (int)SETTING_EVERY_EPOCH &&
                  (int)EVERY_SECOND == (int)SETTING_EVERY_SECOND,
              "the units of checkpoint.every");
static_assert((int)JOB_LIST_MAX < (int)SETTING_VALUE_MAX &&
                  (int)JOB_PATH_MAX < (int)SETTING_VALUE_MAX,
              "values fit their text");

/* --- the table at work ---------------------------------------------------------- */

void job_init(struct job *job)
{
    memset(job, 0, sizeof *job);
    settings_init(&job_settings, job);
}

int job_set(struct job *job, const char *name, const char *value, const char *where,
            struct err *err)
{
    return settings_set(&job_settings, job, name, value, where, err);
}

char *job_to_lines(const struct job *job)
{
    return settings_to_lines(&job_settings, job);
}

int job_from_lines(struct job *job, const char *lines, struct err *err)
{
    memset(job, 0, sizeof *job);
    return settings_from_lines(&job_settings, job, lines, err);
}

int job_continues(const struct job *job, const char *lines, struct err *err)
{
    struct job *before = malloc(sizeof *before);
    int rc;

    if (!before)
        return err_set(err, ERR_MEMORY, "no memory to compare settings");
    if (job_from_lines(before, lines, err))
        rc = err_prefix(err, "the checkpoint's settings cannot be read");
    else
        rc = settings_continues(&job_settings, job, before, err);
    free(before);
    return rc;
}

void job_print_settings(FILE *out, bool markdown)
{
    settings_print(&job_settings, out, markdown);
}

/* Has a table a value of its own? By type of the setting. */
static bool own_INTEGER(int64_t value)
{
    return value != SETTING_NO_INTEGER;
}

static bool own_REAL(double value)
{
    return !isnan(value);
}

static bool own_CHOICE(int value)
{
    return value != SETTING_NO_CHOICE;
}

struct job_optimizer job_table_optimizer(const struct job *job, int table)
{
    const struct job_optimizer *own = &job->table[table].optimizer;
    struct job_optimizer result = job->optimizer;

#define ROW(field, kind, value, ...)                                                   \
    if (own_##kind(own->field))                                                        \
        result.field = own->field;
#include "common/job_optimizer.h"
    return result;
}

bool job_column_is_key(const struct job_column *column)
{
    return column->table[0] &&
           (column->as == COLUMN_KEY ||
            (column->as == COLUMN_NUMBER && column->steps.buckets > 0));
}

int job_key_columns(const struct job *job, int *column)
{
    int n = 0;

    for (int i = 0; i < job->data.columns; i++)
        if (job_column_is_key(&job->data.column[i]))
            column[n++] = i;
    return n;
}

bool job_has_classes(const struct job *job)
{
    int loss = job->model.loss;

    return loss == LOSS_LOGISTIC || loss == LOSS_HINGE || loss == LOSS_SQUARED_HINGE;
}

uint32_t job_row_width(const struct job *job, int table)
{
    const struct job_table *t = &job->table[table];
    bool is_factors = job->model.kind == MODEL_MF &&
                      (strcmp(t->name, job->model.user) == 0 ||
                       strcmp(t->name, job->model.item) == 0);

    return (uint32_t)t->dim + (is_factors ? job->model.bias : t->bias);
}

bool job_ranks(const struct job *job)
{
    int loss = job->model.loss;

    return loss == LOSS_SAMPLED_SOFTMAX || loss == LOSS_BPR || loss == LOSS_WARP;
}

uint32_t job_group(const struct job *job)
{
    return 1 + (uint32_t)job->train.negatives;
}

int job_table_index(const struct job *job, const char *name)
{
    for (int i = 0; i < job->tables; i++) {
        if (!strcmp(job->table[i].name, name))
            return i;
    }
    return -1;
}

int job_column_index(const struct job *job, const char *name)
{
    for (int i = 0; i < job->data.columns; i++)
        if (!strcmp(job->data.column[i].name, name))
            return i;
    return -1;
}

bool job_list_next(const char **cursor, char *item, size_t size)
{
    size_t length = strcspn(*cursor, "\n");

    if (!**cursor)
        return false;
    snprintf(item, size, "%.*s", (int)length, *cursor);
    *cursor += length;
    *cursor += **cursor == '\n';
    return true;
}

int job_widths(const char *list, uint32_t *width)
{
    char item[JOB_WIDTHS_TEXT];
    int n = 0;

    while (job_list_next(&list, item, sizeof item)) {
        size_t digits = strspn(item, "0123456789");
        long value = digits > 0 && digits < 6 && !item[digits] ? atol(item) : 0;

        if (value < 1 || value > JOB_WIDTH_MAX || n == JOB_WIDTHS_MAX)
            return -1;
        width[n++] = (uint32_t)value;
    }
    return n;
}
