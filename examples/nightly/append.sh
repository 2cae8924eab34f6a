#!/bin/bash
# A folder or bucket that grows: each night what is new is scored, what is gone loses its rows.
#
#     examples/nightly/append.sh s3://bucket/images/ s3://bucket/predictions
#     0 2 * * *  cd /srv/vggbatch && examples/nightly/append.sh images/ predictions    # in a crontab
#
# Status 1 (a failure) is worth another try in the same night, 2 (wrong settings) is not.
set -uo pipefail

images=$1 output=$2
for _ in 1 2 3; do
    vggbatch score "$images" --output "$output" --append --prune --no-progress
    status=$?
    [ "$status" -eq 1 ] || break
    sleep "${PAUSE:-60}"
done
[ "$status" -eq 0 ] && vggbatch report "$output"
exit "$status"
