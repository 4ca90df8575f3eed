/* Losses as functions of scores: each returns the summed loss, in double precision and
 * in the order of the examples, and adds its slopes by the scores to `gradient`.
 *
 * An example counts weight[i] times, in the sum and in its slopes; weight may be NULL:
 * all count once. Labels of the two-class losses are 1 and 0. Arrays do not overlap;
 * a score that is no number makes a sum that is none. Any thread. */
#ifndef ROWHOUSE_WORKER_MODEL_LOSS_H
#define ROWHOUSE_WORKER_MODEL_LOSS_H

#include "worker/model/layer_kernels.h"

/* --- one score an example: score, label, weight, gradient: [n] ----------------------
 */

/* (score - label)^2; as in mf.h the gradient is that of half of it. */
double loss_squared(const float *score, const float *label, const float *weight,
                    uint32_t n, float *gradient);
/* |score - label|; its slope at 0 is 0. */
double loss_absolute(const float *score, const float *label, const float *weight,
                     uint32_t n, float *gradient);
/* Huber 1964: half the square up to delta > 0, from there on a line. */
double loss_huber(const float *score, const float *label, const float *weight,
                  uint32_t n, float delta, float *gradient);
/* Log loss of the log-odds `score`; labels may be anything from 0 to 1. */
double loss_logistic(const float *score, const float *label, const float *weight,
                     uint32_t n, float *gradient);
/* max(0, 1 - t score) with t = 1 for labels from 1/2 on, else -1, and its square. */
double loss_hinge(const float *score, const float *label, const float *weight,
                  uint32_t n, float *gradient);
double loss_squared_hinge(const float *score, const float *label, const float *weight,
                          uint32_t n, float *gradient);

/* --- many scores an example: score, gradient: [n][classes] --------------------------
 */

/* Cross-entropy of softmax: log(sum(exp(score))) - score[t], for each target t of
 * example i: target[offset[i]] .. target[offset[i+1] - 1], below classes, each as often
 * as its share says. None is no loss, and one may be there twice. scratch: [classes].
 */
double loss_multinomial(const struct layer_kernels *k, const float *score,
                        const uint32_t *offset, const uint32_t *target,
                        const float *share, const float *weight, uint32_t n,
                        uint32_t classes, float *scratch, float *gradient);

/* Items that an example's own is to stand out from. Of example i, candidate j has the
 * identity id[i * stride + j] and was drawn with the probability exp(log_q[..]): stride
 * is 0 where all examples share one set, or else m. */
struct loss_candidates {
    const uint64_t *id;
    const float *log_q;
    uint32_t m, stride;
};

/* Sampled softmax with the log-Q correction (Bengio and Senecal 2008; in-batch: Yi et
 * al. 2019): softmax of score - log_q over the candidates, of which number target[i] is
 * the example's own; others of the same identity are left out. score, gradient:
 * [n][m]; scratch: [2][m]. */
double loss_sampled_softmax(const struct layer_kernels *k, const float *score,
                            const uint32_t *target, struct loss_candidates candidates,
                            const float *weight, uint32_t n, float *scratch,
                            float *gradient);

/* --- items that were chosen against items that were not -----------------------------
 */

/* positive: [n], negative: [n][m], and gradients of the same shapes.
 *
 * BPR (Rendle et al. 2009): -log(sigmoid(positive - negative)), over all negatives. */
double loss_bpr(const float *positive, const float *negative, const float *weight,
                uint32_t n, uint32_t m, float *dpositive, float *dnegative);
/* WARP (Weston, Bengio, Usunier 2011): negatives were drawn from `items` items and are
 * tried one after another until one comes within a margin of 1 of the positive; number
 * t does (from 1), so that the rank is about (items - 1) / t, and the loss is
 * (1 - positive + negative) (1 + 1/2 + .. + 1/rank). Without such a negative: none. */
double loss_warp(const float *positive, const float *negative, const float *weight,
                 uint32_t n, uint32_t m, uint64_t items, float *dpositive,
                 float *dnegative);

#endif
