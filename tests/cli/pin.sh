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
run tools mcp.json; ok "block: what differs is not listed" all 'exits 0' '[ "$(cut -f1,4 "$out" | grep "	a$" | cut -f1 | xargs)" = "clear_notes slow" ]' '[ $(grep -c "	b$" "$out") -eq 4 ]'
run call mcp.json --server a add_note '{"text": "x"}'
ok "nor called, and the error says what to do" all 'exits 5' 'says "not the one that was pinned"' 'says "mcpgw pin accepts it"'
run call mcp.json a__list_notes; ok "nor what is new" all 'exits 5' 'says "not the one that was pinned"'
run call mcp.json --server a no_such_tool; ok "nor what is not listed" all 'exits 5' 'says "does not list"'
run call mcp.json --server b add_note '{"text": "x"}'; ok "the same tool of another server is free to go" exits 0
serve mcp.json --listen 127.0.0.1:0
legacy() { # PATH: a legacy session at that path; $sid
  sid=$(curl -s -D- -o /dev/null -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' \
    -d '{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}' \
    "$1" | tr -d '\r' | sed -n 's/^mcp-session-id: //Ip')
  curl -s -o /dev/null -H "Mcp-Session-Id: $sid" -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' \
    -d '{"jsonrpc":"2.0","method":"notifications/initialized"}' "$1"
}
say() { # URL METHOD PARAMS
  curl -s -H "Mcp-Session-Id: $sid" -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' \
    -d "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"$2\",\"params\":$3}" "$1" >"$out"
}
legacy "$url/a"
say "$url/a" tools/list '{}'; ok "legacy, one server: not listed" all 'prints clear_notes' '! prints add_note' '! prints list_notes'
say "$url/a" tools/call '{"name":"add_note","arguments":{"text":"x"}}'; ok "legacy, one server: not called" prints '"code":-31001'
legacy "$url"
say "$url" tools/list '{}'; ok "legacy, all servers: not listed" all 'prints a__clear_notes' '! prints a__add_note' 'prints b__add_note'
say "$url" tools/call '{"name":"a__add_note","arguments":{"text":"x"}}'; ok "legacy, all servers: not called" prints '"code":-31001'
kill "$pid"; gone "$pid" 5
ok "the log says what differs, once a definition" [ "$(grep -c 'pin.differs.*add_note.*description' "$WORK/serve.err")" -le 3 ]

conf "${PINS/block/warn}"
run call mcp.json --server a add_note '{"text": "x"}'; ok "warn: it is called" exits 0
run tools mcp.json --log-level warn; ok "warn: it is listed, and said" all 'exits 0' '[ $(wc -l <"$out") -eq 8 ]' 'says "changed since it was pinned: description"' 'says "is not pinned"'
conf "$PINS"
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

cat >twice.py <<'EOF'
import json, sys
tools = [{"name": "x", "inputSchema": {"type": "object"}}, {"name": "x", "inputSchema": {"type": "object", "other": 1}}, {"title": "no name"}]
said = {"initialize": {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "t", "version": "1"}}, "tools/list": {"tools": tools}, "ping": {}}
for line in sys.stdin:
    m = json.loads(line)
    if "id" in m:
        a = {"result": said[m["method"]]} if m["method"] in said else {"error": {"code": -32601, "message": "no"}}
        print(json.dumps({"jsonrpc": "2.0", "id": m["id"], **a}), flush=True)
EOF
printf '{"mcpServers": {"a": {"command": "python3", "args": ["%s/twice.py"]}}%s}' "$WORK" "$PINS" >mcp.json
run pin mcp.json; ok "of what is listed twice the first is pinned, what has no name is not" all 'exits 0' '[ $(grep -c inputSchema mcp.lock.json) -eq 1 ]' '! grep -q other mcp.lock.json'
run pin --check mcp.json; ok "and such a file is read" all 'exits 0' 'empty "$out"' 'empty "$err"'
exit 0
