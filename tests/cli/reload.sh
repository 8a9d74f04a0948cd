# reload: SIGHUP loads the file again. What is the same stays as it is, down to the process; a file with a fault
# changes nothing; calls under way at what goes are answered.
. "$HERE/lib.sh"

cfg=$WORK/c.json
servers() { # NAME=ARGUMENT…: every one is the notes server, told apart by a variable
  local out= one
  for one; do out="$out${out:+,}\"${one%%=*}\": {\"command\": \"$NOTES\", \"env\": {\"X\": \"${one#*=}\"}}"; done
  printf '{"mcpServers": {%s}, "gateway": {%s "listen": ["%s"], "admin": {"listen": "unix:%s"}}}' "$out" "${extra:-}" "${addr:-127.0.0.1:0}" "$WORK/admin.sock" >"$cfg.new"
  mv "$cfg.new" "$cfg"
}
events() { grep -c "\"event\":\"$1\"" "$WORK/serve.err"; }
hup() { # EVENT: sends it, waits until the log has one more of these
  local had; had=$(events "$1")
  kill -HUP "$pid"
  for _ in $(seq 200); do [ "$(events "$1")" -gt "$had" ] && return 0; sleep 0.05; done
  return 1
}
children() { "$MCPGW" upstreams "$cfg" >/dev/null; curl -sS -m 10 --unix-socket "$WORK/admin.sock" http://x/children | python3 -c 'import json,sys; print(" ".join("%s=%d" % (i["upstream"], i["pid"]) for i in json.load(sys.stdin)["items"]))'; }
child() { children | tr ' ' '\n' | sed -n "s/^$1=//p" | tail -n 1; }
rss() { awk '/^VmRSS/ {print $2}' "/proc/$pid/status"; }
fds() { ls "/proc/$pid/fd" | wc -l; }

servers a=1 b=1
serve "$cfg" --ephemeral --log-format json
run call "$url" a__add_note '{"text":"x"}'; run call "$url" b__add_note '{"text":"x"}'
a=$(child a) b=$(child b)
ok "the children are known" all '[ -n "$a" ]' '[ -n "$b" ]'
ok "HUP without a change" hup config.reloaded
ok "both children are the same" all '[ "$(child a)" = "$a" ]' '[ "$(child b)" = "$b" ]'
servers c=1 a=1 b=2
timeout 30 "$MCPGW" call "$url" b__slow '{"ms":2000}' >"$WORK/slow" 2>&1 & call=$!
sleep 0.7
ok "HUP with one new and one changed" hup config.reloaded
run call "$url" c__add_note '{"text":"x"}'; ok "the new one" all 'exits 0' 'prints "note 1"'
run call "$url" b__add_note '{"text":"x"}'; ok "the changed one is a fresh process" all 'exits 0' 'prints "note 1"' '[ "$(child b)" != "$b" ]'
ok "the untouched one is the same" [ "$(child a)" = "$a" ]
gone $call 10; cp "$WORK/slow" "$out"; ok "a call under way there was answered" all 'exits 0' 'prints "done at last"'
ok "then the old process ends" gone "$b" 8
servers a=1
ok "HUP with two removed" hup config.reloaded
run tools "$url"; ok "only one is left" all 'exits 0' '! prints "^[bc]__"'
ok "the untouched one is still the same" [ "$(child a)" = "$a" ]

printf '{"mcpServers": {"a": {"command": ' >"$cfg"
ok "HUP with a broken file" hup config.not_reloaded
tail -n 1 "$WORK/serve.err" >"$out"
ok "the log names file and place" all 'prints "c.json"' 'prints "line 1"'
printf '{"gateway": {"lisen": []}}' >"$cfg"
ok "HUP with an unknown key" hup config.not_reloaded
port=${url#http://127.0.0.1:}; port=${port%/mcp}
addr=127.0.0.1:$port servers a=1 # in use, by itself
ok "HUP with an address that cannot be had" hup config.not_reloaded
rm "$cfg"; ok "HUP without the file" hup config.not_reloaded
servers a=1
run call "$url" add_note '{"text":"x"}'; ok "none of that changed anything" all 'exits 0' '[ "$(child a)" = "$a" ]'
extra='"state_dir": "/tmp/elsewhere",' servers a=1
hup config.reloaded
ok "what needs a restart is named" grep -q 'config.needs_restart.*state_dir' "$WORK/serve.err"
extra='"limits": {"connections": 1},' servers a=1; hup config.reloaded
exec 9<>"/dev/tcp/127.0.0.1/$port"; sleep 0.2
ok "limits take effect" [ "$(curl -sS -m 10 -o /dev/null -w '%{http_code}' "$url")" = 503 ]
exec 9>&-
servers a=1; hup config.reloaded

# a hundred in a row, with callers beside them
servers a=1 b=1; hup config.reloaded
run call "$url" b__add_note '{"text":"x"}'; sleep 0.5
fds0=$(fds) rss0=$(rss) kids0=$(descendants "$pid" | wc -l)
python3 - "$url" "$WORK/stop" >"$WORK/callers" 2>&1 <<'EOF' &
import json, os, sys, threading, urllib.request
url, stop = sys.argv[1:]
tally, lock = {}, threading.Lock()
def ask(n, tool):
    meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}
    body = {"jsonrpc": "2.0", "id": n, "method": "tools/call", "params": {"name": tool, "arguments": {"text": "t%d" % n}, "_meta": meta}}
    r = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json", "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": tool})
    try: text = urllib.request.urlopen(r, timeout=20).read().decode()
    except urllib.error.HTTPError as e: text = e.read().decode()
    except Exception as e: return "lost: %r" % e
    if '"note ' in text or "no room for another note" in text: return "done"
    for named in ("unknown tool", "STATE_LOST", "UPSTREAM_UNAVAILABLE"):
        if named in text: return named
    return "odd: " + text[:200]
def caller(k):
    n = k * 100000
    while not os.path.exists(stop):
        n += 1
        what = ask(n, "ab"[n % 2] + "__add_note")
        with lock: tally[what] = tally.get(what, 0) + 1
threads = [threading.Thread(target=caller, args=(k,)) for k in range(1, 7)]
[t.start() for t in threads]
[t.join() for t in threads]
print(json.dumps(tally))
EOF
callers=$!
bad=0
for i in $(seq 100); do
  case $((i % 4)) in
    0) servers a=1 b=1 ;;
    1) servers b=$i a=1 ;;
    2) servers a=1 ;;
    3) servers c=1 a=1 b=$i ;;
  esac
  hup config.reloaded || bad=$((bad + 1))
done
touch "$WORK/stop"; gone $callers 30
servers a=1 b=1; hup config.reloaded; run call "$url" b__add_note '{"text":"x"}'
cp "$WORK/callers" "$out"; tail -n 3 "$out" | sed 's/^/# callers: /'
ok "100 reloads" [ $bad -eq 0 ]
ok "every call was answered: done, or a name for why not" all 'json_says "not [k for k in d if k.startswith((\"lost\", \"odd\"))]"' 'json_says "d[\"done\"] > 100"'
ok "the untouched one is the same process after them all" [ "$(child a)" = "$a" ]
settled() { for _ in $(seq 200); do [ "$(descendants "$pid" | wc -l)" -le "$kids0" ] && [ "$(fds)" -le $((fds0 + 4)) ] && return 0; sleep 0.1; done; return 1; }
ok "processes and descriptors are as before" settled
echo "# children $kids0 -> $(descendants "$pid" | wc -l), descriptors $fds0 -> $(fds), RSS $rss0 -> $(rss) KiB"
ok "memory does not grow" [ "$(rss)" -lt $((rss0 + 8192)) ]
kill -TERM "$pid"; gone "$pid" 10; ok "TERM ends it" exits 0

# what was accepted is read again, too, and holds for lists that are there
extra="\"pin\": {\"file\": \"$WORK/lock.json\", \"mode\": \"block\"}," servers a=1 b=1
run pin "$cfg"; ok "pin" exits 0
serve "$cfg" --ephemeral --log-format json
run call "$url" a__add_note '{"text":"x"}'; a=$(child a)
ok "as it was pinned" exits 0
cp "$WORK/lock.json" "$WORK/lock.good"; sed -i '0,/Keeps a note/s//Steals a note/' "$WORK/lock.json"
hup config.reloaded; run call "$url" a__add_note '{"text":"x"}'
ok "HUP with other pins: blocked at once, and nothing was started anew" all 'exits 5' 'says "pinned"' '[ "$(child a)" = "$a" ]'
cp "$WORK/lock.good" "$WORK/lock.json"; hup config.reloaded; run call "$url" a__add_note '{"text":"x"}'
ok "HUP with the good ones: allowed again" all 'exits 0' '[ "$(child a)" = "$a" ]'
kill -TERM "$pid"; gone "$pid" 10

# a terminal that is closed sends HUP, too: that is the end
cat >"$WORK/closes.py" <<'EOF'
import os, pty, sys, time
pid, fd = pty.fork()
if pid == 0: os.execv(sys.argv[1], sys.argv[1:])
seen = b""
while b"/mcp" not in seen: seen += os.read(fd, 4096)
os.close(fd)                                  # the terminal is gone: the kernel sends HUP
for _ in range(100):
    done, status = os.waitpid(pid, os.WNOHANG)
    if done: sys.exit(os.waitstatus_to_exitcode(status))
    time.sleep(0.1)
os.kill(pid, 9)
sys.exit(99)
EOF
timeout 30 python3 "$WORK/closes.py" "$MCPGW" serve --listen 127.0.0.1:0 --ephemeral -- "$NOTES" >"$out" 2>"$err"; rc=$?
ok "its terminal is closed: it ends" exits 0

# a server over HTTP (another gateway): its session is ended properly when its entry changes or goes
printf '{"mcpServers": {"n": {"command": "%s"}}, "gateway": {"listen": ["127.0.0.1:0"], "admin": {"listen": "unix:%s/up.sock"}}}' "$NOTES" "$WORK" >"$WORK/up.json"
serve "$WORK/up.json" --ephemeral; up=$url uppid=$pid
far() { printf '{"mcpServers": {"far": {"url": "%s", "headers": {"X-A": "%s"}}%s}, "gateway": {"listen": ["127.0.0.1:0"], "admin": {"listen": "unix:%s"}}}' "$up" "$1" "${2:-}" "$WORK/admin.sock" >"$cfg"; }
sessions_there() { "$MCPGW" sessions ls --admin "unix:$WORK/up.sock" | wc -l; }
there() { for _ in $(seq 100); do [ "$(sessions_there)" -eq "$1" ] && return 0; sleep 0.1; done; return 1; }
far 1 ", \"b\": {\"command\": \"$NOTES\"}"
serve "$cfg" --ephemeral --log-format json
curl -sS -m 20 -D "$WORK/head" -o /dev/null "$url" -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' \
  -d '{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}'
sid=$(tr -d '\r' <"$WORK/head" | sed -n 's/^[Mm]cp-[Ss]ession-[Ii]d: //p')
legacy() { curl -sS -m 20 -o "$out" "$url" -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' -H "Mcp-Session-Id: $sid" -d "$1"; }
legacy '{"jsonrpc":"2.0","method":"notifications/initialized"}'
legacy '{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"far__add_note","arguments":{"text":"x"}}}'
ok "a legacy session reaches over HTTP" all 'prints "note 1"' 'there 1'
far 2 ", \"b\": {\"command\": \"$NOTES\"}"; hup config.reloaded
ok "its entry changed: the session there is ended" there 0
legacy '{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"far__add_note","arguments":{"text":"x"}}}'
ok "state was lost, which is said once" prints STATE_LOST
legacy '{"jsonrpc":"2.0","id":4,"method":"tools/call","params":{"name":"far__add_note","arguments":{"text":"x"}}}'
ok "then a fresh session is used" all 'prints "note 1"' 'there 1'
servers b=1 a=1; hup config.reloaded
ok "it was removed: no session stays there" there 0
kill -TERM "$pid" "$uppid"; gone "$pid" 10; gone "$uppid" 10

# the front for one client
servers a=1
coproc FRONT { exec "$MCPGW" stdio "$cfg" --log-format json 2>"$WORK/serve.err"; }
pid=$FRONT_PID; STARTED+=("$pid")
say_line() { echo "$1" >&"${FRONT[1]}"; }
hear() { timeout 10 bash -c 'while read -r line; do case $line in *"$0"*) exit 0;; esac; done; exit 1' "$1" <&"${FRONT[0]}"; }
say_line '{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}'
ok "stdio" hear '"id":1'
say_line '{"jsonrpc":"2.0","method":"notifications/initialized"}'
servers a=1 b=1
kill -HUP "$pid"
for _ in $(seq 100); do [ "$(events config.reloaded)" -gt 0 ] && break; sleep 0.05; done
say_line '{"jsonrpc":"2.0","id":2,"method":"tools/list"}'
ok "stdio: HUP brings the new server" hear 'b__add_note'
kill -TERM "$pid"; gone "$pid" 6
exit 0
