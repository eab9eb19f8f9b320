#!/usr/bin/env python3
"""Reloads the configuration under load, and says what it cost.

Usage: scripts/measure-reload.py [--rate 500] [--streams 50] [--reloads 100] [--bin-dir target/debug]

Serves a simulated provider, sends requests at a steady rate while streams are open, and rewrites the configuration
again and again, every third time with a faulty file. Exits with 1 where a request failed, a stream broke, or a change
took longer than a second.
"""

import argparse
import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOKEN = "token-of-the-admin-0123456789"


def config(upstream, slow, round_number):
    return f"""
[settings]
health_check_interval_seconds = 0
max_retries = 0
max_internal_retries = {round_number % 10}
[providers.fast]
base_url = "{upstream}"
api_key = "none-is-needed"
proxy_url = "none"
[providers.slow]
base_url = "{slow}"
api_key = "none-is-needed"
proxy_url = "none"
[models.fast]
name = "fast"
backends = [{{ provider = "fast", model = "m" }}]
[models.slow]
name = "slow"
backends = [{{ provider = "slow", model = "m" }}]
[users.admin]
token = "{TOKEN}"
"""


class Connection:
    """One kept connection to the gateway."""

    def __init__(self, port):
        self.port = port

    async def open(self):
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        return self

    async def send(self, method, path, body=b""):
        head = (
            f"{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        self.writer.write(head.encode() + body)
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        return int(head.split()[1]), head

    async def ask(self, method, path, body=b""):
        status, head = await self.send(method, path, body)
        length = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
        if length:
            return status, await self.reader.readexactly(int(length.group(1)))
        text = b""
        while not text.endswith(b"0\r\n\r\n"):
            text += await self.reader.readuntil(b"\r\n")
        return status, text


def chat(model, stream):
    return json.dumps({"model": model, "stream": stream, "messages": [{"role": "user", "content": "hi"}]}).encode()


async def knock(port, every, stop, times, failures):
    """Sends requests at a steady pace."""
    connection = await Connection(port).open()
    due = time.monotonic()
    while not stop.is_set():
        began = time.monotonic()
        status, body = await connection.ask("POST", "/v1/chat/completions", chat("fast", False))
        times.append(time.monotonic() - began)
        if status != 200:
            failures.append((status, body))
        due += every
        await asyncio.sleep(max(0, due - time.monotonic()))


async def listen(port, opened, failures):
    """Reads one stream to its end."""
    connection = await Connection(port).open()
    status, _ = await connection.send("POST", "/v1/chat/completions", chat("slow", True))
    opened.append(status)
    text = b""
    try:
        while not text.endswith(b"0\r\n\r\n"):
            line = await connection.reader.readuntil(b"\n")
            text = (text + line)[-100:]
    except asyncio.IncompleteReadError:
        pass
    if status != 200 or b"[DONE]" not in text:
        failures.append((status, text))


def resident(process):
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text()).group(1)) / 1024


async def generation(connection):
    _, body = await connection.ask("GET", "/metrics")
    return json.loads(body)["config"]["generation"]


async def measure(options, path, port, process, urls):
    stop, times, failures, opened, broken = asyncio.Event(), [], [], [], []
    streams = [asyncio.create_task(listen(port, opened, broken)) for _ in range(options.streams)]
    while len(opened) < options.streams:
        await asyncio.sleep(0.01)
    clients = [
        asyncio.create_task(knock(port, 20 / options.rate, stop, times, failures)) for _ in range(20)
    ]
    await asyncio.sleep(2)
    quiet, before = list(times), resident(process)
    times.clear()

    admin = await Connection(port).open()
    reloads, wrong = [], 0
    for number in range(1, options.reloads + 1):
        faulty = number % 3 == 0
        path.write_text("[settings" if faulty else config(*urls, number))
        began = time.monotonic()
        status, _ = await admin.ask("POST", "/admin/reload-config")
        reloads.append(time.monotonic() - began)
        wrong += status != (422 if faulty else 200)
        await asyncio.sleep(0.05)
    noticed = []
    for number in range(3):
        last = await generation(admin)
        path.write_text(config(*urls, number + 5))
        began = time.monotonic()
        while await generation(admin) == last:
            await asyncio.sleep(0.005)
        noticed.append(time.monotonic() - began)
    after, ended_early = resident(process), sum(stream.done() for stream in streams)
    stop.set()
    await asyncio.gather(*clients)
    await asyncio.gather(*streams)

    def shown(seconds):
        cuts = statistics.quantiles(seconds, n=100)
        return f"p50 {cuts[49] * 1000:.1f} ms, p99 {cuts[98] * 1000:.1f} ms"

    print(f"requests          {len(times)} during reloads, {len(failures)} failed")
    print(f"latency           {shown(quiet)} before; {shown(times)} during reloads")
    print(f"streams           {len(streams)}, {len(broken)} broken, {ended_early} ended before the last reload")
    print(f"reloads           {len(reloads)}, {wrong} answered wrongly; {shown(reloads)}")
    print(f"change of a file  served after at most {max(noticed) * 1000:.0f} ms")
    print(f"memory            {before:.1f} MiB before, {after:.1f} MiB after")
    return not (failures or broken or wrong or ended_early or max(noticed) > 1)


def mock(binaries, *arguments):
    command = [binaries / "berry-cli", "mock-upstream", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    return process, process.stdout.readline().split()[-1]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rate", type=int, default=500, help="requests a second")
    parser.add_argument("--streams", type=int, default=50)
    parser.add_argument("--reloads", type=int, default=100)
    parser.add_argument("--bin-dir", type=Path, default=ROOT / "target" / "debug")
    options = parser.parse_args()
    binaries = options.bin_dir.resolve()

    fast, fast_url = mock(binaries)
    # Streams outlast all reloads.
    chunks = str(options.reloads + 300)
    slow, slow_url = mock(binaries, "--chunks", chunks, "--chunk-interval", "100ms")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.toml"
        path.touch(mode=0o600)
        path.write_text(config(fast_url, slow_url, 0))
        environment = {"BIND_ADDRESS": "127.0.0.1:0", "LOG_FORMAT": "json", "RUST_LOG": "info", "PATH": os.environ["PATH"]}
        gateway = subprocess.Popen(
            [binaries / "berry-api", "--config", path], env=environment, stdout=open(Path(folder) / "log", "w")
        )
        try:
            log, port = Path(folder) / "log", None
            while port is None and gateway.poll() is None:
                found = re.search(r'"address":"[^"]*:(\d+)"', log.read_text())
                port = found and int(found.group(1))
                time.sleep(0.05)
            passed = asyncio.run(measure(options, path, port, gateway, (fast_url, slow_url)))
        finally:
            for process in (gateway, fast, slow):
                process.terminate()
                process.wait()
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()
