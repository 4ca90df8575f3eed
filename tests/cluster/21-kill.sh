#!/bin/bash
# kill -9 of whatever a job is made of: a process that works is started again and nothing
# is lost or counted twice; what cannot be started again ends the job, soon and cleanly.
. "$(dirname "$0")/lib.sh"

ratings 300 200 30 > "$T/d.tsv"
cd "$T" || exit 1
mkdir tmp
export TMPDIR=$T/tmp
job d.tsv 'train: {batch: 1, epochs: 100000}' > job.yaml

child() { # ROLE [NAME]: the pid of that working process
    ours "^rowhouse child [0-9]+ $1" "${2:-}" | head -n 1
}
another() { # ROLE PID [NAME]: is there one with another pid?
    local pid

    pid=$(child "$1" "${3:-}")
    [ -n "$pid" ] && [ "$pid" != "$2" ]
}
# shoot ROLE [NAME]: kills that process and waits for the next one.
kills=0
shoot() {
    local pid

    pid=$(child "$1" "${2:-}")
    kill -KILL "$pid" && kills=$((kills + 1)) && wait_for 10 another "$1" "$pid" "${2:-}"
}

# --- a process that works
mpi 4 train job.yaml cluster.servers=2 cluster.restarts_max=50 checkpoint.dir=shot --report r.json
start -t 60 "${mpi[@]}"
wait_for 20 said '^epoch 1/'
for victim in 'worker 0' 'server 1' 'worker 1' 'server 0' 'server 1' 'worker 0'; do
    shoot "$victim"
done
wait_for 10 said "restart 2 of at most 50"
kill -INT "$job"
finish
ended 130 'a job lives on when its processes are killed' 'signal 9' 'worker 1' 'server 1' 'server 0'
is "$kills" 6 'six of them'
is "$(json r.json '(d["restarts"], d["pushes"]["sent"] - d["pushes"]["applied"])')" '(6, 0)' \
    'the report counts them, and every push once'
examples=$(json r.json 'd["epochs"][0]["examples"]')
is "$(json r.json '{e["examples"] for e in d["epochs"]}')" "{$examples}" 'every epoch is complete'
run "$ROWHOUSE" inspect shot --json
epoch=$(json .out 'd["epoch"] + 8')
mpi 4 train job.yaml cluster.servers=2 checkpoint.dir=shot --resume train.epochs="$epoch" \
    --report r.json
start "${mpi[@]}"
wait_for 20 said '^epoch '
shoot 'server 1'
finish
ended 0 'and comes to its end, with one more killed'
is "$(json r.json '(d["restarts"], d["pushes"]["sent"] - d["pushes"]["applied"],
    d["epochs"][-1]["examples"])')" "(1, 0, $examples)" 'as complete'
less "$(value rmse)" 0.4 'and it has learned'

# --- what cannot be started again; these jobs would not end by themselves
begin() { # NAME SETTING ...
    mpi 4 train job.yaml cluster.servers=2 cluster.timeout=$((4 * SLOW)) "${@:2}"
    start -n "$1" "${mpi[@]}"
    wait_for 20 said '^epoch 1/' "$1"
}
begin third
kill -KILL "$(rank 3 third)"
begin first
kill -KILL "$(rank 0 first)"
begin mpirun
kill -KILL "$(ours '^mpirun' mpirun)"
begin wrapper
kill -KILL "$(ours '^/bin/bash .*rowhouse-mpirun' wrapper)"
begin loop cluster.restarts_max=1
shoot 'worker 1' loop
kill -KILL "$(child 'worker 1' loop)"
begin leader cluster.restarts_max=1
shoot 'server 0' leader
kill -KILL "$(child 'server 0' leader)"
finish third
ended 1 "a worker's rank is killed" 'rowhouse: worker 1 \(rank 3 on .*\) has not been heard of for'
finish first
ended 1 'the first rank is killed' 'rowhouse-mpirun: .*its first rank was lost'
finish mpirun
ended 1 'mpirun is killed' 'rowhouse-mpirun: mpirun ended with status 137'
finish wrapper
is "$status" 137 'rowhouse-mpirun is killed'
finish loop
ended 1 'a worker that dies whenever it is started' \
    'rowhouse: .*worker 1 was ended by signal 9 .*restarted 1 times \(cluster.restarts_max\)'
finish leader
ended 1 'a leader that dies whenever it is started' \
    'rowhouse: .*server 0 was ended by signal 9 .*restarted 1 times \(cluster.restarts_max\)'
no_leftovers 'nothing is left of any of them'

# --- one process has no supervisor: the last checkpoint is there
start -n alone "$ROWHOUSE" train job.yaml checkpoint.dir=ck checkpoint.every='0.1 s'
written() { [ "$(ls ck 2> /dev/null | wc -l)" -ge 3 ]; }
wait_for 20 written
kill -KILL "$(ours 'rowhouse train' alone)"
finish alone
is "$status" 137 'one process is killed'
run "$ROWHOUSE" verify ck
ended 0 'its newest checkpoint is whole'
run "$ROWHOUSE" inspect ck --json
epoch=$(json .out 'd["epoch"]')
left=$(json .out 'd["examples_left"] or d["data"]["train_examples"]')
run "$ROWHOUSE" train job.yaml checkpoint.dir=ck --resume train.epochs=$((epoch + 1)) \
    --report r.json
is "$status $(json r.json 'd["epochs"][0]["examples"]')" "0 $left" 'and a run goes on from it'
no_leftovers
done_testing
