#!/usr/bin/env python3
"""Asks every backend of a model for one token, through the gateway, by the request's `backend` member.

    backend_health_checker.py check                      once; exit code 1 where a backend does not answer
    backend_health_checker.py check --backends a b       only these
    backend_health_checker.py check --streaming          with streams
    backend_health_checker.py monitor --interval 60      again and again, until Ctrl-C
    backend_health_checker.py benchmark --rounds 3       how long each takes

Each question is a real one: it costs what the provider charges for it. Where the gateway is, the user's token, the model
and the backends also come from BASE_URL, TOKEN, MODEL and BACKENDS. It needs nothing but Python 3.9.
"""

import argparse
import http.client
import json
import os
import statistics
import sys
import time
import urllib.error
import urllib.request

PATIENCE = 60
# No connection, silence, or an answer that is cut short or no HTTP.
NO_ANSWER = (OSError, http.client.HTTPException)


class Gateway:
    """A gateway, and the model whose backends are asked."""

    def __init__(self, base_url, token, model):
        self.base_url = base_url.rstrip("/")
        self.token = token
        self.model = model

    def backends(self):
        """Returns the providers of the model's backends, as `/health` names them."""
        with urllib.request.urlopen(f"{self.base_url}/health", timeout=PATIENCE) as answer:
            models = json.load(answer).get("models", {})
        named = [model for key, model in models.items() if self.model in (key, model["name"])]
        providers = [backend["provider"] for model in named for backend in model["backends"] if backend["enabled"]]
        return list(dict.fromkeys(providers))

    def ping(self, backend, streaming=False):
        """Asks one backend; returns the status (0 where nobody answered) and the seconds it took."""
        body = {
            "model": self.model,
            "backend": backend,
            "messages": [{"role": "user", "content": "ping"}],
            "max_tokens": 1,
            "stream": streaming,
        }
        request = urllib.request.Request(
            f"{self.base_url}/v1/chat/completions",
            json.dumps(body).encode(),
            {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
        )
        began = time.monotonic()
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                text = answer.read()
                # A stream that breaks off says so in it.
                whole = not streaming or text.endswith(b"data: [DONE]\n\n")
                status = answer.status if whole else 502
        except urllib.error.HTTPError as error:
            status = error.code
        except NO_ANSWER:
            status = 0
        return status, time.monotonic() - began


def table(rows):
    """Prints rows whose cells stand below each other."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip(), flush=True)


def look(gateway, backends, streaming):
    """Asks every backend once and prints what came; returns whether all of them answered."""
    results = [(backend, *gateway.ping(backend, streaming)) for backend in backends]
    rows = [("BACKEND", "STATUS", "HTTP", "TIME")]
    for backend, status, seconds in results:
        word = "✅ healthy" if status == 200 else "❌ unhealthy"
        rows.append((backend, word, str(status or "-"), f"{seconds:.3f}s"))
    table(rows)
    return all(status == 200 for _, status, _ in results)


def benchmark(gateway, backends, rounds, streaming):
    """Asks every backend `rounds` times and prints how long it took; returns whether all questions were answered."""
    rows = [("BACKEND", "ANSWERED", "FASTEST", "MEAN", "SLOWEST")]
    whole = True
    for backend in backends:
        results = [gateway.ping(backend, streaming) for _ in range(rounds)]
        times = [seconds for status, seconds in results if status == 200]
        whole = whole and len(times) == rounds
        figures = (min(times), statistics.mean(times), max(times)) if times else ()
        cells = [f"{seconds:.3f}s" for seconds in figures] or ["-"] * 3
        rows.append((backend, f"{len(times)}/{rounds}", *cells))
    table(rows)
    return whole


def monitor(gateway, backends, interval, streaming):
    """Looks again and again, until somebody has seen enough."""
    try:
        while True:
            print(time.strftime("%Y-%m-%d %H:%M:%S"), flush=True)
            look(gateway, backends, streaming)
            time.sleep(interval)
    except KeyboardInterrupt:
        return True


def positive(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def arguments():
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--base-url", default=os.environ.get("BASE_URL", "http://localhost:3000"))
    common.add_argument("--token", default=os.environ.get("TOKEN"), help="a user's token")
    common.add_argument("--model", default=os.environ.get("MODEL"), help="the public model")
    common.add_argument("--backends", nargs="+", metavar="PROVIDER", default=os.environ.get("BACKENDS", "").split())
    common.add_argument("--streaming", action="store_true", help="ask for streams")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("check", parents=[common], help="ask every backend once")
    watching = commands.add_parser("monitor", parents=[common], help="ask again and again")
    watching.add_argument("--interval", type=positive, default=60, metavar="SECONDS")
    timing = commands.add_parser("benchmark", parents=[common], help="ask often, and compare")
    timing.add_argument("--rounds", type=positive, default=3)
    found = parser.parse_args()
    for name in ("token", "model"):
        if not getattr(found, name):
            parser.error(f"--{name} or {name.upper()} is needed")
    return found


def main():
    wish = arguments()
    gateway = Gateway(wish.base_url, wish.token, wish.model)
    try:
        backends = wish.backends or gateway.backends()
    except NO_ANSWER as error:
        sys.exit(f"error: `{gateway.base_url}` does not answer: {error}")
    if not backends:
        sys.exit(f"error: the gateway names no backend of `{wish.model}`: use --backends")
    if wish.command == "check":
        whole = look(gateway, backends, wish.streaming)
    elif wish.command == "benchmark":
        whole = benchmark(gateway, backends, wish.rounds, wish.streaming)
    else:
        whole = monitor(gateway, backends, wish.interval, wish.streaming)
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
