"""Asks a gateway in every way that differs: beside `stand.py`, for `build-release.sh`.

What is never asked there counts as rare for the compiler, and is made small instead of fast.
"""

import json
import os
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

TURNS = 30
WORKERS = 8

BASE_URL, TOKEN = os.environ["BERRY_BASE_URL"], os.environ["BERRY_TOKEN"]
MODELS = ["chat", "azure", "claude", "gemini", "failover", "strict", "broken", "limited"]
TEXT = "Why is the sky blue, and why does it turn red in the evening? " * 10
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a place",
        "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
    },
}


def chat(model, stream):
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": TEXT}]
    return "/chat/completions", {"model": model, "messages": messages, "stream": stream, "tools": [TOOL], "max_tokens": 50}


def completion(model, stream):
    return "/completions", {"model": model, "prompt": TEXT, "stream": stream}


def response(model, stream):
    return "/responses", {"model": model, "input": TEXT, "stream": stream}


def embedding(model, stream):
    return "/embeddings", {"model": model, "input": [TEXT, TEXT]}


def ask(path, body, token=TOKEN):
    """Reads the answer to its end, whatever it is: refusals are part of a gateway's day. Returns its status."""
    head = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    data = json.dumps(body).encode() if body else None
    try:
        with urllib.request.urlopen(urllib.request.Request(BASE_URL + path, data, head), timeout=30) as answer:
            answer.read()
            return answer.status
    except urllib.error.HTTPError as error:
        error.read()
        return error.code


def main():
    for model in ["chat", "azure", "claude", "gemini"]:
        if (status := ask(*chat(model, True))) != 200:
            sys.exit(f"error: `{model}` answers with {status}: nothing would be learned")
    operations = [chat, chat, completion, response, embedding]
    asked = [of(model, stream) for of in operations for model in MODELS for stream in (False, True)]
    asked += [chat("unknown", False), ("/models", None), ("/health", None)]
    with ThreadPoolExecutor(WORKERS) as workers:
        list(workers.map(lambda question: ask(*question), asked * TURNS))
        list(workers.map(lambda _: ask(*chat("chat", False), token="nobody"), range(TURNS)))


if __name__ == "__main__":
    main()
