#!/bin/bash
# timed.sh NAME COMMAND...: runs a stage, says how long it took and notes it for the table at the end.
. "$(dirname "$0")/env.sh"
name=$1; shift
start=$(date +%s%N)
"$@" || { code=$?; say "$name FAILED"; exit $code; }
tenths=$((($(date +%s%N) - start) / 100000000))
line=$(printf '%7d.%d s  %s' $((tenths / 10)) $((tenths % 10)) "$name")
printf 'stage %s\n' "$line"
[ -z "${TACIT_TIMINGS:-}" ] || printf '%s\n' "$line" >> "$TACIT_TIMINGS"
