#!/usr/bin/env bash
# run.sh [SECTION...]: the bench of DESIGN section 16. Sections: calls instructions syscalls heap idle contexts
#   keyed lists stuck scan cold size (all). Figures are ratios within one run, by CPU time, not by the clock on the wall: all proxies are
#   up, pinned to cpu 0 while load and upstream share cpu 1; in each of ROUNDS short rounds every one is
#   measured in turn, ratios and differences are taken within the round, and their medians are printed. What is
#   not there is n/a. Everything is on loopback and ends with this script. Exit 1 if a budget was missed.
#   Environment: B=build  ROUNDS=30  SECS=0.4  CONNECTIONS=64  ERAS="legacy modern"  STREAMS=9000  KEYED_S=2  LISTS=3000
set -u
here=$(cd "$(dirname "$0")" && pwd) || exit 2
B=${B:-build} ROUNDS=${ROUNDS:-30} SECS=${SECS:-0.4} CONNECTIONS=${CONNECTIONS:-64} STREAMS=${STREAMS:-9000}
KEYED_S=${KEYED_S:-2} LISTS=${LISTS:-3000}
ERAS=${ERAS:-legacy modern}
tools=$B/bench
for tool in upstream load curlproxy idle cold contexts store_bench; do
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

# Waits for the URL that NAME prints as its first line, so many seconds at most; sets url.
url_of() { # NAME [SECONDS]
  local tries=0
  until url=$(head -n 1 "$work/$1.out") && [[ $url == http://* ]]; do
    tries=$((tries + 1))
    [ "$tries" -lt $((${2:-5} * 20)) ] && kill -0 "${running[$1]}" 2>/dev/null || return 1
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

start_mcpgw() { # [HEARTBEAT_MS]
  local what=$upstream
  [ -x "$B/mcpgw" ] || return 1
  if [ $# -gt 0 ]; then
    what=$work/mcpgw.json
    echo "{\"mcpServers\": {\"bench\": {\"type\": \"http\", \"url\": \"$upstream\"}}, \"gateway\": {\"heartbeat_ms\": $1}}" >"$what"
  fi
  XDG_STATE_HOME=$(mktemp -d "$work/state.XXXXXX") launch mcpgw "$proxy_cpu" "$B/mcpgw" serve "$what" --listen 127.0.0.1:0
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

median() { # [FILE]: of the numbers there or on stdin; nothing when there are none
  sort -n "$@" | awk '{v[NR] = $1} END {if (NR) print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'
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

# One connection for a moment: prints " p50KEY=… p99KEY=…".
latency() { # ERA ROW KEY
  "$tools/load" "${urls[$2]}" --era "$1" --connections 1 --seconds 0.2 --warmup 0.05 2>>"$work/load.err" |
    sed "s/.*\(p50\)_us=\([0-9]*\).*\(p99\)_us=\([0-9]*\).*/ \1$3=\2 \3$3=\4/"
}

# One round of one row: adds "ROUND VALUE" to $work/ERA.ROW.KEY for each key of what load says.
measure() { # ERA ROUND ROW
  local line key value at=$work/$1.$3
  line=$("$tools/load" "${urls[$3]}" --era "$1" --connections "$CONNECTIONS" --seconds "$SECS" --warmup 0.05 --pid "${pids[$3]}" 2>"$work/load.err") ||
    { explain "$3" >"$at.why"; return; }
  line+=$(latency "$1" "$3" one)
  if [ "$3" != direct ]; then
    taskset -acp "$load_cpu" "${pids[$3]}" >/dev/null
    line+=$(latency "$1" "$3" same)
    taskset -acp "$proxy_cpu" "${pids[$3]}" >/dev/null
  else
    line+=$(latency "$1" "$3" same)
  fi
  for key in cpu_us rps p99_us p50one p99one p50same; do
    value=$(field "$key" <<<"$line")
    [ -z "$value" ] || echo "$2 $value" >>"$at.$key"
  done
}

# The tenth of a row's rounds that cost least: what else runs here can only add to them.
least() { # ERA ROW
  [ ! -s "$work/$1.$2.cpu_us" ] || cut -d ' ' -f 2 "$work/$1.$2.cpu_us" | sort -n | awk '{v[NR] = $1} END {print v[int((NR + 9) / 10)]}'
}

# Of a row, alone or set against another row in the same round: the median over the rounds.
of() { # ERA ROW KEY [OPERATOR OTHER [FORMAT]]
  [ -s "$work/$1.$2.$3" ] || { echo n/a; return; }
  if [ $# -eq 3 ]; then
    cut -d ' ' -f 2 "$work/$1.$2.$3" | median
  elif [ ! -s "$work/$1.$5.$3" ]; then
    echo n/a
  else
    join "$work/$1.$2.$3" "$work/$1.$5.$3" | awk "{printf \"${6:-%.2f}\\n\", \$2 $4 \$3}" | median
  fi
}

table() { # ERA
  local row
  printf '%-8s %-8s %9s %9s %10s %11s %11s %9s %9s\n' "$1" row us/call xHAProxy over-curl added-p50 added-p99 p99@"$CONNECTIONS" rps
  for row in $ROWS; do
    if [ ! -s "$work/$1.$row.cpu_us" ]; then
      cat "$work/$1.$row.why"
      continue
    fi
    printf '%-8s %-8s %9s %9s %10s %11s %11s %9s %9s\n' '' "$row" "$(of "$1" "$row" cpu_us)" \
      "$(of "$1" "$row" cpu_us / haproxy)" "$(of "$1" "$row" cpu_us - curl)" "$(of "$1" "$row" p50one - direct %.0f)" \
      "$(of "$1" "$row" p99one - direct %.0f)" "$(of "$1" "$row" p99_us)" "$(of "$1" "$row" rps)"
  done
  budget "$1: CPU a call, x HAProxy" "$(of "$1" mcpgw cpu_us / haproxy)" 2.0
  budget "$1: CPU a call over the bare libcurl floor, us" "$(of "$1" mcpgw cpu_us - curl)" 8
  # Of the two wake-ups a call has at 1 connection each crosses to a processor that sleeps, and what a virtual one
  # takes to wake is the machine's affair: HAProxy's row shows it. With all on one processor none does.
  budget "$1: added latency at 1 connection, p99 us" "$(of "$1" mcpgw p99one - direct %.0f)" 1000
  budget "$1: the same on one processor, p50 us" "$(of "$1" mcpgw p50same - direct %.0f)" 100
  echo "  p50 on one processor: HAProxy $(of "$1" haproxy p50same - direct %.0f) us, libcurl $(of "$1" curl p50same - direct %.0f) us; across two, mcpgw's beside HAProxy's: $(of "$1" mcpgw p50one - haproxy %.0f) us"
  echo "  the tenth of the rounds that cost least: $(least "$1" mcpgw) us a call, $(calc "$(least "$1" mcpgw)" / "$(least "$1" haproxy)") x HAProxy, $(calc "$(least "$1" mcpgw)" - "$(least "$1" curl)") us over libcurl"
}

declare -A urls=() pids=()

section_calls() {
  local era round row
  echo "tools/call of 1 KiB, $ROUNDS rounds of $SECS s, $CONNECTIONS connections (added latency: 1 connection); us/call is CPU"
  for era in $ERAS; do
    start_upstream "$era"
    for row in $ROWS; do
      if "start_$row"; then urls[$row]=$url pids[$row]=$pid
      else explain "$row" >"$work/$era.$row.why" urls[$row]=
      fi
    done
    for ((round = 100; round < 100 + ROUNDS; round++)); do
      for row in $ROWS; do
        [ -z "${urls[$row]}" ] || measure "$era" "$round" "$row"
      done
    done
    for row in $ROWS; do [ "$row" = direct ] || stop "$row"; done
    stop upstream
    table "$era"
  done
}

# What a call costs in instructions of user space: the same on a busy machine. The difference of a long run and
# a short one, which start alike.
instructions() { # ERA ROW CALLS
  local out=$work/callgrind.$2 g tries
  launch upstream "$load_cpu" "$tools/upstream" --era "$1" && url_of upstream || return 1
  case $2 in
    mcpgw | store) set -- "$1" "$2" "$3" "$B/mcpgw" serve "$url" --listen 127.0.0.1:0 ;;
    curl) set -- "$1" "$2" "$3" "$tools/curlproxy" "$url" --body fields ;;
  esac
  XDG_STATE_HOME=$work/state launch traced "$proxy_cpu" valgrind --tool=callgrind --callgrind-out-file="$out" "${@:4}"
  url_of traced 20 && { [ "$2" != store ] || "$tools/load" "$url" --era "$1" --connections 1 --calls 5 --keyed 1 >/dev/null || { stop traced upstream; return 1; }; } && "$tools/load" "$url" --era "$1" --connections 8 --calls "$3" >/dev/null 2>"$work/load.err" || { stop traced upstream; return 1; }
  stop traced upstream
  awk '/^(summary|totals):/ {print $2; exit}' "$out"
}

section_instructions() { # the row `store` is mcpgw once a call with a key has opened its store
  local era row few many
  local -A per=()
  command -v valgrind >/dev/null || { echo "instructions a call: n/a, valgrind is not installed"; return; }
  for era in $ERAS; do
    for row in curl mcpgw store; do
      few=$(instructions "$era" "$row" 1000) many=$(instructions "$era" "$row" 4000)
      per[$row]=$(calc "($(calc "${many:-n/a}" - "${few:-n/a}" %.0f))" / 3000 %.0f)
      echo "instructions a call, $era, $row: ${per[$row]}"
    done
    budget "$era: instructions without a key, x without a store" "$(calc "${per[store]}" / "${per[mcpgw]}" %.3f)" 1.02
  done
}

# What each system call is for, where we know it.
explanations='
/ (read|recvfrom|recvmsg|readv)$/ {why = "the request in, the reply in; one more each where the socket is read till empty"}
/ (write|sendto|sendmsg|writev)$/ {why = "the request out, the reply out"}
/ (epoll_wait|epoll_pwait)$/ {why = "a turn of the loop, shared by the calls of that turn"}
/ rt_sig(procmask|timedwait)$/ {why = "SIGPIPE held back for the length of a turn"}
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

# Modern calls: each legacy client leaves a session behind.
section_heap() {
  local before after calls=60000
  start_upstream modern
  if start_mcpgw && "$tools/load" "$url" --era modern --connections 8 --calls 60000 >/dev/null 2>"$work/load.err"; then
    before=$(anon_kib "$pid")
    "$tools/load" "$url" --era modern --connections 8 --calls $calls >/dev/null 2>"$work/load.err" || calls=
    after=$(anon_kib "$pid")
    echo "heap: $before KiB before, $after KiB after ${calls:-no} calls more"
    budget "heap growth at steady state, bytes a call" "$(calc "$(((after - before) * 1024))" / "$calls")" 0.5
  else
    explain mcpgw
  fi
  stop mcpgw upstream
}

idle_streams() { # ERA MODE STREAMS HEARTBEAT_MS; sets line
  start_upstream "$1"
  start_mcpgw "$4" && line=$("$tools/idle" "$url" --pid "$pid" --streams "$3" --mode "$2" 2>"$work/load.err") || line=
  stop mcpgw upstream
}

# Silence is measured without heartbeats, and what those cost apart: they come in bursts, as the streams did.
section_idle() {
  local mode line beat
  for mode in get listen; do
    idle_streams "$([ $mode = listen ] && echo modern || echo legacy)" $mode "$STREAMS" 3600000
    echo "idle SSE streams, $mode: $line"
    [ -n "$line" ] || explain mcpgw
    # a GET stream comes with a session and its link: what they cost is in it
    budget "resident memory a $mode stream, KiB" "$(field rss_kib <<<"$line")" 4
    budget "CPU over 5 s with $STREAMS streams, %" "$(field cpu_percent <<<"$line")" 0.5
    line=$(field dropped_ms <<<"$line")
    budget "$((STREAMS / 9)) dropped streams noticed, ms" "${line/#-1/99999}" 100
  done
  idle_streams legacy get 1000 500 # 10,000 of them in 5 seconds
  beat=$(calc "$(field cpu_percent <<<"$line")" '* 5e4 /' 10000)
  echo "  a heartbeat: $beat us of CPU; $STREAMS streams, each every 15 s: $(calc "$beat" "* $STREAMS / 1.5e7 *" 100) %"
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

# ---- calls with keys, and the store under them ------------------------------------------------------------------

# A gateway with its own state; DURABILITY empty: no state at all.
start_keyed() { # DURABILITY [NAME]
  local name=${2:-mcpgw} state='"log":{"level":"error"}'
  [ -z "$1" ] || state="\"state_dir\":\"$work/state-$1\",\"idempotency\":{\"durability\":\"$1\"},$state"
  printf '{"mcpServers":{"u":{"url":"%s"}},"gateway":{"listen":["127.0.0.1:0"],%s}}' "$upstream" "$state" >"$work/keyed.json"
  # shellcheck disable=SC2046
  launch "$name" "$proxy_cpu" "$B/mcpgw" serve "$work/keyed.json" $([ -n "$1" ] || echo --ephemeral)
  pid=${running[$name]}
  url_of "$name"
}

transactions() { "$B/mcpgw" store stat --json "$1" 2>/dev/null | sed 's/.*"transactions":\([0-9]*\).*/\1/'; }
stat_of() { "$B/mcpgw" store stat --json "$1" 2>/dev/null | sed "s/.*\"$2\":\([0-9]*\).*/\1/"; }

keyed_row() { # NAME LOAD-OPTIONS...: sets cpu rps p99 calls
  local name=$1 line
  shift
  line=$("$tools/load" "$url" --era modern --connections 64 --seconds "$KEYED_S" --pid "$pid" "$@" 2>"$work/load.err") || { explain mcpgw; return 1; }
  cpu=$(field cpu_us <<<"$line") rps=$(field rps <<<"$line") p99=$(field p99_us <<<"$line") calls=$(field calls <<<"$line")
  printf '  %-30s %8s us/call %9s calls/s   p50 %s us, p99 %s us\n' "$name" "$cpu" "$rps" "$(field p50_us <<<"$line")" "$p99"
}

# Calls without a key, 1,000 a second, while 32 other clients call as fast as they are answered: with keys, and without.
beside_keyed() {
  local round what rps
  for round in 1 2 3 4 5 6 7; do
    for what in keyed plain; do
      # shellcheck disable=SC2046
      "$tools/load" "$url" --era modern --era modern --connections 32 --seconds 2 $([ $what = plain ] || echo --keyed 1) >"$work/side.$what" 2>/dev/null &
      sleep 0.6
      "$tools/load" "$url" --era modern --connections 16 --rate 1000 --warmup 0.1 --seconds 1 >"$work/probe" 2>"$work/load.err"
      wait $!
      field p50_us <"$work/probe" >>"$work/p50.$what"
      field p99_us <"$work/probe" >>"$work/p99.$what"
      field rps <"$work/side.$what" >>"$work/rps.$what"
    done
  done
  for what in keyed plain; do
    printf '  no key, 1000/s beside %-8s %33.0f calls/s   p50 %.0f us, p99 %.0f us\n' "$what" "$(median "$work/rps.$what")" "$(median "$work/p50.$what")" "$(median "$work/p99.$what")"
  done
  budget "p99 beside keyed calls, x beside others" "$(paste "$work/p99.keyed" "$work/p99.plain" | awk '{printf "%.2f\n", $1 / $2}' | median)" 1.1
}

section_keyed() {
  local mode before after records bytes
  echo "calls with idempotency keys, modern, 64 connections, $KEYED_S s each; us/call is CPU of the gateway"
  start_upstream modern
  start_keyed "" && keyed_row "no key"
  stop mcpgw
  for mode in sync async; do
    start_keyed $mode || { explain mcpgw; continue; }
    keyed_row "key, $mode" --keyed 1 && [ $mode = sync ] && budget "keyed sync calls, 5000 a second over" "$(calc 5000 / "$rps")" 1
    before=$(transactions "$work/state-$mode")
    keyed_row "key, $mode, again" --keyed 1
    after=$(transactions "$work/state-$mode")
    echo "    $((after - before)) commits for about $calls calls: $(calc "$calls" / "$((after - before))" %.1f) calls a commit (each call writes twice)"
    keyed_row "16 calls a key: joined, replayed" --keyed 16
    if [ $mode = sync ]; then
      beside_keyed
      records=$(stat_of "$work/state-$mode" records) bytes=$(stat_of "$work/state-$mode" used_bytes)
      echo "    $(calc "$bytes" / "$records" %.0f) bytes a record on disk; the quota of 4 GiB lasts $(calc "4294967296 * 0.95 / ($bytes / $records)" / 360000 %.1f) hours at 100 keyed calls a second"
    fi
    stop mcpgw
  done
  stop upstream
  echo "the store alone, on $(df --output=fstype "$work" | tail -n 1):"
  taskset -c "0-$((cpus - 1))" "$tools/store_bench" "$work/alone" "$KEYED_S" | tee "$work/store.out" | sed 's/^/  /'
  budget "reads under full write load, p99 us" "$(field read_p99_us <"$work/store.out")" 5
  taskset -c "0-$((cpus - 1))" python3 "$here/sqlite.py" "$work/sqlite" "$KEYED_S" | tee "$work/sqlite.out" | sed 's/^/  /'
  echo "    the store does $(calc "$(field waited_rps <"$work/store.out")" / "$(field sqlite_rps <"$work/sqlite.out")" %.1f) times what SQLite does with a write a call"
}

# tools/list of a real server (official SDK, Node): from the cache, and asked for each time (ttlMs 0). What a list
# costs is the CPU of gateway and server together.
lists_row() { # NAME TTL: sets cpu
  local node=$here/../conformance/node_modules/node/bin/node line server
  cpu=n/a
  [ -x "$node" ] || { echo "  $1: n/a, no node under tests/conformance (npm ci there)"; return; }
  launch server "$load_cpu" "$node" "$here/../conformance/changing.mjs" --era modern --http 0 --from 0 --every 100000000 --ttl "$2"
  url_of server && server=${running[server]} && launch mcpgw "$proxy_cpu" "$B/mcpgw" serve "$url" --listen 127.0.0.1:0 --ephemeral
  if url_of mcpgw && "$tools/load" "$url" --era modern --connections 4 --calls 200 --list >/dev/null 2>"$work/load.err"; then
    line=$(cat "/proc/$server/stat" | awk '{print $14 + $15}')
    line="$("$tools/load" "$url" --era modern --connections 4 --calls "$LISTS" --list --pid "${running[mcpgw]}" 2>"$work/load.err") server_ticks=$(($(awk '{print $14 + $15}' "/proc/$server/stat") - line))"
    cpu=$(calc "$(field cpu_us <<<"$line")" + "$(calc "$(field server_ticks <<<"$line")" '* 10000 /' "$LISTS")" %.1f)
    printf '  %-24s %8s us/list (gateway %s)  p50 %s us  %s lists/s\n' "$1" "$cpu" "$(field cpu_us <<<"$line")" "$(field p50_us <<<"$line")" "$(field rps <<<"$line")"
  else
    explain mcpgw
  fi
  stop mcpgw server
}

section_lists() {
  local cached
  echo "tools/list of an SDK server, $LISTS lists; us/list is CPU of gateway and server"
  lists_row "from the cache" 3600000
  cached=$cpu
  lists_row "asked each time" 0
  budget "a list from the cache costs, % of one that is asked for" "$(calc "$cached" '* 100 /' "$cpu")" 10
}

# One server accepts and never answers. What do its PENDING waiting callers cost those of the other one? In each
# round the healthy one is measured without them and with them; half of them go away, and in the end it is killed.
section_stuck() {
  local round stuck line pending=${PENDING:-1000} rounds=5
  start_upstream modern
  launch stuck "$load_cpu" python3 "$here/stuck.py" serve
  url_of stuck || { explain stuck; stop upstream; return; }
  stuck=$url
  printf '{"mcpServers": {"good": {"url": "%s"}, "stuck": {"url": "%s"}}}' "$upstream" "$stuck" >"$work/stuck.json"
  XDG_STATE_HOME=$work/state launch mcpgw "$proxy_cpu" "$B/mcpgw" serve "$work/stuck.json" --listen 127.0.0.1:0
  pid=${running[mcpgw]}
  url_of mcpgw || { explain mcpgw; stop mcpgw stuck upstream; return; }
  for ((round = 1; round <= rounds; round++)); do
    healthy "$url" without
    coproc HOLD { python3 "$here/stuck.py" hold "$url/stuck" "$pending" 2>"$work/hold.err"; }
    read -r -t 60 line <&"${HOLD[0]}" || { echo "  n/a: $(head -n 1 "$work/hold.err")"; break; }
    sleep 3 # each of them is on its way or has its place in the queue, and has become a stream
    healthy "$url" with
    echo "drop $((pending / 2))" >&"${HOLD[1]}" && read -r -t 20 line <&"${HOLD[0]}"
    [ "$round" -lt "$rounds" ] || { kill -9 "${running[stuck]}"; wait "${running[stuck]}" 2>/dev/null; sleep 1; }
    echo "count $([ "$round" -lt "$rounds" ] && echo 0 || echo 30)" >&"${HOLD[1]}" && read -r -t 60 line <&"${HOLD[0]}"
    kill "$HOLD_PID" 2>/dev/null; wait "$HOLD_PID" 2>/dev/null
    echo "stuck upstream, round $round: the healthy one's p99 $(tail -n 1 "$work/stuck.without") us, CPU a call $(tail -n 1 "$work/stuck.without.cpu") us;" \
      "with $pending pending $(tail -n 1 "$work/stuck.with") us, $(tail -n 1 "$work/stuck.with.cpu") us; then $line"
  done
  budget "p99 beside $pending stuck calls, ratio" "$(calc "$(median <"$work/stuck.with")" / "$(median <"$work/stuck.without")")" 1.10
  budget "CPU a call beside $pending stuck calls, ratio" "$(calc "$(median <"$work/stuck.with.cpu")" / "$(median <"$work/stuck.without.cpu")")" 1.10
  stop mcpgw stuck upstream
}

healthy() { # URL NAME
  local line
  line=$("$tools/load" "$1/good" --era modern --connections 8 --seconds 2 --pid "$pid" 2>"$work/load.err")
  field p99_us <<<"$line" >>"$work/stuck.$2"
  field cpu_us <<<"$line" >>"$work/stuck.$2.cpu"
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
for section in ${*:-calls instructions syscalls heap idle contexts keyed lists stuck scan cold size}; do
  declare -F "section_$section" >/dev/null || { echo "bench: no section $section" >&2; exit 2; }
  "section_$section"
done
verdict="no budget missed"
[ "$missed" -eq 0 ] || verdict="a budget was missed"
[ "$unknown" -eq 0 ] || verdict="$verdict, $unknown not measured"
echo "bench: $verdict"
exit "$missed"
