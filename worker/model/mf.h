/* Biased matrix factorisation (Koren, Bell, Volinsky 2009): score = mean + b_u + b_i +
 * u . v. Numbers only. A row has dim factors and, with bias, the bias behind them. A
 * row that does not exist is a row of zeros: it adds nothing to a score.
 *
 * All functions are free of state and may be called from any thread. */
#ifndef ROWHOUSE_WORKER_MODEL_MF_H
#define ROWHOUSE_WORKER_MODEL_MF_H

#include <stdbool.h>
#include <stdint.h>

struct mf {
    uint32_t dim;
    uint32_t width; /* dim + bias */
    bool bias;
    int loss;   /* enum loss_kind */
    float mean; /* squared: the mean label; logistic: its log-odds; else 0 */
};

/* A batch of n examples, as rows and the places of each example's rows among them. All
 * borrowed. */
struct mf_batch {
    uint32_t n;
    const uint32_t *user_pos, *item_pos; /* [n] */
    const float *label;                  /* [n]; not read when predicting */
    const float *user, *item;            /* [rows][width] */
    const float *weight;                 /* [n], NULL = all 1; likewise */
};

/* Examples that a worker trains on by itself, one after another; rows are changed. They
 * are laid out for that by mf_spread(): biases are apart, and factors are filled up
 * with zeros to whole cache lines. All borrowed. */
struct mf_block {
    uint32_t n;
    const uint32_t *user_pos, *item_pos; /* [n] */
    const float *label;                  /* [n] */
    float *user, *item;                  /* [rows][mf_stride()], 64-byte aligned */
    float *user_bias, *item_bias;        /* [rows] */
    float rate, bias_rate, l2;
};

/* A mean label is kept this far from 0 and 1 before its log-odds are taken. */
#define MF_PROBABILITY_MIN 1e-6

/* Sets mean from the training labels' mean; loss must be set. */
void mf_set_mean(struct mf *mf, double label_mean);

/* Adds the gradients of the summed loss to user_gradient and item_gradient (same shapes
 * as user and item, zeroed by the caller) and returns the summed loss, each example's
 * times its weight: squared: (label
 * - score)^2, its gradient taken of half of it; logistic: log loss. Equal input gives
 * the same bits on every processor level. */
double mf_forward_backward(const struct mf *mf, const struct mf_batch *batch,
                           float *user_gradient, float *item_gradient);

/* Adds the gradients of any loss of the linear scores (see mf_predict_linear()), given
 * its slope by each of them: slope is [n]; else as mf_forward_backward(). */
void mf_backward(const struct mf *mf, const struct mf_batch *batch, const float *slope,
                 float *user_gradient, float *item_gradient);

/* Floats from one row to the next in a block: dim, rounded up. */
uint32_t mf_stride(const struct mf *mf);
/* Lays out n rows [n][width] as factors [n][mf_stride()] and biases [n] (zeros without
 * bias). */
void mf_spread(const struct mf *mf, const float *row, uint32_t n, float *factors,
               float *bias);
/* By how much they differ from those rows since: difference[n][width]. */
void mf_differences(const struct mf *mf, const float *row, const float *factors,
                    const float *bias, uint32_t n, float *difference);

/* Plain stochastic gradient descent, one example at a time, on rows at hand (as in
 * LIBMF, Zhuang et al. 2013, without its threads); returns the loss summed before each
 * step. Equal input gives the same bits on every processor level. */
double mf_sgd(const struct mf *mf, const struct mf_block *block);

/* Scores of n examples before the link: the predicted rating, or log-odds (logistic),
 * which keep apart what is 1 as a float probability. mf_link() makes probabilities of
 * these; ratings stay. */
void mf_predict_linear(const struct mf *mf, const struct mf_batch *batch, float *score);
void mf_link(const struct mf *mf, float *score, uint32_t n);

/* mf_predict_linear()'s scores of users [users][width] against items [items][width],
 * but for the rounding of another order of addition, by OpenBLAS (worker/model/blas.h):
 * score is [users][items]. */
void mf_score_users(const struct mf *mf, const float *user, uint32_t users,
                    const float *item, uint32_t items, float *score);

#endif
