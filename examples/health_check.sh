#!/usr/bin/env bash
# Asks backends for one token each, through the gateway, and says which of them answer. Exit code 1 where one does not.
#
#   BACKENDS="openai deepseek" MODEL=chat TOKEN=… examples/health_check.sh
#
#   BACKENDS   providers of the model, separated by blanks
#   MODEL      the public model
#   TOKEN      a user's token
#   BASE_URL   where the gateway is (http://localhost:3000)
set -euo pipefail

: "${BACKENDS:?which providers?}" "${MODEL:?which model?}" "${TOKEN:?whose token?}"
BASE_URL=${BASE_URL:-http://localhost:3000}

# Prints the status and the seconds of one answer; status 000 where nobody answered.
ping_backend() {
    curl -sS -o /dev/null --max-time 60 -w '%{http_code} %{time_total}' "$BASE_URL/v1/chat/completions" \
        -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \
        -d "{\"model\":\"$MODEL\",\"backend\":\"$1\",\"messages\":[{\"role\":\"user\",\"content\":\"ping\"}],\"max_tokens\":1}" ||
        true
}

failed=0
for backend in $BACKENDS; do
    read -r status seconds <<<"$(ping_backend "$backend")"
    if [[ $status == 200 ]]; then
        echo "✅ $backend: healthy (${seconds}s)"
    else
        echo "❌ $backend: unhealthy (HTTP $status)"
        failed=1
    fi
done
exit "$failed"
