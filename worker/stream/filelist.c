#include "worker/stream/filelist.h"

#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/job.h"

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int add(struct filelist *list, const char *path, const char *why,
               struct err *err)
{
    char **larger = realloc(list->path, (list->files + 1) * sizeof *larger);
    char *copy = strdup(path);

    if (larger)
        list->path = larger;
    if (!larger || !copy) {
        free(copy);
        return err_set(err, ERR_MEMORY, "%s: no memory for the list of files", why);
    }
    list->path[list->files++] = copy;
    return 0;
}

/* A folder that is not there has no matches; one that cannot be read is an error. */
static int stop_at(const char *path, int number)
{
    (void)path;
    return number != ENOENT && number != ENOTDIR;
}

static int add_glob(struct filelist *list, const char *pattern, const char *why,
                    struct err *err)
{
    glob_t found = {0};
    int rc = glob(pattern, GLOB_NOSORT, stop_at, &found);

    if (rc == GLOB_NOMATCH)
        rc = err_set(err, ERR_INPUT, "%s: no file matches %s", why, pattern);
    else if (rc == GLOB_NOSPACE)
        rc = err_set(err, ERR_MEMORY, "%s: no memory for the matches of %s", why,
                     pattern);
    else if (rc != 0)
        rc = err_set(err, ERR_SYSTEM, "%s: a folder on the way to %s cannot be read",
                     why, pattern);
    else
        qsort(found.gl_pathv, found.gl_pathc, sizeof *found.gl_pathv, by_bytes);
    for (size_t i = 0; rc == 0 && i < found.gl_pathc; i++)
        rc = add(list, found.gl_pathv[i], why, err);
    globfree(&found);
    return rc;
}

static bool is_directory(const char *path)
{
    struct stat status;

    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

/* Only what is visible, and no folder in it. */
static int add_entry(struct filelist *list, const char *folder, const char *name,
                     const char *why, struct err *err)
{
    char path[JOB_PATH_MAX];
    int length = snprintf(path, sizeof path, "%s%s%s", folder,
                          folder[strlen(folder) - 1] == '/' ? "" : "/", name);

    if (name[0] == '.')
        return 0;
    if (length < 0 || (size_t)length >= sizeof path)
        return err_set(err, ERR_INPUT, "%s: a path in %.400s is longer than %zu bytes",
                       why, folder, sizeof path - 1);
    return is_directory(path) ? 0 : add(list, path, why, err);
}

static int add_directory(struct filelist *list, const char *folder, const char *why,
                         struct err *err)
{
    size_t before = list->files;
    struct dirent *entry;
    DIR *dir = opendir(folder);
    int rc = 0;

    if (!dir)
        return err_system(err, "%s: the folder %s cannot be read", why, folder);
    while (rc == 0 && (entry = readdir(dir)))
        rc = add_entry(list, folder, entry->d_name, why, err);
    closedir(dir);
    if (rc == 0 && list->files == before)
        rc = err_set(err, ERR_INPUT, "%s: the folder %s has no file", why, folder);
    if (rc == 0)
        qsort(list->path + before, list->files - before, sizeof *list->path, by_bytes);
    return rc;
}

/* What a path leads to. */
struct identity {
    dev_t device;
    ino_t number;
    const char *path, *why; /* of which list */
};

static int by_identity(const void *a, const void *b)
{
    const struct identity *x = a, *y = b;

    if (x->device != y->device)
        return x->device < y->device ? -1 : 1;
    if (x->number != y->number)
        return x->number < y->number ? -1 : 1;
    return strcmp(x->path, y->path);
}

/* Those of the list's files and pipes: how many. What is not there is somebody else's
 * business. */
static size_t identify(const struct filelist *list, const char *why,
                       struct identity *found)
{
    struct stat status;
    size_t n = 0;

    for (size_t i = 0; i < list->files; i++) {
        const char *path = list->path[i];

        if (strcmp(path, "-") == 0)
            found[n++] = (struct identity){.path = path, .why = why};
        else if (stat(path, &status) == 0 &&
                 (S_ISREG(status.st_mode) || S_ISFIFO(status.st_mode)))
            found[n++] = (struct identity){status.st_dev, status.st_ino, path, why};
    }
    return n;
}

/* Of two with one identity the first; NULL: there are none. Sorts them. */
static const struct identity *find_doubled(struct identity *found, size_t n)
{
    qsort(found, n, sizeof *found, by_identity);
    for (size_t i = 1; i < n; i++)
        if (found[i - 1].device == found[i].device &&
            found[i - 1].number == found[i].number)
            return &found[i - 1];
    return NULL;
}

/* Other names (./a, a link) of a file that is in the list, too? */
static int check_identities(const struct filelist *list, const char *why,
                            struct err *err)
{
    struct identity *found = malloc(list->files * sizeof *found);
    const struct identity *doubled;
    int rc = 0;

    if (!found)
        return err_set(err, ERR_MEMORY, "%s: no memory for the list of files", why);
    doubled = find_doubled(found, identify(list, why, found));
    if (doubled)
        rc = err_set(err, ERR_INPUT, "%s: %.400s and %.400s are the same file", why,
                     doubled[0].path, doubled[1].path);
    free(found);
    return rc;
}

static int check_apart(const struct filelist *list, const char *why,
                       const struct filelist *other, const char *other_why,
                       struct err *err)
{
    struct identity *found = malloc((list->files + other->files) * sizeof *found);
    const struct identity *doubled = NULL;
    size_t n;
    int rc = 0;

    if (!found)
        return err_set(err, ERR_MEMORY, "%s: no memory for the list of files", why);
    n = identify(list, why, found);
    n += identify(other, other_why, found + n);
#ifndef MUTANT_PARTS_APART
    doubled = find_doubled(found, n);
#endif
    if (doubled)
        rc = err_set(err, ERR_INPUT,
                     "%.400s in %s and %.400s in %s are the same file, expected in one "
                     "of them",
                     doubled[0].path, doubled[0].why, doubled[1].path, doubled[1].why);
    free(found);
    return rc;
}

int filelist_apart(const char *items, const char *why, const char *other_items,
                   const char *other_why, struct err *err)
{
    struct filelist list = {0}, other = {0};
    int rc = filelist_init(&list, items, why, err);

    if (rc == 0)
        rc = filelist_init(&other, other_items, other_why, err);
    if (rc == 0)
        rc = check_apart(&list, why, &other, other_why, err);
    filelist_release(&list);
    filelist_release(&other);
    return rc;
}

/* A file read twice would put copies of its examples into both parts of a split. */
static int check_different(const struct filelist *list, const char *why,
                           struct err *err)
{
    char **sorted = malloc(list->files * sizeof *sorted);
    int rc = 0;

    if (!sorted)
        return err_set(err, ERR_MEMORY, "%s: no memory for the list of files", why);
    memcpy(sorted, list->path, list->files * sizeof *sorted);
    qsort(sorted, list->files, sizeof *sorted, by_bytes);
    for (size_t i = 1; rc == 0 && i < list->files; i++)
        if (strcmp(sorted[i - 1], sorted[i]) == 0)
            rc = err_set(err, ERR_INPUT, "%s: %s is there twice", why, sorted[i]);
    free(sorted);
    return rc ? rc : check_identities(list, why, err);
}

int filelist_init(struct filelist *list, const char *items, const char *why,
                  struct err *err)
{
    char item[JOB_LIST_MAX];
    const char *cursor = items;
    int rc = 0;

    *list = (struct filelist){0};
    while (rc == 0 && job_list_next(&cursor, item, sizeof item)) {
        if (strpbrk(item, "*?[") && access(item, F_OK) != 0)
            rc = add_glob(list, item, why, err);
        else if (is_directory(item))
            rc = add_directory(list, item, why, err);
        else
            rc = add(list, item, why, err);
    }
    if (rc == 0 && list->files == 0)
        rc = err_set(err, ERR_INPUT, "%s names no file", why);
    if (rc == 0 && list->files > 1)
        rc = check_different(list, why, err);
    if (rc)
        filelist_release(list);
    return rc;
}

void filelist_release(struct filelist *list)
{
    for (size_t i = 0; i < list->files; i++)
        free(list->path[i]);
    free(list->path);
    *list = (struct filelist){0};
}
