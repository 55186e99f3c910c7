#!/usr/bin/env bash
# CPU per request of stackload beside wrk, against one server on a CPU of its own, alternating; and of the bare exchange:
# the same writes and reads with no parsing and no histogram, which is what the kernel leaves. The server is the null stack
# where it can be, as it is faster than any client, and one worker of nginx for what that does not do.
#
#   client/bench.sh [ROUNDS] [SECONDS] [CASE...]      defaults: 5 rounds of 2 s, all cases
#
# Cases: small-1, small-100, small-2000 (connections, 16-byte answers), large-100 (100 KB answers), tls-100, close-100 (a
# connection for each answer), lua-100 (a request() and a response() hook).
set -euo pipefail

rounds=${1:-5} seconds=${2:-2}
shift $(($# < 2 ? $# : 2))
[ $# -gt 0 ] || set -- small-1 small-100 small-2000 large-100 tls-100 close-100 lua-100

root=$(cd "$(dirname "$0")/.." && pwd)
bin=${CARGO_TARGET_DIR:-$root/target}/release
ours=${STACKLOAD:-$bin/stackload}
bare=${BARE:-$root/target/bench-client/release/examples/bare_exchange}
for program in wrk nginx openssl taskset; do
    command -v "$program" >/dev/null || { echo "bench: $program is missing: apt install wrk nginx-light openssl util-linux" >&2; exit 2; }
done
for program in "$ours" "$bare" "$bin/stack-null"; do
    [ -x "$program" ] || { echo "bench: $program is missing: just bench-client builds it" >&2; exit 2; }
done

on_client_cpu=() on_server_cpu=()
if [ "$(nproc)" -ge 2 ]; then on_server_cpu=(taskset -c 0) on_client_cpu=(taskset -c 1); fi

folder=$(mktemp -d)
servers=()
finish() {
    for server in "${servers[@]}"; do
        kill "$server" 2>/dev/null && wait "$server" 2>/dev/null || true
    done
    rm -rf "$folder"
}
trap finish EXIT

# Two ports that nobody has now.
read -r port tls_port < <(python3 -c '
import socket
sockets = [socket.socket() for _ in range(2)]
for s in sockets: s.bind(("127.0.0.1", 0))
print(*(s.getsockname()[1] for s in sockets))')

openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost \
    -keyout "$folder/key.pem" -out "$folder/cert.pem" 2>/dev/null
mkdir "$folder/files"
chmod 755 "$folder" "$folder/files"
head -c 102400 /dev/zero | tr '\0' x >"$folder/files/large"
cat >"$folder/nginx.conf" <<EOF
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid $folder/pid;
error_log $folder/error.log;
events { worker_connections 10000; }
http {
    access_log off;
    # As Debian configures it: a file is sent without a copy, together with its head.
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    client_body_temp_path $folder; proxy_temp_path $folder; fastcgi_temp_path $folder; uwsgi_temp_path $folder; scgi_temp_path $folder;
    server {
        listen 127.0.0.1:$port backlog=4096;
        listen 127.0.0.1:$tls_port ssl;
        ssl_certificate $folder/cert.pem; ssl_certificate_key $folder/key.pem;
        location /small { return 200 "{\"status\": \"ok\"}"; }
        location /close { keepalive_timeout 0; return 200 "{\"status\": \"ok\"}"; }
        location /large { root $folder/files; }
    }
}
EOF
cat >"$folder/hooks.lua" <<'EOF'
function request() return wrk.request() end
function response(status, headers, body) end
EOF
"${on_server_cpu[@]}" nginx -c "$folder/nginx.conf" -e "$folder/error.log" &
server=$!
servers+=("$server")
mkfifo "$folder/null"
"${on_server_cpu[@]}" "$bin/stack-null" --listen 127.0.0.1:0 >"$folder/null" &
servers+=($!)
read -r _ _ null <"$folder/null"
until (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
    kill -0 "$server" 2>/dev/null || { cat "$folder/error.log" >&2; exit 1; }
done

# Prints the CPU microseconds per request of the command.
cost() {
    local cpu
    TIMEFORMAT='%U %S'
    cpu=$({ time "${on_client_cpu[@]}" "$@" >"$folder/report"; } 2>&1)
    awk -v cpu="$cpu" '/requests in/ { split(cpu, part, " "); printf "%.3f\n", (part[1] + part[2]) * 1e6 / $1 }' "$folder/report"
}

median() { sort -n | awk '{ value[NR] = $1 } END { print value[int((NR + 1) / 2)] }'; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { if (b == "" || b == 0) print "-"; else printf "%.3f\n", a / b }'; }

echo "CPU microseconds per request, median of $rounds rounds of $seconds s; ratios are medians of each round's"
printf '%-12s %10s %10s %10s %12s %12s\n' case wrk stackload bare ours/wrk ours/bare
for case; do
    connections=${case#*-} flags=() path=/${case%-*} server=127.0.0.1:$port scheme=http
    case $case in
        small-*) path=/check server=$null ;;
        lua-*) path=/check server=$null flags=(-s "$folder/hooks.lua") ;;
        tls-*) path=/small server=127.0.0.1:$tls_port scheme=https ;;
    esac
    for name in wrk ours bare by_wrk by_bare; do : >"$folder/$name"; done
    for _ in $(seq "$rounds"); do
        wrk_us=$(cost wrk -t1 -c"$connections" -d"$seconds" "${flags[@]}" "$scheme://$server$path")
        our_us=$(cost "$ours" -t1 -c"$connections" -d"$seconds" "${flags[@]}" "$scheme://$server$path")
        echo "$wrk_us" >>"$folder/wrk"; echo "$our_us" >>"$folder/ours"
        ratio "$our_us" "$wrk_us" >>"$folder/by_wrk"
        case $case in small-* | large-*)
            bare_us=$(cost "$bare" "$server" "$path" "$connections" "$seconds")
            echo "$bare_us" >>"$folder/bare"
            ratio "$our_us" "$bare_us" >>"$folder/by_bare" ;;
        esac
    done
    cell() { if [ -s "$folder/$1" ]; then median <"$folder/$1"; else echo -; fi; }
    printf '%-12s %10s %10s %10s %12s %12s\n' "$case" "$(cell wrk)" "$(cell ours)" "$(cell bare)" "$(cell by_wrk)" "$(cell by_bare)"
done
