#!/bin/bash
# The benchmarks, for a blink: what they print, that they leave nothing behind, and what
# they refuse. No number is judged: that is for people and docs/performance.md.
. "$(dirname "$0")/lib.sh"

# fields FILE NAME ...: prints what is missing or no number above 0.
fields() {
    "$PYTHON" - "$@" << 'END'
import json, sys
d = json.load(open(sys.argv[1]))
for name in sys.argv[2:]:
    value = d
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if not isinstance(value, (int, float)) or not 0 < value < float("inf"):
        print(name, "is", value)
END
}

# --- rows
always="rows_per_second payload_gb_per_second stream_gb_per_second share_of_stream
    bytes_per_row pull_us.p50 pull_us.p99 pull_alone_us.p50 pull_alone_us.p99
    cpu_seconds_per_gb stream_cpu_seconds_per_gb seconds slices inflight"
small=(--rows 3000 --dim 8 --batch 100 --seconds 0.3)
for transport in tcp ipc inproc; do
    run "$ROWHOUSE" bench rows "${small[@]}" --transport $transport --json
    ended 0 "bench rows runs over $transport"
    wanted=$always
    [ $transport = inproc ] || wanted="$wanted cpu_us_per_row.servers cpu_us_per_row.workers"
    is "$(fields "$T/.out" $wanted 2>&1)" '' 'and prints numbers as JSON'
    asked='[d[k] for k in ("transport", "rows", "dim", "batch", "servers", "workers")]'
    is "$(json "$T/.out" "$asked")" "['$transport', 3000, 8, 100, 1, 1]" \
        'with what was asked for'
    is "$(json "$T/.out" 'd["kernels"].startswith("x86-64-v"), d["memory"]')" \
        "(True, '$([ $transport = inproc ] && echo anonymous || echo memfd)')" \
        'and what it ran with'
    # 8 floats pulled and pushed, the key twice, the weight; bodies are padded to 8 bytes.
    near "$(json "$T/.out" 'd["bytes_per_row"]')" 84 1 'a row counts the bytes that it has'
    near "$(json "$T/.out" 'd["payload_gb_per_second"] * 1e9 / d["rows_per_second"]')" \
        "$(json "$T/.out" 'd["bytes_per_row"]')" 20 'payload and rows fit together'
    no_leftovers
done

run "$ROWHOUSE" bench rows "${small[@]}" --servers 3 --workers 2 --inflight 5 --json
ended 0 'three servers and two workers'
is "$(fields "$T/.out" $always 2>&1)" '' 'print the same'
run "$ROWHOUSE" bench rows --rows 64 --dim 1 --batch 1 --seconds 0.3 --servers 64 --json \
    --transport inproc
ended 0 'batches of one row, and servers without any'
run "$ROWHOUSE" bench rows "${small[@]}" --transport inproc --inflight 0 --json
ended 0 'one batch at a time'
less "$(json "$T/.out" 'd["cpu_seconds_per_gb"] * d["payload_gb_per_second"]')" \
    "$((4 * $(nproc)))" 'one after the other for as long as the slice is: processors are not more'

run "$ROWHOUSE" bench rows "${small[@]}"
ended 0 'without --json it prints lines'
like "$out" $'1 server and 1 worker as processes over tcp, 3000 rows of 8 floats.*\nrows pulled and pushed +[0-9.]+ M/s\n.*payload / raw stream +[0-9]+ %\n' \
    'for people'

# --- what ends it
start "$ROWHOUSE" bench rows "${small[@]}" --seconds 60
seats() {
    [ "$(ours 'bench rows' | wc -l)" -ge 5 ]
}
wait_for 10 seats
ok $? 'server, worker, sink and source are processes'
parent=$(pgrep -P "$job" | head -1)
kill -KILL "$(pgrep -P "$parent" | head -1)"
finish
refused 1 'a killed server ends it' 'bench rows: server 0 was ended by signal 9 \(Killed\)'
no_leftovers 'and the others end, too'
start "$ROWHOUSE" bench rows "${small[@]}" --seconds 60
wait_for 10 seats
exec 3>&2 2> /dev/null # bash would tell of the kill
kill -KILL "$(pgrep -P "$job" | head -1)"
finish
exec 2>&3 3>&-
no_leftovers 'nobody outlives the main process'

# --- what it refuses
while IFS='|' read -r arguments regex; do
    run "$ROWHOUSE" bench rows $arguments
    refused 2 "bench rows $arguments" "$regex"
done << 'END'
--rows 10|a batch of 8192 different rows needs --rows of at least that, not 10
--rows 0|--rows must be a number from 1 to [0-9]+, not '0'
--rows 10x|--rows must be a number .* not '10x'
--dim -1|--dim must be a number .* not '-1'
--servers 65|--servers must be a number from 1 to 64, not '65'
--workers 99999999999999999999|--workers must be a number
--batch|--batch must be a number .* not ''
--batch 1000000 --rows 1000000|more than the 64 MiB that a batch may have
--seconds 0|--seconds must be a number from 0.01 to 3600, not '0'
--seconds nan|--seconds must be a number
--transport udp|--transport must be tcp, ipc or inproc, not 'udp'
--transport|--transport must be tcp, ipc or inproc, not ''
--faster 1|unknown option '--faster'; there are --servers
END

# --- store
run "$ROWHOUSE" bench store --rows 20000 --dim 4 --json
ended 0 'bench store runs'
is "$(fields "$T/.out" insert_per_second find_per_second apply_per_second \
    overhead_bytes_per_row gather_limit_per_second 2>&1)" '' 'and prints numbers as JSON'
run "$ROWHOUSE" bench store --rows no
refused 2 'and refuses nonsense' "--rows must be a number"
no_leftovers

# --- wire
for transport in tcp ipc inproc; do
    run "$ROWHOUSE" bench wire --transport $transport --bytes 64,8200 --seconds 0.2 --json
    ended 0 "bench wire runs over $transport"
    ways="one_frame two_frames raw"
    json "$T/.out" 'd["sizes"][1]' | tr "'" '"' > "$T/size"
    for way in $ways; do
        is "$(fields "$T/size" $way.round_trip_us.p50 $way.round_trip_us.p99 \
            $way.messages_per_second $way.gb_per_second $way.cpu_us_per_message 2>&1)" '' \
            "and prints numbers for $way"
    done
    is "$(json "$T/.out" 'd["transport"], [s["bytes"] for s in d["sizes"]]')" \
        "('$transport', [64, 8200])" 'for the sizes that were asked for'
    near "$("$PYTHON" -c 'import json, sys; w = json.load(open(sys.argv[1]))["raw"]
print(w["messages_per_second"] * 8200 / w["gb_per_second"] / 1e9)' "$T/size")" 1 0.001 \
        'which fit together'
    no_leftovers
done
run "$ROWHOUSE" bench wire --bytes 65536 --seconds 0.2
ended 0 'without --json it prints lines'
like "$out" 'messages over tcp.*raw.* 65536 .*(as fast as one|one frame is faster).*above 8192 bytes' \
    'for people'
while IFS='|' read -r arguments regex; do
    run "$ROWHOUSE" bench wire $arguments
    refused 2 "bench wire $arguments" "$regex"
done << 'END'
--bytes 32|--bytes must be up to 32 numbers from 64 to 8388608 .* not '32'
--bytes 64,,72|--bytes must be
--bytes 64,|--bytes must be
--bytes 100|--bytes must be multiples of 8, not 100
--bytes|--bytes must be .* not ''
--transport udp|--transport must be tcp, ipc or inproc, not 'udp'
--seconds 0|--seconds must be a number from 0.01 to 3600, not '0'
--rows 1|unknown option '--rows'; there are --transport, --bytes, --seconds and --json
END

# --- optimizers
run "$ROWHOUSE" bench optimizers --dim 8 --rows 2000 --seconds 0.02 --json
ended 0 'bench optimizers runs'
for rule in sgd adagrad momentum nesterov rowwise_adagrad adadelta rmsprop adam adamw amsgrad \
    ftrl add; do
    wanted="row_bytes"
    for place in cache memory; do
        wanted="$wanted $place.x86-64-v2 $place.limit $place.speed_up $place.share_of_limit"
    done
    json "$T/.out" "d['rows_per_second']['$rule']" | tr "'" '"' > "$T/rule"
    is "$(fields "$T/rule" $wanted 2>&1)" '' "and prints numbers for $rule"
done
is "$(json "$T/.out" '[d["rows_per_second"][k]["row_bytes"] for k in ("sgd", "adam", "amsgrad")]')" \
    '[32, 100, 128]' 'with the state that each rule has'
run "$ROWHOUSE" bench optimizers --dim 8 --rows 2000 --seconds 0.02
ended 0 'without --json it prints lines'
like "$out" $'rows of 8 weights applied.*\nsgd .*\nadd ' 'for people'
run "$ROWHOUSE" bench optimizers --rows 1
refused 2 'too few rows' '--rows must be a number from 256 to'

# --- train
run "$ROWHOUSE" bench train --users 50 --items 20 --examples 2000 --dim 4 --batch 100,500 \
    --epochs 3 --workers 2 --json
ended 0 'bench train runs'
for number in 0 1; do
    json "$T/.out" "d['batches'][$number]" | tr "'" '"' > "$T/batch"
    is "$(fields "$T/batch" batch examples_per_second kernel_per_second share_of_kernel 2>&1)" '' \
        "and prints numbers for batch $number"
done
is "$(json "$T/.out" 'sorted(d["batches"][1]["cpu_us_per_example"])')" \
    "['network', 'others', 'reader', 'server', 'trainer']" 'by what threads are for'
run "$ROWHOUSE" bench train --users 50 --items 20 --examples 2000 --dim 4 --batch 100 --epochs 2
ended 0 'without --json it prints lines'
like "$out" $'mf, dim 4, 50 users.*\n +100 .*trainer .*reader .*server ' 'for people'
no_leftovers
while IFS='|' read -r arguments regex; do
    run "$ROWHOUSE" bench train $arguments
    refused 2 "bench train $arguments" "$regex"
done << 'END'
--model dlrm|--model must be mf, not 'dlrm'
--epochs 1|--epochs must be a number from 2 to
--zipf -1|--zipf must be a number from 0 to 10, not '-1'
END

# --- packed
run "$ROWHOUSE" bench packed --examples 20000 --users 100 --items 100 --dim 4 --rounds 2 --json
ended 0 'bench packed runs'
is "$(fields "$T/.out" bytes_per_example pack_ns_per_example gb_per_second examples_per_second \
    needed_examples_per_second read_gb_per_second share_of_memcpy step_ns_per_example \
    share_of_step 2>&1)" '' 'and prints numbers as JSON'
run "$ROWHOUSE" bench packed --examples 1 --users 1 --items 1 --rounds 1
ended 0 'of one example, too'
like "$out" 'all columns .* GB/s of file, ' 'as lines for people'
run "$ROWHOUSE" bench packed --dim 0
refused 2 'no dimension' '--dim must be a number from 1'

# --- read
run "$ROWHOUSE" bench read --examples 20000 --rounds 2 --json
ended 0 'bench read runs'
is "$(fields "$T/.out" mb_per_second examples_per_second ns_per_example newline_mb_per_second \
    share_of_newline_counting label_sum 2>&1)" '' 'and prints numbers as JSON'
printf '1\t2\t3.5\n7\tx\t4\n' > "$T/ratings"
run "$ROWHOUSE" bench read --file "$T/ratings" --rounds 1
ended 0 'of a file'
like "$out" '2 examples, .*reading .* MB/s' 'as lines for people'
printf '1\t2\tx\n' > "$T/ratings"
run "$ROWHOUSE" bench read --file "$T/ratings"
refused 2 'a wrong file' "bench read: $T/ratings line 1, column 3: 'x' is not a number"
run "$ROWHOUSE" bench read --file ''
refused 2 'no file' '--file needs a value'

# --- balance: nothing is timed, so this can be judged
run "$ROWHOUSE" bench balance --json
ended 0 'bench balance runs'
less "$(json "$T/.out" 'd["rows_max_over_mean"]')" 1.05 'rows are spread evenly over 8 servers'
less "$(json "$T/.out" 'd["bytes_max_over_mean"]')" 1.15 'and bytes'
less 1 "$(json "$T/.out" 'd["bytes_of_batch_max_over_mean"]')" 'as far as chance allows'
cp "$T/.out" "$T/first"
run "$ROWHOUSE" bench balance --json
ok "$(cmp -s "$T/.out" "$T/first"; echo $?)" 'the same numbers again'
run "$ROWHOUSE" bench balance --servers 1 --rows 100 --batches 2
ended 0 'without --json it prints lines'
like "$out" 'rows, the largest server over the mean +1\.000' 'for people'
run "$ROWHOUSE" bench balance --servers 257
refused 2 'too many servers' '--servers must be a number from 1 to 256'

# --- bench
run "$ROWHOUSE" bench nothing
ended 2 'an unknown benchmark is refused' "there is no benchmark 'nothing'"
run "$ROWHOUSE" bench --help
ended 0 'bench --help'
like "$out" 'bench rows .*bench store.*bench wire.*bench optimizers.*bench train.*bench balance' 'names them all'
done_testing
