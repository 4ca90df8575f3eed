#!/bin/bash
# After training: evaluate, predict, recommend; inspect, verify and export.
. "$(dirname "$0")/lib.sh"

ratings 120 200 30 > "$T/all.tsv"
awk -F'\t' -v t="$T" 'NR == 1 { print > t "/d.tsv"; print > t "/test.tsv"; next }
    { print > (NR % 10 ? t "/d.tsv" : t "/test.tsv") }' "$T/all.tsv"
# Somebody and something that training never saw: known only by the mean.
printf '%s\n' $'9999\t1\t3\tItem 1' $'1\t8888\t3\tItem 8888' >> "$T/test.tsv"
C=$T/ck
job "$T/d.tsv" "checkpoint: {dir: $C}" 'train: {epochs: 3, batch: 64}' \
    'evaluate: {metrics: [rmse, mae]}' | sed "/split/c\\  test: $T/test.tsv" > "$T/job.yaml"
run "$ROWHOUSE" train "$T/job.yaml" cluster.servers=2 cluster.workers=2 --report "$T/train.json"
ended 0 'a job is trained'
rmse=$(json "$T/train.json" 'd["test"]["rmse"]')
"$ROWHOUSE" inspect "$C" --json > "$T/before.json"
find "$C" -type f -exec md5sum {} + | sort > "$T/before"

# --- evaluate
evaluated() { # NAME SETTING ...
    run "$ROWHOUSE" evaluate "$T/job.yaml" --report "$T/e.json" "${@:2}"
    is "$status" 0 "evaluate$1"
    near "$(json "$T/e.json" 'd["test"]["rmse"]')" "$rmse" 1e-6 'comes to what the run did'
}
evaluated ''
is "$err" '' 'with nothing to complain'
near "$(value rmse)" "$rmse" 1e-6 'and prints it'
is "$(json "$T/e.json" 'd["test"]["mae"]')" "$(json "$T/train.json" 'd["test"]["mae"]')" \
    'with all metrics'
evaluated ' by three servers and two workers' cluster.servers=3 cluster.workers=2
mpi 3 evaluate "$T/job.yaml" cluster.servers=1 --report "$T/e.json"
run "${mpi[@]}"
ended 0 'evaluate under mpirun'
near "$(json "$T/e.json" 'd["test"]["rmse"]')" "$rmse" 1e-6 'comes to what the run did'
is "$(json "$T/e.json" '[t["rows"] for t in d["tables"].values()]')" \
    "$(json "$T/train.json" '[t["rows"] for t in d["tables"].values()]')" \
    'it makes no rows, not even for keys that it does not know'
run "$ROWHOUSE" evaluate "$T/job.yaml" --checkpoint "$C/checkpoint-0000000001" checkpoint.dir=
is "$status" 0 'evaluate of an earlier checkpoint'
less "$rmse" "$(value rmse)" 'which was not as good'
run "$ROWHOUSE" evaluate "$T/job.yaml" checkpoint.dir=
refused 2 'evaluate without a checkpoint' --checkpoint
run "$ROWHOUSE" evaluate "$T/job.yaml" data.test=
refused 2 'evaluate on nothing' data.test

# --- predict
predict() {
    run "$ROWHOUSE" predict "$T/job.yaml" "$@"
}
predict --data "$T/test.tsv" --out "$T/p.txt"
ended 0 'predict'
is "$out$err" '' 'writes to the file alone'
is "$(wc -l < "$T/p.txt")" $(($(wc -l < "$T/test.tsv") - 1)) 'one prediction a line'
near "$(tail -n +2 "$T/test.tsv" | cut -f 3 | paste - "$T/p.txt" |
    awk '{ s += ($1 - $2) ^ 2 } END { printf "%.9f", sqrt(s / NR) }')" "$rmse" 2e-6 \
    "whose error is what evaluate says"
cut -f 1,2 "$T/test.tsv" > "$T/nolabel.tsv"
predict --data "$T/nolabel.tsv" --out -
is "$out" "$(cat "$T/p.txt")" 'to standard output, without labels in the file'
predict --data "$T/test.tsv" --out "$T/user.txt" --layer user
is "$status $(awk '{ print NF }' "$T/user.txt" | sort -u)" '0 5' \
    "--layer: a row's factors and bias a line"
is "$(tail -n 2 "$T/user.txt" | head -n 1)" '0 0 0 0 0' 'nothing for who is not known'
predict --data "$T/test.tsv" --out "$T/none/p.txt"
refused 1 'predict to no directory' "$T/none/p.txt"
predict --data "$T/none.tsv" --out -
refused 2 'predict from no file' "$T/none.tsv"
sed '5s/\t/x/g' "$T/nolabel.tsv" > "$T/short.tsv"
predict --data "$T/short.tsv" --out "$T/q.txt"
refused 2 'predict from a broken file' "$T/short.tsv" 'line 5'
is "$(echo "$T"/q.txt*)" "$T/q.txt*" 'leaves no half of a file'
predict --data "$T/test.tsv" --out - --layer depth
refused 2 'a layer that is not there' depth user item
predict --out -
refused 2 'predict without data' --data
if [ -w /dev/full ]; then
    run bash -c '"$0" predict "$1" --data "$2" --out - > /dev/full' "$ROWHOUSE" \
        "$T/job.yaml" "$T/test.tsv"
    refused 1 'predict to a full device' 'cannot write'
else
    skip 'no /dev/full' 'predict to a full device'
fi

# --- recommend
recommend() {
    run "$ROWHOUSE" recommend "$T/job.yaml" "$@"
}
rated() { # USER: the items of the training data
    awk -F'\t' -v u="$1" '$1 == u { print $2 }' "$T/d.tsv" | sort
}
recommend --user 7
ended 0 'recommend'
like "$out" "user 7 has rated $(rated 7 | wc -l) items" 'says how much it knows of the user'
is "$(grep -cE '^ +[0-9]+  Item [0-9]+ +[0-9.]+$' <<< "$out")" 15 \
    'five that the user liked and ten to come, with titles'
is "$(sed -n '/would like/,$s/^ *[0-9]*  Item \([0-9]*\) .*/\1/p' <<< "$out" | sort |
    comm -12 - <(rated 7))" '' 'none of which the user has rated'
is "$(sed -n '/liked best/,/would like/s/^ *[0-9]*  Item \([0-9]*\) .*/\1/p' <<< "$out" |
    sort | comm -13 <(rated 7) -)" '' 'and those liked are all from the data'
recommend --user nobody
ended 0 'recommend for someone unknown'
like "$out" 'nobody is not known' 'says so'
is "$(grep -c ' Item ' <<< "$out")" 10 'and gives the popular ones'
printf '7\n8\nnobody\n' > "$T/users"
recommend --users "$T/users" --json --top 4
ended 0 'recommend for a file of users'
"$PYTHON" - "$T/.out" "$T/d.tsv" > "$T/complaints" 2>&1 << 'END'
import json, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
rows = [line.rstrip("\n").split("\t") for line in open(sys.argv[2])][1:]
titles = {r[1]: r[3] for r in rows}
assert [l["user"] for l in lines] == ["7", "8", "nobody"], lines
assert [l["known"] for l in lines] == [True, True, False], lines
for l in lines:
    assert len(l["items"]) == 4, l
    scores = [i["score"] for i in l["items"]]
    assert scores == sorted(scores, reverse=True), l
    seen = {r[1] for r in rows if r[0] == l["user"]}
    for i in l["items"]:
        assert i["key"] not in seen and titles[i["key"]] == i["title"], i
counts = sorted((sum(r[1] == k for r in rows) for k in titles), reverse=True)
assert [i["score"] for i in lines[2]["items"]] == counts[:4], lines[2]
END
is "$(cat "$T/complaints")" '' 'as JSON, one object a line, best first'
recommend --user 7 --json --top 1000
is "$status $("$PYTHON" -c 'import json, sys; print(len(json.load(sys.stdin)["items"]))' \
    <<< "$out")" "0 $((200 - $(rated 7 | wc -l)))" '--top beyond the catalogue: all that is left'
predicted=$(printf 'user\titem\n7\t%s\n' "$("$PYTHON" -c 'import json, sys
print(json.load(sys.stdin)["items"][0]["key"])' <<< "$out")")
score=$("$PYTHON" -c 'import json, sys; print(json.load(sys.stdin)["items"][0]["score"])' <<< "$out")
echo "$predicted" > "$T/one.tsv"
predict --data "$T/one.tsv" --out -
near "$out" "$score" 1e-5 "a recommendation's rating is the predicted one"

# --- inspect, verify, export
run "$ROWHOUSE" inspect "$C"
ended 0 'inspect'
like "$out" 'epoch +3 finished'.*user.*item.*shard-000-of-002.*optimizer.rate=0.1 \
    'tells what there is'
run "$ROWHOUSE" verify "$C"
ended 0 'verify'
is "$(grep -c 'fine$' <<< "$out")" 3 'a line for each file'
"$ROWHOUSE" inspect "$C" --json > "$T/after.json"
cmp -s "$T/before.json" "$T/after.json" &&
    find "$C" -type f -exec md5sum {} + | sort | cmp -s - "$T/before"
ok $? 'nothing so far has changed a checkpoint'

export_item() { # FORMAT OUT [CHECKPOINT]
    run "$ROWHOUSE" export "${3:-$C}" --table item --format "$1" --out "$2"
}
export_item csv "$T/a.csv"
ended 0 'export as CSV'
is "$(head -n 1 "$T/a.csv")" key,v0,v1,v2,v3,bias 'with a header'
is "$(tail -n +2 "$T/a.csv" | cut -d, -f 1 | sort -n | cmp - <(seq 200) && echo same)" same \
    'and a row for each key'
run "$ROWHOUSE" train "$T/job.yaml" checkpoint.dir="$T/ck1" --quiet train.inflight=0
run "$ROWHOUSE" train "$T/job.yaml" checkpoint.dir="$T/ck4" --quiet train.inflight=0 \
    cluster.servers=4
export_item csv "$T/1.csv" "$T/ck1"
export_item csv "$T/4.csv" "$T/ck4"
cmp "$T/1.csv" "$T/4.csv"
ok $? 'one server and four export the same, where nothing runs at the same time'
export_item csv "$T/b.csv" "$C/checkpoint-0000000003"
cmp "$T/a.csv" "$T/b.csv"
ok $? 'a second export is the same to the byte'
export_item npy "$T/a.npy"
ended 0 'export for NumPy'
"$PYTHON" - "$T/a.npy" "$T/a.keys.npy" "$T/a.csv" > "$T/complaints" 2>&1 << 'END'
import ast, struct, sys
def read(path, code):
    data = open(path, "rb").read()
    assert data[:8] == b"\x93NUMPY\x01\x00", data[:8]
    (n,) = struct.unpack("<H", data[8:10])
    assert (10 + n) % 64 == 0 and data[9 + n:10 + n] == b"\n", n
    head = ast.literal_eval(data[10:10 + n].decode())
    assert set(head) == {"descr", "fortran_order", "shape"}, head
    assert not head["fortran_order"], head
    body = data[10 + n:]
    count = 1
    for d in head["shape"]: count *= d
    assert len(body) == count * struct.calcsize("<" + code), len(body)
    return head, struct.unpack("<%d%s" % (count, code), body)
head, values = read(sys.argv[1], "f")
assert head["descr"] == "<f4" and head["shape"] == (200, 5), head
head, keys = read(sys.argv[2], "Q")
assert head["descr"] == "<u8" and head["shape"] == (200,), head
lines = [l.split(",") for l in open(sys.argv[3])][1:]
assert [int(l[0]) for l in lines] == list(keys)
single = lambda x: struct.unpack("<f", struct.pack("<f", float(x)))[0]
assert [single(x) for l in lines for x in l[1:]] == list(values)
END
is "$(cat "$T/complaints")" '' 'two arrays with what the CSV has'
export_item csv "$T/a.csv"
refused 2 'export over a file' "$T/a.csv"
export_item xml "$T/a.xml"
refused 2 'export as something else' xml csv npy
run "$ROWHOUSE" export "$C" --table film --format csv --out "$T/c.csv"
refused 2 'export of no table' film user item
run "$ROWHOUSE" inspect "$T"
refused 2 'inspect where there is no checkpoint' "$T"
run "$ROWHOUSE" verify "$T/none"
refused 2 'verify of nothing' "$T/none"

# --- damage
flip() { # FILE OFFSET
    printf "$(printf '\\%03o' $(($(od -An -tu1 -j "$2" -N 1 "$1") ^ 16)))" |
        dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}
# After COMMAND has damaged a copy of the checkpoint, $D, FILE has to be named.
damaged() { # NAME FILE COMMAND ...
    local D=$T/damaged/checkpoint-0000000003

    rm -rf "$T/damaged"
    mkdir "$T/damaged"
    cp -r "$C/checkpoint-0000000003" "$D"
    "${@:3}"
    run "$ROWHOUSE" verify "$T/damaged"
    [ "$status" -eq 1 ] && [ "$(wc -l < "$T/.err")" -eq 1 ] && [[ $err == *"$D/$2"* ]]
    ok $? "verify: $1"
    run "$ROWHOUSE" train "$T/job.yaml" checkpoint.dir="$T/damaged" --resume train.epochs=5
    refused 1 'and it is not resumed from' "$2"
}
size=$(stat -c %s "$C/checkpoint-0000000003/shard-001-of-002")
for at in 3 $((size / 2)) $((size - 1)); do
    damaged "a flipped bit at byte $at of $size" shard-001-of-002 \
        eval "flip \$D/shard-001-of-002 $at"
done
damaged 'a flipped bit in the manifest' manifest eval 'flip $D/manifest 60'
damaged 'a shortened shard' shard-000-of-002 eval 'truncate -s -100 $D/shard-000-of-002'
damaged 'a lengthened shard' shard-000-of-002 eval 'echo >> $D/shard-000-of-002'
damaged 'an empty shard' shard-000-of-002 eval ': > $D/shard-000-of-002'
damaged 'a missing shard' shard-000-of-002 eval 'rm $D/shard-000-of-002'
damaged 'a shortened manifest' manifest eval 'truncate -s -1 $D/manifest'
damaged 'shards that have changed places' shard-00 eval \
    'mv $D/shard-000-of-002 $D/x; mv $D/shard-001-of-002 $D/shard-000-of-002
     mv $D/x $D/shard-001-of-002'
run "$ROWHOUSE" evaluate "$T/job.yaml" --checkpoint "$T/damaged"
refused 1 'nor evaluated' shard-00
predict --data "$T/test.tsv" --out - --checkpoint "$T/damaged"
refused 1 'nor predicted from' shard-00
recommend --user 7 --checkpoint "$T/damaged"
refused 1 'nor recommended from' shard-00
run "$ROWHOUSE" export "$T/damaged" --table item --format csv --out "$T/d.csv"
refused 1 'nor exported' shard-00
[ ! -e "$T/d.csv" ]
ok $? 'not in part either'
no_leftovers
done_testing
