#!/bin/bash
# minimise.sh [TARGET...]: makes the kept corpora anew: the fewest inputs that reach everything that was reached so far.
. "$(dirname "$0")/build.sh"
most=48
[ $# = 0 ] || targets=("$@")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$FUZZ/seeds.sh" "$work/seeds"
for target in "${targets[@]}"; do
    mkdir -p "$work/all/$target" "$work/seeds/$target" "$grown/$target" "$FUZZ/corpus/$target"
    "$binaries/$target" -set_cover_merge=1 -use_counters=0 -verbosity=0 "$work/all/$target" "$work/seeds/$target" \
        "$FUZZ/corpus/$target" "$grown/$target" 2>/dev/null
    rm -rf "$work/kept"; mkdir "$work/kept"
    # Too many are thinned out, small and large alike: what is lost is little, and is found again.
    mapfile -t inputs < <(ls -S "$work/all/$target")
    step=$(((${#inputs[@]} + most - 1) / most))
    for ((index = 0; index < ${#inputs[@]}; index += step)); do cp "$work/all/$target/${inputs[index]}" "$work/kept/"; done
    rm -rf "${FUZZ:?}/corpus/$target"; mv "$work/kept" "$FUZZ/corpus/$target"
    say "fuzz: $target: $(ls "$FUZZ/corpus/$target" | wc -l) inputs, $(du -sb "$FUZZ/corpus/$target" | cut -f1) bytes"
done
