#!/bin/bash
# The same jobs under mpirun: one process a rank, the true exit status, one voice, and
# nothing left behind.
. "$(dirname "$0")/lib.sh"

ratings 300 200 30 > "$T/d.tsv"
C=$T/ck
job "$T/d.tsv" "checkpoint: {dir: $C}" 'train: {epochs: 4, batch: 64}' > "$T/job.yaml"
run "$ROWHOUSE" train "$T/job.yaml" --quiet checkpoint.dir=
alone=$(value rmse)
complaints() { # what the program itself has said
    grep -c '^rowhouse: ' <<< "$err"
}
cd "$T" || exit 1
mkdir tmp
export TMPDIR=$T/tmp

# --- it works
mpi 4 train job.yaml cluster.servers=2 --report r.json
run "${mpi[@]}"
ended 0 'two servers and two workers'
like "$out" '^test rmse [0-9.]+$' 'the result, once'
is "$(grep -c '^epoch [1-4]/4  loss' "$T/.err")" 4 'one line an epoch, as alone'
is "$(wc -l < "$T/.err")" 4 'and nothing else'
near "$(value rmse)" "$alone" 0.05 'it learns as much as one process'
is "$(json r.json '(d["servers"], d["workers"], d["restarts"],
    [e["epoch"] for e in d["epochs"]], len({e["examples"] for e in d["epochs"]}),
    d["pushes"]["sent"] == d["pushes"]["applied"] > 0, d["cpu_seconds"] > 0)')" \
    '(2, 2, 0, [1, 2, 3, 4], 1, True, True)' 'the report counts all ranks'
run "$ROWHOUSE" verify "$C"
is "$status $(grep -c ^shard <<< "$out")" '0 2' 'the checkpoint has two shards'
mpi 5 train job.yaml cluster.servers=4 cluster.network=127.0.0.0/8 --resume train.epochs=5 --quiet
run "${mpi[@]}"
ended 0 'four servers and one worker go on from it, on a network that is named'
is "$err" '' 'and --quiet is quiet'
near "$(value rmse)" "$alone" 0.05 'as well'

# Ports are those that are free: two jobs do not mind each other. Here plain mpirun, too.
roots=()
[ "$(id -u)" -eq 0 ] && roots=(OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1)
start env "${roots[@]}" mpirun --oversubscribe -n 3 "$ROWHOUSE" train job.yaml \
    checkpoint.dir=plain --quiet
mpi 2 train job.yaml checkpoint.dir=beside --quiet
"${mpi[@]}" > beside.txt 2>&1 < /dev/null
is "$? $(grep -c '^test rmse' beside.txt)" '0 1' 'a job beside another'
finish
ended 0 'and the other one, under plain mpirun'
near "$(value rmse)" "$alone" 0.05 'learns, too'
run env "${roots[@]}" mpirun --oversubscribe -n 2 "$ROWHOUSE" train job.yaml checkpoint.dir=plain
is "$status $(complaints)" '2 1' 'plain mpirun has the status of the first rank'

# --- what is wrong is said once
# refused_by RANKS NAME ARGUMENT ... -- REGEX ...
refused_by() {
    local ranks=$1 name=$2 arguments=()

    shift 2
    while [ "$1" != -- ]; do
        arguments+=("$1")
        shift
    done
    shift
    mpi "$ranks" train "${arguments[@]}"
    run "${mpi[@]}"
    refused 2 "$name" "$@"
}
refused_by 3 'an unknown setting' job.yaml train.epoch=3 -- train.epochs
refused_by 3 'more servers than ranks' job.yaml --fresh cluster.servers=7 -- 'servers is 7' '3 ranks'
refused_by 2 'no rank left to be a worker' job.yaml --fresh cluster.servers=2 -- worker
refused_by 3 'checkpoints that are there' job.yaml -- --resume --fresh
refused_by 2 'a network that is not here' job.yaml --fresh cluster.network=203.0.113.0/24 \
    -- cluster.network '203.0.113.0/24'
refused_by 2 'a network that is none' job.yaml --fresh cluster.network=here -- cluster.network here
refused_by 3 'data that is not there' job.yaml --fresh data.train=none.tsv -- none.tsv
sed '7s/[0-9.]*\tItem/good\tItem/' d.tsv > bad.tsv
refused_by 3 'data that is wrong' job.yaml --fresh data.train=bad.tsv -- 'bad.tsv line 7' rating
refused_by 2 'a job that is not there' none.yaml -- none.yaml
is "$("$ROWHOUSE" inspect "$C" --json > i.json; json i.json 'd["epoch"]')" 5 \
    'none of this has harmed the checkpoint'
mpi 3 train job.yaml checkpoint.dir=d.tsv/ck
run "${mpi[@]}"
refused 1 'a directory that cannot be made' d.tsv/ck
no_leftovers

# --- Ctrl-C
mpi 4 train job.yaml cluster.servers=2 checkpoint.dir=int train.batch=1 train.epochs=100000 \
    checkpoint.every=0
start "${mpi[@]}"
wait_for 20 said '^epoch 1/'
kill -INT "$job"
finish
ended 130 'Ctrl-C' 'rowhouse: interrupted in epoch' int --resume
is "$(complaints)" 1 'is confirmed by one rank'
run "$ROWHOUSE" inspect int --json
left=$(json "$T/.out" 'd["examples_left"]') epoch=$(json "$T/.out" 'd["epoch"] + 1')
less 0 "$left" 'leaves a checkpoint in the middle of an epoch'
no_leftovers
run "$ROWHOUSE" train job.yaml checkpoint.dir=int train.batch=1 train.epochs="$epoch" --resume \
    --report r.json --quiet
is "$status $(json r.json 'd["epochs"][0]["examples"]')" "0 $left" 'which one process finishes'

# --- who does not come, who falls silent
start -n missing "$MPIRUN" -n 2 "$ROWHOUSE" train job.yaml checkpoint.dir= \
    cluster.timeout=4 : -n 1 sleep 55
silence() { # NAME PROCESS: which stops moving
    mpi 4 train job.yaml cluster.servers=2 checkpoint.dir= train.batch=1 \
        train.epochs=100000 cluster.timeout=$((4 * SLOW))
    start -n "$1" "${mpi[@]}"
    wait_for 20 said '^epoch 1/' "$1"
    kill -STOP $(ours "rowhouse child [0-9]+ $2" "$1")
}
silence worker 'worker 1'
silence server 'server 1'
silence leader 'server 0'
finish missing
ended 1 'a rank that never comes' 'rowhouse: .*(missing|not come)'
is "$(complaints)" 1 'is missed by one rank'
finish worker
ended 1 'a worker that falls silent' \
    'rowhouse: worker 1 \(rank 3 on .*\) has not been heard of for [0-9.]+ s; it was (training|idle)'
finish server
ended 1 'a server that falls silent' \
    'rowhouse: server 1 \(rank 1 on .*\) has not been heard of for'
finish leader
ended 1 'the one that leads falls silent' 'rowhouse: (server 0, which leads|the coordinator at)'
no_leftovers 'nobody goes on waiting'
is "$(ls -A "$TMPDIR")" '' 'nor is a file left'
done_testing
