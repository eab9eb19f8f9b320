"""What the documents show works: their configurations load, their commands run, their links lead somewhere."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from conftest import ROOT

BINARIES = Path(os.environ.get("BERRY_BIN_DIR", ROOT / "target" / "debug"))
GATEWAY = BINARIES / "berry-api"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
EXAMPLES = [
    ROOT / name
    for name in ("config-example.toml", "config/smart_ai_example.toml", "smart_ai_example.toml", "test_config.toml")
]

# Commands that other tests cover or that must not run here; they are only looked at.
NOT_RUN = ("git clone", "cd ", "cp ", "cargo ", "just ", "pip ", "export ", "./target/", "#")


def blocks(language, documents=DOCUMENTS):
    """The fenced blocks of a language, each named for its place."""
    found_blocks = []
    for document in documents:
        text = document.read_text()
        for found in re.finditer(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            line = text.count("\n", 0, found.start()) + 2
            found_blocks.append(pytest.param(found.group(1), id=f"{document.relative_to(ROOT)}:{line}"))
    return found_blocks


def completed(fragment):
    """A fragment with what it refers to: an error must come from what it shows, not from what it leaves out."""
    tables = tomllib.loads(fragment)
    added = []
    providers = set(tables.get("providers", {}))
    for key, model in tables.get("models", {}).items():
        if "name" not in model:
            added.append(f'[models.{key}]\nname = "{key}"\n')
        backends = model.get("backends", [])
        if not backends:
            added.append(f'[[models.{key}.backends]]\nprovider = "some"\nmodel = "some-model"\n')
            backends = [{"provider": "some"}]
        for provider in {backend["provider"] for backend in backends} - providers:
            providers.add(provider)
            added.append(f'[providers.{provider}]\nbase_url = "http://127.0.0.1:8000/v1"\n')
    return "\n".join([fragment, *added])


def check(configuration):
    """Asks the gateway whether it would serve this file."""
    command = [GATEWAY, "--config", configuration, "--check-config"]
    # Variables that examples name for keys.
    keys = {"OPENAI_API_KEY": "sk-1", "DEEPSEEK_API_KEY": "sk-2"}
    return subprocess.run(command, env=os.environ | keys, capture_output=True, text=True, timeout=30)


@pytest.mark.parametrize("block", blocks("toml"))
def test_a_configuration_in_a_document_loads(block, tmp_path):
    file = tmp_path / "config.toml"
    file.write_text(completed(block))

    done = check(file)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_an_example_loads_without_a_finding_but_that_keys_are_missing(example, tmp_path):
    file = tmp_path / "config.toml"
    file.touch(mode=0o600)
    file.write_text(example.read_text())

    done = check(file)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "✅ Configuration is valid" in done.stdout
    warnings = [line for line in done.stderr.splitlines() if line.startswith("warning")]
    assert [line for line in warnings if "as placeholders have" not in line] == []


@pytest.mark.parametrize("block", blocks("toml scenario"))
def test_a_scenario_in_a_document_can_be_played(block, tmp_path):
    file = tmp_path / "scenario.toml"
    file.write_text(block)

    done = subprocess.run([BINARIES / "berry-cli", "simulate", "--scenario", file], capture_output=True, text=True)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("block", blocks("sh"))
def test_a_command_in_a_document_runs(block, demo):
    for command in re.sub(r"\\\n\s*", " ", block).strip().splitlines():
        if command.startswith("curl "):
            here = command.replace("http://127.0.0.1:3000", demo.url)
            done = subprocess.run(f"{here} --fail", shell=True, capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        elif command.startswith("berry-cli "):
            done = subprocess.run(f"{BINARIES}/{command}", shell=True, cwd=ROOT, capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        elif command.startswith("wrk "):
            here = command.replace("http://127.0.0.1:3000", demo.url)
            done = subprocess.run(here, shell=True, cwd=ROOT, capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        elif command.startswith(("./scripts/", "scripts/")):
            assert os.access(ROOT / command.split()[0], os.X_OK), command
        else:
            assert command.startswith(NOT_RUN), f"nothing is known of the command `{command}`"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT)))
def test_the_links_of_a_document_lead_somewhere(document):
    links = re.findall(r"\]\((?!https?:|mailto:|#)([^)#]+)", document.read_text())

    missing = [link for link in links if not (document.parent / link).exists()]

    assert missing == []
