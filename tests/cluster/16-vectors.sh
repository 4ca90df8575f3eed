#!/bin/bash
# First values from files of vectors: the same for any number of servers, whatever is
# killed; what is in a checkpoint; what is refused.
. "$(dirname "$0")/lib.sh"
shopt -s lastpipe # `... | bad` counts its tests here

ratings 400 300 40 > "$T/d.tsv"
job "$T/d.tsv" 'train: {epochs: 3, batch: 256, consistency: bsp}' \
    'checkpoint: {every: 0}' > "$T/job.yaml"
# Vectors of 4 numbers for the items 101 to 400, of which the data has the first 200.
awk 'BEGIN {
    print "300 4"
    for (i = 101; i <= 400; i++)
        printf "%d %.6g %.6g %.6g %.6g\n", i, sin(i), cos(i) / 3, i / 1000, -sin(3 * i)
}' > "$T/v.txt"
own="tables.item.vectors=$T/v.txt"
still='optimizer.kind=sgd optimizer.rate=0 optimizer.l2=0' # training changes nothing

train() { # DIR ARGUMENT ...
    run "$ROWHOUSE" train "$T/job.yaml" --quiet checkpoint.dir="$T/$1" "${@:2}"
}
table() { # DIR TABLE: as CSV
    exported "$T/$1" "$2"
}
bits() { # DIR
    { table "$1" user; table "$1" item; } | md5sum
}

# --- what a run begins with
train still $own $still
ended 0 'a run with vectors'
table still item > "$T/still.csv"
is "$(awk -F, '$1 + 0 > 100 { printf "%d %.6g %.6g %.6g %.6g\n", $1, $2, $3, $4, $5 }' \
    "$T/still.csv" | md5sum)" "$(tail -n +2 "$T/v.txt" | md5sum)" \
    'its rows begin as the file says, all of them are there'
train plain $still
is "$(table still item | awk -F, '$1 < 101' | md5sum)" \
    "$(table plain item | awk -F, '$1 < 101' | md5sum)" 'the others as without a file'
is "$(table still user | md5sum)" "$(table plain user | md5sum)" 'other tables, too'
for form in gz zst; do
    [ $form = gz ] && gzip -k "$T/v.txt" || zstd -q "$T/v.txt"
    train $form tables.item.vectors="$T/v.txt.$form" $still
    is "$status $(bits $form)" "0 $(bits still)" "the same from .$form"
done
train again tables.item.vectors="$T/still.csv" $still
is "$status $(bits again)" "0 $(bits still)" 'and from what an export has made of it'
"$PYTHON" - "$T/v.npy" << 'END'
import struct, sys
head = "{'descr': '<f4', 'fortran_order': False, 'shape': (301, 4), }".ljust(117) + "\n"
open(sys.argv[1], "wb").write(b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) +
    head.encode() + b"".join(struct.pack("<4f", i, 0.5, -i, 0.25) for i in range(301)))
END
train npy tables.item.vectors="$T/v.npy" $still
is "$status $(table npy item | awk -F, '$1 == 207')" '0 207,207,0.5,-207,0.25,0' \
    'a NumPy matrix: row numbers are keys'
awk -F'\t' 'NR > 1 { $2 = "film " $2 } 1' OFS='\t' "$T/d.tsv" > "$T/words.tsv"
awk 'NR > 1 { print "film " $1 "\t" $2 "\t" $3 "\t" $4 "\t" $5 }' "$T/v.txt" > "$T/words.txt"
train words data.train="$T/words.tsv" tables.item.vectors="$T/words.txt" $still
is "$status $(table words item | cut -d, -f2- | grep -cxFf <(
    awk -F, '$1 + 0 > 100' "$T/still.csv" | cut -d, -f2-))" '0 300' \
    'keys that are words find their vectors'

# --- the same bits, for any number of servers
for servers in 1 2 3 7; do
    train threads-$servers $own cluster.servers=$servers cluster.workers=2
    ended 0 "bsp with vectors, $servers servers"
    [ $servers -eq 1 ] && wanted=$(bits threads-1)
    is "$(bits threads-$servers)" "$wanted" '... gives the same bits'
done
mpi 4 train "$T/job.yaml" --quiet $own cluster.servers=2 checkpoint.dir="$T/ranks"
run -t 40 "${mpi[@]}"
is "$status $(bits ranks)" "0 $wanted" '... as processes, too'

# Killed while they read: a file that takes a while.
awk 'BEGIN { for (i = 1; i <= 200000; i++)
        print i, sin(i), cos(i) / 3, i / 1000000, -sin(3 * i) }' > "$T/long.txt"
long="tables.item.vectors=$T/long.txt cluster.restarts_max=100"
train alone $long cluster.workers=2
ended 0 'many vectors'
mpi 4 train "$T/job.yaml" --quiet $long cluster.servers=2 checkpoint.dir="$T/killed"
start -t 60 "${mpi[@]}"
kills=0
for victim in 'server 0' 'server 1' 'server 0' 'server 1'; do
    wait_for 10 eval "[ -n \"\$(ours 'rowhouse child [0-9]+ $victim')\" ]" || break
    sleep 0.05
    pid=$(ours "rowhouse child [0-9]+ $victim" | head -n 1)
    [ -n "$pid" ] && kill -KILL "$pid" 2> /dev/null && kills=$((kills + 1))
done
finish
ended 0 "the same with $kills servers killed as they read"
less 0 $kills '... some were'
is "$(bits killed)" "$(bits alone)" '... gives the same bits'

# --- resuming
train two $own train.epochs=1 train.inflight=0
train two $own train.epochs=3 train.inflight=0 --resume cluster.servers=3
train one $own train.epochs=3 train.inflight=0
is "$status $(bits two)" "0 $(bits one)" 'a run in two parts has the bits of one'
mkdir "$T/moved"
cp "$T/v.txt" "$T/moved/w.txt"
train two tables.item.vectors="$T/moved/w.txt" train.inflight=0 train.epochs=4 --resume
ended 0 'the file may be elsewhere'
sed -i 's/^150 /150 1/' "$T/moved/w.txt"
train two tables.item.vectors="$T/moved/w.txt" train.inflight=0 train.epochs=5 --resume
refused 2 'but not another' tables.item.vectors_digest
train two train.inflight=0 train.epochs=5 --resume
refused 2 'nor none' tables.item.vectors_digest
rm "$T/moved/w.txt"
train two tables.item.vectors="$T/moved/w.txt" train.inflight=0 --resume
refused 2 'nor gone' tables.item.vectors "$T/moved/w.txt" 'No such file'
run "$ROWHOUSE" evaluate "$T/job.yaml" checkpoint.dir="$T/two" train.inflight=0
ended 0 'evaluating does without the file'

# --- what is refused
bad() { # NAME REGEX ...: what comes on standard input as vectors
    cat > "$T/bad.txt"
    run "$ROWHOUSE" train "$T/job.yaml" --quiet tables.item.vectors="$T/bad.txt" \
        cluster.servers=2 checkpoint.dir="$T/bad"
    refused 2 "$1" tables.item.vectors "$T/bad.txt" "${@:2}"
}
head -n 100 "$T/v.txt" | bad 'a file that is cut off' 99 300
head -c 3000 "$T/v.txt" | tail -n +2 | bad 'in the middle of a line' 'numbers, expected 4'
sed '7s/ [^ ]*$/ four/' "$T/v.txt" | bad 'a number that is none' 'line 7' four
sed '7s/ [^ ]*$/ nan/' "$T/v.txt" | bad 'NaN' 'line 7' nan
sed '7s/ [^ ]*$//' "$T/v.txt" | bad 'another dim' 'line 7' '3 numbers, expected 4'
sed '1s/4/300/' "$T/v.txt" | bad 'another dim in the first line' 'line 1' 300
sed '9s/^[0-9]*/105/' "$T/v.txt" | bad 'a key that comes twice' 'line 9' 'line 6'
sed '9s/^[0-9]*//' "$T/v.txt" | bad 'no key' 'line 9'
head -c -20 "$T/v.txt.gz" | bad 'a truncated .gz' truncated
head -c 1000 "$T/v.npy" | bad 'a truncated matrix' truncated
bad 'an empty file' 'no vectors' < /dev/null
train bad tables.item.vectors="$T/none.txt"
refused 2 'a file that is not there' tables.item.vectors "$T/none.txt"
train bad tables.item.vectors="$T"
refused 2 'a directory' tables.item.vectors "$T"
train bad $own tables.item.vectors_digest=0123456789abcdef
refused 2 'another digest' tables.item.vectors 0123456789abcdef
train bad tables.item.vectors_digest=0123456789abcdef
refused 2 'a digest of nothing' tables.item.vectors_digest
train bad $long cluster.memory_max=3MiB
refused 1 'more vectors than memory' 'table item' cluster.memory_max
no_leftovers
done_testing
