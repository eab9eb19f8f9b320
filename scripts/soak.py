"""Drives mixed traffic with faults, reloads and aborts, and checks what must hold throughout; see soak.sh.

Invariants: every request is answered exactly once, by a status that the contract has and never by a 500 of our own;
a stream ends with `[DONE]` or with an error event; afterwards nothing is in flight, and there are no more open files
than before; memory does not grow by more than a megabyte in ten minutes once warm (checked from five minutes on).
"""

import argparse
import asyncio
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

TOKEN = "token-of-the-admin-0123456789"
WORKERS = 32
# What the contract has for a request that is in order.
STATUSES = {200, 429, 502, 503, 504}
# Files that come and go by themselves: kept upstream connections, the log, a reload under way.
SPARE_FILES = 8


def config(upstreams, round_number):
    providers = "".join(
        f'[providers.p{i}]\nbase_url = "{url}"\napi_key = "k"\nproxy_url = "none"\nmax_concurrent_requests = 24\n'
        for i, url in enumerate(upstreams)
    )
    backends = ", ".join(f'{{ provider = "p{i}", model = "m" }}' for i in range(len(upstreams)))
    return f"""
[settings]
circuit_breaker_timeout_seconds = 1
stream_keepalive_seconds = {1 + round_number % 3}
{providers}
[models.m]
name = "m"
strategy = "weighted_failover"
backends = [{backends}]
[users.admin]
token = "{TOKEN}"
tags = ["admin"]
"""


def request(body, path="/v1/chat/completions", method="POST"):
    head = f"{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\nconnection: close\r\n\r\n{body}".encode()


class Soak:
    def __init__(self, port, seconds):
        self.port, self.ends = port, time.monotonic() + seconds
        self.counts, self.violations = Counter(), []

    async def ask(self, payload, leave_after=None):
        """Sends a request and returns all of its answer, or leaves after so many bytes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(payload)
            if leave_after is not None:
                await asyncio.wait_for(reader.read(leave_after), 20)
                return None
            return (await asyncio.wait_for(reader.read(-1), 60)).decode(errors="replace")
        finally:
            writer.close()

    async def work(self, seed):
        rng = random.Random(seed)
        while time.monotonic() < self.ends:
            kind = rng.choices(["json", "stream", "abort", "bad"], [5, 5, 2, 1])[0]
            message = {"model": "m", "messages": [{"role": "user", "content": "hello " * rng.randint(1, 40)}]}
            if kind != "json":
                message["stream"] = True
            payload = request("{" if kind == "bad" else json.dumps(message))
            try:
                answer = await self.ask(payload, rng.choice([1, 400]) if kind == "abort" else None)
            except (OSError, asyncio.TimeoutError) as error:
                self.violations.append(f"{kind}: {error!r}")
                continue
            self.counts[kind] += 1
            if answer is not None:
                self.check(kind, answer)

    def check(self, kind, answer):
        heads = re.findall(r"^HTTP/1\.1 (\d+) ", answer, re.M)
        allowed = {400} if kind == "bad" else STATUSES
        if len(heads) != 1 or int(heads[0]) not in allowed:
            self.violations.append(f"{kind}: answered by {heads}: {answer[:300]}")
        elif kind == "stream" and heads[0] == "200" and ("[DONE]" in answer) == ('"error"' in answer):
            self.violations.append(f"stream: neither or both of an end and an error: {answer[-300:]}")
        self.counts[f"{kind} {''.join(heads)}"] += 1


def resident(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text()).group(1))


def files(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


async def in_flight(soak):
    text = await soak.ask(request("", "/prometheus", "GET"))
    # The question itself is one of them.
    return sum(float(n) for n in re.findall(r"^http_requests_in_flight(?:\{.*\})? (\S+)", text, re.M)) - 1


async def settled(soak, pid, files_before):
    """Waits until what has begun has ended; says what has not."""
    for _ in range(100):
        left, opened = await in_flight(soak), files(pid)
        if left <= 0 and opened <= files_before + SPARE_FILES:
            return
        await asyncio.sleep(0.2)
    soak.violations.append(f"in flight {left}, open files {opened} after {files_before}")


async def disturb(soak, process, file, upstreams):
    """Reloads every second, every fifth time with a file that is refused; returns what memory was taken."""
    taken = []
    for round_number in range(10**9):
        await asyncio.sleep(1)
        if time.monotonic() >= soak.ends:
            return taken
        file.write_text("[setting]" if round_number % 5 == 4 else config(upstreams, round_number))
        taken.append((time.monotonic(), resident(process.pid)))


def slope(taken):
    """KiB in ten minutes, over the second half, by least squares."""
    half = taken[len(taken) // 2 :]
    if len(half) < 2:
        return 0.0
    times, sizes = zip(*half)
    middle, mean = sum(times) / len(times), sum(sizes) / len(sizes)
    spread = sum((t - middle) ** 2 for t in times)
    return 600 * sum((t - middle) * (s - mean) for t, s in half) / spread


async def run(options):
    programs = []

    def start(name, *arguments, **settings):
        program = subprocess.Popen(
            [options.bin_dir / name, *arguments], stdout=subprocess.PIPE, text=True, **settings
        )
        programs.append(program)
        return program

    with tempfile.TemporaryDirectory() as folder:
        try:
            mock = ["mock-upstream", "--chunk-interval", "10ms", "--chunks", "20"]
            faults = [["--error-rate", "0.2"], ["--reset-rate", "0.2"], ["--latency", "200ms"]]
            mocks = [start("berry-cli", *mock, *fault, "--seed", str(i)) for i, fault in enumerate(faults)]
            upstreams = [re.search(r"http://\S+", mock.stdout.readline()).group(0) for mock in mocks]
            file = Path(folder, "config.toml")
            file.write_text(config(upstreams, 0))
            environment = {"BIND_ADDRESS": "127.0.0.1:0", "RUST_LOG": "berry_api=info", "LOG_FORMAT": "json"}
            process = start("berry-api", cwd=folder, env=environment)
            line = next(line for line in process.stdout if "Starting Berry API" in line)
            port = int(json.loads(line)["fields"]["address"].rsplit(":", 1)[1])
            asyncio.get_running_loop().run_in_executor(None, lambda: [None for _ in process.stdout])
            soak = Soak(port, options.seconds)
            files_before = files(process.pid)
            disturbing = disturb(soak, process, file, upstreams)
            taken, *_ = await asyncio.gather(disturbing, *(soak.work(seed) for seed in range(WORKERS)))
            await settled(soak, process.pid, files_before)
            growth = slope(taken)
            if options.seconds >= 300 and growth > 1024:
                soak.violations.append(f"memory grows by {growth:.0f} KiB in ten minutes")
            process.terminate()
            if process.wait(60) != 0:
                soak.violations.append(f"the gateway ended with {process.returncode}")
        finally:
            for program in programs:
                if program.poll() is None:
                    program.kill()
                    program.wait()
    print(json.dumps({"counts": dict(sorted(soak.counts.items())), "kib_in_ten_minutes": round(growth)}, indent=2))
    for violation in soak.violations[:20]:
        print(f"violated: {violation}", file=sys.stderr)
    return 1 if soak.violations else 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin-dir", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    options.bin_dir = options.bin_dir.resolve()
    sys.exit(asyncio.run(run(options)))


if __name__ == "__main__":
    main()
