#!/bin/sh
# Asks the instance whether it would make a worker, and shows what a boot would do.  Nothing is changed.  As root.
#   CENTRAL_MANAGER   empty: the image names none, and an example stands in for the launch's user-data
set -eu
: "${CENTRAL_MANAGER:=}"

annex-agent check
if [ -n "$CENTRAL_MANAGER" ]; then
    annex-agent --dry-run
else
    example=$(mktemp)
    echo central-manager.example.org >"$example"
    result=0
    annex-agent --dry-run --user-data "$example" || result=$?
    rm -f "$example"
    exit "$result"
fi
