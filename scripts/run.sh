#!/usr/bin/env bash
# Builds Berry API and serves it.
#
# With a configuration (`config.toml`, or the file CONFIG_PATH names) it serves that. Without one it serves a demo that
# needs no key and no network: three simulated providers, one of them slow, one failing a fifth of its requests.
#
#   run.sh [--demo]   with --demo the demo, whatever configuration there is
#
#   BIND_ADDRESS   where to listen (127.0.0.1:3000)
#   LOG_FILE       JSON lines for machines, beside the log on the terminal (logs/berry-api.log)
#   USAGE_DATABASE where what is used is written down, unless the configuration says (berry-usage.db)
#   BERRY_PROFILE  `release` (the default) or `dev`, which builds faster and runs slower
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

readonly TOKEN=berry-demo-token RESTRICTED_TOKEN=berry-demo-restricted DISABLED_TOKEN=berry-demo-disabled

build() {
    local profile=${BERRY_PROFILE:-release} flags=()
    case $profile in
        release) flags=(--release) ;;
        dev) profile=debug ;;
        *) fail "BERRY_PROFILE is \`$profile\`: \`release\` and \`dev\` exist" ;;
    esac
    require_compiler
    echo "Building Berry API ($profile); the first time takes a few minutes …" >&2
    # Cargo shows its progress, but only to people.
    if [[ ! -t 2 ]]; then flags+=(--quiet); fi
    (cd "$ROOT" && cargo build -p berry-api -p berry-cli ${flags[@]+"${flags[@]}"})
    bin="${CARGO_TARGET_DIR:-$ROOT/target}/$profile"
}

# Starts one simulated provider and puts its base URL into `provider_url`.
start_provider() {
    local name=$1 out="$work/$1.out"
    shift
    "$bin/berry-cli" mock-upstream --listen 127.0.0.1:0 --name "$name" --models demo-model --api-key demo-key \
        "$@" >"$out" 2>&1 &
    helpers="$helpers $!"
    wait_for_line "$out" 'listening on http' $! || fail "the simulated provider \`$name\` does not start: $(tail -1 "$out")"
    provider_url=$(sed -n 's/.* listening on \(http[^ ]*\).*/\1/p' "$out")
}

provider_table() {
    printf '[providers.%s]\nbase_url = "%s"\napi_key = "demo-key"\nmodels = ["demo-model"]\n\n' "$1" "$provider_url"
}

write_demo_configuration() {
    start_provider good --latency 30ms --chunk-interval 15ms
    provider_table good
    start_provider slow --latency 600ms --chunk-interval 60ms
    provider_table slow
    start_provider flaky --latency 30ms --chunk-interval 15ms --error-rate 0.2 --seed 1
    provider_table flaky
    cat <<TOML
[settings]
shutdown_grace_seconds = 5

[usage]
database = "$work/berry-usage.db"

[models.demo]
name = "demo"
strategy = "weighted_failover"
backends = [
  { provider = "good", model = "demo-model", weight = 2.0 },
  { provider = "slow", model = "demo-model" },
  { provider = "flaky", model = "demo-model" },
]

[models.demo_fast]
name = "demo-fast"
strategy = "smart_ai"
backends = [{ provider = "good", model = "demo-model", input_price = 0.15, output_price = 0.6 }]

[users.demo]
$(hashed "$TOKEN")

[users.restricted]
$(hashed "$RESTRICTED_TOKEN")
allowed_models = ["demo-fast"]

[users.disabled]
$(hashed "$DISABLED_TOKEN")
enabled = false
TOML
}

# The digest of a token: the demo's own tokens are warned about where a file has them in clear text.
hashed() {
    printf %s "$1" | "$bin/berry-cli" hash-token
}

# The address a client can use, from the line the gateway logs (text or JSON) when it is ready.
base_url_of() {
    sed -n '/Starting Berry API/ s/.*address"\{0,1\}[=:]"\{0,1\}\([^" ,}]*\).*/\1/p' "$1" | tail -1 |
        sed -e 's/^0\.0\.0\.0:/127.0.0.1:/' -e 's/^\[::\]:/[::1]:/' -e 's|^|http://|'
}

print_banner() {
    local url=$1 ask="curl -sS $1/v1/chat/completions -H 'Authorization: Bearer $TOKEN' -H 'Content-Type: application/json'"
    cat <<TEXT

Berry API is ready at $url

  token    $TOKEN
  models   demo       three simulated providers: \`good\`, \`slow\`, and \`flaky\`, which fails a fifth of its requests
           demo-fast  \`good\` alone
  log      ${LOG_FILE:-this terminal}

Ask it; whatever \`flaky\` does, the answer comes:

$ask -d '{"model":"demo","messages":[{"role":"user","content":"Hello"}]}'

Streamed:

$ask -N -d '{"model":"demo","stream":true,"messages":[{"role":"user","content":"Hello"}]}'

From one provider, past the balancing:

$ask -d '{"model":"demo","backend":"slow","messages":[{"role":"user","content":"Hello"}]}'

From Python (\`pip install openai\`):

from openai import OpenAI
client = OpenAI(base_url="$url/v1", api_key="$TOKEN")
messages = [{"role": "user", "content": "Hello"}]
for chunk in client.chat.completions.create(model="demo", messages=messages, stream=True):
    print(chunk.choices[0].delta.content or "" if chunk.choices else "", end="", flush=True)

Ctrl-C stops everything. Your own providers: copy config-example.toml to config.toml, edit it, run this again.

TEXT
}

# The gateway first: it drains while its providers still answer. A second Ctrl-C must not cut this short.
stop_demo() {
    local status=$? pid
    trap '' INT TERM HUP
    trap - EXIT
    for pid in $gateway $helpers; do
        kill -TERM "$pid" 2>/dev/null || continue
        wait "$pid" 2>/dev/null || true
    done
    rm -rf "$work"
    exit "$status"
}

serve_demo() {
    work=$(mktemp -d) gateway='' helpers=''
    trap stop_demo EXIT
    trap 'exit 0' INT TERM HUP

    write_demo_configuration >"$work/config.toml"
    # A proxy of the environment must not come between the gateway and its providers on this machine.
    NO_PROXY="127.0.0.1,localhost${NO_PROXY:+,$NO_PROXY}" \
        "$bin/berry-api" --config "$work/config.toml" >"$work/gateway.log" &
    gateway=$!
    if ! wait_for_line "$work/gateway.log" 'Starting Berry API' "$gateway"; then
        # It has said why on standard error.
        wait "$gateway" || exit $?
        fail 'the gateway does not become ready'
    fi

    print_banner "$(base_url_of "$work/gateway.log")"
    tail -n 0 -f "$work/gateway.log" &
    helpers="$helpers $!"
    wait "$gateway"
}

configuration=${CONFIG_PATH:-}
if [[ -z $configuration && -f $ROOT/config.toml ]]; then configuration="$ROOT/config.toml"; fi
case ${1:-} in
    '') ;;
    --demo) configuration='' ;;
    -h | --help) usage "$0" && exit 0 ;;
    *) refuse "$1" ;;
esac
if [[ -n $configuration ]]; then
    [[ -f $configuration ]] || fail "CONFIG_PATH names \`$configuration\`, which does not exist"
    # CONFIG_PATH counts from where the user is, everything else from the checkout.
    configuration=$(cd "$(dirname "$configuration")" && pwd)/$(basename "$configuration")
fi

build
cd "$ROOT"
export LOG_FILE=${LOG_FILE-logs/berry-api.log}
if [[ -n $LOG_FILE ]]; then mkdir -p "$(dirname "$LOG_FILE")"; fi

if [[ -n $configuration ]]; then
    export USAGE_DATABASE=${USAGE_DATABASE-berry-usage.db}
    exec "$bin/berry-api" --config "$configuration"
fi
serve_demo
