#include "launch/jobfile.h"

#include "worker/blueprint.h"
#include "worker/preset.h"

/* So that what is wrong is said before anything is begun. */
static int complete(struct job *job, struct err *err)
{
    struct blueprint *blueprint;
    int rc = preset_expand(job, err);

    if (rc == 0)
        rc = blueprint_expand(job, err);
    if (rc == 0)
        rc = blueprint_make(job, &blueprint, err);
    if (rc)
        return rc;
    blueprint_destroy(blueprint);
    return job_check(job, err);
}

int jobfile_load(const struct arguments *arguments, struct job *job, struct err *err)
{
    int rc = job_load(job, arguments->operand, (char *const *)arguments->override,
                      arguments->overrides, err);

    if (rc == 0 && complete(job, err))
        rc = err_prefix(err, "%.400s", arguments->operand);
    return rc;
}
