#!/bin/bash
# Tables that are full: by tables.T.rows_max, by cluster.memory_max. The run goes on, says
# so once, and counts what it could not keep. Dense tables.
. "$(dirname "$0")/lib.sh"

ratings 300 200 30 > "$T/d.tsv"
C=$T/ck
job "$T/d.tsv" "checkpoint: {dir: $C}" 'train: {epochs: 2, batch: 64}' > "$T/job.yaml"
train() { # ARGUMENT ...
    run "$ROWHOUSE" train "$T/job.yaml" --report "$T/r.json" "$@"
}
table() { # TABLE FIELD ...: of the report
    json "$T/r.json" "[d['tables']['$1'][f] for f in '${*:2}'.split()]"
}
warnings() {
    grep -c '^rowhouse: .*table .* is full' <<< "$err"
}

# --- rows_max
train tables.item.rows_max=120
ended 0 'more rows than rows_max: the run goes on' 'epoch 2/2' \
    'table item is full with 120 rows \(tables\.item\.rows_max is 120\)' \
    'read as zeros' 'raise tables\.item\.rows_max'
is "$(warnings)" 1 'and says so once'
is "$(table item rows)" '[120]' 'the table has no more rows than that'
like "$(table item rows_refused reads_refused)" '^\[[1-9][0-9]*, [1-9][0-9]*\]$' \
    'the report counts what was refused'
is "$(table user rows rows_refused reads_refused)" '[300, 0, 0]' 'the other table has all its rows'
is "$(json "$T/r.json" 'd["pushes"]["sent"] - d["pushes"]["applied"]')" 0 'every push counts once'
is "$(value rmse | grep -c .)" 1 'and a model comes out'
full=$(value rmse)

train --fresh
ended 0 'with all rows'
is "$(table item rows rows_refused reads_refused)" '[200, 0, 0]' 'nothing is refused'
is "$(warnings)" 0 'and nothing said'
less "$(value rmse)" "$full" 'which makes a better model'

train --fresh cluster.servers=3 cluster.workers=2 tables.item.rows_max=120
ended 0 'three servers share rows_max' 'shared out among the servers'
is "$(warnings)" 1 'and one sentence'
like "$(table item rows)" '^\[(120|11[0-9])\]$' 'together they make no more rows than that'

# What has been full goes on on other servers, without a row lost, and with more of them
# when it may have more.
rows=$(table item rows)
train --resume train.epochs=3 cluster.servers=7 cluster.workers=1 tables.item.rows_max=120
ended 0 'seven servers go on with the rows of three'
like "$(table item rows)" "^\[(${rows:1:-1}|1[12][0-9])\]$" 'all of them'
less "$(json "$T/r.json" 'd["tables"]["item"]["rows"]')" 120.5 'and no more than rows_max'
train --resume train.epochs=4 cluster.servers=2 tables.item.rows_max=0
ended 0 'a run may go on with more rows'
is "$(table item rows)" '[200]' 'all there are'
before=$(cd "$C" && find . -type f -exec md5sum {} + | sort)
train --resume train.epochs=5 tables.item.rows_max=150
refused 2 'or with fewer than it has: refused' 'has 200 rows of table item' \
    'tables\.item\.rows_max is 150'
is "$(cd "$C" && find . -type f -exec md5sum {} + | sort)" "$before" 'and nothing is lost'
train --resume train.epochs=5 tables.item.rows_max=200 cluster.servers=5
ended 0 'and goes on as before'
is "$(table item rows)" '[200]' 'with all its rows'

# Rows that a file of vectors brings count, too.
awk 'BEGIN { for (i = 101; i <= 200; i++) print i, 1, 2, 3, 4 }' > "$T/v.txt"
train --fresh cluster.servers=3 tables.item.vectors="$T/v.txt" tables.item.rows_max=110
ended 0 'vectors and rows_max'
like "$(table item rows)" '^\[(110|10[0-9])\]$' 'what they leave of it is shared out'
train --fresh cluster.servers=3 tables.item.vectors="$T/v.txt" tables.item.rows_max=99
refused 2 'more vectors than rows_max' 'tables\.item\.rows_max'

# --- memory_max
train --fresh tables.user.dim=2000 tables.item.dim=2000 cluster.memory_max=2MiB train.epochs=1
ended 0 'more rows than memory_max has room for: the run goes on' \
    'table user is full with [0-9]+ rows \(a server has reached cluster\.memory_max, 2 MiB\)' \
    'table item is full' 'raise cluster\.memory_max or add servers'
is "$(warnings)" 2 'and says so once for each table'
less "$(json "$T/r.json" 'sum(t["bytes"] for t in d["tables"].values())')" 2097153 \
    'the tables stay inside'
train --fresh tables.user.dim=2000 tables.item.dim=2000 cluster.memory_max=32MiB train.epochs=1
ended 0 'with more memory'
is "$(warnings)" 0 'there is nothing to say'
before=$(cd "$C" && find . -type f -exec md5sum {} + | sort)
train --resume tables.user.dim=2000 tables.item.dim=2000 cluster.memory_max=2MiB train.epochs=2
refused 1 'a checkpoint that does not fit into memory_max' \
    "rows of table (user|item) pass cluster\.memory_max \(2 MiB\)" 'add servers'
is "$(cd "$C" && find . -type f -exec md5sum {} + | sort)" "$before" 'is still there'
train --resume tables.user.dim=2000 tables.item.dim=2000 cluster.memory_max=8MiB \
    cluster.servers=4 train.epochs=2
ended 0 'and goes on where there is room for it'

# --- as processes, with one killed
mpi 3 train "$T/job.yaml" cluster.servers=2 checkpoint.dir="$T/mpi" \
    tables.item.rows_max=100 train.epochs=100000 --report "$T/r.json"
start -t 60 "${mpi[@]}"
wait_for 20 said 'is full'
victim=$(ours '^rowhouse child [0-9]+ server 1' | head -n 1)
kill -KILL "$victim"
wait_for 20 said 'restart 1 of'
sleep 0.5
kill -INT "$job"
finish
ended 130 'a server with a full table is killed and comes back' 'signal 9'
is "$(warnings)" 1 'there is one warning'
is "$(json "$T/r.json" 'd["pushes"]["sent"] - d["pushes"]["applied"]')" 0 \
    'every push counts once'

# --- dense tables: tables.T.rows
dense='tables.user.rows=301 tables.item.rows=250'
bits() { # DIR
    { exported "$1" user; exported "$1" item; } | md5sum
}
bsp='train.consistency=bsp cluster.workers=2'
for servers in 1 2 3 7; do
    train checkpoint.dir="$T/dense$servers" $dense $bsp cluster.servers=$servers
    ended 0 "dense tables on $servers servers" 'epoch 2/2'
    is "$(table user rows rows_refused) $(table item rows)" '[301, 0] [250]' 'have all their rows'
    is "$(bits "$T/dense$servers")" "$(bits "$T/dense1")" 'and the bits of one'
done
dense_rmse=$(value rmse)
is "$(exported "$T/dense7" user | awk -F, 'NR > 1 && $1 != NR - 2' | wc -l)" 0 \
    'the keys are 0, 1, 2 and so on'
train checkpoint.dir="$T/sparse" $bsp
near "$(value rmse)" "$dense_rmse" 1e-5 'a model from dense tables is one from sparse ones'
mpi 5 train "$T/job.yaml" checkpoint.dir="$T/dense-mpi" $dense $bsp cluster.servers=3
run "${mpi[@]}"
is "$status $(bits "$T/dense-mpi")" "0 $(bits "$T/dense1")" 'and as processes'

# Going on with other numbers of servers; what is made of the model.
train checkpoint.dir="$T/dense7" $dense $bsp cluster.servers=2 --resume train.epochs=3
ended 0 'two servers go on with the dense tables of seven'
train checkpoint.dir="$T/dense1" $dense $bsp cluster.servers=5 --resume train.epochs=3
is "$status $(bits "$T/dense1")" "0 $(bits "$T/dense7")" 'with the same bits as five with those of one'
train checkpoint.dir="$T/dense1" $bsp tables.user.rows=302 tables.item.rows=250 --resume
refused 2 'the number of rows does not change' 'tables\.user\.rows is 302'
run "$ROWHOUSE" evaluate "$T/job.yaml" $dense --checkpoint "$T/dense1"
ended 0 'evaluate'
run "$ROWHOUSE" evaluate "$T/job.yaml" tables.user.rows=302 --checkpoint "$T/dense1"
refused 2 'a checkpoint with other rows' 'has 301 rows of table user' 'tables\.user\.rows is 302'
run "$ROWHOUSE" verify "$T/dense1"
ended 0 'verify'
like "$("$ROWHOUSE" inspect "$T/dense1")" '301' 'inspect counts the rows'
run "$ROWHOUSE" predict "$T/job.yaml" $dense checkpoint.dir="$T/dense1" --data "$T/d.tsv" --out -
ended 0 'predict'
run "$ROWHOUSE" recommend "$T/job.yaml" $dense checkpoint.dir="$T/dense1" --user 7 --top 250 --json
is "$(json "$T/.out" 'all(0 < int(i["key"]) <= 200 for i in d["items"])')" True \
    'rows that nobody has rated are not recommended'
run "$ROWHOUSE" recommend "$T/job.yaml" $dense checkpoint.dir="$T/dense1" --user 0 --json
is "$(json "$T/.out" 'd["known"]')" False 'a row that nobody has trained is no known user'

# More tables than the model uses: each is there, and none changes anything.
before=$(bits "$T/dense2")
many=$(seq -f 'tables.layer%g.rows=3' 62)
for servers in 1 2; do
    train checkpoint.dir="$T/many$servers" $dense $bsp $many cluster.servers=$servers
    is "$status $(bits "$T/many$servers")" "0 $before" "64 tables on $servers servers"
done
is "$(table layer62 rows)" '[3]' 'and all their rows'
train checkpoint.dir="$T/many2" $dense $bsp $many cluster.servers=3 --resume train.epochs=3
ended 0 'which go on on three'
like "$("$ROWHOUSE" inspect "$T/many2")" 'layer62' 'inspect has them all'
mpi 5 train "$T/job.yaml" checkpoint.dir="$T/many-mpi" $dense $bsp $many cluster.servers=3
run "${mpi[@]}"
is "$status $(bits "$T/many-mpi")" "0 $(bits "$T/many1")" 'and as processes'
train checkpoint.dir="$T/none" $dense $many tables.layer63.rows=3
refused 2 'one more' 'more than 64 tables'

# Bad keys, and too little memory.
train --fresh checkpoint.dir="$T/none" tables.item.rows=200
refused 2 'a key that a dense table lacks' "$T/d.tsv line [0-9]+, column item: the key '200' is no row" \
    'rows 0 to 199'
printf 'user\titem\trating\ttitle\nBob\t3\t4\tT\n' > "$T/bob.tsv"
train data.train="$T/bob.tsv" checkpoint.dir="$T/none" $dense
refused 2 'a key that is no number' "line 2, column user: the key 'Bob' is no row of table user"
run "$ROWHOUSE" predict "$T/job.yaml" $dense checkpoint.dir="$T/dense1" --data "$T/bob.tsv" --out -
refused 2 'predicting for it' "column user: the key 'Bob'"
# Data whose keys all have rows: else it depends on who reads faster.
awk -F"\t" 'NR == 1 || $2 < 150' "$T/d.tsv" > "$T/few.tsv"
train tables.item.vectors="$T/v.txt" data.train="$T/few.tsv" checkpoint.dir="$T/none" \
    tables.item.rows=150
refused 2 'a vector of a key that a dense table lacks' 'the key 150 is no row of table item'
train checkpoint.dir="$T/none" tables.item.rows=10000000 cluster.memory_max=64MiB
refused 1 'a dense table that does not fit' 'tables\.item\.rows is 10000000' 'memory_max' \
    'add servers'
no_leftovers
done_testing
