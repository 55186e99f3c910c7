#!/usr/bin/env bash
# CPU per request of stackload beside wrk, against the same server, alternating.
#
#   client/bench.sh [ROUNDS] [SECONDS] [CONNECTIONS...]      defaults: 5 rounds of 2 s, 50 and 100 connections
#
# The server is the null stack unless URL names another one. Server and clients have a CPU each where there are two.
set -euo pipefail

rounds=${1:-5} seconds=${2:-2}
shift $(($# < 2 ? $# : 2))
[ $# -gt 0 ] || set -- 50 100

root=$(cd "$(dirname "$0")/.." && pwd)
bin=${CARGO_TARGET_DIR:-$root/target}/release
ours=${STACKLOAD:-$bin/stackload}
command -v wrk >/dev/null || { echo "bench: wrk is missing: apt install wrk" >&2; exit 2; }
[ -x "$ours" ] || { echo "bench: $ours is missing: cargo build --release --workspace --bins" >&2; exit 2; }

on_client_cpu=() on_server_cpu=()
if [ "$(nproc)" -ge 2 ]; then on_server_cpu=(taskset -c 0) on_client_cpu=(taskset -c 1); fi

folder=$(mktemp -d)
server=
finish() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    rm -rf "$folder"
}
trap finish EXIT

url=${URL:-}
if [ -z "$url" ]; then
    [ -x "$bin/stack-null" ] || { echo "bench: $bin/stack-null is missing: build it, or set URL" >&2; exit 2; }
    "${on_server_cpu[@]}" "$bin/stack-null" --listen 127.0.0.1:0 >"$folder/server" &
    server=$!
    for _ in $(seq 100); do grep -q '^listening on ' "$folder/server" && break; sleep 0.05; done
    url=http://$(sed -n 's/^listening on //p' "$folder/server")/check
fi

# Prints the client's CPU microseconds per request.
cost() {
    local cpu
    TIMEFORMAT='%U %S'
    cpu=$({ time "${on_client_cpu[@]}" "$@" "$url" >"$folder/report"; } 2>&1)
    awk -v cpu="$cpu" '/requests in/ { split(cpu, part, " "); printf "%.3f\n", (part[1] + part[2]) * 1e6 / $1 }' "$folder/report"
}

median() { sort -n | awk '{ value[NR] = $1 } END { print value[int((NR + 1) / 2)] }'; }

printf '%-12s %12s %12s %8s   (median of %d rounds of %d s, CPU us per request)\n' connections wrk stackload ratio "$rounds" "$seconds"
for connections; do
    : >"$folder/wrk"; : >"$folder/ours"; : >"$folder/ratio"
    for _ in $(seq "$rounds"); do
        wrk_us=$(cost wrk -t1 -c"$connections" -d"$seconds")
        our_us=$(cost "$ours" -t1 -c"$connections" -d"$seconds")
        echo "$wrk_us" >>"$folder/wrk"; echo "$our_us" >>"$folder/ours"
        awk -v a="$our_us" -v b="$wrk_us" 'BEGIN { printf "%.3f\n", a / b }' >>"$folder/ratio"
    done
    printf '%-12s %12s %12s %8s\n' "$connections" "$(median <"$folder/wrk")" "$(median <"$folder/ours")" "$(median <"$folder/ratio")"
done
