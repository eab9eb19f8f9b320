"""Runs a command beside a gateway over simulated providers: `stand.py COMMAND…`.

Both SDKs' tests run this way, so that they meet the same gateway. The command finds it through the environment:
BERRY_BASE_URL (ending in `/v1`), BERRY_TOKEN (may use every model), BERRY_RESTRICTED_TOKEN (may use `chat` alone) and
BERRY_LOG (the gateway's log, JSON lines). The binaries come from BERRY_BIN_DIR. All ports are chosen by the system.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).parents[2]
BINARIES = Path(os.environ.get("BERRY_BIN_DIR", ROOT / "target" / "debug"))
READY_WITHIN_SECONDS = 30

TOKEN = "sdk-test-token-of-everyone"
RESTRICTED_TOKEN = "sdk-test-token-restricted"

LIMITED = ["--error-rate", "1", "--error-status", "429", "--retry-after", "1"]

# The protocols besides OpenAI's: each has a provider and a model of its name.
PROTOCOLS = ["azure", "claude", "gemini"]

# What is odd about each simulated provider. `paced` is so slow that an abort comes in the midst of its answer. Two are
# limited because such a provider is left alone for a second after each 429.
PROVIDERS = {
    "good": ["--chunk-interval", "5ms"],
    "paced": ["--chunk-interval", "200ms"],
    "limited": LIMITED,
    "limited-stream": LIMITED,
    "strict": ["--error-rate", "1", "--error-status", "400"],
    "broken": ["--error-rate", "1", "--error-status", "500"],
} | {name: ["--chunk-interval", "5ms", "--protocol", name] for name in PROTOCOLS}

# The model `chat` is served by `good`; the others by the provider of their name.
MODELS = """
[models.chat]
name = "chat"
backends = [{ provider = "good", model = "sim-1" }]

[models.failover]
name = "failover"
strategy = "failover"
backends = [
  { provider = "broken", model = "sim-1", priority = 0 },
  { provider = "good", model = "sim-1", priority = 1 },
]

[users.everyone]
token = "%s"

[users.restricted]
token = "%s"
allowed_models = ["chat"]
""" % (TOKEN, RESTRICTED_TOKEN)


def main(command):
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        urls = {name: start_provider(stack, name, options) for name, options in PROVIDERS.items()}
        configuration = folder / "config.toml"
        configuration.write_text(configuration_over(urls))
        log = folder / "gateway.log"
        environment = {
            "BERRY_BASE_URL": start_gateway(stack, configuration, log),
            "BERRY_TOKEN": TOKEN,
            "BERRY_RESTRICTED_TOKEN": RESTRICTED_TOKEN,
            "BERRY_LOG": str(log),
        }
        status = subprocess.run(command, env=without_proxy() | environment).returncode
        if status:
            print(f"the gateway's log ended with:\n{log.read_text()[-4000:]}", file=sys.stderr)
        return status


def configuration_over(urls):
    tables = [MODELS]
    for name, url in urls.items():
        # One attempt: a provider that always fails need not be waited for.
        tables.append(f'[providers.{name}]\nbase_url = "{url}"\napi_key = "sim-key"\nmax_retries = 0\n')
        if name in PROTOCOLS:
            tables.append(f'backend_type = "{name}"\n')
        if name != "good":
            tables.append(f'[models.{name}]\nname = "{name}"\nbackends = [{{ provider = "{name}", model = "sim-1" }}]\n')
    return "\n".join(tables)


def start_provider(stack, name, options):
    """Starts a simulated provider and returns its base URL, which is in the first line it prints."""
    command = [BINARIES / "berry-cli", "mock-upstream", "--listen", "127.0.0.1:0", "--name", name]
    command += ["--models", "sim-1", "--api-key", "sim-key", *options]
    process = start(stack, command, stdout=subprocess.PIPE, text=True)
    line = process.stdout.readline()
    found = re.search(r"listening on (http\S+)", line)
    if not found:
        sys.exit(f"error: the simulated provider `{name}` does not start: {line}")
    return found.group(1)


def start_gateway(stack, configuration, log):
    """Starts the gateway, waits until it is ready, and returns the URL its clients use."""
    environment = without_proxy() | {"BIND_ADDRESS": "127.0.0.1:0", "LOG_FORMAT": "json", "RUST_LOG": "info"}
    environment.pop("LOG_FILE", None)
    with log.open("w") as out:
        process = start(stack, [BINARIES / "berry-api", "--config", configuration], stdout=out, env=environment)
    deadline = time.monotonic() + READY_WITHIN_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        # What follows the last line end is a line that is being written.
        for line in log.read_text().split("\n")[:-1]:
            event = json.loads(line)
            if event["message"] == "Starting Berry API":
                return f"http://{event['fields']['address']}/v1"
        time.sleep(0.02)
    sys.exit(f"error: the gateway does not become ready:\n{log.read_text()}")


def start(stack, command, **options):
    process = stack.enter_context(subprocess.Popen(command, **options))
    stack.callback(process.terminate)
    return process


def without_proxy():
    """The environment, less what would put a proxy between programs of this machine."""
    return {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
