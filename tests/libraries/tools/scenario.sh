#!/bin/sh
# The fixed scenario, for libmemcached's tools: scenario.sh LIBRARY PROTOCOL PORT
#
# Prints what each tool says, and its exit code. memccapable is t/capable.py's.
set -u

server=127.0.0.1:$3
binary=
[ "$2" = binary ] && binary=--binary
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory" || exit 1

# One step: what a tool prints, in one line and sorted, without times; and its exit code.
step() {
    name=$1
    shift
    said=$("$@" 2>&1)
    code=$?
    printf '%s: %s (%s)\n' "$name" "$(printf '%s' "$said" | tr '\r\t' '  ' | sed 's/[0-9.]* seconds/some seconds/' | sort | tr '\n' '|')" "$code"
}

# The same for a large output: its digest.
digest() {
    name=$1
    shift
    "$@" 2>&1 >out
    printf '%s: %s %s\n' "$name" "$(md5sum <out | cut -c1-8)" "$(wc -c <out)"
}

printf 'hello' >greeting
: >empty
printf '7' >number
head -c 300000 /dev/zero | tr '\0' 'z' >large
seq 1 2000 >lines

step ping memcping --servers="$server"
step copy memccp $binary --servers="$server" greeting empty number large lines
step copy-for-long memccp $binary --servers="$server" --expire=100 --flags=9 greeting
step copy-added memccp $binary --servers="$server" --add greeting
step copy-replaced memccp $binary --servers="$server" --replace greeting
step cat memccat $binary --servers="$server" greeting number
step cat-with-flags memccat $binary --servers="$server" --flags greeting
step cat-nothing memccat $binary --servers="$server" nothing
digest cat-large memccat $binary --servers="$server" large
digest cat-lines memccat $binary --servers="$server" lines
step exist memcexist $binary --servers="$server" greeting
step exist-nothing memcexist $binary --servers="$server" nothing
step touch memctouch $binary --servers="$server" --expire=100 greeting
step touch-nothing memctouch $binary --servers="$server" --expire=100 nothing
# What is listed depends on what memcached has tidied up meanwhile.
[ "$2" = binary ] || step dump sh -c "memcdump --servers=$server >/dev/null"
step stat sh -c "memcstat $binary --servers=$server | grep -c -E '^[[:space:]]+ ?(pid|uptime|version|curr_items|bytes|evictions):'"
step stat-items sh -c "memcstat $binary --servers=$server | grep -E 'curr_items|total_items|cmd_set'"
step server-version sh -c "memcstat $binary --servers=$server --server-version 2>&1 | sed -E 's/[0-9]+\.[0-9]+\.[0-9]+/VERSION/g; s/:[0-9]+/:PORT/'"
step remove memcrm $binary --servers="$server" greeting
step remove-nothing memcrm $binary --servers="$server" greeting
step cat-removed memccat $binary --servers="$server" greeting
for test in get set mget; do
    step "slap-$test" sh -c "memcslap $binary --servers=$server --test=$test --concurrency=8 --execute-number=200 | grep -v -i -E 'took|time|seconds|/s'"
done
step flush memcflush $binary --servers="$server"
step cat-flushed memccat $binary --servers="$server" number
