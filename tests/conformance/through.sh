#!/bin/sh
# through.sh [BUILD]
#   The suite and the SDK clients through BUILD/mcpgw (default: ../../build), with the fixture behind it
#   as the single upstream, over HTTP and over stdio, in every era; compared with baselines/. A
#   difference is a failure unless allowed.txt names it for the cell. One line a cell, last line
#   "N passed, N failed"; details in out/through/CELL/. CELLS='stdio-*' limits what is run.
#   Exit 0 if none failed, 1 if some, 2 if it could not run.
set -u
here=$(cd "$(dirname "$0")" && pwd) && cd "$here" || exit 2
build=$(cd "${1:-../../build}" && pwd) || exit 2
node=${NODE:-$here/node_modules/node/bin/node}
wanted=${CELLS:-*}
[ -x "$node" ] || { echo "run npm ci in $here first" >&2; exit 2; }
[ -x "$build/mcpgw" ] || { echo "there is no $build/mcpgw: run make first" >&2; exit 2; }
out=$here/out/through
mkdir -p "$out" || exit 2

fixture= gateway= url= where=
# The gateway and the fixture are children of `timeout`, which passes TERM on and ends with them.
end() { # PID: how it ended goes to $?; KILL after six seconds
  kill "$1" 2>/dev/null
  tries=0
  while kill -0 "$1" 2>/dev/null && [ "$tries" -lt 60 ]; do
    tries=$((tries + 1))
    sleep 0.1
  done
  kill -9 "$1" 2>/dev/null
  wait "$1" 2>/dev/null
}
cleanup() {
  [ -z "$gateway" ] || end "$gateway"
  [ -z "$fixture" ] || end "$fixture"
}

first_line() { # PID FILE: waits for it, in $line
  tries=0
  until line=$(head -n 1 "$2") && [ -n "$line" ]; do
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] && kill -0 "$1" 2>/dev/null || return 1
    sleep 0.1
  done
}

verdict() { # CELL WHAT-CAME ok|WHY
  echo "$1: $2: $3" | tee -a "$out/$lane.lines"
}

allowances() { # CELL: --allow arguments for compare.mjs
  while read -r what cells _; do
    case $what in '' | '#'*) continue ;; esac
    # The second column is a pattern.
    # shellcheck disable=SC2254
    case $1 in $cells) printf ' --allow %s' "$what" ;; esac
  done <allowed.txt
}

measure() { # CELL SPEC SCENARIOS BASELINE
  # shellcheck disable=SC2254
  case $1 in $wanted) ;; *) return ;; esac
  timeout -k 5 120 ./run.sh "$url" "$2" "$out/$1" >"$out/$1.txt" 2>&1
  got=$(tail -n 1 "$out/$1.txt")
  why=ok
  [ "$got" = "$3 passed, 0 failed" ] || why="EXPECTED $3, see $out/$1.txt"
  # shellcheck disable=SC2046
  if ! "$node" compare.mjs "baselines/$4.json" "$out/$1" $(allowances "$1") >"$out/$1.diff" 2>&1; then
    why="WORSE THAN THE BASELINE, see $out/$1.diff"
  fi
  verdict "$1" "$got" "$why"
}

clients() { # CELL ERA TARGET...: the SDK clients, end to end
  cell=$1 only=$2
  shift 2
  # shellcheck disable=SC2254
  case $cell in $wanted) ;; *) return ;; esac
  [ "$only" = dual ] && only=
  timeout -k 5 60 "$node" client-check.mjs ${only:+--only "$only"} "$@" >"$out/$cell.txt" 2>&1
  code=$?
  got=$(grep -c ': ok$' "$out/$cell.txt")
  why=ok
  [ "$code" -eq 0 ] && [ "$got" -gt 0 ] || why="$(grep -m 1 FAILED "$out/$cell.txt" || echo "exit $code")"
  verdict "$cell" "$got clients" "$why"
}

stop() { # CELL: the gateway ends in time when asked to, and leaves nobody behind
  [ -n "$gateway" ] || return
  end "$gateway"
  code=$?
  gateway=
  [ -z "$fixture" ] || end "$fixture"
  fixture=
  why=ok
  [ "$code" -eq 0 ] || why="EXIT STATUS $code, see $where/gateway.log"
  tries=0
  while left=$(pgrep -f -- "--name $mark") && [ "$tries" -lt 30 ]; do
    tries=$((tries + 1))
    sleep 0.1
  done
  if [ -n "$left" ]; then
    why="LEFT BEHIND: $(echo "$left" | tr '\n' ' ')"
    kill -9 $left 2>/dev/null
  fi
  verdict "$1-stop" "$code" "$why"
}

serve() { # CELL TARGET...: sets gateway and url
  cell=$1
  shift
  : >"$where/gateway.url"
  timeout -k 5 400 "$build/mcpgw" serve --listen 127.0.0.1:0 "$@" >"$where/gateway.url" 2>"$where/gateway.log" &
  gateway=$!
  first_line "$gateway" "$where/gateway.url" && url=$line && return
  verdict "$cell" "nothing" "THE GATEWAY DID NOT START: $(tail -n 1 "$where/gateway.log")"
  end "$gateway"
  gateway=
  return 1
}

suites() { # KIND ERA
  case $2 in
  legacy | dual)
    measure "$1-$2-2025-06-18" 2025-06-18 27 "$2-2025-06-18"
    measure "$1-$2-2025-11-25" 2025-11-25 33 "$2-2025-11-25" ;;
  esac
  case $2 in
  modern | dual) measure "$1-$2-2026-07-28" 2026-07-28 40 "$2-2026-07-28" ;;
  esac
  clients "$1-$2-clients" "$2" "$url"
}

upstream() { # KIND ERA: everything with one upstream
  where=$out/$1-$2 mark=through-$$-$1-$2
  mkdir -p "$where"
  if [ "$1" = http ]; then
    : >"$where/fixture.url"
    timeout -k 5 400 "$node" fixture.mjs --era "$2" --http 0 --name "$mark" >"$where/fixture.url" 2>"$where/fixture.log" &
    fixture=$!
    first_line "$fixture" "$where/fixture.url" || { verdict "$1-$2" nothing "THE FIXTURE DID NOT START"; return; }
    set -- "$1" "$2" "$line"
  else
    set -- "$1" "$2" -- "$node" "$here/fixture.mjs" --era "$2" --stdio --name "$mark"
  fi
  kind=$1 era=$2
  shift 2
  if serve "$kind-$era" "$@"; then
    suites "$kind" "$era"
    clients "$kind-$era-front" "$era" -- "$build/mcpgw" stdio "$@"
    stop "$kind-$era"
  fi
}

# Two lanes, as most machines have two cores to spare; each lane's children are its own to end.
run_lane() {
  lane=$1
  : >"$out/$lane.lines"
  trap cleanup EXIT
  trap 'exit 130' HUP INT PIPE TERM
  for era in legacy modern dual; do upstream "$lane" "$era"; done
}
lanes=
trap '[ -z "$lanes" ] || { kill $lanes; wait; } 2>/dev/null' EXIT
trap 'exit 130' HUP INT PIPE TERM
for kind in http stdio; do
  (run_lane "$kind") &
  lanes="$lanes $!"
done
wait
lanes=
passed=$(cat "$out/http.lines" "$out/stdio.lines" | grep -c ': ok$')
failed=$(cat "$out/http.lines" "$out/stdio.lines" | grep -vc ': ok$')
echo "$passed passed, $failed failed"
[ "$passed" -gt 0 ] || exit 2
[ "$failed" -eq 0 ]
