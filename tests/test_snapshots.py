"""Rules for which snapshot of training to keep."""
import json
import math

import pytest
import torch
from test_scripts import FAST
from torch import nn

import cross_lingual
import few_shot
import safety
import snapshots
from data import InputError

ALL = list(snapshots.RULES)


def test_the_best_state_of_each_rule_comes_back():
    model = nn.Linear(2, 1)
    kept, states = snapshots.Snapshots(model, ["last", "source", "distance"]), []
    for step, (accuracy, distance) in enumerate([(0.5, 0.2), (0.9, 0.4), (0.9, 0.1), (0.6, 0.3)]):
        nn.init.normal_(model.weight)
        states.append(model.weight.detach().clone())
        kept.keep({"step": step, "source_accuracy": accuracy, "normalized_distance": distance})
    for rule, step in (("last", 3), ("source", 2), ("distance", 2)):  # of equals the later
        assert kept.restore(rule) == step
        torch.testing.assert_close(model.weight.detach(), states[step], rtol=0, atol=0)


def test_bound_is_the_sum_of_theorem_2_1():
    record = {"source_error": 0.1, "head_norm": 2.0, "normalized_distance": 0.3}
    assert snapshots.RULES["bound"](record) == pytest.approx(-(0.1 + 2 * 2.0 * 0.25 * 0.3))


def test_entropy_by_hand():
    even, sure = torch.zeros(4), torch.tensor([100.0, 0.0])
    assert snapshots.entropy([even, sure]) == pytest.approx(math.log(4) / 2)
    single = [torch.tensor([r]) for r in (1.0, 1.0, 50.0, -50.0, 7.0)]  # two by two, one is left
    assert snapshots.entropy(single) == pytest.approx(math.log(2) / 2)


def run(out, *flags):
    cross_lingual.main(["--model", "tiny", "--steps", "6", "--n-train", "40", "--n-test", "20",
                        "--seeds", "0", "--out", str(out), *flags])
    return {r["method"]: r for r in json.loads((out / "results.json").read_text())["rows"]
            if r["metric"] == "accuracy"}


def test_a_row_for_each_rule_and_looking_changes_nothing(tmp_path):
    rows = run(tmp_path / "a", "--eval-every", "2", "--choose", *ALL)
    of_critic = {f"DIAL, {rule}" for rule in ALL[1:]}
    assert set(rows) == {"Src-Pref", "Src-Pref, source", "Src-Pref, entropy", "Src-Pref, oracle*",
                         "DIAL"} | of_critic
    plain = run(tmp_path / "b", "--eval-every", "0")
    assert {m: rows[m]["values"] for m in plain} == {m: plain[m]["values"] for m in plain}


def test_the_last_step_is_one_of_the_snapshots(tmp_path):
    run(tmp_path, "--eval-every", "4", "--choose", "last", "source")
    runs = [json.loads(line) for line in (tmp_path / "runs.jsonl").read_text().splitlines()]
    assert {r["snapshot"] for r in runs if r["method"] in ("DIAL", "Src-Pref")} == {6}
    assert {r["snapshot"] for r in runs} <= {4, 6}


@pytest.mark.parametrize("flags, says", [
    (["--choose", "best"], "there are last, source"),
    (["--choose", "source", "source"], "once each"),
    (["--choose", "source", "--eval-every", "0"], "--eval-every"),
    (["--choose", "source", "--target", "fruits:ko", "snacks:ko"],
     "trained once for 2 pairs"),
])
def test_bad_choices(tmp_path, flags, says):
    with pytest.raises(InputError, match=says):
        run(tmp_path, *flags)


def test_a_distance_that_is_not_known_yet_is_not_kept_for_good():
    model = nn.Linear(2, 1)
    kept = snapshots.Snapshots(model, ["distance"])
    for step, distance in enumerate((math.nan, 0.3, 0.5)):
        kept.keep({"step": step, "normalized_distance": distance})
    assert kept.restore("distance") == 1


def test_rows_are_named_by_their_rule(tmp_path):
    """Without the last snapshot among the rules, no row goes by the bare name of a method that
    others could be compared with by mistake."""
    rows = run(tmp_path, "--eval-every", "3", "--choose", "bound", "oracle*")
    assert set(rows) == {"Src-Pref, oracle*", "DIAL, bound", "DIAL, oracle*"}
    assert json.loads((tmp_path / "results.json").read_text())["config"]["choose"] == ["bound",
                                                                                    "oracle*"]


def test_one_rule_for_several_pairs(cache, tmp_path, capsys):
    """No row goes by a bare name then, and there is a table all the same."""
    few_shot.main([*FAST, "--seeds", "0", "--steps", "1", "--eval-every", "1", "--splits", "A", "C",
                   "--max-length", "2048", "--choose", "entropy", "--out", str(tmp_path)])
    lines = capsys.readouterr().out.splitlines()
    assert "DIAL, entropy" in lines[0] and lines[1].startswith("ten of A")


def test_few_shot_never_chooses_by_what_it_is_tested_on(tmp_path):
    """The source's rows to choose by are the ten; source.test is the target's, with its labels."""
    source, target = safety.few_shot_domains(safety.read_answers(), "A")
    assert source.validation.test == source.labeled and len(source.labeled) == 10
    tested = {row.prompt for row in target.test}
    assert not tested & {row.prompt for row in source.validation.test + target.validation.test}
