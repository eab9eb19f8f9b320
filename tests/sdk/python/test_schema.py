"""The JSON Schema against a validator that others have written: what ships with Berry is valid, mistakes are not."""

import json
import os
import subprocess
import tomllib
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

ROOT = Path(__file__).parents[3]
SHIPPED = ["config-example.toml", "smart_ai_example.toml", "config/smart_ai_example.toml", "test_config.toml"]

PROVIDER = {"base_url": "https://api.example.com/v1"}
BACKEND = {"provider": "a", "model": "x"}
USER = {"token": "0123456789abcdef"}


@pytest.fixture(scope="module")
def schema():
    schema = json.loads((ROOT / "schema" / "berry.schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def config(provider=PROVIDER, backend=BACKEND, user=USER, **settings):
    return {
        "settings": settings,
        "providers": {"a": provider},
        "models": {"m": {"name": "m", "backends": [backend]}},
        "users": {"u": user},
    }


def messages(schema, value):
    return [error.message for error in schema.iter_errors(value)]


@pytest.mark.parametrize("path", SHIPPED)
def test_what_ships_is_valid(schema, path):
    text = (ROOT / path).read_text()
    assert messages(schema, tomllib.loads(text)) == []
    line = text.splitlines()[0]
    if line.startswith("#:schema "):
        assert (ROOT / path).parent.joinpath(line.removeprefix("#:schema ")).is_file()


@pytest.mark.parametrize("arguments", [[], ["--advanced"]])
def test_what_is_generated_is_valid(schema, arguments):
    binary = Path(os.environ.get("BERRY_BIN_DIR", ROOT / "target" / "debug")) / "berry-cli"
    made = subprocess.run([binary, "generate-config", "-o", "-", *arguments], check=True, capture_output=True, text=True)
    assert messages(schema, tomllib.loads(made.stdout)) == []


def test_what_is_right_is_valid(schema):
    assert messages(schema, config(backend=BACKEND | {"weight": 0.001}, user={"token_sha256": "0" * 64})) == []


@pytest.mark.parametrize(
    "wrong",
    [
        config(provider={"api_key": "sk"}),
        config(backend={"model": "x"}),
        config(backend={"provider": "a"}),
        config(backend=BACKEND | {"weight": 0}),
        config(backend=BACKEND | {"weight": 101}),
        config(user={"name": "U"}),
        config(user=USER | {"allowed_models": "m"}),
        config(user=USER | {"rate_limit": {"requests_per_minute": 2**32}}),
        config(max_retries=11),
        config(max_retriez=1),
    ],
    ids=lambda value: json.dumps(value)[:60],
)
def test_what_the_gateway_refuses_is_not_valid(schema, wrong):
    assert messages(schema, wrong) != []
