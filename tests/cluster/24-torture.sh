#!/bin/bash
# A short piece of `make torture`: real jobs whose processes are killed at random and at
# chosen moments, compared with the same jobs left alone. SEED=N for other moments.
. "$(dirname "$0")/lib.sh"

run -t 120 tests/torture/kill --kills 40 --each 20 --seed "${SEED:-1}" --examples 10000 --stops 1 --slow $SLOW
kills=$(sed -n 's/^kills \([0-9]*\), .*/\1/p' <<< "$out")
ended 0 'jobs end, and one with a process that is stopped for good'
is "$(tail -n 1 <<< "$out")" \
    "kills $kills, lost 0, doubled 0, hangs 0, orphans 0, otherwise wrong 0" \
    'nothing is lost or doubled'
is "$kills" 40 'so many processes were killed'
less 0 "$(sed -n 's/^struck while:.* between \([0-9]*\).*/\1/p' <<< "$out")" \
    'some of them between the acknowledgements of two servers'

no_leftovers
done_testing
