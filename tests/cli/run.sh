#!/usr/bin/env bash
# run.sh BUILD_DIR: the binary as its users meet it. Prints "ok - name" and "not ok - name" lines and a sum.
# Each part is a program of its own beside this file; MCPGW, NOTES, NODE and TMP tell it where things are.
set -u
B=$(cd "${1:?usage: run.sh BUILD_DIR}" && pwd) || exit 2
HERE=$(cd "$(dirname "$0")" && pwd)
ROOT=$(cd "$HERE/../.." && pwd)
export MCPGW=$B/mcpgw NOTES=$B/examples/notes FIXTURE=$ROOT/tests/conformance/fixture.mjs ROOT HERE
export NODE=$ROOT/tests/conformance/node_modules/node/bin/node
for need in "$MCPGW" "$NOTES"; do
  [ -x "$need" ] || { echo "cli: $need is missing: make all $NOTES" >&2; exit 2; }
done
TMP=$(mktemp -d /tmp/mcpgw-cli.XXXXXX) || exit 2
export TMP XDG_STATE_HOME=$TMP/state
trap 'rm -rf "$TMP"' EXIT

part() { # NAME PROGRAM...: no part may hang
  local name=$1 rc
  shift
  timeout -k 5 240 "$@" 2>"$TMP/stderr"
  rc=$?
  if [ $rc -ne 0 ]; then
    echo "not ok - $name ended with $rc"
    sed 's/^/# /' "$TMP/stderr"
  fi
}

{
  for script in usage config tools call pin serve store sessions reload; do part "$script" bash "$HERE/$script.sh"; done
  part stdio python3 "$HERE/stdio.py"
  part children python3 "$HERE/children.py"
  if [ -x "$NODE" ]; then
    # a module finds its packages beside itself
    cp "$HERE/front.mjs" "$TMP" && ln -s "$ROOT/tests/conformance/node_modules" "$TMP/node_modules"
    part sdk "$NODE" "$TMP/front.mjs"
  else echo "# skipped: front.mjs: no node under tests/conformance (npm ci there)"
  fi
} | tee "$TMP/lines"
passed=$(grep -c '^ok - ' "$TMP/lines")
failed=$(grep -c '^not ok - ' "$TMP/lines")
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
