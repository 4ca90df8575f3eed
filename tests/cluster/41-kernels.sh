#!/bin/bash
# The optimizers' loops are vectors of AVX2 and AVX-512 in the program that users run, and
# the check for it would notice if they were not.
. "$(dirname "$0")/lib.sh"

objects=$(dirname "$ROWHOUSE")/obj
[ -e "$objects/server/optimizer_kernels-v4.o" ] || skip_all 'no objects beside the program'
[[ $ROWHOUSE == */release/* ]] || skip_all 'not the build that users run'
tests/tools/check-kernels "$objects" > /dev/null 2>&1
[ $? -le 1 ] || skip_all 'no objdump'

run tests/tools/check-kernels "$objects"
ended 0 'every step of an optimizer uses the vectors of its level'
is "$out" '' 'nothing is complained about'

mkdir -p "$T/obj/server"
for level in v3 v4; do
    cc -std=gnu11 -g -O3 -fno-tree-vectorize -fno-tree-slp-vectorize -I. \
        -march=x86-64-$level -DKERNEL_LEVEL=$level -c server/optimizer_kernels.c \
        -o "$T/obj/server/optimizer_kernels-$level.o"
done
run tests/tools/check-kernels "$T/obj"
is "$status" 1 'without vectors it complains'
like "$out" 'sgd\(\) has no ymm for x86-64-v3' 'about AVX2'
like "$out" 'ftrl\(\) has no zmm for x86-64-v4' 'and AVX-512'
no_leftovers
done_testing
