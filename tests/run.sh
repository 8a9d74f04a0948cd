#!/usr/bin/env bash
# run.sh BUILD: everything `make check` runs, in order of cost: lint, C tests, fuzz corpora, ABI and examples,
# the command line, the official suite through the gateway, real SDK clients and servers. Each part prints its
# own lines; a part that ends badly is named with the tail of its log. Last line: "N passed, N failed".
set -u
cd "$(dirname "$0")/.." || exit 2
B=${1:-build}
logs=$(mkdir -p "$B/check" && cd "$B/check" && pwd)
launch=$(cd "$B" && pwd)/mcpgw-launch
rm -f "$logs"/*.end
passed=0 failed=0 started=$SECONDS

# Adds the tallies that a log ends with: "N passed, N failed", or Check's "Checks: N, Failures: F, Errors: E".
tally() { # LOG
  local line p f e
  line=$(grep -aE '^[0-9]+ passed, [0-9]+ failed|Checks: [0-9]+, Failures:' "$1" | tail -n 1)
  case $line in
    *passed*) read -r p _ f _ <<<"${line//,/}"; passed=$((passed + p)) failed=$((failed + f)); ran=$p bad=$f ;;
    *Checks:*)
      p=$(sed 's/.*Checks: \([0-9]*\).*/\1/' <<<"$line") f=$(sed 's/.*Failures: \([0-9]*\).*/\1/' <<<"$line")
      e=$(sed 's/.*Errors: \([0-9]*\).*/\1/' <<<"$line")
      passed=$((passed + p - f - e)) failed=$((failed + f + e)) ran=$((p - f - e)) bad=$((f + e)) ;;
    *) ran=0 bad=0 ;;
  esac
}

run() { # NAME SECONDS COMMAND...: leaves a log, and how it ended
  local name=$1 at=$SECONDS
  timeout -k 10 "$2" "${@:3}" >"$logs/$name.log" 2>&1 </dev/null
  echo "$? $((SECONDS - at))" >"$logs/$name.end"
}

tell() { # NAME: of a part that has ended
  local name=$1 log=$logs/$1.log status took ran bad
  read -r status took <"$logs/$name.end" || status=1 took=0
  tally "$log"
  if [ $((ran + bad)) -eq 0 ]; then # a part without a tally counts as one test
    if [ "$status" -eq 0 ]; then passed=$((passed + 1)) ran=1; else failed=$((failed + 1)) bad=1; fi
  elif [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; then
    failed=$((failed + 1)) bad=1
  fi
  printf '%-24s %5d passed %3d failed  %3d s\n' "$name" "$ran" "$bad" "$took"
  [ "$bad" -eq 0 ] || { grep -aE '^not ok|:[FE]:|FAILED|EXPECTED|WORSE' "$log" | head -n 40; tail -n 15 "$log"; }
}

part() { # NAME SECONDS COMMAND...
  run "$@"
  tell "$1"
}

beside() { # NAME SECONDS COMMAND...: two of these at a time; `told` waits for them all and tells in order
  while [ "$(jobs -rp | wc -l)" -ge 2 ]; do wait -n; done
  run "$@" &
  names+=("$1")
}
told() {
  local name
  wait
  for name in "${names[@]}"; do tell "$name"; done
  names=()
}
names=()

if [ ! -d tests/conformance/node_modules/node ]; then # the servers and clients that the tests talk to, by lock file
  (cd tests/conformance && npm ci --no-audit --no-fund) >"$logs/npm.log" 2>&1 ||
    { echo 'npm ci failed in tests/conformance'; tail -n 5 "$logs/npm.log"; failed=$((failed + 1)); }
fi
part lint 120 tests/layers/lint.py
make -s -j2 B="$B" test-programs replays "$B/hunt/ledger" >"$logs/build.log" 2>&1 || { tail -n 20 "$logs/build.log"; failed=$((failed + 1)); }
beside lint-selftest 120 tests/layers/selftest.py
for program in "$B"/tests/*/run; do
  room=$(basename "$(dirname "$program")")
  beside "c-$room" 240 env CK_DEFAULT_TIMEOUT=60 MCPGW_LAUNCH="$launch" "$program"
done
for replay in "$B"/fuzz/replay_*; do
  name=${replay##*replay_}
  [ -d "tests/fuzz/corpus/$name" ] && beside "corpus-$name" 60 "$replay" "tests/fuzz/corpus/$name"
done
told
abs=$(cd "$B" && pwd)
part abi 240 tests/abi/run.sh "$abs"
part cli 300 tests/cli/run.sh "$abs"
part conformance 300 tests/conformance/through.sh "$abs"
part sdk 400 tests/sdk/run.sh "$abs"
part faults 300 tests/faults/run.sh "$abs"
grep -a '^# ' "$logs/faults.log" # calls, faults, outcomes
part hunt 150 tests/hunt/hunt.py "$abs" 20
grep -a '^# ' "$logs/hunt.log" # calls, faults, duplicates
part hunt-itself 60 env HUNT_WITHOUT_KEYS=1 tests/hunt/hunt.py "$abs" 6
printf 'took %d s\n%d passed, %d failed\n' $((SECONDS - started)) "$passed" "$failed"
[ "$failed" -eq 0 ]
