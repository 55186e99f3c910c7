#!/bin/sh
# CPU per command of fake-redis beside redis-server, and the lateness of delayed replies. `--help` lists the options.
exec python3 "$(dirname "$0")/bench.py" "$@"
