/* Reading a job: its file, then what the command line changes. */
#include <stdlib.h>
#include <string.h>

#include "common/file.h"
#include "common/job.h"
#include "common/settings.h"
#include "common/yaml.h"

struct reading {
    struct job *job;
    const char *path;
};

static int set_from_file(void *context, const char *path, const char *value, int line,
                         struct err *err)
{
    struct reading *reading = context;
    char where[512];

    snprintf(where, sizeof where, "%.400s line %d", reading->path, line);
    return job_set(reading->job, path, value, where, err);
}

static int read_file(struct job *job, const char *path, struct err *err)
{
    struct reading reading = {job, path};
    char *text;
    size_t size;
    int rc = file_read_all(path, YAML_SIZE_MAX, &text, &size, err);

    if (rc)
        return err_prefix(err, "job file");
    rc = yaml_flatten(text, size, path, set_from_file, &reading, err);
    free(text);
    return rc;
}

static int set_override(struct job *job, const char *override, struct err *err)
{
    const char *equals = strchr(override, '=');
    char name[SETTING_NAME_MAX];

    if (!equals || equals == override)
        return err_set(err, ERR_INPUT,
                       "command line: '%.100s' is not of the form "
                       "KEY=VALUE",
                       override);
    if ((size_t)(equals - override) >= sizeof name)
        return err_set(err, ERR_INPUT, "command line: a name is longer than %zu bytes",
                       sizeof name - 1);
    memcpy(name, override, (size_t)(equals - override));
    name[equals - override] = '\0';
    return job_set(job, name, equals + 1, "command line", err);
}

/* "movielens" for "examples/movielens.yaml" */
static void name_after_file(struct job *job, const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const char *dot = strrchr(name, '.');
    size_t length = strlen(name);

    if (dot && (!strcmp(dot, ".yaml") || !strcmp(dot, ".yml")))
        length = (size_t)(dot - name);
    snprintf(job->name, sizeof job->name, "%.*s", (int)length, name);
}

int job_load(struct job *job, const char *path, char *const overrides[], int count,
             struct err *err)
{
    int rc;

    job_init(job);
    rc = read_file(job, path, err);
    for (int i = 0; !rc && i < count; i++)
        rc = set_override(job, overrides[i], err);
    if (rc)
        return rc;
    if (!job->name[0])
        name_after_file(job, path);
    rc = job_check(job, err);
    return rc ? err_prefix(err, "%.400s", path) : 0;
}
