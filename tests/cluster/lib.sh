# For process tests: sourced first by every script here. Prints TAP; run from anywhere.
#
#   . "$(dirname "$0")/lib.sh"
#   ratings 300 200 40 > "$T/d.tsv"                 small data, always the same
#   job "$T/d.tsv" > "$T/job.yaml"                  a job file for it
#   run "$ROWHOUSE" train "$T/job.yaml"             sets $status, $out and $err
#   ended 0 'it trains'
#   done_testing
#
# ROWHOUSE is the program under test (build/rowhouse). Every process that a test starts
# carries a mark in its environment: whatever is left at the end is found by it.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1

ROOT=$PWD
ROWHOUSE=$(realpath "${ROWHOUSE:-build/rowhouse}") || exit 1
MPIRUN=$ROOT/launch/rowhouse-mpirun
T=$(mktemp -d "${TMPDIR:-/tmp}/rowhouse-test.XXXXXX") || exit 1
MARK=ROWHOUSE_TEST=$(basename "$T")
PYTHON=$(python3 -c 'import sys; print(sys.executable)')
tests=0 status=0 out= err= ran=
exec 4>&2 2> "$T/.shell" # what bash says about processes that were killed is not wanted

# Time limits are for a plain build on a busy machine; sanitizers get more. SLOW
# multiplies them all.
if grep -qa __asan_init "$ROWHOUSE"; then
    SLOW=$((${SLOW:-1} * 4))
elif grep -qa __tsan_init "$ROWHOUSE"; then
    SLOW=$((${SLOW:-1} * 10))
fi
SLOW=${SLOW:-1}
# What Open MPI leaves unfreed is found by its callers' names, which takes the slow
# unwinder: tests/tools/lsan.supp.
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}fast_unwind_on_malloc=0
export LSAN_OPTIONS=suppressions=$ROOT/tests/tools/lsan.supp:print_suppressions=0
export OPENBLAS_NUM_THREADS=1
unset ROWHOUSE_STATUS ROWHOUSE_TERMINAL

# --- processes ------------------------------------------------------------------------

# ours [REGEX [NAME]]: pids of this test's processes whose command line matches, of the
# command that was started as NAME only. Wrappers that merely keep the time do not count.
ours() {
    local file line words

    for file in $(env -u "${MARK%%=*}" grep -lsz "^$MARK${2:+-$2\$}" /proc/[0-9]*/environ); do
        file=${file%/environ}
        { mapfile -d '' -t words < "$file/cmdline"; } 2> /dev/null || continue
        line=${words[*]}
        [[ $line == timeout\ * || -z $line ]] && continue
        [[ $line =~ ${1:-.} ]] && echo "${file#/proc/}"
    done
}

clean_up() {
    local left

    left=$(ours)
    [ -n "$left" ] && kill -CONT $left 2>/dev/null
    [ -n "$left" ] && kill -KILL $left 2>/dev/null
    declare -F at_end > /dev/null && at_end
    grep -v ': line [0-9]*: *[0-9]* Killed ' "$T/.shell" >&4
    rm -rf "$T"
}
trap clean_up EXIT
trap 'exit 1' INT TERM HUP

# wait_for SECONDS COMMAND ...: until the command succeeds; fails at the deadline.
wait_for() {
    local until=$((SECONDS + $1 * SLOW + 1))

    shift
    until "$@"; do
        [ $SECONDS -lt $until ] || return 1
        sleep 0.05
    done
}

# limited NAME SECONDS COMMAND ...: a time limit and a mark; SIGINT works in the background,
# too. After a signal to stop the command has the time of -k to do so.
limited() {
    exec env --default-signal=INT,QUIT "$MARK-$1" \
        timeout --foreground -k $((15 * SLOW)) $(($2 * SLOW)) "${@:3}"
}

# run [-t SECONDS] COMMAND ...: sets $status, $out and $err.
run() {
    local limit=20

    [ "$1" = -t ] && { limit=$2; shift 2; }
    ran="$*"
    (limited '' $limit "$@") > "$T/.out" 2> "$T/.err" < /dev/null
    status=$?
    out=$(tr -d '\0' < "$T/.out") err=$(tr -d '\0' < "$T/.err")
}

# start [-t SECONDS] [-n NAME] COMMAND ...: the same in the background, $job is its pid;
# then finish [NAME]: waits for it. A signal to $job goes on to the command.
declare -A jobs commands
start() {
    local limit=40 name=

    [ "$1" = -t ] && { limit=$2; shift 2; }
    [ "$1" = -n ] && { name=$2; shift 2; }
    commands[.$name]="$*"
    : > "$T/$name.err" # nothing of an earlier command is `said`
    (limited "$name" $limit "$@") > "$T/$name.out" 2>> "$T/$name.err" < /dev/null &
    job=$! jobs[.$name]=$!
}

finish() {
    local name=${1:-}

    wait "${jobs[.$name]}"
    status=$? ran=${commands[.$name]}
    out=$(tr -d '\0' < "$T/$name.out") err=$(tr -d '\0' < "$T/$name.err")
}

# said REGEX [NAME]: has the command in the background written such a line to standard
# error?
said() {
    grep -Eq -- "$1" "$T/${2:-}.err"
}

# mpi RANKS ARGUMENT ...: the command line of a job under rowhouse-mpirun, for `run`.
mpi() {
    mpi=("$MPIRUN" -n "$1" "$ROWHOUSE" "${@:2}")
}

# rank NUMBER [NAME]: the pid of that rank, the one that mpirun has started.
rank() {
    local pid

    for pid in $(ours 'rowhouse train' "${2:-}"); do
        env -u "${MARK%%=*}" grep -qsz "^OMPI_COMM_WORLD_RANK=$1\$" "/proc/$pid/environ" &&
            echo "$pid"
    done
}

none_left() {
    [ -z "$(ours)" ]
}

no_leftovers() { # [NAME]
    wait_for 8 none_left
    ok $? "${1:-no process is left}"
    local pid
    for pid in $(ours); do
        echo "# left: $pid $(tr '\0' ' ' < "/proc/$pid/cmdline")"
    done
}

# --- TAP ------------------------------------------------------------------------------

explain() {
    {
        printf '%s\n' "$@" "after: $ran" "status: $status" "standard output:"
        head -c 1500 <<< "$out"
        echo "standard error:"
        head -c 4000 <<< "$err"
    } | sed 's/^/# /'
}

# ok STATUS NAME [EXPLANATION ...]
ok() {
    tests=$((tests + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $tests - $2"
    else
        echo "not ok $tests - $2"
        explain "${@:3}"
    fi
}

is() { # GOT WANTED NAME
    [ "$1" = "$2" ]
    ok $? "$3" "got:    $1" "wanted: $2"
}

like() { # TEXT REGEX NAME
    [[ $1 =~ $2 ]]
    ok $? "$3" "got:     $1" "to find: $2"
}

unlike() { # TEXT REGEX NAME
    ! [[ $1 =~ $2 ]]
    ok $? "$3" "got:         $1" "not to find: $2"
}

near() { # A B TOLERANCE NAME
    awk -v a="$1" -v b="$2" -v t="$3" \
        'BEGIN { d = a - b; exit !(a != "" && b != "" && d <= t + 0 && -d <= t + 0) }'
    ok $? "$4" "got: $1 and $2, not within $3"
}

less() { # A B NAME
    awk -v a="$1" -v b="$2" 'BEGIN { exit !(a != "" && b != "" && a + 0 < b + 0) }'
    ok $? "$3" "got: $1, not less than $2"
}

# ended STATUS NAME [REGEX ...]: the last command's status, and what its standard error
# has to say.
ended() {
    local wanted=$1 name=$2 word bad=

    shift 2
    [ "$status" -eq "$wanted" ] || bad="status $status instead of $wanted"
    for word in "$@"; do
        [[ $err =~ $word ]] || bad="$bad; nothing about: $word"
    done
    [ -z "$bad" ]
    ok $? "$name" "$bad"
}

# refused STATUS NAME [REGEX ...]: as `ended`, but with exactly one sentence, and nothing
# on standard output.
refused() {
    local wanted=$1 name=$2 word bad=

    shift 2
    [ "$status" -eq "$wanted" ] || bad="status $status instead of $wanted"
    [ "$(grep -c '' <<< "$err")" -eq 1 ] || bad="$bad; not exactly one line of complaint"
    [[ $err == "rowhouse: "* ]] || bad="$bad; not a sentence of the program"
    [ -z "$out" ] || bad="$bad; something on standard output"
    for word in "$@"; do
        [[ $err =~ $word ]] || bad="$bad; nothing about: $word"
    done
    [ -z "$bad" ]
    ok $? "$name" "$bad"
}

skip() { # REASON NAME
    tests=$((tests + 1))
    echo "ok $tests - $2 # SKIP $1"
}

skip_all() { # REASON
    echo "1..0 # SKIP $1"
    exit 0
}

done_testing() {
    echo "1..$tests"
    exit 0
}

# --- data and what comes out ------------------------------------------------------------

# ratings USERS ITEMS PER_USER [SEPARATOR]: a header and one line for each rating, which
# is 3 plus a part of the user's, one of the item's, and some noise. Nobody rates an item
# twice if 37 does not divide ITEMS.
ratings() {
    awk -v users="$1" -v items="$2" -v each="$3" -v s="${4:-\t}" 'BEGIN {
        print "user" s "item" s "rating" s "title"
        for (u = 1; u <= users; u++)
            for (k = 0; k < each - u % 3; k++) {
                i = (u * 17 + k * 37) % items + 1
                r = 3 + (u * 7 % 5 - 2) * 0.4 + (i * 3 % 5 - 2) * 0.4
                r += ((u * 7919 + i * 10473) % 97 / 97 - 0.5) * 0.4
                printf "%d%s%d%s%.2f%sItem %d\n", u, s, i, s, r, s, i
            }
    }'
}

# job TRAIN [LINE ...]: a small job file that trains on TRAIN; more lines of YAML follow.
job() {
    cat << END
name: small
data:
  train: $1
  label: rating
  columns:
    user: {as: key, table: user}
    item: {as: key, table: item}
    title: {as: title, table: item}
  split: {test: 0.1}
tables: {user: {dim: 4, scale: 0.1}, item: {dim: 4, scale: 0.1}}
optimizer: {kind: adagrad, rate: 0.1, l2: 0.02}
END
    [ $# -gt 1 ] && printf '%s\n' "${@:2}"
}

# json FILE EXPRESSION: of Python, with the file's content as `d`. What goes wrong is never
# equal to anything.
json() {
    "$PYTHON" -c 'import json, sys
d = json.load(open(sys.argv[1]))
print(eval(sys.argv[2]))' "$@" 2>&1 || echo "failed at $SECONDS/$RANDOM"
}

# exported CHECKPOINT TABLE: its rows as CSV
exported() {
    rm -f "$T/export.csv"
    "$ROWHOUSE" export "$1" --table "$2" --format csv --out "$T/export.csv" &&
        cat "$T/export.csv"
}

# value METRIC: what the last command printed of it.
value() {
    sed -n "s/^test $1 //p" <<< "$out"
}
