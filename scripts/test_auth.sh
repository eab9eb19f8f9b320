#!/usr/bin/env bash
# Tries the access rules with curl, one line each, and exits 1 if one is broken.
#
# By default against the demo of run.sh, which it starts and stops. Against a server of yours:
#
#   BASE_URL=http://127.0.0.1:3000 TOKEN=… [MODEL=…] [RESTRICTED_TOKEN=…] [DISABLED_TOKEN=…] test_auth.sh
#
# TOKEN may use every model, MODEL is one of these (the first that is listed). RESTRICTED_TOKEN may use some models but
# not MODEL; DISABLED_TOKEN belongs to a disabled user. What needs a token that is not given is left out.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

case ${1:-} in
    '') ;;
    -h | --help) usage "$0" && exit 0 ;;
    *) refuse "$1" ;;
esac

passed=0 failed=0
work=$(mktemp -d) demo=''

stop() {
    local status=$?
    if [[ -n $demo ]] && kill -TERM "$demo" 2>/dev/null; then wait "$demo" || true; fi
    rm -rf "$work"
    exit "$status"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

start_demo() {
    BIND_ADDRESS=127.0.0.1:0 LOG_FILE='' "$ROOT/scripts/run.sh" --demo >"$work/demo.out" 2>"$work/demo.err" &
    demo=$!
    # Building it may take minutes.
    while ! grep -q '^Berry API is ready' "$work/demo.out"; do
        kill -0 "$demo" 2>/dev/null || fail "the demo does not start: $(cat "$work/demo.err")"
        sleep 0.1
    done
    BASE_URL=$(sed -n 's/^Berry API is ready at //p' "$work/demo.out")
    TOKEN=berry-demo-token RESTRICTED_TOKEN=berry-demo-restricted DISABLED_TOKEN=berry-demo-disabled MODEL=demo
}

# Asks, with curl's further arguments: puts the status into `status`, head and body into files.
request() {
    local path=$1
    shift
    status=$(curl -sS --noproxy '*' --max-time 30 -o "$work/body" -D "$work/head" -w '%{http_code}' "$@" "$BASE_URL$path")
}

chat() {
    local model=$1
    shift
    request /v1/chat/completions -H 'Content-Type: application/json' \
        -d "{\"model\":\"$model\",\"messages\":[{\"role\":\"user\",\"content\":\"Hello\"}]}" "$@"
}

# Reports on the last request: it must have had STATUS and, if it is given, the error CODE in OpenAI's shape.
expect() {
    local wanted=$1 code=$2 rule=$3 seen
    seen=$(jq -r '.error | select(has("message") and has("type") and has("param")) | .code' "$work/body" 2>/dev/null || true)
    if [[ $status == "$wanted" && (-z $code || $seen == "$code") ]]; then
        passed=$((passed + 1))
        printf '✅ %s\n' "$rule"
    else
        failed=$((failed + 1))
        printf '❌ %s: %s %s, not %s %s\n' "$rule" "$status" "$seen" "$wanted" "$code"
    fi
}

# As `expect`, for what a missing or wrong credential must lead to everywhere.
expect_unauthenticated() {
    if ! grep -qi '^www-authenticate: *bearer' "$work/head"; then status="$status without WWW-Authenticate: Bearer"; fi
    expect 401 invalid_api_key "$1"
}

without_a_valid_token() {
    chat "$MODEL"
    expect_unauthenticated 'no token'
    chat "$MODEL" -H 'Authorization: Bearer not-a-token-of-anybody'
    expect_unauthenticated 'an unknown token'
    chat "$MODEL" -H 'Authorization: Bearer '
    expect_unauthenticated 'an empty token'
    chat "$MODEL" -H "Authorization: Basic $TOKEN"
    expect_unauthenticated 'the right token in the wrong scheme'
    chat "$MODEL" -H "Authorization: $TOKEN"
    expect_unauthenticated 'the right token without a scheme'
    chat "$MODEL" -H "Authorization: Bearer $TOKEN" -H 'x-api-key: not-a-token-of-anybody'
    expect_unauthenticated 'two credentials that differ'
    request "/v1/models?api_key=$TOKEN&access_token=$TOKEN"
    expect_unauthenticated 'a token in the URL'
    request /v1/models
    expect_unauthenticated 'the list of models without a token'
    request /v1/chat/completions -d 'not json'
    expect_unauthenticated 'no token comes before a bad body'
}

with_a_valid_token() {
    chat "$MODEL" -H "Authorization: Bearer $TOKEN"
    expect 200 '' 'a bearer token'
    chat "$MODEL" -H "authorization: bearer $TOKEN"
    expect 200 '' 'the scheme in lower case'
    chat "$MODEL" -H "x-api-key: $TOKEN"
    expect 200 '' 'x-api-key'
    chat "$MODEL" -H "Authorization: Bearer $TOKEN" -H "x-api-key: $TOKEN"
    expect 200 '' 'the same token twice'
    chat "$MODEL" -H 'Authorization: Basic dXNlcjpwYXNz' -H "x-api-key: $TOKEN"
    expect 200 '' 'x-api-key beside a scheme that is not ours'
    request /v1/models -H "Authorization: Bearer $TOKEN"
    expect 200 '' 'the list of models'
    chat no-such-model -H "Authorization: Bearer $TOKEN"
    expect 404 model_not_found 'an unknown model'
    request /v1/chat/completions -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \
        -d "{\"model\":\"$MODEL\",\"backend\":\"nobody\",\"messages\":[]}"
    expect 404 backend_not_found 'an unknown backend'
    request /v1/chat/completions -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' -d 'not json'
    expect 400 '' 'a body that is not JSON'
}

with_limited_rights() {
    local own
    if [[ -n ${DISABLED_TOKEN:-} ]]; then
        chat "$MODEL" -H "Authorization: Bearer $DISABLED_TOKEN"
        expect_unauthenticated 'a disabled user'
    fi
    if [[ -n ${RESTRICTED_TOKEN:-} ]]; then
        chat "$MODEL" -H "Authorization: Bearer $RESTRICTED_TOKEN"
        expect 403 model_access_denied 'a model that is not allowed'
        chat no-such-model -H "Authorization: Bearer $RESTRICTED_TOKEN"
        expect 403 model_access_denied 'an unknown model looks the same to a restricted user'
        request /v1/models -H "Authorization: Bearer $RESTRICTED_TOKEN"
        own=$(jq -r '.data[0].id' "$work/body")
        chat "$own" -H "Authorization: Bearer $RESTRICTED_TOKEN"
        expect 200 '' 'a model that is allowed'
    fi
}

without_any_token_needed() {
    local path
    for path in / /health /health/live /health/ready /v1/health; do
        request "$path"
        expect 200 '' "$path is open to all"
    done
    request /no/such/path
    expect 404 unknown_url 'an unknown path'
}

have curl || fail 'curl is not installed'
have jq || fail 'jq is not installed'
if [[ -z ${BASE_URL:-} ]]; then start_demo; fi
BASE_URL=${BASE_URL%/} BASE_URL=${BASE_URL%/v1}
[[ -n ${TOKEN:-} ]] || fail 'BASE_URL is set but TOKEN is not'
if [[ -z ${MODEL:-} ]]; then
    request /v1/models -H "Authorization: Bearer $TOKEN"
    MODEL=$(jq -r '.data[0].id // empty' "$work/body" 2>/dev/null) || true
    [[ -n $MODEL ]] || fail "$BASE_URL lists no model for TOKEN (status $status)"
fi

without_a_valid_token
with_a_valid_token
with_limited_rights
without_any_token_needed
printf '\n%s passed, %s failed\n' "$passed" "$failed"
((failed == 0))
