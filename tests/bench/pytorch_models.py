"""Recommender models in PyTorch, as a user would write them; run by peer-models with a
Python that has torch. Reads requests as lines of JSON, answers each with one."""
import array
import json
import sys
import time

import torch
from torch import nn


class Embeddings(nn.Module):
    """One table for all columns, whose keys do not overlap."""

    def __init__(self, rows, width, sparse):
        super().__init__()
        self.table = nn.Embedding(rows, width, sparse=sparse)
        nn.init.normal_(self.table.weight, std=0.01)

    def forward(self, keys):
        return self.table(keys)


def tower(*widths):
    """Dense layers with relu behind each."""
    layers = []
    for wide, narrow in zip(widths, widths[1:]):
        layers += [nn.Linear(wide, narrow), nn.ReLU()]
    return nn.Sequential(*layers)


class Neumf(nn.Module):
    """He et al. 2017: a product of factors beside a tower on others."""

    def __init__(self, s, factors=32, gmf=True, mlp=True):
        super().__init__()
        self.gmf, self.mlp, self.factors = gmf, mlp, factors
        width = factors * gmf + 2 * factors * mlp
        self.rows = Embeddings(s["rows"], width, s["sparse"])
        self.tower = tower(4 * factors, 2 * factors, factors) if mlp else None
        self.top = nn.Linear(factors * (gmf + mlp), 1)

    def forward(self, keys):
        rows, values = self.rows(keys), []
        if self.gmf:
            values.append(rows[:, 0, :self.factors] * rows[:, 1, :self.factors])
        if self.mlp:
            values.append(self.tower(rows[:, :, self.factors * self.gmf:].flatten(1)))
        return self.top(torch.cat(values, 1)).squeeze(1)


class Fields(nn.Module):
    """Linear weights, a factorisation machine and a tower on the same rows."""

    def __init__(self, s, linear=True, fm=True, deep=True, dim=10, width=400):
        super().__init__()
        self.linear, self.fm, self.dim = linear, fm, dim
        self.rows = Embeddings(s["rows"], dim + linear, s["sparse"])
        self.bias = nn.Parameter(torch.zeros(1))
        self.deep = None
        if deep:
            self.deep = nn.Sequential(tower(s["columns"] * dim, width, width, width),
                                      nn.Linear(width, 1))

    def forward(self, keys):
        rows = self.rows(keys)
        factors, score = rows[:, :, :self.dim], self.bias
        if self.linear:
            score = score + rows[:, :, self.dim].sum(1)
        if self.fm:
            total = factors.sum(1)
            score = score + 0.5 * (total * total - (factors * factors).sum(1)).sum(1)
        if self.deep is not None:
            score = score + self.deep(factors.flatten(1)).squeeze(1)
        return score


class Crossed(nn.Module):
    """DCN v2: cross layers beside a tower (Wang et al. 2021)."""

    def __init__(self, s, dim=10, width=400):
        super().__init__()
        wide = s["columns"] * dim
        self.rows = Embeddings(s["rows"], dim, s["sparse"])
        self.cross = nn.ModuleList(nn.Linear(wide, wide) for _ in range(3))
        self.deep = tower(wide, width, width, width)
        self.top = nn.Linear(wide + width, 1)

    def forward(self, keys):
        first = value = self.rows(keys).flatten(1)
        for layer in self.cross:
            value = first * layer(value) + value
        return self.top(torch.cat((value, self.deep(first)), 1)).squeeze(1)


class Products(nn.Module):
    """DLRM without numbers: a tower on the inner products of all pairs."""

    def __init__(self, s, dim=10, width=400):
        super().__init__()
        fields = s["columns"]
        self.rows = Embeddings(s["rows"], dim, s["sparse"])
        self.register_buffer("pairs", torch.tril_indices(fields, fields, -1))
        self.deep = nn.Sequential(tower(self.pairs.shape[1], width, width, width),
                                  nn.Linear(width, 1))

    def forward(self, keys):
        rows = self.rows(keys)
        products = torch.bmm(rows, rows.transpose(1, 2))
        return self.deep(products[:, self.pairs[0], self.pairs[1]]).squeeze(1)


class Towers(nn.Module):
    """The inner product of what a tower makes of each side."""

    def __init__(self, s, dim=64, width=64, out=32):
        super().__init__()
        self.rows = Embeddings(s["rows"], dim, s["sparse"])
        self.user = nn.Sequential(tower(dim, width), nn.Linear(width, out))
        self.item = nn.Sequential(tower(dim, width), nn.Linear(width, out))

    def forward(self, keys):
        rows = self.rows(keys)
        return (self.user(rows[:, 0]) * self.item(rows[:, 1])).sum(1)


MODELS = {
    "gmf": lambda s: Neumf(s, mlp=False),
    "mlp": lambda s: Neumf(s, gmf=False),
    "neumf": Neumf,
    "fm": lambda s: Fields(s, deep=False),
    "deepfm": Fields,
    "widedeep": lambda s: Fields(s, fm=False),
    "dcn": Crossed,
    "dlrm": Products,
    "twotower": Towers,
}


def load(path, kind, dtype):
    values = array.array(kind)
    with open(path, "rb") as f:
        values.frombytes(f.read())
    return torch.frombuffer(values, dtype=dtype)


def optimizers(model, sparse):
    if not sparse:
        return [torch.optim.Adam(model.parameters(), lr=0.001, fused=True)]
    tables = [model.rows.table.weight]
    others = [p for p in model.parameters() if p is not tables[0]]
    return [torch.optim.SparseAdam(tables, lr=0.001),
            torch.optim.Adam(others, lr=0.001, fused=True)]


def train(request):
    """Whole epochs until the time is over; examples a second without the first tenth."""
    torch.manual_seed(1)
    torch.set_num_threads(request["threads"])
    keys = load(request["stem"] + ".keys", "i", torch.int32).view(-1, request["columns"])
    label = load(request["stem"] + ".label", "f", torch.float32)
    model = MODELS[request["model"]](request)
    steps = optimizers(model, request["sparse"])
    loss_of = nn.BCEWithLogitsLoss()
    batch, seconds = request["batch"], request["seconds"]
    done, begun, warm = 0, None, time.perf_counter() + seconds / 10
    while True:
        order = torch.randperm(len(label))
        x, y = keys[order], label[order]
        for at in range(0, len(y) - batch + 1, batch):
            loss = loss_of(model(x[at:at + batch]), y[at:at + batch])
            for step in steps:
                step.zero_grad(set_to_none=True)
            loss.backward()
            for step in steps:
                step.step()
            now = time.perf_counter()
            if begun is None and now >= warm:
                begun, done = now, 0
                continue
            done += batch
            if begun is not None and now >= begun + seconds:
                return {"rate": done / (now - begun), "loss": loss.item(),
                        "version": torch.__version__}


for line in sys.stdin:
    print(json.dumps(train(json.loads(line))), flush=True)
