#!/bin/bash
# Commands about data: logs made up (generate).
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

no_leftovers
done_testing
