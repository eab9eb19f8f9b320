#!/usr/bin/env bash
# Builds Berry API as it is released, into target/released: faster than `cargo build --release` alone makes it, because
# the compiler is told what a gateway does all day.
#
# It builds a program that counts what it does, lets it serve every protocol and the loads of benchmark.sh for a minute,
# and builds anew by those counts (https://doc.rust-lang.org/rustc/profile-guided-optimization.html). That takes ten
# minutes, and `llvm-profdata`: rustup's component `llvm-tools`, or LLVM 19 or later, which it installs on Debian.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$ROOT"

case ${1:-} in
    '') ;;
    -h | --help) usage "$0" && exit 0 ;;
    *) fail "unknown argument \`$1\`; \`--help\` says what there is" ;;
esac
[[ $(uname -s) == Linux ]] || fail "the loads that it is optimized for take Linux; 'cargo build --release' builds it anywhere"
require_compiler

WORK="${CARGO_TARGET_DIR:-$ROOT/target}/profiled"
OUT="${CARGO_TARGET_DIR:-$ROOT/target}/released"
HOST=$(rustc -vV | sed -n 's/^host: //p')

# Prints where llvm-profdata is, or nothing. The compiler's own knows what the compiler writes; others know it from LLVM
# 19 on.
merger() {
    local found version
    found="$(rustc --print sysroot)/lib/rustlib/$HOST/bin/llvm-profdata"
    [[ -x $found ]] && echo "$found" && return
    for found in llvm-profdata /usr/lib/llvm-*/bin/llvm-profdata; do
        have "$found" || continue
        # Old ones do not even know this.
        version=$("$found" --version 2>/dev/null | sed -n 's/.*LLVM version \([0-9]*\).*/\1/p')
        ((${version:-0} >= 19)) && echo "$found" && return
    done
    return 0
}

# Builds Berry and what else is named with more flags for the compiler. With a target, none of them is for what runs
# while building.
build() {
    local flags=$1
    shift
    RUSTFLAGS="${RUSTFLAGS:-} $flags" CARGO_TARGET_DIR="$WORK/build" \
        cargo build --quiet --release --target "$HOST" -p berry-api -p berry-cli "$@" --bins
}

MERGER=$(merger)
if [[ -z $MERGER ]]; then
    scripts/dev-setup.sh --release
    MERGER=$(merger)
    [[ -n $MERGER ]] || fail 'there is no llvm-profdata that can read what the compiler writes: rustup component add llvm-tools'
fi
rm -rf "$WORK"
mkdir -p "$WORK" "$OUT"

echo 'building what counts …' >&2
build "-Cprofile-generate=$WORK/counts" -p berry-testkit
echo 'counting …' >&2
export BERRY_BIN_DIR="$WORK/build/$HOST/release"
python3 tests/sdk/stand.py python3 scripts/benchmark/train.py
python3 scripts/benchmark --bin-dir "$BERRY_BIN_DIR" --train
"$MERGER" merge -o "$WORK/profile" "$WORK/counts"
echo 'building by the counts …' >&2
build "-Cprofile-use=$WORK/profile"
for program in berry-api berry-cli; do
    # A program that runs keeps its file.
    cp --remove-destination "$BERRY_BIN_DIR/$program" "$OUT/"
done
rm -rf "$WORK"
echo "built $OUT/berry-api and berry-cli" >&2
