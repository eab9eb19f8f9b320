#!/usr/bin/env bash
# The checks to run before every commit: format, lints and tests.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

case ${1:-} in
    '') exec "$ROOT/scripts/run-tests.sh" format lints tests ;;
    -h | --help) usage "$0" ;;
    *) refuse "$1" ;;
esac
