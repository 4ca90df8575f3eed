#!/bin/bash
# What rowhouse plan says of a job's model without its data, and what is wrong with models
# that cannot be: one sentence each, to whoever asks.
. "$(dirname "$0")/lib.sh"

job "$T/none.tsv" 'cluster: {servers: 2}' > "$T/mf.yaml"
cat > "$T/job.yaml" << END
name: small
data:
  train: $T/none.tsv
  label: rating
  columns:
    user: {as: key, table: user}
    item: {as: key, table: item}
    tags: {as: keys, table: tag}
    age: {as: number}
    seen: {as: time}
tables: {user: {dim: 4}, item: {dim: 4}, tag: {dim: 4, rows: 10}, other: {}}
optimizer: {kind: adam, l2: 0}
train: {batch: 100}
cluster: {servers: 2}
END
plan() { # NAME=VALUE ...
    run "$ROWHOUSE" plan "$T/job.yaml" "$@" --json
    printf '%s' "$out" > "$T/plan.json"
}
planned() { # EXPRESSION
    json "$T/plan.json" "$1"
}

# --- what it says
plan model.kind=deepfm model.hidden=8
ended 0 'a preset is planned without its data'
is "$(planned '[(l["name"], l["shape"]) for l in d["layers"] if l["kind"] in ("stack", "fm", "dense")]')" \
    "[('numbers-embedding', [1, 4]), ('fields', [4, 4]), ('fm', [1, 1]), ('weights', [3, 1]), ('linear-numbers', [1, 1]), ('deep1', [1, 8]), ('top', [1, 1])]" \
    'its layers have their shapes'
is "$(planned '[(l["parameters"], l["multiply_adds"], l["of"]) for l in d["layers"] if l["name"] == "deep1"]')" \
    "[(144, 136, ['input'])]" 'and say what they cost'
is "$(planned '[(n, t["of"], t["rows"], t["numbers"]) for n, t in d["tables"].items()][:6]')" \
    "[('user', 'keys', None, 5), ('item', 'keys', None, 5), ('tag', 'keys', 10, 5), ('other', 'unused', None, 32), ('numbers-embedding', 'parameters', 2, 4), ('linear-numbers', 'parameters', 2, 1)]" \
    'tables are for keys or for parameters'
is "$(planned 'd["parameters"]')" $((8 + 2 + 18 * 8 + 9)) 'all parameters'
# A key, five numbers and eleven of Adam's are 72 bytes, and 8 in the index; without a key 64.
is "$(planned '(d["tables"]["user"]["bytes_per_row"], d["tables"]["tag"]["bytes_per_row"], d["tables"]["tag"]["bytes_per_server"])')" \
    '(80, 64, 320)' 'bytes of a row and of a table, half of it on a server'
is "$(planned '(d["examples_per_batch"], d["tables"]["user"]["rows_per_batch"], d["tables"]["tag"]["rows_per_batch"], d["tables"]["deep1"]["rows_per_batch"])')" \
    '(100, 100, 10, 18)' 'a batch has at most so many rows of each'
rows=$(planned 'sum(t["rows_per_batch"] * (4 * t["numbers"] + 8) for t in d["tables"].values())')
is "$(planned 'd["bytes_pulled_per_batch"]')" "$rows" 'and pulls so many bytes'
is "$(planned 'd["multiply_adds_per_example"] == sum(l["multiply_adds"] for l in d["layers"])')" True \
    'an example costs what its layers cost'
run "$ROWHOUSE" plan "$T/job.yaml" model.kind=twotower tables.user.rows_max=1000
ended 0 'two towers are planned'
like "$out" '\(score\) +dot +\[1\]\[1\] .* user-vector item-vector' 'their product is shown'
like "$out" 'user +keys +1,000 +4 ' 'and how many rows a table may have'
run "$ROWHOUSE" plan "$T/mf.yaml"
ended 0 'matrix factorisation is planned'
like "$out" '5 multiply-adds' 'and costs a product'
run "$ROWHOUSE" plan --help
like "$status $out" '^0 .*plan JOB.*--json' 'it has help'

# --- what docs and examples show
awk '/^```yaml/ { on = 1; text = ""; next }
    /^```/ { if (on && text ~ /kind: graph/) printf "%s", text; on = 0 }
    on { text = text $0 "\n" }' docs/models.md > "$T/graph.yaml"
for file in "$T/graph.yaml" examples/*.yaml; do
    run "$ROWHOUSE" plan "$file"
    ended 0 "${file##*/} can be"
done

# --- what is wrong: the same sentence from plan and from train
bad() { # NAME REGEX SETTING ...
    local said

    run "$ROWHOUSE" plan "$T/job.yaml" "${@:3}"
    refused 2 "$1" "$2"
    said=$err
    run "$ROWHOUSE" train "$T/job.yaml" "${@:3}"
    is "$status $err" "2 $said" '... and train says the same'
}
L=model.layers
graph=(model.kind=graph $L.u.kind=rows $L.u.columns=user $L.i.kind=rows $L.i.columns=item
    $L.t.kind=bag $L.t.columns=tags $L.a.kind=numbers $L.a.columns=age)
cannot() { # NAME REGEX SETTING ...: behind the inputs u, i, t and a
    bad "$1" "$2" "${graph[@]}" "${@:3}"
}
both="$L.all.kind=concat $L.all.inputs=u,i,t,a"
bad 'a graph without layers' 'model.layers has no layer' model.kind=graph
cannot 'an input that is not there' "'top'.*'alls'.*'all'" $both $L.top.width=1 $L.top.inputs=alls
cannot 'an output that is not there' "'tup'.*'top'" $both $L.top.width=1 model.output=tup
cannot 'a cycle' "layer '[xy]' needs itself" $both $L.x.kind=add $L.x.inputs=y,all \
    $L.y.kind=activation $L.y.inputs=x $L.top.width=1
cannot 'a layer that leads nowhere' "'i' leads to no output" $L.all.kind=concat \
    $L.all.inputs=u,t,a $L.top.width=1
cannot 'an output that is no score' "'all'.*\[1\]\[13\].*\[1\]\[1\]" $both
cannot 'two outputs of two widths' "'u' is 1 x 4 and 'a' is 1 x 1" model.output=u,a
cannot 'three outputs' 'model.output has more than two' model.output=u,i,t
cannot 'a sum of two shapes' "'s' \(add\).*'u' is 1 x 4 and 'a' is 1 x 1" $L.s.kind=add $L.s.inputs=u,a
cannot 'a product of two shapes' "'s' \(multiply\).*'a' is 1 x 1 and 't' is 1 x 4" \
    $L.s.kind=multiply $L.s.inputs=a,t
cannot 'an inner product of two shapes' "'s' \(dot\).*'u' is 1 x 4 and 'a' is 1 x 1" \
    $L.s.kind=dot $L.s.inputs=u,a
cannot 'a stack of two widths' "'s' \(stack\).*'u' is 1 x 4 and 'a' is 1 x 1" $L.s.kind=stack \
    $L.s.inputs=u,i,t,a
cannot 'unequal steps side by side' "'c' \(concat\).*'s' is 2 x 4 and 't' is 1 x 4" \
    $L.s.kind=stack $L.s.inputs=u,i $L.c.kind=concat $L.c.inputs=s,t
cannot 'a cross of two shapes' "'c' \(cross\).*'u' is 1 x 4 and 'a' is 1 x 1" $L.c.kind=cross \
    $L.c.inputs=u,a
cannot 'pairs of one step' "'p' \(pairs\).*'u' is 1 x 4" $L.p.kind=pairs $L.p.inputs=u
cannot 'an fm of one step' "'p' \(fm\).*'t' is 1 x 4" $L.p.kind=fm $L.p.inputs=t
cannot 'one factor' "'p' \(multiply\) has 1 inputs; it takes 2" $L.p.kind=multiply $L.p.inputs=u
cannot 'a dense layer without a width' "'d' \(dense\) has no width" $L.d.inputs=u
cannot 'an input with inputs' "$L.u is an input" $L.u.inputs=i
cannot 'columns where they are of no use' "$L.d has columns.*dense" $L.d.columns=age
cannot 'a column that is not there' "$L.u.columns has 'users'" $L.u.columns=users
cannot 'no column' "$L.u.columns is empty" $L.u.columns=
cannot 'a number as a key' "$L.u takes column 'age', which is as: number" $L.u.columns=age
cannot 'a key as a number' "$L.a takes column 'user', which is as: key" $L.a.columns=user
cannot 'a key as a list' "$L.t takes column 'user', which is as: key" $L.t.columns=user
cannot 'a time as a number' "$L.a takes column 'seen', which is as: time" $L.a.columns=seen
cannot 'keys of two tables' "$L.u.*'user' and 'item'" $L.u.columns=user,item
cannot 'a table that is not there' "$L.u.*'people'" $L.u.table=people
cannot 'numbers that a row does not have' "$L.u uses numbers 3 to 5.*'user', which has 4" \
    $L.u.first=2 $L.u.width=3
cannot 'a list without a length' "$L.t.length is not set" $L.t.kind=rows
cannot 'a layer called like a table' "table 'other' has" $both $L.other.width=1 \
    tables.other.rows=3
cannot 'a layer called like a table of keys' "table 'item' have the same name" $both \
    $L.item.width=1 $L.item.inputs=all
cannot 'nothing to learn' "'a' depends on nothing that can be trained" model.output=a
bad 'layers beside a preset' "model.kind is fm.*'extra'" model.kind=fm $L.extra.width=1
bad 'a preset of two widths' "'rows1' is 1 x 4 and 'rows2' is 1 x 6" model.kind=fm tables.item.dim=6
bad 'a preset of the wrong layers' "model.hidden has '0'" model.kind=dcn model.hidden=8,0
bad 'a product as wide as the embedding' 'tables.user.dim is 4.*neumf' model.kind=neumf model.width=4
bad 'a preset without its table' "model.item is 'film'" model.kind=gmf model.item=film
bad 'features of another model' 'model.features' model.kind=fm model.features=true
no_leftovers
done_testing
