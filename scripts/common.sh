# shellcheck shell=bash
# Sourced by the other scripts: where the checkout is, where its tools are, and how a script fails.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Tools built for this checkout alone; `target` is git-ignored.
TOOLS="$ROOT/target/tools"
PATH="$ROOT/.venv/bin:$TOOLS/bin:$PATH:$HOME/.cargo/bin"
export PATH

# Prints one line on standard error and ends the script.
fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

have() {
    command -v "$1" >/dev/null 2>&1
}

# Prints the comment block at the top of the calling script: its usage.
usage() {
    sed -n '2,/^[^#]/ { /^#/ s/^# \{0,1\}//p; }' "$1"
}

# Ends the script because of an argument that it does not take.
refuse() {
    fail "unknown argument \`$1\`; \`--help\` says what there is"
}

# Ends the script unless this machine can compile Berry; nothing else can be done about it from here.
require_compiler() {
    have cargo || fail 'cargo is not installed: get Rust from https://rustup.rs, then run this again'
    local tool
    for tool in cc make; do
        have $tool || fail "$tool is not installed: on Debian 'apt-get install build-essential', on macOS 'xcode-select --install'"
    done
}

# Prints the version of CRATE that Cargo.lock of FOLDER names; of this checkout by default.
locked_version() {
    awk -v crate="\"$1\"" '$1 == "name" && $3 == crate { getline; gsub(/"/, "", $3); print $3 }' "${2:-$ROOT}/Cargo.lock"
}

# Waits until FILE has a line that matches PATTERN, while process PID lives, for at most 30 seconds.
wait_for_line() {
    local file=$1 pattern=$2 pid=$3 _
    for _ in $(seq 600); do
        if grep -q "$pattern" "$file" 2>/dev/null; then return 0; fi
        kill -0 "$pid" 2>/dev/null || return 1
        sleep 0.05
    done
    return 1
}
