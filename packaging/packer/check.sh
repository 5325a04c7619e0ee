#!/bin/sh
# Asks the instance whether it would make a worker, and shows what a boot would do.  Nothing is changed.  As root.
#   CHECK_WITH   for an image that names no central manager: the one to try, as a launch's user-data would name it
set -eu
: "${CHECK_WITH:=}"

if [ -z "$CHECK_WITH" ]; then
    annex-agent check
    annex-agent --dry-run
    exit
fi
user_data=$(mktemp)
trap 'rm -f "$user_data"' EXIT
echo "$CHECK_WITH" >"$user_data"
annex-agent check --user-data "$user_data"
annex-agent --dry-run --user-data "$user_data"
