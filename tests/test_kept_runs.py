"""The runs in experiments/results/runs: one file a run, without its log. The rows of the table that
is kept under the same name are theirs."""
import json
from collections import defaultdict
from dataclasses import asdict, fields

import pytest
from test_results import RESULTS

from dial import DialConfig
from harness.command import settings

FOLDERS = sorted(path for path in (RESULTS / "runs").glob("*") if path.is_dir())


def test_there_are_kept_runs():
    assert [folder.name for folder in FOLDERS] and all(any(f.glob("*.json")) for f in FOLDERS)


def values_of(folder):
    """{(method, source, target, metric): {seed: value}}, and the runs."""
    found, runs = defaultdict(dict), [json.loads(p.read_text()) for p in folder.glob("*.json")]
    for run in runs:
        for result in run["results"]:
            for metric, value in result["metrics"].items():
                key = run["method"], result["source"], result["target"], metric
                assert run["seed"] not in found[key], (folder, key, "twice the seed")
                found[key][run["seed"]] = value
    return found, runs


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_table_is_that_of_its_runs(folder):
    found, _ = values_of(folder)
    rows = [row for row in json.loads((RESULTS / f"{folder.name}.json").read_text())["rows"]
            if " less " not in row["method"] and row["target"] != "mean"]  # over left-out domains
    assert {(r["method"], r["source"], r["target"], r["metric"]): dict(zip(r["seeds"], r["values"]))
            for r in rows} == found


def stated_settings(base, words):
    """The settings of the method with NAME=VALUE over them; none where none are stated."""
    if not words:
        return {}
    own = {f.name: base[f.name] for f in fields(DialConfig)}
    return asdict(settings(DialConfig, own, words, "rows"))


def present(settings):
    return {name: value for name, value in settings.items() if value is not None}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_what_is_compared_is_alike(folder):
    """All settings, but for what the table's record says of a row of an ablation; of a seed and a
    pair of domains the machine and the commit."""
    record = json.loads((RESULTS / f"{folder.name}.json").read_text())
    stated = {key.partition(": ")[2]: words
              for key, words in record["config"].get("rows", {}).items()}
    _, runs = values_of(folder)
    base = next(run["settings"] for run in runs if not stated.get(run["method"]))
    for run in runs:
        expected = base | stated_settings(base, stated.get(run["method"], []))
        assert present(run["settings"]) == present(expected), (run["method"], run["seed"])
    arms = defaultdict(set)
    for run in runs:
        for result in run["results"]:
            arms[run["seed"], result["source"], result["target"]].add((run["machine"], run["commit"]))
    assert all(len(found) == 1 for found in arms.values())
    assert not any(run["commit"].endswith("-dirty") for run in runs)
