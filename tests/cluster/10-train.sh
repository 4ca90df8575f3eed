#!/bin/bash
# Training as one process: what it prints, what it reports, what it reads.
. "$(dirname "$0")/lib.sh"

ratings 300 200 30 > "$T/d.tsv"
lines=$(($(wc -l < "$T/d.tsv") - 1))
# One batch after the other in one thread: the same numbers each time.
job "$T/d.tsv" 'train: {epochs: 4, batch: 64, inflight: 0}' \
    'evaluate: {metrics: [rmse, mae]}' > "$T/job.yaml"

# --- what it prints
run "$ROWHOUSE" train "$T/job.yaml" --report "$T/report.json"
ended 0 'a job trains'
like "$out" $'^test rmse [0-9.]+\ntest mae [0-9.]+$' 'results alone are on standard output'
is "$(grep -Ec '^epoch [1-4]/4  loss [0-9.]+  [0-9.]+ ?[kM]? examples/s  [0-9.]+ s$' "$T/.err")" 4 \
    'one line an epoch on standard error'
is "$(wc -l < "$T/.err")" 4 'and nothing else'
first=$(sed -n '1s/.*loss \([0-9.]*\).*/\1/p' "$T/.err")
last=$(sed -n '4s/.*loss \([0-9.]*\).*/\1/p' "$T/.err")
less "$last" "$first" 'the loss falls'
base=$(value rmse)
less "$base" 0.4 'it has learned more than the mean'

run "$ROWHOUSE" train "$T/job.yaml" --quiet
ended 0 '--quiet trains, too'
is "$err" '' 'without progress'
is "$status $(value rmse)" "0 $base" 'a job without concurrency comes to the same numbers again'

run "$ROWHOUSE" train "$T/job.yaml" data.split.test=0
ended 0 'without a test set it trains'
is "$out" '' 'and has no results to print'

run script -qec "'$ROWHOUSE' train '$T/job.yaml' train.batch=1 train.epochs=9" /dev/null
ended 0 'it trains on a terminal'
like "$out" $'\r'.*'epoch '[1-9]'/9 '.*'['[#-]+']'.*'% '.*' left' 'with a bar'
is "$(grep -aoE 'epoch [0-9]/9  loss [0-9.]+' <<< "$out" | wc -l)" 1 \
    'that leaves one line behind, the last epoch'
run script -qec "'$ROWHOUSE' train '$T/job.yaml' train.batch=4 --quiet" /dev/null
is "$status $(grep -c . <<< "$out")" '0 2' '--quiet goes for a terminal, too'

# --- the report
"$PYTHON" - "$T/report.json" "$lines" "$base" > "$T/complaints" 2>&1 << 'END'
import json, sys
d = json.load(open(sys.argv[1]))
lines, rmse = int(sys.argv[2]), float(sys.argv[3])
def want(true, what):
    if not true: print("#", what)
number = (int, float)
types = {"version": str, "job": str, "servers": int, "workers": int, "consistency": str,
         "seed": int, "kernels": str, "parameters": int, "tables": dict, "epochs": list,
         "test": dict, "seconds": number, "cpu_seconds": number, "bytes": dict,
         "pushes": dict, "staleness": dict, "cache": dict, "waiting": list,
         "restarts": int, "checkpoint": dict, "bad_rows": int, "best": type(None)}
want(set(d) == set(types), "fields: %s" % sorted(d))
for name, kind in types.items():
    want(isinstance(d.get(name), kind), "%s is %r" % (name, d.get(name)))
want((d["job"], d["servers"], d["workers"], d["consistency"], d["seed"]) ==
     ("small", 1, 1, "async", 1), "heads")
want(set(d["tables"]) == {"user", "item"}, "tables")
want(d["tables"]["user"]["rows"] == 300 and d["tables"]["user"]["dim"] == 4, "users")
want(d["tables"]["item"]["rows"] == 200, "items")
want(all(t["bytes"] > t["rows"] * 4 * 4 for t in d["tables"].values()), "bytes of tables")
want(d["parameters"] == 500 * 5, "parameters: 4 factors and a bias each")
want([e["epoch"] for e in d["epochs"]] == [1, 2, 3, 4], "epochs")
for e in d["epochs"]:
    want(set(e) == {"epoch", "examples", "seconds", "examples_per_second", "loss",
                    "metrics"}, "fields of an epoch: %s" % sorted(e))
    want(0.85 * lines < e["examples"] < 0.95 * lines, "examples of %d" % lines)
want(abs(d["test"]["rmse"] - rmse) <= 1e-6 and 0 < d["test"]["mae"] < rmse, "test")
want(d["seconds"] > 0 and d["cpu_seconds"] > 0, "seconds")
want(set(d["bytes"]) == {"pulled", "pushed"} and min(d["bytes"].values()) > 0, "bytes")
p = d["pushes"]
want(set(p) == {"sent", "applied", "duplicates_dropped", "resent",
              "uncompensated"}, "fields of pushes")
want(p["sent"] == p["applied"] == 4 * -(-d["epochs"][0]["examples"] // 64), "pushes %s" % p)
want(p["duplicates_dropped"] == p["resent"] == 0, "no push was lost: %s" % p)
for t in ("user", "item"):
    s = d["staleness"][t]
    want(len(s["histogram"]) == s["max"] + 1 and sum(s["histogram"]) > 0, "staleness %s" % s)
want(d["cache"] == {}, "no cache")
want(d["restarts"] == 0, "restarts")
want(set(d["checkpoint"]) == {"dir", "bytes", "seconds"}, "fields of checkpoint")
END
is "$(cat "$T/complaints")" '' 'the report says everything that it has to'

# --- what it reads
same() { # NAME SETTING ...: the same ratings, however they come, give the same numbers
    run "$ROWHOUSE" train "$T/job.yaml" --quiet "${@:2}"
    is "$status $(value rmse)" "0 $base" "$1"
}
gzip -c "$T/d.tsv" > "$T/d.tsv.gz"
zstd -q "$T/d.tsv" -o "$T/d.tsv.zst"
same 'a .gz file' data.train="$T/d.tsv.gz"
same 'a .zst file' data.train="$T/d.tsv.zst"
sed 's/$/\r/' "$T/d.tsv" > "$T/crlf.tsv"
same 'lines that end as on Windows' data.train="$T/crlf.tsv"
awk -F'\t' -v OFS=, '{ $4 = "\"" $4 ", the \"\"best\"\"\nof all\""; $1 = "\"" $1 "\"" } 1' \
    "$T/d.tsv" | sed '1,2c"user",item,rating,title' > "$T/d.csv"
same 'CSV with quotes, commas and line ends in fields' data.format=csv data.train="$T/d.csv"
awk -F'\t' -v OFS='\t' '{ print $3, "x", $2, $4, $1 }' "$T/d.tsv" > "$T/moved.tsv"
same 'columns in another order, and one more' data.train="$T/moved.tsv"
{ head -n 4001 "$T/d.tsv"; } > "$T/part-1.tsv"
{ head -n 1 "$T/d.tsv"; tail -n +4002 "$T/d.tsv"; } | gzip > "$T/part-2.tsv.gz"
same 'a pattern for two files' data.train="$T/part-*"
same 'a list of two files' data.train="$T/part-1.tsv,$T/part-2.tsv.gz"

awk -F'\t' -v OFS='\t' 'NR > 1 { $1 = "user " $1; $2 = "é" $2 } 1' "$T/d.tsv" > "$T/names.tsv"
run "$ROWHOUSE" train "$T/job.yaml" --quiet data.train="$T/names.tsv" --report "$T/r.json"
near "$(value rmse)" "$base" 0.05 'keys may be text'
is "$(json "$T/r.json" 'd["tables"]["user"]["rows"], d["tables"]["item"]["rows"]')" \
    '(300, 200)' 'one row for each'

# --- how it learns
run "$ROWHOUSE" train "$T/job.yaml" --quiet model.loss=logistic data.positive_from=3.2 \
    evaluate.metrics=logloss,accuracy train.epochs=6
ended 0 'logistic loss'
less "$(value logloss)" 0.45 'it has learned to tell good from bad'
less 0.8 "$(value accuracy)" 'and does so mostly'
awk -F'\t' -v OFS='\t' 'NR > 1 { $3 = $3 >= 3.2 } 1' "$T/d.tsv" > "$T/binary.tsv"
logloss=$(value logloss)
run "$ROWHOUSE" train "$T/job.yaml" --quiet model.loss=logistic data.train="$T/binary.tsv" \
    evaluate.metrics=logloss,accuracy train.epochs=6
is "$status $(value logloss)" "0 $logloss" 'labels that are 0 and 1 already come to the same'

run "$ROWHOUSE" train "$T/job.yaml" --quiet optimizer.kind=sgd optimizer.rate=0.05 \
    train.epochs=10
less "$(value rmse)" 0.4 'plain steps learn, too'

for cluster in '2 2' '4 3' '1 4'; do
    read -r servers workers <<< "$cluster"
    run "$ROWHOUSE" train "$T/job.yaml" --quiet cluster.servers=$servers \
        cluster.workers=$workers train.inflight=2 --report "$T/r.json"
    near "$(value rmse)" "$base" 0.05 "$servers servers and $workers workers learn the same"
    is "$(json "$T/r.json" '(d["servers"], d["workers"],
        d["pushes"]["sent"] == d["pushes"]["applied"] > 0,
        [e["examples"] for e in d["epochs"]])')" \
        "($servers, $workers, True, $(json "$T/report.json" '[e["examples"] for e in d["epochs"]]'))" \
        'and every push counts once'
done
no_leftovers
done_testing
