"""The clients that the tests use, and the gateway's log."""

import json
import os
import time
from pathlib import Path

import openai
import pytest

if "BERRY_BASE_URL" not in os.environ:
    pytest.exit("run these tests through `scripts/run-tests.sh sdk`, which starts the gateway they need", returncode=2)


def connect(token):
    # No retries: a test asks once and sees what comes.
    return openai.OpenAI(base_url=os.environ["BERRY_BASE_URL"], api_key=token, max_retries=0, timeout=30)


@pytest.fixture(scope="session")
def client():
    """A client whose user may use every model."""
    return connect(os.environ["BERRY_TOKEN"])


@pytest.fixture(scope="session")
def restricted():
    """A client whose user may use the model `chat` alone."""
    return connect(os.environ["BERRY_RESTRICTED_TOKEN"])


@pytest.fixture(scope="session")
def stranger():
    """A client with a token that nobody has."""
    return connect("a-token-that-nobody-has")


@pytest.fixture
def access_line():
    """A function that waits for the line the gateway logs when the request of this id has ended."""

    def wait(request_id, seconds):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            # What follows the last line end is a line that is being written.
            for line in Path(os.environ["BERRY_LOG"]).read_text().split("\n")[:-1]:
                event = json.loads(line)
                if event["fields"].get("request_id") == request_id and event["message"] == "Backend selected":
                    return event["fields"]
            time.sleep(0.02)
        raise AssertionError(f"request `{request_id}` has not ended within {seconds} s")

    return wait


@pytest.fixture(params=["chat", "azure", "claude", "gemini"])
def model(request):
    """Each of the models that are served in another protocol; a test says the same to all."""
    return request.param
