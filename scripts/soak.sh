#!/usr/bin/env bash
# Drives mixed traffic with faults, reloads and aborts for a while, and checks what must hold throughout.
#
#   soak.sh [SECONDS]     60 unless told otherwise; BERRY_BIN_DIR names the folder of the binaries
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$ROOT"

case ${1:-} in
    -h | --help) usage "$0" && exit 0 ;;
    *[!0-9]*) refuse "$1" ;;
esac

if [[ -z ${BERRY_BIN_DIR:-} ]]; then
    cargo build --quiet -p berry-api -p berry-cli
    BERRY_BIN_DIR="${CARGO_TARGET_DIR:-$ROOT/target}/debug"
fi
exec python3 scripts/soak.py --bin-dir "$BERRY_BIN_DIR" --seconds "${1:-60}"
