#!/usr/bin/env bash
# Replaces secrets in a configuration file: all of them or none, with a copy of what was there before.
#
#   rotate-api-keys.sh [-c FILE] tokens [USER…]   gives these users, or all, new tokens, and prints them once; whose
#                                                 token is in a variable is said, and keeps it
#   rotate-api-keys.sh [-c FILE] keys [OLD]       encrypts the providers' keys with the master key; OLD is the file of
#                                                 the master key that they are encrypted with, if it is another
#
# FILE is config.toml. A user whose file has `token_sha256` gets the digest of the new token there. The master key is in
# BERRY_MASTER_KEY, or in the file that BERRY_MASTER_KEY_FILE names. The copy lies beside FILE, for its owner alone; remove
# it once nobody needs the old secrets. A running gateway takes the new file over by itself, and refuses the old tokens
# from then on.
#
#   BERRY_CLI   the program, if it is neither in PATH nor built in this checkout
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
umask 077

file=config.toml work=''
trap '[[ -z $work ]] || rm -rf "$work"' EXIT

cli() {
    local built="${CARGO_TARGET_DIR:-$ROOT/target}"
    if [[ -n ${BERRY_CLI:-} ]]; then
        "$BERRY_CLI" "$@"
    elif have berry-cli; then
        berry-cli "$@"
    elif [[ -x $built/release/berry-cli ]]; then
        "$built/release/berry-cli" "$@"
    else
        require_compiler
        (cd "$ROOT" && cargo build --quiet -p berry-cli) && "$built/debug/berry-cli" "$@"
    fi
}

rotate_tokens() {
    cp -- "$file" "$work/file"
    cli rotate-tokens -c "$work/file" -- "$@" >"$work/said"
}

rotate_keys() {
    local old=()
    if (($#)); then old=(--old-master-key-file "$1"); fi
    cp -- "$file" "$work/file"
    cli encrypt-key --in-place -c "$work/file" ${old[@]+"${old[@]}"} >"$work/out"
    named <"$work/out" >"$work/said"
}

# Passes a text on, the copy called by the name of the file.
named() {
    local text
    text=$(cat)
    printf '%s\n' "${text//"$work/file"/"$file"}"
}

# Leaves the file as it is, and no copy of it.
give_up() {
    rm -f -- "$1"
    fail "nothing is changed, because $2"
}

# Puts the copy in the file's place: checked, for the same readers, and in one step.
replace() {
    local findings backup
    findings=$(cli validate-config -c "$work/file" 2>&1) ||
        fail "nothing is changed, because the new file would not be valid: $(named <<<"$findings")"
    backup="$file.$(date -u +%Y%m%dT%H%M%SZ).bak"
    [[ ! -e $backup ]] || fail "\`$backup\` exists already: try again in a second"
    cp -- "$file" "$backup"
    chmod 600 -- "$backup"
    # Owner and mode are the file's; the text is new.
    cp -p -- "$file" "$work/whole"
    cat -- "$work/file" >"$work/whole"
    # On the disk before it takes the file's place: a crash leaves one of both.
    sync -- "$work/whole" "$backup"
    # A token that nobody has seen would be lost.
    cat -- "$work/said" || give_up "$backup" 'it cannot be said what would be'
    mv -f -- "$work/whole" "$file" || give_up "$backup" 'the file cannot be replaced; what was printed is void'
    printf 'what was there before: %s\n' "$backup" >&2
}

if [[ ${1:-} == --help ]]; then usage "$0" && exit; fi
while getopts :c:h option; do
    case $option in
        c) file=$OPTARG ;;
        h) usage "$0" && exit ;;
        *) fail "unknown option: see \`$0 -h\`" ;;
    esac
done
shift $((OPTIND - 1))
[[ -f $file ]] || fail "no file at \`$file\`"
# A link stays one: what it leads to is replaced.
file=$(realpath -- "$file")
# Beside the file, so that the last step is a rename.
work=$(mktemp -d -- "$(dirname -- "$file")/.rotate.XXXXXX")

case ${1:-} in
    tokens) rotate_tokens "${@:2}" ;;
    keys)
        (($# <= 2)) || fail 'give at most one old master key file'
        rotate_keys "${@:2}"
        ;;
    *) fail "say \`tokens\` or \`keys\`: see \`$0 -h\`" ;;
esac
replace
