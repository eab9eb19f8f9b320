#!/usr/bin/env python3
"""Measures what docs/reliability.md promises: streams, idle connections, isolation, storms, aborts, stopping, starting.

Usage: scripts/measure-reliability.py [--bin-dir target/release] [--streams 10000] [FIGURE…]

FIGURES are streams-h2c, streams-http1, idle, isolation, storm, down, abort, stop and restart; all of them by default.
Prints a line for each and exits with 1 where one misses its bound. Needs two open files for each stream over HTTP/1.1.
"""

import argparse
import asyncio
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOKEN = "token-of-the-measurer-0123456789"
# Connections that are opened at once: more would overflow the kernel's queue and measure that.
BURST = 200


def request(model, path="/v1/chat/completions", method="POST", stream=False, close=False):
    message = {"model": model, "messages": [{"role": "user", "content": "hello"}], "stream": stream}
    body = json.dumps(message) if method == "POST" else ""
    return (
        f"{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n{'connection: close' if close else 'x: y'}\r\n\r\n{body}"
    ).encode()


def model(name, *providers):
    backends = ", ".join(f'{{ provider = "{provider}", model = "m" }}' for provider in providers)
    return f'[models.{name}]\nname = "{name}"\nbackends = [{backends}]\n'


def provider(name, url, *lines):
    options = "".join(f"{line}\n" for line in lines)
    return f'[providers.{name}]\nbase_url = "{url}"\napi_key = "k"\nproxy_url = "none"\n{options}'


def resident(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text()).group(1))


def percentile(times, share=0.95):
    return sorted(times)[int(len(times) * share)]


class Gateway:
    """The gateway over a configuration."""

    def __init__(self, binary, folder, toml, settings="", port=0):
        file = Path(folder, "config.toml")
        file.touch(mode=0o600)
        text = f'[settings]\nhealth_check_interval_seconds = 0\n{settings}\n{toml}\n[users.u]\ntoken = "{TOKEN}"\n'
        file.write_text(text)
        log = Path(folder, f"log-{time.monotonic()}")
        environment = {"BIND_ADDRESS": f"127.0.0.1:{port}", "RUST_LOG": "info", "LOG_FORMAT": "json", "MAX_CONNECTIONS": "15000"}
        self.began = time.monotonic()
        with log.open("w") as out:
            self.process = subprocess.Popen([binary, "--config", file], env=environment, stdout=out)
        self.pid, self.port = self.process.pid, port
        while not self.port:
            found = re.search(r'"address":"[^"]*:(\d+)"', log.read_text())
            self.port = int(found.group(1)) if found else 0
            time.sleep(0.01)

    async def connect(self):
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def ask(self, payload):
        """Sends a request on a connection of its own; returns the answer."""
        reader, writer = await self.connect()
        writer.write(payload)
        answer = await reader.read(-1)
        writer.close()
        return answer.decode(errors="replace")

    async def attempts(self):
        page = await self.ask(request("", "/prometheus", "GET", close=True))
        return sum(map(float, re.findall(r"^backend_request_count_total\{.*\} (\S+)", page, re.M)))

    async def times(self, model, count):
        """How long requests take, one after the other on one connection."""
        reader, writer = await self.connect()
        times = []
        for _ in range(count):
            began = time.perf_counter()
            writer.write(request(model))
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(re.search(rb"content-length: (\d+)", head).group(1)))
            times.append(time.perf_counter() - began)
        writer.close()
        return times


class Bench:
    def __init__(self, options):
        self.binaries, self.streams, self.missed, self.folder = options.bin_dir.resolve(), options.streams, [], None

    def report(self, name, text, holds):
        print(f"{name:14} {text}{'' if holds else '   MISSED'}", flush=True)
        if not holds:
            self.missed.append(name)

    @contextmanager
    def mock(self, *arguments):
        command = [self.binaries / "berry-cli", "mock-upstream", *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            yield re.search(r"http://\S+", process.stdout.readline()).group(0)
        finally:
            process.kill()
            process.wait()

    @contextmanager
    def gateway(self, toml, settings="", port=0):
        gateway = Gateway(self.binaries / "berry-api", self.folder, toml, settings, port)
        try:
            yield gateway
        finally:
            if gateway.process.poll() is None:
                gateway.process.kill()
                gateway.process.wait()

    async def many_streams(self, name, version, count):
        """Opens streams that all go on at once, and counts those that end as they should."""
        begun, gate = asyncio.Semaphore(0), asyncio.Semaphore(BURST)

        async def stream(gateway):
            async with gate:
                reader, writer = await gateway.connect()
                writer.write(request("m", stream=True, close=True))
            await reader.readuntil(b'"content"')
            begun.release()
            rest = await reader.read(-1)
            writer.close()
            return b"[DONE]" in rest

        with self.mock("--chunk-interval", "25s", "--chunks", "3") as url:
            toml = provider("p", url, f'http_version = "{version}"') + model("m", "p")
            # No comments between the pieces, and nothing shed.
            with self.gateway(toml, "stream_keepalive_seconds = 0") as gateway:
                await gateway.ask(request("m", "/health/live", "GET", close=True))
                before = resident(gateway.pid)
                streams = [asyncio.ensure_future(stream(gateway)) for _ in range(count)]
                for _ in range(count):
                    await asyncio.wait_for(begun.acquire(), 120)
                each, over = (resident(gateway.pid) - before) / count, sum(stream.done() for stream in streams)
                ended = await asyncio.gather(*streams, return_exceptions=True)
                lost = count - sum(end is True for end in ended)
                text = f"{count - over} at once, {lost} lost, {each:.1f} KiB each"
                self.report(name, text, over == 0 and lost == 0 and each <= 64)

    async def streams_h2c(self):
        await self.many_streams("streams-h2c", "h2c", self.streams)

    async def streams_http1(self):
        most = (resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 200) // 2
        await self.many_streams("streams-http1", "http1", min(self.streams, most))

    async def idle(self):
        with self.gateway("") as gateway:
            # What the process needs once is no connection's.
            for _ in range(200):
                await gateway.ask(request("m", "/health/live", "GET", close=True))
            for kind, asks in (("unused", 0), ("used", 1)):
                before, open_ones = resident(gateway.pid), []
                for _ in range(2000):
                    reader, writer = await gateway.connect()
                    for _ in range(asks):
                        writer.write(request("m", "/health/live", "GET"))
                        await reader.readuntil(b"}")
                    open_ones.append(writer)
                await asyncio.sleep(0.5)
                each = (resident(gateway.pid) - before) / 2000
                self.report("idle", f"2000 {kind} connections, {each:.1f} KiB each", each <= 16)
                for writer in open_ones:
                    writer.close()
                await asyncio.sleep(1)

    async def isolation(self):
        with self.mock("--latency", "600s") as hung, self.mock() as well:
            toml = provider("hung", hung) + provider("well", well) + model("h", "hung") + model("w", "well")
            with self.gateway(toml) as gateway:
                await gateway.times("w", 500)
                idle = percentile(await gateway.times("w", 2000))
                writers = []
                for _ in range(300):
                    _, writer = await gateway.connect()
                    writer.write(request("h"))
                    writers.append(writer)
                await asyncio.sleep(1)
                loaded = percentile(await gateway.times("w", 2000))
                text = f"p95 {idle * 1000:.2f} ms alone, {loaded * 1000:.2f} ms with 300 hung requests beside"
                self.report("isolation", text, loaded <= idle + 0.001)

    async def unanswered(self, name, urls):
        """Asks for what nobody can answer, once the breakers are open."""
        toml = "".join(provider(f"p{i}", url) for i, url in enumerate(urls)) + model("m", *(f"p{i}" for i in range(len(urls))))
        with self.gateway(toml) as gateway:
            for _ in range(30):
                await gateway.ask(request("m", close=True))
            before, times = await gateway.attempts(), []

            async def one():
                began = time.perf_counter()
                answer = await gateway.ask(request("m", close=True))
                times.append(time.perf_counter() - began)
                return answer.split(" ")[1]

            statuses = [status for _ in range(20) for status in await asyncio.gather(*(one() for _ in range(10)))]
            each, p95 = (await gateway.attempts() - before) / 200, percentile(times)
            sound = set(statuses) <= {"502", "503"}
            text = f"200 requests, {each:.3f} attempts each, answered in {p95 * 1000:.1f} ms (p95) by {sorted(set(statuses))}"
            self.report(name, text, sound and each <= 1.2 and p95 <= 0.1)

    async def storm(self):
        broken = ["--error-rate", "1", "--error-status", "500"]
        with self.mock(*broken) as first, self.mock(*broken) as second, self.mock(*broken) as third:
            await self.unanswered("storm", [first, second, third])

    async def down(self):
        await self.unanswered("down", [f"http://127.0.0.1:{port}/v1" for port in (1, 2, 3)])

    async def abort(self):
        head = b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\n\r\n"
        events, whole = head % b"text/event-stream", head % b"application/json"
        event = b'data: {"choices":[{"index":0,"delta":{"%s":"assistant"}}]}\n\n'
        phases = {
            "before the head": (False, b""),
            "before the head of a stream": (True, b""),
            "before content": (True, events + event % b"role"),
            "in a stream": (True, events + event % b"content"),
            "in a whole answer": (False, whole + b'{"text":"' + b"x" * 3_000_000),
        }
        playing, asked, left = b"", asyncio.Event(), asyncio.Event()

        async def upstream(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(playing)
            asked.set()
            try:
                await reader.read(-1)
            except ConnectionError:
                # So it ends where it was cut off in the middle of what it was sent.
                pass
            left.set()
            writer.close()

        server = await asyncio.start_server(upstream, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        worst, where = 0.0, ""
        with self.gateway(provider("p", url) + model("m", "p")) as gateway:
            for name, (is_stream, playing) in phases.items():
                for behind in (b"", b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n"):
                    for _ in range(10):
                        asked.clear()
                        left.clear()
                        reader, writer = await gateway.connect()
                        writer.write(request("m", stream=is_stream) + behind)
                        await asked.wait()
                        if name.startswith("in "):
                            await reader.readuntil(b"x" if not is_stream else b"content")
                        await asyncio.sleep(0.05)
                        began = time.perf_counter()
                        writer.transport.abort()
                        await asyncio.wait_for(left.wait(), 5)
                        taken = time.perf_counter() - began
                        worst, where = max((worst, where), (taken, f"{name}{', more behind' if behind else ''}"))
        server.close()
        self.report("abort", f"seen upstream within {worst * 1000:.0f} ms at worst ({where})", worst <= 0.25)

    async def stop(self):
        async def stream(gateway, begun):
            reader, writer = await gateway.connect()
            writer.write(request("m", stream=True))
            await reader.readuntil(b'"content"')
            begun.release()
            return b"[DONE]" in await reader.read(-1)

        with self.mock("--chunk-interval", "300ms", "--chunks", "10") as url:
            with self.gateway(provider("p", url) + model("m", "p")) as gateway:
                begun = asyncio.Semaphore(0)
                streams = [asyncio.ensure_future(stream(gateway, begun)) for _ in range(100)]
                for _ in range(100):
                    await begun.acquire()
                gateway.process.send_signal(signal.SIGTERM)
                ended = sum(await asyncio.gather(*streams))
                code = gateway.process.wait(30)
                self.report("stop", f"{ended} of 100 streams finished after SIGTERM, exit {code}", ended == 100 and code == 0)

    async def restart(self):
        with self.mock() as url:
            toml = provider("p", url) + model("m", "p")
            with self.gateway(toml) as gateway:
                await gateway.ask(request("m", close=True))
                port = gateway.port
            # Killed by then.
            worst = 0.0
            for _ in range(10):
                with self.gateway(toml, port=port) as gateway:
                    answer = ""
                    while not answer.startswith("HTTP/1.1 200"):
                        try:
                            answer = await gateway.ask(request("m", close=True))
                        except OSError:
                            await asyncio.sleep(0.001)
                    worst = max(worst, time.monotonic() - gateway.began)
            self.report("restart", f"first good answer {worst * 1000:.0f} ms after exec at worst", worst <= 0.5)


FIGURES = ["streams-h2c", "streams-http1", "idle", "isolation", "storm", "down", "abort", "stop", "restart"]


async def run(options):
    bench = Bench(options)
    for figure in options.figures or FIGURES:
        with tempfile.TemporaryDirectory() as bench.folder:
            await getattr(bench, figure.replace("-", "_"))()
    return 1 if bench.missed else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("figures", nargs="*", choices=[*FIGURES, []], metavar="FIGURE")
    parser.add_argument("--bin-dir", type=Path, default=ROOT / "target" / "release")
    parser.add_argument("--streams", type=int, default=10_000)
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    sys.exit(asyncio.run(run(options)))


if __name__ == "__main__":
    main()
