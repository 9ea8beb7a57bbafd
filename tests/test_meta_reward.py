"""meta_reward.py: which texts and labels it reads, the command, flags."""
import json
import re
import shutil

import pytest

import meta_reward
import odd_one_out
from data import InputError
from domains.foods import CATEGORIES, food_domain
from methods import meta

TINY = ["--model", "tiny", "--device", "cpu", "--dtype", "float32", "--max-length", "2000",
        "--n-train", "4", "--n-test", "3", "--set", "sft_steps=2", "steps=20",
        "test_steps=2", "inner_steps=1", "records=1"]


def test_the_labels_are_those_of_odd_one_outs_others(cache, monkeypatch):
    """Which has no list with an item of the category left out (test_cue.py)."""
    made = []
    monkeypatch.setattr(odd_one_out, "run_all", lambda args, domains: made.append(domains) or [])
    flags = ["--n-train", "9", "--n-test", "5"]
    odd_one_out.main(["--dry-run", "--model", "tiny", "--source", "others", "--seeds", "1", *flags])
    rows = meta_reward.rows_of(meta_reward.read_flags(flags), 1, "fruits")
    (source, target), = made[0][1]
    assert list(rows) == list(CATEGORIES) and rows.pop("fruits") == target.test
    assert sum(rows.values(), []) == source.labeled


def test_rows_are_of_the_part_and_the_seed():
    for part, seed in (("validation", 3), ("test", 4)):
        args = meta_reward.read_flags(["--part", part, "--n-train", "9", "--n-test", "5"])
        domain = food_domain("snacks", seed, part, 9, 5)
        assert meta_reward.rows_of(args, seed, "snacks")["snacks"] == domain.test


def test_own_rows_are_drawn_by_the_seed():
    args, own = meta_reward.read_flags(["--n-train", "4", "--n-test", "9"]), [range(7)] * 5
    a, b = (meta_reward.rows_of(args, seed, "snacks", own) for seed in (0, 1))
    assert {name: len(set(rows)) for name, rows in a.items()} == dict.fromkeys(
        CATEGORIES, 4) | {"snacks": 7} and a != b


# ------------------------------------------------------------------ the command


def test_the_command(cache, tmp_path, capsys, undrawn):
    flags = [*TINY, "--out", str(tmp_path), "--seeds", "0", "--left-out", "fruits",
             "snacks"]
    meta_reward.main(flags)
    out = capsys.readouterr().out
    content = json.loads((tmp_path / "results.json").read_text())
    cells = {(r["method"], r["target"], r["metric"]): r for r in content["rows"]}
    assert {k[0] for k in cells} == set(meta_reward.METHODS)
    assert {k[1:] for k in cells} == {(t, m) for t in ("fruits", "snacks", "mean")
                                      for m in ("pairs", "accuracy")}
    for method in meta_reward.METHODS:
        each = [cells[method, t, "pairs"]["values"] for t in ("fruits", "snacks")]
        assert cells[method, "mean", "pairs"]["values"] == pytest.approx(
            [sum(x) / 2 for x in zip(*each)])
    gain = cells["OODPL", "mean", "pairs"]["gain"]["values"]
    assert gain == pytest.approx([a - b for a, b in zip(
        cells["OODPL", "mean", "pairs"]["values"], cells["BT + fit", "mean", "pairs"]["values"])])
    assert content["config"]["steps"] == 20 and content["config"]["n_train"] == 4
    assert (tmp_path / "meta_reward.png").exists()
    log = json.loads(next((tmp_path / "runs").glob("OODPL-0-*.json")).read_text())["log"]
    assert [r["target"] for r in log] == ["fruits"] * 20 + ["snacks"] * 20
    for end in (log[19], log[39]):
        assert cells["OODPL", end["target"], "pairs"]["values"] == [end["pairs"]]
        assert len(end["rewards"]) == 15
    shutil.rmtree(tmp_path / "runs")
    meta_reward.main([*flags[:-1]])  # one domain first, and the other by another command
    capsys.readouterr(), meta_reward.main(flags)
    assert capsys.readouterr().out == out
    before = {path: path.read_text() for path in (tmp_path / "runs").glob("*.json")}
    meta_reward.main(flags)  # nothing is trained again
    assert capsys.readouterr().out == out
    assert before == {path: path.read_text() for path in (tmp_path / "runs").glob("*.json")}
    with pytest.raises(InputError, match="has n_test 3, not 4: choose another --out"):
        meta_reward.main([*flags, "--n-test", "4"])


def test_own_files_are_domains(cache, tmp_path, undrawn):
    names = [tmp_path / f"{mark}.jsonl" for mark in "abc"]
    for path in names:
        path.write_text("".join(json.dumps({"prompt": f"{path.stem}{i}?", "chosen": "yes",
                                            "rejected": "no"}) + "\n" for i in range(9)))
    out = tmp_path / "out"
    meta_reward.main([*TINY, "--out", str(out), "--data", *map(str, names), "--seeds", "0",
                      "--left-out", "b.jsonl"])
    rows = json.loads((out / "results.json").read_text())["rows"]
    assert {r["target"] for r in rows} == {"b.jsonl", "mean"} and rows[0]["n_test"] == 3
    names[0].write_text(json.dumps({"prompt": "new?", "chosen": "yes", "rejected": "no"}))
    with pytest.raises(InputError, match="other data in the same files"):
        meta_reward.main([*TINY, "--out", str(out), "--data", *map(str, names), "--seeds", "0"])


def test_of_an_earlier_command_the_log_is_left_out_too():
    run = {"method": "OODPL", "seed": 0, "seconds": 1.0, "results": [{"target": "fruits"}],
           "log": [{"target": "fruits", "step": 1}, {"target": "snacks", "step": 1}]}
    (whole,) = meta_reward.whole([run])
    assert whole["log"] == run["log"][:1] and whole["results"] == run["results"]
    other = run | {"results": [{"target": "snacks"}]}
    (both,) = meta_reward.whole([run, other])
    assert both["log"] == run["log"] and both["seconds"] == 2


@pytest.mark.parametrize("flags, message", [
    (["--paper"], "--paper: OODPL's models and data cannot be run here; add --dry-run"),
    (["--left-out", "meat"], "--left-out meat: there are desserts, .*snacks"),
    (["--seeds", "1", "1"], "each once"), (["--left-out", "fruits", "fruits"], "each once"),
    (["--data", "a.jsonl", "b.jsonl"], "--data takes three files or more"),
    (["--data", "a/a.jsonl", "b/a.jsonl", "c.jsonl"], "--data: two files have one name"),
    (["--max-length", "5"], "--truncate"),
    (["--data", "a", "b", "c", "--part", "validation"], "and no --part"),
    (["--data", "no.jsonl", "b", "c"], "no.jsonl: no such file"),
    (["--set", "alpha=0"], "alpha must be above 0"), (["--set", "gamma=1"], "NAME of alpha, beta"),
    (["--set", "inner_steps=2.5"], "inner_steps is of type int"),
    (["--n-test", "0"], "--n-test: must be a whole number")])
def test_flags_that_cannot_be(flags, message, tmp_path):
    with pytest.raises(InputError, match=message):
        meta_reward.main(["--model", "tiny", "--out", str(tmp_path / "out"), *flags])


def test_a_dry_run_of_the_paper(capsys):
    """It prints the table of experiments/README.md; what that says of our settings is so."""
    meta_reward.main(["--paper", "--dry-run"])
    first, *lines = capsys.readouterr().out.splitlines()
    cells = [re.split("  +", line.strip()) for line in lines]
    assert "cannot be run here" in first and len(cells) == 9
    assert cells[0] == ["OODPL's paper", "here"] and "Flan-T5 XXL" in cells[1][1]
    config, args = meta.MetaConfig(), meta_reward.read_flags([])
    assert cells[-1] == ["inner rate alpha, temperature beta, inner steps D",
                         "from ranges; our copy of the paper has lost them",
                         f"{config.alpha:g}, {config.beta:g}, {config.inner_steps}"]
    assert f"{args.n_train} lists, {4 * args.n_train} pairs" in lines[4]


def test_a_dry_run(capsys):
    meta_reward.main(["--dry-run", "--seeds", "3", "--left-out", "fruits"])
    assert [re.split("  +", x) for x in capsys.readouterr().out.splitlines()] == [
        [name, "seed 3", "fruits"] for name in meta_reward.METHODS]
