#!/bin/sh
# run.sh [BUILD [RIG…]]
#   What goes wrong on purpose: the rigs of this directory, run like those of tests/sdk (see there). The proxy
#   that breaks connections is tests/support/faultproxy. Every rig prints what it did; a hang is a failure.
here=$(cd "$(dirname "$0")" && pwd) || exit 2
export DIR="$here" RIGS="${RIGS:-proxy-check faults cuts leak kill reload}"
exec "$here/../sdk/run.sh" "$@"
