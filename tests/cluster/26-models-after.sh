#!/bin/bash
# After training a model of layers: evaluate, predict, recommend, inspect, export, resume.
. "$(dirname "$0")/lib.sh"

# Users, items, what was around them, and what a side table knows of items.
awk -v t="$T" 'BEGIN {
    head = "user\titem\trating\thour\tage\ttags\ttitle"
    print head > (t "/d.tsv")
    print head > (t "/test.tsv")
    print "item\tgenre\tprice" > (t "/items.tsv")
    for (i = 1; i <= 90; i++)
        printf "%d\t%d\t%.2f\n", i, i % 6, i % 13 / 13 > (t "/items.tsv")
    for (u = 1; u <= 60; u++)
        for (k = 0; k < 20; k++) {
            i = (u * 17 + k * 37) % 90 + 1
            hour = (u * 3 + k * 5) % 24
            r = 3 + (u * 7 % 5 - 2) * 0.4 + (i * 3 % 5 - 2) * 0.4 + (hour < 8 ? 0.3 : 0)
            printf "%d\t%d\t%.2f\t%d\t%.3f\t%s\tItem %d\n", u, i, r, hour, u % 9 / 9,
                i % 3 ? i % 7 "|" i % 11 : "", i > (t (k % 7 == 6 ? "/test.tsv" : "/d.tsv"))
        }
}'
# Nobody knows 9999 and 777.
printf '%s\n' $'9999\t1\t3\t5\t0.5\t1|777\tItem 1' >> "$T/test.tsv"
cut -f 1,2,4- "$T/test.tsv" > "$T/nolabel.tsv"

# described NAME COLUMNS TABLES: a job; its model is on standard input.
described() {
    cat << END
name: $1
data:
  train: $T/d.tsv
  test: $T/test.tsv
  label: rating
  columns:
    user: {as: key, table: user}
    item: {as: key, table: item}
    title: {as: title, table: item}
$2
  sides: {film: {files: $T/items.tsv, key: item, id: item}}
tables: {user: {dim: 4, scale: 0.1}, item: {dim: 4, scale: 0.1}, $3}
model:
  kind: graph
$(cat)
optimizer: {kind: adagrad, rate: 0.1}
train: {epochs: 3, batch: 64}
evaluate: {metrics: [rmse, mae]}
checkpoint: {dir: $T/$1}
END
}

described deep '    hour: {as: key, table: hour}
    age: {as: number}
    tags: {as: keys, table: tag, separator: "|"}
    genre: {as: key, table: genre, from: film}
    price: {as: number, from: film}' 'hour: {dim: 3}, tag: {dim: 3}, genre: {dim: 2}' \
    > "$T/deep.yaml" << 'END'
  layers:
    ids: {kind: rows, columns: [user]}
    films: {kind: rows, columns: [item]}
    when: {kind: rows, columns: [hour]}
    about: {kind: bag, columns: [tags], pool: mean}
    kind: {kind: rows, columns: [genre]}
    facts: {kind: numbers, columns: [age, price]}
    all: {kind: concat, inputs: [ids, films, when, about, kind, facts]}
    hidden: {kind: dense, width: 8, activation: relu}
    score: {kind: dense, width: 1}
END
described towers '    age: {as: number}
    genre: {as: key, table: genre, from: film}' 'genre: {dim: 2}' \
    > "$T/towers.yaml" << 'END'
  output: [person, film]
  layers:
    ids: {kind: rows, columns: [user]}
    facts: {kind: numbers, columns: [age]}
    who: {kind: concat, inputs: [ids, facts]}
    person: {kind: dense, width: 5}
    films: {kind: rows, columns: [item]}
    kind: {kind: rows, columns: [genre]}
    what: {kind: concat, inputs: [films, kind]}
    film: {kind: dense, width: 5, activation: tanh}
END

predict() { # NAME ARGUMENT ...
    run "$ROWHOUSE" predict "$T/$1.yaml" "${@:2}"
}
recommend() {
    run "$ROWHOUSE" recommend "$T/$1.yaml" "${@:2}"
}
error_of() { # FILE of predictions for the test data: their root mean square error
    tail -n +2 "$T/test.tsv" | cut -f 3 | paste - "$1" |
        awk '{ s += ($1 - $2) ^ 2 } END { printf "%.9f", sqrt(s / NR) }'
}

# What is recommended to user 7 is what is predicted best of every item beside the other
# columns of the user's last example, without what the user has.
recommended() { # NAME
    awk -F '\t' -v OFS='\t' 'NR == 1 { print } NR > 1 { title[$2] = $7 }
        $1 == 7 { hour = $4; age = $5; tags = $6 }
        END { for (i in title) print 7, i, 0, hour, age, tags, title[i] }' \
        "$T/d.tsv" > "$T/asked.tsv"
    predict "$1" --data "$T/asked.tsv" --out "$T/scores"
    recommend "$1" --user 7 --json --top 1000
    is "$status$err" 0 'recommend'
    cp "$T/.out" "$T/list.json"
    "$PYTHON" - "$T" > "$T/complaints" 2>&1 << 'END'
import json, sys
T = sys.argv[1]
got = json.load(open(T + "/list.json"))
assert got["known"] and got["user"] == "7", got
rows = [l.rstrip("\n").split("\t") for l in open(T + "/asked.tsv")][1:]
scores = [float(l) for l in open(T + "/scores")]
assert len(rows) == len(scores)
seen = {l.split("\t")[1] for l in open(T + "/d.tsv") if l.startswith("7\t")}
want = {r[1]: s for r, s in zip(rows, scores) if r[1] not in seen}
items = got["items"]
assert {i["key"] for i in items} == set(want), (len(items), len(want))
for i in items:
    assert abs(i["score"] - want[i["key"]]) < 2e-5, (i, want[i["key"]])
    assert i["title"] == "Item " + i["key"], i
order = [i["score"] for i in items]
assert order == sorted(order, reverse=True), order
END
    is "$(cat "$T/complaints")" '' 'lists what predict says, best first, without what is known'
    printf '7\n8\nnobody\n' > "$T/users"
    recommend "$1" --users "$T/users" --json --top 3
    is "$("$PYTHON" -c 'import json, sys
a = [json.loads(l) for l in open(sys.argv[1])]
b = json.load(open(sys.argv[2]))
print([x["known"] for x in a], a[0]["items"] == b["items"][:3], len(a[2]["items"]))' \
        "$T/.out" "$T/list.json")" '[True, True, False] True 3' \
        'for several users, too, and the popular ones for somebody unknown'
}

# The same for each model: what was scored is what is predicted and recommended.
after() { # NAME
    local rmse name=$1

    run "$ROWHOUSE" train "$T/$name.yaml" --report "$T/train.json"
    ended 0 "$name is trained"
    rmse=$(json "$T/train.json" 'd["test"]["rmse"]')
    less "$rmse" 0.45 'and learns'
    run "$ROWHOUSE" evaluate "$T/$name.yaml" --report "$T/e.json" cluster.servers=2 \
        cluster.workers=2
    ended 0 'evaluate'
    near "$(json "$T/e.json" 'd["test"]["rmse"]')" "$rmse" 1e-6 'comes to what the run did'
    predict "$name" --data "$T/test.tsv" --out "$T/p.txt"
    ended 0 'predict'
    is "$(wc -l < "$T/p.txt")" $(($(wc -l < "$T/test.tsv") - 1)) 'one prediction a line'
    near "$(error_of "$T/p.txt")" "$rmse" 2e-6 'whose error is what evaluate says'
    predict "$name" --data "$T/nolabel.tsv" --out -
    is "$out" "$(cat "$T/p.txt")" 'also without labels in the file'
    recommended "$name"
    mpi 4 train "$T/$name.yaml" cluster.servers=2 checkpoint.dir="$T/$name-ranks" \
        --report "$T/ranks.json"
    run -t 60 "${mpi[@]}"
    ended 0 'it is trained by two servers and two workers'
    predict "$name" --data "$T/test.tsv" --out - checkpoint.dir="$T/$name-ranks"
    near "$(error_of "$T/.out")" "$(json "$T/ranks.json" 'd["test"]["rmse"]')" 2e-6 \
        'and predicted from as well'
}
after deep
after towers

# --- what the layers are, from the tables that are exported
for table in user item hour tag genre hidden score; do
    run "$ROWHOUSE" export "$T/deep" --table "$table" --format csv --out "$T/$table.csv"
    is "$status$err" 0 "export of $table"
done
is "$(wc -l < "$T/hidden.csv") $(head -n 1 "$T/score.csv")" '20 key,v0' \
    'a row for each number that comes in, and one of biases'
for layer in '' ids about all hidden score; do
    predict deep --data "$T/test.tsv" --out "$T/layer.$layer" ${layer:+--layer "$layer"}
    is "$status$err" 0 "predict${layer:+ --layer $layer}"
done
mean=$(awk -F '\t' 'NR > 1 { s += $3 } END { printf "%.9f", s / (NR - 1) }' "$T/d.tsv")
"$PYTHON" - "$T" "$mean" > "$T/complaints" 2>&1 << 'END'
import csv, sys
T, mean = sys.argv[1], float(sys.argv[2])
def table(name):
    return {int(r[0]): [float(x) for x in r[1:]]
            for r in list(csv.reader(open("%s/%s.csv" % (T, name))))[1:]}
def row(name, key, width):
    return tables[name].get(int(key), [0.0] * width)
def dense(x, name, f):
    w = [tables[name][k] for k in range(len(x) + 1)]
    return [f(w[-1][j] + sum(a * b[j] for a, b in zip(x, w))) for j in range(len(w[0]))]
tables = {n: table(n) for n in "user item hour tag genre hidden score".split()}
side = {r[0]: (r[1], float(r[2]))
        for r in (l.split("\t") for l in list(open(T + "/items.tsv"))[1:])}
want = {n: [] for n in ("", "ids", "about", "all", "hidden", "score")}
for line in list(open(T + "/test.tsv"))[1:]:
    user, item, _, hour, age, tags, _ = line.rstrip("\n").split("\t")
    ids = row("user", user, 4)
    tags = [row("tag", t, 3) for t in tags.split("|") if t]
    about = [sum(c) / len(tags) for c in zip(*tags)] if tags else [0.0] * 3
    x = (ids + row("item", item, 4) + row("hour", hour, 3) + about +
         row("genre", side[item][0], 2) + [float(age), side[item][1]])
    hidden = dense(x, "hidden", lambda v: max(v, 0.0))
    score = dense(hidden, "score", lambda v: v)
    for name, values in (("ids", ids), ("about", about), ("all", x), ("hidden", hidden),
                         ("score", score), ("", [score[0] + mean])):
        want[name].append(values)
for name, rows in want.items():
    got = [[float(v) for v in l.split()] for l in open(T + "/layer." + name)]
    assert len(got) == len(rows), (name, len(got))
    for n, (a, b) in enumerate(zip(got, rows)):
        assert len(a) == len(b), (name, n, a, b)
        assert all(abs(x - y) < 2e-5 * (1 + abs(y)) for x, y in zip(a, b)), (name, n, a, b)
END
is "$(cat "$T/complaints")" '' 'predictions and layers are what the exported rows come to'
run "$ROWHOUSE" inspect "$T/deep"
like "$out" 'hidden +19 +8.*score +9 +1.*model.layers.hidden.width=8' \
    'inspect has the tables of parameters and the layers'

# --- other losses
sed "s/^model:/&\n  loss: logistic/; s/label: rating/&\n  positive_from: 3.2/
    s|/deep}|/yes}|; s/rmse, mae/logloss/" "$T/deep.yaml" > "$T/yes.yaml"
run "$ROWHOUSE" train "$T/yes.yaml" --quiet
ended 0 'with the logistic loss'
logloss=$(value logloss)
predict yes --data "$T/test.tsv" --out "$T/p.txt"
near "$(tail -n +2 "$T/test.tsv" | cut -f 3 | paste - "$T/p.txt" |
    awk '{ s -= log($1 >= 3.2 ? $2 : 1 - $2) } END { printf "%.9f", s / NR }')" \
    "$logloss" 1e-5 'predictions are the probabilities that evaluation scores'
recommend yes --user 7 --top 3
like "$out" 'with the probability expected' 'and recommendations say so'
sed 's/loss: logistic/loss: hinge/; s|/yes}|/margin}|; s/logloss/mae/
    /positive_from/d; /  test:/d' "$T/yes.yaml" > "$T/margin.yaml"
awk -F '\t' -v OFS='\t' 'NR > 1 { $3 = $3 >= 3.2 } { print }' "$T/d.tsv" > "$T/b.tsv"
run "$ROWHOUSE" train "$T/margin.yaml" --quiet data.train="$T/b.tsv"
ended 0 'with the hinge loss'
predict margin --data "$T/test.tsv" --out "$T/p.txt" data.train="$T/b.tsv"
is "$(awk '$1 < 0 { a = 1 } $1 > 1 { b = 1 } END { print a b }' "$T/p.txt")" 11 \
    'predictions are margins, not kept between 0 and 1'

# --- resume
whole() { # DIR EPOCHS ARGUMENT ...
    run "$ROWHOUSE" train "$T/deep.yaml" --quiet checkpoint.dir="$T/$1" train.epochs="$2" \
        train.consistency=bsp "${@:3}"
}
whole once 4
whole parts 2
whole parts 4 --resume
ended 0 'a run is resumed'
is "$(exported "$T/parts" hidden)$(exported "$T/parts" tag)" \
    "$(exported "$T/once" hidden)$(exported "$T/once" tag)" 'and ends as one in one piece'

# --- what does not fit
predict deep --data "$T/test.tsv" --out - --layer hiden
refused 2 'a layer that is not there' '--layer hiden' "'hidden'"
cut -f 1-3,5- "$T/test.tsv" > "$T/short.tsv"
predict deep --data "$T/short.tsv" --out -
refused 2 'data without a column of the model' short.tsv hour
predict deep --data "$T/test.tsv" --out - model.layers.hidden.width=9
refused 2 'another width' "$T/deep/checkpoint" hidden
run "$ROWHOUSE" train "$T/deep.yaml" --resume model.layers.hidden.width=9
refused 2 'a run is not resumed with another width either' hidden
sed 's/^    score:/    more: {kind: dense, width: 4}\n&/' "$T/deep.yaml" > "$T/more.yaml"
predict more --data "$T/test.tsv" --out -
refused 2 'a model with a layer more' "$T/deep/checkpoint" table
recommend deep --user 7 model.item=film
refused 2 'recommend with no such items' film model.item
sed 's/^    hour:/    both: {as: key, table: tag, make: cross, of: [user, item]}\n&/
    s/^    all: .*/    pair: {kind: rows, columns: [both]}\n&/; s/inputs: \[ids,/& pair,/
    s|/deep}|/crossed}|' "$T/deep.yaml" > "$T/crossed.yaml"
run "$ROWHOUSE" train "$T/crossed.yaml" --quiet
ended 0 'a column that is made of user and item'
recommended crossed
recommend crossed --user 7 evaluate.protocol=all evaluate.metrics=hr@10
refused 2 'items are not ranked by it beside examples of others' both evaluate.protocol

# --- counts in place of scores
sed '/  layers:/,/^    score:/d; /kind: graph/c\  kind: popularity' "$T/deep.yaml" |
    sed "s/epochs: 3/epochs: 1/; s/adagrad, rate: 0.1/sgd/; s|/deep}|/popular}|
        s/evaluate: .*/evaluate: {protocol: all, metrics: [hr@10]}/" > "$T/popular.yaml"
run "$ROWHOUSE" train "$T/popular.yaml" --quiet
ended 0 'popularity is trained'
recommend popular --user 7 --top 1
most=$(tail -n +2 "$T/d.tsv" | awk -F '\t' '{ n[$2]++ } $1 == 7 { seen[$2] = 1 }
    END { for (i in n) if (!(i in seen) && n[i] > m) m = n[i]; print m }')
like "$out" "with the number of examples.*Item [0-9]+ +$most\\.000" \
    'and recommends what most examples have'

# --- outputs of many numbers: what users have of all items
cut -f 1-3 "$T/d.tsv" > "$T/rated.tsv"
cut -f 1-3 "$T/test.tsv" | grep -v ^9999 > "$T/rest.tsv"
cat > "$T/auto.yaml" << END
name: auto
data:
  train: $T/rated.tsv
  test: $T/rest.tsv
  label: rating
  group: user
  columns: {user: {as: key, table: user}, item: {as: key, table: item}}
tables: {user: {dim: 1}, item: {dim: 8, rows: 91, init: normal, scale: 0.1}}
model:
  kind: graph
  target: item
  layers:
    has: {kind: bag, columns: [item], length: 91}
    code: {kind: activation, activation: sigmoid}
    out: {kind: dense, width: 91}
optimizer: {kind: adam, rate: 0.02, l2: 0}
train: {epochs: 20, batch: 16}
checkpoint: {dir: $T/auto}
END
run "$ROWHOUSE" train "$T/auto.yaml" --quiet
ended 0 'an autoencoder of what users have is trained'
rmse=$(value rmse)
predict auto --data "$T/rated.tsv" --out "$T/p.txt"
is "$status$err $(awk '{ print NF }' "$T/p.txt" | sort | uniq -c | xargs)" '0 60 91' \
    'predict: a line for each user, a number for each item'
"$PYTHON" - "$T" "$rmse" > "$T/complaints" 2>&1 << 'END'
import sys
T, rmse = sys.argv[1], float(sys.argv[2])
rows = lambda name: [l.rstrip("\n").split("\t") for l in list(open(T + "/" + name))[1:]]
users = list(dict.fromkeys(r[0] for r in rows("rated.tsv")))
got = dict(zip(users, ([float(x) for x in l.split()] for l in open(T + "/p.txt"))))
test = rows("rest.tsv")
error = (sum((got[u][int(i)] - float(r)) ** 2 for u, i, r in test) / len(test)) ** 0.5
assert abs(error - rmse) < 1e-5, (error, rmse)
END
is "$(cat "$T/complaints")" '' '... whose error is what evaluation says'
recommend auto --user 7 --json --top 1000
"$PYTHON" - "$T" > "$T/complaints" 2>&1 << 'END'
import json, sys
T = sys.argv[1]
got = json.load(open(T + "/.out"))
rows = [l.split("\t") for l in list(open(T + "/rated.tsv"))[1:]]
line = list(dict.fromkeys(r[0] for r in rows)).index("7")
value = [float(x) for x in open(T + "/p.txt").read().split("\n")[line].split()]
seen = {r[1] for r in rows if r[0] == "7"}
want = {r[1] for r in rows} - seen
assert got["known"] and {i["key"] for i in got["items"]} == want, got
assert all(abs(i["score"] - value[int(i["key"])]) < 1e-5 for i in got["items"]), got
scores = [i["score"] for i in got["items"]]
assert scores == sorted(scores, reverse=True), scores
END
is "$(cat "$T/complaints")" '' 'recommend lists what predict says, without what the user has'
recommend auto --user nobody --top 1
like "$out" 'nobody is not known' 'and the popular ones for somebody unknown'
sed "s/target: item/&\n  loss: softmax/; /  test:/d; s|/auto}|/among}|" "$T/auto.yaml" \
    > "$T/among.yaml"
run "$ROWHOUSE" train "$T/among.yaml" --quiet
ended 0 'one of softmax'
predict among --data "$T/rated.tsv" --out "$T/p.txt"
near "$(awk '{ for (i = 1; i <= NF; i++) s += $i } END { print s / NR }' "$T/p.txt")" 1 1e-4 \
    'predictions are probabilities that add up to 1'
recommend among --user 7 --top 2
like "$out" 'with the score' 'and recommendations go by scores'
sed "/group: user/d; s/has: .*/has: {kind: rows, columns: [user]}/; s|/among}|/class}|" \
    "$T/among.yaml" > "$T/class.yaml"
run "$ROWHOUSE" train "$T/class.yaml" --quiet
ended 0 'an item as a class'
predict class --data "$T/rated.tsv" --out "$T/p.txt"
recommend class --user 1 --json --top 1
is "$(json "$T/.out" 'd["items"][0]["key"]')" "$(head -n 1 "$T/p.txt" | tr ' ' '\n' |
    awk -v seen=" $(awk '$1 == 1 { print $2 }' "$T/rated.tsv" | xargs) " \
        'NR > 1 && seen !~ " " (NR - 1) " " { print $1 "\t" NR - 1 }' | sort -grk 1 |
    head -n 1 | cut -f 2)" 'the first recommendation is the class of highest probability'
no_leftovers
done_testing
