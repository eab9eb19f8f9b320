# The recipes of daily work; `just` alone lists them. The scripts do the work and run without just.

_list:
    @just --list

# Serve config.toml or, without one, the demo
run:
    ./scripts/run.sh

# Format, lints and tests
quick:
    ./scripts/check.sh

# Everything that continuous integration runs, or only the sections named
check *sections:
    ./scripts/run-tests.sh {{ sections }}

# Print the line coverage of the Rust tests
coverage:
    ./scripts/run-tests.sh --coverage

# Build as it is released, by a profile of its work
release:
    ./scripts/build-release.sh

# Measure beside nginx, HAProxy and bare hyper
benchmark *options:
    ./scripts/benchmark.sh {{ options }}

# Rewrite the code in the project's format
format:
    cargo fmt --all

# Build the API documentation and open it
doc:
    cargo doc --workspace --no-deps --open

# Install what a bare machine lacks
setup:
    ./scripts/dev-setup.sh
