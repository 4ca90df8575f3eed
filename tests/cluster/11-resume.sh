#!/bin/bash
# Checkpoints: going on from one, with other numbers of servers and workers, after a
# Ctrl-C in the middle of an epoch; what is kept; what is refused.
. "$(dirname "$0")/lib.sh"

ratings 300 200 30 > "$T/d.tsv"
C=$T/ck
job "$T/d.tsv" "checkpoint: {dir: $C}" \
    'train: {epochs: 2, batch: 64}' > "$T/job.yaml"
train() { # ARGUMENT ...
    run "$ROWHOUSE" train "$T/job.yaml" "$@"
}
# What the newest checkpoint of a directory says of itself.
inspect() { # EXPRESSION [DIR]
    "$ROWHOUSE" inspect "${2:-$C}" --json > "$T/inspect.json" && json "$T/inspect.json" "$1"
}
# Every directory of checkpoints is whole, but for none at all.
whole() {
    local dir

    for dir in "$1"/checkpoint-*/; do
        [ -e "$dir/manifest" ] || return 1
        "$ROWHOUSE" verify "$dir" > /dev/null || return 1
    done
}

# --- with other numbers of servers and workers
train cluster.servers=1 cluster.workers=1
ended 0 'one server and one worker begin'
is "$(inspect '(d["epoch"], d["examples_left"], len(d["shards"]))')" '(2, 0, 1)' \
    'and leave a checkpoint of two epochs in one shard'
one=$(value rmse)
examples=$(inspect 'd["data"]["train_examples"]')
train --resume train.epochs=4 cluster.servers=3 cluster.workers=2 --report "$T/r.json"
ended 0 'three servers and two workers go on' '^epoch 3/4' 'epoch 4/4'
is "$(json "$T/r.json" '[(e["epoch"], e["examples"]) for e in d["epochs"]]')" \
    "[(3, $examples), (4, $examples)]" 'epochs are numbered from the beginning'
is "$(inspect '(d["epoch"], len(d["shards"]))')" '(4, 3)' 'now in three shards'
less "$(value rmse)" "$one" 'and better for it'
rows=$(inspect '[(name, t["rows"]) for name, t in d["tables"].items()]')
train --resume train.epochs=6 cluster.servers=2 cluster.workers=1
ended 0 'two servers and one worker go on'
is "$(inspect '(d["epoch"], len(d["shards"]))')" '(6, 2)' 'in two shards'
is "$(inspect '[(name, t["rows"]) for name, t in d["tables"].items()]')" "$rows" 'no row was lost'
last=$(value rmse)
train --resume train.epochs=6 --report "$T/r.json"
ended 0 'resuming what is finished trains nothing'
near "$(value rmse)" "$last" 1e-6 'and tests the same'
is "$(json "$T/r.json" 'd["epochs"]')" '[]' 'no epoch in the report'

# The same numbers as without the interruption, where nothing runs at the same time.
run "$ROWHOUSE" train "$T/job.yaml" checkpoint.dir="$T/straight" train.inflight=0 train.epochs=4
straight=$(value rmse)
run "$ROWHOUSE" train "$T/job.yaml" checkpoint.dir="$T/broken" train.inflight=0 train.epochs=1
run "$ROWHOUSE" train "$T/job.yaml" checkpoint.dir="$T/broken" train.inflight=0 train.epochs=4 \
    --resume cluster.servers=2
is "$status $(value rmse)" "0 $straight" 'a run in two parts comes to the same numbers'

# --- what is refused
train
refused 2 'checkpoints are not trodden on' "$C" --resume --fresh
train --resume --fresh
refused 2 'both are too much' --resume --fresh
train --resume checkpoint.dir="$T/none"
refused 2 'nothing to resume' "$T/none"
mkdir "$T/empty"
train --resume checkpoint.dir="$T/empty"
refused 2 'nothing in there to resume' "$T/empty"
train --resume checkpoint.dir=
refused 2 'nowhere to resume from' checkpoint.dir
for setting in optimizer.rate=0.2 tables.user.dim=8,tables.item.dim=8 train.batch=32 \
    model.loss=logistic train.seed=2 data.split.seed=2 tables.item.scale=0.2 \
    tables.user.optimizer.rate=0.2 tables.item.optimizer.kind=adam; do
    train --resume ${setting//,/ }
    refused 2 "another $setting" "${setting%%=*}" "$C"
done
is "$(inspect 'd["number"]')" 6 'none of this has touched the checkpoints'
train --resume train.epochs=7 checkpoint.keep=2 cluster.memory_max=100MiB --quiet
ended 0 'what may change may'

# --- tables with optimizers of their own
own='tables.item.optimizer.kind=adam tables.item.optimizer.rate=0.01'
run "$ROWHOUSE" train "$T/job.yaml" checkpoint.dir="$T/own" $own train.inflight=0 train.epochs=4
is "$status $(inspect '[d["tables"][t]["state_width"] for t in ("user", "item")]' "$T/own")" \
    '0 [5, 11]' 'a table has the state of its own optimizer'
is "$(inspect 'd["settings"]["tables.item.optimizer.kind"]' "$T/own")" adam \
    'and inspect shows it'
own_rmse=$(value rmse)
run "$ROWHOUSE" train "$T/job.yaml" checkpoint.dir="$T/own2" $own train.inflight=0 train.epochs=1
run "$ROWHOUSE" train "$T/job.yaml" checkpoint.dir="$T/own2" $own train.inflight=0 \
    train.epochs=4 --resume cluster.servers=2
is "$status $(value rmse)" "0 $own_rmse" 'a run in two parts comes to the same numbers'
run "$ROWHOUSE" train "$T/job.yaml" checkpoint.dir="$T/own2" train.inflight=0 train.epochs=4 \
    --resume
refused 2 'going on without it' 'tables.item.optimizer.kind is inherit' 'made with adam'

# --- how many, how often
is "$(ls "$C" | tr '\n' ' ')" 'checkpoint-0000000006 checkpoint-0000000007 ' \
    'checkpoint.keep: the two newest'
train --fresh
ended 0 '--fresh starts anew'
is "$(inspect 'd["epoch"]')" 2 'with its own epochs'
is "$(ls "$C" | wc -l)" 2 'the earlier ones have made way'
numbers() { # SETTING ...: of the checkpoints that a run leaves
    run "$ROWHOUSE" train "$T/job.yaml" checkpoint.dir="$T/n" checkpoint.keep=100 --fresh "$@"
    for dir in "$T"/n/*; do inspect 'd["epoch"]' "$dir"; done | tr '\n' ' '
    rm -rf "$T/n"
}
is "$(numbers train.epochs=3)" '1 2 3 ' 'one an epoch'
is "$(numbers train.epochs=5 checkpoint.every='2 epochs')" '2 4 5 ' 'every two epochs, and the end'
is "$(numbers train.epochs=4 checkpoint.every=0)" '4 ' 'only at the end'
run "$ROWHOUSE" train "$T/job.yaml" checkpoint.dir="$T/often" checkpoint.every='0.1 s' \
    train.batch=1 train.epochs=4 checkpoint.keep=100 --report "$T/r.json"
ended 0 'ten a second'
less 2 "$(ls "$T/often" | wc -l)" 'several, at any time'
whole "$T/often"
ok $? 'all of them whole'
is "$(json "$T/r.json" '({e["examples"] for e in d["epochs"]}, d["pushes"]["applied"])')" \
    "({$examples}, $((4 * examples)))" 'every example of every epoch was used once'
mkdir "$T/early"
mv "$(ls -d "$T"/often/* | head -n 1)" "$T/early"
left=$(inspect 'd["examples_left"]' "$T/early")
epoch=$(inspect 'd["epoch"] + 1' "$T/early")
less 0 "$left" 'the first is in the middle of an epoch'
run "$ROWHOUSE" train "$T/job.yaml" checkpoint.dir="$T/early" train.batch=1 --resume \
    train.epochs=$epoch cluster.workers=3 --report "$T/r.json"
is "$status $(json "$T/r.json" '[(e["epoch"], e["examples"]) for e in d["epochs"]]')" \
    "0 [($epoch, $left)]" 'going on from there trains what is left of it'

# --- Ctrl-C
# With batches of one example and one server, a push is an example.
interrupted() { # NAME ARGUMENT ...: interrupts it in the middle of an epoch
    start "$ROWHOUSE" train "$T/job.yaml" checkpoint.dir="$T/int" checkpoint.every=0 \
        train.batch=1 train.epochs=1000 --report "$T/r.json" "${@:2}"
    wait_for 20 said '^epoch '
    sleep 0.1
    kill -INT "$job"
    finish
    ended 130 "$1" 'interrupted in epoch' "$T/int" --resume
}
interrupted 'Ctrl-C'
left=$(inspect 'd["examples_left"]' "$T/int")
epoch=$(inspect 'd["epoch"]' "$T/int")
sent=$(json "$T/r.json" 'd["pushes"]["sent"]')
less 0 "$left" 'leaves a checkpoint in the middle of an epoch'
is "$(json "$T/r.json" '(len(d["epochs"]), d["pushes"]["applied"])')" "($epoch, $sent)" \
    'the report has the epochs that are finished'
is $((sent + left)) $((examples * (epoch + 1))) 'what it has trained and what is left is all'
is "$(value rmse)" '' 'there is no result yet'
interrupted 'and again, after going on with three workers' --resume cluster.workers=3
is "$(json "$T/r.json" 'd["epochs"][0]["examples"]')" "$left" \
    'what was left of that epoch came first'
sent=$((sent + $(json "$T/r.json" 'd["pushes"]["sent"]')))
left=$(inspect 'd["examples_left"]' "$T/int")
epoch=$(inspect 'd["epoch"]' "$T/int")
is $((sent + left)) $((examples * (epoch + 1))) 'still nothing lost, nothing twice'
run "$ROWHOUSE" train "$T/job.yaml" checkpoint.dir="$T/int" --resume train.batch=1 \
    train.epochs=$((epoch + 2)) cluster.workers=2 --report "$T/r.json"
is "$status $(json "$T/r.json" '[(e["epoch"], e["examples"]) for e in d["epochs"]]')" \
    "0 [($((epoch + 1)), $left), ($((epoch + 2)), $examples)]" 'and on to the end'
sent=$((sent + $(json "$T/r.json" 'd["pushes"]["sent"]')))
is $sent $((examples * (epoch + 2))) 'with every example of every epoch once'
whole "$T/int"
ok $? 'no directory there is anything but a whole checkpoint'
start "$ROWHOUSE" train "$T/job.yaml" checkpoint.dir= train.epochs=100000
wait_for 20 said '^epoch 2/'
kill -INT "$job"
finish
ended 130 'without checkpoint.dir Ctrl-C just ends it' 'nothing was saved'
start "$ROWHOUSE" train "$T/job.yaml" checkpoint.dir="$T/term" train.epochs=100000
wait_for 20 said '^epoch 2/'
kill -TERM "$job"
finish
ended 130 'SIGTERM is as good' --resume
no_leftovers
done_testing
