# pin: what servers define is written down, compared, and accepted anew.
. "$HERE/lib.sh"
cd "$WORK" || exit 2
conf() { printf '{"mcpServers": {"a": {"command": "%s"}, "b": {"command": "%s"}}%s}' "$NOTES" "$NOTES" "$1" >mcp.json; }
PINS=', "gateway": {"pin": {"file": "mcp.lock.json", "mode": "block"}}'

conf ''
run pin mcp.json
ok "pin writes the lock file beside the configuration" all 'exits 0' '[ -s mcp.lock.json ]' 'says "\"pin\": {\"file\": \"mcp.lock.json\""' 'prints "^pinned	a	4 tools"'
ok "it is JSON with the servers' own words" python3 -c 'import json; d=json.load(open("mcp.lock.json")); assert d["mcpgw_lock"]==1 and [t["name"] for t in d["servers"]["b"]["tools"]]==["add_note","list_notes","clear_notes","slow"]'
ok "nothing else was left beside it" [ "$(ls mcp.* | xargs)" = "mcp.json mcp.lock.json" ]
run pin --check mcp.json; ok "--check wants the configuration to name the file" all 'exits 3' one_line
conf "$PINS"
run pin --check mcp.json; ok "--check: nothing changed" all 'exits 0' 'empty "$out"' 'empty "$err"'
run tools mcp.json; ok "what is pinned and unchanged is listed" all 'exits 0' '[ $(wc -l <"$out") -eq 8 ]'

sed -i '0,/Keeps a note/s//Steals a note/; 0,/"list_notes"/s//"lost_notes"/' mcp.lock.json
run pin --check mcp.json
ok "--check lists what changed" all 'exits 1' 'prints "^changed	a	tool	add_note	description$"' 'prints "^added	a	tool	list_notes"' 'prints "^removed	a	tool	lost_notes"' '[ $(wc -l <"$out") -eq 3 ]' one_line
run pin mcp.json; ok "pin accepts it" all 'exits 0' 'empty "$err"'
run pin --check mcp.json; ok "and then nothing differs" all 'exits 0' 'empty "$out"'

before=$(cksum <mcp.lock.json)
printf '{"mcpServers": {"a": {"command": "%s"}, "dead": {"command": "false"}}}' "$NOTES" >other.json
run pin --file mcp.lock.json other.json
ok "a server that is silent keeps the file as it is" all 'exits 4' '[ "$before" = "$(cksum <mcp.lock.json)" ]'
run pin --file /proc/none/lock mcp.json; ok "a place that cannot be written" all 'exits 6' one_line
rm mcp.lock.json
run check --offline mcp.json; ok "a lock file that is not there is no licence" all 'exits 3' one_line 'says "mcpgw pin writes it"'
run pin http://127.0.0.1:1/mcp; ok "pin wants a file" all 'exits 2' one_line
exit 0
