/* Questions about the layers of a blueprint. */
#include <string.h>

#include "common/wording.h"
#include "worker/blueprint_parts.h"

static int find_layer(const struct blueprint *blueprint, const char *name)
{
    for (uint32_t i = 0; i < blueprint->layers; i++)
        if (!strcmp(blueprint->layer[i].name, name))
            return (int)i;
    return -1;
}

int blueprint_watch(struct blueprint *blueprint, const char *layer, uint32_t *output,
                    struct err *err)
{
    const char *nearest = blueprint->layer[0].name;
    int found = find_layer(blueprint, layer);
    char shown[WORDING_SHOWN_MAX];

    for (uint32_t i = 1; found < 0 && i < blueprint->layers; i++)
        if (wording_distance(blueprint->layer[i].name, layer) <
            wording_distance(nearest, layer))
            nearest = blueprint->layer[i].name;
    if (found < 0)
        return err_set(err, ERR_INPUT,
                       "the model has no layer '%s'; the nearest name is '%s'",
                       wording_shown(layer, shown), nearest);
    for (*output = 0; *output < blueprint->outputs; ++*output)
        if (!strcmp(blueprint->output[*output], layer))
            return 0;
    blueprint->output[blueprint->outputs++] = blueprint->layer[found].name;
    return 0;
}

/* The number of an input layer among the inputs. */
static uint32_t input_number(const struct blueprint *blueprint, uint32_t layer)
{
    uint32_t number = 0;

    for (uint32_t i = 0; i < layer; i++)
        number += blueprint_is_input(blueprint->layer[i].kind);
    return number;
}

static bool input_uses(const struct blueprint_input *input, const bool *column)
{
    for (uint32_t c = 0; c < input->columns; c++)
        if (column[input->column[c]])
            return true;
    return false;
}

/* seen[layers]: those that have been asked already. */
static bool layer_uses(const struct blueprint *blueprint, const char *name,
                       const bool *column, bool *seen)
{
    int i = find_layer(blueprint, name);
    const struct graph_layer *layer = &blueprint->layer[i < 0 ? 0 : i];

    if (i < 0 || seen[i])
        return false;
    seen[i] = true;
    if (blueprint_is_input(layer->kind))
        return input_uses(&blueprint->input[input_number(blueprint, (uint32_t)i)],
                          column);
    for (uint32_t n = 0; n < GRAPH_INPUTS_MAX && layer->input[n]; n++)
        if (layer_uses(blueprint, layer->input[n], column, seen))
            return true;
    return false;
}

bool blueprint_layer_uses(const struct blueprint *blueprint, const char *layer,
                          const bool *column)
{
    bool seen[JOB_LAYERS_MAX + 1] = {false};

    return layer_uses(blueprint, layer, column, seen);
}

bool blueprint_is_product(const struct blueprint *blueprint)
{
    bool items[JOB_COLUMNS_MAX] = {false}, others[JOB_COLUMNS_MAX] = {false};

    /* The one that somebody watches may be a fourth, or the second behind a score. */
    if (blueprint->outputs < 3 || strcmp(blueprint->output[0], "(score)") != 0)
        return false;
    for (int c = 0; c < blueprint->job->data.columns; c++) {
        others[c] = !job_column_is_items(blueprint->job, c);
        items[c] = !others[c] || job_column_is_mixed(blueprint->job, c);
    }
    return !blueprint_layer_uses(blueprint, blueprint->output[1], items) &&
           !blueprint_layer_uses(blueprint, blueprint->output[2], others);
}
