/* The settings of an optimizer, once for the job and once for each table, which
 * inherits them: include this where ROW(field of struct job_optimizer, type, default,
 * the rest of struct setting) makes something of each. */
/* clang-format off */
ROW(kind, CHOICE, "adagrad",
    .choices = "sgd|adagrad|momentum|nesterov|rowwise_adagrad|adadelta|rmsprop|adam|"
               "adamw|amsgrad|ftrl|add",
    .doc = "How servers apply gradients: plain steps (sgd), steps that shrink where "
           "gradients were large (adagrad), and so on; server/optimizer.h has each "
           "rule and its source. A row's moments and steps move only when a push "
           "holds it. add adds what is pushed to the weights: no rate, no penalty.")
ROW(rate, REAL, "0.05", .min = 0, .max = 1000,
    .doc = "Length of a step. 0.001 is usual with adam and its kin, 1 with adadelta; "
           "with ftrl it is alpha.")
ROW(momentum, REAL, "0.9", .min = 0, .max = 0.999999,
    .doc = "With momentum and nesterov: share of the last step that goes on.")
ROW(beta1, REAL, "0.9", .min = 0, .max = 0.999999,
    .doc = "With adam, adamw and amsgrad: share of the mean of gradients that stays.")
ROW(beta2, REAL, "0.999", .min = 0, .max = 0.999999,
    .doc = "With adam, adamw and amsgrad: share of the mean of squared gradients that "
           "stays.")
ROW(rho, REAL, "0.9", .min = 0, .max = 0.999999,
    .doc = "With adadelta and rmsprop: share of the mean of squared gradients that "
           "stays.")
ROW(epsilon, REAL, "1e-08", .min = 1e-20, .max = 1,
    .doc = "With adadelta, rmsprop, adam, adamw and amsgrad: keeps divisors from 0. "
           "adadelta begins faster with 1e-6.")
ROW(beta, REAL, "1", .min = 0, .max = 1e6,
    .doc = "With ftrl: larger ones make the first steps shorter.")
ROW(l1, REAL, "0", .min = 0, .max = 1000,
    .doc = "With sgd, adagrad and ftrl: penalty on weights other than 0, which makes "
           "many of them 0. Per example as optimizer.l2; with ftrl once.")
ROW(l2, REAL, "0.02", .min = 0, .max = 1000,
    .doc = "Penalty on large weights, per example: a row's counts once for each "
           "example that uses it; with ftrl once. 0 with adamw and add.")
ROW(decay, REAL, "0", .min = 0, .max = 1000,
    .doc = "Share of a weight, times the rate, that each push to its row takes away "
           "besides the step. Not with adam (there it is adamw), ftrl and add.")
ROW(clip, REAL, "0", .min = 0, .max = 1e9,
    .doc = "Cut each value of a pushed gradient to between -clip and clip; 0: do not.")
ROW(clip_norm, REAL, "0", .min = 0, .max = 1e9,
    .doc = "Shorten a row's gradient in a push to this length; 0: do not.")
ROW(max_norm, REAL, "0", .min = 0, .max = 1e9,
    .doc = "Shorten a row, its bias included, to this length after a step; 0: do "
           "not.")
ROW(initial, REAL, "0.1", .min = 1e-10, .max = 1e6,
    .doc = "With adagrad and rowwise_adagrad: first value of the sum of squared "
           "gradients. Larger ones make the first steps shorter.")
ROW(schedule, CHOICE, "constant",
    .choices = "constant|step|exponential|inverse_sqrt|cosine",
    .doc = "What becomes of the rate t batches of a worker after warm-up: rate * "
           "factor^floor(t/steps), rate * factor^(t/steps), rate / sqrt(1 + t/steps), "
           "or along a cosine to rate * factor in `steps` batches. Factor and steps "
           "are the next two settings.")
ROW(schedule_steps, INTEGER, "0", .min = 0, .max = 1e15, .unit = "batches",
    .doc = "See optimizer.schedule, which needs it unless it is constant.")
ROW(schedule_factor, REAL, "0.1", .min = 0, .max = 1,
    .doc = "See optimizer.schedule.")
ROW(warmup, INTEGER, "0", .min = 0, .max = 1e15, .unit = "batches",
    .doc = "The rate rises evenly over so many first batches of a worker.")
ROW(stale_rate, CHOICE, "same", .choices = "same|inverse",
    .doc = "Rate of a push that comes late: the same as of any other, or divided by "
           "the number of pushes that its server has applied since it answered the "
           "pull (staleness-aware SGD). Not with bsp, where nothing is late, nor with "
           "ftrl and add.")
ROW(compensate, REAL, "0", .min = 0, .max = 1000,
    .doc = "How much of the guessed change of a gradient since its pull is added to "
           "it: lambda of DC-ASGD (server/optimizer.h has the rule); 0: none. Not "
           "with bsp, where nothing is late, nor with add.")
/* clang-format on */
#undef ROW
