#!/bin/bash
# As an ordinary user, from another directory than the repository.
. "$(dirname "$0")/lib.sh"

[ "$(id -u)" -eq 0 ] || skip_all 'this runs as an ordinary user already'
home=$T/home
mkdir -p "$home/launch" "$home/build"
chmod 711 "$T"
cp "$ROWHOUSE" "$home/build/rowhouse"
cp "$MPIRUN" "$home/launch/"
ratings 200 100 30 > "$home/d.tsv"
job d.tsv 'train: {epochs: 2, batch: 256}' 'checkpoint: {dir: runs/small}' > "$home/job.yaml"
chown -R nobody: "$home"

# as_user COMMAND ...: for `run`
as_user() {
    user=(env HOME="$home" TMPDIR="$home" setpriv --reuid nobody --regid nogroup --clear-groups
        env -C "$home" "$@")
}

as_user build/rowhouse train job.yaml --quiet
run "${user[@]}"
ended 0 'trains alone'
as_user launch/rowhouse-mpirun -n 3 build/rowhouse train job.yaml --quiet --fresh cluster.servers=2
run -t 40 "${user[@]}"
ended 0 'trains on processes'
as_user build/rowhouse recommend job.yaml --user 7
run "${user[@]}"
ended 0 'recommends'
like "$out" 'Item ' '... with titles'
as_user build/rowhouse verify runs/small
run "${user[@]}"
ended 0 'verifies'

chown -R root: "$home/runs"
as_user build/rowhouse train job.yaml --quiet --fresh
run "${user[@]}"
refused 1 'a checkpoint directory of somebody else' 'runs/small' 'Permission denied'

no_leftovers
done_testing
