"""The tables of `benchmark.sh` say what was measured."""

import sys

import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "scripts" / "benchmark"))

import report  # noqa: E402


@pytest.fixture
def figures():
    """Two rounds; Berry takes 1.5 and 2.5 times nginx's time for a small request, and no other ratio is missed."""
    found = {
        key: {gateway: [10.0, 20.0] for gateway in report.GATEWAYS} for key in [*report.FIGURES, "streams_9900"]
    }
    found["small"]["Berry"] = [15.0, 50.0]
    found["start"]["Berry"] = [70.0, 90.0]
    return found | {"connections_10": {"nginx": [10.0], "Berry": [12.0]}, "names_1": {"Berry": [13.0]}}


def rows(table):
    cells = (line.strip("| ").split(" | ") for line in table.splitlines())
    return {first: rest for first, *rest in cells}


def test_a_figure_is_its_median_with_the_least_and_the_greatest(figures):
    found = rows(report.all_figures(figures, 13_100_000))

    assert found["small request, µs of CPU"][0] == "15.0 (10.0–20.0)"
    assert found["small requests a second that a core carries"][0] == "66,667"
    assert found["peak memory at 9,900 streams, MiB"][3] == "15.0 (10.0–20.0)"
    assert found["program, MB"][3] == "13.1"


def test_a_ratio_is_the_median_of_the_rounds(figures):
    found = rows(report.against_targets(figures, 13_100_000))

    assert found["small request, × nginx"] == ["2 **missed**", "≤ 1.8", "1 ✓", "≤ 1.4"]
    assert found["start to first answer, ms"] == ["80 **missed**", "≤ 50", "15 ✓", "≤ 15"]
    assert found["program, MB"] == ["13.1 ✓", "≤ 20", "13.1 ✓", "≤ 15"]


def test_sizes_are_in_words(figures):
    found = rows(report.scaling(figures))

    assert found["10 connections"] == ["10.0", "12.0"]
    assert found["1 model"] == ["–", "13.0"]


def test_the_last_run_takes_the_place_of_the_one_before(monkeypatch, tmp_path):
    document = tmp_path / "performance.md"
    document.write_text((ROOT / "docs" / "performance.md").read_text())
    monkeypatch.setattr(report, "DOCUMENT", document)

    report.write("tables of one run")
    report.write("tables of the next")

    text = document.read_text()
    assert "tables of one run" not in text
    assert text.count("tables of the next") == 1
    assert text.count("## How to repeat it") == 1
