"""The protocols of tests/quality/run: job, data, and the figures wanted and published."""
import math
import os
import random
from typing import Callable, Dict, NamedTuple, Optional, Tuple


class Goal(NamedTuple):
    metric: str
    low: float
    high: float
    published: Optional[float]

    def reached(self, value):
        return self.low <= value <= self.high

    def range(self):
        if self.low == -INFINITE:
            return "<= %.4g" % self.high
        if self.high == INFINITE:
            return ">= %.4g" % self.low
        return "%.4g to %.4g" % (self.low, self.high)


class Protocol(NamedTuple):
    job: str                # of this folder, without .yaml
    minutes: float          # on one core that has nothing else to do
    files: Dict[str, str]   # setting: path below the folder of data
    goals: Tuple[Goal, ...]
    settings: Tuple[str, ...] = ()
    # (files, a temporary folder) -> the settings' paths, of files that it has written.
    prepare: Optional[Callable] = None
    several: bool = False   # also with 2 servers and 2 workers, compared with one process


INFINITE = float("inf")
NEAR = 0.005  # how far several processes may be from one, as a share


def at_least(metric, low, published=None):
    return Goal(metric, low, INFINITE, published)


def at_most(metric, high, published=None):
    return Goal(metric, -INFINITE, high, published)


def chance(metric, value, spread):
    return Goal(metric, value - spread, value + spread, value)


CENSUS = ("age", "workclass", "weight", "education", "education_years", "marital",
          "occupation", "relationship", "race", "sex", "gain", "loss", "hours", "country",
          "rich")
GROUPS = ("age_group", "gain_group", "loss_group", "hours_group")


def clean_census(files, folder):
    """Leaves out rows with a ?, says 1 for >50K, and adds groups of numbers as
    categories: five years, each gain and loss, five hours."""
    written = {}
    for setting, path in files.items():
        written[setting] = os.path.join(folder, os.path.basename(path) + ".csv")
        with open(path) as source, open(written[setting], "w") as target:
            print(*CENSUS, *GROUPS, sep=",", file=target)
            for line in source:
                row = [field.strip() for field in line.strip(" .\n").split(",")]
                if len(row) != len(CENSUS) or "?" in row:
                    continue
                of = dict(zip(CENSUS, row))
                row[-1] = int(of["rich"] == ">50K")
                print(*row, "age %d" % (int(of["age"]) // 5), "gain " + of["gain"],
                      "loss " + of["loss"], "hours %d" % (int(of["hours"]) // 5),
                      sep=",", file=target)
    return written


def shuffle_labels(files, folder):
    """The labels of the training file in another order: there is nothing to learn."""
    shuffled = os.path.join(folder, "shuffled.libfm")
    with open(files["data.train"]) as f:
        label, keys = zip(*(line.split(" ", 1) for line in f))
    label = list(label)
    random.Random(1).shuffle(label)
    with open(shuffled, "w") as f:
        f.writelines(map(" ".join, zip(label, keys)))
    return {**files, "data.train": shuffled}


def shuffle_choices(files, folder):
    """In place of each item that was chosen one by chance, as often as any other."""
    shuffled = os.path.join(folder, "shuffled.rating")
    rng = random.Random(1)
    with open(files["data.train"]) as f:
        rows = [line.split("\t") for line in f]
    items = sorted({row[1] for row in rows})
    with open(shuffled, "w") as f:
        for row in rows:
            f.write("\t".join([row[0], rng.choice(items)] + row[2:]))
    return {**files, "data.train": shuffled}


ML_1M = {"data.train": "ml-1m/ratings.train.tsv"}
ML_100K = {"data.train": "ml-100k/u1.base", "data.test": "ml-100k/u1.test"}

FRAPPE = {"data.train": "frappe/frappe.train.libfm",
          "data.validation": "frappe/frappe.validation.libfm"}
ADULT = {"data.train": "adult/adult.data", "data.test": "adult/adult.test"}
NCF = {"data.train": "ncf/ml-1m.train.rating", "data.test": "ncf/ml-1m.test.rating",
       "data.negatives": "ncf/ml-1m.test.negative"}
# What has been published with three digits: it checks the metrics.
POPULAR = (Goal("hr@10", 0.4525, 0.4535, 0.453), Goal("ndcg@10", 0.2535, 0.2545, 0.254))


def ranks(hr, ndcg, published_hr, published_ndcg):
    return at_least("hr@10", hr, published_hr), at_least("ndcg@10", ndcg, published_ndcg)


def by_chance():
    """An item among 99 others is as likely on each place."""
    ndcg = sum(1 / math.log2(place + 1) for place in range(1, 11)) / 100
    return chance("hr@10", 0.1, 0.015), chance("ndcg@10", round(ndcg, 4), 0.01)


# Published: BiasMF on ML-1M, GC-MC on ML-100K, LR to DeepFM on Frappe (test part, which
# is not among the files), NBTree on Adult, and on NCF's files what
# its paper has, but mf: Rendle et al. 2020.
ALL = {
    "ml1m-mf": Protocol("ml1m-mf", 0.1, ML_1M, (at_most("rmse", 0.851, 0.845),)),
    "ml100k-u1-mf": Protocol("ml100k-u1-mf", 0.2, ML_100K,
                             (at_most("rmse", 0.93, 0.91),)),
    "ml100k-u1-autorec": Protocol("ml100k-u1-autorec", 0.1, ML_100K,
                                  (at_most("rmse", 0.92),)),
    "adult-widedeep": Protocol("adult-widedeep", 0.1, ADULT,
                               (at_most("error", 0.148, 0.141),), prepare=clean_census),
    "frappe-linear": Protocol("frappe-linear", 0.1, FRAPPE,
                              (at_least("auc", 0.93, 0.9356),)),
    "frappe-fm": Protocol("frappe-fm", 0.2, FRAPPE, (at_least("auc", 0.965, 0.9671),)),
    "frappe-deepfm": Protocol("frappe-deepfm", 1, FRAPPE,
                              (at_least("auc", 0.982, 0.9842),)),
    "frappe-widedeep": Protocol("frappe-widedeep", 1, FRAPPE,
                                (at_least("auc", 0.982, 0.9841),)),
    "frappe-deepfm-shuffled": Protocol(
        "frappe-deepfm", 1, FRAPPE, (chance("auc", 0.5, 0.02),),
        settings=("train.epochs=3",), prepare=shuffle_labels),
    "ncf-toppop": Protocol("ncf-toppop", 0.1, NCF, POPULAR),
    "ncf-gmf": Protocol("ncf-gmf", 2, NCF, ranks(0.70, 0.42, 0.706, 0.433)),
    "ncf-mlp": Protocol("ncf-mlp", 2, NCF, ranks(0.70, 0.42, 0.692, 0.425)),
    "ncf-neumf": Protocol("ncf-neumf", 2, NCF, ranks(0.70, 0.425, 0.701, 0.425)),
    "ncf-mf": Protocol("ncf-mf", 2, NCF, ranks(0.725, 0.448, 0.729, 0.452)),
    "ncf-shuffled": Protocol("ncf-gmf", 1, NCF, by_chance(),
                             settings=("train.epochs=2",), prepare=shuffle_choices),
}

for one in ("ncf-neumf", "ncf-mf", "frappe-deepfm"):
    alone = ALL[one]
    ALL[one + "-2x2"] = alone._replace(minutes=2 * alone.minutes, several=True)
