# Names, not programs: what each recipe does is in xtask/, scenarios/ or the script it calls. Options follow the name:
# `just bench-all --trials 5`.

set positional-arguments

# list the recipes
[private]
default:
    @just --list --unsorted

# build all, measure the default stacks with the main scenarios, print the table
bench-all *options:
    cargo bench-all "$@"

# a look in about two minutes: one stack of each of five models and null, 200 connections, one short trial each
bench-quick *options:
    cargo bench-quick "$@"

# the whole field over redis-server, one worker pinned and then all CPUs: both panels (needs redis-server)
bench-stacks *options:
    cargo xtask bench-stacks "$@"

# five stacks built with {mimalloc, system malloc} × {thin, fat LTO}, compared in one run
bench-build *options:
    cargo xtask bench-build "$@"

# the same short run twice, and whether the second says what the first did
bench-repeat *options:
    cargo xtask bench-repeat "$@"

# the highest rate that each stack carries within --objective 'p99<20ms'
capacity *options:
    cargo bench-capacity "$@"

# every scenario file there is (long)
bench-everything *options:
    cargo xtask bench-everything "$@"

# what about this machine will spoil figures, and how to mend it
doctor *options:
    cargo bench-doctor "$@"

# verify every stack against the contract
check *options:
    cargo check-all "$@"

# get what the tests need, build all, run every test
test *options:
    cargo test-all "$@"

# measure what each stack costs to own, for its card (--no-build: all but the minute-long builds)
ownership *options:
    cargo xtask ownership "$@"

# what it costs to make the reports of a run of 2000 rows: [DIR whose rows are multiplied [ROWS]]
bench-reports *options:
    cargo run --release --locked --package stackbench-reports --example report_cost --target-dir target/bench-reports -- "$@"

# make the files of a run directory again
report dir="reports/latest" *options:
    cargo bench-report "$@"

# which stacks of a run directory meet --need 'rate>=20000,p99<20ms'
pick *options:
    cargo bench-pick "$@"

# hold a run directory against a baseline, cell by cell; --threshold 5% makes a regression an error
compare *options:
    cargo bench-compare "$@"

# format the tree
fmt:
    cargo fmt --all

# the lints that continuous integration runs
lint:
    cargo fmt --all --check
    cargo clippy --release --workspace --all-targets --locked -- -D warnings

# The exchange is built in a folder of its own: beside the programs, what examples and tests need would change their
# features.
# the load client beside wrk and the bare exchange (needs wrk, nginx-light and openssl)
bench-client *options:
    cargo build --release --workspace --bins --locked
    cargo build --release --locked --package stackload --example bare_exchange --target-dir target/bench-client
    client/bench.sh "$@"

# the self-test's traps sprung on other load generators, as Markdown
compare-clients:
    cargo xtask compare-clients

# the embedded store beside redis-server
bench-fake-redis *options:
    servers/fake-redis/bench.sh "$@"

# Sanitizers are unstable options of the compiler, which the variable allows without another toolchain.
# fuzz a parser: http_answer, chunked, arguments, http_request or resp_reply (needs cargo-fuzz and a C++ compiler)
fuzz target *options:
    RUSTC_BOOTSTRAP=1 cargo fuzz run {{target}} {{options}}
