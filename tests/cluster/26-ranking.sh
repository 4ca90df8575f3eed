#!/bin/bash
# Rankings (evaluate.protocol): what the program prints is what a plain reading of the
# documentation computes, with ties, for any number of workers.
. "$(dirname "$0")/lib.sh"

# Vectors of small whole numbers and no training: scores are whole numbers, many equal.
"$PYTHON" - "$T" << 'END'
import random, sys

random.seed(5)
users, items = range(1, 151), range(100, 130)
out = lambda name: open(sys.argv[1] + "/" + name, "w")
with out("users.csv") as file:
    for u in users:
        file.write("%d %d %d\n" % (u, random.randint(-2, 2), random.randint(0, 2)))
with out("items.csv") as file:
    for i in items:
        file.write("%d %d %d\n" % (i, random.randint(-2, 2), random.randint(0, 1)))
genres, sides, films = out("genres.csv"), out("sides.csv"), out("films.tsv")
films.write("item\tgenre\n")
vector = [(random.randint(-2, 2), random.randint(-1, 1)) for _ in range(7)]
for g in range(7):
    genres.write("%d %d %d\n" % (g, *vector[g]))
for i in items:
    sides.write("%d %d %d\n" % (i, *vector[i % 7]))
    films.write("%d\t%d\n" % (i, i % 7))
train, test, given = out("train.tsv"), out("test.tsv"), out("given.txt")
ncf = out("given.negative")
for file in train, test:
    file.write("user\titem\trating\n")
for u in users:
    own = random.sample(list(items)[:27], random.randint(2, 9))
    for i in own[2:] + own[2:3] * (u % 4 == 0):  # some twice, some nobody of training
        train.write("%d\t%d\t1\n" % (u, i))
    for i in own[: 1 + u % 2] + [129] * (u % 5 == 0) + own[2:3] * (u % 7 == 0):
        test.write("%d\t%d\t1\n" % (u, i))
    others = random.sample(list(items), 12) + [999] * (u % 3 == 0)
    others += others[:2] + own[:1]  # twice, and one that is asked for
    given.write("%d %s\n" % (u, " ".join(map(str, others))))
    ncf.write("(%d,%d)\t%s\n" % (u, own[0], "\t".join(map(str, others))))
END
cat > "$T/job.yaml" << END
data:
  train: $T/train.tsv
  test: $T/test.tsv
  label: rating
  columns: {user: {as: key, table: user}, item: {as: key, table: item}}
tables:
  user: {dim: 2, init: zero, vectors: $T/users.csv}
  item: {dim: 2, init: zero, vectors: $T/items.csv}
model: {bias: false}
optimizer: {kind: sgd, rate: 0}
train: {epochs: 1, batch: 16}
evaluate:
  protocol: all
  metrics: [hr@1, ndcg@3, recall@3, precision@3, mrr@10, map@10, recall_capped@10, coverage@1,
            ndcg@25, coverage@3]
END

# expected PROTOCOL TIES SEEN GIVEN: what the program has to print, by all orders of the
# equals that make a difference.
cat > "$T/expected.py" << 'END'
import itertools, math, sys

dir, protocol, ties, seen, given, metrics, popularity, of_item = sys.argv[1:9]
vectors = lambda name: {int(k): (float(a), float(b)) for k, a, b in
                        (line.split() for line in open(dir + "/" + name))}
pairs = lambda name: [tuple(map(int, line.split()[:2]))
                      for line in list(open(dir + "/" + name))[1:]]
user, item = vectors("users.csv"), vectors(of_item)
train, test = pairs("train.tsv"), pairs("test.tsv")
catalogue = {i for _, i in train}
had = {u: {i for v, i in train if v == u} for u in user}
others = {}
if given:
    for line in open(dir + "/" + given):
        words = line.replace("(", " ").replace(",", " ").replace(")", " ").split()
        skip = 2 if line[0] == "(" else 1
        others.setdefault(int(words[0]), set()).update(map(int, words[skip:]))


def score(u, i):
    if popularity:
        return sum(j == i for _, j in train)
    a, b = user[u], item.get(i, (0, 0))
    return 1 + a[0] * b[0] + a[1] * b[1]


def lists():
    """(user, items on the list, those that are relevant)"""
    if protocol != "all":
        for u, i in test:
            among = others[u] if protocol == "given" else catalogue - had[u]
            yield u, among | {i}, {i}
        return
    for u in dict.fromkeys(u for u, _ in test):
        out = had[u] if seen == "leave_out" else set()
        relevant = {i for v, i in test if v == u} - out
        if relevant:
            yield u, catalogue - out, relevant


def places(u, items, relevant):
    """(share, places of the relevant items on the list) for each way to order equals"""
    groups, first = [], 0
    for s in sorted({score(u, i) for i in items}, reverse=True):
        equal = [i for i in items if score(u, i) == s]
        n = sum(i in relevant for i in equal)
        at = range(first + 1, first + len(equal) + 1)
        groups.append([at[len(equal) - n:]] if ties == "behind" else
                      [at[:n]] if ties == "ahead" else list(itertools.combinations(at, n)))
        first += len(equal)
    ways = list(itertools.product(*groups))
    return [(1 / len(ways), sorted(itertools.chain(*way))) for way in ways]


def value(name, at, total):
    metric, k = name.split("@")
    k = int(k)
    hits = [p for p in at if p <= k]
    gain = lambda p: 1 / math.log2(p + 1)
    return {
        "hr": float(bool(hits)),
        "ndcg": sum(map(gain, hits)) / sum(gain(p + 1) for p in range(min(k, total))),
        "recall": len(hits) / total,
        "recall_capped": len(hits) / min(k, total),
        "precision": len(hits) / k,
        "mrr": 1 / hits[0] if hits else 0.0,
        "map": sum((n + 1) / p for n, p in enumerate(hits)) / min(k, total),
    }[metric]


def coverage(k):
    order, top = list(dict.fromkeys(i for _, i in train)), set()
    for u, items, _ in lists():
        top |= set(sorted(items, key=lambda i: (-score(u, i), order.index(i)))[:k])
    return len(top) / len(order)


names = [name for name in metrics.split() if protocol == "all" or name[:3] != "cov"]
sums, count = dict.fromkeys(names, 0.0), 0
for u, items, relevant in lists():
    count += 1
    for share, at in places(u, items, relevant):
        for name in names:
            if name[:3] == "cov":
                continue
            sums[name] += share * value(name, at, len(relevant))
for name in names:
    found = coverage(int(name[9:])) if name[:3] == "cov" else sums[name] / count
    print("test %s %.6g" % (name, round(found, 6)))
END
popularity= of_item=items.csv
metrics='hr@1 ndcg@3 recall@3 precision@3 mrr@10 map@10 recall_capped@10 coverage@1 ndcg@25 coverage@3'

named() { # PROTOCOL: coverage is of all items
    local names=$metrics

    [ "$1" = all ] || names=$(sed 's/coverage@[0-9]*//g' <<< "$metrics")
    xargs <<< "$names" | tr ' ' ,
}

# same NAME PROTOCOL TIES SEEN GIVEN [OVERRIDE ...]
same() {
    local name=$1 protocol=$2 ties=$3 seen=$4 given=$5 wanted

    shift 5
    run "$ROWHOUSE" train "$T/job.yaml" --quiet evaluate.protocol="$protocol" \
        evaluate.ties="$ties" evaluate.seen="$seen" \
        evaluate.metrics="$(named "$protocol")" data.negatives="${given:+$T/$given}" "$@"
    wanted=$("$PYTHON" "$T/expected.py" "$T" "$protocol" "$ties" "$seen" "$given" \
        "$metrics" "$popularity" "$of_item")
    is "$status $out" "0 $wanted" "$name"
}
for ties in expected behind ahead; do
    same "all items, equals $ties" all $ties leave_out ''
    same "given items, equals $ties" given $ties leave_out given.txt
done
same 'all items, also those that the user has' all expected keep ''
same "given items in NCF's form" given expected leave_out given.negative
same 'more sampled items than there are: all that the user does not have' sampled \
    expected leave_out '' evaluate.negatives=1000
same 'three workers and two servers: all items' all expected leave_out '' \
    cluster.workers=3 cluster.servers=2
same 'given items' given behind leave_out given.txt cluster.workers=3

# --- graphs of layers: with vectors of both sides, and without
graph=(model.kind=graph model.layers.u.kind=rows model.layers.u.columns=user
    model.layers.i.kind=rows model.layers.i.columns=item)
vectors=("${graph[@]}" model.output=u,i)
plain=("${graph[@]}" model.layers.s.kind=dot model.layers.s.inputs=u,i)
same 'a graph with vectors: all items' all behind leave_out '' "${vectors[@]}"
same 'given items' given expected leave_out given.txt "${vectors[@]}" cluster.workers=2
same 'a graph without: all items' all expected leave_out '' "${plain[@]}" \
    cluster.workers=3
same 'also those that the user has' all ahead keep '' "${plain[@]}"
same 'given items' given behind leave_out given.negative "${plain[@]}"

# --- what side tables have of the item goes with it
sides=("${graph[@]:0:3}" data.sides.films.files="$T/films.tsv" data.sides.films.key=item
    data.sides.films.id=item data.columns.genre.from=films data.columns.genre.table=genre
    tables.genre.dim=2 tables.genre.vectors="$T/genres.csv" model.layers.g.kind=rows
    model.layers.g.columns=genre)
of_item=sides.csv
same 'sides, with vectors' all behind leave_out '' "${sides[@]}" model.output=u,g
same 'without' all expected leave_out '' "${sides[@]}" model.layers.s.kind=dot \
    model.layers.s.inputs=u,g cluster.workers=2
run "$ROWHOUSE" train "$T/job.yaml" --quiet "${sides[@]}" model.output=u,g \
    evaluate.protocol=given evaluate.metrics=hr@1 data.negatives="$T/given.txt"
refused 2 'an item of which only the key is known' 'data.negatives has items that are in'
of_item=items.csv

# --- the popular ones
popularity=yes
popular=(model.kind=popularity tables.item.vectors=)
same 'the popular ones: all items' all behind leave_out '' "${popular[@]}"
same 'given items, also counted by three workers' given expected leave_out given.txt \
    "${popular[@]}" cluster.workers=3 cluster.servers=2 optimizer.l2=0.1 \
    checkpoint.dir="$T/popular"
is "$(exported "$T/popular" item | sed 1d | sort -n)" \
    "$(awk 'NR > 1 { n[$2]++ } END { for (i in n) print i "," n[i] }' "$T/train.tsv" |
        sort -n)" 'a row has how many examples have the item'
run "$ROWHOUSE" train "$T/job.yaml" --quiet "${popular[@]}" train.epochs=2
refused 2 'in one pass' 'train.epochs is 2, but model.kind popularity counts'
run "$ROWHOUSE" train "$T/job.yaml" --quiet "${popular[@]}" model.loss=logistic
refused 2 'without a loss' 'model.loss is set, but model.kind popularity'
run "$ROWHOUSE" train "$T/job.yaml" --quiet "${popular[@]}" train.negatives=1
refused 2 'of the data alone' 'train.negatives is 1, but model.kind popularity'
popular+=(data.label= optimizer.l1=0.1)
same 'without a label' all expected keep '' "${popular[@]}"
popularity=

# --- sampled: by the seed alone
sampled() { # [OVERRIDE ...]
    run "$ROWHOUSE" train "$T/job.yaml" --quiet evaluate.protocol=sampled \
        evaluate.negatives=5 evaluate.metrics=hr@1,ndcg@3 "$@"
}
sampled
ended 0 'sampled items'
first=$out
sampled cluster.workers=3
is "$out" "$first" 'are the same for three workers'
sampled evaluate.seed=2
unlike "$out" "$first" 'and others for another seed'
sampled evaluate.negatives_by=popularity
unlike "$out" "$first" 'or by popularity'
# All scores are equal: the item stands at each of 6 places as often.
sampled tables.item.vectors= 'evaluate.metrics=hr@1,hr@3,mrr@6' \
    evaluate.ties=expected
is "$(value hr@1) $(value hr@3) $(value mrr@6)" '0.166667 0.5 0.408333' \
    'there are as many as asked for, and the one that is looked for'

# --- the report, a checkpoint, and mpirun
run "$ROWHOUSE" train "$T/job.yaml" --quiet --report "$T/r.json" checkpoint.dir="$T/ck"
whole=$out
is "$(json "$T/r.json" '" ".join(d["test"])')" "$metrics" 'the report has all of them'
run "$ROWHOUSE" evaluate "$T/job.yaml" --checkpoint "$T/ck"
is "$status $out" "0 $whole" 'a checkpoint gives the same'
run "$ROWHOUSE" evaluate "$T/job.yaml" --checkpoint "$T/ck" evaluate.seen=keep \
    cluster.workers=2
is "$status $([ "$out" != "$whole" ] && echo other)" '0 other' \
    'and may be asked otherwise'
mpi 4 train "$T/job.yaml" --quiet cluster.servers=2
run -t 40 "${mpi[@]}"
is "$status $out" "0 $whole" 'two servers and two workers under mpirun'

# --- what is wrong
wrong() { # NAME REGEX OVERRIDE ...
    run "$ROWHOUSE" train "$T/job.yaml" --quiet "${@:3}"
    refused 2 "$1" "$2"
}
wrong 'given items without files' 'data.negatives is not set' evaluate.protocol=given
wrong 'files without the protocol' 'evaluate.protocol is all, expected given' \
    data.negatives="$T/given.txt"
wrong 'coverage of other lists' 'coverage, which needs evaluate.protocol all' \
    evaluate.protocol=sampled
wrong 'a metric of single scores' 'metrics has rmse, but evaluate.protocol is all' \
    evaluate.metrics=rmse
wrong 'a metric of lists for single scores' 'which needs an evaluate.protocol' \
    evaluate.protocol=split
wrong 'data that are not in memory' 'needs the data in memory, but data.in_memory' \
    data.in_memory=false
wrong 'keys that are changed' 'data.negatives has keys as they stand' \
    evaluate.protocol=given \
    evaluate.metrics=hr@1 data.negatives="$T/given.txt" data.columns.item.hash=10
wrong 'a cross of user and item' 'data.columns.both is made of columns of the item' \
    tables.both.dim=2 data.columns.both.make=cross data.columns.both.of=user,item \
    data.columns.both.table=both
wrong 'no such file' "data.negatives.*none.txt" evaluate.protocol=given \
    evaluate.metrics=hr@1 data.negatives="$T/none.txt"
sed 3d "$T/given.txt" > "$T/few.txt"
wrong 'a user without a line' 'no items for the user with the key 3,' \
    evaluate.protocol=given \
    evaluate.metrics=hr@1 data.negatives="$T/few.txt"
sed '2s/,/ /' "$T/given.negative" > "$T/bad.negative"
wrong 'a line that is none' "bad.negative line 2.*\(user,item\)" \
    evaluate.protocol=given \
    evaluate.metrics=hr@1 data.negatives="$T/bad.negative"
no_leftovers
done_testing
