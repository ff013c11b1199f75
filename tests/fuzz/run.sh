#!/bin/bash
# run.sh [TARGET...]: runs every fuzz target (or these) for FUZZ_SECONDS, in turn. A finding is left in findings/ and fails.
. "$(dirname "$0")/build.sh"
seconds=${FUZZ_SECONDS:-300}
[ $# = 0 ] || targets=("$@")
findings=$FUZZ/findings
mkdir -p "$findings"
failed=()
for target in "${targets[@]}"; do
    mkdir -p "$grown/$target" "$FUZZ/corpus/$target"
    log=$FUZZ_TARGET_DIR/$target.log
    dictionary=()
    [ ! -e "$FUZZ/dictionaries/$target" ] || dictionary=(-dict="$FUZZ/dictionaries/$target")
    if "$binaries/$target" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=512 -print_final_stats=1 \
        -artifact_prefix="$findings/$target-" "${dictionary[@]}" "$grown/$target" "$FUZZ/corpus/$target" >"$log" 2>&1; then
        say "fuzz: $target: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") runs, $(ls "$grown/$target" "$FUZZ/corpus/$target" | wc -l) inputs, no finding"
    else
        failed+=("$target")
        say "fuzz: $target: FINDING"
        grep -vE '^(#|	)|NEW_FUNC' "$log" | tail -40 >&2
    fi
done
[ ${#failed[@]} = 0 ] || fail "findings of ${failed[*]} are in $findings; each is repeated by: $binaries/TARGET FILE"
