#!/bin/bash
# Preparations from outside: values against a computation of Python's, and that what a run
# has fitted is what comes after it uses, from its checkpoint alone.
. "$(dirname "$0")/lib.sh"

# A log with what must be prepared: gaps, a skewed price, texts, times.
"$PYTHON" - "$T" <<'EOF'
import random, sys
random.seed(5)
words = ["Red", "wine", "white", "\u00c9t\u00e9", "noir", "blanc", "rose"]
with open(sys.argv[1] + "/log.tsv", "w") as f:
    f.write("user\titem\trating\tprice\tage\tat\ttitle\n")
    for i in range(2000):
        user, item = random.randrange(60), int(random.paretovariate(0.8))
        price = "" if i % 11 == 3 else "%.2f" % random.lognormvariate(2, 1)
        age = "" if i % 7 == 2 else random.randrange(18, 80)
        at = 1500000000 + random.randrange(5000000)
        rating = 1 + (user * 7 + item) % 5
        title = " ".join(random.choice(words) for _ in range(item % 4))
        f.write(f"{user}\t{item}\t{rating}\t{price}\t{age}\t{at}\t{title}\n")
EOF
cat > "$T/job.yaml" <<EOF
name: prepared
data:
  train: $T/log.tsv
  label: rating
  time: at
  split: {test: 0.2, by: time}
  columns:
    user: {as: key, table: user}
    item: {as: key, table: item, vocabulary: keep, vocabulary_min: 3, unseen: 2}
    price: {as: number, missing: mean, clip_low: 0.05, clip_high: 0.95, transform: log, scale: standard}
    age: {as: number, missing: category, buckets: 4}
    at: {as: time}
    title: {as: text, words: bag}
    hour: {make: hour, of: [at]}
    both: {make: cross, of: [age, hour], hash: 50, table: both}
    seen: {as: keys, make: history, of: [item], length: 3}
tables: {user: {dim: 4}, item: {dim: 4}, both: {dim: 4}}
train: {epochs: 2, batch: 256, seed: 3}
checkpoint: {dir: $T/run}
EOF

run "$ROWHOUSE" prepare "$T/job.yaml" --json --out "$T/out.json"
ended 0 'prepare fits on the training part'
cat > "$T/check.py" <<'EOF'
import csv, json, math, sys, collections
rows = list(csv.DictReader(open(sys.argv[1] + "/log.tsv", encoding="utf-8"), delimiter="\t",
                           quoting=csv.QUOTE_NONE))
got = [json.loads(line) for line in open(sys.argv[1] + "/out.json", encoding="utf-8")]
assert len(got) == len(rows), len(got)
M = (1 << 64) - 1
def mix(x):
    x ^= x >> 30; x = x * 0xbf58476d1ce4e5b9 & M
    x ^= x >> 27; x = x * 0x94d049bb133111eb & M
    return x ^ x >> 31
times = sorted(int(r["at"]) for r in rows)
cut = times[len(rows) - 1 - int(0.2 * len(rows) + 0.5)]
train = [r for r in rows if int(r["at"]) <= cut]
def quantile(values, q):
    place = q * (len(values) - 1); at = int(place)
    return values[at] + (place - at) * (values[min(at + 1, len(values) - 1)] - values[at])
# price
there = sorted(float(r["price"]) for r in train if r["price"])
fill = sum(there) / len(there)
low, high = quantile(there, 0.05), quantile(there, 0.95)
bend = lambda r: math.log1p(min(max(float(r["price"]) if r["price"] else fill, low), high))
bent = [bend(r) for r in train]
mean = sum(bent) / len(bent)
deviation = math.sqrt(sum((b - mean) ** 2 for b in bent) / len(bent))
# age: four buckets, and a fifth for what is missing
ages = sorted(float(r["age"]) for r in train if r["age"])
edges = [quantile(ages, k / 4) for k in (1, 2, 3)]
bucket = lambda r: sum(e <= float(r["age"]) for e in edges) if r["age"] else 4
# item
counts = collections.Counter(r["item"] for r in train)
# history: training items of the user before, by time, then by the file
by_user = collections.defaultdict(list)
for n, r in enumerate(train):
    by_user[r["user"]].append((int(r["at"]), n, r["item"]))
for one in by_user.values():
    one.sort()
unseen = {}
bad = 0
for r, g in zip(rows, got):
    def check(what, fine):
        global bad
        if not fine and bad < 5:
            print("wrong", what, r, g)
        bad += not fine
    check("price", abs(g["price"] - (bend(r) - mean) / deviation) < 1e-5)
    check("age", int(g["age"]) == bucket(r))
    hour = int(r["at"]) // 3600 % 24
    check("hour", int(g["hour"]) == hour)
    h = 0
    for k in (bucket(r), hour):
        h = mix((h + 0x9e3779b97f4a7c15 + k) & M)
    check("cross", int(g["both"]) == mix(h) % 50)
    def prepared(item):
        return item if counts[item] >= 3 else unseen.setdefault(mix(int(item)) % 2, None)
    if counts[r["item"]] >= 3:
        check("item", g["item"] == r["item"])
    else:
        slot = mix(int(r["item"])) % 2
        check("unseen", unseen.setdefault(slot, g["item"]) == g["item"])
    words = collections.Counter(r["title"].casefold().split())
    check("words", sorted(words.values()) == sorted(w for _, w in g["title"]))
for r, g in zip(rows, got):
    before = [i for t, _, i in by_user[r["user"]] if t < int(r["at"])][-3:]
    expected = [i if counts[i] >= 3 else unseen[mix(int(i)) % 2] for i in before]
    if [k for k, _ in g["seen"]] != expected:
        bad += 1
        print("wrong history", r, g["seen"], expected)
print("bad", bad, "unseen keys", len(unseen))
EOF
run "$PYTHON" "$T/check.py" "$T"
like "$out" '^bad 0 unseen keys 2$' 'every value is what Python computes'

# --- what a run has fitted goes on -----------------------------------------------------
run "$ROWHOUSE" train "$T/job.yaml"
ended 0 'a job with prepared columns is trained'
trained=$out
like "$trained" '^test rmse [0-9.]+$' 'and tested'
run "$ROWHOUSE" evaluate "$T/job.yaml" --checkpoint "$T/run"
is "$out" "$trained" 'evaluate uses what the run has fitted'
run "$ROWHOUSE" evaluate "$T/job.yaml" --checkpoint "$T/run" evaluate.part=validation
refused 2 'a part without examples cannot be evaluated'
run "$ROWHOUSE" verify "$T/run"
like "$out" 'preparation: [0-9.]+ k?B, fine' 'verify looks at it'

# The same example alone, and among others that would change every mean.
head -1 "$T/log.tsv" > "$T/some.tsv"
tail -50 "$T/log.tsv" >> "$T/some.tsv"
{ cat "$T/some.tsv"; tail -1000 "$T/log.tsv" | sed 's/\t[0-9.]*\t/\t1e9\t/'; } > "$T/many.tsv"
for what in some many; do
    run "$ROWHOUSE" predict "$T/job.yaml" --checkpoint "$T/run" --data "$T/$what.tsv" --out "$T/$what.p"
    ended 0 "predictions for $what examples"
    run "$ROWHOUSE" prepare "$T/job.yaml" --checkpoint "$T/run" --data "$T/$what.tsv" --out "$T/$what.csv"
    ended 0 "prepared values of $what examples"
done
is "$(head -50 "$T/many.p")" "$(cat "$T/some.p")" 'a prediction does not depend on what else is in the file'
is "$(head -51 "$T/many.csv")" "$(cat "$T/some.csv")" 'nor does a prepared value'

run "$ROWHOUSE" recommend "$T/job.yaml" --checkpoint "$T/run" --user 7 --top 5 --json
ended 0 'recommend knows the rows of prepared keys'
like "$out" '"known":true' 'and the user'
cat > "$T/known.py" <<'EOF'
import collections, json, sys
counts = collections.Counter(l.split("\t")[1] for l in open(sys.argv[1] + "/log.tsv", encoding="utf-8"))
print(all(counts[i["key"]] >= 3 for i in json.loads(sys.argv[2])["items"]))
EOF
run "$PYTHON" "$T/known.py" "$T" "$out"
is "$out" True 'no row that items share is recommended'

# Ratings of nobody: enough of them to be the most popular item, if they counted.
{ cat "$T/log.tsv"; for _ in {1..3000}; do printf '\t999\t5\t1\t30\t1500000000\t\n'; done; } > "$T/nobody.tsv"
sed -e "s|log.tsv|nobody.tsv|; s|$T/run|$T/nobody|; s|table: user}|table: user, missing: category}|" "$T/job.yaml" > "$T/nobody.yaml"
run "$ROWHOUSE" train "$T/nobody.yaml" --quiet
ended 0 'examples without a user are trained on where the job says so'
run "$ROWHOUSE" recommend "$T/nobody.yaml" --user 12345 --top 3 --json
like "$out" '"known":false' 'an unknown user gets what is popular'
unlike "$out" '"999"' 'which is what users have rated'
run "$ROWHOUSE" train "$T/nobody.yaml" --quiet --fresh data.split.by=user
refused 2 'a split by user needs users' 'nobody.tsv line 2002: the example has no user'

# --- what is another preparation is refused --------------------------------------------
run "$ROWHOUSE" evaluate "$T/job.yaml" --checkpoint "$T/run" data.columns.item.vocabulary_min=4
refused 2 'other steps than those of the checkpoint' 'data.columns.item is prepared in another way'
run "$ROWHOUSE" predict "$T/job.yaml" --checkpoint "$T/run" --data "$T/some.tsv" --out - data.columns.item.vocabulary_min=4
refused 2 'for predictions, too' 'data.columns.item is prepared in another way'
run "$ROWHOUSE" evaluate "$T/job.yaml" --checkpoint "$T/run" data.columns.item.vocabulary=none
refused 2 'or none where there was one' 'data.columns.item is prepared in another way'
run "$ROWHOUSE" prepare "$T/job.yaml" --out - data.columns.user.scale=standard
refused 2 'a step that does not go with its column' 'data.columns.user.*no number'

# --- with other numbers of processes, and over a resume ----------------------------------
mpi 3 train "$T/job.yaml" --resume --quiet train.epochs=3
run -t 60 "${mpi[@]}"
ended 0 'a resumed run under mpirun takes it from the checkpoint'
newest=$(ls -d "$T"/run/checkpoint-* | tail -1)
is "$(md5sum < "$newest/preparation")" "$(md5sum < "$(ls -d "$T"/run/checkpoint-* | head -1)/preparation")" \
    'and hands it on, the same bytes'
mpi 3 train "$T/job.yaml" --fresh --quiet checkpoint.dir="$T/again" cluster.workers=2
run -t 60 "${mpi[@]}"
ended 0 'two workers fit the same'
is "$(md5sum < "$T"/again/checkpoint-0000000001/preparation)" "$(md5sum < "$newest/preparation")" \
    'as one process does'

# A worker that is started again when the checkpoint that its run began from has made way.
began=$(ls -d "$T"/again/checkpoint-* | tail -1)
gone() { [ ! -e "$began" ]; }
child() { ours "^rowhouse child [0-9]+ worker 0" | head -n 1; }
another() { [ -n "$(child)" ] && [ "$(child)" != "$victim" ]; }
mpi 2 train "$T/job.yaml" --resume --quiet checkpoint.dir="$T/again" checkpoint.keep=1 train.epochs=100000 \
    checkpoint.every='20 epochs'
start -t 90 "${mpi[@]}"
wait_for 30 gone
victim=$(child)
kill -KILL "$victim"
wait_for 20 another
now=$(ls -d "$T"/again/checkpoint-* | tail -1)
later() { [ "$(ls -d "$T"/again/checkpoint-* | tail -1)" != "$now" ]; }
wait_for 30 later
kill -INT "$job"
finish
ended 130 'it takes the preparation from those that followed' 'signal 9'

printf X | dd of="$newest/preparation" bs=1 seek=40 conv=notrunc status=none
run "$ROWHOUSE" verify "$T/run"
ended 1 'a flipped byte is found' 'preparation is damaged'
run "$ROWHOUSE" predict "$T/job.yaml" --checkpoint "$T/run" --data "$T/some.tsv" --out -
refused 1 'before it is used' 'preparation is damaged'
rm "$newest/preparation"
run "$ROWHOUSE" verify "$T/run"
ended 1 'and so is a missing file' 'preparation'

# --- side tables -----------------------------------------------------------------------
{ for i in 1 2 3 4 5 6; do printf '%d::Film n\xba %d::kind%d\n' $i $i $((i % 2)); done; } > "$T/items.dat"
sed -e "s|checkpoint: .*|checkpoint: {dir: $T/sides}|" -e "s|  columns:|  sides: {items: {files: $T/items.dat, delimiter: '::', \
header: false, names: [id, name, kind], encoding: latin-1, key: item, id: id}}\n  columns:\n    name: {as: title, table: item, from: items}\n    \
kind: {as: key, from: items, missing: category, table: both}|" -e '/make: hour/d' -e '/make: cross/d' "$T/job.yaml" > "$T/sides.yaml"
run "$ROWHOUSE" train "$T/sides.yaml" --quiet
ended 0 'columns from a side table are trained on'
run "$ROWHOUSE" recommend "$T/sides.yaml" --user 7 --top 60
like "$out" 'Film nº [1-6] ' 'and its titles are shown'
sed -n 3p "$T/items.dat" >> "$T/items.dat"
run "$ROWHOUSE" train "$T/sides.yaml" --fresh
refused 2 'a key that is there twice' 'items.dat line 3 and [^ ]*items.dat line 7 have the same id'

# --- what cannot be prepared is named by file and line ----------------------------------
sed -e 's/at: {as: time}/at: {as: time, missing: category}/' -e '/make: cross/d; /make: history/d' \
    -e 's/, by: time}/}/' -e 's/of: .at./&, table: both/' -e "s|$T/run|$T/gaps|" "$T/job.yaml" > "$T/gaps.yaml"
run "$ROWHOUSE" train "$T/gaps.yaml" --quiet
ended 0 'a column made of others is as complete as they are'
{ cat "$T/some.tsv"; printf '1\t2\t3\t4\t50\t\tNo time\n'; } > "$T/gap.tsv"
gzip -k "$T/gap.tsv"
gap() {
    refused 2 "$1" "$2: column hour has no value .data.columns.hour.missing"
}
run "$ROWHOUSE" predict "$T/gaps.yaml" --data "$T/gap.tsv" --out -
gap 'of what is predicted' 'gap.tsv line 52'
run "$ROWHOUSE" prepare "$T/gaps.yaml" --data "$T/gap.tsv.gz" --out -
gap 'or shown' 'gap.tsv.gz line 52'
run "$ROWHOUSE" prepare "$T/gaps.yaml" data.train="$T/gap.tsv.gz" --out -
gap 'after all was read' 'gap.tsv.gz line 52'
mkfifo "$T/pipe"
timeout 30 cp "$T/gap.tsv" "$T/pipe" &
run "$ROWHOUSE" prepare "$T/gaps.yaml" data.train="$T/pipe" --out -
gap 'from a pipe it is a byte' "pipe byte $(head -51 "$T/gap.tsv" | wc -c)"
for memory in true false; do
    run "$ROWHOUSE" train "$T/gaps.yaml" --fresh --quiet checkpoint.dir= data.in_memory=$memory data.train="$T/gap.tsv.gz"
    gap "of what is trained, in memory: $memory" 'gap.tsv.gz line 52'
    run "$ROWHOUSE" train "$T/gaps.yaml" --fresh --quiet checkpoint.dir= data.in_memory=$memory data.test="$T/gap.tsv" data.split.test=0
    gap "and tested, in memory: $memory" 'gap.tsv line 52'
done
run "$ROWHOUSE" recommend "$T/gaps.yaml" --user 7 data.train="$T/gap.tsv"
gap 'and of what is recommended by' 'gap.tsv line 52'

# --- splits ------------------------------------------------------------------------------
for by in user leave_one_out random; do
    share=0.2
    [ $by = leave_one_out ] && share=0
    run "$ROWHOUSE" train "$T/job.yaml" --quiet checkpoint.dir= data.split.by=$by data.split.test=$share \
        data.split.validation=0.1 evaluate.part=validation
    ended 0 "a split by $by"
    like "$out" '^validation rmse [0-9.]+$' "of which the validation part is scored"
done
run "$ROWHOUSE" train "$T/job.yaml" --quiet checkpoint.dir= data.split.test=0 data.split.after=2017-08-20
ended 0 'a split at a date'
run "$ROWHOUSE" train "$T/job.yaml" --quiet checkpoint.dir= data.split.test=0 data.split.after=tomorrow
refused 2 'which must be one' "data.split.after is 'tomorrow'"

# --- weights -----------------------------------------------------------------------------
awk -F'\t' -v OFS='\t' 'NR == 1 { print $0, "one", "some"; next } { print $0, 1, NR % 3 }' \
    "$T/log.tsv" > "$T/weights.tsv"
run "$ROWHOUSE" train "$T/job.yaml" --quiet checkpoint.dir= train.consistency=bsp data.train="$T/weights.tsv"
plain=$out
run "$ROWHOUSE" train "$T/job.yaml" --quiet checkpoint.dir= train.consistency=bsp data.train="$T/weights.tsv" data.weight=one
is "$out" "$plain" 'weights of 1 change nothing'
run "$ROWHOUSE" train "$T/job.yaml" --quiet checkpoint.dir= train.consistency=bsp data.train="$T/weights.tsv" data.weight=some
like "$out" '^test rmse ' 'others are trained with'
unlike "$out" "^$plain\$" 'and change something'
run "$ROWHOUSE" train "$T/job.yaml" --quiet checkpoint.dir= data.weight=rating train.update=delta optimizer.kind=sgd
refused 2 'not with steps that workers make' 'data.weight is set, but train.update: delta'
no_leftovers
done_testing
