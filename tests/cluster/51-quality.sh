#!/bin/bash
# tests/quality/run on data that are made up: what it prints, and what it refuses.
. "$(dirname "$0")/lib.sh"

quality=$ROOT/tests/quality/run
export ROWHOUSE
unset ROWHOUSE_DATA

# Ratings as in MovieLens 100K, without a header; what is tested is known.
mkdir -p "$T/data/ml-100k"
ratings 60 40 20 | awk 'NR > 1 {printf "%d\t%d\t%.0f\t%d\n", $1, $2, $3, NR}' \
    > "$T/data/ml-100k/u1.base"
head -100 "$T/data/ml-100k/u1.base" > "$T/data/ml-100k/u1.test"

run "$quality" --list
ended 0 'it lists what it can run'
like "$out" $'ml100k-u1-mf +[0-9.]+ min +ml-100k +rmse <= 0.93' \
    'with minutes, data, and the figure that is wanted'

run -t 60 "$quality" --data "$T/data" ml100k-u1-mf
ended 0 'a model that is good enough is success'
like "$out" '^ml100k-u1-mf +rmse +0\.[0-9]{4} +published 0\.9100 +wanted <= 0\.93 +reached' \
    'what it reached stands beside what was published'
run -t 60 env ROWHOUSE_DATA="$T/data" "$quality" --json ml100k-u1-mf
ended 0 'the data may be named by the environment'
is "$(json "$T/.out" 'sorted(d), d["name"], d["published"], d["metrics"]["rmse"] < 0.93')" \
    "(['metrics', 'name', 'published', 'seconds'], 'ml100k-u1-mf', {'rmse': 0.91}, True)" \
    'and --json prints an object'

# Ratings of which nothing was trained are not foreseen.
awk '{print $1 + 5000, $2 + 5000, $3 + 20, $4}' OFS='\t' "$T/data/ml-100k/u1.base" \
    > "$T/data/ml-100k/u1.test"
run -t 60 "$quality" --data "$T/data" ml100k-u1-mf
ended 1 'one that is not good enough is failure'
like "$out" 'NOT REACHED' 'which it says'

# turned_down NAME REGEX: with status 2 and one sentence.
turned_down() {
    ended 2 "$1" "^run: .*$2"
    is "$(wc -l < "$T/.err")" 1 'in one sentence'
}
run "$quality" ml100k-u1-mf
turned_down 'without data it is refused' ROWHOUSE_DATA
run "$quality" --data "$T" ml100k-u1-mf
turned_down 'and with a folder that lacks a file' 'ml-100k/u1\.base'
run "$quality" --data "$T/data" ml100k-u1-mf nothing
turned_down 'and with a name that is none' "'nothing'"
is "$out" '' 'before anything is trained'
run "$quality"
turned_down 'and without a name' --list
no_leftovers
done_testing
