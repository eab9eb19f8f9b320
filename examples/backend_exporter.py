#!/usr/bin/env python3
"""Asks every backend of a model for one token each minute, and shows Prometheus what came of it.

    TOKEN=… MODEL=chat backend_exporter.py      # then http://localhost:8000/metrics

The gateway's own `/prometheus` says more and costs nothing; this one sees what a client sees. BASE_URL, BACKENDS, PORT
and INTERVAL (seconds) may be set, too.
"""

import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from backend_health_checker import Gateway

HELP = """\
# HELP backend_health Whether the backend answered the last question.
# TYPE backend_health gauge
{health}# HELP backend_response_time_seconds How long the last answer took.
# TYPE backend_response_time_seconds gauge
{time}"""


def label(text):
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


class Exporter:
    """What was seen last, and the page that shows it."""

    def __init__(self, gateway, backends):
        self.gateway = gateway
        self.backends = backends
        self.seen = {}

    def look(self):
        for backend in self.backends:
            status, seconds = self.gateway.ping(backend)
            self.seen[backend] = (int(status == 200), seconds)

    def watch(self, interval):
        while True:
            self.look()
            time.sleep(interval)

    def page(self):
        def samples(name, place):
            labels = f'model="{label(self.gateway.model)}"'
            return "".join(
                f'{name}{{backend="{label(backend)}",{labels}}} {values[place]}\n'
                for backend, values in sorted(self.seen.items())
            )

        health, seconds = samples("backend_health", 0), samples("backend_response_time_seconds", 1)
        return HELP.format(health=health, time=seconds)


def handler(exporter):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            page = exporter.page().encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_):
            pass  # Prometheus comes too often.

    return Handler


def main():
    environment = os.environ
    missing = [name for name in ("TOKEN", "MODEL") if not environment.get(name)]
    if missing:
        sys.exit(f"error: set {' and '.join(missing)}")
    base_url = environment.get("BASE_URL", "http://localhost:3000")
    gateway = Gateway(base_url, environment["TOKEN"], environment["MODEL"])
    exporter = Exporter(gateway, environment.get("BACKENDS", "").split() or gateway.backends())
    # The first page is not empty.
    exporter.look()
    interval = float(environment.get("INTERVAL", "60"))
    threading.Thread(target=exporter.watch, args=(interval,), daemon=True).start()
    server = ThreadingHTTPServer(("", int(environment.get("PORT", "8000"))), handler(exporter))
    print(f"listening on port {server.server_port}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
