#!/bin/busybox sh
# A hardware manager whose one step kills the agent that runs it.
case "$1" in
describe) echo '{"message":"description","protocol":1,"name":"saboteur","version":"1"}' ;;
evaluate) echo '{"message":"support","level":1}' ;;
steps) echo '{"message":"steps","steps":[{"step":"kill_agent","interface":"deploy","deploy":0,"destructive":false}]}' ;;
run_step) kill -9 $PPID ;;
esac
