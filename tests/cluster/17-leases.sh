#!/bin/bash
# Leases: every example is trained exactly once an epoch, whoever is stopped, killed or
# interrupted, on whatever number of workers; and who is held back trains fewer. So from
# memory, and from files that are read again in each epoch.
. "$(dirname "$0")/lib.sh"

# A user has one example. Items stay zeros, so that nothing but its bias moves: with SGD at
# rate 1/2 half of the way to the label, which is 1 from the mean. After n times it is
# 1 - 1/2^n away from 0, exactly: the table counts how often each example was trained.
USERS=40000
awk -v n=$USERS 'BEGIN {
    print "user\titem\trating"
    for (u = 1; u <= n; u++) printf "%d\t%d\t%d\n", u, u % 7, 1 + u % 2 * 2
}' > "$T/d.tsv"
cd "$T" || exit 1
mkdir tmp
export TMPDIR=$T/tmp
cat > job.yaml << 'END'
name: once
data:
  train: d.tsv
  label: rating
  columns: {user: {as: key, table: user}, item: {as: key, table: item}}
tables:
  user: {dim: 1, init: zero}
  item: {dim: 1, init: zero, optimizer: {rate: 0}}
model: {bias: true}
optimizer: {kind: sgd, rate: 0.5, l2: 0}
train: {epochs: 20, batch: 2, consistency: async}
checkpoint: {dir: ck-memory}
END
sed 's/^  label:/  in_memory: false\n  chunk: 2 KiB\n  mix: 3\n  label:/; s/ck-memory/ck-files/' \
    job.yaml > files.yaml

child() { # ROLE: the pid of that working process
    ours "^rowhouse child [0-9]+ $1" | head -n 1
}
another() { # ROLE PID
    local pid

    pid=$(child "$1")
    [ -n "$pid" ] && [ "$pid" != "$2" ]
}
# Processor time of two processes, in clock ticks; what they are doing matters little.
ticks() {
    awk '{ sub(/.*\) /, ""); sum += $12 + $13 } END { print sum }' \
        "/proc/$(child 'worker 0')/stat" "/proc/$(child 'worker 1')/stat"
}
at_rest() {
    local before=$(ticks)

    sleep 0.3
    [ $(($(ticks) - before)) -le 4 ]
}
# counts: how often the examples were trained, as "TIMES:EXAMPLES ...".
counts() {
    exported "$ck" user | "$PYTHON" -c '
import collections, math, sys
lines = [line.split(",") for line in sys.stdin.read().split()[1:]]
times = [-math.log2(1 - abs(float(line[-1]))) for line in lines]
print(*("%g:%d" % item for item in sorted(collections.Counter(times).items())))'
}
# is_once NAME: the newest checkpoint stands where its table says that it does.
is_once() {
    local epochs left

    run "$ROWHOUSE" inspect "$ck" --json
    epochs=$(json .out 'd["epoch"]') left=$(json .out 'd["examples_left"]')
    if [ "$left" = None ]; then # all that is known of files
        is "$(counts | "$PYTHON" -c '
import sys
e, n = int(sys.argv[1]), int(sys.argv[2])
found = dict(map(int, item.split(":")) for item in input().split())
print(set(found) <= {e, e + 1} and (sum(found.values()) == n or e == 0))' "$epochs" $USERS)" True "$1"
    elif [ $((left % USERS)) = 0 ]; then # between two epochs
        is "$(counts)" "$epochs:$USERS" "$1"
    else
        # Who has never been trained has no row.
        is "$(counts)" "$([ "$epochs" -gt 0 ] && echo "$epochs:$left ")$((epochs + 1)):$((USERS - left))" "$1"
    fi
}

# once SOURCE YAML: goes through the whole story.
once() {
    local yaml=$2 epoch held shots shot epochs

    ck=ck-$1
    mpi 5 train "$yaml" cluster.servers=2 --report r.json
    start -t 60 "${mpi[@]}"
    for epoch in 1 2; do
        wait_for 20 said "^epoch $epoch/"
        held=$(child 'worker 2')
        kill -STOP "$held"
        wait_for 10 at_rest # the others have trained what can be had
        kill -CONT "$held"
    done
    for shots in 1 2; do
        sleep 0.4 # in the middle of a lease
        shot=$(child 'worker 0')
        kill -KILL "$shot"
        wait_for 10 another 'worker 0' "$shot"
    done
    sleep 0.3
    kill -INT "$job"
    finish
    ended 130 "$1: three workers of which one is held back and one is killed" 'signal 9' 'worker 0'
    is_once '... train every example once an epoch'
    is "$(json r.json 'd["waiting"][2]["examples"] < d["waiting"][1]["examples"]')" True \
        '... and the one that is held back trains fewer'
    if [ "$1" = memory ]; then
        is "$(json r.json 'sum(w["examples"] for w in d["waiting"])')" \
            "$(json .out "d['epoch'] * $USERS + ($USERS - d['examples_left']) % $USERS")" '... of all that there were'
    fi

    mpi 5 train "$yaml" cluster.servers=2 --resume
    start -t 60 "${mpi[@]}"
    wait_for 20 said '^epoch '
    kill -INT "$job"
    finish
    ended 130 'resumed, and interrupted again'
    is_once '... every example once an epoch'

    epochs=$(($(json .out 'd["epoch"]') + 1))
    mpi 3 train "$yaml" cluster.servers=1 --resume train.epochs=$epochs
    run -t 60 "${mpi[@]}"
    ended 0 'resumed on two workers'
    is "$(counts)" "$epochs:$USERS" '... every example once an epoch'
}

once memory job.yaml
once files files.yaml

# Leases without an example: most files hold a header only.
mkdir many
for i in $(seq 60); do head -n 1 d.tsv > many/part-$((i + 100)).tsv; done
head -n 4001 d.tsv > many/part-130.tsv
run -t 60 "$ROWHOUSE" train files.yaml data.train=many data.mix=1 data.chunk=1MiB \
    train.epochs=3 cluster.workers=2 checkpoint.dir=ck-many
ended 0 'leases without an example hold nobody up'
ck=ck-many
is "$(counts)" '3:4000' '... and what there is is trained once an epoch'

run "$ROWHOUSE" train files.yaml --resume data.in_memory=true train.epochs=30
ended 2 'whether data are held in memory cannot change' 'data.in_memory was false' 'cannot change'

no_leftovers
done_testing
