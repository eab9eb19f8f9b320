"""What `monitoring/` has works with what the gateway says: a Prometheus scrapes the demo and is asked all of it."""

import json
import re
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
from conftest import ROOT

MONITORING = ROOT / "monitoring"
DASHBOARD = json.loads((MONITORING / "grafana/dashboards/berry-api.json").read_text())
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
ALERTS = re.findall(r"^ +expr: (.*)$", (MONITORING / "alerts.yml").read_text(), re.MULTILINE)
PATIENCE = 60


def promtool(*arguments):
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def chat(url, **members):
    body = {"model": "demo", "messages": [{"role": "user", "content": "Hello"}]} | members
    request = urllib.request.Request(
        f"{url}/v1/chat/completions",
        json.dumps(body).encode(),
        {"authorization": "Bearer berry-demo-token", "content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.read()


class Prometheus:
    """A Prometheus with our rules, which looks at the demo every second."""

    def __init__(self, folder, target):
        shutil.copy(MONITORING / "alerts.yml", folder)
        config = (MONITORING / "prometheus.yml").read_text()
        config = config.replace("localhost:3000", target).replace("10s", "1s")
        (folder / "prometheus.yml").write_text(config)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        self.url = f"http://{address}"
        self.process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address={address}",
                "--log.level=error",
            ]
        )

    def ask(self, path, **parameters):
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]

    def query(self, expression):
        return self.ask("query", query=expression)["result"]

    def until(self, expression):
        """Waits until a query has an answer, and returns that."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                if found := self.query(expression):
                    return found
            except OSError:
                pass  # It has not started yet.
            time.sleep(0.2)
        raise AssertionError(f"no answer to {expression}")


@pytest.fixture(scope="module")
def prometheus(demo):
    with tempfile.TemporaryDirectory() as folder:
        prometheus = Prometheus(Path(folder), demo.url.removeprefix("http://"))
        try:
            prometheus.until('up{job="berry-api"} == 1')
            # A rate needs two looks at a series, and the failures of `flaky` are every fifth.
            for _ in range(2):
                for stream in (False, True):
                    for model in ("demo", "demo-fast"):
                        for _ in range(4):
                            chat(demo.url, model=model, stream=stream)
                seen = prometheus.query("max(http_requests_total)") or [{"value": [0, "0"]}]
                prometheus.until(f"max(http_requests_total) > {seen[0]['value'][1]}")
            while not prometheus.query("sum(rate(retries_total[5m])) > 0"):
                chat(demo.url)
            yield prometheus
        finally:
            prometheus.process.terminate()
            prometheus.process.wait()


def test_the_configurations_and_the_rules_are_valid():
    promtool("check", "config", str(MONITORING / "prometheus.yml"))
    promtool("check", "config", "--syntax-only", str(MONITORING / "prometheus-compose.yml"))
    promtool("test", "rules", str(MONITORING / "alerts_test.yml"))


def test_the_two_configurations_differ_in_where_the_gateway_is():
    def settings(name):
        lines = (MONITORING / name).read_text().splitlines()
        return [line for line in lines if not line.startswith("#")]

    there = [line.replace("localhost", "host.docker.internal") for line in settings("prometheus.yml")]
    assert there == settings("prometheus-compose.yml")


def test_every_alert_is_tested():
    names = re.findall(r"alert: (\w+)", (MONITORING / "alerts.yml").read_text())
    tested = (MONITORING / "alerts_test.yml").read_text()
    assert [name for name in names if f"alertname: {name}\n" not in tested] == []


@pytest.mark.parametrize("query", QUERIES)
def test_every_panel_has_something_to_show(prometheus, query):
    assert prometheus.until(query)


@pytest.mark.parametrize("expression", ALERTS)
def test_what_alerts_look_at_is_there(prometheus, expression):
    watched = re.sub(r" *[<>=]=? *([\d.]+|on .*)$", "", expression).replace('status=~"5.."', 'status=~"2.."')
    assert prometheus.until(watched)


def test_nothing_is_wrong_with_the_demo(prometheus):
    firing = {alert["labels"]["alertname"] for alert in prometheus.ask("alerts")["alerts"] if alert["state"] == "firing"}
    # The demo has a provider that fails.
    assert firing <= {"BackendDown"}


def test_the_dashboard_is_the_one_that_is_promised():
    panels = {panel["title"]: panel["targets"][0] for panel in DASHBOARD["panels"]}
    assert DASHBOARD["title"] == "Berry API Dashboard"
    assert (panels["Request Rate"]["expr"], panels["Request Rate"]["legendFormat"]) == (
        "rate(http_requests_total[5m])",
        "{{method}} {{status}}",
    )
    assert (panels["Backend Health"]["expr"], panels["Backend Health"]["legendFormat"]) == (
        "backend_health_status",
        "{{provider}}:{{model}}",
    )
