# store: calls with a key, over kill -9; the user's state directory; --ephemeral; mcpgw store.
. "$HERE/lib.sh"
export XDG_STATE_HOME=$WORK/state-home

keyed() { # KEY TEXT: the reply is in $out
  curl -sS -m 20 "$url" -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' \
    -H 'MCP-Protocol-Version: 2026-07-28' -H 'Mcp-Method: tools/call' -H 'Mcp-Name: add_note' -H "Idempotency-Key: \"$1\"" \
    -d '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add_note","arguments":{"text":"'"$2"'"},"_meta":{
      "io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}' >"$out" 2>"$err"
  rc=$?
}

run store stat; ok "no store yet" all 'exits 3' one_line 'says "$XDG_STATE_HOME/mcpgw: no store there"'
serve --listen 127.0.0.1:0 -- "$NOTES"
run call "$url" add_note '{"text":"x"}'
ok "a call without a key keeps what the server is, and nothing of the call" all 'exits 0' '! grep -rqa "note 1" "$XDG_STATE_HOME"/mcpgw/*/store'
keyed k1 milk; ok "a call with a key" all 'exits 0' 'prints "note 2"' '! prints replayed'
keyed k1 milk; ok "again: the same" all 'prints "note 2"' 'prints "\"dev.mcpgw/replayed\":true"'
keyed k1 bread; ok "other arguments: a conflict" prints IDEMPOTENCY_CONFLICT
dir=$(echo "$XDG_STATE_HOME"/mcpgw/server-*)
ok "a command's state is its own, and the user's alone" all '[ -d "$dir/store" ]' '[ "$(stat -c %a "$dir")" = 700 ]' '[ "$(stat -c %a "$dir/store/data.mdb")" = 600 ]'
run store stat "$dir"; ok "stat while it serves" all 'exits 0' 'prints "records: 3"'
run store compact "$dir"; ok "compact while it serves" all 'exits 4' one_line 'says "stop the gateway first"'
kill -KILL $pid; gone $pid 5
serve --listen 127.0.0.1:0 -- "$NOTES"
keyed k1 milk; ok "after kill -9: the same" all 'prints "note 2"' 'prints replayed'
kill -TERM $pid; gone $pid 10
run store check "$dir"; ok "check" all 'exits 0' 'prints "damaged: 0"' 'prints "kinds 1: 1"'
run store check --json "$dir/store"; ok "check --json, named directly" all 'exits 0' json 'json_says "d[\"records\"]==3 and d[\"kinds\"][\"1\"]==1"'
run store compact "$dir"; ok "compact" all 'exits 0' 'prints "bytes, were"'
run store stat --json "$dir"; ok "stat --json" all 'exits 0' json 'json_says "d[\"records\"]==3"'
serve --listen 127.0.0.1:0 -- "$NOTES"
keyed k1 milk; ok "after compact: the same" all 'prints "note 2"' 'prints replayed'
kill -TERM $pid; gone $pid 10

printf '{"mcpServers":{"n":{"command":"%s"}},"gateway":{"listen":["127.0.0.1:0"],"state_dir":"deep/er/state"}}' "$NOTES" >"$WORK/c.json"
serve "$WORK/c.json"
keyed k1 milk; ok "state_dir, from the configuration's place" all 'prints "note 1"' '[ -f "$WORK/deep/er/state/store/data.mdb" ]'
kill -TERM $pid; gone $pid 10
serve --ephemeral "$WORK/c.json"
keyed k2 milk; ok "--ephemeral refuses a key by name" prints NO_STORE
run call "$url" add_note '{"text":"x"}'; ok "and nothing else" all 'exits 0' 'prints "note 1"'
kill -TERM $pid; gone $pid 10
exit 0
