#!/usr/bin/env bash
# Runs every check, in sections, and stops at the first that fails. Installs what it needs (see dev-setup.sh).
#
#   run-tests.sh               everything
#   run-tests.sh SECTION…      only these: format spelling size scripts dependencies lints tests docs benches sdk demo soak
#   run-tests.sh --coverage    prints the line coverage of the Rust tests: a figure to read, not a gate
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$ROOT"

readonly SECTIONS=(format spelling size scripts dependencies lints tests docs benches sdk demo soak)
# A file that is longer has two ideas in it.
readonly MOST_LINES=500

# The binaries that the tests of `sdk` and `demo` start, and the variable that tells them where these are.
build_binaries() {
    cargo build --quiet -p berry-api -p berry-cli
    export BERRY_BIN_DIR="${CARGO_TARGET_DIR:-$ROOT/target}/debug"
}

check_format() { cargo fmt --all --check; }

check_spelling() { typos; }

check_size() {
    local long
    long=$(git ls-files -co --exclude-standard '*.rs' | xargs wc -l | awk -v most=$MOST_LINES '$2 != "total" && $1 > most')
    [[ -z $long ]] || { printf 'over %s lines:\n%s\n' $MOST_LINES "$long" && return 1; }
}

check_scripts() { shellcheck -x scripts/*.sh examples/*.sh .ci/run; }

# Advisories are left out: they need a database from the network.
check_dependencies() { cargo deny --log-level error check bans licenses sources; }

check_lints() { cargo clippy --workspace --all-targets --all-features -- -D warnings; }

check_tests() {
    cargo nextest run --workspace --all-features --no-fail-fast
    cargo test --workspace --all-features --doc --quiet
}

check_docs() { RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --document-private-items --quiet; }

check_benches() {
    if have valgrind; then scripts/count-instructions.sh; else echo 'left out: valgrind is not installed'; fi
}

# The official SDKs against the gateway over simulated providers.
check_sdk() {
    build_binaries
    python3 tests/sdk/stand.py pytest -q tests/sdk/python
    python3 tests/sdk/stand.py node --test --test-reporter=spec tests/sdk/node/*.test.mjs
}

# What must hold under faults, reloads and aborts, for a minute.
check_soak() { build_binaries; scripts/soak.sh 60; }

# The demo of run.sh does what it prints; the documents' commands and configurations work.
check_demo() {
    build_binaries
    pytest -q tests/sdk/demo
}

coverage() {
    local log=target/tarpaulin.log
    # A whole test binary must answer in that many seconds.
    cargo tarpaulin --engine llvm --timeout 600 --workspace --all-features --skip-clean --target-dir target/tarpaulin \
        --exclude-files '*/tests/*' '*/tests.rs' --out stdout >"$log" 2>&1 ||
        fail "the tests do not pass when measured; see $log: $(tail -20 "$log")"
    sed -n '/^|| Tested/,$p' "$log"
}

run_section() {
    local name=$1 began=$SECONDS status
    printf '\n── %s\n' "$name"
    # Not `if check` or `check ||`, which would switch off `set -e` within.
    set +e
    (set -e; "check_$name")
    status=$?
    set -e
    if ((status)); then
        printf '\nfailed: %s\n' "$name" >&2
        exit "$status"
    fi
    summary+=$(printf '\n  %-13s %4ds' "$name" $((SECONDS - began)))
}

main() {
    local name summary='' wanted=("$@")
    for name in "$@"; do
        [[ " ${SECTIONS[*]} " == *" $name "* ]] || fail "unknown section \`$name\`; there are: ${SECTIONS[*]}"
    done
    if ((${#wanted[@]} == 0)); then wanted=("${SECTIONS[@]}"); fi

    printf '── tools\n'
    scripts/dev-setup.sh
    for name in "${wanted[@]}"; do run_section "$name"; done
    printf '\nall passed:%s\n  %-13s %4ds\n' "$summary" total "$SECONDS"
}

case ${1:-} in
    -h | --help) usage "$0" ;;
    --coverage)
        scripts/dev-setup.sh --coverage
        coverage
        ;;
    *) main "$@" ;;
esac
