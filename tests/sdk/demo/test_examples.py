"""The programs of `examples/`, run as their first lines say, against the demo."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from conftest import ROOT

EXAMPLES = ROOT / "examples"
CHECKER = EXAMPLES / "backend_health_checker.py"


@pytest.fixture
def environment(demo):
    ours = {"BASE_URL": demo.url, "TOKEN": "berry-demo-token", "MODEL": "demo", "BACKENDS": "good slow"}
    return os.environ | ours | {"NO_PROXY": "127.0.0.1,localhost"}


def run(environment, *command):
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


def check(environment, *arguments):
    return run(environment, sys.executable, CHECKER, *arguments)


@pytest.mark.parametrize("streaming", [(), ("--streaming",)])
def test_the_checker_shows_who_answers(environment, streaming):
    done = check(environment, "check", *streaming)

    assert done.returncode == 0, done.stderr
    head, *rows = done.stdout.splitlines()
    assert head.split() == ["BACKEND", "STATUS", "HTTP", "TIME"]
    assert [row.split()[:4] for row in rows] == [["good", "✅", "healthy", "200"], ["slow", "✅", "healthy", "200"]]


def test_the_checker_fails_where_a_backend_does(environment):
    done = check(environment, "check", "--backends", "good", "nobody")

    assert done.returncode == 1
    assert re.search(r"^nobody +❌ unhealthy +404 ", done.stdout, re.MULTILINE), done.stdout


def test_the_checker_finds_the_backends_itself(environment):
    done = check(environment | {"BACKENDS": "", "MODEL": "demo-fast"}, "check")

    assert done.returncode == 0, done.stderr
    assert [row.split()[0] for row in done.stdout.splitlines()] == ["BACKEND", "good"]


def test_the_checker_says_what_it_needs(environment):
    missing = check({name: value for name, value in environment.items() if name != "TOKEN"}, "check")
    assert (missing.returncode, "--token or TOKEN is needed" in missing.stderr) == (2, True)

    nobody = check(environment | {"BACKENDS": "", "BASE_URL": "http://127.0.0.1:1"}, "check")
    assert (nobody.returncode, "does not answer" in nobody.stderr) == (1, True)


class CutShort(BaseHTTPRequestHandler):
    """Promises more than it sends."""

    def do_POST(self):
        self.send_response(200)
        self.send_header("content-length", "100")
        self.end_headers()
        self.wfile.write(b"{")

    def log_message(self, *_):
        pass


def test_an_answer_that_is_cut_short_is_none(environment):
    gateway = HTTPServer(("127.0.0.1", 0), CutShort)
    threading.Thread(target=gateway.serve_forever, daemon=True).start()
    done = check(environment | {"BASE_URL": f"http://127.0.0.1:{gateway.server_port}"}, "check")
    gateway.shutdown()

    assert done.returncode == 1, done.stderr
    assert [row.split()[:4] for row in done.stdout.splitlines()[1:]] == [
        ["good", "❌", "unhealthy", "-"],
        ["slow", "❌", "unhealthy", "-"],
    ]


def test_the_benchmark_compares(environment):
    done = check(environment, "benchmark", "--rounds", "2")

    assert done.returncode == 0, done.stderr
    rows = {row.split()[0]: row.split()[1:] for row in done.stdout.splitlines()[1:]}
    assert rows["good"][0] == rows["slow"][0] == "2/2"
    fastest = {name: float(cells[1].rstrip("s")) for name, cells in rows.items()}
    assert fastest["slow"] > fastest["good"]


def test_the_monitor_looks_again_until_it_is_stopped(environment):
    command = [sys.executable, CHECKER, "monitor", "--interval", "1", "--backends", "good"]
    with subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        seen = [process.stdout.readline() for _ in range(6)]
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 0

    assert [line.startswith("good") for line in seen] == [False, False, True, False, False, True]


def test_the_shell_script_says_who_is_healthy(environment):
    done = run(environment | {"BACKENDS": "good nobody"}, EXAMPLES / "health_check.sh")

    assert done.returncode == 1
    healthy, unhealthy = done.stdout.splitlines()
    assert re.fullmatch(r"✅ good: healthy \([\d.]+s\)", healthy)
    assert unhealthy == "❌ nobody: unhealthy (HTTP 404)"


class Webhook:
    """Keeps what is posted to it."""

    def __enter__(self):
        self.posted = posted = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                posted.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def test_the_alert_goes_to_the_webhook_when_there_is_a_reason(environment):
    with Webhook() as webhook:
        environment = environment | {"WEBHOOK_URL": webhook.url}
        well = run(environment, EXAMPLES / "alert_check.sh")
        assert (well.returncode, webhook.posted) == (0, []), well.stderr

        broken = run(environment | {"BACKENDS": "good nobody no-one"}, EXAMPLES / "alert_check.sh")

        assert broken.returncode == 1, broken.stderr
        text = "❌ nobody: unhealthy (HTTP 404)\n❌ no-one: unhealthy (HTTP 404)"
        assert webhook.posted == [{"text": f"Berry API: backends do not answer\n{text}"}]


def test_the_exporter_shows_prometheus_what_clients_see(environment):
    environment = environment | {"BACKENDS": "good nobody", "PORT": "0", "INTERVAL": "1"}
    command = [sys.executable, EXAMPLES / "backend_exporter.py"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        port = re.search(r"port (\d+)", process.stdout.readline()).group(1)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            page = answer.read().decode()
        process.terminate()

    assert 'backend_health{backend="good",model="demo"} 1\n' in page
    assert 'backend_health{backend="nobody",model="demo"} 0\n' in page
    assert re.search(r'backend_response_time_seconds\{backend="good",model="demo"\} 0\.\d+\n', page)
    checked = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
