# sessions, upstreams: a running gateway is asked at its admin door, by its configuration or by address.
. "$HERE/lib.sh"

sock=$WORK/admin.sock
cat >"$WORK/c.json" <<EOF
{"mcpServers": {"n": {"command": "$NOTES"}, "dead": {"command": "/nonexistent/server"}},
 "gateway": {"listen": ["127.0.0.1:0"], "admin": {"listen": "unix:$sock"}}}
EOF
run upstreams "$WORK/c.json"; ok "no gateway runs" all 'exits 4' one_line 'says "no gateway answers at unix:"' 'empty "$out"'
run upstreams --json "$WORK/c.json"; ok "and no half JSON" all 'exits 4' 'empty "$out"'
serve "$WORK/c.json" --ephemeral
ok "the door is private" [ "$(stat -c %a "$sock")" = 600 ]
run sessions ls "$WORK/c.json"; ok "no session yet" all 'exits 0' 'empty "$out"' 'empty "$err"'
run sessions ls --json "$WORK/c.json"; ok "no session yet, as JSON" all 'exits 0' 'json_says "d=={\"items\":[]}"'
initialize() {
  curl -sS -m 20 -D "$WORK/head" -o /dev/null "$url" -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' \
    -d '{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}'
  sid=$(tr -d '\r' <"$WORK/head" | sed -n 's/^[Mm]cp-[Ss]ession-[Ii]d: //p')
}
alive() { # SESSION: its status
  curl -sS -m 20 -o /dev/null -w '%{http_code}' "$url" -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' \
    -H "Mcp-Session-Id: $1" -d '{"jsonrpc":"2.0","id":2,"method":"ping"}'
}
initialize; one=$sid; initialize; two=$sid
run sessions ls "$WORK/c.json"
ok "sessions ls: a line each, seven fields" all 'exits 0' '[ "$(awk -F"\t" "NF==7" "$out" | wc -l)" -eq 2 ]' 'prints "	local	2025-11-25	1	0	"'
ok "it never tells what opens a session" all '! grep -q "${one:0:8}" "$out"' '! grep -q "${one: -8}" "$out"'
tag=$(sort -n "$out" | head -n 1 | cut -f1)
run sessions ls --admin "unix:$sock" --principal nobody; ok "--admin, --principal" all 'exits 0' 'empty "$out"'
run sessions ls --json "$WORK/c.json" --server n; ok "--json, --server" all 'exits 0' 'json_says "len(d[\"items\"])==2"'
run upstreams "$WORK/c.json"
ok "upstreams" all 'exits 0' 'prints "^n	up	"' 'prints "^dead	[df][a-z]*	.*/nonexistent/server"'
run upstreams --json --server n "$WORK/c.json"; ok "upstreams --json --server" all 'exits 0' 'json_says "d[\"items\"][0][\"links\"]==2 and len(d[\"items\"])==1"'
before=$(descendants "$pid" | wc -l)
run sessions revoke "$WORK/c.json" "$tag"; ok "revoke" all 'exits 0' 'prints "^1 session ended$"'
ok "the session is gone, the other is not" all '[ "$(alive "$one")" = 404 ]' '[ "$(alive "$two")" = 200 ]'
fewer() { for _ in $(seq 100); do [ "$(descendants "$pid" | wc -l)" -lt "$before" ] && return 0; sleep 0.05; done; return 1; }
ok "its child is gone" fewer
run sessions revoke "$WORK/c.json" "$tag"; ok "revoked once" all 'exits 1' one_line 'says "nothing was revoked"'
run sessions revoke "$WORK/c.json" --token nobodys; ok "a token id nobody has" all 'exits 1' one_line
run sessions revoke "$WORK/c.json" --principal local; ok "revoke a principal" all 'exits 0' '[ "$(alive "$two")" = 404 ]'
kill -TERM "$pid"; gone "$pid" 8; ok "the gateway ends with its door" all 'exits 0' '[ ! -e "$sock" ]'

token=0123456789abcdef0123456789abcdef
echo $token >"$WORK/token"
cat >"$WORK/t.json" <<EOF
{"mcpServers": {"n": {"command": "$NOTES"}},
 "gateway": {"listen": ["127.0.0.1:0"], "admin": {"listen": "127.0.0.1:0", "token_file": "token"}}}
EOF
serve "$WORK/t.json" --ephemeral --log-format json
for _ in $(seq 100); do grep -q admin.listening "$WORK/serve.err" && break; sleep 0.05; done
door=$(sed -n 's/.*admin.listening","address":"\([^"]*\)".*/\1/p' "$WORK/serve.err")
run upstreams --admin "$door"; ok "no token" all 'exits 3' one_line 'says MCPGW_ADMIN_TOKEN' '! says "$token"'
MCPGW_ADMIN_TOKEN=${token}x run upstreams --admin "$door"; ok "a wrong token" all 'exits 3' one_line 'says "does not know this token"' '! says "$token"'
MCPGW_ADMIN_TOKEN=$token run upstreams --admin "$door"; ok "the token" all 'exits 0' 'prints "^n	"'
ok "the token is not in the log" all '! grep -q $token "$WORK/serve.err"'
code() { curl -sS -m 20 -o /dev/null -w '%{http_code}' "$@"; }
ok "probes need no token" all '[ "$(code "http://$door/livez")" = 200 ]' '[ "$(code "http://$door/readyz")" = 200 ]' '[ "$(code "http://$door/stats")" = 401 ]'
ok "probes at the clients' address, by any name" all '[ "$(code "${url%/mcp}/readyz" -H "Host: 10.9.8.7:80")" = 200 ]' '[ "$(code "$url" -H "Host: 10.9.8.7:80")" = 403 ]'
kill -TERM "$pid"; gone "$pid" 8

printf '{"mcpServers": {"n": {"command": "%s"}}}' "$NOTES" >"$WORK/none.json"
run sessions ls "$WORK/none.json"; ok "no door in the configuration" all 'exits 3' one_line 'says "admin.*listen"'
run sessions; ok "sessions needs a verb" all 'exits 2' one_line
run sessions ls; ok "sessions ls needs a gateway" all 'exits 2' one_line
run sessions revoke "$WORK/c.json"; ok "revoke needs a session" all 'exits 2' one_line
run upstreams --admin nonsense; ok "a wrong --admin" all 'exits 2' one_line
run upstreams -- "$NOTES"; ok "a command is no running gateway" all 'exits 2' one_line
printf '{"gateway": {"admin": {"listen": "127.0.0.1:1"}}}' >"$WORK/bad.json"
run serve "$WORK/bad.json"; ok "TCP without a token is refused" all 'exits 3' one_line 'says token'
exit 0
