#!/bin/bash
# Consistency: bsp gives the same bits for any number of servers, as threads and as
# processes, also when processes are killed; ssp keeps its bound; cures and deltas.
. "$(dirname "$0")/lib.sh"

ratings 400 300 60 > "$T/d.tsv"
job "$T/d.tsv" 'train: {epochs: 4, batch: 512, consistency: bsp}' \
    'checkpoint: {every: 0}' > "$T/job.yaml"

# bits DIR: of both tables of the newest checkpoint.
bits() {
    local table

    for table in user item; do
        rm -f "$T/export.csv"
        "$ROWHOUSE" export "$1" --table $table --format csv --out "$T/export.csv" || return
        cat "$T/export.csv"
    done | md5sum
}

for servers in 1 2 3 7; do
    run "$ROWHOUSE" train "$T/job.yaml" --quiet cluster.servers=$servers cluster.workers=2 \
        checkpoint.dir="$T/threads-$servers" --report "$T/report.json"
    ended 0 "bsp with $servers servers and 2 workers as threads"
    [ $servers -eq 1 ] && wanted=$(bits "$T/threads-1")
    is "$(bits "$T/threads-$servers")" "$wanted" "... gives the same bits"
    is "$(json "$T/report.json" "d['staleness']['user']['max']")" 0 "... reads nothing stale"
done

own='tables.user.optimizer.kind=adam tables.user.optimizer.rate=0.01
    tables.item.optimizer.kind=ftrl tables.item.optimizer.l1=0.01'
for servers in 1 2 3 7; do
    run "$ROWHOUSE" train "$T/job.yaml" --quiet $own cluster.servers=$servers \
        cluster.workers=2 checkpoint.dir="$T/own-$servers"
    ended 0 "an optimizer for each table, with $servers servers"
    [ $servers -eq 1 ] && other=$(bits "$T/own-1")
    is "$(bits "$T/own-$servers")" "$other" "... gives the same bits"
done
[ "$other" != "$wanted" ]
ok $? '... but not those of another optimizer'

mpi 5 train "$T/job.yaml" --quiet cluster.servers=3 checkpoint.dir="$T/ranks"
run -t 40 "${mpi[@]}"
ended 0 "bsp with 3 servers and 2 workers as processes"
is "$(bits "$T/ranks")" "$wanted" "... gives the same bits"

# Longer, so that there is something to kill.
more="train.epochs=150 train.batch=128 cluster.restarts_max=100"
run -t 60 "$ROWHOUSE" train "$T/job.yaml" --quiet $more cluster.workers=2 \
    checkpoint.dir="$T/alone"
ended 0 "a longer run, left alone"
mpi 4 train "$T/job.yaml" --quiet $more cluster.servers=2 checkpoint.dir="$T/killed" \
    --report "$T/report.json"
start -t 60 "${mpi[@]}"
kills=0
for victim in 'worker 0' 'server 1' 'worker 1' 'server 0' 'worker 0' 'server 1' 'server 0'; do
    wait_for 10 eval "[ -n \"\$(ours 'rowhouse child [0-9]+ $victim')\" ]" || break
    sleep 0.15
    pid=$(ours "rowhouse child [0-9]+ $victim" | head -n 1)
    [ -n "$pid" ] && kill -KILL "$pid" 2> /dev/null && kills=$((kills + 1))
done
finish
ended 0 "the same on processes of which $kills are killed"
less 2 $kills "... enough of them"
is "$(bits "$T/killed")" "$(bits "$T/alone")" "... gives the same bits"
is "$(json "$T/report.json" "d['pushes']['sent'] == d['pushes']['applied']")" True \
    "... and every push counts once"

# Stopped in the middle of epochs and resumed, on other numbers of servers.
run -t 60 "$ROWHOUSE" train "$T/job.yaml" --quiet $more cluster.workers=2 \
    checkpoint.dir="$T/timed" checkpoint.every='0.3 s'
ended 0 'bsp with checkpoints in the middle of epochs'
is "$(bits "$T/timed")" "$(bits "$T/alone")" "... gives the same bits"
run -t 60 "$ROWHOUSE" train "$T/job.yaml" --quiet train.epochs=20 train.batch=16 \
    cluster.workers=12 cluster.servers=3 checkpoint.dir="$T/many" checkpoint.every='0.1 s'
ended 0 'bsp with many workers, who are a batch apart when they are to stop'
resume= stops=0
for servers in 1 3 2; do
    start "$ROWHOUSE" train "$T/job.yaml" --quiet $more cluster.workers=2 \
        cluster.servers=$servers checkpoint.dir="$T/stopped" $resume
    sleep 0.4
    kill -INT $job
    finish
    [ "$status" -eq 130 ] && stops=$((stops + 1))
    resume=--resume
done
run -t 60 "$ROWHOUSE" train "$T/job.yaml" --quiet $more cluster.workers=2 \
    checkpoint.dir="$T/stopped" --resume
ended 0 "bsp stopped $stops times and resumed"
less 0 $stops '... at least once'
is "$(bits "$T/stopped")" "$(bits "$T/alone")" "... gives the same bits"

for k in 0 1 3; do
    run "$ROWHOUSE" train "$T/job.yaml" --quiet train.consistency=ssp train.staleness=$k \
        cluster.servers=2 cluster.workers=3 checkpoint.dir= --report "$T/report.json"
    ended 0 "ssp with staleness $k"
    is "$(json "$T/report.json" "d['staleness']['item']['max'] <= $k")" True \
        "... is never more stale"
    is "$(json "$T/report.json" "sum(w['parked_seconds'] <= w['wait_seconds'] <= w['training_seconds'] for w in d['waiting'])")" 3 \
        "... workers tell how long they waited"
done

# Cures for what comes late: none for a worker that has all its pushes in what it pulls.
cures='optimizer.stale_rate=inverse optimizer.compensate=2'
for with in '' "$cures"; do
    run "$ROWHOUSE" train "$T/job.yaml" --quiet train.consistency=async train.inflight=0 $with \
        cluster.servers=2 checkpoint.dir="$T/punctual$with"
    ended 0 "one worker, nothing pulled ahead, ${with:-no cures}"
done
is "$(bits "$T/punctual$cures")" "$(bits "$T/punctual")" "... gives the same bits"
mpi 5 train "$T/job.yaml" --quiet train.consistency=async $cures cluster.servers=2 \
    checkpoint.dir= --report "$T/report.json"
run -t 40 "${mpi[@]}"
ended 0 "cures with 2 servers and 3 workers as processes"
is "$(json "$T/report.json" "sum(w['parked_seconds'] for w in d['waiting'])")" 0.0 \
    "... and nobody waits for slower workers"
is "$(json "$T/report.json" "d['pushes']['uncompensated']")" 0 "... all servers knew what was pulled"
run "$ROWHOUSE" train "$T/job.yaml" optimizer.compensate=2 checkpoint.dir=
refused 2 "no cures with bsp" 'with train.consistency bsp no push is late'

# One worker's own steps do not depend on how they are cut into batches.
for batch in 256 4096; do
    run "$ROWHOUSE" train "$T/job.yaml" --quiet train.consistency=async train.update=delta \
        optimizer.kind=sgd optimizer.rate=0.02 train.batch=$batch cluster.servers=2 \
        checkpoint.dir=
    ended 0 "deltas in batches of $batch"
    [ $batch -eq 256 ] && wanted=$(value rmse)
    near "$(value rmse)" "$wanted" 1e-5 "... train as one example at a time would"
done
run "$ROWHOUSE" train "$T/job.yaml" --quiet train.consistency=async train.update=delta \
    optimizer.kind=sgd optimizer.rate=0.02 cluster.workers=2 checkpoint.dir=
near "$(value rmse)" "$wanted" 0.02 "two workers' deltas bring the loss down as one's"
run "$ROWHOUSE" train "$T/job.yaml" train.update=delta checkpoint.dir=
refused 2 "deltas need SGD" 'train.update: delta needs optimizer.kind: sgd'

# Rows that workers keep: within the same bound, and exact where a worker's own steps are
# all there is.
run "$ROWHOUSE" train "$T/job.yaml" --quiet train.consistency=ssp train.staleness=3 \
    train.cache='64 KiB' train.cache_staleness=60 train.batch=64 cluster.servers=2 \
    cluster.workers=3 checkpoint.dir= --report "$T/report.json"
ended 0 'ssp with staleness 3 and a cache'
is "$(json "$T/report.json" "d['staleness']['item']['max'] <= 3")" True \
    "... is never more stale"
is "$(json "$T/report.json" "d['cache']['item']['bytes'] + d['cache']['user']['bytes'] <= 3 << 16")" \
    True '... keeps to its memory'
for cache in 0 '256 KiB'; do
    run "$ROWHOUSE" train "$T/job.yaml" --quiet train.consistency=async train.update=delta \
        optimizer.kind=sgd optimizer.rate=0.02 train.cache="$cache" cluster.servers=2 \
        checkpoint.dir="$T/cache-${cache%% *}" --report "$T/report.json"
    ended 0 "deltas with a cache of $cache"
done
is "$(bits "$T/cache-256")" "$(bits "$T/cache-0")" '... give the same bits'
is "$(json "$T/report.json" "d['cache']['item']['hits'] > 1000 < d['cache']['user']['hits']")" \
    True '... and read rows out of it'
run "$ROWHOUSE" train "$T/job.yaml" train.cache=1MiB checkpoint.dir=
refused 2 'a cache under bsp' 'train.cache is set, but with train.consistency: bsp'
run "$ROWHOUSE" train "$T/job.yaml" train.cache=99B train.consistency=async checkpoint.dir=
refused 2 'a cache without room' 'train.cache is 99 bytes, which holds no rows of'

no_leftovers
done_testing
