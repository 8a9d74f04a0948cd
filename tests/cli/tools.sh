# tools: the three ways of listing.
. "$HERE/lib.sh"
printf '{"mcpServers": {"a": {"command": "%s"}, "b": {"command": "%s"}}}' "$NOTES" "$NOTES" >"$WORK/two.json"
terminal() { # ARGS…: mcpgw with a terminal as stdout and stderr
  timeout -k 2 30 python3 -c 'import os,pty,sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))' \
    "$MCPGW" "$@" >"$out" 2>"$err" </dev/null
  rc=$?
}

run tools -- "$NOTES"
ok "tools of a command" all 'exits 0' '[ $(wc -l <"$out") -eq 4 ]' 'empty "$err"'
ok "four fields between tabs" [ "$(awk -F'\t' 'NF != 4' "$out" | wc -l)" -eq 0 ]
ok "name, arguments, description" prints "^add_note	text:string	Keeps a note until this server ends	"
run tools "$WORK/two.json"; ok "tools of two servers" all 'exits 0' '[ "$(cut -f4 "$out" | sort | uniq -c | xargs)" = "4 a 4 b" ]'
run tools "$WORK/two.json" --server b; ok "--server" all 'exits 0' '[ "$(cut -f4 "$out" | sort -u)" = b ]'
run tools "$WORK/two.json" --server c; ok "a server that is not there" all 'exits 2' one_line
run tools --json "$WORK/two.json"
ok "tools --json" all 'exits 0' json 'json_says "[len(s[\"tools\"]) for s in d[\"servers\"]]==[4,4] and d[\"servers\"][0][\"tools\"][0][\"inputSchema\"][\"required\"]==[\"text\"]"'
run tools -- /nonexistent/server; ok "a command that is not there" all 'exits 4' 'empty "$out"' 'says nonexistent'
run tools -- false; ok "a command that ends at once" all 'exits 4' 'empty "$out"'
run tools http://127.0.0.1:1/mcp; ok "a URL where nobody listens" all 'exits 4' 'empty "$out"'
run tools --timeout 800 -- sleep 60; ok "a command that says nothing" all 'exits 4' 'empty "$out"'
run tools -- python3 "$HERE/odd.py"
ok "arguments of every kind" all 'exits 0' 'prints "^kinds	a:string b?:integer c?:string\[\] d?:number|null e?:enum f?:any	"'
ok "a description with control bytes is one clean line" all '[ "$(grep -c "^kinds" "$out")" -eq 1 ]' '! LC_ALL=C grep -q "$(printf "\033")" "$out"'

TERM=xterm terminal tools "$WORK/two.json"
ok "on a terminal: groups and colours" all 'exits 0' 'prints "a: 4 tools"' 'prints "b: 4 tools"' 'LC_ALL=C grep -q "$(printf "\033")\[1m" "$out"'
TERM=xterm NO_COLOR=1 terminal tools "$WORK/two.json"
ok "NO_COLOR" all 'exits 0' 'prints "a: 4 tools"' '! LC_ALL=C grep -q "$(printf "\033")\[1m" "$out"'
TERM=dumb terminal tools "$WORK/two.json"; ok "a dumb terminal" all 'exits 0' '! LC_ALL=C grep -q "$(printf "\033")\[1m" "$out"'
TERM=xterm terminal check "$WORK/two.json"; ok "check has a progress line on a terminal" all 'exits 0' 'prints "of 2 servers answered"'

timeout 30 "$MCPGW" tools -- "$NOTES" 2>"$err" >/dev/full; rc=$?
ok "a full disk is an error" all 'exits 6' one_line
set -o pipefail
timeout 30 "$MCPGW" tools -- "$NOTES" 2>"$err" | true; rc=$?
ok "a reader who has had enough is no news" empty "$err"
exit 0
