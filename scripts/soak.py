"""Drives mixed traffic with faults, reloads and aborts, and checks what must hold throughout; see soak.sh.

Clients of HTTP/1.1 use a connection once or keep it, those of HTTP/2 (curl) use it once. Of the upstreams one speaks
HTTP/2, one errs, one resets connections, one is slow, and two, whose faults nothing can make good, die within streams
(mortal.py): the one over HTTP/2 also allows few streams, refuses, resets, stalls and goes away.

Invariants: every request is answered exactly once, by a status that the contract has and never by a 500 of our own;
a stream ends with `[DONE]` or with an error event, one that its upstream broke with the latter; afterwards nothing is
in flight, and there are no more open files than before; the ledger and the metrics have counted what the answers said,
each request once; memory stays within a bound once warm, and does not grow by more than a megabyte in ten minutes
(checked from five minutes on).
"""

import argparse
import asyncio
import json
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from mortal import DEATHS, DELAYS, Mortal, MortalHttp2

# A user for each kind of request, so that the ledger tells them apart; what is bad reaches nobody and has no row.
USERS = ["json", "stream", "silent", "mortal", "abort", "bad", "http2"]
WORKERS = 32
# Of them, those that keep their connections.
KEEPING = 16
HTTP2_WORKERS = 6
# What the contract has for a request that is in order.
STATUSES = {200, 429, 502, 503, 504}
# Files that come and go by themselves: kept upstream connections, the log, a reload under way.
SPARE_FILES = 8
# KiB that may be added to what is resident after a third of the time.
MOST_GROWTH = 4 * 1024


def config(upstreams, mortals, round_number):
    providers = "".join(
        f'[providers.p{i}]\nbase_url = "{url}"\napi_key = "k"\nproxy_url = "none"\nmax_concurrent_requests = 24\n'
        f'http_version = "{"h2c" if i == 0 else "http1"}"\n'
        for i, url in enumerate(upstreams)
    )
    backends = ", ".join(f'{{ provider = "p{i}", model = "m" }}' for i in range(len(upstreams)))
    mortal = "".join(
        f'[providers.{name}]\nbase_url = "{url}"\napi_key = "k"\nproxy_url = "none"\ntimeout_seconds = 1\n'
        f'http_version = "{"h2c" if name == "mortal2" else "http1"}"\n'
        f'[models.{name}]\nname = "{name}"\nbackends = [{{ provider = "{name}", model = "m" }}]\n'
        for name, url in mortals.items()
    )
    return f"""
[settings]
circuit_breaker_timeout_seconds = 1
stream_keepalive_seconds = {1 + round_number % 3}
{providers}
[models.m]
name = "m"
strategy = "weighted_failover"
backends = [{backends}]
{mortal}
{"".join(f'[users.{user}]{chr(10)}token = "{token(user)}"{chr(10)}' for user in USERS)}
[usage]
database = "usage.db"
"""


def token(user):
    return f"token-of-{user}-0123456789"


def request(user, body, path="/v1/chat/completions", method="POST", keep=False):
    return (
        f"{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token(user)}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
        f"connection: {'keep-alive' if keep else 'close'}\r\n\r\n{body}"
    ).encode()


async def read_answer(reader):
    """Reads one answer; returns its status, its body, and whether the connection stays."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    status = re.match(r"http/1\.1 (\d+) ", head).group(1)
    if "transfer-encoding: chunked" not in head:
        body = await reader.readexactly(int(re.search(r"content-length: (\d+)", head).group(1)))
        return status, body.decode(), "connection: close" not in head
    pieces = []
    while True:
        size = int(await reader.readline(), 16)
        pieces.append((await reader.readexactly(size + 2))[:-2])
        if size == 0:
            return status, b"".join(pieces).decode(), "connection: close" not in head


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

    async def ask(self, payload):
        """Sends a request on a connection of its own and returns its answer, which must be the only one."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(payload)
            async with asyncio.timeout(60):
                status, body, _ = await read_answer(reader)
                if more := await reader.read(-1):
                    self.violations.append(f"more than an answer: {more[:100]}")
            return status, body
        finally:
            writer.close()

    async def leave(self, payload, after):
        """Sends a request and leaves after so many bytes of the answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(payload)
        await asyncio.wait_for(reader.read(after), 20)
        writer.close()

    async def ask_on(self, kept, payload):
        """Sends a request on the kept connection, if there is one, and keeps it if it stays."""
        reader, writer = kept.pop() if kept else await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(payload)
        async with asyncio.timeout(60):
            status, body, stays = await read_answer(reader)
        if stays:
            kept.append((reader, writer))
        else:
            writer.close()
        return status, body

    async def work(self, seed):
        rng, keeps, kept = random.Random(seed), seed < KEEPING, []
        while time.monotonic() < self.ends:
            kind = rng.choices(USERS[:6], [5, 3, 2, 3, 2, 1])[0]
            payload = request(kind, "{" if kind == "bad" else self.message(kind, rng), keep=keeps)
            try:
                if kind == "abort":
                    await self.leave(payload, rng.choice([1, 400]))
                else:
                    answer = await (self.ask_on(kept, payload) if keeps else self.ask(payload))
            except (OSError, EOFError, asyncio.TimeoutError) as error:
                self.violations.append(f"{kind}, kept {keeps}: {error!r}")
                kept.clear()
                continue
            self.count(kind)
            if kind != "abort":
                self.check(kind, *answer)
        for _, writer in kept:
            writer.close()

    async def work_http2(self, seed):
        """Sends requests over HTTP/2, each on a connection of its own."""
        rng = random.Random(seed)
        while time.monotonic() < self.ends:
            curl = await asyncio.create_subprocess_exec(
                "curl", "-sN", "--http2-prior-knowledge", "--max-time", "60",
                "-H", f"authorization: Bearer {token('http2')}", "-H", "content-type: application/json",
                "-d", self.message("http2", rng), "-w", "\n%{http_code} %{http_version} %{exitcode}",
                f"http://127.0.0.1:{self.port}/v1/chat/completions",
                stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
            body, _, end = (await curl.communicate())[0].decode().rpartition("\n")
            status, version, code = end.split(" ")
            self.count("http2")
            if (version, code) != ("2", "0"):
                self.violations.append(f"http2: {end}")
            self.check("http2", status, body)

    @staticmethod
    def message(kind, rng):
        """Returns the body of a request."""
        model = rng.choice(["mortal", "mortal2"]) if kind == "mortal" else "m"
        message = {"model": model, "messages": [{"role": "user", "content": "hello " * rng.randint(1, 40)}]}
        if kind != "json":
            message["stream"] = True
        if kind == "stream":
            message["stream_options"] = {"include_usage": True}
        return json.dumps(message)

    def count(self, kind):
        self.counts[kind] += 1
        self.books[kind][0] += 1

    def check(self, kind, status, body):
        self.counts[f"{kind} {status}"] += 1
        allowed = {400} if kind == "bad" else STATUSES
        if int(status) not in allowed:
            self.violations.append(f"{kind}: answered by {status}: {body[:300]}")
            return
        failed = status != "200" or '"error"' in body
        if kind not in ("json", "bad") and ("[DONE]" in body) == failed:
            self.violations.append(f"{kind}: neither or both of an end and an error: {body[-300:]}")
        if kind == "mortal" and status == "200":
            # What has not begun has met failures that came before, and a comment that kept it waiting.
            dies = "dies" in body or "lives" not in body
            self.counts["mortal broken" if dies else "mortal whole"] += 1
            if failed != dies:
                self.violations.append(f"mortal: dies {dies}, told {failed}: {body[-300:]}")
        tokens = usage_of(kind, body)
        if kind in ("json", "stream") and failed != (tokens == (0, 0)):
            self.violations.append(f"{kind}: usage {tokens}: {body[-300:]}")
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
        known = {"json": 4, "stream": 4, "silent": 2, "mortal": 2, "http2": 2, "abort": 1}
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
    _, text = await soak.ask(request("json", "", "/prometheus", "GET"))
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


async def disturb(soak, process, file, upstreams, mortals):
    """Reloads every second, every fifth time with a file that is refused; returns what memory was taken."""
    taken = []
    for round_number in range(10**9):
        await asyncio.sleep(1)
        if time.monotonic() >= soak.ends:
            return taken
        file.write_text("[setting]" if round_number % 5 == 4 else config(upstreams, mortals, round_number))
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
            faults = [[], ["--error-rate", "0.2"], ["--reset-rate", "0.2"], ["--latency", "200ms"]]
            mocks = [start("berry-cli", *mock, *fault, "--seed", str(i)) for i, fault in enumerate(faults)]
            upstreams = [re.search(r"http://\S+", mock.stdout.readline()).group(0) for mock in mocks]
            dying = {"mortal": Mortal(), "mortal2": MortalHttp2()}
            mortals = {name: await upstream.start() for name, upstream in dying.items()}
            file = Path(folder, "config.toml")
            file.write_text(config(upstreams, mortals, 0))
            environment = {"BIND_ADDRESS": "127.0.0.1:0", "RUST_LOG": "berry_api=info", "LOG_FORMAT": "json"}
            process = start("berry-api", cwd=folder, env=environment)
            line = next(line for line in process.stdout if "Starting Berry API" in line)
            port = int(json.loads(line)["fields"]["address"].rsplit(":", 1)[1])
            asyncio.get_running_loop().run_in_executor(None, lambda: [None for _ in process.stdout])
            soak = Soak(port, options.seconds)
            files_before = files(process.pid)
            disturbing = disturb(soak, process, file, upstreams, mortals)
            working = [soak.work(seed) for seed in range(WORKERS)] + [soak.work_http2(seed) for seed in range(HTTP2_WORKERS)]
            taken, *_ = await asyncio.gather(disturbing, *working)
            await settled(soak, process.pid, files_before)
            _, metrics = await soak.ask(request("json", "", "/prometheus", "GET"))
            growth, sizes = slope(taken), [size for _, size in taken]
            warm = max(sizes[: len(sizes) // 3 + 1], default=0)
            if max(sizes, default=0) > warm + MOST_GROWTH:
                soak.violations.append(f"memory grows from {warm} to {max(sizes)} KiB")
            for kind in ("mortal broken", "mortal whole", "http2 200"):
                if not soak.counts[kind]:
                    soak.violations.append(f"nothing was {kind}")
            for name, upstream in dying.items():
                soak.counts.update({f"{name} {fate}": count for fate, count in upstream.done.items() if fate})
            for fate in [*DEATHS, *DELAYS]:
                if not dying["mortal2"].done[fate]:
                    soak.violations.append(f"nothing was {fate} over HTTP/2")
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
    memory = {"warm_kib": warm, "most_kib": max(sizes, default=0), "kib_in_ten_minutes": round(growth)}
    print(json.dumps({"counts": dict(sorted(soak.counts.items())), **memory}, indent=2))
    for violation in soak.violations[:20]:
        print(f"violated: {violation}", file=sys.stderr)
    return 1 if soak.violations else 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin-dir", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    options.bin_dir = options.bin_dir.resolve()
    if shutil.which("curl") is None:
        sys.exit("curl is not installed: nothing else here speaks HTTP/2")
    sys.exit(asyncio.run(run(options)))


if __name__ == "__main__":
    main()
