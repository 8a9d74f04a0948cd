# usage: the command line itself, the help, the version, the manual.
. "$HERE/lib.sh"

run; ok "no command is a usage error, with help on stderr" all 'exits 2' 'empty "$out"' 'says "mcpgw serve"'
run help; ok "help" all 'exits 0' 'prints "mcpgw stdio"' 'prints "130 interrupted"' 'empty "$err"'
run help; ok "each command in one whole sentence" all '! prints "(gateway\.$"' 'prints "(gateway.pin)\.$"' 'prints "why\.$"' '! prints "^pause"'
run --help; ok "--help" all 'exits 0' 'prints "mcpgw call"'
run -h; ok "-h" exits 0
for c in serve stdio check tools call store version help; do
  run help $c; ok "help $c" all 'exits 0' "prints 'usage: mcpgw $c'"
  run $c --help; ok "$c --help" all 'exits 0' "prints 'usage: mcpgw $c'" 'prints "Exit codes"'
done
run call --help; for code in 0 1 2 3 4 5 6 130; do ok "the help names exit code $code" prints "\\b$code "; done
run help nothing; ok "help on an unknown command" all 'exits 2' one_line
run nothing; ok "an unknown command" all 'exits 2' one_line
run version; ok "version" all 'exits 0' 'prints "^mcpgw [0-9]"'
run --version; ok "--version" all 'exits 0' 'prints "^mcpgw [0-9]"'
run version --json; ok "version --json" all 'exits 0' json 'json_says "d[\"version\"]"'
run version more; ok "version takes no operands" exits 2

for c in serve stdio check tools call; do
  run $c; ok "$c without a target" all 'exits 2' one_line
  run $c --; ok "$c -- without a command" all 'exits 2' one_line
  run $c --nonsense x; ok "$c with an unknown option" all 'exits 2' one_line 'says nonsense'
done
run tools --hints x; ok "an option of another command is refused" all 'exits 2' one_line
run tools --timeout; ok "an option without its value" all 'exits 2' one_line
run tools --json=yes -- "$NOTES"; ok "a value where none belongs" all 'exits 2' one_line
for bad in 0 -1 x 1x '' 99999999999; do
  run tools --timeout "$bad" -- "$NOTES"; ok "--timeout \"$bad\" is refused" all 'exits 2' one_line
done
run tools --log-level loud -- "$NOTES"; ok "a wrong --log-level" all 'exits 2' one_line
run serve --log-format xml -- "$NOTES"; ok "a wrong --log-format" all 'exits 2' one_line
run tools a b c d; ok "too many operands" all 'exits 2' one_line
run tools "$WORK/none.json" extra; ok "a target that is not there comes first" exits 3
run tools http://127.0.0.1:1/mcp extra; ok "an operand too many" all 'exits 2' one_line
run call http://127.0.0.1:1/mcp; ok "call without a tool" all 'exits 2' one_line
run tools --timeout=20000 --json -- "$NOTES"; ok "--option=value" all 'exits 0' json
run call add_note --json '{"text":"x"}' --timeout 20000 -- "$NOTES"
ok "options between operands" all 'exits 0' json

run store; ok "store without a word" all 'exits 2' one_line
run store grow "$WORK"; ok "store with a wrong word" all 'exits 2' one_line
run store stat "$WORK/none"; ok "a store that is not there" all 'exits 3' one_line 'says "no store there"'
mkdir -p "$WORK/state/store"
echo junk >"$WORK/state/store/data.mdb"
run store stat "$WORK/state"; ok "a file that is no store" all 'exits 6' one_line 'says "not a store"'

if command -v mandoc >/dev/null; then
  mandoc -Tlint "$ROOT/man/mcpgw.1" >"$out" 2>"$err"
  grep -v 'referenced manual not found' "$out" >"$WORK/lint"
  ok "mcpgw(1) is clean" empty "$WORK/lint"
  mandoc -Tascii "$ROOT/man/mcpgw.1" 2>/dev/null | sed "s,.\x08,,g" >"$out"
  for option in $("$MCPGW" help serve; for c in stdio check tools call; do "$MCPGW" help $c; done); do
    case $option in --[a-z]*) option=${option%%[,:]*}; ok "mcpgw(1) tells of $option" prints "$option" ;; esac
  done | sort -u
fi
exit 0
