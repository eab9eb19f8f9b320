"""The scripts say what they take, and do nothing at all where they are asked for something else."""

import subprocess

import pytest
from conftest import ROOT

SCRIPTS = sorted(path for path in (ROOT / "scripts").glob("*.sh") if path.name != "common.sh")


def run(script, argument):
    return subprocess.run([script, argument], capture_output=True, text=True, timeout=30)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_script_says_what_it_takes(script):
    done = run(script, "--help")

    first = script.read_text().splitlines()[1].removeprefix("# ")
    assert (done.returncode, done.stdout.splitlines()[0], done.stderr) == (0, first, "")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_what_a_script_does_not_take_is_refused_at_once(script):
    done = run(script, "--nonsense")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: unknown ")
    assert len(done.stderr.splitlines()) == 1
