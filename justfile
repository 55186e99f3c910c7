# Names, not programs: what each recipe does is in xtask/, scenarios/ or the script it calls. Options follow the name:
# `just bench-all --trials 5`.

# list the recipes
[private]
default:
    @just --list --unsorted

# build all, measure the default stacks with the main scenarios, print the table
bench-all *options:
    cargo bench-all {{ options }}

# the same in about a minute: fewer connections, one short trial each
bench-quick *options:
    cargo bench-quick {{ options }}

# every scenario file there is (long)
bench-everything *options:
    cargo xtask bench-everything {{ options }}

# verify every stack against the contract
check *options:
    cargo check-all {{ options }}

# get what the tests need, build all, run every test
test *options:
    cargo test-all {{ options }}

# make the files of a run directory again
report dir="reports/latest" *options:
    cargo bench-report {{ dir }} {{ options }}

# format the tree
fmt:
    cargo fmt --all

# the lints that continuous integration runs
lint:
    cargo fmt --all --check
    cargo clippy --release --workspace --all-targets --locked -- -D warnings

# the load client beside wrk
bench-client *options:
    client/bench.sh {{ options }}

# the embedded store beside redis-server
bench-fake-redis *options:
    servers/fake-redis/bench.sh {{ options }}
