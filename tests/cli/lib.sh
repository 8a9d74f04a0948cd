# lib.sh: what the parts in shell share. run ARGS… calls mcpgw, bounded; then look at $rc, $out and $err.
set -u
STARTED=()
stop_started() {
  local pid
  for pid in "${STARTED[@]}"; do kill -9 "$pid" 2>/dev/null; done
}
trap stop_started EXIT
WORK=$(mktemp -d "$TMP/part.XXXXXX")
out=$WORK/out err=$WORK/err rc=0

run() {
  timeout -k 2 "${LIMIT:-30}" "$MCPGW" "$@" >"$out" 2>"$err" </dev/null
  rc=$?
}
run_in() { # TEXT ARGS…: with TEXT on stdin
  local text=$1
  shift
  printf %s "$text" | timeout -k 2 "${LIMIT:-30}" "$MCPGW" "$@" >"$out" 2>"$err"
  rc=$?
}
ok() { # NAME CONDITION…
  local name=$1
  shift
  if "$@"; then echo "ok - $name"
  else
    echo "not ok - $name"
    echo "#   condition: $* (exit code $rc)"
    head -c 600 "$out" | sed 's/^/#   out: /'
    head -c 600 "$err" | sed 's/^/#   err: /'
  fi
}
exits() { [ "$rc" -eq "$1" ]; }
says() { grep -q -- "$1" "$err"; }             # on stderr
prints() { grep -q -- "$1" "$out"; }           # on stdout
all() { # condition; condition; …, each one word string
  local each
  for each in "$@"; do eval "$each" || return 1; done
}
json() { python3 -m json.tool "$out" >/dev/null 2>&1; }
# EXPRESSION about d, the JSON document on stdout
json_says() { python3 -c "import json,sys; d=json.load(open('$out')); sys.exit(not ($1))" 2>/dev/null; }
one_line() { [ "$(wc -l <"$err")" -eq 1 ] && grep -q '^mcpgw: ' "$err"; }
empty() { [ ! -s "$1" ]; }

# serve ARGS…: starts it in the background; $pid and $url (the first line). Fails after 10 s.
serve() {
  : >"$WORK/serve.out"
  "$MCPGW" serve "$@" >"$WORK/serve.out" 2>"$WORK/serve.err" </dev/null &
  pid=$!
  STARTED+=("$pid")
  for _ in $(seq 200); do
    url=$(head -n 1 "$WORK/serve.out")
    [ -n "$url" ] && return 0
    kill -0 "$pid" 2>/dev/null || return 1
    sleep 0.05
  done
  return 1
}
# gone PID SECONDS: it ends within so long; its code is in $rc if it is our child
gone() {
  local i
  for ((i = 0; i < $2 * 20; i++)); do
    if ! kill -0 "$1" 2>/dev/null || grep -q '^State:.*Z' "/proc/$1/status" 2>/dev/null; then
      wait "$1" 2>/dev/null
      rc=$?
      return 0
    fi
    sleep 0.05
  done
  return 1
}
# all descendants of a process
descendants() {
  local child
  for child in $(cat /proc/"$1"/task/*/children 2>/dev/null); do
    echo "$child"
    descendants "$child"
  done
}
all_gone() { # SECONDS PID…
  local seconds=$1 pid
  shift
  for pid; do gone "$pid" "$seconds" || return 1; done
}
