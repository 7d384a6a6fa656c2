# The daily commands: `just` lists them. Each is one line that works without just as well.

default:
    @just --list

# Start the relay as shipped: everything stays in a local mailbox.
run:
    cargo run --release -- run

# The Rust tests, which need nothing else.
test *words:
    cargo test --locked {{words}}

# All tests, with real parties.
test-all *words:
    ./test.sh {{words}}

# What must pass before a change lands.
ci:
    .ci/run

# Format, and look for what clippy finds.
lint:
    cargo fmt
    cargo clippy --locked --all-targets -- -D warnings

# Speed and memory beside Postfix.
bench:
    benches/compare/run
