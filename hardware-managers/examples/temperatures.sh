#!/bin/sh
# An example of a hardware manager for Tacit, in POSIX shell: it reads the machine's temperatures.
#
# It offers the step read_temperatures, which changes nothing, with progress; a step that changes something has to
# prove what it did (scratch-disk.py shows how). It also tells the inventory the address of a management controller
# that only this fleet knows how to find.
#
# The request stands on the standard input as JSON; its word is the first argument and its subject the second, so that
# a script without a JSON parser can do with these. docs/hardware-managers.md tells what they mean.
set -eu

# Where the kernel shows its sensors.
sensors=/sys/class/hwmon

# Text as a JSON string: what would need escaping is left out.
quote() {
    printf '"%s"' "$(printf '%s' "$1" | tr -cd 'A-Za-z0-9 ._:/+-')"
}

# Prints the files with temperatures, in thousandths of a degree Celsius.
files() {
    for file in "$sensors"/hwmon*/temp*_input; do
        if [ -r "$file" ]; then
            printf '%s\n' "$file"
        fi
    done
}

run_step() {
    total=$(files | wc -l)
    done=0
    readings=
    for file in $(files); do
        # A sensor that is switched off cannot be read.
        value=$(cat "$file" 2>/dev/null) || value=null
        case $value in
        '' | *[!0-9-]*) value=null ;;
        esac
        readings="$readings${readings:+,}$(quote "${file#"$sensors/"}"):$value"
        done=$((done + 1))
        printf '{"message":"progress","stage":"read","done":%d,"total":%d,"unit":"regions"}\n' "$done" "$total"
    done
    printf '{"message":"result","step":"read_temperatures","result":{"millidegrees":{%s}}}\n' "$readings"
}

unsupported() {
    echo '{"message":"unsupported"}'
}

case ${1-}:${2-} in
describe:)
    echo '{"message":"description","protocol":1,"name":"temperatures","version":"1.0","inventory":["bmc_address"]}'
    ;;
evaluate:)
    # A real manager looks whether its hardware is there, and answers 0 if it is not.
    echo '{"message":"support","level":1}'
    ;;
inventory:bmc_address)
    # In this made-up fleet the address is written where the firmware leaves it.
    address=$(cat /run/fleet/bmc-address 2>/dev/null) || address=
    if [ -n "$address" ]; then
        printf '{"message":"inventory","part":"bmc_address","value":%s}\n' "$(quote "$address")"
    else
        unsupported
    fi
    ;;
steps:)
    cat <<END | tr -d '\n'
{"message":"steps","steps":[{"step":"read_temperatures","interface":"management","clean":0,"service":0,
"destructive":false,"timeout_seconds":60}]}
END
    echo
    ;;
plan_step:read_temperatures)
    echo '{"message":"plan","step":"read_temperatures","plan":[]}'
    ;;
run_step:read_temperatures)
    run_step
    ;;
*)
    unsupported
    ;;
esac
