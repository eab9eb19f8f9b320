#!/usr/bin/env python3
"""Measures what a big configuration costs: 200 providers, 1,000 models, 5,000 users.

Usage: scripts/measure-configuration.py [--requests 300] [--bin-dir target/release]

Checks the file with `berry-cli validate-config` and says how long that took and how much memory; then counts, under
valgrind, the instructions of one request to a gateway with this configuration and to one with a small one. Exits with 1
where the check took 200 ms or 100 MB, or where a request costs 5 % more.
"""

import argparse
import http.client
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIG = (200, 1000, 5000)
SMALL = (1, 1, 1)


def config(upstream, providers, models, users):
    text = ["[settings]\nhealth_check_interval_seconds = 0\n"]
    for number in range(providers):
        text.append(f'[providers.p{number}]\nbase_url = "{upstream}"\napi_key = "key-{number:06}"\nproxy_url = "none"\n')
    for number in range(models):
        text.append(f'[models.m{number}]\nname = "model-{number}"\n')
        for backend in range(3):
            provider = (number * 7 + backend * 31) % providers
            text.append(f'[[models.m{number}.backends]]\nprovider = "p{provider}"\nmodel = "upstream-{backend}"\n')
    for number in range(users):
        allowed = f'["model-{number % models}", "model-{number * 3 % models}"]' if number else "[]"
        text.append(f'[users.u{number}]\ntoken = "token-of-user-{number:06}-abc"\nallowed_models = {allowed}\n')
    return "\n".join(text)


def check(binaries, path):
    """Seconds of processor time and MB of memory that the check of a file takes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([binaries / "berry-cli", "validate-config", "-c", path], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, after.ru_maxrss / 1000


def instructions(binaries, path, requests):
    """The instructions of a gateway that served so many requests and ended."""
    log = path.with_suffix(".log")
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", binaries / "berry-api", "--config", path]
    environment = {"BIND_ADDRESS": "127.0.0.1:0", "LOG_FORMAT": "json", "RUST_LOG": "info", "PATH": os.environ["PATH"]}
    with log.open("w") as out:
        gateway = subprocess.Popen(command, env=environment, stdout=out, stderr=subprocess.PIPE, text=True)
    port = None
    while port is None and gateway.poll() is None:
        found = re.search(r'"address":"[^"]*:(\d+)"', log.read_text())
        port = found and int(found.group(1))
        time.sleep(0.1)
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    body = json.dumps({"model": "model-0", "messages": [{"role": "user", "content": "hi"}]})
    headers = {"Authorization": "Bearer token-of-user-000000-abc", "Content-Type": "application/json"}
    for _ in range(requests):
        client.request("POST", "/v1/chat/completions", body, headers)
        answer = client.getresponse()
        assert answer.status == 200, answer.read()
        answer.read()
    client.close()
    gateway.terminate()
    _, said = gateway.communicate()
    return int(re.search(r"Collected : (\d+)", said).group(1))


def request_cost(binaries, path, requests):
    few, many = (instructions(binaries, path, count) for count in (requests // 10, requests))
    return (many - few) / (requests - requests // 10)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--bin-dir", type=Path, default=ROOT / "target" / "release")
    options = parser.parse_args()
    binaries = options.bin_dir.resolve()

    mock = subprocess.Popen([binaries / "berry-cli", "mock-upstream"], stdout=subprocess.PIPE, text=True)
    try:
        upstream = mock.stdout.readline().split()[-1]
        with tempfile.TemporaryDirectory() as folder:
            paths = {}
            for name, size in (("small", SMALL), ("big", BIG)):
                paths[name] = Path(folder) / f"{name}.toml"
                paths[name].touch(mode=0o600)
                paths[name].write_text(config(upstream, *size))
            taken, memory = min(check(binaries, paths["big"]) for _ in range(5))
            print(f"check    {taken * 1000:.0f} ms, {memory:.0f} MB")
            small, big = (request_cost(binaries, paths[name], options.requests) for name in ("small", "big"))
            print(f"request  {small:.0f} instructions with the small file, {big:.0f} with the big one: {big / small - 1:+.1%}")
    finally:
        mock.terminate()
        mock.wait()
    sys.exit(0 if taken < 0.2 and memory < 100 and big < small * 1.05 else 1)


if __name__ == "__main__":
    main()
