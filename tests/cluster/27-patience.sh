#!/bin/bash
# Evaluations between epochs and early stopping: the best epoch is what is kept, tested and
# gone on from; through Ctrl-C and killed processes.
. "$(dirname "$0")/lib.sh"

# Factors for noise: they learn it by heart, and the validation part gets worse.
awk 'BEGIN {
    print "user\titem\trating\ttitle"
    for (u = 1; u <= 200; u++)
        for (k = 0; k < 30; k++) {
            i = (u * 17 + k * 37) % 150 + 1
            print u "\t" i "\t" 3 + (i % 5 - 2) * 0.3 + (u * 7919 + i * 10473) % 97 / 40 "\tItem " i
        }
}' > "$T/d.tsv"
job "$T/d.tsv" 'train: {epochs: 30, batch: 128, consistency: bsp, patience: 2}' \
    'evaluate: {metrics: [rmse, mae], every: 1}' 'checkpoint: {every: 0, keep: 1}' |
    sed 's/split: {test: 0.1}/split: {test: 0.1, validation: 0.1}/' > "$T/job.yaml"
own='optimizer.rate=0.3 optimizer.l2=0 tables.user.dim=16 tables.item.dim=16'

train() { # DIR ARGUMENT ...
    run "$ROWHOUSE" train "$T/job.yaml" $own checkpoint.dir="$T/$1" --report "$T/$1.json" "${@:2}"
}
bits() { # DIR
    { exported "$T/$1" user; exported "$T/$1" item; } | md5sum
}

train one
ended 0 'it stops early' 'validation rmse' 'back to its checkpoint'
tested=$out
best=$(json "$T/one.json" 'd["best"]["epoch"]')
less "$best" 25 'the best epoch is an early one'
is "$(json "$T/one.json" 'len(d["epochs"]) - d["best"]["epoch"]')" 2 'two more were tried'
is "$(json "$T/one.json" 'min(d["epochs"], key=lambda e: e["metrics"]["rmse"])["epoch"]')" \
    "$best" 'it is the best of the report'
value=$(json "$T/one.json" 'min(e["metrics"]["rmse"] for e in d["epochs"])')
run "$ROWHOUSE" evaluate "$T/job.yaml" $own checkpoint.dir="$T/one"
is "$status $out" "0 $tested" 'evaluate says what the run said'
is "$(ls "$T/one" | wc -l)" 1 'one checkpoint is kept'
run "$ROWHOUSE" inspect "$T/one" --json
is "$(json "$T/.out" 'd["epoch"]')" "$best" 'of the best epoch'
wanted=$(bits one)
train only train.epochs="$best" train.patience=0 evaluate.every=0
is "$(bits only) $out" "$wanted $tested" 'as if no other had been trained'
train one --resume
is "$status $out $(bits one)" "0 $tested $wanted" 'going on trains nothing'
run "$ROWHOUSE" evaluate "$T/job.yaml" $own checkpoint.dir="$T/one" evaluate.part=validation
near "$(sed -n 's/^validation rmse //p' <<< "$out")" "$value" 0.00001 \
    'the validation part scores as it did then'

train more train.patience=5
wanted_more="$out $(bits more)"
cp -r "$T/one" "$T/longer"
train longer --resume train.patience=5
is "$status $out $(bits longer)" "0 $wanted_more" 'with more patience as if it had had that before'

# --- interrupted, and killed
shoot() { # ROLE: fails while there is no such process
    local pid

    pid=$(ours "^rowhouse child [0-9]+ $1" | head -n 1)
    [ -n "$pid" ] && kill -KILL "$pid"
}
# With time to be stopped in; later epochs are not better.
start "$ROWHOUSE" train "$T/job.yaml" $own checkpoint.dir="$T/stopped" train.patience=9000 \
    train.epochs=9000
wait_for 20 said '^epoch 2/'
kill -INT "$job"
finish
ended 130 'Ctrl-C saves' 'go on with --resume'
train stopped --resume
is "$status $out $(bits stopped)" "0 $tested $wanted" 'what goes on comes to the same'
mpi 4 train "$T/job.yaml" $own cluster.servers=2 checkpoint.dir="$T/two" --report "$T/two.json"
run "${mpi[@]}"
is "$status" 0 'as processes'
two="$out $(bits two)"
mpi 4 train "$T/job.yaml" $own cluster.servers=2 checkpoint.dir="$T/shot" cluster.restarts_max=9
start "${mpi[@]}"
n=0
for at in 'worker 1' 'server 0' 'worker 0' 'server 1'; do
    wait_for 20 said "^epoch $((++n))/"
    wait_for 10 shoot "$at"
done
finish
is "$status $out $(bits shot)" "0 $two" 'the same with processes killed at any stage'
like "$err" 'signal 9' 'they were'

# --- rankings
ranked="evaluate.metrics=ndcg@10,coverage@10 evaluate.protocol=all evaluate.part=validation"
train ranked $ranked train.epochs=4
ended 0 'rankings can be waited for' 'validation ndcg@10'
tested=$out
run "$ROWHOUSE" evaluate "$T/job.yaml" $own $ranked checkpoint.dir="$T/ranked"
is "$status $out" "0 $tested" 'evaluate says the same'
near "$(sed -n 's/^validation ndcg@10 //p' <<< "$out")" \
    "$(json "$T/ranked.json" 'max(e["metrics"]["ndcg@10"] for e in d["epochs"])')" 0.00001 \
    'of the best epoch, which has most'
run "$ROWHOUSE" evaluate "$T/job.yaml" $own $ranked checkpoint.dir="$T/ranked" evaluate.part=test
ended 0 'and the test part by itself'

# --- what is refused
train no $ranked evaluate.part=test
refused 2 'rankings between epochs are of the validation part' 'needs evaluate.part: validation'
train no evaluate.every=0
refused 2 'patience needs evaluations' 'train.patience is set, but it needs evaluate.every'
train no data.split.validation=0
refused 2 'and a validation part' 'there is no validation part'
run "$ROWHOUSE" train "$T/job.yaml" $own
refused 2 'and somewhere to keep the best' 'it needs checkpoint.dir'
no_leftovers
done_testing
