"""What the peer scripts share: the split, running rowhouse, medians, the load."""
import gzip
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.environ.get("ROWHOUSE", os.path.join(ROOT, "build", "rowhouse"))
JOB = os.path.join(ROOT, "examples", "ml-1m.yaml")
DELTA_JOB = os.path.join(ROOT, "examples", "ml-1m-delta.yaml")
SHIPPED = os.path.join(ROOT, "examples", "movielens", "ratings.tsv.zst")
SHIPPED_COLUMNS = ("userId", "movieId", "rating")
MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15


def fail(sentence):
    sys.exit("%s: %s" % (os.path.basename(sys.argv[0]), sentence))


def mix64(x):
    x ^= x >> 30
    x = x * 0xBF58476D1CE4E5B9 & MASK
    x ^= x >> 27
    x = x * 0x94D049BB133111EB & MASK
    return x ^ x >> 31


def is_test(seed, number, share):
    """The rule of common/rng.h and worker/stream/dataset.c."""
    start = mix64((seed + GOLDEN) & MASK) ^ 0x73706C6974
    bits = mix64((mix64(start) + (number + 1) * GOLDEN) & MASK)
    return (bits >> 11) * 2.0**-53 < share


def open_lines(path):
    if path.endswith(".zst"):
        text = subprocess.run(["zstd", "-dcq", path], stdout=subprocess.PIPE, check=True)
        return iter(text.stdout.decode().splitlines())
    opener = gzip.open if path.endswith(".gz") else open
    return opener(path, "rt", encoding="utf-8")


def read_ratings(path, seed=1, share=0.1):
    """(train, test): lists of (user, item, rating), split as rowhouse splits, and the
    names of the columns. Users and items become numbers from 0."""
    lines = open_lines(path)
    header = next(lines).rstrip("\r\n").split("\t")
    for names in (("user", "item", "rating"), SHIPPED_COLUMNS):
        if all(name in header for name in names):
            break
    else:
        fail("%s: its first line names neither user, item, rating nor userId, movieId, "
             "rating" % path)
    at = [header.index(name) for name in names]
    users, items, parts = {}, {}, ([], [])
    for number, line in enumerate(lines):
        field = line.rstrip("\r\n").split("\t")
        user = users.setdefault(field[at[0]], len(users))
        item = items.setdefault(field[at[1]], len(items))
        parts[is_test(seed, number, share)].append((user, item, float(field[at[2]])))
    return parts[0], parts[1], names


def job_for(path, names, folder, job=JOB):
    """A job of examples/ for this file; a copy if its columns have other names."""
    if names[0] == "user":
        return job
    with open(job) as f:
        text = f.read()
    text = text.replace("{user: {as", "{%s: {as" % names[0])
    text = text.replace(" item: {as", " %s: {as" % names[1])
    copy = os.path.join(folder, "job.yaml")
    with open(copy, "w") as f:
        f.write(text)
    return copy


def rowhouse(job, settings, folder, launcher=()):
    """One run of `rowhouse train`; its report."""
    report = os.path.join(folder, "report.json")
    command = [*launcher, PROGRAM, "train", job, *settings, "--quiet", "--report", report]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        fail("%s: %s" % (" ".join(command), done.stdout.strip()))
    with open(report) as f:
        return json.load(f)


def epoch_seconds(report):
    return sum(epoch["seconds"] for epoch in report["epochs"])


def median(values):
    return statistics.median(values)


def about(path, train, test):
    print("%s: %d examples, %d held out; %d processors, load %.1f"
          % (os.path.basename(path), len(train), len(test), os.cpu_count(),
             os.getloadavg()[0]), flush=True)


def children(pid):
    try:
        with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
            found = [int(word) for word in f.read().split()]
    except OSError:
        return []
    return found + [one for child in found for one in children(child)]


def find_child(root, role, index):
    """The process below `root` that works as that server or worker, or None."""
    for pid in children(root):
        try:
            with open("/proc/%d/cmdline" % pid, "rb") as f:
                words = f.read().replace(b"\0", b" ").split()
        except OSError:
            continue
        if words[1:2] == [b"child"] and words[-2:] == [role.encode(), b"%d" % index]:
            return pid
    return None


class Folder:
    """A temporary folder, gone at the end."""

    def __enter__(self):
        self.path = tempfile.mkdtemp(prefix="rowhouse-bench-")
        return self.path

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)
