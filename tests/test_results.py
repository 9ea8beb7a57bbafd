"""The numbers that the documents state are those of the JSON files beside the results."""
import json
import re
from pathlib import Path
from statistics import fmean, stdev

import pytest
from conftest import ROOT

RESULTS = ROOT / "experiments" / "results"
NUMBER = re.compile(r"(-?\d*\.\d{3}) ± (\d*\.\d{3})")


def stated(path):
    """All mean ± standard error of a document, as floats."""
    return {(float(mean), float(se)) for mean, se in NUMBER.findall(Path(path).read_text())}


def rounded(values):
    return round(fmean(values), 3), round(stdev(values) / len(values) ** 0.5, 3)


@pytest.fixture(scope="module")
def measured():
    """What the files hold: each row with several values, each gain; of few-shot, where a row is a
    split, and of the pairs of Table 8, also the mean over rows, and their paired gain."""
    found = set()
    for path in RESULTS.rglob("*.json"):
        by_method = {}
        for row in json.loads(path.read_text())["rows"]:
            for r in (row, row.get("gain") or {"values": []}):
                if len(r["values"]) > 1:
                    found.add(rounded(r["values"]))
            if row["metric"] == "accuracy":
                by_method.setdefault(row["method"], []).append(row["mean"])
        found |= {rounded(means) for means in by_method.values() if len(means) > 1}
        base, dial = by_method.get("Src-Pref", []), by_method.get("DIAL", [])
        if len(base) == len(dial) > 1:
            found.add(rounded([d - b for b, d in zip(base, dial)]))
    return found


@pytest.mark.parametrize("document", ["README.md", "experiments/results/README.md",
                                      "toy/README.md"])
def test_numbers_are_those_of_the_files(measured, document):
    numbers = stated(ROOT / document)
    assert numbers, "the pattern finds none"
    assert not {(mean, se) for mean, se in numbers
                if not any(max(abs(mean - m), abs(se - s)) < 6e-4 for m, s in measured)}


def test_a_wrong_number_is_seen(measured, tmp_path):
    (tmp_path / "x.md").write_text("Src-Pref .987 ± .123")
    assert stated(tmp_path / "x.md") == {(0.987, 0.123)} and (0.987, 0.123) not in measured


def test_files_are_as_the_contract_says():
    for path in RESULTS.rglob("*.json"):
        record = json.loads(path.read_text())
        assert {"experiment", "command", "model", "config", "seconds", "versions",
                "rows"} <= record.keys(), path
        for row in record["rows"]:
            assert row["mean"] == pytest.approx(fmean(row["values"]), abs=1e-9), path
