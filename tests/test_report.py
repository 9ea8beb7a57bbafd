"""What comes out: the table, the paired gain, results.json (p and Holm: test_gain.py)."""
import argparse
import json
import sys
from statistics import fmean

import pytest

from dial import DialConfig
from harness import figures, report, tables
from paper import published

# (method, seed) -> accuracy by target; DIAL has a seed more, and Src-Pref has one of its own
VALUES = {("Src-Pref", 0): {"t": 0.5, "u": 0.4}, ("Src-Pref", 1): {"t": 0.6, "u": 0.2},
          ("Src-Pref", 7): {"t": 0.9, "u": 0.9}, ("DIAL", 1): {"t": 0.7, "u": 0.5},
          ("DIAL", 0): {"t": 0.4, "u": 0.7}, ("DIAL", 2): {"t": 0.1, "u": 0.1}}
PAPER = {("Src-Pref", "s", "t", "accuracy"): (0.3, None),
         ("DIAL", "s", "t", "accuracy"): (0.5, 0.02)}


def runs_of(values, metric="accuracy"):
    return [{"method": method, "seed": seed, "seconds": 1.5, "saved": None,
             "settings": {"device": "cpu", "dtype": "bfloat16"},
             "log": [{"step": 1, "source_loss": 0.7, "distance": 0.2, "slope": 1.0}],
             "results": [{"method": method, "source": "s", "target": target, "n_test": 10,
                          "n_source": 4, "metrics": {metric: value, "source_accuracy": 1.0}}
                         for target, value in cells.items()]}
            for (method, seed), cells in values.items()]


def args_of(tmp_path, **changes):
    flags = {"experiment": "trial", "paper": None, "methods": ["Src-Pref", "DIAL"]} | changes
    return argparse.Namespace(out=tmp_path, model="tiny", config=DialConfig(), seeds=[0, 1],
                              batch_size=2, training=None, **flags)


@pytest.fixture
def pictures(monkeypatch):
    """Without the pictures, which take longest."""
    drawn = []
    for name in ("plot_training", "plot_pairs"):
        monkeypatch.setattr(figures, name, lambda *a, name=name, **k: drawn.append(name))
    return drawn


# ------------------------------------------------------------------ rows and gains


def test_mean_and_standard_error_by_hand():
    row = tables.mean_and_error([1.0, 2.0, 4.0])
    assert row["mean"] == pytest.approx(7 / 3)
    assert row["se"] == pytest.approx((42 / 18) ** 0.5 / 3**0.5)  # deviations -4/3, -1/3, 5/3
    assert tables.mean_and_error([0.5]) == {"mean": 0.5, "se": None, "values": [0.5]}


def test_rows_pair_by_seed():
    rows = {(r["method"], r["target"], r["metric"]): r
            for r in report.summarize(runs_of(VALUES), paper=PAPER)}
    dial = rows["DIAL", "t", "accuracy"]
    assert dial["seeds"] == [0, 1, 2] and dial["values"] == [0.4, 0.7, 0.1]
    assert dial["gain"]["values"] == pytest.approx([-0.1, 0.1])  # of seeds 0 and 1
    assert dial["gain"]["seeds"] == [0, 1]
    assert rows["Src-Pref", "t", "accuracy"]["gain"] is None
    assert (dial["paper"], dial["paper_se"]) == (0.5, 0.02)
    assert dial["gain"]["paper"] == pytest.approx(0.2)
    assert rows["DIAL", "u", "accuracy"]["paper"] is None
    assert rows["DIAL", "u", "accuracy"]["gain"]["paper"] is None
    assert (dial["n_test"], rows["DIAL", "t", "source_accuracy"]["n_test"]) == (10, 4)


def test_the_gain_is_paired_by_seed_and_averaged_over_pairs():
    row = report.gain(report.summarize(runs_of(VALUES)), "accuracy")
    assert row["seeds"] == [0, 1]
    assert row["values"] == pytest.approx([(-0.1 + 0.3) / 2, (0.1 + 0.3) / 2])
    assert row["mean"] == pytest.approx(0.15) and row["se"] == pytest.approx(0.05)
    assert (row["source"], row["target"], row["paper"]) == ("all", "all", None)
    alone = {key: {"t": cells["t"]} for key, cells in VALUES.items()}
    row = report.gain(report.summarize(runs_of(alone), paper=PAPER), "accuracy")
    assert row["values"] == pytest.approx([-0.1, 0.1]) and row["mean"] == pytest.approx(0)
    assert row["paper"] == pytest.approx(0.2) and row["target"] == "t"
    only = {key: cells for key, cells in VALUES.items() if key[0] == "DIAL"}
    assert report.gain(report.summarize(runs_of(only)), "accuracy") is None
    more = PAPER | {("Src-Pref", "s", "u", "accuracy"): (0.1, None),
                    ("DIAL", "s", "u", "accuracy"): (0.7, None)}
    row = report.gain(report.summarize(runs_of(VALUES), paper=more), "accuracy")
    assert row["paper"] == pytest.approx((0.5 + 0.7) / 2 - (0.3 + 0.1) / 2)


def test_rows_are_in_the_order_of_targets_then_methods():
    """Of the methods asked for, whatever order the runs are in; a best row comes after them."""
    values = {("DIAL", 0): {"t": 0.5}, ("DIAL, best*", 0): {"t": 0.6}, ("Src-Pref", 0): {
        "t": 0.5, "u": 0.5}, ("Longest", 0): {"t": 0.1, "u": 0.1}}
    rows = [(r["target"], r["method"]) for r in report.summarize(
        runs_of(values), ["Longest", "Src-Pref", "DIAL"]) if r["metric"] == "accuracy"]
    assert rows == [("t", "Longest"), ("t", "Src-Pref"), ("t", "DIAL"), ("t", "DIAL, best*"),
                    ("u", "Longest"), ("u", "Src-Pref")]


def test_the_best_snapshot_gains_on_the_best():
    values = VALUES | {(f"{m}, best*", 1): {"t": v} for m, v in (("Src-Pref", 0.7), ("DIAL", 0.9),
                                                                ("Tgt-Pref", 0.8))}
    rows = {(r["method"], r["target"]): r for r in report.summarize(runs_of(values))
            if r["metric"] == "accuracy"}
    assert rows["Src-Pref, best*", "t"]["gain"] is None
    assert rows["DIAL, best*", "t"]["gain"]["values"] == pytest.approx([0.2])
    assert rows["Tgt-Pref, best*", "t"]["gain"]["values"] == pytest.approx([0.1])
    assert rows["DIAL", "t"]["gain"]["values"] == pytest.approx([-0.1, 0.1])


# ------------------------------------------------------------------ what is printed and written


def test_a_source_that_is_not_learned_is_said():
    def of(method, source):
        results = [{"method": method, "source": "s", "target": "t", "n_test": 4, "n_source": 4,
                    "metrics": {"accuracy": 0.5, "source_accuracy": source}}]
        return {"method": method, "seed": 0, "results": results}

    for ours, base, said in ((0.3, 0.6, True), (0.5, 0.6, False), (0.9, 0.6, False)):
        rows = report.summarize([of("Src-Pref", base), of("DIAL", ours)])
        assert ("may not have learned its source" in " ".join(report.lost_source(rows))) is said
    assert not [*report.lost_source(report.summarize([of("Src-Pref", 0.9)]))]


def test_columns_of_wide_characters(capsys):
    """In a terminal a Hangul syllable is as wide as two letters, and a Thai vowel sign may stand
    above a letter."""
    tables.print_columns([["한국어", "x"], ["abcdef", "y"], ["\u0e01\u0e34\u0e19", "z"]])
    assert capsys.readouterr().out.splitlines() == ["한국어  x", "abcdef  y",
                                                    "\u0e01\u0e34\u0e19      z"]


def test_the_table_has_the_gain_beside_the_papers_number():
    alone = {key: {"t": cells["t"]} for key, cells in VALUES.items()}
    table = report.table(report.summarize(runs_of(alone), paper=PAPER))
    assert table[0] == ["method", "source", "target", "source accuracy", "metric", "on the target",
                        "paper", "gain", "n"]
    rows = {line[0]: line[3:] for line in table[1:]}
    assert rows["DIAL"] == ["1.000 ± 0.000", "accuracy", "0.400 ± 0.173", "0.500 ± 0.020",
                            "+0.000 ± 0.100", "3 x 10"]
    assert rows["Src-Pref"][-2:] == ["", "3 x 10"]
    assert "paper" not in report.table(report.summarize(runs_of(alone)))[0]


@pytest.mark.parametrize("targets", [["t"], ["t", "u"]])
def test_results_json(targets, tmp_path, capsys, monkeypatch):
    values = {key: {t: cells[t] for t in targets} for key, cells in VALUES.items()}
    monkeypatch.setattr(published, "published", lambda args: PAPER)
    monkeypatch.setattr(sys, "argv", ["a.py", "--methods", "Seen words"])
    report.report(args_of(tmp_path, paper="folder"), runs_of(values), "Trial")
    record = json.loads((tmp_path / "results.json").read_text())
    assert set(record) == {"experiment", "command", "model", "config", "seconds", "versions",
                           "commit", "machine", "rows"}
    assert (record["experiment"], record["model"], record["seconds"]) == ("trial", "tiny", 9.0)
    assert record["command"] == "a.py --methods 'Seen words'"
    assert {"torch", "transformers", "peft", "python"} <= set(record["versions"])
    config = record["config"]
    assert config["lora_rank"] == 64 and config["batch_size"] == 2 and config["dtype"] == "bfloat16"
    assert config["seeds"] == [0, 1, 2, 7]
    assert [r["paper"] for r in record["rows"] if (r["method"], r["metric"]) == (
        "DIAL", "accuracy")] == [0.5, None][: len(targets)]
    for row in record["rows"]:
        assert {"method", "source", "target", "metric", "mean", "se", "values", "seeds", "n_test",
                "paper"} <= set(row)
        assert row["mean"] == pytest.approx(fmean(row["values"]))
    assert [r["method"] for r in record["rows"] if r["method"] not in ("Src-Pref", "DIAL")] == [
        "DIAL less Src-Pref"]
    assert capsys.readouterr().out.count("paired gain of DIAL over Src-Pref in accuracy") == 1
    picture = tmp_path / ("training.png" if targets == ["t"] else "pairs.png")
    assert picture.read_bytes()[:4] == b"\x89PNG"


def test_published_numbers_stand_beside_data_like_the_papers(tmp_path, capsys, monkeypatch,
                                                             pictures):
    """With --paper, and for odd one out; nowhere else are they read."""
    for changes, read in (({}, False), ({"experiment": "odd_one_out"}, True), (
            {"paper": "folder"}, True)):
        asked = []
        monkeypatch.setattr(published, "published", lambda args: asked.append(args) or PAPER)
        report.report(args_of(tmp_path, **changes), runs_of(VALUES), "Trial")
        assert bool(asked) is read is ("paper" in capsys.readouterr().out.split("\n")[0])


def test_a_target_that_was_not_measured(tmp_path, capsys, pictures):
    runs = runs_of({("Src-Pref", 0): {"t": 0.5}, ("DIAL", 0): {"t": 0.5}}, "distance")
    report.report(args_of(tmp_path), runs, "Trial")
    out = capsys.readouterr().out
    assert "not measured" in out and "gain" not in out and "1.000" in out and "1 x 4" in out
    assert pictures == ["plot_training"]
    report.report(args_of(tmp_path / "none"), [], "Trial")  # --dry-run
    assert capsys.readouterr().out == "" and not (tmp_path / "none").exists()
