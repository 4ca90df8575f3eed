/* Optimizers: how a server applies gradients to rows.
 *
 * A row has weights w and state (m, v, s, ... below: one float for each weight unless
 * said otherwise). A push brings its gradient g, summed over the examples of a batch,
 * and its weight u, the sum of the weights of the examples that used the row. State
 * starts at 0 where nothing is said. Rows without a gradient are not touched: moments,
 * decay and the step count are the row's own ("lazy"), counted in pushes that hold it.
 *
 *   g' = clip(g) + l2 * u * w                            (L2, once for each example)
 *
 *   sgd              w -= rate * g'
 *   momentum         m = momentum * m + g'
 *                    w -= rate * m
 *   nesterov         m = momentum * m + g'
 *                    w -= rate * (g' + momentum * m)
 *   adagrad          s += g'^2
 *                    w -= rate * g' / sqrt(s)                no step while s is 0
 *   rowwise_adagrad  s += mean(g'^2)                         one s for the row
 *                    w -= rate * g' / sqrt(s)
 *   adadelta         s = rho * s + (1 - rho) * g'^2
 *                    d = sqrt(x + epsilon) / sqrt(s + epsilon) * g'
 *                    x = rho * x + (1 - rho) * d^2
 *                    w -= rate * d
 *   rmsprop          s = rho * s + (1 - rho) * g'^2
 *                    w -= rate * g' / (sqrt(s) + epsilon)
 *   adam             t += 1                                  one t for the row
 *                    m = beta1 * m + (1 - beta1) * g'
 *                    v = beta2 * v + (1 - beta2) * g'^2
 *                    w -= rate * M / (sqrt(V) + epsilon)
 *                         with M = m / (1 - beta1^t), V = v / (1 - beta2^t)
 *   adamw            as adam, with decay in the place of L2
 *   amsgrad          m, v as adam
 *                    x = max(x, v)
 *                    w -= rate * m / (sqrt(x) + epsilon)
 *   ftrl             r = (sqrt(n + g^2) - sqrt(n)) / rate
 *                    n += g^2
 *                    z += g - r * w
 *                    w = -shrink(z, l1) / ((beta + sqrt(n)) / rate + l2)
 *   add              w += g                                  no rate, no penalty
 *
 *   shrink(x, a) = sign(x) * max(|x| - a, 0)
 *
 * Where the rules are from, and where they differ:
 *
 *   sgd              Robbins, Monro: A stochastic approximation method, 1951
 *   momentum         Polyak: Some methods of speeding up the convergence, 1964
 *   nesterov         Nesterov 1983, for the weights of the look-ahead: Bengio,
 *                    Boulanger-Lewandowski, Pascanu: Advances in optimizing recurrent
 *                    networks, 2012
 *   adagrad          Duchi, Hazan, Singer: Adaptive subgradient methods, 2011; s starts
 *                    at `initial`, which takes the place of an epsilon
 *   rowwise_adagrad  Gupta, Bengio, Weston: Training highly multiclass classifiers,
 *                    2014, with the mean as in Naumov et al.: Deep learning
 *                    recommendation model, 2019; s starts at `initial`
 *   adadelta         Zeiler 2012, where rate is 1
 *   rmsprop          Tieleman, Hinton: lecture 6.5, 2012; epsilon added
 *   adam             Kingma, Ba: Adam, 2015, algorithm 1
 *   adamw            Loshchilov, Hutter: Decoupled weight decay, 2019, algorithm 2
 *   amsgrad          Reddi, Kale, Kumar: On the convergence of Adam, 2018, algorithm 2,
 *                    which is without Adam's corrections; epsilon added
 *   ftrl             McMahan et al.: Ad click prediction, 2013, algorithm 1. There rows
 *                    start at 0. A weight that starts elsewhere stays near: with its
 *                    first gradient z starts at -w * beta / rate. l1 and l2 count once,
 *                    not per example
 *
 * Around the step, where set:
 *
 *   clip_norm        g * min(1, clip_norm / norm(g)) for g
 *   clip             g between -clip and clip
 *   decay            w -= rate * decay * w for the w before the step, once for each
 *                    push (Loshchilov, Hutter 2019, with rate for their schedule)
 *   l1               after sgd w = shrink(w, rate * l1 * u), after adagrad
 *                    shrink(w, rate * l1 * u / sqrt(s)): Duchi, Singer 2009, and
 *                    Duchi, Hazan, Singer 2011
 *   max_norm         then w * min(1, max_norm / norm(w)): Srebro, Rennie, Jaakkola 2005
 *   schedule         rate is that of the push's clock: optimizer_rate()
 *
 * Before the step, where set, against gradients that come late (server/stale.c says
 * what a server knows of that):
 *
 *   stale_rate       inverse: rate / max(tau, 1) for a push that comes tau pushes late:
 *                    Zhang, Gupta, Lian, Liu: Staleness-aware async-SGD, 2016
 *   compensate       g + compensate / u * g^2 * (w - w_pulled) for g, where w_pulled is
 *                    what the worker was given: Zheng et al.: Asynchronous stochastic
 *                    gradient descent with delay compensation, 2017 (DC-ASGD). There g
 *                    is the mean over a batch, G; here it is the sum over the u
 *                    examples of the row, u * G, so that u * (G + compensate * G^2 *
 *                    (w - w_pulled)) is this. Comes before clipping
 *
 * Kernels are compiled for x86-64-v2, -v3 and -v4 without contraction, so that all
 * three give the same bits; the best is chosen at start. */
#ifndef ROWHOUSE_SERVER_OPTIMIZER_H
#define ROWHOUSE_SERVER_OPTIMIZER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/schedule.h"

enum {
    /* Adam's step count is a float in the state. It counts as far as floats count
     * exactly, and stays there: the corrections are 1 long before. */
    OPTIMIZER_STEP_BITS = 24,
    OPTIMIZER_STEPS_MAX = 1 << OPTIMIZER_STEP_BITS,
};

/* A table's settings as kernels want them. Plain data. */
struct optimizer {
    int kind;    /* enum optimizer_kind */
    bool extras; /* clip, clip_norm or decay is set */
    float l1, l2;
    float initial; /* of all state */
    float momentum, beta1, beta2, rho, epsilon, beta;
    float clip, clip_norm, max_norm; /* 0 = none */
    double decay;
    struct schedule schedule;
    bool slows;       /* the rate of late pushes is smaller */
    float compensate; /* 0 = do not */
    /* beta1 and beta2 to the power of 2^i */
    double beta1_power[OPTIMIZER_STEP_BITS + 1], beta2_power[OPTIMIZER_STEP_BITS + 1];
    int level; /* enum cpu_level of the kernels; any gives the same bits */
};

/* From the job's settings for one of its tables and this processor's level. */
void optimizer_init(struct optimizer *optimizer, const struct job *job, uint32_t table);
/* Floats of state that a row of `width` weights needs; their first value is `initial`.
 */
uint32_t optimizer_state_width(const struct optimizer *optimizer, uint32_t width);

/* The rate of the push with this clock, by the table's schedule. */
float optimizer_rate(const struct optimizer *optimizer, uint64_t clock);

/* The rate of a push that comes `late` pushes late, if on time it is `rate`. */
float optimizer_late_rate(const struct optimizer *optimizer, float rate, uint64_t late);

/* The gradients out[n][width] that are to be applied in the place of
 * gradient[n][width]: compensated for what has changed since the rows were
 * pulled[n][width]. weight[n]; one that is not above 0 is taken for 1. `out` overlaps
 * nothing. Any thread, as long as nobody changes the rows. */
void optimizer_compensate(const struct optimizer *optimizer, float *const *row,
                          const float *pulled, const float *gradient,
                          const float *weight, uint32_t n, uint32_t width, float *out);

/* Applies n gradients of the push with `clock` in order: row[i] points to `width`
 * weights with the state behind them and is not NULL; gradient[n][width]; weight[n].
 * Rows may repeat. The result depends on nothing but the arguments. Never fails; the
 * caller has checked that gradients are finite if it wants that. Any thread, as long as
 * it owns the rows. */
void optimizer_apply(const struct optimizer *optimizer, uint64_t clock,
                     float *const *row, const float *gradient, const float *weight,
                     uint32_t n, uint32_t width);
/* The same with a rate that is known. */
void optimizer_apply_at(const struct optimizer *optimizer, float rate,
                        float *const *row, const float *gradient, const float *weight,
                        uint32_t n, uint32_t width);

#endif
