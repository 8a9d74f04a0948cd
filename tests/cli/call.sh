# call: one call of one tool, every end it can have.
. "$HERE/lib.sh"
ODD=(python3 "$HERE/odd.py")
printf '{"mcpServers": {"notes": {"command": "%s"}, "odd": {"command": "python3", "args": ["%s"]}, "odd_2": {"command": "python3", "args": ["%s"]}}}' \
  "$NOTES" "$HERE/odd.py" "$HERE/odd.py" >"$WORK/three.json"

run call add_note '{"text":"milk"}' -- "$NOTES"; ok "call" all 'exits 0' '[ "$(cat "$out")" = "note 1" ]' 'empty "$err"'
run call list_notes -- "$NOTES"; ok "call without arguments" all 'exits 0' 'prints "no notes yet"'
run_in '{"text":"from stdin"}' call add_note - -- "$NOTES"; ok "arguments from stdin" all 'exits 0' 'prints "note 1"'
run_in '' call add_note - -- "$NOTES"; ok "nothing on stdin" all 'exits 2' one_line
run call add_note -- "$NOTES"; ok "isError" all 'exits 1' 'prints "needs a string"'
run call --json add_note -- "$NOTES"; ok "isError with --json" all 'exits 1' json 'json_says "d[\"isError\"]"'
run call nothing -- "$NOTES"; ok "an unknown tool" all 'exits 5' 'empty "$out"' one_line 'says -32602'
run call what -- "${ODD[@]}"; ok "an error's text is one clean line" all 'exits 5' one_line '! says "$(printf "\033")"'
for bad in '{' '[1]' '"x"' '7' '{"a":1}}' '{"a":01}' "{'a':1}" '{"a":1},"b":{}' 'nul' '{"a":"\q"}'; do
  run call add_note "$bad" -- "$NOTES"; ok "arguments $bad are refused here" all 'exits 2' one_line
done
run call echo '{"a":[1,2.50,{"b":null}],"é":"\u0041"}' -- "${ODD[@]}"
ok "arguments arrive" all 'exits 0' 'json_says "d=={\"a\":[1,2.5,{\"b\":None}],\"é\":\"A\"}"'
run call exact --json -- "${ODD[@]}"
ok "--json prints the result's own bytes" prints '{"n" : 0.10000000000000000001,"big":18446744073709551616,"s":"\\u00e9\\/"}'
run call exact -- "${ODD[@]}"; ok "structured content when there is no other" prints '"big":18446744073709551616'
run call esc -- "${ODD[@]}"; ok "text in a pipe is as it is" all 'exits 0' 'LC_ALL=C grep -q "$(printf "\033")\[31mred" "$out"' '[ "$(wc -l <"$out")" -eq 2 ]'
timeout 30 python3 -c 'import pty,sys; pty.spawn(sys.argv[1:])' "$MCPGW" call esc -- "${ODD[@]}" >"$out" 2>"$err" </dev/null; rc=$?
ok "on a terminal its control bytes are harmless" all 'prints "one ?\[31mred?"' '! LC_ALL=C grep -q "$(printf "\033")\[31m" "$out"'
run call ask -- "${ODD[@]}"; ok "a request of the server gets a polite no" all 'exits 0' 'prints "answer -32601"'
ODD_VALUE=given run call env -- "${ODD[@]}"; ok "a command has our environment" prints given
run call flood '{"bytes":4000000}' -- "${ODD[@]}"; ok "a large result" all 'exits 0' '[ "$(wc -c <"$out")" -eq 4000001 ]'
run call die -- "${ODD[@]}"; ok "a server that dies" all '[ $rc -eq 4 ] || [ $rc -eq 5 ]' one_line

run call slow '{"ms":450}' --progress -- "$NOTES"; ok "progress" all 'exits 0' 'says "progress [0-9]*/450"' 'prints "done at last"'
run call slow '{"ms":450}' -- "$NOTES"; ok "no progress on a pipe unless asked for" all 'exits 0' 'empty "$err"'
began=$(date +%s); run call slow '{"ms":60000}' --timeout 500 -- "$NOTES"
ok "--timeout" all 'exits 4' one_line '[ $(($(date +%s) - began)) -lt 6 ]'
export ODD_LOG=$WORK/odd.log
run call sleep --timeout 4000 -- "${ODD[@]}"; ok "--timeout cancels at the server" all 'exits 4' 'grep -q cancelled "$ODD_LOG"'

for signal in INT TERM; do
  : >"$ODD_LOG"
  timeout 30 "$MCPGW" call sleep -- "${ODD[@]}" >"$out" 2>"$err" & pid=$!
  for _ in $(seq 100); do grep -q sleeping "$ODD_LOG" && break; sleep 0.05; done
  mcpgw=$(descendants $pid | head -n 1)
  family=$(descendants $pid)
  kill -$signal "$mcpgw"
  gone $pid 6; ended=$?
  ok "$signal cancels and ends" all '[ $ended -eq 0 ]' 'exits 130' 'grep -q cancelled "$ODD_LOG"' one_line
  ok "$signal leaves nobody behind" all_gone 4 $family
done
unset ODD_LOG

run call "$WORK/three.json" notes__list_notes; ok "SERVER__TOOL" all 'exits 0' 'prints "no notes"'
run call "$WORK/three.json" odd__exact; ok "SERVER__TOOL of a legacy server beside modern ones" all 'exits 0' 'prints 18446744073709551616'
run call "$WORK/three.json" odd_2__exact; ok "the longer of two server names" all 'exits 0' 'prints 18446744073709551616'
run call "$WORK/three.json" exact --server odd_2; ok "--server" all 'exits 0' 'prints 18446744073709551616'
run call "$WORK/three.json" exact; ok "several servers: the bare name is unknown" all 'exits 5' 'empty "$out"'
run call "$WORK/three.json" exact --server none; ok "--server that is not there" all 'exits 2' one_line
run call -- "$NOTES"; ok "which tool?" all 'exits 2' one_line

if [ -x "$NODE" ]; then
  for era in legacy modern; do
    run call test_multiple_content_types -- "$NODE" "$FIXTURE" --era $era --stdio
    ok "$era: other content is a short line" all 'exits 0' 'prints "^\[image image/png [0-9]* bytes\]$"' 'prints "^\[resource test://"'
    run call test_error_handling -- "$NODE" "$FIXTURE" --era $era --stdio; ok "$era: a tool that fails" exits 1
    run call test_elicitation '{"message":"x"}' -- "$NODE" "$FIXTURE" --era $era --stdio
    ok "$era: a tool that wants to ask" all '[ $rc -eq 1 ] || [ $rc -eq 5 ]'
    run tools -- "$NODE" "$FIXTURE" --era $era --stdio; ok "$era: tools" all 'exits 0' 'prints "^test_simple_text	"'
    run check --json -- "$NODE" "$FIXTURE" --era $era --stdio
    ok "$era: check knows it" all 'exits 0' json "json_says 'd[\"servers\"][0][\"era\"]==\"$era\" and d[\"servers\"][0][\"prompts\"]>0 and d[\"servers\"][0][\"serverInfo\"][\"name\"]==\"conformance-fixture\"'"
  done
fi
exit 0
