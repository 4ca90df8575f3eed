#!/bin/bash
# Metrics of two classes over workers, as threads and as processes, against plain counts.
. "$(dirname "$0")/lib.sh"

ratings 400 300 40 > "$T/all.tsv"
awk 'NR == 1 || NR % 7' "$T/all.tsv" > "$T/d.tsv"
awk 'NR == 1 || NR % 7 == 0' "$T/all.tsv" > "$T/test.tsv"
job "$T/d.tsv" 'train: {epochs: 3, batch: 256, consistency: bsp}' > "$T/job.yaml"
settings="data.split.test=0 data.test=$T/test.tsv model.loss=logistic data.positive_from=3
evaluate.metrics=auc,accuracy,precision,recall,f1,calibration checkpoint.dir=$T/run"

run "$ROWHOUSE" train "$T/job.yaml" --quiet $settings --report "$T/one.json"
ended 0 'it trains'
trained=$out
run "$ROWHOUSE" predict "$T/job.yaml" $settings --data "$T/test.tsv" --out "$T/p.txt"
"$PYTHON" - "$T/p.txt" "$T/test.tsv" > "$T/counted.txt" << 'END'
import bisect, sys
p = [float(line) for line in open(sys.argv[1])]
y = [float(line.split("\t")[2]) >= 3 for line in open(sys.argv[2]).readlines()[1:]]
low = sorted(a for a, b in zip(p, y) if not b)
ordered = sum(bisect.bisect_left(low, a) + bisect.bisect_right(low, a)
              for a, b in zip(p, y) if b) / 2
said = sum(a >= 0.5 for a in p)
both = sum(a >= 0.5 and b for a, b in zip(p, y))
print("test auc %.4f" % (ordered / len(low) / sum(y)))
print("test accuracy %.4f" % (sum((a >= 0.5) == b for a, b in zip(p, y)) / len(p)))
print("test precision %.4f" % (both / said))
print("test recall %.4f" % (both / sum(y)))
print("test f1 %.4f" % (2 * both / (said + sum(y))))
print("test calibration %.4f" % (sum(p) / sum(y)))
END
is "$(awk '{ printf "%s %s %.4f\n", $1, $2, $3 }' <<< "$trained")" "$(cat "$T/counted.txt")" \
    'its metrics are those of its predictions'
for workers in 1 2 5; do
    run "$ROWHOUSE" evaluate "$T/job.yaml" $settings cluster.workers=$workers \
        --report "$T/r.json"
    is "$status $(json "$T/r.json" 'd["test"]["auc"]')" \
        "0 $(json "$T/one.json" 'd["test"]["auc"]')" "$workers workers: the same AUC"
done
mpi 4 evaluate "$T/job.yaml" $settings cluster.servers=2
run "${mpi[@]}"
is "$status $(value auc)" "0 $(sed -n 's/^test auc //p' <<< "$trained")" 'as processes, too'
run "$ROWHOUSE" evaluate "$T/job.yaml" $settings evaluate.metrics=auc,hr@10
ended 2 'metrics of lists need a protocol' 'hr@10, which needs an evaluate.protocol'

done_testing
