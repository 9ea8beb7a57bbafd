"""The runs in experiments/results/runs: one file a run, without its log. The rows of the table that
is kept under the same name are theirs."""
import json
from collections import defaultdict

import pytest
from test_results import RESULTS

WEIGHED = {"MMD", "Mean matching"}  # they have a lambda_da of their own
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


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_what_is_compared_is_alike(folder):
    """Settings, but of a row whose name has a comma, which says how it differs, and of the weights
    of the ablation's distances; of a pair of domains and a seed the machine and the commit."""
    _, runs = values_of(folder)
    for rows in ([run for run in runs if "," not in run["method"]],
                 *([run for run in runs if run["method"] == name]
                   for name in {run["method"] for run in runs})):
        several = len({run["method"] for run in rows}) > 1
        assert len({json.dumps({k: v for k, v in sorted(run["settings"].items()) if v is not None
                                and not (several and k == "lambda_da" and WEIGHED & {
                                    run["method"] for run in rows})}) for run in rows}) == 1
    arms = defaultdict(set)
    for run in runs:
        for result in run["results"]:
            arms[run["seed"], result["target"]].add((run["machine"], run["commit"]))
    assert all(len(found) == 1 for found in arms.values())
    assert not any(run["commit"].endswith("-dirty") for run in runs)
