#!/bin/bash
# Autoencoders: of numbers, of what the ratings of an item have together (AutoRec), and
# of the items that a user has (Mult-DAE).
. "$(dirname "$0")/lib.sh"

# --- numbers: four that are one, and a little of another
numbers() { # LINES FROM
    awk -v n="$1" -v from="$2" 'BEGIN {
        OFS = "\t"; print "y", "a", "b", "c", "d"
        for (i = from; i < from + n; i++) {
            x = (i * 7919 % 1009) / 1009 - 0.5; z = ((i * 104729 % 997) / 997 - 0.5) * 0.1
            print i % 2, x, 2 * x + z, -x, 0.5 * x - z
        } }'
}
numbers 2000 1 > "$T/train.tsv"
numbers 500 5000 > "$T/test.tsv"
C=$T/ck
cat > "$T/numbers.yaml" << END
name: numbers
data:
  train: $T/train.tsv
  test: $T/test.tsv
  label: y
  columns: {a: {as: number}, b: {as: number}, c: {as: number}, d: {as: number}}
model: {kind: autoencoder, hidden: [3, 1], activation: tanh}
optimizer: {kind: adam, rate: 0.01}
train: {epochs: 8, batch: 32, inflight: 0}
evaluate: {metrics: [rmse, mae]}
checkpoint: {dir: $C}
END
run "$ROWHOUSE" train "$T/numbers.yaml"
ended 0 'an autoencoder of numbers trains'
rmse=$(value rmse) mae=$(value mae)
# As far as numbers are from their means.
spread=$(awk 'NR > 1 { for (i = 2; i <= 5; i++) { n[i]++; s[i] += $i; q[i] += $i * $i } }
    END { for (i in n) { all += n[i]; e += q[i] - s[i] * s[i] / n[i] } print sqrt(e / all) }' "$T/test.tsv")
less "$rmse" "$(awk "BEGIN { print 0.5 * $spread }")" '... and comes nearer than the mean'
run "$ROWHOUSE" predict "$T/numbers.yaml" --data "$T/test.tsv" --out "$T/p.txt"
ended 0 '... and predict prints what numbers become'
paste "$T/test.tsv" <(echo; cat "$T/p.txt") | awk -F'[\t ]' 'NR > 1 {
    for (i = 2; i <= 5; i++) { e = $i - $(i + 4); n++; sum += e * e; size += e < 0 ? -e : e } }
    END { printf "%.4f %.4f\n", sqrt(sum / n), size / n }' > "$T/errors"
is "$(printf '%.4f %.4f' "$rmse" "$mae")" "$(cat "$T/errors")" '... of which rmse and mae are made'
run "$ROWHOUSE" train "$T/numbers.yaml" data.label= checkpoint.dir="$T/unlabelled"
ended 0 '... without a label, which it makes nothing of'
is "$(value rmse)" "$rmse" '... the same'
run "$ROWHOUSE" train "$T/numbers.yaml" model.hidden=
ended 2 'without a hidden layer it is none' 'model.hidden is empty'

# --- ratings: an item is what users gave it
ratings 120 90 24 | awk -F'\t' '{ print > (NR == 1 || NR % 10 ? "'"$T"'/seen.tsv" : "'"$T"'/held.tsv") }'
{ head -1 "$T/seen.tsv"; cat "$T/held.tsv"; } > "$T/held-out.tsv"
cat > "$T/autorec.yaml" << END
name: autorec
data:
  train: $T/seen.tsv
  test: $T/held-out.tsv
  label: rating
  group: item
  columns: {user: {as: key, table: user}, item: {as: key, table: item}}
tables: {user: {rows: 121}, item: {dim: 1}}
model: {kind: autoencoder, target: user, hidden: [8], activation: relu, length: 121}
optimizer: {kind: adam, rate: 1.0e-9, l2: 0}
train: {epochs: 1, batch: 16, consistency: bsp}
evaluate: {metrics: [rmse, mae]}
checkpoint: {dir: $C}
END
# Rows of .001 that never change: a score is the mean rating and .001 times the ratings
# that the item has in training; the users of the test part are what it is scored at.
read -r rmse mae spread < <(awk -F'\t' '
    NR == FNR { if (FNR > 1) { n++; s += $3; q += $3 * $3; of[$2] += $3 } next }
    FNR > 1 { e = $3 - s / n - 0.001 * of[$2]; m++; square += e * e; size += e < 0 ? -e : e }
    END { printf "%.4f %.4f %.4f\n", sqrt(square / m), size / m, sqrt(q / n - s / n * s / n) }' \
    "$T/seen.tsv" "$T/held-out.tsv")
run "$ROWHOUSE" train "$T/autorec.yaml" model.kind=graph model.layers.given.kind=bag \
    model.layers.given.columns=user model.layers.given.length=121 tables.user.dim=121 \
    tables.user.init=constant tables.user.scale=0.001 --fresh
ended 0 'groups go through a graph'
is "$(printf '%.4f %.4f' "$(value rmse)" "$(value mae)")" "$rmse $mae" \
    '... and their errors are those worked out by hand'

learn=(optimizer.rate=0.01 train.epochs=60)
run "$ROWHOUSE" train "$T/autorec.yaml" "${learn[@]}" checkpoint.dir="$T/one" --fresh
ended 0 'one server and one worker learn'
straight=$(value rmse)
less "$straight" "$(awk "BEGIN { print 0.8 * $spread }")" '... more than the mean'
run "$ROWHOUSE" train "$T/autorec.yaml" "${learn[@]}" train.epochs=20 --fresh
run "$ROWHOUSE" train "$T/autorec.yaml" "${learn[@]}" --resume
ended 0 '... and go on from a checkpoint'
is "$(value rmse)" "$straight" '... to the same'
run "$ROWHOUSE" evaluate "$T/autorec.yaml" "${learn[@]}"
is "$(value rmse)" "$straight" '... which evaluate finds, too'
bits() { # DIR
    for table in user encode1 output; do
        exported "$1" $table | sort
    done | sha256sum
}
mpi 4 train "$T/autorec.yaml" "${learn[@]}" cluster.servers=2 checkpoint.dir="$T/four" --fresh
run -t 90 "${mpi[@]}"
ended 0 'two servers and two workers as processes learn'
run "$ROWHOUSE" train "$T/autorec.yaml" "${learn[@]}" cluster.workers=2 checkpoint.dir="$T/two" --fresh
is "$(bits "$T/four")" "$(bits "$T/two")" '... the same bits as one server and two workers'
run "$ROWHOUSE" predict "$T/autorec.yaml" "${learn[@]}" --data "$T/seen.tsv" --out "$T/p.txt"
ended 0 '... and predict'
is "$(awk '{ print NF }' "$T/p.txt" | sort | uniq -c | xargs)" '90 121' \
    '... for each item a number for each user'
# --- items that a user has
multdae=(model.kind=multdae data.group=user model.target=item tables.item.rows=91
    tables.user.rows=0 tables.user.dim=1 model.dropout=0.2 evaluate.metrics=)
run "$ROWHOUSE" train "$T/autorec.yaml" "${learn[@]}" "${multdae[@]}" --fresh
ended 2 'Mult-DAE wants its loss' 'expected model.loss softmax'
run "$ROWHOUSE" train "$T/autorec.yaml" "${learn[@]}" "${multdae[@]}" model.loss=softmax --fresh
ended 0 'Mult-DAE trains'
losses=($(grep -o 'loss [0-9.]*' <<< "$out$err" | cut -d' ' -f2))
less "${losses[-1]}" "${losses[0]}" '... and has learnt'

run "$ROWHOUSE" train "$T/autorec.yaml" "${learn[@]}" "${multdae[@]}" model.loss=softmax --fresh \
    evaluate.metrics=rmse
ended 2 '... but has no error of a rating' 'rmse, which compares scores with labels'
cut -f 1-2 "$T/seen.tsv" > "$T/pairs.tsv"
run "$ROWHOUSE" train "$T/autorec.yaml" "${learn[@]}" "${multdae[@]}" model.loss=softmax --fresh \
    data.label= data.train="$T/pairs.tsv" data.test= checkpoint.dir="$T/pairs"
ended 0 '... also of items without labels'
losses=($(grep -o 'loss [0-9.]*' <<< "$out$err" | cut -d' ' -f2))
less "${losses[-1]}" "${losses[0]}" '... of which it learns as well'
run "$ROWHOUSE" train "$T/autorec.yaml" "${learn[@]}" data.label= data.train="$T/pairs.tsv" --fresh
refused 2 'AutoRec needs them' data.label

# --- all items ranked for each user, but for those of the input
all=("${learn[@]}" "${multdae[@]}" model.loss=softmax evaluate.protocol=all
    evaluate.metrics=hr@5,ndcg@5,recall@5)
run "$ROWHOUSE" train "$T/autorec.yaml" "${all[@]}" checkpoint.dir="$T/lists" --fresh
ended 0 'all items are ranked'
lists="$(printf '%.4f %.4f %.4f' "$(value hr@5)" "$(value ndcg@5)" "$(value recall@5)")"
"$ROWHOUSE" predict "$T/autorec.yaml" "${all[@]}" checkpoint.dir="$T/lists" --layer output \
    --data "$T/seen.tsv" --out "$T/p.txt"
cat > "$T/rank.py" << 'END'
import math, sys

def items(path):
    found = {}
    for line in open(path):
        user, item = line.split("\t")[:2]
        if user != "user":
            found.setdefault(user, []).append(int(item))
    return found

seen, held = items(sys.argv[1]), items(sys.argv[2])
score = dict(zip(seen, (list(map(float, line.split())) for line in open(sys.argv[3]))))
hr = ndcg = recall = n = 0
for user, wanted in held.items():
    wanted = set(wanted) - set(seen[user])
    free = [i for i in range(len(score[user])) if i not in seen[user]]
    top = sorted(free, key=lambda i: -score[user][i])[:5]
    gains = [1 / math.log2(2 + place) for place, item in enumerate(top) if item in wanted]
    if wanted:
        n += 1
        hr += bool(gains)
        recall += len(gains) / len(wanted)
        ndcg += sum(gains) / sum(1 / math.log2(2 + i) for i in range(min(5, len(wanted))))
print("%.4f %.4f %.4f" % (hr / n, ndcg / n, recall / n))
END
is "$lists" "$("$PYTHON" "$T/rank.py" "$T/seen.tsv" "$T/held-out.tsv" "$T/p.txt")" \
    '... as the outputs have it, without what users have in training'
run "$ROWHOUSE" evaluate "$T/autorec.yaml" "${all[@]}" checkpoint.dir="$T/lists" cluster.workers=3
is "$(printf '%.4f %.4f %.4f' "$(value hr@5)" "$(value ndcg@5)" "$(value recall@5)")" "$lists" \
    '... by three workers, too'
run "$ROWHOUSE" train "$T/numbers.yaml" evaluate.protocol=all evaluate.metrics=hr@5
ended 2 'numbers are no items' 'expected evaluate.protocol split'
run "$ROWHOUSE" train "$T/autorec.yaml" "${all[@]}" evaluate.protocol=sampled
ended 2 'a sample is not ranked' 'expected evaluate.protocol split or all'
run "$ROWHOUSE" train "$T/autorec.yaml" "${all[@]}" evaluate.metrics=coverage@5
ended 2 'nor is coverage counted' 'evaluate.metrics has coverage'
no_leftovers
done_testing
