/* Biased matrix factorisation (Koren, Bell, Volinsky 2009): score = mean + b_u + b_i +
 * u . v. Numbers only. A row has dim factors and, with bias, the bias behind them. */
#ifndef ROWHOUSE_WORKER_MODEL_MF_H
#define ROWHOUSE_WORKER_MODEL_MF_H

#include <stdbool.h>
#include <stdint.h>

struct mf {
    uint32_t dim;
    uint32_t width; /* dim + bias */
    bool bias;
    int loss;   /* enum loss_kind */
    float mean; /* squared: the mean label; logistic: its log-odds */
};

/* A batch of n examples, as rows and the places of each example's rows among them. */
struct mf_batch {
    uint32_t n;
    const uint32_t *user_pos, *item_pos; /* [n] */
    const float *label;                  /* [n] */
    const float *user, *item; /* [rows][width]; a NULL row counts as absent */
};

/* Sets mean from the training labels' mean. */
void mf_set_mean(struct mf *mf, double label_mean);

/* Adds the gradients of the summed loss to user_gradient and item_gradient (same shapes
 * as user and item, zeroed by the caller) and returns the summed loss: squared: (label
 * - score)^2, its gradient taken of half of it; logistic: log loss. */
double mf_forward_backward(const struct mf *mf, const struct mf_batch *batch,
                           float *user_gradient, float *item_gradient);

/* Scores of n examples: the predicted rating, or the probability (logistic). absent
 * rows are zero rows. */
void mf_predict(const struct mf *mf, const struct mf_batch *batch, float *score);

/* Scores of one user against `items` rows [items][width], by OpenBLAS
 * (worker/model/blas.h). */
void mf_score_items(const struct mf *mf, const float *user, const float *item,
                    uint32_t items, float *score);

#endif
