#!/usr/bin/env python3
"""Writes layers.h beside itself: values and slopes of layers and losses as PyTorch has
them in double precision, for tests/numeric/test_layer_reference.c."""
import os

import torch
import torch.nn.functional as F

torch.manual_seed(1)
torch.set_default_dtype(torch.float64)
ROWS, IN, OUT, STEPS = 5, 6, 4, 3
LINES = []


def exact(*shape, unit=64.0):
    """Numbers that a float holds exactly, none of them near 0."""
    x = torch.randint(8, 160, shape) * torch.randint(0, 2, shape).mul(2).sub(1) / unit
    return x.requires_grad_()


def record(name, tensor):
    numbers = ["%.9g" % float(v) for v in tensor.detach().reshape(-1)]
    body, line = [], "   "
    for number in numbers:
        item = " " + (number if set(number) & set(".en") else number + ".0") + "f,"
        if len(line) + len(item) > 88:
            body.append(line)
            line = "   "
        line += item
    LINES.extend(["static const float %s[] = {" % name, *body, line, "};"])


def slopes(name, y, dy, **inputs):
    record(name + "_y", y)
    for key, gradient in zip(inputs, torch.autograd.grad(y, list(inputs.values()), dy)):
        record("%s_d%s" % (name, key), gradient)


def dense():
    x, w, dy = exact(ROWS, IN), exact(IN + 1, OUT, unit=256), exact(ROWS, OUT)
    for name, tensor in (("dense_x", x), ("dense_w", w), ("dense_dy", dy)):
        record(name, tensor)
    activations = {
        "linear": lambda z: z, "relu": F.relu,
        "leaky_relu": lambda z: F.leaky_relu(z, 0.125),
        "gelu": lambda z: F.gelu(z, approximate="tanh"), "sigmoid": torch.sigmoid,
        "tanh": torch.tanh, "softmax": lambda z: F.softmax(z, -1)}
    for name, function in activations.items():
        slopes(name, function(x @ w[:IN] + w[IN]), dy, x=x, w=w)


def norms():
    x, norm, dy = exact(ROWS, IN), exact(2, IN), exact(ROWS, IN)
    running = exact(2, IN).detach().abs()
    for name, tensor in (("norm_x", x), ("norm_w", norm), ("norm_dy", dy),
                         ("norm_running", running)):
        record(name, tensor)
    y = F.layer_norm(x, (IN,), 1 + norm[0], norm[1], 1e-3)
    slopes("layer_norm", y, dy, x=x, w=norm)
    mean, variance = running[0].clone(), running[1].clone()
    y = F.batch_norm(x, mean, variance, 1 + norm[0], norm[1], True, 0.125, 1e-3)
    slopes("batch_norm", y, dy, x=x, w=norm)
    record("batch_norm_running", torch.stack([mean, variance]))
    record("batch_norm_evaluated", F.batch_norm(
        x, running[0], running[1], 1 + norm[0], norm[1], False, 0.125, 1e-3))


def products():
    x0, x, w, dy = exact(ROWS, IN), exact(ROWS, IN), exact(IN + 1, IN), exact(ROWS, IN)
    for name, tensor in (("cross_x0", x0), ("cross_x", x), ("cross_w", w),
                         ("cross_dy", dy)):
        record(name, tensor)
    slopes("cross", x0 * (x @ w[:IN] + w[IN]) + x, dy, x0=x0, x=x, w=w)
    rows, dy = exact(ROWS, STEPS, IN), exact(ROWS)
    record("fm_x", rows)
    record("fm_dy", dy)
    slopes("fm", (rows.sum(1) ** 2 - (rows ** 2).sum(1)).sum(1) / 2, dy, x=rows)


def losses():
    score, target = exact(ROWS, IN), torch.tensor([0, 5, 2, 2, 1])
    record("classes_score", score)
    loss = F.cross_entropy(score, target, reduction="sum")
    slopes("classes", loss, torch.tensor(1.0), score=score)
    positive, negative = exact(ROWS, 1), exact(ROWS, STEPS)
    record("bpr_positive", positive)
    record("bpr_negative", negative)
    loss = -F.logsigmoid(positive - negative).sum()
    slopes("bpr", loss, torch.tensor(1.0), positive=positive, negative=negative)


def main():
    dense()
    norms()
    products()
    losses()
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "layers.h")
    guard = "ROWHOUSE_TESTS_NUMERIC_REFERENCE_LAYERS_H"
    head = ["/* Written by layers.py beside it, with PyTorch %s. */" %
            torch.__version__.split("+")[0], "#ifndef " + guard, "#define " + guard, "",
            "enum { REFERENCE_ROWS = %d, REFERENCE_IN = %d, REFERENCE_OUT = %d, "
            "REFERENCE_STEPS = %d };" % (ROWS, IN, OUT, STEPS), ""]
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join([*head, *LINES, "", "#endif", ""]))


if __name__ == "__main__":
    main()
