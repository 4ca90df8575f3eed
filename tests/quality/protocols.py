"""The protocols of tests/quality/run: job, data, and the figures wanted and published."""
import os
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


ML_1M = {"data.train": "ml-1m/ratings.train.tsv"}
ML_100K = {"data.train": "ml-100k/u1.base", "data.test": "ml-100k/u1.test"}

ADULT = {"data.train": "adult/adult.data", "data.test": "adult/adult.test"}

# Published: BiasMF on ML-1M, GC-MC on ML-100K, NBTree on Adult.
ALL = {
    "ml1m-mf": Protocol("ml1m-mf", 0.1, ML_1M, (at_most("rmse", 0.851, 0.845),)),
    "ml100k-u1-mf": Protocol("ml100k-u1-mf", 0.2, ML_100K,
                             (at_most("rmse", 0.93, 0.91),)),
    "adult-widedeep": Protocol("adult-widedeep", 0.1, ADULT,
                               (at_most("error", 0.148, 0.141),), prepare=clean_census),
}
