#!/usr/bin/env bash
# Prepares a machine for work on Berry: installs what is missing, and is quick when nothing is.
#
# System packages come from apt (as root, or through sudo) or Homebrew; Python and Node packages go into the checkout
# (.venv, tests/sdk/node/node_modules), cargo's tools into target/tools.
#
#   dev-setup.sh                 what the checks take
#   dev-setup.sh --coverage      and cargo-tarpaulin
#   dev-setup.sh --benchmark     only the gateways that benchmark.sh compares with
#   dev-setup.sh --release       only what build-release.sh takes
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$ROOT"

# Installs system packages, or says which ones are wanted.
install_packages() {
    local as_root=()
    if [[ $(id -u) != 0 ]]; then as_root=(sudo); fi
    echo "installing $*"
    if have apt-get; then
        ${as_root[@]+"${as_root[@]}"} apt-get update -qq
        ${as_root[@]+"${as_root[@]}"} env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@" >/dev/null
    elif have brew; then
        brew install --quiet "$@"
    else
        fail "please install $* and run this again"
    fi
}

# Adds a package to `missing` unless its command is there.
want() {
    have "$1" || missing+=("$2")
}

system_packages() {
    local missing=()
    want cc build-essential
    want make build-essential
    want curl curl
    want jq jq
    want node nodejs
    want npm npm
    want promtool prometheus
    want python3 python3
    want shellcheck shellcheck
    want wrk wrk
    # Debian ships Python without the part that makes environments.
    python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
    if ((${#missing[@]})); then install_packages "${missing[@]}"; fi
}

# Debian keeps servers where only root's path leads.
other_gateways() {
    local missing=() PATH=$PATH:/usr/sbin
    want nginx nginx
    want haproxy haproxy
    if ((${#missing[@]})); then install_packages "${missing[@]}"; fi
}

rust_components() {
    require_compiler
    cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt
    cargo clippy --version >/dev/null 2>&1 || rustup component add clippy
}

# What reads the compiler's profiles: its own, or Debian's.
profile_tools() {
    rustup component add llvm-tools 2>/dev/null || install_packages llvm-19
}

# Tools are built without optimisation: they compile in a third of the time and are fast enough.
cargo_tool() {
    have "$1" && return
    build_tool "$1"
}

build_tool() {
    echo "building $1"
    cargo install --quiet --locked --debug --config profile.dev.debug=0 --root "$TOOLS" "$1"
}

# What counts instructions, where valgrind is there to do it; it must be of the library's very version.
instruction_counter() {
    local version
    have valgrind || return 0
    version=$(locked_version gungraun)
    [[ $(gungraun-runner --version 2>/dev/null) == "gungraun-runner $version" ]] && return
    build_tool "gungraun-runner@$version"
}

python_packages() {
    local wanted=tests/sdk/requirements.txt
    cmp -s "$wanted" .venv/installed.txt && return
    echo 'installing Python packages into .venv'
    python3 -m venv .venv
    .venv/bin/pip install --quiet --disable-pip-version-check --requirement "$wanted"
    cp "$wanted" .venv/installed.txt
}

node_packages() {
    local folder=tests/sdk/node
    cmp -s "$folder/package-lock.json" "$folder/node_modules/installed.json" && return
    echo "installing Node packages into $folder/node_modules"
    npm ci --prefix "$folder" --silent --no-audit --no-fund
    cp "$folder/package-lock.json" "$folder/node_modules/installed.json"
}

everything() {
    system_packages
    rust_components
    cargo_tool cargo-nextest
    cargo_tool cargo-deny
    instruction_counter
    python_packages
    node_packages
}

case ${1:-} in
    '') everything ;;
    --coverage)
        everything
        cargo_tool cargo-tarpaulin
        ;;
    --benchmark) other_gateways ;;
    --release) profile_tools ;;
    -h | --help) usage "$0" ;;
    *) refuse "$1" ;;
esac
