#!/bin/bash
# Streams: standard input, named pipes and files that grow are trained as they come, each
# line exactly once, whoever is killed or interrupted; and with little memory.
. "$(dirname "$0")/lib.sh"

# A user has one line. Items stay zeros, so that nothing but the user's bias moves: with
# SGD at rate 1/2 half of the way from the mean to the label. So the table says how often
# each line was trained.
cd "$T" || exit 1
mkdir tmp
export TMPDIR=$T/tmp
lines() { # FIRST LAST
    awk -v first="$1" -v last="$2" 'BEGIN {
        for (u = first; u <= last; u++) printf "%d\t%d\t%d\n", u, u % 7, 1 + u % 2 * 2
    }'
}
header() {
    printf 'user\titem\trating\n'
}
cat > job.yaml << 'END'
name: once
data:
  train: "-"
  label: rating
  columns: {user: {as: key, table: user}, item: {as: key, table: item}}
tables:
  user: {dim: 1, init: zero}
  item: {dim: 1, init: zero, optimizer: {rate: 0}}
model: {bias: true}
optimizer: {kind: sgd, rate: 0.5, l2: 0}
train: {epochs: 1, batch: 50}
checkpoint: {dir: ck}
END
# counts: how often the lines were trained, as "TIMES:LINES ...".
counts() {
    "$ROWHOUSE" inspect ck --json > inspect.json 2> /dev/null || return 1
    exported ck user | "$PYTHON" -c '
import collections, json, math, sys
mean = json.load(open("inspect.json"))["data"]["label_mean"]
times = collections.Counter()
for line in sys.stdin.read().split()[1:]:
    key, *_, bias = line.split(",")
    label = 1 + int(key) % 2 * 2
    times[round(-math.log2(1 - float(bias) / (label - mean)), 3)] += 1
print(*("%g:%d" % item for item in sorted(times.items())))'
}
counted() { # LINES
    [ "$(counts)" = "1:$1" ]
}
child() { # ROLE: the pid of that working process
    ours "^rowhouse child [0-9]+ $1" | head -n 1
}
another() { # ROLE PID
    local pid

    pid=$(child "$1")
    [ -n "$pid" ] && [ "$pid" != "$2" ]
}

# --- standard input
{ header; lines 1 30000; } > d.tsv
cat d.tsv | (limited '' 20 "$ROWHOUSE" train job.yaml --quiet --report r.json) 2> .err
is "$?$(< .err)" 0 'a pipe is trained'
is "$(counts)" 1:30000 'each line once'
is "$(json r.json 'd["epochs"][0]["examples"]')" 30000 'the report counts them'
is "$(ls -d ck/spool 2> /dev/null)" '' 'and nothing is left of the spool'
rm -rf ck
cat d.tsv | (limited '' 40 "$MPIRUN" -n 3 "$ROWHOUSE" train job.yaml data.train=- --quiet) 2> .err
is "$?$(< .err)" 0 'under mpirun, too'
is "$(counts)" 1:30000 'each line once'
run "$ROWHOUSE" train job.yaml --resume
ended 0 'a run that has come to its end does not wait for more'
rm -rf ck

# --- a file beside a pipe
{ header; lines 1 2000; } > history.tsv
mkfifo live gate
{ header; lines 2001 3000; read -r < gate; lines 3001 3500; } > live &
both=(train job.yaml data.train=history.tsv,live)
mpi 3 "${both[@]}" cluster.restarts_max=9 checkpoint.every='1 s'
start "${mpi[@]}"
wait_for 20 counted 3000
pid=$(child 'server 0')
kill -KILL "$pid" && wait_for 10 another 'server 0' "$pid"
ln ck/spool/index-0 index # as if it were killed before it removes that
echo > gate
finish
ended 0 'a file beside a pipe is trained, and the leader killed when it was read'
is "$(counts)" 1:3500 'each line once'
mkdir ck/spool
mv index ck/spool/index-0
run "$ROWHOUSE" "${both[@]}" --resume
ended 0 'a run that has come to its end'
is "$(ls -d ck/spool 2> /dev/null)" '' 'removes a spool that was left'
rm -rf ck live gate

# --- files that grow
header > log
lines 1 1000 >> log
follow=(train job.yaml data.train=log train.follow=true checkpoint.every='1 s')
start "$ROWHOUSE" "${follow[@]}"
wait_for 20 counted 1000
lines 1001 1500 >> log
mv log log.1
lines 1501 2000 >> log.1 # by somebody who has it open
{ header; lines 2001 2400; } > log
wait_for 20 counted 2400
is "$(counts)" 1:2400 'a file is followed through a rotation'
lines 2401 2500 >> log
kill -INT "$job"
finish
ended 130 'an interrupt ends it, with a checkpoint' 'go on with --resume'
lines 2501 2700 >> log
mv log log.2
{ header; lines 2701 3000; } > log
run "$ROWHOUSE" "${follow[@]}"
refused 2 'it is not begun anew by mistake' 'ck' '--resume'
start "$ROWHOUSE" "${follow[@]}" --resume
wait_for 20 counted 3000
is "$(counts)" 1:3000 'it goes on where it stood, also with a file that was rotated meanwhile'
kill -TERM "$job"
finish
ended 130 'and ends again'
rm -rf ck log*

# --- killed before there was a checkpoint
mkfifo early gate
{ header; lines 1 400; read -r < gate; } > early &
start "$ROWHOUSE" train job.yaml data.train=early
has_chunk() {
    [ "$(stat -c %s ck/spool/index-0 2> /dev/null || echo 0)" -gt 64 ]
}
wait_for 20 has_chunk
kill -KILL $(ours '^[^ ]*rowhouse train')
finish
echo > gate
{ header; lines 401 600; } > early &
run "$ROWHOUSE" train job.yaml data.train=early --resume
ended 0 'a run that was killed before its first checkpoint begins anew with what it had read' \
    'no checkpoint yet'
is "$(counts)" 1:600 'each line once'
rm -rf ck early

# --- processes that are killed, and a pipe that is quiet
mkfifo busy quiet
{
    header
    for ((i = 0; i < 40; i++)); do
        lines $((i * 500 + 1)) $((i * 500 + 500))
        printf '%d\tno\trating\n' $i $i
        sleep 0.1
    done
} > busy &
writer=$!
{ header; printf '20001\t1\t'; read -r < gate; } > quiet &
mpi 4 train job.yaml data.train=busy,quiet cluster.restarts_max=50 checkpoint.every='1 s' \
    data.bad_rows=skip --report r.json
start -t 60 "${mpi[@]}"
wait_for 20 test -d ck/checkpoint-0000000001
for victim in 'server 0' 'worker 0' 'server 0' 'worker 1' 'server 0'; do
    pid=$(child "$victim")
    kill -KILL "$pid" && wait_for 10 another "$victim" "$pid"
    sleep 0.2
done
wait $writer
wait_for 20 counted 20000
is "$(counts)" 1:20000 'each line of a busy pipe once, whoever is killed, while another is quiet'
echo > gate
finish
ended 0 'wrong rows are left out' 'left out .*: [^ ]*(busy|quiet) line'
is "$(json r.json 'd["bad_rows"]')" 81 'and counted once, as is half a line at the end of a pipe'
rm -rf ck busy quiet gate

# --- room
# python peak.py PROGRAM ...: its status, and the most memory it had resident, in MB.
cat > peak.py << 'END'
import resource, subprocess, sys
status = subprocess.call(sys.argv[1:])
print(status, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)
END
cat > big.yaml << 'END'
name: big
data:
  train: "-"
  label: label
  columns: {user: {as: key, table: user}, item: {as: key, table: item}}
  spool_max: 64 MiB
tables: {user: {dim: 2}, item: {dim: 2}}
train: {epochs: 1, batch: 4096}
END
"$ROWHOUSE" generate --examples 6000000 --users 1000 --items 1000 --seed 1 --out - |
    (limited '' 60 "$PYTHON" peak.py "$ROWHOUSE" train big.yaml --quiet --report r.json) > .out 2> .err
read -r status megabytes < .out
is "$status$(< .err)" 0 'a stream that is longer than its spool is trained'
is "$(json r.json 'd["epochs"][0]["examples"]')" 6000000 'all of it'
[[ $SLOW -gt 1 ]] || less "$megabytes" 200 'with less than 200 MB of memory'
is "$(ls tmp)" '' 'and its temporary spool is gone'

# --- what is refused
{ header; lines 1 10; } > d.tsv
mkfifo pipe
refuse() { # NAME REGEX ARGUMENT ...
    run "$ROWHOUSE" train job.yaml data.train=pipe checkpoint.dir= "${@:3}"
    refused 2 "$1" "$2"
}
refuse 'two epochs of a pipe' 'train.epochs is 2, expected 1' train.epochs=2
refuse 'bsp' 'train.consistency is bsp' train.consistency=bsp
refuse 'a followed file in memory' 'data.in_memory is true, but train.follow .* leave it auto' \
    data.train=d.tsv train.follow=true data.in_memory=true
refuse 'a split of a pipe' 'set data.test instead' data.split.test=0.1
gzip -k d.tsv
{ header; printf '1\t1\t'; } | (limited '' 20 "$ROWHOUSE" train job.yaml checkpoint.dir=) 2> .err
is "$?" 2 'half a line at the end of a pipe'
like "$(< .err)" 'standard input line 2' 'is complained of'
cat d.tsv.gz | (limited '' 20 "$ROWHOUSE" train job.yaml checkpoint.dir=) 2> .err
is "$?" 2 'compressed bytes in a pipe'
like "$(< .err)" 'standard input is compressed .*zcat' 'with what to do'
(limited '' 20 "$ROWHOUSE" train job.yaml checkpoint.dir=) 2> .err < /dev/null
is "$?" 2 'an empty pipe'
like "$(< .err)" 'have ended without an example' 'with a sentence'

no_leftovers
done_testing
