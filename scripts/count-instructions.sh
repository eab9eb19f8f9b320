#!/usr/bin/env bash
# Counts the instructions of the benchmarks of this checkout and of an earlier commit, under valgrind, and fails where
# one has become more than 3 % dearer. Unlike times, the counts do not depend on the machine or on what else it does.
#
#   count-instructions.sh [COMMIT]   what to compare with: by default the commit where this branch left the remote's
#                                    default branch, else the parent. Without any, or where that has no such benchmark,
#                                    it counts and compares with nothing.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$ROOT"

# Package and benchmark. One more is one more line.
readonly BENCHES=(
    berry-core/access
    berry-loadbalance/pick
    berry-relay/message
    berry-api/request
    berry-api/telemetry
)
readonly LIMIT='ir=3%'

# The earlier commit's files, and both counts.
readonly WORK="$ROOT/target/instructions"

base_commit() {
    local left
    left=$(git merge-base HEAD origin/HEAD 2>/dev/null) || left=''
    if [[ -n $left && $left != $(git rev-parse HEAD) ]]; then
        echo "$left"
    else
        git rev-parse --quiet --verify 'HEAD^' || true
    fi
}

# Takes the earlier commit's files out; their times are new, so that cargo cannot take an older build for theirs.
check_out() {
    rm -rf "$WORK/base"
    mkdir -p "$WORK/base"
    git archive "$1" | tar -xm -C "$WORK/base"
}

# Counts one benchmark of the sources in FOLDER. Both are built into one place: what they share, which is most, is built
# once.
count() {
    local folder=$1 bench=$2
    shift 2
    (cd "$folder" && CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$ROOT/target}" GUNGRAUN_HOME="$WORK/counts" \
        cargo bench --quiet --all-features -p "${bench%/*}" --bench "${bench#*/}" -- "$@")
}

# Removes what was built of the workspace's own crates: cargo knows them by name and version, not by where they lie, and
# would take the earlier commit's for ours, whose files are older.
forget_builds() {
    local package packages=()
    for package in crates/*/; do
        packages+=(-p "$(basename "$package")")
    done
    cargo clean --quiet --profile bench "${packages[@]}"
}

# Whether the earlier commit has a benchmark that can be compared with.
is_comparable() {
    local bench=$1
    if [[ ! -f $WORK/base/crates/${bench%/*}/benches/${bench#*/}.rs ]]; then
        echo "$bench is new: nothing to compare with"
        return 1
    elif [[ $(locked_version gungraun "$WORK/base") != "$(locked_version gungraun)" ]]; then
        echo "$bench was counted by another version of gungraun: nothing to compare with"
        return 1
    fi
}

case ${1:-} in
    -h | --help) usage "$0" && exit 0 ;;
    ?*) git rev-parse --quiet --verify "$1^{commit}" >/dev/null || refuse "$1" ;;
esac
have valgrind || fail 'valgrind is not installed'
have gungraun-runner || fail 'gungraun-runner is not installed: run scripts/dev-setup.sh'

base=${1:-$(base_commit)}
rm -rf "$WORK/counts"
declare -A compare=()
if [[ -z $base ]]; then
    echo 'no earlier commit is at hand: nothing to compare with'
else
    check_out "$base"
    echo "compared with $(git log -1 --format='%h %s' "$base")"
    for bench in "${BENCHES[@]}"; do
        if is_comparable "$bench"; then
            count "$WORK/base" "$bench" --save-baseline=base >/dev/null
            compare[$bench]="--baseline=base --callgrind-limits=$LIMIT"
        fi
    done
    forget_builds
fi

for bench in "${BENCHES[@]}"; do
    # shellcheck disable=SC2086 # two words
    count "$ROOT" "$bench" ${compare[$bench]:-}
done
