/* What presets expand to. */
#include "worker/preset.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "worker/blueprint.h"

struct fixture {
    struct job job;
    struct err err;
    char text[8192];
};

/* Two sides, the item's with a side table; all kinds of columns. */
static const char *const everything[] = {
    "name=test",
    "data.train=a.tsv",
    "data.label=y",
    "data.time=at",
    "data.weight=w",
    "data.columns.u.table=user",
    "data.columns.i.table=item",
    "data.sides.films.files=f.tsv",
    "data.sides.films.key=i",
    "data.columns.genre.table=genre",
    "data.columns.genre.from=films",
    "data.columns.tags.as=keys",
    "data.columns.tags.table=tag",
    "data.columns.tags.from=films",
    "data.columns.year.as=number",
    "data.columns.year.from=films",
    "data.columns.age.as=number",
    "data.columns.v.as=vector",
    "data.columns.v.dim=5",
    "data.columns.hour.table=genre",
    "data.columns.at.as=number",
    "data.columns.w.as=number",
    "tables.user.dim=8",
    "tables.item.dim=8",
    "tables.genre.dim=8",
    "tables.tag.dim=8",
    NULL,
};

static const char *const only_keys[] = {
    "name=test",
    "data.train=a.tsv",
    "data.label=y",
    "data.columns.a.table=t",
    "data.columns.b.table=t",
    "tables.t.dim=4",
    NULL,
};

static const char *const only_numbers[] = {
    "name=test",
    "data.train=a.tsv",
    "data.label=y",
    "data.columns.x.as=number",
    "data.columns.z.as=number",
    NULL,
};

/* Ratings of users, who have a row each. */
static const char *const ratings[] = {
    "name=test",
    "data.train=a.tsv",
    "data.label=y",
    "data.columns.u.table=user",
    "data.columns.i.table=item",
    "data.group=i",
    "model.target=u",
    "tables.user.rows=50",
    "tables.user.dim=3",
    "tables.item.dim=1",
    NULL,
};

static int make_fixture(void **state)
{
    *state = calloc(1, sizeof(struct fixture));
    return *state ? 0 : -1;
}

static int drop_fixture(void **state)
{
    free(*state);
    return 0;
}

static void set(struct fixture *f, const char *setting)
{
    const char *equals = strchr(setting, '=');
    char name[200];

    snprintf(name, sizeof name, "%.*s", (int)(equals - setting), setting);
    job_set(&f->job, name, equals + 1, "test", &f->err);
    assert_string_equal(f->err.text, "");
}

/* `more`: settings with a blank between them. */
static void start(struct fixture *f, const char *const *settings, const char *more)
{
    char copy[400], *one, *rest = copy;

    memset(&f->err, 0, sizeof f->err);
    job_init(&f->job);
    for (; *settings; settings++)
        set(f, *settings);
    snprintf(copy, sizeof copy, "%s", more);
    while ((one = strsep(&rest, " ")))
        set(f, one);
    job_check(&f->job, &f->err);
    assert_string_equal(f->err.text, "");
}

/* As launch/jobfile.c does. */
static void expand(struct fixture *f)
{
    struct blueprint *blueprint = NULL;
    int rc = preset_expand(&f->job, &f->err);

    assert_string_equal(f->err.text, "");
    assert_int_equal(rc, 0);
    blueprint_expand(&f->job, &f->err);
    assert_string_equal(f->err.text, "");
    blueprint_make(&f->job, &blueprint, &f->err);
    assert_string_equal(f->err.text, "");
    blueprint_destroy(blueprint);
    job_check(&f->job, &f->err);
    assert_string_equal(f->err.text, "");
}

/* "name kind input,input; " for each layer, or its columns. */
static const char *graph_of(struct fixture *f)
{
    size_t length = 0;

    f->text[0] = '\0';
    for (int i = 0; i < f->job.model.layers; i++) {
        const struct job_layer *layer = &f->job.model.layer[i];
        size_t from;

        length += (size_t)snprintf(f->text + length, sizeof f->text - length, "%s %s ",
                                   layer->name,
                                   layer_kind_name((enum layer_kind)layer->kind));
        from = length;
        length += (size_t)snprintf(f->text + length, sizeof f->text - length, "%s%s",
                                   layer->inputs, layer->columns);
        for (; from < length; from++)
            if (f->text[from] == '\n')
                f->text[from] = ',';
        length += (size_t)snprintf(f->text + length, sizeof f->text - length, "; ");
    }
    return f->text;
}

/* `more` of `settings` becomes `graph`; once it is in lines, as in a checkpoint, it
 * stays. */
static void becomes(struct fixture *f, const char *const *settings, const char *more,
                    const char *graph)
{
    char *before, *after;

    start(f, settings, more);
    expand(f);
    assert_string_equal(graph_of(f), graph);
    before = job_to_lines(&f->job);
    assert_int_equal(job_from_lines(&f->job, before, &f->err), 0);
    expand(f);
    after = job_to_lines(&f->job);
    assert_string_equal(after, before);
    free(after);
    start(f, settings, more);
    expand(f);
    assert_int_equal(job_continues(&f->job, before, &f->err), 0);
    free(before);
}

static void refuses(struct fixture *f, const char *const *settings, const char *more,
                    const char *sentence)
{
    start(f, settings, more);
    assert_int_equal(preset_expand(&f->job, &f->err), -ERR_INPUT);
    assert_string_equal(f->err.text, sentence);
}

static const struct job_layer *layer(struct fixture *f, const char *name)
{
    for (int i = 0; i < f->job.model.layers; i++)
        if (!strcmp(f->job.model.layer[i].name, name))
            return &f->job.model.layer[i];
    fail_msg("there is no layer %s", name);
    return NULL;
}

static const struct job_table *table(struct fixture *f, const char *name)
{
    int t = job_table_index(&f->job, name);

    if (t < 0)
        fail_msg("there is no table %s", name);
    return &f->job.table[t];
}

/* --- popularity --------------------------------------------------------------------
 */

static void popularity_is_a_row_of_one_number(void **state)
{
    struct fixture *f = *state;

    becomes(f, everything,
            "model.kind=popularity train.epochs=1 optimizer.l2=0.1 optimizer.clip=1 "
            "tables.item.bias=true",
            "popularity rows i; ");
    assert_int_equal(table(f, "item")->dim, 1);
    assert_int_equal(table(f, "item")->init, INIT_ZERO);
    assert_int_equal(table(f, "item")->optimizer.kind, OPTIMIZER_ADD);
    assert_int_equal(table(f, "user")->dim, 8);
}

/* --- linear ------------------------------------------------------------------------
 */

static void linear_has_a_weight_for_each_key(void **state)
{
    struct fixture *f = *state;

    becomes(f, only_keys, "model.kind=linear",
            "rows1 rows a,b; linear pool rows1; score bias linear; ");
    assert_int_equal(table(f, "t")->dim, 1);
    assert_int_equal(table(f, "t")->init, INIT_ZERO);
    assert_int_equal(table(f, "score")->rows, 1);
    becomes(f, only_numbers, "model.kind=linear",
            "numbers numbers x,z; linear-numbers dense numbers; ");
    assert_int_equal(table(f, "linear-numbers")->rows, 3);
    becomes(f, everything, "model.kind=linear model.loss=hinge",
            "rows1 rows u; rows2 rows i; rows3 rows genre,hour; bag4 bag tags; "
            "weights stack rows1,rows2,rows3,bag4; linear pool weights; "
            "numbers numbers year,age,v; linear-numbers dense numbers; "
            "score add linear,linear-numbers; ");
    assert_int_equal(layer(f, "bag4")->pool, POOL_SUM);
}

static void a_single_list_is_the_sum_of_its_weights(void **state)
{
    struct fixture *f = *state;

    start(f, only_numbers,
          "model.kind=linear data.columns.x.as=keys "
          "data.columns.x.table=t tables.t.dim=1 model.length=700");
    expand(f);
    assert_string_equal(graph_of(f),
                        "bag1 bag x; numbers numbers z; linear-numbers dense numbers; "
                        "score add bag1,linear-numbers; ");
    assert_int_equal(layer(f, "bag1")->length, 700);
}

/* --- factors -----------------------------------------------------------------------
 */

static void fm_has_pairs_and_weights(void **state)
{
    struct fixture *f = *state;

    becomes(f, only_keys, "model.kind=fm",
            "rows1 rows a,b; fm fm rows1; weights1 rows a,b; linear pool weights1; "
            "sum add fm,linear; score bias sum; ");
    assert_true(table(f, "t")->bias);
    assert_int_equal(layer(f, "rows1")->width, 4);
    assert_int_equal(layer(f, "weights1")->first, 4);
    assert_int_equal(layer(f, "weights1")->width, 1);
    becomes(f, everything, "model.kind=fm",
            "numbers numbers year,age,v; numbers-embedding dense numbers; "
            "rows1 rows u; rows2 rows i; rows3 rows genre,hour; bag4 bag tags; "
            "fields stack rows1,rows2,rows3,bag4,numbers-embedding; fm fm fields; "
            "weights1 rows u; weights2 rows i; weights3 rows genre,hour; "
            "weights4 bag tags; weights stack weights1,weights2,weights3,weights4; "
            "linear pool weights; linear-numbers dense numbers; "
            "score add fm,linear,linear-numbers; ");
    assert_int_equal(layer(f, "bag4")->pool, POOL_MEAN);
    assert_int_equal(layer(f, "weights4")->pool, POOL_SUM);
    assert_int_equal(layer(f, "numbers-embedding")->width, 8);
}

static void deepfm_has_deep_layers_beside(void **state)
{
    struct fixture *f = *state;

    becomes(f, only_keys,
            "model.kind=deepfm model.hidden=400,300 model.activation=tanh",
            "rows1 rows a,b; fm fm rows1; weights1 rows a,b; linear pool weights1; "
            "flat flatten rows1; deep1 dense flat; deep2 dense deep1; top dense deep2; "
            "score add fm,linear,top; ");
    assert_int_equal(layer(f, "deep1")->width, 400);
    assert_int_equal(layer(f, "deep1")->activation, ACTIVATION_TANH);
    assert_int_equal(layer(f, "deep2")->width, 300);
    assert_int_equal(layer(f, "top")->activation, ACTIVATION_LINEAR);
    assert_int_equal(table(f, "deep2")->rows, 401);
    becomes(f, everything, "model.kind=deepfm model.hidden=",
            "numbers numbers year,age,v; numbers-embedding dense numbers; "
            "rows1 rows u; rows2 rows i; rows3 rows genre,hour; bag4 bag tags; "
            "fields stack rows1,rows2,rows3,bag4,numbers-embedding; fm fm fields; "
            "weights1 rows u; weights2 rows i; weights3 rows genre,hour; "
            "weights4 bag tags; weights stack weights1,weights2,weights3,weights4; "
            "linear pool weights; linear-numbers dense numbers; "
            "flat flatten fields; input concat flat,numbers; top dense input; "
            "score add fm,linear,linear-numbers,top; ");
}

static void mf_may_have_features(void **state)
{
    struct fixture *f = *state;

    becomes(f, everything, "model.features=true model.bias=false",
            "user-numbers numbers age,v; user-numbers-embedding dense user-numbers; "
            "user-rows1 rows u; user-rows2 rows hour; "
            "user-fields stack user-rows1,user-rows2,user-numbers-embedding; "
            "user-vector pool user-fields; "
            "item-numbers numbers year; item-numbers-embedding dense item-numbers; "
            "item-rows1 rows i; item-rows2 rows genre; item-bag3 bag tags; "
            "item-fields stack item-rows1,item-rows2,item-bag3,item-numbers-embedding; "
            "item-vector pool item-fields; ");
    assert_string_equal(f->job.model.output, "user-vector\nitem-vector");
    assert_int_equal(f->job.model.kind, MODEL_GRAPH);
    start(f, everything, "model.features=true");
    expand(f);
    assert_non_null(strstr(graph_of(f),
                           "product dot user-vector,item-vector; score add user-linear,"
                           "user-linear-numbers,item-linear,item-linear-numbers,"
                           "product; "));
    assert_true(table(f, "genre")->bias);
    start(f, everything, "model.features=false");
    expand(f);
    assert_int_equal(f->job.model.kind, MODEL_MF);
    assert_int_equal(f->job.model.layers, 0);
}

/* --- deep --------------------------------------------------------------------------
 */

static void widedeep_takes_embeddings_of_any_widths(void **state)
{
    struct fixture *f = *state;

    becomes(f, only_keys, "model.kind=widedeep model.hidden=5",
            "rows1 rows a,b; flat flatten rows1; deep1 dense flat; top dense deep1; "
            "weights1 rows a,b; linear pool weights1; score add top,linear; ");
    becomes(f, only_numbers, "model.kind=widedeep model.hidden=5",
            "numbers numbers x,z; deep1 dense numbers; top dense deep1; ");
    start(f, everything, "model.kind=widedeep model.hidden=5 tables.tag.dim=3");
    expand(f);
    assert_non_null(strstr(
        graph_of(f), "rows1 rows u; rows2 rows i; rows3 rows genre; rows4 rows hour; "
                     "bag5 bag tags; "
                     "input concat rows1,rows2,rows3,rows4,bag5,numbers; "));
    assert_int_equal(table(f, "deep1")->rows, 4 * 8 + 3 + 7 + 1);
}

static void dcn_crosses_beside_the_deep_layers(void **state)
{
    struct fixture *f = *state;

    becomes(f, only_keys, "model.kind=dcn model.cross=2 model.hidden=7",
            "rows1 rows a,b; flat flatten rows1; cross1 cross flat; "
            "cross2 cross flat,cross1; deep1 dense flat; ends concat cross2,deep1; "
            "score dense ends; ");
    becomes(f, only_numbers, "model.kind=dcn model.cross=1 model.hidden=",
            "numbers numbers x,z; cross1 cross numbers; score dense cross1; ");
}

static void dlrm_has_numbers_among_its_pairs(void **state)
{
    struct fixture *f = *state;

    becomes(f, everything,
            "model.kind=dlrm model.bottom=20 model.hidden=9 model.dropout=0.25",
            "numbers numbers year,age,v; bottom1 dense numbers; "
            "bottom1-dropout dropout bottom1; bottom dense bottom1-dropout; "
            "bottom-dropout dropout bottom; rows1 rows u; rows2 rows i; "
            "rows3 rows genre,hour; bag4 bag tags; "
            "fields stack rows1,rows2,rows3,bag4,bottom-dropout; pairs pairs fields; "
            "input concat bottom-dropout,pairs; deep1 dense input; "
            "deep1-dropout dropout deep1; score dense deep1-dropout; ");
    assert_int_equal(layer(f, "bottom")->width, 8);
    assert_true(layer(f, "bottom-dropout")->drop == 0.25);
    becomes(
        f, only_keys, "model.kind=dlrm model.hidden=9",
        "rows1 rows a,b; pairs pairs rows1; deep1 dense pairs; score dense deep1; ");
}

static void ncf_models_are_of_user_and_item(void **state)
{
    struct fixture *f = *state;

    becomes(f, everything, "model.kind=gmf",
            "user rows u; item rows i; product multiply user,item; score dense "
            "product; ");
    becomes(f, everything, "model.kind=mlp model.hidden=6",
            "user rows u; item rows i; input concat user,item; deep1 dense input; "
            "score dense deep1; ");
    becomes(f, everything, "model.kind=neumf model.hidden=6,3",
            "user rows u; user-deep rows u; item rows i; item-deep rows i; "
            "product multiply user,item; input concat user-deep,item-deep; "
            "deep1 dense input; deep2 dense deep1; ends concat product,deep2; "
            "score dense ends; ");
    assert_int_equal(layer(f, "user")->width, 3);
    assert_int_equal(layer(f, "item-deep")->first, 3);
    assert_int_equal(layer(f, "item-deep")->width, 5);
    start(f, everything, "model.kind=neumf model.hidden=6,3 model.width=7");
    expand(f);
    assert_int_equal(layer(f, "item-deep")->first, 7);
    refuses(f, everything, "model.kind=neumf model.hidden=6 tables.item.dim=6",
            "tables.item.dim is 6, expected more than 6: so many numbers of an "
            "embedding are for the product of neumf, the rest for its deep layers");
}

static void towers_have_a_vector_each(void **state)
{
    struct fixture *f = *state;

    becomes(f, everything, "model.kind=twotower model.hidden=6 model.batch_norm=true",
            "user-numbers numbers age,v; user-rows1 rows u; user-rows2 rows hour; "
            "user-fields stack user-rows1,user-rows2; user-flat flatten user-fields; "
            "user-input concat user-flat,user-numbers; user-deep1 dense user-input; "
            "user-deep1-norm batch_norm user-deep1; "
            "user-deep1-function activation user-deep1-norm; "
            "user-vector dense user-deep1-function; "
            "item-numbers numbers year; item-rows1 rows i; item-rows2 rows genre; "
            "item-bag3 bag tags; item-fields stack item-rows1,item-rows2,item-bag3; "
            "item-flat flatten item-fields; item-input concat item-flat,item-numbers; "
            "item-deep1 dense item-input; item-deep1-norm batch_norm item-deep1; "
            "item-deep1-function activation item-deep1-norm; "
            "item-vector dense item-deep1-function; ");
    assert_string_equal(f->job.model.output, "user-vector\nitem-vector");
    assert_int_equal(layer(f, "user-vector")->width, 8);
    assert_int_equal(layer(f, "user-deep1")->activation, ACTIVATION_LINEAR);
    assert_int_equal(layer(f, "user-deep1-function")->activation, ACTIVATION_RELU);
    start(f, everything,
          "model.kind=twotower data.columns.both.make=cross "
          "data.columns.both.of=i,genre data.columns.both.table=genre");
    expand(f);
    assert_non_null(strstr(graph_of(f), "item-rows2 rows genre,both; "));
    start(f, everything, "model.kind=twotower model.width=12");
    expand(f);
    assert_int_equal(layer(f, "item-vector")->width, 12);
}

/* More pieces than one layer takes. */
static void many_fields_are_joined_in_steps(void **state)
{
    struct fixture *f = *state;
    char setting[64];

    start(f, only_numbers, "model.kind=dcn model.cross=1 model.hidden=");
    for (int i = 0; i < 40; i++) {
        snprintf(setting, sizeof setting, "data.columns.k%d.table=t%d", i, i % 2);
        set(f, setting);
    }
    set(f, "tables.t0.dim=2");
    set(f, "tables.t1.dim=3");
    expand(f);
    assert_int_equal(table(f, "cross1")->dim, 20 * 2 + 20 * 3 + 2);
    assert_non_null(strstr(graph_of(f), "input concat input-1,input-2,input-3; "));
}

/* As Criteo's logs have them: 13 numbers, and 26 keys with a table each. */
static void many_tables_have_room(void **state)
{
    static const char *const kind[] = {"linear",   "fm",  "deepfm",
                                       "widedeep", "dcn", "dlrm"};
    struct fixture *f = *state;
    char setting[64];

    for (size_t k = 0; k < sizeof kind / sizeof *kind; k++) {
        snprintf(setting, sizeof setting, "model.kind=%s model.batch_norm=true",
                 kind[k]);
        start(f, only_numbers, setting);
        for (int i = 0; i < 26; i++) {
            snprintf(setting, sizeof setting, "data.columns.C%d.table=c%d", i, i);
            set(f, setting);
            snprintf(setting, sizeof setting, "tables.c%d.dim=16", i);
            set(f, setting);
        }
        expand(f);
    }
}

/* --- what is wrong -----------------------------------------------------------------
 */

static void errors_are_sentences(void **state)
{
    struct fixture *f = *state;

    refuses(f, only_keys, "model.kind=fm model.layers.extra.width=1",
            "model.kind is fm, which makes its layers itself, but model.layers has "
            "'extra'; with graph all layers are the job's");
    start(f, only_numbers, "model.kind=linear");
    f->job.data.columns = 0;
    assert_int_equal(preset_expand(&f->job, &f->err), -ERR_INPUT);
    assert_string_equal(f->err.text,
                        "model.kind is linear, but data.columns has no key, keys, "
                        "number or vector for it");
    start(f, everything, "model.kind=fm tables.item.dim=4");
    assert_int_equal(preset_expand(&f->job, &f->err), 0);
    assert_int_equal(blueprint_expand(&f->job, &f->err), -ERR_INPUT);
    assert_string_equal(f->err.text,
                        "model.layers: layer 'fields' (stack) takes inputs of one "
                        "width, but 'rows1' is 1 x 8 and 'rows2' is 1 x 4");
}

/* What the job's optimizer does is for rows of keys, as far as penalties go; and for
 * running means nothing of it. */
static void parameters_have_an_optimizer(void **state)
{
    static const char *const optimizers[] = {
        "optimizer.schedule=cosine optimizer.schedule_steps=100",
        "optimizer.warmup=3",
        "optimizer.clip=1",
        "optimizer.clip_norm=1",
        "optimizer.max_norm=3",
        "optimizer.kind=adamw optimizer.decay=0.01 optimizer.l2=0",
        "optimizer.stale_rate=inverse",
        "optimizer.compensate=0.1",
        "optimizer.kind=sgd optimizer.l1=0.1",
    };
    struct fixture *f = *state;
    char settings[300];

    for (size_t i = 0; i < sizeof optimizers / sizeof *optimizers; i++) {
        snprintf(settings, sizeof settings,
                 "model.kind=dcn model.hidden=6 model.batch_norm=true %s",
                 optimizers[i]);
        start(f, everything, settings);
        expand(f);
        assert_true(table(f, "deep1")->optimizer.l2 == 0);
        assert_int_equal(table(f, "deep1-norm-running")->optimizer.kind, OPTIMIZER_ADD);
    }
    start(f, everything,
          "model.kind=dcn model.hidden=6,5 tables.deep1.optimizer.rate=0.5 "
          "tables.deep2.optimizer.l2=0.25");
    expand(f);
    assert_true(table(f, "deep1")->optimizer.rate == 0.5);
    assert_true(table(f, "deep1")->optimizer.l2 == 0);
    assert_true(table(f, "deep2")->optimizer.l2 == 0.25);
}

static void a_graph_is_left_alone(void **state)
{
    struct fixture *f = *state;

    start(f, only_numbers,
          "model.kind=graph model.layers.n.kind=numbers model.layers.n.columns=x "
          "model.layers.s.width=1");
    expand(f);
    assert_string_equal(graph_of(f), "n numbers x; s dense ; ");
}

/* --- autoencoders ------------------------------------------------------------------
 */

static void autoencoders_give_back_numbers(void **state)
{
    struct fixture *f = *state;

    becomes(f, everything, "model.kind=autoencoder model.hidden=6,4,2",
            "numbers numbers year,age,v; encode1 dense numbers; "
            "encode2 dense encode1; encode3 dense encode2; "
            "decode1 dense encode3; decode2 dense decode1; output dense decode2; ");
    assert_string_equal(f->job.model.target, "numbers");
    assert_int_equal(layer(f, "encode3")->width, 2);
    assert_int_equal(layer(f, "decode1")->width, 4);
    assert_int_equal(layer(f, "decode2")->width, 6);
    assert_int_equal(layer(f, "decode2")->activation, ACTIVATION_RELU);
    assert_int_equal(layer(f, "output")->width, 7);
    assert_int_equal(layer(f, "output")->activation, ACTIVATION_LINEAR);
    becomes(f, only_numbers, "model.kind=autoencoder model.hidden=1 model.dropout=0.5",
            "numbers numbers x,z; encode1 dense numbers; "
            "encode1-dropout dropout encode1; output dense encode1-dropout; ");
}

static void autorec_is_of_groups(void **state)
{
    struct fixture *f = *state;

    becomes(f, ratings,
            "model.kind=autoencoder model.hidden=20 model.activation=sigmoid "
            "model.length=40",
            "given bag u; encode1 bias given; encode1-function activation encode1; "
            "output dense encode1-function; ");
    assert_int_equal(table(f, "user")->dim, 20);
    assert_int_equal(layer(f, "given")->pool, POOL_SUM);
    assert_int_equal(layer(f, "given")->length, 40);
    assert_int_equal(layer(f, "encode1-function")->activation, ACTIVATION_SIGMOID);
    assert_int_equal(layer(f, "output")->width, 50);
    assert_int_equal(f->job.model.loss, LOSS_SQUARED);
    becomes(f, ratings,
            "model.kind=autoencoder model.hidden=20,5 model.batch_norm=true",
            "given bag u; encode1 bias given; encode1-norm batch_norm encode1; "
            "encode1-function activation encode1-norm; "
            "encode2 dense encode1-function; encode2-norm batch_norm encode2; "
            "encode2-function activation encode2-norm; "
            "decode1 dense encode2-function; decode1-norm batch_norm decode1; "
            "decode1-function activation decode1-norm; "
            "output dense decode1-function; ");
    assert_int_equal(layer(f, "decode1")->width, 20);
}

static void multdae_is_a_softmax_of_means(void **state)
{
    struct fixture *f = *state;

    becomes(f, ratings,
            "model.kind=multdae model.hidden=20 model.dropout=0.5 model.loss=softmax",
            "given bag u; encode1 bias given; encode1-function activation encode1; "
            "encode1-dropout dropout encode1-function; "
            "output dense encode1-dropout; ");
    assert_int_equal(layer(f, "given")->pool, POOL_MEAN);
    assert_int_equal(layer(f, "encode1-function")->activation, ACTIVATION_TANH);
    assert_int_equal(table(f, "user")->dim, 20);
}

static void autoencoders_say_what_they_lack(void **state)
{
    struct fixture *f = *state;

    refuses(f, only_numbers, "model.kind=autoencoder model.target=x",
            "model.target is 'x', but model.kind autoencoder without data.group gives "
            "back its numbers, expected none");
    refuses(f, ratings, "model.kind=autoencoder model.target=y",
            "model.target is 'y', expected the key column whose keys the groups of "
            "data.group have, because model.kind is autoencoder");
    refuses(f, ratings, "model.kind=autoencoder model.target=i",
            "model.target is 'i', expected the key column whose keys the groups of "
            "data.group have, because model.kind is autoencoder");
    refuses(f, ratings, "model.kind=multdae model.loss=softmax tables.user.rows=0",
            "tables.user.rows is not set, but model.kind multdae has a number for each "
            "row of that table");
    refuses(f, only_keys, "model.kind=autoencoder",
            "model.kind is autoencoder, but data.columns has no key, keys, number or "
            "vector for it");
}

#define TEST(function)                                                                 \
    cmocka_unit_test_setup_teardown(function, make_fixture, drop_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(popularity_is_a_row_of_one_number),
        TEST(linear_has_a_weight_for_each_key),
        TEST(a_single_list_is_the_sum_of_its_weights),
        TEST(fm_has_pairs_and_weights),
        TEST(deepfm_has_deep_layers_beside),
        TEST(mf_may_have_features),
        TEST(widedeep_takes_embeddings_of_any_widths),
        TEST(dcn_crosses_beside_the_deep_layers),
        TEST(dlrm_has_numbers_among_its_pairs),
        TEST(ncf_models_are_of_user_and_item),
        TEST(towers_have_a_vector_each),
        TEST(many_fields_are_joined_in_steps),
        TEST(many_tables_have_room),
        TEST(errors_are_sentences),
        TEST(parameters_have_an_optimizer),
        TEST(a_graph_is_left_alone),
        TEST(autoencoders_give_back_numbers),
        TEST(autorec_is_of_groups),
        TEST(multdae_is_a_softmax_of_means),
        TEST(autoencoders_say_what_they_lack),
    };

    return cmocka_run_group_tests_name("preset", tests, NULL, NULL);
}
