#!/bin/sh
# deps.sh GROUP...: sees to the Debian packages that a group of make's doors needs, and installs what is missing:
#   build  make, make run, make install
#   check  make check, make lint (besides build)
#   bench  make bench (besides build)
#   fuzz   make fuzz-smoke (besides build)
# Says what it installs. Silent, and without touching the network, when nothing is missing. A thing counts as
# there when it works, wherever it came from. Exit 1 with a line on what to do when it cannot be had.
set -u
PATH=$PATH:/usr/sbin:/sbin:/usr/local/go/bin

command_there() { command -v "$1" >/dev/null 2>&1; }
library_there() { command_there pkg-config && pkg-config --exists "$1" 2>/dev/null; }
llhttp_there() { library_there libllhttp || [ -f /usr/share/llhttp/llhttp.c ]; }

fuzzer_there() { ls /usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.fuzzer*.a >/dev/null 2>&1; }

missing=
need() { # PACKAGE TEST ARGUMENT
  package=$1
  shift
  "$@" || case " $missing " in
    *" $package "*) ;;
    *) missing="$missing${missing:+ }$package" ;;
  esac
}

build() {
  need gcc command_there cc
  need libc6-dev test -f /usr/include/stdio.h
  need make command_there make
  need pkg-config command_there pkg-config
  need libcurl4-openssl-dev library_there libcurl
  need libjansson-dev library_there jansson
  need libsodium-dev library_there libsodium
  need libuv1-dev library_there libuv
  need liblmdb-dev library_there lmdb
  need node-llhttp llhttp_there
}

check() {
  build
  need check library_there check
  need libsubunit-dev library_there libsubunit
  need g++ command_there c++
  need python3 command_there python3
  need nginx-light command_there nginx
  need mandoc command_there mandoc
  need curl command_there curl
  need golang-go command_there go
  need npm command_there npm
}

bench() {
  build
  need haproxy command_there haproxy
  need valgrind command_there valgrind
  need nginx-light command_there nginx
  need strace command_there strace
  need util-linux command_there taskset
  need binutils command_there strip
}

fuzz() {
  build
  need clang command_there clang
  need libclang-rt-14-dev fuzzer_there
}

# Becomes root for one command.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"
  else sudo "$@"
  fi
}

[ $# -gt 0 ] || { sed -n '2,7s/^# *//p' "$0" >&2; exit 2; }
for group in "$@"; do
  case $group in
    build | check | bench | fuzz) "$group" ;;
    *) echo "deps: no group \"$group\": build, check or bench" >&2; exit 2 ;;
  esac
done
[ -n "$missing" ] || exit 0

if ! command_there apt-get; then
  echo "deps: this is not Debian: install by hand what it calls: $missing" >&2
  exit 1
fi
if [ "$(id -u)" -ne 0 ] && ! command_there sudo; then
  echo "deps: neither root nor sudo: as root run: apt-get install $missing" >&2
  exit 1
fi
echo "deps: installing $missing"
export DEBIAN_FRONTEND=noninteractive
as_root apt-get -q update >/dev/null ||
  echo "deps: apt-get update failed, going on with the package lists that are there" >&2
# Word splitting is meant: a list of package names.
# shellcheck disable=SC2086
as_root apt-get -q -y --no-install-recommends install $missing >/dev/null || {
  echo "deps: apt-get could not install $missing: see above" >&2
  exit 1
}
