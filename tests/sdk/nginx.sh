#!/bin/sh
# nginx.sh BUILD
#   A real nginx in front, with its defaults for buffering and a proxy_read_timeout of 3 s: with
#   heartbeat_ms 1000, a tool call of 6 s must survive as a stream, and progress must arrive when it
#   happens. Prints `ok - …` or `not ok - …` lines; skips itself where there is no nginx.
set -u
here=$(cd "$(dirname "$0")" && pwd) && cd "$here" || exit 2
node=${NODE:-$here/../conformance/node_modules/node/bin/node}
build=$(cd "${1:-../../build}" && pwd) || exit 2
nginx=$(command -v nginx || command -v /usr/sbin/nginx) || { echo "ok - nginx: skipped, there is none # SKIP"; exit 0; }
dir=$(mktemp -d "${TMPDIR:-/tmp}/mcpgw-nginx-XXXXXX") || exit 2
gateway= proxy=
cleanup() {
  [ -z "$proxy" ] || kill "$proxy" 2>/dev/null
  [ -z "$gateway" ] || kill "$gateway" 2>/dev/null
  wait
  case $dir in */mcpgw-nginx-*) rm -rf "${dir:?}" ;; esac
}
trap cleanup EXIT
trap 'exit 130' HUP INT PIPE TERM

cat >"$dir/mcpgw.json" <<JSON
{ "mcpServers": { "peer": { "command": "$node", "args": ["$here/peer.mjs", "--era", "dual", "--stdio", "--mark", "$dir"] },
    "fixture": { "command": "$node", "args": ["$here/../conformance/fixture.mjs", "--era", "modern", "--stdio", "--name", "$dir"] } },
  "gateway": { "listen": ["127.0.0.1:0"], "heartbeat_ms": 1000 } }
JSON
timeout -k 5 60 "$build/mcpgw" serve "$dir/mcpgw.json" >"$dir/url" 2>"$dir/gateway.log" &
gateway=$!
tries=0
until url=$(head -n 1 "$dir/url") && [ -n "$url" ]; do
  tries=$((tries + 1))
  [ "$tries" -lt 100 ] && kill -0 "$gateway" 2>/dev/null || { echo "not ok - nginx: mcpgw did not start"; exit 1; }
  sleep 0.1
done

# A port that was free a moment ago; nginx cannot choose one itself.
port=$("$node" -e 'const s=require("net").createServer().listen(0,"127.0.0.1",()=>{console.log(s.address().port);s.close()})')
cat >"$dir/nginx.conf" <<CONF
daemon off;
worker_processes 1;
pid $dir/nginx.pid;
error_log $dir/error.log warn;
events { worker_connections 64; }
http {
  access_log off;
  client_body_temp_path $dir/body;
  proxy_temp_path $dir/proxy;
  fastcgi_temp_path $dir/fastcgi;
  uwsgi_temp_path $dir/uwsgi;
  scgi_temp_path $dir/scgi;
  server {
    listen 127.0.0.1:$port;
    location / {
      proxy_pass ${url%/mcp};
      proxy_read_timeout 3s;
    }
  }
}
CONF
timeout -k 5 60 "$nginx" -p "$dir" -c "$dir/nginx.conf" -e "$dir/error.log" 2>"$dir/nginx.err" &
proxy=$!
tries=0
until "$node" -e 'require("net").connect(+process.argv[1],"127.0.0.1").on("connect",()=>process.exit(0)).on("error",()=>process.exit(1))' "$port"; do
  tries=$((tries + 1))
  [ "$tries" -lt 50 ] && kill -0 "$proxy" 2>/dev/null || { echo "not ok - nginx: $(head -n 1 "$dir/nginx.err")"; exit 1; }
  sleep 0.1
done
BEHIND="http://127.0.0.1:$port/mcp" timeout -k 5 60 "$node" behind-nginx.mjs "$build"
