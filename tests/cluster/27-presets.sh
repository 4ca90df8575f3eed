#!/bin/bash
# Every preset trains, tests and goes on from a checkpoint; in one process and in several.
. "$(dirname "$0")/lib.sh"

# Ratings again, with the user's age, tags and what is known of items in a side table.
ratings 120 90 24 | awk -F'\t' 'BEGIN { OFS = "\t" }
    NR == 1 { print $1, $2, $3, "age", "tags"; next }
    { print $1, $2, $3, 20 + $1 * 7 % 5, "t" $1 % 3 "|t" $2 % 4 }' > "$T/d.tsv"
awk 'BEGIN { print "id\tgenre\tyear"; for (i = 1; i <= 90; i++) print i "\t" i * 3 % 5 "\t" 1990 + i % 20 }' \
    > "$T/items.tsv"
C=$T/ck
cat > "$T/job.yaml" << END
name: small
data:
  train: $T/d.tsv
  label: rating
  positive_from: 3
  columns:
    user: {as: key, table: user}
    item: {as: key, table: item}
    tags: {as: keys, table: tag}
    age: {as: number, scale: standard}
    genre: {as: key, table: genre, from: items}
    year: {as: number, from: items, scale: standard}
  sides: {items: {files: $T/items.tsv, key: item, id: id}}
  split: {test: 0.1}
tables: {user: {dim: 8}, item: {dim: 8}, tag: {dim: 8}, genre: {dim: 8}}
model: {loss: logistic, hidden: [16, 4]}
optimizer: {kind: adam, rate: 0.01, l2: 0}
train: {epochs: 6, batch: 64}
evaluate: {metrics: [logloss, accuracy]}
checkpoint: {dir: $C}
END
# With the log loss that the same score for all would have.
chance=$(awk 'NR > 1 { n++; p += $3 >= 3 } END { p /= n; print -p * log(p) - (1 - p) * log(1 - p) }' \
    "$T/d.tsv")
train() { # SETTING ...
    run -t 60 "$ROWHOUSE" train "$T/job.yaml" "$@"
}

# The log loss of predictions for all lines.
predicted() {
    paste "$T/d.tsv" <(echo p; cat "$T/p.txt") | awk -F'\t' 'NR > 1 {
        n++; s -= log($3 >= 3 ? $6 : 1 - $6) } END { print s / n }'
}

# learns NAME SETTING ...: trains in two parts, which come to the same as one,
# and predicts.
learns() {
    local name=$1 straight

    shift
    train "$@" train.inflight=0 checkpoint.dir="$T/straight" --fresh
    ended 0 "$name trains"
    straight=$(value logloss)
    less "$straight" "$(awk "BEGIN { print 0.9 * $chance }")" '... and has learnt'
    train "$@" train.inflight=0 train.epochs=2 --fresh
    train "$@" train.inflight=0 --resume cluster.servers=2
    ended 0 '... and goes on'
    is "$(value logloss)" "$straight" '... to the same'
    run "$ROWHOUSE" evaluate "$T/job.yaml" "$@"
    is "$(value logloss)" "$straight" '... which evaluate finds, too'
    run "$ROWHOUSE" predict "$T/job.yaml" "$@" --data "$T/d.tsv" --out "$T/p.txt"
    ended 0 '... and it predicts'
    less "$(predicted)" "$(awk "BEGIN { print 0.9 * $chance }")" '... what was learnt'
}
learns 'logistic regression' model.kind=linear
learns fm model.kind=fm
learns deepfm model.kind=deepfm model.dropout=0.1
learns 'wide & deep' model.kind=widedeep tables.tag.dim=3
learns dcn model.kind=dcn model.batch_norm=true
learns dlrm model.kind=dlrm model.bottom=12
learns gmf model.kind=gmf
learns mlp model.kind=mlp model.activation=gelu
learns neumf model.kind=neumf
learns 'two towers' model.kind=twotower
learns 'mf with features' model.kind=mf model.features=true
learns 'mf with features, without bias' model.kind=mf model.features=true model.bias=false

# --- a support vector machine, and numbers alone
for loss in hinge squared_hinge; do
    train model.kind=linear model.loss=$loss evaluate.metrics=accuracy --fresh
    ended 0 "a support vector machine trains with $loss"
    less 0.7 "$(value accuracy)" '... and tells classes apart'
done
cat > "$T/numbers.yaml" << END
name: numbers
data:
  train: $T/d.tsv
  label: rating
  columns: {age: {as: number, scale: standard}}
  split: {test: 0.1}
model: {kind: linear}
optimizer: {kind: adam, rate: 0.01, l2: 0}
train: {epochs: 3, batch: 64}
END
for kind in linear widedeep dcn; do
    run "$ROWHOUSE" train "$T/numbers.yaml" model.kind=$kind
    ended 0 "numbers alone train as $kind"
    less "$(value rmse)" 1 '... to a number'
done

# --- several processes
for kind in deepfm dcn twotower; do
    mpi 4 train "$T/job.yaml" cluster.servers=2 model.kind=$kind model.batch_norm=true --fresh
    run -t 90 "${mpi[@]}"
    ended 0 "$kind trains as two servers and two workers"
    less "$(value logloss)" "$chance" '... and has learnt'
    mpi 3 train "$T/job.yaml" cluster.servers=1 train.epochs=7 model.kind=$kind \
        model.batch_norm=true --resume
    run -t 90 "${mpi[@]}"
    ended 0 '... and goes on as one and two' 'epoch 7/7'
done
# --- the same bits, whoever has the rows and whatever process computes
bsp=(model.kind=dcn model.batch_norm=true model.dropout=0.2 train.consistency=bsp train.epochs=2)
bits() { # DIR: of keys' rows, of a layer's and of running means
    for table in item deep1 deep1-norm-running; do
        exported "$1" $table | sort
    done | sha256sum
}
train "${bsp[@]}" cluster.workers=2 cluster.servers=1 checkpoint.dir="$T/one" --fresh
ended 0 'one server and two workers in step'
train "${bsp[@]}" cluster.workers=2 cluster.servers=3 checkpoint.dir="$T/three" --fresh
is "$(bits "$T/three")" "$(bits "$T/one")" 'three servers have the same bits'
mpi 4 train "$T/job.yaml" "${bsp[@]}" cluster.servers=2 checkpoint.dir="$T/two"
run -t 90 "${mpi[@]}"
is "$(bits "$T/two")" "$(bits "$T/one")" 'and so have two as processes'
like "$(exported "$T/one" deep1-norm-running)" '[1-9]' 'which are not nothing'

train model.kind=dcn train.epochs=7 --resume
ended 2 'another preset is no continuation' 'model'
no_leftovers
done_testing
