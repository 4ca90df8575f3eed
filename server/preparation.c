#include "server/preparation.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "common/file.h"

enum { PATH_BYTES = 4096 };

static int join(char *path, const char *dir, const char *name, struct err *err)
{
    int n = snprintf(path, PATH_BYTES, "%s/%s", dir, name);

    if (n < 0 || n >= PATH_BYTES)
        return err_set(err, ERR_INPUT, "the path %.100s.../%.100s is too long", dir,
                       name);
    return 0;
}

static int read_checked(const char *path, const struct data_facts *facts,
                        unsigned char **bytes, struct err *err)
{
    size_t size;
    char *read;
    int rc = file_read_all(path, facts->preparation_bytes, &read, &size, err);

    *bytes = NULL;
    if (rc == -ERR_INPUT)
        err->code = ERR_DAMAGE; /* it was there once */
    if (rc)
        return -err->code;
#ifndef MUTANT_PREPARATION_DIGEST
    if (size != facts->preparation_bytes ||
        XXH3_64bits(read, size) != facts->preparation_digest) {
        free(read);
        return err_set(err, ERR_DAMAGE,
                       "%s is damaged: it has %zu bytes, expected %llu with the "
                       "checksum %016llx",
                       path, size, (unsigned long long)facts->preparation_bytes,
                       (unsigned long long)facts->preparation_digest);
    }
#endif
    *bytes = (unsigned char *)read;
    return 0;
}

int preparation_read(const char *path, const struct data_facts *facts,
                     unsigned char **bytes, struct err *err)
{
    char file[PATH_BYTES];
    unsigned char *read;
    int rc = join(file, path, "preparation", err);

    if (rc == 0)
        rc = read_checked(file, facts, &read, err);
    if (rc)
        return rc;
    if (bytes)
        *bytes = read;
    else
        free(read);
    return 0;
}

/* Those of runs before, whose checkpoints have them. */
static void remove_others(const char *dir, const char *name)
{
    DIR *stream = opendir(dir);
    struct dirent *found;
    char path[PATH_BYTES];
    struct err ignored;

    while (stream && (found = readdir(stream))) {
        char again[PREPARATION_NAME_MAX];
        unsigned long long digest;

        if (sscanf(found->d_name, "preparation-%llx", &digest) != 1)
            continue;
        preparation_name(digest, again);
        if (strcmp(found->d_name, again) == 0 && strcmp(found->d_name, name) != 0 &&
            join(path, dir, found->d_name, &ignored) == 0)
            unlink(path);
    }
    if (stream)
        closedir(stream);
}

int preparation_keep(const char *dir, const char *path, const struct data_facts *facts,
                     struct err *err)
{
    char from[PATH_BYTES], to[PATH_BYTES], name[PREPARATION_NAME_MAX];
    unsigned char *bytes;
    int rc;

    if (facts->preparation_bytes == 0)
        return 0;
    preparation_name(facts->preparation_digest, name);
    if (join(from, dir, name, err) || join(to, path, "preparation", err))
        return -err->code;
    rc = read_checked(from, facts, &bytes, err);
    if (rc)
        return err_prefix(err,
                          "the preparation that worker 0 has put into checkpoint.dir");
    rc = file_write_atomic(to, bytes, facts->preparation_bytes, err);
    free(bytes);
    if (rc == 0)
        remove_others(dir, name);
    return rc;
}
