#!/bin/bash
# Negatives: losses that set items against each other find what is planted in the data;
# the same bits for any number of servers, and when a run goes on; what cannot be; and
# gradient descent on all examples at a time.
. "$(dirname "$0")/lib.sh"

# 200 users have 12 items each, mostly from their own quarter of 100; nothing is popular.
awk 'BEGIN {
    print "user\titem"
    for (u = 0; u < 200; u++)
        for (k = 0; k < 12; k++)
            print u "\t" (k % 6 == 5 ? (u * 7 + k * 31) % 100 \
                                     : (u * 11 + k * (3 + u % 7)) % 25 * 4 + u % 4)
}' > "$T/d.tsv"
awk 'BEGIN {
    print "item\tquarter\tprice"
    for (i = 0; i < 100; i++)
        print i "\t" i % 4 "\t" i / 100
}' > "$T/items.tsv"
cat > "$T/job.yaml" << END
name: chosen
data:
  train: $T/d.tsv
  columns: {user: {table: user}, item: {table: item}}
tables: {user: {dim: 8, scale: 0.1}, item: {dim: 8, scale: 0.1}}
optimizer: {kind: adagrad, rate: 0.1}
train: {epochs: 8, batch: 64, negatives: 4, consistency: bsp}
checkpoint: {every: 0}
END
cat > "$T/graph.yaml" << END
name: chosen
data:
  train: $T/d.tsv
  columns:
    user: {table: user}
    item: {table: item}
    quarter: {table: quarter, from: items}
    price: {as: number, from: items}
  sides: {items: {files: $T/items.tsv, key: item, id: item}}
tables:
  user: {dim: 6, scale: 0.1}
  item: {dim: 4, scale: 0.1}
  quarter: {dim: 4, scale: 0.1}
model:
  kind: graph
  layers:
    left: {kind: rows, columns: user}
    i: {kind: rows, columns: item}
    q: {kind: rows, columns: quarter}
    p: {kind: numbers, columns: price}
    all: {kind: concat, inputs: [i, q, p]}
    right: {width: 6}
  output: [left, right]
optimizer: {kind: adagrad, rate: 0.1}
train: {epochs: 3, batch: 64, negatives: 4, consistency: bsp}
checkpoint: {every: 0}
END

# --- what they learn --------------------------------------------------------------------

for user in 3 8 21 50 77 102 151 190; do echo $user; done > "$T/users"

# share CHECKPOINT: of items of the user's own quarter among the ten recommended; a list
# that is the same for all users has a quarter.
share() {
    "$ROWHOUSE" recommend "$T/job.yaml" checkpoint.dir="$1" --users "$T/users" --top 10 \
        --json > "$T/lists"
    "$PYTHON" -c '
import json, sys
lists = [json.loads(line) for line in open(sys.argv[1])]
hits = [int(i["key"]) % 4 == int(u["user"]) % 4 for u in lists for i in u["items"]]
print(len(hits) == 80 and sum(hits) / len(hits))' "$T/lists"
}

n=0
for settings in model.loss=bpr model.loss=warp model.loss=sampled_softmax model.loss=logistic \
    'model.loss=sampled_softmax train.negatives_by=popularity' \
    'model.loss=sampled_softmax train.negatives=0 train.negatives_by=batch'; do
    n=$((n + 1))
    run "$ROWHOUSE" train "$T/job.yaml" --quiet $settings checkpoint.dir="$T/learned-$n" \
        --report "$T/report.json"
    ended 0 "trains with $settings"
    is "$(json "$T/report.json" "d['epochs'][0]['examples']")" 2400 \
        '... the examples are those of the data'
    less 0.85 "$(share "$T/learned-$n")" '... finds whose items are whose'
done

# --- the same bits ----------------------------------------------------------------------

bits() { # CHECKPOINT TABLE ...
    local table

    for table in "${@:2}"; do
        exported "$1" "$table" || return
    done | md5sum
}

for servers in 1 2 3; do
    run "$ROWHOUSE" train "$T/graph.yaml" --quiet model.loss=bpr cluster.servers=$servers \
        cluster.workers=3 checkpoint.dir="$T/graph-$servers"
    ended 0 "a graph with columns of the item, $servers servers and 3 workers"
    [ $servers -eq 1 ] && wanted=$(bits "$T/graph-1" user item quarter right)
    is "$(bits "$T/graph-$servers" user item quarter right)" "$wanted" \
        '... gives the same bits'
done
run "$ROWHOUSE" train "$T/graph.yaml" --quiet model.loss=bpr cluster.workers=3 \
    train.epochs=2 checkpoint.dir="$T/later"
ended 0 'a run of two epochs'
run "$ROWHOUSE" train "$T/graph.yaml" --quiet model.loss=bpr cluster.workers=3 \
    cluster.servers=2 checkpoint.dir="$T/later" --resume
ended 0 '... that goes on to the third'
is "$(bits "$T/later" user item quarter right)" "$wanted" '... gives the same bits'
run "$ROWHOUSE" train "$T/graph.yaml" --quiet model.loss=bpr train.negatives=5 \
    checkpoint.dir="$T/later" train.epochs=4 --resume
refused 2 'other negatives are another run' train.negatives
mpi 5 train "$T/graph.yaml" --quiet model.loss=bpr cluster.servers=2 checkpoint.dir="$T/ranks"
run -t 40 "${mpi[@]}"
ended 0 '2 servers and 3 workers as processes'
is "$(bits "$T/ranks" user item quarter right)" "$wanted" '... give the same bits'

# --- what cannot be ---------------------------------------------------------------------

run sh -c '"$0" train "$1" --quiet data.train=- train.consistency=async train.epochs=1 < "$2"' \
    "$ROWHOUSE" "$T/job.yaml" "$T/d.tsv"
refused 2 'negatives of a pipe' memory
run "$ROWHOUSE" train "$T/job.yaml" --quiet data.in_memory=false
refused 2 'negatives of data that are not in memory' data.in_memory
run "$ROWHOUSE" train "$T/job.yaml" --quiet model.loss=bpr data.split.test=0.1
refused 2 'an error of scores that have no scale' rmse bpr

# --- gradient descent -------------------------------------------------------------------

# One batch has all examples: the weights are those of plain gradient descent on the sum
# of squared errors (half of it) and penalties, which Python computes from the same
# beginning.
ratings 30 20 8 > "$T/r.tsv"
job "$T/r.tsv" 'train: {batch: 100000}' 'checkpoint: {every: 0}' |
    sed 's/^optimizer.*/optimizer: {kind: sgd, rate: 0.01, l2: 0.05}/; s/^  split.*//' \
        > "$T/descent.yaml"
run "$ROWHOUSE" train "$T/descent.yaml" --quiet optimizer.rate=0 train.epochs=1 \
    checkpoint.dir="$T/begin"
ended 0 'first values'
run "$ROWHOUSE" train "$T/descent.yaml" --quiet train.epochs=12 checkpoint.dir="$T/end"
ended 0 'twelve steps of gradient descent'
for part in begin end; do
    for table in user item; do
        exported "$T/$part" $table > "$T/$part-$table.csv"
    done
done
cat > "$T/descent.py" << 'END'
import csv, sys
folder = sys.argv[1]
def rows(name):
    lines = list(csv.reader(open(f"{folder}/{name}.csv")))[1:]
    return {line[0]: [float(x) for x in line[1:]] for line in lines}
data = [line.rstrip("\n").split("\t") for line in open(f"{folder}/r.tsv")][1:]
data = [(d[0], d[1], float(d[2])) for d in data]
mean = sum(d[2] for d in data) / len(data)
U, V = rows("begin-user"), rows("begin-item")
for step in range(12):
    du = {k: [0] * 5 for k in U}
    dv = {k: [0] * 5 for k in V}
    for u, i, y in data:
        a, b = U[u], V[i]
        e = mean + a[4] + b[4] + sum(x * z for x, z in zip(a[:4], b[:4])) - y
        for j in range(4):
            du[u][j] += e * b[j] + 0.05 * a[j]
            dv[i][j] += e * a[j] + 0.05 * b[j]
        du[u][4] += e + 0.05 * a[4]
        dv[i][4] += e + 0.05 * b[4]
    for table, d in ((U, du), (V, dv)):
        for k in table:
            table[k] = [x - 0.01 * g for x, g in zip(table[k], d[k])]
worst = 0
for table, name in ((U, "end-user"), (V, "end-item")):
    for k, row in rows(name).items():
        worst = max([worst] + [abs(x - y) for x, y in zip(row, table[k])])
print(worst)
END
near "$("$PYTHON" "$T/descent.py" "$T")" 0 1e-5 '... are those of plain gradient descent'

no_leftovers
done_testing
