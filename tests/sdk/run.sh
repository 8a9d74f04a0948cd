#!/bin/sh
# run.sh [BUILD [RIG…]]
#   Runs the rigs of this directory (or of $DIR) against BUILD/mcpgw (default: ../../build), one after the
#   other: each prints `ok - NAME` or `not ok - NAME: WHY` lines, and `# …` lines with figures. Last line:
#   "N passed, N failed". Logs of the gateways: out/. Exit 0 if none failed, 1 if some, 2 if it could not run.
set -u
here=$(cd "${DIR:-$(dirname "$0")}" && pwd) && cd "$here" || exit 2
build=$(cd "${1:-../../build}" && pwd) || exit 2
[ $# -eq 0 ] || shift
node=${NODE:-$here/../conformance/node_modules/node/bin/node}
[ -x "$node" ] || { echo "run npm ci in tests/conformance first" >&2; exit 2; }
[ -x "$build/mcpgw" ] || { echo "there is no $build/mcpgw: run make first" >&2; exit 2; }
[ $# -gt 0 ] || set -- ${RIGS:-isolation bytes faults streams memory aggregate crowd stale nginx}
mkdir -p out || exit 2
: >out/all.txt
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null' EXIT
trap 'exit 130' HUP INT PIPE TERM
for rig in "$@"; do
  : >"out/$rig.txt"
  if [ "$rig" = nginx ]; then set -- ./nginx.sh "$build"
  else set -- "$node" "$rig.mjs" "$build"; fi
  timeout -k 10 "${LIMIT_S:-200}" "$@" >"out/$rig.txt" 2>"out/$rig.err" &
  pid=$!
  wait "$pid"
  code=$?
  pid=
  grep -E '^((not )?ok -|#) ' "out/$rig.txt" | tee -a out/all.txt
  # A rig that says nothing has not passed.
  if ! grep -q '^not ok' "out/$rig.txt" && { [ "$code" -ne 0 ] || ! grep -q '^ok' "out/$rig.txt"; }; then
    echo "not ok - $rig: ended with $code: $(tail -n 1 "out/$rig.err")" | tee -a out/all.txt
  fi
done
passed=$(grep -c '^ok' out/all.txt)
failed=$(grep -c '^not ok' out/all.txt)
echo "$passed passed, $failed failed"
[ "$passed" -gt 0 ] || exit 2
[ "$failed" -eq 0 ]
