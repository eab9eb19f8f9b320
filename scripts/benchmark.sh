#!/usr/bin/env bash
# Measures Berry beside nginx, HAProxy and a bare hyper pass-through, and prints a table of what one core of each does.
#
#   benchmark.sh [--quick] [--write]
#
#   --quick   one short round: a look, not a figure; under a minute once everything is built
#   --write   puts the table into docs/performance.md, too
#
# Berry is built as it is released (build-release.sh, ten minutes), for a look as cargo builds it; the rest as cargo
# builds it.
#
# It takes two cores or more, for the gateway has one of its own, and it wants the machine for itself. On Debian it
# installs nginx and HAProxy, which Debian starts as services.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$ROOT"
# Debian keeps servers where only root's path leads.
PATH=$PATH:/usr/sbin

quick=''
for option in "$@"; do
    case $option in
        --quick) quick=yes ;;
        --write) ;;
        -h | --help) usage "$0" && exit 0 ;;
        *) refuse "$option" ;;
    esac
done
[[ $(uname -s) == Linux ]] || fail 'the time that a process has of processors is read as Linux tells it'
require_compiler
scripts/dev-setup.sh --benchmark
BIN="${CARGO_TARGET_DIR:-$ROOT/target}"
if [[ $quick ]]; then
    berry="$BIN/release/berry-api"
    echo 'building what is measured and what measures; the first time takes a few minutes …' >&2
    cargo build --quiet --release -p berry-api -p berry-testkit --bins
else
    berry="$BIN/released/berry-api"
    scripts/build-release.sh
    cargo build --quiet --release -p berry-testkit --bins
fi
exec python3 scripts/benchmark --bin-dir "$BIN/release" --gateway "$berry" "$@"
