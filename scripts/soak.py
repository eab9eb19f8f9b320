"""Drives mixed traffic with faults, reloads and aborts, and checks what must hold throughout; see soak.sh.

Invariants: every request is answered exactly once, by a status that the contract has and never by a 500 of our own;
a stream ends with `[DONE]` or with an error event; afterwards nothing is in flight, and there are no more open files
than before; the ledger and the metrics have counted what the answers said, each request once; memory does not grow by
more than a megabyte in ten minutes once warm (checked from five minutes on).
"""

import argparse
import asyncio
import json
import os
import random
import re
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

# A user for each kind of request, so that the ledger tells them apart; what is bad reaches nobody and has no row.
USERS = ["json", "stream", "silent", "abort", "bad"]
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
{"".join(f'[users.{user}]{chr(10)}token = "{token(user)}"{chr(10)}' for user in USERS)}
[usage]
database = "usage.db"
"""


def token(user):
    return f"token-of-{user}-0123456789"


def request(user, body, path="/v1/chat/completions", method="POST"):
    return (
        f"{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token(user)}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n{body}"
    ).encode()


def body_of(answer):
    """Returns an answer's body, out of its chunks."""
    head, body = answer.split("\r\n\r\n", 1)
    if "transfer-encoding: chunked" not in head.lower():
        return body
    pieces, left = [], body.encode()
    while left:
        size, left = left.split(b"\r\n", 1)
        pieces.append(left[: int(size, 16)])
        left = left[int(size, 16) + 2 :]
    return b"".join(pieces).decode()


def usage_of(kind, body):
    """Returns the tokens that an answer says it cost, in and out."""
    events = [body] if kind == "json" else re.findall(r"^data: (\{.*\})$", body, re.M)
    said = [json.loads(event).get("usage") for event in events]
    usage = next((usage for usage in reversed(said) if usage), {})
    return usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0)


class Soak:
    def __init__(self, port, seconds):
        self.port, self.ends = port, time.monotonic() + seconds
        self.counts, self.violations = Counter(), []
        # What the ledger must have of each user: requests, those that failed, tokens in, tokens out.
        self.books = {user: [0, 0, 0, 0] for user in USERS}

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
            kind = rng.choices(USERS, [5, 3, 2, 2, 1])[0]
            message = {"model": "m", "messages": [{"role": "user", "content": "hello " * rng.randint(1, 40)}]}
            if kind != "json":
                message["stream"] = True
            if kind == "stream":
                message["stream_options"] = {"include_usage": True}
            payload = request(kind, "{" if kind == "bad" else json.dumps(message))
            try:
                answer = await self.ask(payload, rng.choice([1, 400]) if kind == "abort" else None)
            except (OSError, asyncio.TimeoutError) as error:
                self.violations.append(f"{kind}: {error!r}")
                continue
            self.counts[kind] += 1
            self.books[kind][0] += 1
            if answer is not None:
                self.check(kind, answer)

    def check(self, kind, answer):
        heads = re.findall(r"^HTTP/1\.1 (\d+) ", answer, re.M)
        self.counts[f"{kind} {''.join(heads)}"] += 1
        allowed = {400} if kind == "bad" else STATUSES
        if len(heads) != 1 or int(heads[0]) not in allowed:
            self.violations.append(f"{kind}: answered by {heads}: {answer[:300]}")
            return
        body = body_of(answer)
        failed = heads[0] != "200" or '"error"' in body
        if kind in ("stream", "silent") and ("[DONE]" in body) == failed:
            self.violations.append(f"{kind}: neither or both of an end and an error: {answer[-300:]}")
        tokens = usage_of(kind, body)
        if kind in ("json", "stream") and failed != (tokens == (0, 0)):
            self.violations.append(f"{kind}: usage {tokens}: {answer[-300:]}")
        for place, count in enumerate((failed, *tokens), 1):
            self.books[kind][place] += count

    def compare(self, metrics, ledger):
        """Checks what the gateway has counted."""
        counted = re.findall(r'^http_requests_total\{.*path="/v1/chat/completions".*\} (\S+)', metrics, re.M)
        sent = sum(self.counts[kind] for kind in USERS)
        if sum(map(float, counted)) != sent:
            self.violations.append(f"metrics have {counted} of {sent} requests")
        with sqlite3.connect(ledger) as database:
            rows = dict(database.execute("SELECT user, COUNT(*) FROM request GROUP BY user"))
            totals = database.execute(
                "SELECT user, SUM(requests), SUM(failed), SUM(uncached + cache_read + cache_write),"
                " SUM(visible + reasoning) FROM total WHERE span = 86400 GROUP BY user"
            )
            totals = {user: sums for user, *sums in totals}
        # Which tokens an abandoned answer has cost, and what a silent one, only the gateway knows.
        known = {"json": 4, "stream": 4, "silent": 2, "abort": 1}
        for user, columns in known.items():
            books, sums = self.books[user], totals.get(user, [0] * 4)
            if rows.get(user, 0) != books[0] or sums[:columns] != books[:columns]:
                self.violations.append(f"the ledger has {rows.get(user)} rows, {sums} of {user}; sent were {books}")
        if "bad" in rows:
            self.violations.append(f"the ledger has {rows['bad']} rows of requests that were refused")


def resident(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text()).group(1))


def files(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


async def in_flight(soak):
    text = await soak.ask(request("json", "", "/prometheus", "GET"))
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
            metrics = await soak.ask(request("json", "", "/prometheus", "GET"))
            growth = slope(taken)
            if options.seconds >= 300 and growth > 1024:
                soak.violations.append(f"memory grows by {growth:.0f} KiB in ten minutes")
            process.terminate()
            if process.wait(60) != 0:
                soak.violations.append(f"the gateway ended with {process.returncode}")
            soak.compare(metrics, Path(folder, "usage.db"))
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
