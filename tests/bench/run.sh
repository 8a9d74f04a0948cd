#!/usr/bin/env bash
# run.sh [SECTION...]: the bench of DESIGN section 16. Sections: calls syscalls heap idle contexts scan cold size (all).
#   Figures are ratios within one run: the proxies alternate, each is pinned to cpu 0 while load and upstream
#   share cpu 1, and medians of ROUNDS rounds are printed. What is not there is n/a. Everything is on loopback
#   and ends with this script. Exit 1 if a budget was missed.
#   Environment: B=build  ROUNDS=3  SECS=3  CONNECTIONS=32  ERAS="legacy modern"  STREAMS=9000
set -u
here=$(cd "$(dirname "$0")" && pwd) || exit 2
B=${B:-build} ROUNDS=${ROUNDS:-3} SECS=${SECS:-3} CONNECTIONS=${CONNECTIONS:-32} STREAMS=${STREAMS:-9000}
ERAS=${ERAS:-legacy modern}
tools=$B/bench
for tool in upstream load curlproxy idle cold contexts; do
  [ -x "$tools/$tool" ] || { echo "bench: $tools/$tool is missing: run make bench" >&2; exit 2; }
done
ulimit -n "$(ulimit -Hn)"
work=$(mktemp -d) || exit 2
proxy_cpu=0 load_cpu=$(($(nproc) > 1 ? 1 : 0))
missed=0 unknown=0

# ---- processes ---------------------------------------------------------------------------------------------

mkfifo "$work/hold" && exec 9<>"$work/hold" # upstream and curlproxy end when their stdin does: when we do
declare -A running=()

stop() { # NAME...
  local name
  for name in "$@"; do
    [ -n "${running[$name]-}" ] || continue
    kill "${running[$name]}" 2>/dev/null
    wait "${running[$name]}" 2>/dev/null
    unset "running[$name]"
  done
}
trap 'stop "${!running[@]}"; rm -rf "$work"' EXIT
trap 'exit 130' HUP INT TERM

launch() { # NAME CPU COMMAND...
  local name=$1 cpu=$2
  shift 2
  taskset -c "$cpu" "$@" <"$work/hold" 9>&- >"$work/$name.out" 2>"$work/$name.err" &
  running[$name]=$!
}

# Waits for the URL that NAME prints as its first line; sets url.
url_of() { # NAME
  local tries=0
  until url=$(head -n 1 "$work/$1.out") && [[ $url == http://* ]]; do
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] && kill -0 "${running[$1]}" 2>/dev/null || return 1
    sleep 0.05
  done
}

free_port() {
  local try
  for try in {1..50}; do
    port=$((20000 + RANDOM % 10000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || return 0
  done
  return 1
}

wait_for_port() { # PORT
  local tries
  for tries in {1..100}; do
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return 0
    sleep 0.05
  done
  return 1
}

# ---- the rows: each starts its proxy before $upstream and sets url and pid ---------------------------------

ROWS="direct haproxy nginx curl readcurl mcpgw" # curl, the floor, writes a request at once; readcurl in two pieces

start_upstream() { # ERA
  launch upstream "$load_cpu" "$tools/upstream" --era "$1"
  url_of upstream || { echo "bench: the upstream did not start" >&2; exit 2; }
  upstream=$url
}

start_direct() { url=$upstream pid=${running[upstream]}; }

start_haproxy() {
  command -v haproxy >/dev/null && free_port || return 1
  cat >"$work/haproxy.cfg" <<CFG
global
  nbthread 1
  maxconn 4000
defaults
  mode http
  option http-keep-alive
  http-reuse always
  timeout connect 5s
  timeout client 60s
  timeout server 60s
listen bench
  bind 127.0.0.1:$port
  server upstream $(host_of "$upstream") pool-max-conn -1
CFG
  launch haproxy "$proxy_cpu" haproxy -db -f "$work/haproxy.cfg"
  pid=${running[haproxy]} url=http://127.0.0.1:$port/mcp
  wait_for_port "$port"
}

start_nginx() {
  command -v nginx >/dev/null && free_port || return 1
  cat >"$work/nginx.conf" <<CFG
daemon off;
master_process off;
pid $work/nginx.pid;
error_log $work/nginx.log;
events { worker_connections 8192; }
http {
  access_log off;
  client_body_temp_path $work/body;
  proxy_temp_path $work/proxy;
  fastcgi_temp_path $work/fastcgi;
  uwsgi_temp_path $work/uwsgi;
  scgi_temp_path $work/scgi;
  keepalive_requests 1000000000;
  client_body_buffer_size 64k;
  upstream far { server $(host_of "$upstream"); keepalive 512; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:$port;
    location / { proxy_pass http://far; proxy_http_version 1.1; proxy_set_header Connection ""; }
  }
}
CFG
  launch nginx "$proxy_cpu" nginx -e "$work/nginx.log" -c "$work/nginx.conf"
  pid=${running[nginx]} url=http://127.0.0.1:$port/mcp
  wait_for_port "$port"
}

start_curl() {
  launch curl "$proxy_cpu" "$tools/curlproxy" "$upstream" --body fields
  pid=${running[curl]}
  url_of curl
}

start_mcpgw() {
  [ -x "$B/mcpgw" ] || return 1
  XDG_STATE_HOME=$work/state launch mcpgw "$proxy_cpu" "$B/mcpgw" serve "$upstream" --listen 127.0.0.1:0
  pid=${running[mcpgw]}
  url_of mcpgw
}

start_readcurl() {
  launch readcurl "$proxy_cpu" "$tools/curlproxy" "$upstream" --body read
  pid=${running[readcurl]}
  url_of readcurl
}

host_of() { # URL
  local rest=${1#http://}
  echo "${rest%%/*}"
}

# ---- numbers -----------------------------------------------------------------------------------------------

field() { sed -n "s/.*\b$1=\([-0-9.]*\).*/\1/p"; } # KEY: of a key=value line on stdin

median() { # FILE; nothing when it is empty
  [ -s "$1" ] && sort -n "$1" | awk '{v[NR]=$1} END {print NR%2 ? v[(NR+1)/2] : (v[NR/2]+v[NR/2+1])/2}'
}

calc() { # A OPERATOR B [FORMAT]; n/a when there is no A or B
  case $1,$3 in
    ,* | *, | n/a,* | *,n/a | *,0) echo n/a ;;
    *) awk "BEGIN {printf \"${4:-%.2f}\", ($1) $2 ($3)}" ;;
  esac
}

# A budget: says whether it was kept.
budget() { # TEXT VALUE LIMIT
  local verdict=kept
  if [ -z "$2" ] || [ "$2" = n/a ]; then
    verdict=n/a unknown=$((unknown + 1))
  elif awk "BEGIN {exit !($2 > $3)}"; then
    verdict=MISSED missed=1
  fi
  printf '  budget: %-52s %10s of %-8s %s\n' "$1" "${2:-n/a}" "$3" "$verdict"
}

explain() { # NAME: why it gave no figure
  local why
  why=$(cat "$work/load.err" "$work/$1.err" 2>/dev/null | grep -m 1 . | cut -c 1-160)
  echo "  n/a $1: ${why:-not there}"
}

# ---- sections ----------------------------------------------------------------------------------------------

measure() { # ERA ROW: one round
  local line at=$work/$1.$2
  if "start_$2" && line=$("$tools/load" "$url" --era "$1" --connections "$CONNECTIONS" --seconds "$SECS" --pid "$pid" 2>"$work/load.err"); then
    field cpu_us <<<"$line" >>"$at.cpu"
    field rps <<<"$line" >>"$at.rps"
    field p99_us <<<"$line" >>"$at.p99"
    line=$("$tools/load" "$url" --era "$1" --connections 1 --seconds 1 2>"$work/load.err") || line=
    field p50_us <<<"$line" >>"$at.p50one"
    field p99_us <<<"$line" >>"$at.p99one"
  else
    explain "$2" >"$at.why"
  fi
  [ "$2" = direct ] || stop "$2"
}

table() { # ERA
  local row cpu at ha=$(median "$work/$1.haproxy.cpu") floor=$(median "$work/$1.curl.cpu")
  local p50=$(median "$work/$1.direct.p50one") p99=$(median "$work/$1.direct.p99one") ours=
  printf '%-8s %-8s %9s %9s %10s %11s %11s %9s %9s\n' "$1" row us/call xHAProxy over-curl added-p50 added-p99 p99@"$CONNECTIONS" rps
  for row in $ROWS; do
    at=$work/$1.$row cpu=$(median "$work/$1.$row.cpu")
    if [ -z "$cpu" ]; then
      cat "$at.why"
      continue
    fi
    [ "$row" = direct ] && cpu=
    printf '%-8s %-8s %9s %9s %10s %11s %11s %9s %9s\n' '' "$row" "${cpu:--}" "$(calc "$cpu" / "$ha")" \
      "$(calc "$cpu" - "$floor")" "$(calc "$(median "$at.p50one")" - "$p50" %.0f)" \
      "$(calc "$(median "$at.p99one")" - "$p99" %.0f)" "$(median "$at.p99")" "$(median "$at.rps")"
  done
  at=$work/$1.mcpgw ours=$(median "$at.cpu")
  budget "CPU a call, x HAProxy" "$(calc "$ours" / "$ha")" 2.0
  budget "CPU a call over the bare libcurl floor, us" "$(calc "$ours" - "$floor")" 8
  budget "added latency at 1 connection, p50 us" "$(calc "$(median "$at.p50one")" - "$p50" %.0f)" 100
  budget "added latency at 1 connection, p99 us" "$(calc "$(median "$at.p99one")" - "$p99" %.0f)" 1000
}

section_calls() {
  local era round row
  echo "tools/call of 1 KiB, $ROUNDS rounds of $SECS s, $CONNECTIONS connections (added latency: 1 connection); us/call is CPU"
  for era in $ERAS; do
    start_upstream "$era"
    for ((round = 1; round <= ROUNDS; round++)); do
      for row in $ROWS; do measure "$era" "$row"; done
    done
    stop upstream
    table "$era"
  done
}

# What each system call is for, where we know it.
explanations='
/ (read|recvfrom|recvmsg|readv)$/ {why = "the request in, the reply in; one more each where the socket is read till empty"}
/ (write|sendto|sendmsg|writev)$/ {why = "the request out, the reply out"}
/ (epoll_wait|epoll_pwait)$/ {why = "a turn of the loop, shared by the calls of that turn"}
/ epoll_ctl$/ {why = "a descriptor registered or changed; about 0 once connections are warm"}
/ poll$/ {why = "libcurl asks whether a pooled connection is alive"}
/ (accept4|socket|connect|close|shutdown)$/ {why = "connections coming and going"}
/ (fdatasync|fsync|pwrite64|msync)$/ {why = "the store"}
/ futex$/ {why = "another thread is woken"}'

section_syscalls() {
  local row line calls tracer
  command -v strace >/dev/null || { echo "syscalls a call: n/a, strace is not installed"; return; }
  start_upstream legacy
  for row in haproxy curl readcurl mcpgw; do
    if ! "start_$row"; then
      explain "$row"
      continue
    fi
    strace -c -f -p "$pid" -o "$work/strace.$row" 2>"$work/strace.err" &
    tracer=$!
    sleep 0.5
    line=$("$tools/load" "$url" --connections 8 --seconds 2 --warmup 0 2>"$work/load.err") || line=
    kill -INT "$tracer" 2>/dev/null
    wait "$tracer" 2>/dev/null
    stop "$row"
    calls=$(field calls <<<"$line")
    if [ -z "$calls" ] || ! [ -s "$work/strace.$row" ]; then
      echo "syscalls a call, $row: n/a, $(cat "$work/strace.err" "$work/load.err" | head -n 1)"
      continue
    fi
    echo "syscalls a call, $row: $(awk -v n="$calls" '$NF=="total" {printf "%.2f", $4/n}' "$work/strace.$row")"
    [ "$row" = mcpgw ] && awk -v n="$calls" "
      {why = \"\"} $explanations
      \$4 ~ /^[0-9]+\$/ && \$NF != \"total\" && \$4/n >= 0.005 {printf \"  %6.2f %-14s %s\\n\", \$4/n, \$NF, why}" "$work/strace.mcpgw"
  done
  stop upstream
}

anon_kib() { awk '/^RssAnon/ {print $2}' "/proc/$1/status"; }

section_heap() {
  local before after calls line
  start_upstream legacy
  if start_mcpgw && "$tools/load" "$url" --seconds 2 >/dev/null 2>"$work/load.err"; then
    before=$(anon_kib "$pid")
    line=$("$tools/load" "$url" --seconds $((SECS * 3)) 2>"$work/load.err") || line=
    after=$(anon_kib "$pid") calls=$(field calls <<<"$line")
    echo "heap: $before KiB before, $after KiB after ${calls:-no} calls"
    budget "heap growth at steady state, bytes a call" "$(calc "$(((after - before) * 1024))" / "$calls")" 0.5
  else
    explain mcpgw
  fi
  stop mcpgw upstream
}

section_idle() {
  local mode line era
  for mode in get listen; do
    era=legacy
    [ "$mode" = listen ] && era=modern
    start_upstream "$era"
    if start_mcpgw && line=$("$tools/idle" "$url" --pid "$pid" --streams "$STREAMS" --mode "$mode" 2>"$work/load.err"); then
      echo "idle SSE streams, $mode: $line"
      if [ "$mode" = listen ]; then # a GET stream comes with a context and a link of its own
        budget "resident memory a stream, KiB" "$(field rss_kib <<<"$line")" 4
      fi
      budget "CPU over 5 s with $STREAMS streams, %" "$(field cpu_percent <<<"$line")" 0.5
      line=$(field dropped_ms <<<"$line")
      budget "$((STREAMS / 9)) dropped streams noticed, ms" "${line/#-1/99999}" 100
    else
      echo "idle SSE streams, $mode:"
      explain mcpgw
    fi
    stop mcpgw upstream
  done
}

# Their servers are out of reach: the contexts get no link.
section_contexts() {
  local line
  echo '{"mcpServers": {"a": {"url": "http://127.0.0.1:9/mcp"}, "b": {"url": "http://127.0.0.1:9/mcp"}}}' >"$work/apart.json"
  XDG_STATE_HOME=$work/state launch mcpgw "$proxy_cpu" "$B/mcpgw" serve "$work/apart.json" --listen 127.0.0.1:0
  pid=${running[mcpgw]}
  if url_of mcpgw && line=$("$tools/contexts" "$url" --pid "$pid" 2>"$work/load.err"); then
    echo "contexts without a link: $line"
    budget "resident memory a context, KiB" "$(field rss_kib <<<"$line")" 4
    budget "find by id and touch, ns" "$(field find_ns <<<"$line")" 1000
  else
    explain mcpgw
  fi
  stop mcpgw
}

section_scan() {
  if [ -x "$tools/scan_bench" ]; then
    echo "scanner beside jansson:"
    taskset -c "$proxy_cpu" "$tools/scan_bench" --check | sed 's/^/  /'
    [ "${PIPESTATUS[0]}" -eq 0 ] || missed=1
  else
    echo "scanner beside jansson: n/a, $tools/scan_bench is missing"
  fi
}

section_cold() {
  local line
  start_upstream legacy
  line=$(XDG_STATE_HOME=$work/cold taskset -c "$proxy_cpu" "$tools/cold" -- "$B/mcpgw" serve "$upstream" --listen 127.0.0.1:0 2>"$work/load.err") ||
    explain mcpgw
  budget "cold start to first answer, ms" "$(field cold_ms <<<"$line")" 50
  stop upstream
}

section_size() {
  local bytes=
  [ -x "$B/mcpgw" ] && strip -o "$work/stripped" "$B/mcpgw" && bytes=$(stat -c %s "$work/stripped")
  budget "stripped binary, bytes" "$bytes" 1048576
}

cpus=$(nproc)
taskset -cp "$load_cpu" $$ >/dev/null # what we start from here on is the load, unless it is told otherwise
echo "bench: $cpus cpus, $(uname -r), proxy on cpu $proxy_cpu, load and upstream on cpu $load_cpu"
for section in ${*:-calls syscalls heap idle contexts scan cold size}; do
  declare -F "section_$section" >/dev/null || { echo "bench: no section $section" >&2; exit 2; }
  "section_$section"
done
verdict="no budget missed"
[ "$missed" -eq 0 ] || verdict="a budget was missed"
[ "$unknown" -eq 0 ] || verdict="$verdict, $unknown not measured"
echo "bench: $verdict"
exit "$missed"
