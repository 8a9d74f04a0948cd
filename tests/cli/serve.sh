# serve: the URL, calls through it, signals, and what is left behind (nothing).
. "$HERE/lib.sh"

serve --listen 127.0.0.1:0 --ephemeral -- "$NOTES"
ok "the URL is the only line on stdout" all '[[ $url =~ ^http://127\.0\.0\.1:[1-9][0-9]*/mcp$ ]]' '[ "$(cat "$WORK/serve.out")" = "$url" ]'
ok "no hints without a terminal" all '! grep -q curl "$WORK/serve.err"'
ok "core dumps are disabled" all 'grep -q "Max core file size *0 *0" /proc/$pid/limits'
run tools "$url"; ok "tools of a URL" all 'exits 0' 'prints "^add_note	"'
run call "$url" add_note '{"text":"x"}'; ok "call to a URL" all 'exits 0' 'prints "note "'
run check "$url"; ok "check of a URL" all 'exits 0' 'prints "4 tools"'
run_in '' stdio "$url"; ok "stdio to a URL, and nothing said" all 'exits 0' 'empty "$out"'
port=${url#http://127.0.0.1:}; port=${port%/mcp}
run serve --listen "127.0.0.1:$port" -- "$NOTES"; ok "a port that is taken" all 'exits 6' 'empty "$out"' '[ "$(grep -c "^mcpgw: " "$err")" -eq 1 ]'
pids=()
for i in $(seq 20); do
  timeout 30 "$MCPGW" call "$url" add_note "{\"text\":\"n$i\"}" >"$WORK/p$i" 2>&1 & pids+=($!)
done
bad=0; for p in "${pids[@]}"; do wait "$p" || bad=$((bad + 1)); done
rc=$bad; cp "$WORK/p1" "$out"; ok "twenty calls at one time" all '[ $bad -eq 0 ]' '[ "$(cat "$WORK"/p* | grep -c "^note ")" -eq 20 ]'
family=$(descendants $pid)
kill -TERM $pid; gone $pid 5; ended=$?
ok "TERM ends it with 0" all '[ $ended -eq 0 ]' 'exits 0'
ok "TERM leaves no server behind" all_gone 4 $family

serve --listen=127.0.0.1:0 -- "$NOTES"
timeout 30 "$MCPGW" call "$url" slow '{"ms":1500}' >"$out" 2>"$err" & call=$!
sleep 0.6; kill -INT $pid
gone $call 10; ok "a call under way may finish after INT" all 'exits 0' 'prints "done at last"'
gone $pid 5; ok "and then it ends" exits 0

serve --listen 127.0.0.1:0 -- "$NOTES"
timeout 40 "$MCPGW" call "$url" slow '{"ms":30000}' >"$out" 2>"$err" & call=$!
sleep 0.6; family=$(descendants $pid); kill -TERM $pid; sleep 0.7
ok "it waits for a call" kill -0 $pid
kill -TERM $pid; gone $pid 3; ended=$?
ok "a second signal ends it at once" [ $ended -eq 0 ]
gone $call 10; ok "the call is told" all '[ $rc -eq 4 ] || [ $rc -eq 5 ]' one_line
ok "nobody is left behind" all_gone 4 $family

serve --listen 127.0.0.1:0 -- "$NOTES"
timeout 40 "$MCPGW" call "$url" slow '{"ms":30000}' >"$out" 2>"$err" & call=$!
sleep 0.6; family=$(descendants $pid); kill -KILL $pid
gone $call 10; ok "a gateway killed in a call: the caller hears of it" all '[ $rc -eq 4 ] || [ $rc -eq 5 ]' one_line
ok "a gateway killed: its servers go too" all_gone 6 $family

serve --listen 127.0.0.1:0 --hints -- "$NOTES"
for _ in $(seq 40); do grep -q Ctrl-C "$WORK/serve.err" && break; sleep 0.05; done
cp "$WORK/serve.err" "$err"
ok "--hints" all 'says "curl -sS $url"' 'says "call $url"'
grep '"mcpServers"' "$err" >"$out"; ok "the hinted configuration is JSON" all json 'json_says "d[\"mcpServers\"][\"mcpgw\"][\"url\"]==\"$url\""'
sed -n '/curl/,/clientInfo/p' "$err" >"$WORK/curl.sh"
timeout 20 bash "$WORK/curl.sh" >"$out" 2>"$WORK/curl.err"; rc=$?
ok "the hinted curl line works" all 'exits 0' 'prints "serverInfo"'
kill -HUP $pid; sleep 0.5; cp "$WORK/serve.err" "$err"
ok "HUP of a command: nothing to load again, and it goes on" all 'says config.not_reloaded' 'kill -0 $pid'
kill -TERM $pid; gone $pid 5

run serve --listen nonsense -- "$NOTES"; ok "a wrong --listen" all 'exits 2' one_line
run serve --listen 0.0.0.0:0 -- "$NOTES"; ok "an open address needs --insecure-plain-http" all 'exits 3' 'empty "$out"' 'says insecure'
serve --listen 0.0.0.0:0 --insecure-plain-http -- "$NOTES"
ok "and takes it" all '[[ $url =~ ^http://.*/mcp$ ]]'
kill -TERM $pid; gone $pid 5

printf '{"mcpServers": {"n": {"command": "%s"}}, "gateway": {"listen": ["127.0.0.1:0", "[::1]:0"]}}' "$NOTES" >"$WORK/listen.json"
serve "$WORK/listen.json"; sleep 0.2
ok "a configuration's own addresses, a line each" all '[ "$(grep -c "^http://.*/mcp$" "$WORK/serve.out")" -eq 2 ]'
kill -TERM $pid; gone $pid 5; ok "idle, it ends at once" exits 0
serve --listen 127.0.0.1:0 --log-format json --log-level debug -- "$NOTES"; run tools "$url"
kill -TERM $pid; gone $pid 5
cp "$WORK/serve.err" "$out"
ok "the log is JSON lines" python3 -c "import json; n=[json.loads(l) for l in open('$out')]; assert n"
"$MCPGW" serve --listen 127.0.0.1:0 -- "$NOTES" >/dev/full 2>"$err" </dev/null & pid=$!; STARTED+=($pid)
gone $pid 5; ok "stdout that takes nothing ends serve" all 'exits 6' 'says "mcpgw: cannot write"'
exit 0
