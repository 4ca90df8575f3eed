#include "server/vectors.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "common/key.h"
#include "common/number.h"
#include "common/textfile.h"
#include "common/wording.h"

enum { DIGEST_BYTES = 1 << 20 }; /* read at once */

/* A key that was taken, and where. */
struct taken {
    uint64_t key, line;
};

struct reading {
    struct textfile *file;
    uint32_t dim, width;
    const struct vectors_sink *sink;
    char separator;
    uint32_t numbers;  /* of a line; 0 before the first */
    uint64_t vectors;  /* so far */
    uint64_t promised; /* by the first line; 0 = nothing */
    float *values;     /* [width] */
    struct taken *taken;
    uint64_t takings, room;
};

/* --- lines ----------------------------------------------------------------------- */

static int wrong_line(const struct reading *r, struct err *err, const char *what,
                      const char *text)
{
    char shown[WORDING_SHOWN_MAX];

    return err_set(err, ERR_INPUT, "%s line %" PRIu64 ": '%s' %s",
                   textfile_path(r->file), textfile_line(r->file),
                   wording_shown(text, shown), what);
}

static int wrong_length(const struct reading *r, uint64_t numbers, struct err *err)
{
    char bias[40] = "";

    if (r->numbers == 0 && r->width > r->dim)
        snprintf(bias, sizeof bias, ", or %u with the bias", r->width);
    return err_set(err, ERR_INPUT,
                   "%s line %" PRIu64 ": a vector of %" PRIu64 " numbers, expected "
                   "%u%s",
                   textfile_path(r->file), textfile_line(r->file), numbers,
                   r->numbers ? r->numbers : r->dim, bias);
}

static uint64_t count(const char *text, size_t length, char wanted)
{
    const char *end = text + length;
    uint64_t n = 0;

    while ((text = memchr(text, wanted, (size_t)(end - text)))) {
        text++;
        n++;
    }
    return n;
}

static bool is_whole(const char *text, size_t length)
{
    return length > 0 && length <= 18 && strspn(text, "0123456789") >= length;
}

static int remember(struct reading *r, uint64_t key, struct err *err)
{
    if (r->takings == r->room) {
        uint64_t room = r->room ? r->room * 2 : 4096;
        struct taken *more = realloc(r->taken, room * sizeof *more);

        if (!more)
            return err_set(err, ERR_MEMORY,
                           "%s: no memory for the keys of %" PRIu64 " vectors",
                           textfile_path(r->file), room);
        r->taken = more;
        r->room = room;
    }
    r->taken[r->takings++] = (struct taken){key, textfile_line(r->file)};
    return 0;
}

/* The numbers of a line, which are as many as they should be; separators become '\0'.
 */
static int take_numbers(struct reading *r, char *text, struct err *err)
{
    for (uint32_t i = 0; i < r->numbers; i++) {
        size_t length = strcspn(text, (char[]){r->separator, '\0'});
        enum number_found found;

        text[length] = '\0';
        found = number_parse(text, length, &r->values[i]);
        if (found != NUMBER_GOOD)
            return wrong_line(r, err,
                              found == NUMBER_NONE ? "is not a number"
                                                   : "is too large for a float",
                              text);
        text += length + 1;
    }
    return 0;
}

static int take_line(struct reading *r, char *line, size_t length, struct err *err)
{
    char *numbers = memchr(line, r->separator, length);
    size_t key_length = numbers ? (size_t)(numbers - line) : length;
    uint64_t key, n;
    int rc;

    if (r->separator == ' ' && length > 0 && line[length - 1] == ' ')
        line[--length] = '\0'; /* word2vec ends its lines so */
    n = count(line, length, r->separator);
    if (r->numbers == 0 && (n == r->dim || n == r->width))
        r->numbers = (uint32_t)n;
    if (n == 0 || n != r->numbers)
        return wrong_length(r, n, err);
    if (key_length == 0)
        return wrong_line(r, err, "has no key", line);
    r->vectors++;
    key = key_of_text(line, key_length);
    if (!r->sink->wants(r->sink->context, key))
        return 0;
    rc = take_numbers(r, line + key_length + 1, err);
    if (rc == 0)
        rc = remember(r, key, err);
    return rc ? rc : r->sink->take(r->sink->context, key, r->values, r->numbers, err);
}

/* --- the first line -------------------------------------------------------------- */

/* "400000 300": 1; 0 if it is not such a line. */
static int take_promise(struct reading *r, const char *line, size_t length,
                        struct err *err)
{
    size_t first = strcspn(line, " \t");
    const char *second = line + first + 1;
    uint64_t numbers;

    while (length > 0 && line[length - 1] == ' ')
        length--;
    if (r->dim == 1 || first >= length || !is_whole(line, first) ||
        !is_whole(second, length - first - 1))
        return 0;
    r->promised = strtoull(line, NULL, 10);
    numbers = strtoull(second, NULL, 10);
    if (numbers != r->dim && numbers != r->width)
        return wrong_length(r, numbers, err);
    return 1;
}

static bool is_csv_header(const char *line)
{
    const char *second = strchr(line, ',') + 1;
    char field[32];
    float ignored;

    snprintf(field, sizeof field, "%.*s", (int)strcspn(second, ","), second);
    return number_parse(field, strlen(field), &ignored) == NUMBER_NONE;
}

/* How the file is laid out. 1: the line says nothing else. */
static int take_first_line(struct reading *r, const char *line, size_t length,
                           struct err *err)
{
    static const char separators[] = "\t ,";

    r->separator = ' ';
    for (const char *s = separators; *s; s++)
        if (memchr(line, *s, length)) {
            r->separator = *s;
            break;
        }
    if (r->separator == ',')
        return is_csv_header(line);
    return take_promise(r, line, length, err);
}

/* --- files ----------------------------------------------------------------------- */

static int by_key(const void *a, const void *b)
{
    const struct taken *x = a, *y = b;

    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return x->line < y->line ? -1 : x->line > y->line;
}

static int check_once(struct reading *r, struct err *err)
{
    if (r->takings)
        qsort(r->taken, r->takings, sizeof *r->taken, by_key);
    for (uint64_t i = 1; i < r->takings; i++)
        if (r->taken[i].key == r->taken[i - 1].key)
            return err_set(
                err, ERR_INPUT, "%s line %" PRIu64 ": the same key as on line %" PRIu64,
                textfile_path(r->file), r->taken[i].line, r->taken[i - 1].line);
    return 0;
}

static int check_count(const struct reading *r, struct err *err)
{
    if (r->vectors == 0)
        return err_set(err, ERR_INPUT, "%s has no vectors", textfile_path(r->file));
#ifndef MUTANT_VECTORS_COUNT
    if (r->promised && r->promised != r->vectors)
        return err_set(err, ERR_INPUT,
                       "%s has %" PRIu64 " vectors, its first line says %" PRIu64
                       ": it is truncated, or another's",
                       textfile_path(r->file), r->vectors, r->promised);
#endif
    return 0;
}

static int read_lines(struct reading *r, struct err *err)
{
    size_t length;
    char *line;
    int rc;

    while ((rc = textfile_next(r->file, &line, &length, err)) > 0) {
        if (textfile_line(r->file) == 1) {
            if (length >= 3 && memcmp(line, "\xef\xbb\xbf", 3) == 0) {
                line += 3;
                length -= 3;
            }
            rc = take_first_line(r, line, length, err);
            if (rc < 0)
                return rc;
            if (rc > 0)
                continue;
        }
        rc = take_line(r, line, length, err);
        if (rc)
            return rc;
    }
    if (rc == 0)
        rc = check_count(r, err);
    return rc ? rc : check_once(r, err);
}

static int read_text(const char *path, uint32_t dim, uint32_t width,
                     const struct vectors_sink *sink, struct err *err)
{
    struct reading r = {.dim = dim, .width = width, .sink = sink};
    int rc = textfile_open(path, &r.file, err);

    if (rc)
        return rc;
    r.values = malloc((size_t)width * sizeof *r.values);
    rc = r.values ? read_lines(&r, err)
                  : err_set(err, ERR_MEMORY, "%s: no memory to read it", path);
    textfile_close(r.file);
    free(r.values);
    free(r.taken);
    return rc;
}

int vectors_read(const char *path, uint32_t dim, uint32_t width,
                 const struct vectors_sink *sink, struct err *err)
{
    bool npy = false;
    int rc = vectors_are_npy(path, &npy, err);

    if (rc)
        return rc;
    return (npy ? vectors_read_npy : read_text)(path, dim, width, sink, err);
}

/* --- which file it is ------------------------------------------------------------- */

static int digest_bytes(int fd, const char *path, XXH3_state_t *state, char *buffer,
                        struct err *err)
{
    for (;;) {
        ssize_t n = read(fd, buffer, DIGEST_BYTES);

        if (n < 0)
            return err_system(err, "cannot read %s", path);
        if (n == 0)
            return 0;
        XXH3_64bits_update(state, buffer, (size_t)n);
    }
}

static int digest_file(int fd, const char *path, uint64_t *digest, struct err *err)
{
    XXH3_state_t *state = XXH3_createState();
    char *buffer = malloc(DIGEST_BYTES);
    int rc;

    if (!state || !buffer || XXH3_64bits_reset(state) != XXH_OK)
        rc = err_set(err, ERR_MEMORY, "no memory to read %s", path);
    else
        rc = digest_bytes(fd, path, state, buffer, err);
    if (rc == 0)
        *digest = XXH3_64bits_digest(state);
    XXH3_freeState(state);
    free(buffer);
    return rc;
}

/* XXH3-64 of the file as it lies there, packed or not. */
static int digest_path(const char *path, uint64_t *digest, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), rc;
    struct stat info;

    if (fd < 0) {
        err_system(err, "cannot read %s", path);
        err->code = ERR_INPUT;
        return -ERR_INPUT;
    }
    if (fstat(fd, &info) || !S_ISREG(info.st_mode))
        rc = err_set(err, ERR_INPUT, "%s is not a file", path);
    else
        rc = digest_file(fd, path, digest, err);
    close(fd);
    return rc;
}

int vectors_check(const struct job_table *table, struct err *err)
{
    char text[sizeof table->vectors_digest];
    uint64_t digest;

    if (digest_path(table->vectors, &digest, err))
        return err_prefix(err, "tables.%s.vectors", table->name);
    snprintf(text, sizeof text, "%016" PRIx64, digest);
#ifndef MUTANT_VECTORS_DIGEST
    if (strcmp(text, table->vectors_digest) != 0)
        return err_set(err, ERR_INPUT,
                       "tables.%s.vectors: the digest of %s is %s, expected %s: it is "
                       "another file",
                       table->name, table->vectors, text, table->vectors_digest);
#endif
    return 0;
}

int vectors_pin(struct job *job, struct err *err)
{
    for (int t = 0; t < job->tables; t++) {
        struct job_table *table = &job->table[t];
        uint64_t digest;
        int rc;

        if (!table->vectors[0])
            continue;
        if (table->vectors_digest[0]) {
            rc = vectors_check(table, err);
            if (rc)
                return rc;
            continue;
        }
        if (digest_path(table->vectors, &digest, err))
            return err_prefix(err, "tables.%s.vectors", table->name);
        snprintf(table->vectors_digest, sizeof table->vectors_digest, "%016" PRIx64,
                 digest);
    }
    return 0;
}
