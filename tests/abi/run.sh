#!/bin/sh
# run.sh BUILD: is the public face of the library what it says it is? BUILD is make's build directory, with
# mcpgw, mcpgw-launch, libmcpgw.so, libmcpgw.a and examples/notes in it. Prints `ok - …` and `not ok - …`
# lines; the last line is "N passed, N failed". Exit 1 if any failed, 2 if it could not run.
set -u
LC_ALL=C
export LC_ALL
cd "$(dirname "$0")/../.." || exit 2
[ $# -eq 1 ] && build=$(cd "$1" && pwd) || { sed -n '2,4s/^# *//p' tests/abi/run.sh >&2; exit 2; }
top=$(pwd)
here=$top/tests/abi
so=$build/libmcpgw.so
notes=$build/examples/notes
for f in "$so" "$build/libmcpgw.a" "$build/mcpgw" "$build/mcpgw-launch" "$notes"; do
  [ -f "$f" ] || { echo "abi: $f is not there: run make, and make $notes" >&2; exit 2; }
done
work=$(mktemp -d /tmp/mcpgw-abi.XXXXXX) || exit 2
case $work in /tmp/mcpgw-abi.*) trap 'rm -rf "$work"' EXIT ;; *) exit 2 ;; esac
passed=0 failed=0
cc=${CC:-cc} cxx=${CXX:-c++}
unset MAKEFLAGS MAKELEVEL MFLAGS MAKEOVERRIDES

ok() { echo "ok - $1"; passed=$((passed + 1)); }
not_ok() { # WHAT [FILE with the reason]
  echo "not ok - $1"
  failed=$((failed + 1))
  if [ $# -gt 1 ] && [ -s "$2" ]; then head -n 30 "$2" | sed 's/^/# /'; fi
}
try() { # WHAT COMMAND…: passes when the command does
  what=$1
  shift
  if "$@" >"$work/try" 2>&1; then ok "$what"; else not_ok "$what" "$work/try"; fi
}
tally() { # FILE: counts and shows the ok lines another program printed
  cat "$1"
  passed=$((passed + $(grep -c '^ok - ' "$1")))
  failed=$((failed + $(grep -c '^not ok - ' "$1")))
}

# ---- one list of names ---------------------------------------------------------------------------------
list=pkgconfig/exports.txt
nm -D --defined-only "$so" | awk '{sub(/@.*/, "", $3)} $3 != "MCPGW_0" && $2 != "A" {print $3}' | sort -u >"$work/so"
sed -n 's/^MCPGW_API .*[ *]\(mcpgw_[a-z0-9_]*\)(.*/\1/p' include/mcpgw/*.h | sort -u >"$work/headers"
sed -n 's/^    \(mcpgw_[a-z0-9_]*\);$/\1/p' pkgconfig/mcpgw.map | sort -u >"$work/map"
for page in man/*.3; do sed -n '/^\.Sh NAME/,/^\.Nd/s/^\.Nm \(mcpgw_[a-z0-9_]*\).*/\1/p' "$page"; done |
  sort >"$work/names"
sort -u "$work/names" >"$work/manual"
sed -n '/^\.Sh SYNOPSIS/,/^\.Sh DESCRIPTION/s/^\.F[no] \(mcpgw_[a-z0-9_]*\).*/\1/p' man/*.3 | sort -u >"$work/synopses"

[ "$(grep -c '' "$list")" -gt 0 ] && try "exports.txt is sorted, with no name twice" sort -uc "$list"
try "the library exports what exports.txt lists" diff "$list" "$work/so"
try "the headers declare what exports.txt lists" diff "$list" "$work/headers"
try "the version script says what exports.txt lists (make exports)" diff "$list" "$work/map"
try "the manual names what exports.txt lists" diff "$list" "$work/manual"
try "every function is named by one page only" sh -c "uniq -d '$work/names' | grep . && exit 1; exit 0"
try "every function has its synopsis" diff "$list" "$work/synopses"
readelf -d "$so" >"$work/dynamic"
try "the soname is libmcpgw.so.0" grep -q 'SONAME.*\[libmcpgw.so.0\]' "$work/dynamic"
try "the library asks for no run path" sh -c "! grep -E 'RPATH|RUNPATH' '$work/dynamic'"
# llhttp, generated and not ours, has abort() where its tables cannot lead.
find "$build/lib" -name '*.o' -exec nm -u {} + | awk 'NF == 2 {print $2}' | sort -u >"$work/undefined"
try "it cannot end its host, print, or change what is the host's" sh -c "[ -s '$work/undefined' ] && ! grep -xE \
  'abort|exit|_exit|_Exit|__assert_fail|signal|setlocale|chdir|fchdir|getenv|secure_getenv|setenv|putenv|stderr|stdout|printf|puts|perror|system|popen' '$work/undefined'"

# ---- headers -------------------------------------------------------------------------------------------
for h in include/mcpgw/*.h; do
  n=$(basename "$h")
  printf '#include <mcpgw/%s>\n#include <mcpgw/%s>\nint unused_%s;\n' "$n" "$n" "${n%.h}" >"$work/alone.c"
  cp "$work/alone.c" "$work/alone.cc"
  try "mcpgw/$n alone, as C99" "$cc" -std=c99 -pedantic -Wall -Wextra -Werror -Iinclude -fsyntax-only "$work/alone.c"
  try "mcpgw/$n alone, as C++11" "$cxx" -std=c++11 -pedantic -Wall -Wextra -Werror -Iinclude -fsyntax-only "$work/alone.cc"
done
# Comments go, strings stay: what is left must hold nothing that a binding could not call.
sed 's|//.*||' include/mcpgw/*.h | tr '\n' '\001' | sed 's|/\*[^*]*\*\+\([^/*][^*]*\*\+\)*/||g' | tr '\001' '\n' >"$work/bare"
try "no varargs, bit-fields, enums, bool, long, ssize_t, FILE or inline in a header" sh -c \
  "! grep -nE '\.\.\.|\b(enum|bool|_Bool|long|ssize_t|FILE|inline|va_list)\b|[a-z_0-9] *: *[0-9]+ *;' '$work/bare'"

# ---- what make install leaves is enough ------------------------------------------------------------------
root=$work/root
usr=$root/usr/local
try "make install" make -s B="$build" DESTDIR="$root" prefix=/usr/local install
export PKG_CONFIG_PATH="$usr/lib/pkgconfig${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}"
export PKG_CONFIG_SYSROOT_DIR=
pc() { pkg-config --define-variable=prefix="$usr" "$@" mcpgw; }
try "pkg-config knows the version of mcpgw/version.h" test \
  "$(pc --modversion)" = "$(sed -n 's/^#define MCPGW_VERSION "\(.*\)"/\1/p' include/mcpgw/version.h)"
try "dynamic linking needs no library but libmcpgw" test "$(pc --libs-only-l | tr -d ' ')" = -lmcpgw
compile() { # OUT SOURCE…: with what pkg-config says, and nothing of this tree
  out=$1
  shift
  # shellcheck disable=SC2046
  "$cc" -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -g $(pc --cflags) -o "$out" "$@" $(pc --libs) -lpthread
}
static() { # the same against libmcpgw.a, the libraries under it as they come
  # shellcheck disable=SC2046
  "$cc" -std=gnu11 -Wall -Wextra -Werror $(pc --cflags) -o "$1" "$2" "$usr/lib/libmcpgw.a" \
    $(pkg-config --libs $(pc --print-requires-private | sed 's/ .*//')) -lpthread
}
LD_LIBRARY_PATH=$usr/lib
export LD_LIBRARY_PATH
try "a program builds by pkg-config alone" compile "$work/consumer" "$here/consumer.c"
try "and runs" "$work/consumer"
try "it builds against the static library and Requires.private" static "$work/static" "$here/consumer.c"
try "and runs" "$work/static"
try "every function has its page, installed" sh -c "while read -r f; do [ -f '$usr/share/man/man3/'\$f.3 ] || { echo \$f; exit 1; }; done <$list"
try "the installed mcpgw runs" "$usr/bin/mcpgw" --version
[ -x "$usr/libexec/mcpgw/mcpgw-launch" ] && [ -f "$usr/share/mcpgw/mcpgw.schema.json" ]
try "launcher and schema are installed" test $? -eq 0
try "mcpgw looks for its launcher where install puts it" grep -q /usr/local/libexec/mcpgw "$usr/bin/mcpgw"
find "$root" -type f ! -perm -a+r >"$work/modes"
try "everything installed can be read by all" sh -c "! grep . '$work/modes'"

# ---- the three examples, and the library's silence ---------------------------------------------------------
try "examples/embed builds from the installed library" compile "$work/embed" examples/embed/embed.c
timeout 30 "$work/embed" "$notes" >"$work/out" 2>"$work/err"
try "examples/embed: exit 0" test $? -eq 0
try "examples/embed: the tools, and the note" sh -c "grep -q '^tools: .*\"add_note\"' '$work/out' && grep -q '^add_note: .*note 1' '$work/out'"
try "the library says nothing on stderr" sh -c "! grep . '$work/err'"
try "and nothing on stdout" test "$(grep -c '' "$work/out")" -eq 2
timeout 30 "$work/embed" /nonexistent/server >"$work/out" 2>"$work/err"
try "examples/embed with a command that is not there: exit 1" test $? -eq 1
try "and the reason, naming the server" grep -q '^embed: .*"notes"' "$work/err"

timeout 60 python3 examples/python/mcpgw_demo.py "$usr/lib/libmcpgw.so" "$notes" >"$work/out" 2>"$work/err"
try "examples/python: exit 0" test $? -eq 0
try "examples/python: the tools, and the note" sh -c "cat '$work/err'; grep -q '^list_notes: ' '$work/out' && grep -q 'add_note said: note 1' '$work/out'"

CGO_CFLAGS=$(pc --cflags) CGO_LDFLAGS=$(pc --libs-only-L)
export CGO_CFLAGS CGO_LDFLAGS CGO_ENABLED=1 GOFLAGS=-mod=mod GOTOOLCHAIN=local GOPROXY=off
PATH=$PATH:/usr/local/go/bin
try "examples/go builds" sh -c "cd examples/go && go build -o '$work/go-example' ."
timeout 60 "$work/go-example" "$notes" >"$work/out" 2>"$work/err"
try "examples/go: exit 0" test $? -eq 0
try "examples/go: the tools, and the note" sh -c "cat '$work/err'; grep -q '^tools: .*\"add_note\"' '$work/out' && grep -q '^add_note: .*note 1' '$work/out'"

# ---- the programs in README and manual are programs -----------------------------------------------------------
awk '/^```c$/ {on = 1; next} /^```$/ {on = 0} on' README.md >"$work/readme.c"
try "README's program builds" compile "$work/readme" "$work/readme.c"
timeout 30 "$work/readme" "$notes" >"$work/out" 2>&1
try "and lists the tools" grep -q '"add_note"' "$work/out"
awk '/^#include/ {on = 1} /^\.Ed/ {on = 0} on' man/libmcpgw.3 | sed 's/\\en/\\n/g' >"$work/manual.c"
try "libmcpgw(3)'s program builds" compile "$work/manual-example" "$work/manual.c"
printf '{"mcpServers":{"notes":{"command":"%s"}},"gateway":{"listen":["127.0.0.1:0"]}}' "$notes" >"$work/config.json"
"$work/manual-example" "$work/config.json" >"$work/out" 2>&1 &
guest_pid=$!
tries=0
until grep -q '^http://127' "$work/out" || [ $tries -ge 50 ]; do tries=$((tries + 1)); sleep 0.1; done
try "and serves" "$build/mcpgw" call "$(head -n 1 "$work/out")" add_note '{"text":"x"}'
kill "$guest_pid"
wait "$guest_pid" 2>/dev/null

# ---- a polite guest, and a foreign transport ------------------------------------------------------------------
try "guest builds" compile "$work/guest" -I"$here" "$here/guest.c" "$here/support.c"
for launcher in "" "$build/mcpgw-launch"; do
  echo "# guest, ${launcher:+with the launcher}${launcher:-without a launcher}"
  # shellcheck disable=SC2086
  (cd "$work" && timeout 120 ./guest "$notes" $launcher) >"$work/out" 2>"$work/err"
  status=$?
  tally "$work/out"
  try "guest ran to its end" test $status -le 1
  try "the library says nothing on stderr" sh -c "! grep . '$work/err'"
done
try "extend builds" compile "$work/extend" -I"$here" "$here/extend.c" "$here/support.c"
(cd "$work" && timeout 60 ./extend) >"$work/out" 2>"$work/err"
status=$?
tally "$work/out"
try "extend ran to its end" test $status -le 1

# ---- the manual ----------------------------------------------------------------------------------------------
for page in man/*.[135]; do
  try "$page: mandoc has nothing to say" sh -c "mandoc -Tlint -W warning '$page' && ! mandoc -Tlint -W warning '$page' | grep ."
done

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
