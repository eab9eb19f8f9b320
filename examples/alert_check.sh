#!/usr/bin/env bash
# Like health_check.sh, for cron: tells a webhook (of Slack, Mattermost, …) which backends do not answer.
#
#   BACKENDS="openai deepseek" MODEL=chat TOKEN=… WEBHOOK_URL=https://hooks.example/… examples/alert_check.sh
#
#   WEBHOOK_URL   gets {"text": "…"} when a backend does not answer
#   the others    as in health_check.sh
set -euo pipefail

: "${WEBHOOK_URL:?which webhook?}"

if report=$("$(dirname "${BASH_SOURCE[0]}")/health_check.sh"); then
    echo "$report"
    exit 0
fi
echo "$report"
# What comes of health_check.sh has no quotes and no backslashes in it, unless a backend's name has.
unhealthy=$(grep '^❌' <<<"$report" | sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' | paste -sd '|' | sed 's/|/\\n/g')
curl -sS --fail -o /dev/null --max-time 30 "$WEBHOOK_URL" -H 'Content-Type: application/json' \
    -d "{\"text\":\"Berry API: backends do not answer\\n$unhealthy\"}"
exit 1
