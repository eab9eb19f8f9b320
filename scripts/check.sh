#!/usr/bin/env bash
# The checks to run before every commit: format, lints and tests.
exec "$(dirname "${BASH_SOURCE[0]}")/run-tests.sh" format lints tests
