#!/bin/bash
# One job across two hosts, made as network namespaces with names of their own.
. "$(dirname "$0")/lib.sh"

[ "$(id -u)" -eq 0 ] || skip_all 'network namespaces need root'
ip netns add "rht$$x" 2> /dev/null || skip_all 'no network namespaces here'
ip netns del "rht$$x"

# A network that other runs of this test do not have.
NET=10.$((64 + $$ / 250 % 64)).$(($$ % 250))
A=rht$$a B=rht$$b
at_end() {
    ip netns del "$A" 2> /dev/null
    ip netns del "$B" 2> /dev/null
}

ip netns add "$A" && ip netns add "$B" &&
    ip link add "v$$a" netns "$A" type veth peer name "v$$b" netns "$B" &&
    ip -n "$A" addr add "$NET.1/24" dev "v$$a" && ip -n "$B" addr add "$NET.2/24" dev "v$$b" &&
    ip -n "$A" link set "v$$a" up && ip -n "$B" link set "v$$b" up &&
    ip -n "$A" link set lo up && ip -n "$B" link set lo up
ok $? 'two hosts and a wire between them'

# What mpirun calls to start its daemon on a host: rsh HOST COMMAND ...
cat > "$T/rsh" << END
#!/bin/bash
while [[ \$1 == -* ]]; do shift; done
case \$1 in $NET.1) ns=$A ;; $NET.2) ns=$B ;; *) exit 1 ;; esac
shift
exec ip netns exec \$ns unshare --uts bash -c "hostname \$ns; \$*"
END
chmod +x "$T/rsh"
printf '%s slots=4\n' "$NET.1" "$NET.2" > "$T/hosts"

# on_hosts RANKS ARGUMENT ...: the command line of a job on both hosts, for `run`.
on_hosts() {
    job=(ip netns exec "$A" unshare --uts bash -c "hostname $A; exec \"\$@\"" _
        env OMPI_MCA_plm_rsh_agent="$T/rsh" "$MPIRUN" --hostfile "$T/hosts" -n "$1"
        "$ROWHOUSE" "${@:2}")
}

ratings 300 200 40 > "$T/d.tsv"
job "$T/d.tsv" 'train: {epochs: 3, batch: 256}' 'cluster: {timeout: 20}' \
    "checkpoint: {dir: $T/ck}" > "$T/job.yaml"

on_hosts 4 train "$T/job.yaml" --quiet cluster.servers=2 cluster.network="$NET.0/24" \
    --report "$T/report.json"
run -t 40 "${job[@]}"
ended 0 'a job on two hosts'
like "$(value rmse)" '^0\.' '... which trains'
is "$(json "$T/report.json" "d['servers'], d['workers']")" '(2, 2)' '... with all its ranks'
is "$(json "$T/report.json" "d['pushes']['sent'] == d['pushes']['applied'] > 0")" True \
    '... every push once'

on_hosts 3 evaluate "$T/job.yaml" cluster.servers=2
first=$(value rmse)
run -t 40 "${job[@]}"
ended 0 'the network is found by itself when there is one'
near "$(value rmse)" "$first" 1e-6 '... and evaluate equals the end of the run'

on_hosts 3 train "$T/job.yaml" --quiet --fresh cluster.network=127.0.0.0/8
run -t 40 "${job[@]}"
ended 2 'loopback does not reach across hosts' 'cluster.network' 'several hosts'
on_hosts 3 train "$T/job.yaml" --quiet --fresh cluster.network=192.0.2.0/24
run -t 40 "${job[@]}"
ended 2 'a network that no host has' 'cluster.network' '192.0.2.0/24'

# Ctrl-C reaches the ranks of both hosts; one process can go on from there.
more="checkpoint.dir=$T/long train.batch=1"
on_hosts 4 train "$T/job.yaml" cluster.servers=2 train.epochs=100000 $more
start "${job[@]}"
wait_for 20 said '^epoch 1/'
kill -INT "$job"
finish
ended 130 'Ctrl-C' 'rowhouse: interrupted in epoch' --resume
run "$ROWHOUSE" inspect "$T/long" --json
left=$(json "$T/.out" 'd["examples_left"] or d["data"]["train_examples"]')
epoch=$(json "$T/.out" 'd["epoch"] + 1')
run "$ROWHOUSE" train "$T/job.yaml" --resume train.epochs="$epoch" $more --report "$T/report.json"
is "$status $(json "$T/report.json" 'd["epochs"][0]["examples"]')" "0 $left" \
    '... leaves a checkpoint that one process goes on from'
no_leftovers

# mpirun never ends by itself when it has lost a rank on another host.
on_hosts 4 train "$T/job.yaml" cluster.servers=2 checkpoint.dir= train.batch=1 \
    train.epochs=100000 cluster.timeout=$((3 * SLOW))
start "${job[@]}"
wait_for 20 said '^epoch 1/'
kill -KILL "$(rank 3)"
finish
ended 1 'a rank on the other host is killed' \
    "rowhouse: worker 1 \\(rank 3 on $B\\) has not been heard of for"
no_leftovers

# The second host sees another directory under the same name.
mkdir "$T/own" "$T/mine"
sed -i "s|exec ip netns exec|exec unshare --mount bash -c 'mount --bind $T/mine $T/own \&\& exec \"\$@\"' _ ip netns exec|" \
    "$T/rsh"
on_hosts 2 train "$T/job.yaml" --quiet cluster.network="$NET.0/24" checkpoint.dir="$T/own/ck"
run -t 40 "${job[@]}"
ended 2 'a checkpoint directory that is not shared' 'checkpoint.dir' 'shared'

no_leftovers
done_testing
