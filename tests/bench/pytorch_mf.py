"""Matrix factorisation in PyTorch, as a user would write it; run by peer-pytorch with a
Python that has torch. Reads requests as lines of JSON, answers each with one."""
import array
import json
import sys
import time

import torch


def load(path, count, kind):
    values = array.array(kind)
    with open(path, "rb") as f:
        values.fromfile(f, count)
    return torch.frombuffer(values, dtype=torch.float32 if kind == "f" else torch.int32)


def load_part(request, part):
    count = request[part]
    stem = request["folder"] + "/" + part
    return (load(stem + ".user", count, "i"), load(stem + ".item", count, "i"),
            load(stem + ".label", count, "f"))


def embedding(rows, request):
    """A row's factors, and its bias as the last number: one look-up for both."""
    table = torch.nn.Embedding(rows, request["k"] + 1, sparse=request["sparse"])
    torch.nn.init.normal_(table.weight, std=0.02)
    with torch.no_grad():
        table.weight[:, -1] = 0
    return table


def predict(mean, p, q):
    return mean + p[:, -1] + q[:, -1] + (p[:, :-1] * q[:, :-1]).sum(1)


def train(request):
    torch.manual_seed(1)
    torch.set_num_threads(request["threads"])
    user, item, label = load_part(request, "train")
    users, items = embedding(request["users"], request), embedding(request["items"], request)
    mean, l2, batch = label.mean(), request["l2"], request["batch"]
    optimizer = torch.optim.Adagrad(
        [users.weight, items.weight], lr=request["rate"], initial_accumulator_value=0.1)
    seconds, cpu = [], time.process_time()
    for _ in range(request["epochs"]):
        start = time.perf_counter()
        order = torch.randperm(len(label))
        u, i, y = user[order], item[order], label[order]
        for at in range(0, len(y), batch):
            p, q = users(u[at:at + batch]), items(i[at:at + batch])
            error = predict(mean, p, q) - y[at:at + batch]
            loss = 0.5 * (error.square().sum() + l2 * (p.square().sum() + q.square().sum()))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        seconds.append(time.perf_counter() - start)
    cpu = time.process_time() - cpu
    user, item, label = load_part(request, "test")
    with torch.no_grad():
        error = predict(mean, users(user), items(item)) - label
    return {"seconds": seconds, "cpu": cpu, "rmse": error.square().mean().sqrt().item(),
            "version": torch.__version__}


torch.sparse.check_sparse_tensor_invariants.disable()  # as by default, without a warning
for line in sys.stdin:
    print(json.dumps(train(json.loads(line))), flush=True)
