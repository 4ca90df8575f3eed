#include "worker/team.h"

#include <stdlib.h>
#include <string.h>

#include "common/rng.h"
#include "worker/crew.h"

enum {
    LANES = 2,
    /* Multiply-adds of a batch below which lanes cost more than they save: those for
     * each number of its gradients, which are zeroed and added up once more, and those
     * for the threads to meet. */
    WORK_A_GRADIENT = 16,
    WORK_A_STEP = 4 << 20,
    CHUNK = 1 << 12, /* numbers of a gradient that a lane adds up at a time */
};

struct lane {
    struct learner *learner;
    struct batch batch;              /* its part of the team's batch; it owns nothing */
    float *gradient[JOB_TABLES_MAX]; /* of lane 0: the caller's */
    double loss;
};

struct team {
    struct crew *crew;
    const struct layer_kernels *k;
    struct lane lane[LANES];
    uint64_t seed;
};

static uint64_t gradients(const struct blueprint *blueprint, uint32_t capacity)
{
    uint64_t floats = 0;

    for (int t = 0; t < blueprint->job->tables; t++)
        floats += blueprint_rows(blueprint, t, capacity) *
                  job_row_width(blueprint->job, t);
    return floats;
}

bool team_pays(const struct blueprint *blueprint, const struct learner *learner)
{
    uint32_t capacity = blueprint_capacity(blueprint);
    uint64_t work = learner_work(learner) * capacity;

    return work > WORK_A_STEP + WORK_A_GRADIENT * gradients(blueprint, capacity);
}

static int create_lane(struct lane *lane, const struct blueprint *blueprint,
                       uint32_t capacity, struct err *err)
{
    int rc = learner_create(blueprint, capacity, true, &lane->learner, err);

    for (int t = 0; rc == 0 && t < blueprint->job->tables; t++) {
        lane->gradient[t] = malloc((blueprint_rows(blueprint, t, capacity) + 1) *
                                   job_row_width(blueprint->job, t) * sizeof(float));
        if (!lane->gradient[t])
            rc = err_set(err, ERR_MEMORY, "no memory for gradients");
    }
    return rc;
}

int team_create(const struct blueprint *blueprint, uint32_t capacity,
                struct learner *learner, uint32_t threads, struct team **out,
                struct err *err)
{
    struct team *team = calloc(1, sizeof *team);
    int rc;

    *out = NULL;
    if (!team)
        return err_set(err, ERR_MEMORY, "no memory for a team");
    team->k = layer_kernels(cpu_level());
    team->lane[0].learner = learner;
    rc = crew_create(threads < LANES ? threads : LANES, &team->crew, err);
    for (uint32_t l = 1; rc == 0 && l < LANES; l++)
        rc = create_lane(&team->lane[l], blueprint, capacity, err);
    if (rc) {
        team_destroy(team);
        return rc;
    }
    *out = team;
    return 0;
}

void team_destroy(struct team *team)
{
    if (!team)
        return;
    crew_destroy(team->crew);
    for (uint32_t l = 1; l < LANES; l++) {
        learner_destroy(team->lane[l].learner);
        for (int t = 0; t < JOB_TABLES_MAX; t++)
            free(team->lane[l].gradient[t]);
    }
    free(team);
}

void team_set_mean(struct team *team, double label_mean)
{
    for (uint32_t l = 0; l < LANES; l++)
        learner_set_mean(team->lane[l].learner, label_mean);
}

/* Examples first .. first + n - 1 of a batch, with its rows. */
static void take_part(struct batch *part, const struct batch *whole, uint32_t first,
                      uint32_t n)
{
    *part = *whole;
    part->n = n;
    part->label += first;
    part->weight += first;
    if (part->target_offset)
        part->target_offset += first;
    for (uint32_t i = 0; i < whole->blueprint->inputs; i++) {
        const struct blueprint_input *in = &whole->blueprint->input[i];

        if (in->kind == LAYER_NUMBERS)
            part->input[i].number += (size_t)first * in->width;
        else if (in->kind == LAYER_BAG)
            part->input[i].offset += first;
        else
            part->input[i].pos += (size_t)first * in->steps;
    }
}

/* Whole groups, as evenly as they can be. */
static uint32_t first_of(const struct batch *batch, uint32_t lane)
{
    uint64_t groups = batch->n / batch->group;

    return (uint32_t)(groups * lane / LANES) * batch->group;
}

static void compute(void *of, uint32_t l)
{
    struct team *team = of;
    struct lane *lane = &team->lane[l];

    /* Lanes number their examples alike, but are not to drop alike. */
    lane->loss = learner_step(lane->learner, &lane->batch, rng_at(team->seed, l, 0),
                              lane->gradient);
}

/* Adds the other lanes' gradients to the first one's; each lane its share of them. */
static void add_up(void *of, uint32_t l)
{
    struct team *team = of;
    const struct batch *batch = &team->lane[0].batch;

    for (uint32_t t = 0; t < batch->tables; t++) {
        size_t floats = (size_t)batch->set[t].rows * batch->width[t];

        for (size_t at = (size_t)l * CHUNK; at < floats; at += (size_t)LANES * CHUNK)
            for (uint32_t other = 1; other < LANES; other++)
                team->k->add(team->lane[other].gradient[t] + at,
                             floats - at < CHUNK ? (uint32_t)(floats - at) : CHUNK,
                             team->lane[0].gradient[t] + at);
    }
}

double team_step(struct team *team, const struct batch *batch, uint64_t seed,
                 float *const *gradient)
{
    double loss = 0;

    team->seed = seed;
    for (uint32_t l = 0; l < LANES; l++) {
        uint32_t first = first_of(batch, l);
        uint32_t end = l + 1 < LANES ? first_of(batch, l + 1) : batch->n;

        take_part(&team->lane[l].batch, batch, first, end - first);
    }
    memcpy(team->lane[0].gradient, gradient, batch->tables * sizeof *gradient);
    crew_run(team->crew, LANES, compute, team);
    crew_run(team->crew, LANES, add_up, team);
    for (uint32_t l = 0; l < LANES; l++)
        loss += team->lane[l].loss;
    return loss;
}
