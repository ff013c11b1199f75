#!/bin/bash
# Installs everything that building and testing need. Idempotent; takes no time when all is there.
. "$(dirname "$0")/env.sh"
start=$SECONDS
"$SETUP/packages.sh"
"$SETUP/accounts.sh"
"$SETUP/python.sh"
"$SETUP/kernel.sh"
"$SETUP/rust-target.sh"
say "set-up complete ($((SECONDS - start)) s)"
