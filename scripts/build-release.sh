#!/usr/bin/env bash
# Builds Berry API as it is released, into target/released: faster than `cargo build --release` alone makes it, because
# the compiler is told what a gateway does all day.
#
# It builds a program that counts what it does, lets it serve every protocol and the loads of benchmark.sh for a minute,
# and builds anew by those counts (https://doc.rust-lang.org/rustc/profile-guided-optimization.html). That takes ten
# minutes, two cores, Python and an `llvm-profdata` that reads what the compiler writes: rustup's component `llvm-tools`,
# or Debian's package, which it installs where neither is there.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$ROOT"

case ${1:-} in
    '') ;;
    -h | --help) usage "$0" && exit 0 ;;
    *) refuse "$1" ;;
esac
[[ $(uname -s) == Linux ]] || fail "the loads that it is optimized for take Linux; 'cargo build --release' builds it anywhere"
require_compiler

have python3 || fail "python3 is not installed: on Debian 'apt-get install python3'"
(($(nproc) >= 2)) || fail 'one core is not enough: what it is optimized for runs beside what asks'
# Programs count into a folder of that name, wherever they run.
TARGET=$(realpath -m "${CARGO_TARGET_DIR:-target}")
WORK="$TARGET/profiled"
OUT="$TARGET/released"
HOST=$(rustc -vV | sed -n 's/^host: //p')

# Prints where llvm-profdata is, or nothing. The compiler's own knows what the compiler writes; of others those of the
# same form of counts do, which LLVM has kept from 19 to 22.
merger() {
    local found version ours
    found="$(rustc --print sysroot)/lib/rustlib/$HOST/bin/llvm-profdata"
    [[ -x $found ]] && echo "$found" && return
    ours=$(form_of "$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')")
    for found in llvm-profdata /usr/lib/llvm-*/bin/llvm-profdata; do
        have "$found" || continue
        # Old ones do not even know this.
        version=$("$found" --version 2>/dev/null | sed -n 's/.*LLVM version \([0-9]*\).*/\1/p')
        [[ -n $version && $(form_of "$version") == "$ours" ]] && echo "$found" && return
    done
    return 0
}

# Prints what is the same for all versions of LLVM that read each other's counts.
form_of() {
    if (($1 >= 19 && $1 <= 22)); then echo 19; else echo "$1"; fi
}

# Prints flags as cargo takes them, so that a path may have spaces.
joined() {
    local IFS=$'\x1f'
    echo "$*"
}

# Builds Berry and what else is named with more flags for the compiler. With a target, none of them is for what runs
# while building.
build() {
    local flags=$1
    shift
    CARGO_ENCODED_RUSTFLAGS=$(joined ${CARGO_ENCODED_RUSTFLAGS:+"$CARGO_ENCODED_RUSTFLAGS"} "$flags") \
        CARGO_TARGET_DIR="$WORK/build" \
        cargo build --quiet --release --target "$HOST" -p berry-api -p berry-cli "$@" --bins
}

# The allocator is made for pages as large as this machine's, and does not start where they are larger: on ARM they
# may be.
if [[ $HOST == aarch64-* ]]; then export JEMALLOC_SYS_WITH_LG_PAGE=${JEMALLOC_SYS_WITH_LG_PAGE:-16}; fi
if [[ -n ${RUSTFLAGS:-} && -z ${CARGO_ENCODED_RUSTFLAGS:-} ]]; then
    CARGO_ENCODED_RUSTFLAGS=${RUSTFLAGS// /$'\x1f'}
fi
MERGER=$(merger)
if [[ -z $MERGER ]]; then
    scripts/dev-setup.sh --release
    MERGER=$(merger)
    [[ -n $MERGER ]] || fail 'there is no llvm-profdata that reads what this compiler writes: rustup component add llvm-tools'
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
# What runs often lies together, apart from what seldom does, down to the branches of a function: a gateway that has
# slept finds little of its program near the processor. The compiler's own linker puts it apart only where it is told.
APART=(-Cllvm-args=-enable-split-machine-functions '-Clink-arg=-Wl,-z,keep-text-section-prefix')
build "$(joined "-Cprofile-use=$WORK/profile" "${APART[@]}")"
for program in berry-api berry-cli; do
    # A program that runs keeps its file.
    cp --remove-destination "$BERRY_BIN_DIR/$program" "$OUT/"
done
rm -rf "$WORK"
echo "built $OUT/berry-api and berry-cli" >&2
