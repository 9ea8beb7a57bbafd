"""The ablation: each row trains what its name says, and is compared with DIAL by seed."""
import json
from functools import cache
from importlib import import_module

import pytest
from conftest import FAST, SMALL
from scipy.stats import ttest_rel

import ablation
from data import InputError
from dial import DialConfig
from domains.foods import food_domain
from methods.table import METHODS

# What a row changes of its task's settings.
CHANGES = {"DIAL, unscaled": {"scale_embeddings": False}, "DIAL, uncentred": {
    "center_prompts": False}, "Mean matching, uncentred": {"center_prompts": False},
    "DIAL, 3 critic steps": {"critic_steps": 3}, "DIAL, 1 critic step": {"critic_steps": 1}}

WEIGHTS = {("odd_one_out", "MMD"): 0.03, ("odd_one_out", "Mean matching"): 0.1,
           ("cross_lingual", "MMD"): 0.03, ("few_shot", "MMD"): 0.3,
           ("cross_lingual", "Mean matching, uncentred"): 0.01,
           ("few_shot", "Mean matching, uncentred"): 0.01}


@pytest.fixture
def asked(monkeypatch, undrawn):
    """[(task, its arguments)] of all that is run; nothing is trained, and an accuracy is made of
    the seed and of the settings."""
    found = []

    def run_all(args, domains):
        if args.dry_run:
            return []
        found.append((args.experiment, args))
        runs = []
        for seed in args.seeds:
            accuracy = 0.5 - 0.01 * args.config.critic_steps + 0.1 * seed * (seed - 1) + (
                0.02 * seed * (args.methods != ["DIAL"]))
            result = {"method": args.methods[0], "source": "s", "target": args.experiment,
                      "n_test": 4, "n_source": 4, "metrics": {"accuracy": accuracy}}
            runs.append({"method": args.methods[0], "seed": seed, "settings": {"model": "tiny"},
                         "seconds": 2.0, "results": [result]})
        return runs

    for task in ablation.TASKS:
        monkeypatch.setattr(import_module(task), "run_all", run_all)
        monkeypatch.setattr(import_module(task), "report", lambda _, runs, *title, **chance: runs)
    for task in ("odd_one_out", "cross_lingual"):  # the same lists for every row
        monkeypatch.setattr(import_module(task), "food_domain", cache(food_domain))
    return found


def test_rows_train_what_their_names_say(asked, tmp_path, capsys):
    ablation.main(["--seeds", "0", "1", "2", "--out", str(tmp_path), "--compile"])
    rows = [(task, row) for task in ablation.TASKS for row in ablation.ROWS
            if ("uncentred" not in row if task == "odd_one_out" else row != "Mean matching")]
    assert len(rows) == len(asked) == 38
    assert len({args.out for _, args in asked}) == 38
    for (task, row), (found, args) in zip(rows, asked):
        preset = import_module(task).PRESET
        assert found == task and args.methods == [row.partition(",")[0]]
        assert args.methods[0] in METHODS and args.seeds == [0, 1, 2] and args.compile
        weight = {"lambda_da": WEIGHTS.get((task, row), preset["lambda_da"])}
        expected = DialConfig(**preset | CHANGES.get(row, {}) | weight)
        if "published" in row:
            expected = DialConfig(steps=preset["steps"] * (4 if "4 times" in row else 1))
        assert args.config == expected, row
        assert args.config != DialConfig(**preset) or row in METHODS, row
        assert getattr(args, "no_cue", task == "odd_one_out") == (task == "odd_one_out")
    record = json.loads((tmp_path / "results.json").read_text())
    assert record["config"]["rows"]["odd_one_out: MMD"] == ["lambda_da=0.03"]
    assert record["seconds"] == 38 * 3 * 2.0
    gains = {(r["target"], r["method"]): r["gain"] for r in record["rows"]}
    assert gains["few_shot", "DIAL"] is None and len(gains) == 38
    ours = [0.5 - 0.1 + 0.1 * s * (s - 1) for s in range(3)]
    others = [a + 0.02 * s for s, a in enumerate(ours)]
    for row in ("Src-Pref", "MMD", "DEAL"):
        gain = gains["cross_lingual", row]
        assert gain["mean"] == pytest.approx(0.02) and gain["seeds"] == [0, 1, 2]
        assert gain["p"] == pytest.approx(ttest_rel(others, ours).pvalue)
    assert gains["few_shot", "DIAL, 3 critic steps"]["values"] == pytest.approx([0.07] * 3)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 39 and (tmp_path / "ablation.png").exists()
    (line,) = [x for x in lines if x.startswith("s       few_shot ") and " MMD " in x]
    assert line.split("  ")[-1].strip() == "+0.020 ± 0.012 (p = 0.23)"


def test_no_table_while_other_processes_are_at_work(asked, tmp_path, monkeypatch):
    monkeypatch.setattr(import_module("few_shot"), "main", lambda flags: [])
    with pytest.raises(InputError, match="some runs are with other processes"):
        ablation.main(["--seeds", "0", "--out", str(tmp_path)])
    assert not (tmp_path / "results.json").exists()


@pytest.mark.parametrize("flags", ["--rows DIAL DIAL", "--tasks few_shot few_shot", "--seeds 1 1"])
def test_each_is_taken_once(flags, asked, tmp_path):
    with pytest.raises(InputError, match="takes each once"):
        ablation.main([*flags.split(), "--out", str(tmp_path)])
    assert not asked


def test_foods_have_no_uncentred_rows(asked, tmp_path):
    """They are uncentred by themselves; other tasks have these rows."""
    flags = ["--seeds", "0", "--rows", "DIAL, uncentred", "--out", str(tmp_path), "--tasks"]
    with pytest.raises(InputError, match="no uncentred rows"):
        ablation.main([*flags, "odd_one_out"])
    ablation.main([*flags, "odd_one_out", "few_shot"])
    assert [task for task, _ in asked] == ["few_shot"]


@pytest.mark.parametrize("flags, expected", [
    ("--methods DIAL", "--methods and --steps are the rows' own"),
    ("--methods=DIAL", "--methods and --steps are the rows' own"),
    ("--steps 2", "--methods and --steps are the rows' own"),
    ("--dry-run", "--methods and --steps are the rows' own"),
    ("--n-train 20", "unrecognized arguments: --n-train 20"),  # few_shot has none
    ("--out=", "--out=: the value is empty")])
def test_what_cannot_be_passed_on_is_refused_before_anything_is_trained(
        flags, expected, asked, tmp_path):
    with pytest.raises(InputError, match=expected):
        ablation.main(["--out", str(tmp_path), *flags.split()])
    assert not asked


def test_a_row_of_two_targets_has_two_runs_a_seed(asked, tmp_path, monkeypatch):
    real = ablation.measure
    monkeypatch.setattr(ablation, "measure", lambda *a: [
        run | {"results": [run["results"][0] | {"target": t}]} for run in real(*a) for t in "ab"])
    ablation.main(["--tasks", "few_shot", "--rows", "DIAL", "MMD", "--out", str(tmp_path)])
    rows = json.loads((tmp_path / "results.json").read_text())["rows"]
    assert [(r["target"], len(r["values"])) for r in rows] == [("a", 5), ("a", 5), ("b", 5), ("b", 5)]


def test_the_ablation_of_a_small_model(cache, tmp_path, monkeypatch, capsys, undrawn):
    """Of a real command."""
    monkeypatch.setitem(ablation.ROWS, "MMD", ["lambda_da=3"])
    fast, at = [*FAST, "steps=1"], FAST.index("--steps")
    del fast[at : at + 2]  # which a row would not be able to change
    ablation.main(["--tasks", "cross_lingual", "--rows", "DIAL", "MMD", *fast, *SMALL,
                   "--out", str(tmp_path)])
    (path,) = (tmp_path / "cross_lingual" / "MMD" / "runs").glob("*.json")
    run = json.loads(path.read_text())
    assert (run["method"], run["settings"]["lambda_da"]) == ("MMD", 3) and len(run["log"]) == 1
    assert run["settings"]["center_prompts"] is True and run["settings"]["lora_layers"] == 1
    assert capsys.readouterr().out.splitlines()[-1].startswith("desserts:en  desserts:th  MMD")
    rows = json.loads((tmp_path / "results.json").read_text())["rows"]
    assert {r["metric"] for r in rows} >= {"accuracy", "source_accuracy"}
