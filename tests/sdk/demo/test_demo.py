"""The demo of `run.sh` does what it says, and leaves nothing behind."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request

import pytest
from conftest import ROOT, Demo, start


def printed_commands(demo):
    return [line for line in demo.banner.splitlines() if line.startswith("curl ")]


def run(command, **options):
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **options)


def test_the_printed_request_is_answered(demo):
    answer = json.loads(run(printed_commands(demo)[0], shell=True).stdout)

    assert "You said: Hello" in answer["choices"][0]["message"]["content"]


def test_the_printed_streaming_request_is_answered_with_a_stream(demo):
    events = run(printed_commands(demo)[1], shell=True).stdout.split("\n\n")

    assert events[0].startswith("data: {")
    assert len(events) > 5
    assert events[-2] == "data: [DONE]"


def test_the_printed_request_to_one_provider_reaches_that_provider(demo):
    answer = json.loads(run(printed_commands(demo)[2], shell=True).stdout)

    assert "Hello from slow" in answer["choices"][0]["message"]["content"]


def test_the_printed_python_example_works(demo):
    program = demo.banner[demo.banner.index("from openai import") :].split("\n\n")[0]

    done = run([sys.executable, "-c", program])

    assert len(program.splitlines()) == 5
    assert done.returncode == 0, done.stderr
    assert "You said: Hello" in done.stdout


def test_no_request_fails_although_a_provider_does(demo):
    answers = [run(printed_commands(demo)[0], shell=True).stdout for _ in range(20)]

    assert all("choices" in json.loads(answer) for answer in answers)


def test_the_access_rules_hold(demo):
    tokens = {"RESTRICTED_TOKEN": "berry-demo-restricted", "DISABLED_TOKEN": "berry-demo-disabled"}
    given = {"BASE_URL": demo.url, "TOKEN": "berry-demo-token", "MODEL": "demo"} | tokens

    done = run([ROOT / "scripts" / "test_auth.sh"], env=os.environ | given)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "❌" not in done.stdout


def test_a_taken_port_is_one_clear_line(demo, tmp_path):
    address = demo.url.removeprefix("http://")

    second = start(tmp_path, address)
    lines = second.communicate(timeout=60)[0].splitlines()

    complaints = [line for line in lines if not line.startswith("Building ")]
    assert second.returncode == 1
    assert len(complaints) == 1, lines
    assert address in complaints[0]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_everything(tmp_path, number):
    demo = Demo(tmp_path)
    configuration = next(tmp_path.glob("*/config.toml")).read_text()
    servers = [demo.url, *re.findall(r'base_url = "(.*)/v1"', configuration)]

    status = demo.stop(number)

    assert status == 0
    assert len(servers) == 4
    for server in servers:
        with pytest.raises(OSError):
            urllib.request.urlopen(f"{server}/", timeout=5)
    assert list(tmp_path.iterdir()) == []


def test_a_configuration_that_is_named_but_missing_is_refused():
    done = run([ROOT / "scripts" / "run.sh"], env=os.environ | {"CONFIG_PATH": "no-such-file.toml"})

    assert done.returncode == 1
    assert done.stderr == "error: CONFIG_PATH names `no-such-file.toml`, which does not exist\n"


@pytest.mark.parametrize(("usage", "status"), [("", 200), ('[usage]\ndatabase = ""\n', 404)])
def test_a_configuration_of_ones_own_has_a_ledger_unless_it_says_otherwise(tmp_path, usage, status):
    file = tmp_path / "config.toml"
    file.touch(mode=0o600)
    file.write_text(f'{usage}[users.ada]\ntoken = "token-of-ada-0123456789"\ntags = ["admin"]\n')
    ledger = ROOT / "berry-usage.db"
    was_there = ledger.exists()
    environment = os.environ | {
        "CONFIG_PATH": str(file),
        "BIND_ADDRESS": "127.0.0.1:0",
        "BERRY_PROFILE": "dev",
        "LOG_FILE": "",
        "LOG_FORMAT": "json",
    }
    environment.pop("USAGE_DATABASE", None)
    process = subprocess.Popen([ROOT / "scripts" / "run.sh"], env=environment, stdout=subprocess.PIPE, text=True)
    try:
        lines = (json.loads(line) for line in process.stdout)
        address = next(line["fields"]["address"] for line in lines if line["message"] == "Starting Berry API")
        request = urllib.request.Request(f"http://{address}/admin/usage", headers={"x-api-key": "token-of-ada-0123456789"})
        try:
            answered = urllib.request.urlopen(request, timeout=5).status
        except urllib.error.HTTPError as error:
            answered = error.code
        assert answered == status
        assert status != 200 or ledger.exists()
    finally:
        process.terminate()
        process.wait()
        if not was_there:
            for part in ROOT.glob("berry-usage.db*"):
                part.unlink()
