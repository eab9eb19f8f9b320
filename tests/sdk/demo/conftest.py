"""Starts the demo of `run.sh`, as a user would."""

import os
import re
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
# The last line of the banner.
BANNER_END = "Ctrl-C stops everything."


class Demo:
    """A running demo: its process, what it printed, and the folder for its temporary files."""

    def __init__(self, folder, address="127.0.0.1:0"):
        self.folder = Path(folder)
        self.process = start(self.folder, address)
        self.banner = ""
        for line in self.process.stdout:
            self.banner += line
            if line.startswith(BANNER_END):
                break

    @property
    def url(self):
        found = re.search(r"ready at (http\S+)", self.banner)
        assert found, f"the demo did not start:\n{self.banner}"
        return found.group(1)

    def stop(self, number=signal.SIGTERM):
        """Sends the signal, and returns the script's exit status once everything it started has ended."""
        if number == signal.SIGINT:
            # Ctrl-C reaches every process of the terminal's foreground group.
            os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)
        # The log's end comes when the last process that holds the pipe has gone.
        self.process.stdout.read()
        return self.process.wait()


def start(folder, address):
    environment = os.environ | {"BIND_ADDRESS": address, "BERRY_PROFILE": "dev", "LOG_FILE": "", "TMPDIR": str(folder)}
    return subprocess.Popen(
        [ROOT / "scripts" / "run.sh", "--demo"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        # Tests that run in the background ignore SIGINT, and a shell cannot trap what it was born to ignore.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@pytest.fixture(scope="session")
def demo():
    with tempfile.TemporaryDirectory() as folder:
        demo = Demo(folder)
        yield demo
        demo.stop()
