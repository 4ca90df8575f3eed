#!/bin/bash
# Commands about data: logs made up (generate), files packed (pack) and described.
. "$(dirname "$0")/lib.sh"

# --- generate: a log whose structure can be learnt
plan=(--examples 60000 --users 500 --items 300 --seed 7)
run "$ROWHOUSE" generate "${plan[@]}" --out "$T/log.tsv"
ended 0 'a log into a file'
is "$out$err" '' 'and not a word'
run "$ROWHOUSE" generate "${plan[@]}"
ended 0 'and to standard output'
is "$(md5sum < "$T/.out")" "$(md5sum < "$T/log.tsv")" 'the same'
is "$(head -1 "$T/log.tsv")" $'user\titem\tlabel\ttime' 'under a header'
is "$(wc -l < "$T/log.tsv")" 60001 'with as many examples as asked for'
is "$(awk -F'\t' 'NR > 1 && !(NF == 4 && $1 >= 1 && $1 <= 500 && $2 >= 1 && $2 <= 300 &&
    $3 >= 0.5 && $3 <= 5 && 2 * $3 == int(2 * $3) && $4 >= t) { print; exit } NR > 1 { t = $4 }' \
    "$T/log.tsv")" '' 'each within its bounds, in the order of time'
run "$ROWHOUSE" generate "${plan[@]}" --seed 8 --out -
[ "$(md5sum < "$T/.out")" != "$(md5sum < "$T/log.tsv")" ]
ok $? 'another seed is another log'

sed 's/rating/label/; /title/d' <(job "$T/log.tsv" 'train: {epochs: 10}') > "$T/log.yaml"
run "$ROWHOUSE" train "$T/log.yaml" --quiet tables.user.dim=8 tables.item.dim=8
ended 0 'matrix factorisation learns from it'
mf=$(value rmse)
run "$ROWHOUSE" train "$T/log.yaml" --quiet tables.user.init=zero tables.item.init=zero
ended 0 'biases alone do, too'
less "$mf" "$(awk -v b="$(value rmse)" 'BEGIN { print 0.85 * b }')" \
    'but tastes explain much more than biases'

run "$ROWHOUSE" generate "${plan[@]}" --format packed --out "$T/log.rhp"
ended 0 'the same log, packed'
run "$ROWHOUSE" generate "${plan[@]}" --format packed
is "$(md5sum < "$T/.out")" "$(md5sum < "$T/log.rhp")" 'to standard output, too'
less "$(stat -c %s "$T/log.rhp")" "$(($(stat -c %s "$T/log.tsv") / 2))" 'is less than half of it'

# --- generate: sizes that nobody stores
(limited '' 20 "$ROWHOUSE" generate --examples 9000000000000 --users 100000000 \
    --items 100000000000) 2> "$T/.err" | head -100 > "$T/head.tsv"
is "${PIPESTATUS[0]} $(wc -l < "$T/head.tsv") $(cat "$T/.err")" '0 100 ' \
    'a reader that has seen enough ends it without a word'

# --- generate: what it refuses
for bad in '--examples 0' '--examples -5' '--examples 1.5' '--examples many' '--users 0' \
    '--users 99999999999999999999' '--items 1e300' '--items 281474976710657' '--seed x' \
    '--dim 0' '--dim 65' '--zipf -1' '--zipf 11' '--zipf nan' '--noise 1x' '--noise 99'; do
    run "$ROWHOUSE" generate "${plan[@]}" $bad --out "$T/none.tsv"
    refused 2 "generate $bad" "${bad% *}" "${bad#* }"
done
run "$ROWHOUSE" generate --examples 5 --users 5
refused 2 'no number of items' --items
run "$ROWHOUSE" generate "${plan[@]}" --format xml
refused 2 'a format that it cannot write' --format xml
run "$ROWHOUSE" generate "${plan[@]}" --out /dev/full
refused 1 'a full disk' /dev/full 'No space left'
run "$ROWHOUSE" generate "${plan[@]}" --out "$T/none/log.tsv"
refused 1 'a directory that is not there' none/log.tsv
run "$ROWHOUSE" generate "${plan[@]}" --format packed --out /dev/full
refused 1 'a full disk for a packed one' /dev/full 'No space left'
is "$(ls "$T" | grep -c none)" 0 'and nothing is left of all that'
run "$ROWHOUSE" generate --help
like "$out" '--zipf A' 'it explains itself'

# --- pack: the same run from text and from what it was packed into
sed 's/label/rating/' "$T/log.tsv" > "$T/text.tsv" # as `job` calls it
sed '/title/d' <(job "$T/text.tsv" 'train: {epochs: 2, consistency: bsp}') > "$T/pack.yaml"
run "$ROWHOUSE" pack "$T/pack.yaml" --out "$T/p.rhp"
ended 0 'a log is packed' 'packed 60000 examples'
for data in text.tsv p.rhp; do
    run "$ROWHOUSE" train "$T/pack.yaml" data.train="$T/$data" checkpoint.dir="$T/of-$data" --quiet
    ended 0 "training on $data"
    for table in user item; do exported "$T/of-$data" $table; done > "$T/$data.csv"
done
cmp -s "$T/text.tsv.csv" "$T/p.rhp.csv"
ok $? 'gives the same tables, bit for bit'
run "$ROWHOUSE" train "$T/pack.yaml" data.train="$T/p.rhp" checkpoint.dir="$T/of-text.tsv" \
    train.epochs=3 --resume --quiet
ended 0 'so that a run on text goes on with packed data'

# Prepared columns and splits by time, which need more of the file than keys and labels.
sed 's/item: {as: key/item: {as: key, vocabulary: keep, vocabulary_min: 30/
     s/{test: 0.1}/{test: 0.1, by: time}/; s/^  columns:/  time: time\n&\n    time: {as: time}/' \
    "$T/pack.yaml" > "$T/timed.yaml"
run "$ROWHOUSE" pack "$T/timed.yaml" --out "$T/timed.rhp" --quiet
ended 0 'times are packed where a job needs them'
for data in text.tsv timed.rhp; do
    run "$ROWHOUSE" train "$T/timed.yaml" data.train="$T/$data" --quiet
    ended 0 "split by time and prepared, from $data"
    value rmse > "$T/rmse.$data"
done
is "$(cat "$T/rmse.timed.rhp")" "$(cat "$T/rmse.text.tsv")" 'it comes to the same'
run "$ROWHOUSE" train "$T/timed.yaml" data.train="$T/p.rhp" --quiet
refused 2 'a file that was packed without times has none' p.rhp 'no column time'

run "$ROWHOUSE" pack "$T/pack.yaml" --out - --quiet
is "$(md5sum < "$T/.out")" "$(md5sum < "$T/p.rhp")" 'to standard output, the same bytes'
gzip -c "$T/p.rhp" > "$T/p.rhp.gz"
run "$ROWHOUSE" train "$T/pack.yaml" data.train="$T/p.rhp.gz" data.format=packed --quiet
ended 0 'a compressed one is read if data.format says what it is'
run "$ROWHOUSE" pack "$T/pack.yaml" --data "$T/p.rhp" --out "$T/again.rhp" --quiet
ended 0 'a packed file is packed again'
cmp -s "$T/p.rhp" "$T/again.rhp"
ok $? 'into the same bytes'

printf 'user\titem\trating\ttitle\nann\tx\t1\tThe X\nbob\ty\t2\tThe Y\nann\ty\t3\tThe Y\n' > "$T/names.tsv"
job "$T/names.tsv" "checkpoint: {dir: $T/names}" | sed 's/test: 0.1/test: 0/' > "$T/names.yaml"
run "$ROWHOUSE" train "$T/names.yaml" --quiet
run "$ROWHOUSE" pack "$T/names.yaml" --out "$T/keys.rhp" --quiet
run "$ROWHOUSE" pack "$T/names.yaml" --out "$T/texts.rhp" --texts --quiet
ended 0 'with texts'
run "$ROWHOUSE" recommend "$T/names.yaml" --user ann data.train="$T/texts.rhp"
like "$out" 'The Y' 'recommend finds titles in a file packed with them'
run "$ROWHOUSE" recommend "$T/names.yaml" --user ann data.train="$T/keys.rhp"
refused 2 'and says that one without has none' keys.rhp --texts

# --- pack: what it refuses, and leaves
run "$ROWHOUSE" pack "$T/pack.yaml"
refused 2 'nowhere to put it' --out
printf 'user\titem\trating\n1\t2\tthree\n' > "$T/bad.tsv"
run "$ROWHOUSE" pack "$T/pack.yaml" --data "$T/bad.tsv" --out "$T/gone.rhp"
refused 2 'a bad row' bad.tsv 'line 2' rating three
printf 'user\titem\trating\n' > "$T/empty.tsv"
run "$ROWHOUSE" pack "$T/pack.yaml" --data "$T/empty.tsv" --out "$T/gone.rhp"
refused 2 'no example' empty.tsv 'no example'
run "$ROWHOUSE" pack "$T/pack.yaml" --out /dev/full
refused 1 'a full disk' /dev/full 'No space left'
is "$(ls "$T" | grep -c gone)" 0 'leave no file'
for damage in 100 40000 200000; do
    cp "$T/p.rhp" "$T/flipped.rhp"
    printf '\xff\xee' | dd of="$T/flipped.rhp" bs=1 seek=$damage conv=notrunc status=none
    run "$ROWHOUSE" train "$T/pack.yaml" data.train="$T/flipped.rhp" --quiet
    refused 2 "damage at $damage" flipped.rhp offset
done
head -c 100000 "$T/p.rhp" > "$T/cut.rhp"
run "$ROWHOUSE" train "$T/pack.yaml" data.train="$T/cut.rhp" --quiet
refused 2 'a file that was cut off' cut.rhp truncated
run "$ROWHOUSE" train "$T/pack.yaml" data.train="$T/p.rhp" data.label=ratings --quiet
refused 2 'a column that is not there' ratings 'did you mean rating' user item

# --- describe
run "$ROWHOUSE" describe "$T/log.tsv"
ended 0 'a log is described'
like "$out" '60,000 rows of 4 columns' 'how much there is'
like "$out" $'\n  user +key +0 +500 ' 'the users'
like "$out" $'\n  item +key +0 +300 ' 'the items'
like "$out" $'\n  label +number +0 +10  0.5 to 5, mean 3' 'the labels'
like "$out" $'\n  time +time +0 .* 2025-01-01 .* to 2025-12-31 ' 'the times'
like "$out" $'item: the share of rows.*\n 100 % .*#\n.*100 % of the keys' 'and a curve'
unlike "$out" '▁|█' 'without blocks where there is no terminal'
is "$(awk 'length > 100' <<< "$out")" '' 'in lines that fit'
described=$(sed 1d <<< "$out")
for way in "cat $T/log.tsv" "gzip -c $T/log.tsv" "zstd -qc $T/log.tsv"; do
    run bash -c "$way | $ROWHOUSE describe -"
    is "$(sed 1d <<< "$out")" "$described" "the same of ${way%% *} through a pipe"
done
run "$ROWHOUSE" describe "$T/log.rhp"
ended 0 'a packed file'
is "$(sed -n 's/^  label *//p' <<< "$out")" "$(sed -n 's/^  label *//p' <<< "$described")" \
    'has the same labels'
run "$ROWHOUSE" describe "$T/log.tsv" --rows 1000
like "$out" 'the first 1,000 rows' 'only so many rows'

# --- describe: other formats
awk -F'\t' 'NR > 1 { printf "{\"who\": {\"user\": \"u%s\"}, \"item\": %s, \"label\": %s, \"tags\": [\"a\", \"b\"]}\n",
    $1, $2, $3 }' "$T/log.tsv" > "$T/lines.json"
run "$ROWHOUSE" describe "$T/lines.json"
like "$out" ' 60,000 rows of 4 columns, jsonl' 'JSON lines are told by their look'
like "$out" $'\n  who.user +key +0 +500 ' 'members of objects'
like "$out" $'\n  tags +keys +0 +2 ' 'and arrays'
printf '1 3:1 7:0.5\n0 3:1 9:2\n' > "$T/s.svm"
run "$ROWHOUSE" describe "$T/s.svm"
like "$out" $'2 columns, libsvm\n.*\n  features +keys +0 +3 .*3 \(100 %\)' 'libsvm, too'
printf '1\t2\t5\t978300760\n2\t2\t3\t978300761\n' > "$T/x.rating"
run "$ROWHOUSE" describe "$T/x.rating" --format ncf
like "$out" $'4 columns, ncf\n.*\n  rating +integer ' 'and others by --format'

# --- describe: a first line that is long, and a byte order mark in front of it
{ printf 'user\titem\tx'; head -c 300000 /dev/zero | tr '\0' x; printf '\n1\t2\t3\n4\t2\t3\n'; } > "$T/wide.tsv"
run "$ROWHOUSE" describe "$T/wide.tsv"
refused 2 'a header with a name that is too long' wide.tsv 'no column x'
{ printf '{"a": 1, "b": "'; head -c 300000 /dev/zero | tr '\0' x; printf '"}\n{"a": 2, "b": "y"}\n'; } > "$T/wide.json"
run "$ROWHOUSE" describe "$T/wide.json"
ended 0 'a first line of 300 KB'
like "$out" ' 2 rows of 2 columns, jsonl' 'is read to its end'
head -c 2000000 /dev/zero | tr '\0' x > "$T/endless.tsv"
run "$ROWHOUSE" describe "$T/endless.tsv"
refused 2 'a first line of 2 MB' 'endless.tsv line 1: longer than 1048576 bytes'
{ printf '"a","b"\n1,"'; head -c 2000000 /dev/zero | tr '\0' x; } > "$T/oq.csv"
run "$ROWHOUSE" describe "$T/oq.csv"
refused 2 'quotes that do not end' 'oq.csv line 2: a quoted field begins'
for file in long.tsv long.svm; do
    if [ $file = long.tsv ]; then printf 'user\titem\n1\t2\n3\t'; else printf '1 3:1\n0 4:1\n1 '; fi > "$T/$file"
    { head -c 1500000 /dev/zero | tr '\0' 1; printf '\n5\t6\n'; } >> "$T/$file"
    run "$ROWHOUSE" describe "$T/$file"
    refused 2 "a later line of 1.5 MB in $file" "$file line 3: longer than 1048576 bytes"
done
printf 'user,item\n7,8\n9,8\n' > "$T/plain.csv"
for file in plain.csv lines.json s.svm; do
    run "$ROWHOUSE" describe "$T/$file" --rows 100
    described=$(sed 1d <<< "$out")
    { printf '\xef\xbb\xbf'; cat "$T/$file"; } > "$T/mark.${file#*.}"
    run "$ROWHOUSE" describe "$T/mark.${file#*.}" --rows 100
    ended 0 "a byte order mark before $file"
    is "$(sed 1d <<< "$out")" "$described" 'is passed over'
done

printf ',user,item,rating\n0,7,8,5\n1,9,8,4\n' > "$T/pandas.csv"
run "$ROWHOUSE" describe "$T/pandas.csv"
ended 0 'a header with an empty name'
like "$out" ' 2 rows of 3 columns' 'whose column is left out'
like "$out" $'\n  rating +integer ' 'and no other'

printf '"the ""user""",\xe4pfel,rating\n7,8,5\n9,8,4\n7,9,3\n9,9,5\n' > "$T/names.csv"
run "$ROWHOUSE" describe "$T/names.csv"
ended 0 'names in Latin-1 and with doubled quotes'
like "$out" $'\n  äpfel +integer ' 'are read as they are meant'

# --- describe --job: it trains at once
sed 1d "$T/log.tsv" | sed 's/\t/::/g' > "$T/ratings.dat"
awk -F'\t' -v OFS=, '{ print "\"" $1 "\"", $2, (NR > 1 ? ($3 > 3) + 0 : "liked"), $4 }' "$T/log.tsv" > "$T/click.csv"
for file in "$T/log.tsv" "$T/log.rhp" "$T/ratings.dat" "$T/click.csv" "$T/lines.json" \
    examples/movielens/ratings.tsv.zst; do
    run "$ROWHOUSE" describe "$file" --job
    ended 0 "a job for $(basename "$file")"
    cp "$T/.out" "$T/start.yaml"
    run "$ROWHOUSE" train "$T/start.yaml" train.epochs=3 --quiet
    ended 0 'that trains'
    like "$out" '^test (rmse 0|logloss 0)' 'on what it should'
done
is "$(sed -n 3,8p "$T/start.yaml" | grep -c 'movieId\|rating')" 3 'items are items, and ratings labels'

mkdir "$T/a \"b, c's"
cp "$T/log.tsv" "$T/a \"b, c's/x.tsv"
for way in "$T/a \"b, c's/x.tsv" -; do
    "$ROWHOUSE" describe "$way" --job < "$T/log.tsv" > "$T/start.yaml"
    (limited '' 20 "$ROWHOUSE" train "$T/start.yaml" train.epochs=2 --quiet) \
        < "$T/log.tsv" > "$T/.out" 2> "$T/.err"
    is "$? $(grep -c '^test rmse' "$T/.out") $(cat "$T/.err")" '0 1 ' "a job for ${way##*/} trains, too"
done
mkfifo "$T/pipe"
cat "$T/log.tsv" > "$T/pipe" &
run "$ROWHOUSE" describe "$T/pipe" --job
like "$out" 'in_memory: true' 'and what comes through a pipe is kept'

# --- describe: what it refuses
printf '[1]\n{"a": {}}\n' > "$T/odd.json"
run "$ROWHOUSE" describe "$T/odd.json" --format jsonl
refused 2 'JSON without values' odd.json 'no JSON object'
run "$ROWHOUSE" describe "$T/log.tsv" --format packed
refused 2 'what is not packed' log.tsv 'not a packed file'
run "$ROWHOUSE" describe /dev/null
refused 2 'an empty file' /dev/null empty
run "$ROWHOUSE" describe "$T/none.tsv"
refused 2 'no file' none.tsv
run "$ROWHOUSE" describe "$T/log.tsv" --rows 0
refused 2 'no rows' --rows 0
run "$ROWHOUSE" describe "$T/log.tsv" --format xml
refused 2 'another format' --format xml
printf 'a\tb\nx\ty\nz\ty\n' > "$T/two.tsv"
run "$ROWHOUSE" describe "$T/two.tsv" --job
refused 2 'no label for a job' two.tsv label

no_leftovers
done_testing
