#!/bin/bash
# Whatever is wrong: one sentence that says what and where, the right exit status, and
# nothing left behind that looks like a result.
. "$(dirname "$0")/lib.sh"
shopt -s lastpipe # `... | data` counts its tests here

ratings 30 50 10 > "$T/d.tsv"
C=$T/ck
job "$T/d.tsv" "checkpoint: {dir: $C}" 'train: {epochs: 2, batch: 64}' > "$T/job.yaml"
run "$ROWHOUSE" train "$T/job.yaml"
ended 0 'the job itself is fine'
rm -rf "$C"

# bad NAME ARGUMENT ... -- REGEX ...: is refused as input, and makes no checkpoint.
bad() {
    local arguments=() name=$1

    shift
    while [ "$1" != -- ]; do
        arguments+=("$1")
        shift
    done
    shift
    run "$ROWHOUSE" "${arguments[@]}"
    [ -e "$C" ] && err="$C has been made; $err" && status=99 && rm -rf "$C"
    refused 2 "$name" "$@"
}

# --- the command line
run "$ROWHOUSE"
ended 2 'no command' usage: train --help
is "$out" '' 'the usage is a complaint here'
run "$ROWHOUSE" --help
is "$status$err" 0 'and an answer there'
bad 'an unknown command' trian job.yaml -- trian
bad 'an unknown option' train "$T/job.yaml" --resum -- --resum
bad 'an option without its value' train "$T/job.yaml" --report -- --report FILE
bad 'no job' train -- JOB
bad 'two jobs' train "$T/job.yaml" "$T/job.yaml" -- "$T/job.yaml" KEY=VALUE
bad 'a job that is not there' train "$T/none.yaml" -- "$T/none.yaml"
bad 'a directory as a job' train "$T" -- "$T"
bad 'an empty job' train /dev/null -- /dev/null
bad 'a report in no directory' train "$T/job.yaml" --report "$T/none/r.json" \
    -- "$T/none/r.json"
if [ "$(id -u)" -eq 0 ]; then # root may write to any directory but such
    bad 'a report where nobody may write' train "$T/job.yaml" --report /proc/r.json -- /proc
else
    mkdir -m 555 "$T/closed"
    bad 'a report where nobody may write' train "$T/job.yaml" --report "$T/closed/r.json" \
        -- "$T/closed/r.json"
fi
bad 'a directory as a report' train "$T/job.yaml" --report "$T" -- "$T"
cp "$T/d.tsv" "$T/users.tsv"
for top in 0 -3 ten 1000000000; do
    bad "--top $top" recommend "$T/job.yaml" --user 1 --top $top -- --top "$top"
done
bad '--user and --users' recommend "$T/job.yaml" --user 1 --users "$T/d.tsv" -- --user --users
bad 'neither of them' recommend "$T/job.yaml" -- --user --users
bad 'a child by hand' child 0 -- 'child'

# --- settings
# set NAME=VALUE REGEX ...: as an override
set_bad() {
    bad "$1" train "$T/job.yaml" "$1" -- "${@:2}"
}
set_bad train.epoch=3 train.epoch 'train.epochs'
set_bad clusters.servers=2 'cluster.servers'
set_bad model.los=squared model.loss
set_bad train.epochs=three train.epochs three
set_bad train.epochs=2.5 train.epochs 2.5
set_bad train.epochs= train.epochs
set_bad train.epochs=0 train.epochs 1
set_bad train.epochs=-1 train.epochs
set_bad train.epochs=99999999999999999999 train.epochs
set_bad cluster.servers=0 cluster.servers 1
set_bad cluster.servers=5000 cluster.servers '1 to'
set_bad cluster.workers=0 cluster.workers
set_bad optimizer.rate=nan optimizer.rate
set_bad optimizer.rate=-0.1 optimizer.rate
set_bad optimizer.kind=lion optimizer.kind sgd adagrad adam
set_bad optimizer.kind=adamw optimizer.l2 optimizer.decay
set_bad tables.item.optimizer.kind=adamw 'table item' optimizer.l2 optimizer.decay
set_bad tables.item.optimizer.rate=fast tables.item.optimizer.rate inherit '0 to 1000'
set_bad tables.item.optimizer=adam tables.item.optimizer.kind
set_bad tables.item.optimizer.knid=adam tables.item.optimizer.kind
set_bad model.bias=maybe model.bias true
set_bad cluster.memory_max=4GB4 cluster.memory_max
set_bad cluster.memory_max=1KiB cluster.memory_max
set_bad cluster.timeout=soon cluster.timeout
set_bad checkpoint.every='3 parsecs' checkpoint.every
set_bad checkpoint.keep=0 checkpoint.keep
set_bad evaluate.metrics=rmse,nice nice
set_bad evaluate.metrics=accuracy accuracy logistic
set_bad data.split.test=1.5 data.split.test
set_bad tables.user.dim=8 dim user item
set_bad tables.user.dim=0 tables.user.dim
set_bad model.user=film film
set_bad data.columns.user.table=film film
set_bad data.label= data.label
set_bad data.train= data.train
set_bad =3 '=3'

# in_file NAME LINE REGEX ...: with one more line in the job file
in_file() {
    job "$T/d.tsv" "checkpoint: {dir: $C}" "$2" > "$T/bad.yaml"
    bad "$1" train "$T/bad.yaml" -- "$T/bad.yaml" 'line 1[34]' "${@:3}"
}
in_file 'an unknown section' 'trian: {epochs: 2}' trian
in_file 'an unknown setting' 'train: {epoch: 2}' train.epoch train.epochs
in_file 'a wrong type' 'train: {epochs: many}' train.epochs many
in_file 'out of range' 'train: {batch: 0}' train.batch
in_file 'a list where a number belongs' 'train: {epochs: [1, 2]}' train.epochs
in_file 'a number where a section belongs' 'train: 3' train
in_file 'a key that comes twice' 'name: again' name
in_file 'a tab' $'\ttrain: {epochs: 2}' ''
in_file 'a bracket that is not closed' 'train: {epochs: 2' ''
in_file 'an alias' 'train: *all' ''
head -c 3000 "$ROWHOUSE" > "$T/bad.yaml"
bad 'a program as a job' train "$T/bad.yaml" -- "$T/bad.yaml"
printf -- '- a\n- b\n' > "$T/bad.yaml"
bad 'a list as a job' train "$T/bad.yaml" -- "$T/bad.yaml"
ln -s bad2.yaml "$T/bad1.yaml"
bad 'a link to nowhere' train "$T/bad1.yaml" -- "$T/bad1.yaml"

# --- data
# data NAME REGEX ...: with what comes on standard input as data
data() {
    cat > "$T/bad.tsv"
    bad "$1" train "$T/job.yaml" data.train="$T/bad.tsv" -- "$T/bad.tsv" "${@:2}"
}
bad 'a file that is not there' train "$T/job.yaml" data.train="$T/none.tsv" -- "$T/none.tsv"
bad 'a pattern that matches none' train "$T/job.yaml" data.train="$T/none*.tsv" -- 'none\*'
bad 'a directory' train "$T/job.yaml" data.train="$T" -- "$T"
bad 'one file of two' train "$T/job.yaml" data.train="$T/d.tsv,$T/none.tsv" -- "$T/none.tsv"
mkdir "$T/linked"
ln -s ../d.tsv "$T/linked/other.tsv"
bad 'a test file that is trained on' train "$T/job.yaml" data.test="$T/d.tsv" data.split.test=0 \
    -- "$T/d.tsv in data.test" 'the same file'
bad 'by another path' train "$T/job.yaml" data.validation="$T/linked/../d.tsv" data.split.test=0 \
    -- "$T/d.tsv in data.train" "linked/../d.tsv in data.validation" 'the same file'
bad 'by a link in a folder' train "$T/job.yaml" data.validation="$T/linked" data.test="$T/d.tsv" \
    data.train="$T/users.tsv" data.split.test=0 \
    -- "linked/other.tsv in data.validation" "d.tsv in data.test" 'the same file'
bad 'or prepared by' prepare "$T/job.yaml" data.test="$T/d.tsv" data.split.test=0 --out - \
    -- "$T/d.tsv in data.test" 'the same file'
bad 'no test file' train "$T/job.yaml" data.test="$T/none.tsv" data.split.test=0 -- "$T/none.tsv"
bad 'a column that is not there' train "$T/job.yaml" data.label=ratng \
    -- "$T/d.tsv" ratng 'mean rating'
bad 'a key column that is not there' train "$T/job.yaml" data.columns.users.table=user \
    -- users
bad 'groups of data that are not in memory' train "$T/job.yaml" data.group=user \
    data.in_memory=false -- data.group data.in_memory
bad 'groups with weights' train "$T/job.yaml" data.group=user data.weight=rating \
    -- data.group data.weight
bad 'a column that is made of itself' train "$T/job.yaml" data.columns.x.make=cross \
    data.columns.x.of=user,x -- data.columns.x.of "'x'"
bad 'a list of a dense table whose keys are other' train "$T/job.yaml" \
    data.columns.title.as=keys data.columns.title.table=title tables.title.rows=5 \
    -- "$T/d.tsv line 2" 'no row of table title'
printf '1 2\n2 77\n' > "$T/among.txt"
bad 'items to rank among that are no rows' train "$T/job.yaml" evaluate.protocol=given \
    evaluate.metrics=hr@1 model.loss=logistic data.positive_from=3 tables.item.rows=51 \
    data.negatives="$T/among.txt" -- "$T/among.txt line 2" "'77' is no row of table item"
bad 'tabs where commas are expected' train "$T/job.yaml" data.format=csv -- "$T/d.tsv"
data 'an empty file' empty < /dev/null
head -n 1 "$T/d.tsv" > "$T/bad.tsv"
bad 'only a header' train "$T/job.yaml" data.train="$T/bad.tsv" -- data.train 'no example'
sed '7s/[0-9.]*\tItem/good\tItem/' "$T/d.tsv" |
    data 'a label that is no number' 'line 7' 'column rating' good
sed '7s/[0-9.]*\tItem/\tItem/' "$T/d.tsv" | data 'no label' 'line 7' rating
sed '7s/[0-9.]*\tItem/nan\tItem/' "$T/d.tsv" | data 'NaN as a label' 'line 7' rating
sed '7s/[0-9.]*\tItem/1e99\tItem/' "$T/d.tsv" | data 'a label beyond all bounds' 'line 7' rating
sed '9s/$/\tmore\tand more/' "$T/d.tsv" | data 'too many fields' 'line 9' 6 4
sed '9s/\t[^\t]*$//' "$T/d.tsv" | data 'too few fields' 'line 9' 3 4
sed '9s/^[0-9]*//' "$T/d.tsv" | data 'an empty key' 'line 9' user
sed '1s/item/user/' "$T/d.tsv" | data 'a column that comes twice' user
sed '9s/$/\x00\x00/' "$T/d.tsv" | data 'zero bytes' 'line 9'
head -c 20000 "$ROWHOUSE" | data 'a program as data' ''
{ cat "$T/d.tsv"; head -c 3000000 /dev/zero | tr '\0' x; } | data 'a line without end' line
sed 's/\t/,/g; 9s/^/"/' "$T/d.tsv" > "$T/bad.csv"
bad 'a quote that is not closed' train "$T/job.yaml" data.format=csv data.train="$T/bad.csv" \
    -- "$T/bad.csv" 'line 9'
sed 's/\t[0-9.]*\tItem/\t0.5\tItem/' "$T/d.tsv" > "$T/bad.tsv"
bad 'labels that are not 0 and 1' train "$T/job.yaml" model.loss=logistic \
    data.train="$T/bad.tsv" -- "$T/bad.tsv" 'line 2' positive_from
gzip -c "$T/d.tsv" > "$T/d.tsv.gz"
zstd -q "$T/d.tsv" -o "$T/d.tsv.zst"
for z in gz zst; do
    head -c -20 "$T/d.tsv.$z" > "$T/short.tsv.$z"
    bad "a truncated .$z" train "$T/job.yaml" data.train="$T/short.tsv.$z" -- "$T/short.tsv.$z"
    cp "$T/d.tsv.$z" "$T/flip.tsv.$z"
    printf '\377\377\377' | dd of="$T/flip.tsv.$z" bs=1 seek=200 conv=notrunc status=none
    bad "a damaged .$z" train "$T/job.yaml" data.train="$T/flip.tsv.$z" -- "$T/flip.tsv.$z"
done

# One file under two names would be on both sides of a split.
ln -s d.tsv "$T/link.tsv"
for other in "$T/./d.tsv" "$T/link.tsv"; do
    bad 'a file under two names' train "$T/job.yaml" data.train="$T/d.tsv,$other" \
        -- data.train "$other" 'same file'
done

# --- results where data is
mkdir "$T/in"
cp "$T/d.tsv" "$T/in/d.tsv"
cp "$T/d.tsv" "$T/copy.tsv"
ln -s copy.tsv "$T/out.tsv"
run "$ROWHOUSE" prepare "$T/job.yaml" data.train="$T/in" --out "$T/in/out.csv"
ended 0 'a result in the folder that is read'
run "$ROWHOUSE" prepare "$T/job.yaml" data.train="$T/copy.tsv" --out "$T/out.tsv"
ended 0 'a link to what is read as the place of the result'
is "$(wc -l < "$T/copy.tsv") $(readlink "$T/out.tsv")" "$(wc -l < "$T/d.tsv") copy.tsv" \
    'which is then there, whole'
rm "$T/in/out.csv"
run "$ROWHOUSE" train "$T/job.yaml" train.epochs=1 --quiet
ended 0 'a checkpoint to predict from'
cp "$T/d.tsv" "$T/copy.tsv"
run "$ROWHOUSE" predict "$T/job.yaml" --data "$T/copy.tsv" --out "$T/out.tsv"
ended 0 'predictions to a link to the data'
is "$(wc -l < "$T/copy.tsv")" $(($(wc -l < "$T/d.tsv") - 1)) 'one a line'
run "$ROWHOUSE" predict "$T/job.yaml" --data "$T/in" --out "$T/in/p.txt"
ended 0 'predictions in the folder that is read'
sed '9s/^[0-9]*//' "$T/d.tsv" > "$T/bad.tsv"
run "$ROWHOUSE" predict "$T/job.yaml" --data "$T/bad.tsv" --out - data.bad_rows=skip
refused 2 'predictions for fewer lines than there are' "$T/bad.tsv line 9" user
run "$ROWHOUSE" prepare "$T/job.yaml" data.train="$T/bad.tsv" --out /dev/null data.bad_rows=skip
ended 0 'prepare leaves a row out' 'left out' "$T/bad.tsv line 9"
rm -rf "$C"

# --- where checkpoints go
echo text > "$T/file"
run "$ROWHOUSE" train "$T/job.yaml" checkpoint.dir="$T/file/ck" --quiet
refused 1 'checkpoint.dir below a file' "$T/file"
run "$ROWHOUSE" train "$T/job.yaml" checkpoint.dir="$T/file" --quiet
refused 1 'a file as checkpoint.dir' "$T/file"

# A small disk, in a mount namespace of its own, which goes away with the command.
disk() { # COMMAND ...: with $T/disk of 100 kB
    run unshare --mount $userns bash -c 'mount -t tmpfs -o size=100k none "$0" && exec "$@"' \
        "$T/disk" "$@"
}
mkdir "$T/disk"
userns=
[ "$(id -u)" -eq 0 ] || userns=--map-root-user
if disk true; [ "$status" -eq 0 ]; then
    ratings 300 200 30 > "$T/large.tsv"
    disk "$ROWHOUSE" train "$T/job.yaml" checkpoint.dir="$T/disk/ck" --quiet \
        data.train="$T/large.tsv" tables.user.dim=64 tables.item.dim=64
    refused 1 'a full disk' "$T/disk/ck" 'No space'
    # The first checkpoint fits; the second, which has more rows, does not.
    disk bash -c '
        train() {
            "$0" train "$2/job.yaml" checkpoint.dir="$1" --quiet tables.user.dim=32 \
                tables.item.dim=32 "${@:3}"
        }
        train "$@" train.epochs=1 > /dev/null || exit 9
        train "$@" --resume data.train="$2/large.tsv"
        status=$?
        ls "$1"/checkpoint-*/manifest | wc -l > "$2/manifests"
        "$0" verify "$1" > /dev/null || exit 8
        exit $status' "$ROWHOUSE" "$T/disk/ck" "$T"
    ended 1 'a disk that gets full' "$T/disk/ck" 'No space'
    is "$(cat "$T/manifests")" 1 'leaves only the checkpoint that is whole'
    disk bash -c '
        "$0" train "$1/job.yaml" checkpoint.dir="$1/disk/ck" --quiet > /dev/null || exit 9
        "$0" predict "$1/job.yaml" checkpoint.dir="$1/disk/ck" --data "$1/large.tsv" \
            --layer user --out "$1/disk/p.txt"
        status=$?
        ls "$1/disk" > "$1/left"
        exit $status' "$ROWHOUSE" "$T"
    refused 1 'no room for predictions' "$T/disk/p.txt" 'No space'
    is "$(cat "$T/left")" ck 'leaves none of them'
else
    skip "$(head -n 1 "$T/.err")" 'a full disk'
    skip 'no small disk' 'a disk that gets full'
fi
no_leftovers
done_testing
