"""What comes out: the table, the paired gain, results.json, the paper's numbers."""
import argparse
import itertools
import json
from statistics import fmean

import pytest

import clean_to_noisy
import cross_lingual
import few_shot
import odd_one_out
import simple_to_complex
from dial import DialConfig
from support import report

# (method, seed) -> accuracy by target; DIAL has a seed more, and Src-Pref has one of its own
VALUES = {("Src-Pref", 0): {"t": 0.5, "u": 0.4}, ("Src-Pref", 1): {"t": 0.6, "u": 0.2},
          ("Src-Pref", 7): {"t": 0.9, "u": 0.9}, ("DIAL", 1): {"t": 0.7, "u": 0.5},
          ("DIAL", 0): {"t": 0.4, "u": 0.7}, ("DIAL", 2): {"t": 0.1, "u": 0.1}}
PAPER = {("Src-Pref", "s", "t", "accuracy"): 0.3, ("DIAL", "s", "t", "accuracy"): 0.5}


def runs_of(values, metric="accuracy"):
    return [{"method": method, "seed": seed, "seconds": 1.5, "saved": False, "settings": {},
             "log": [{"step": 1, "source_loss": 0.7, "distance": 0.2, "slope": 1.0}],
             "results": [{"method": method, "source": "s", "target": target, "n_test": 10,
                          "n_source": 4, "metrics": {metric: value, "source_accuracy": 1.0}}
                         for target, value in cells.items()]}
            for (method, seed), cells in values.items()]


def args_of(tmp_path, **changes):
    return argparse.Namespace(out=tmp_path, experiment="trial", model="tiny", config=DialConfig(),
                              seeds=[0, 1], batch_size=2, epochs=0, **changes)


def test_mean_and_standard_error_by_hand():
    row = report.mean_and_error([1.0, 2.0, 4.0])
    assert row["mean"] == pytest.approx(7 / 3)
    assert row["se"] == pytest.approx((42 / 18) ** 0.5 / 3**0.5)  # deviations -4/3, -1/3, 5/3
    assert report.mean_and_error([0.5]) == {"mean": 0.5, "se": None, "values": [0.5]}


def test_rows_pair_by_seed():
    rows = {(r["method"], r["target"], r["metric"]): r
            for r in report.summarize(runs_of(VALUES), PAPER)}
    dial = rows["DIAL", "t", "accuracy"]
    assert dial["seeds"] == [0, 1, 2] and dial["values"] == [0.4, 0.7, 0.1]
    assert dial["gain"]["values"] == pytest.approx([-0.1, 0.1])  # of seeds 0 and 1
    assert rows["Src-Pref", "t", "accuracy"]["gain"] is None
    assert dial["paper"] == 0.5 and rows["DIAL", "u", "accuracy"]["paper"] is None
    assert (dial["n_test"], rows["DIAL", "t", "source_accuracy"]["n_test"]) == (10, 4)


def test_the_gain_is_paired_by_seed_and_averaged_over_pairs():
    row = report.gain(report.summarize(runs_of(VALUES), {}), "accuracy")
    assert row["seeds"] == [0, 1]
    assert row["values"] == pytest.approx([(-0.1 + 0.3) / 2, (0.1 + 0.3) / 2])
    assert row["mean"] == pytest.approx(0.15) and row["se"] == pytest.approx(0.05)
    assert (row["source"], row["target"], row["paper"]) == ("all", "all", None)
    alone = {key: {"t": cells["t"]} for key, cells in VALUES.items()}
    row = report.gain(report.summarize(runs_of(alone), PAPER), "accuracy")
    assert row["values"] == pytest.approx([-0.1, 0.1]) and row["mean"] == pytest.approx(0)
    assert row["paper"] == pytest.approx(0.2) and row["target"] == "t"
    only = {key: cells for key, cells in VALUES.items() if key[0] == "DIAL"}
    assert report.gain(report.summarize(runs_of(only), {}), "accuracy") is None


@pytest.mark.parametrize("values, words", [
    ([0.1, 0.2, 0.1, 0.2, 0.1], ["+0.140 ± 0.024", "5 of 5 seeds up", "; established"]),
    ([0.1, 0.2, 0.1, 0.2], ["4 of 4 seeds up", "not established"]),  # too few seeds
    ([0.5, -0.1, 0.3, 0.0, 0.1], ["+0.160 ± 0.108", "3 of 5", "not established"]),  # 1.5 errors
    ([-0.1, -0.2, -0.1, -0.2, -0.1], ["-0.140", "0 of 5", "not established"]),
    ([0.1], ["+0.100, 1 of 1", "not established"])])
def test_established_is_above_two_standard_errors_over_five_seeds(values, words):
    line = report.gain_line(report.mean_and_error(values) | {"metric": "accuracy", "paper": None})
    assert all(word in line for word in words) and "in the paper" not in line
    line = report.gain_line(report.mean_and_error(values) | {"metric": "pearson", "paper": 0.04})
    assert "in pearson" in line and "in the paper +0.040" in line


def test_the_table_has_the_gain_beside_the_papers_number(tmp_path, capsys):
    alone = {key: {"t": cells["t"]} for key, cells in VALUES.items()}
    table = report.table(report.summarize(runs_of(alone), PAPER))
    assert table[0] == ["method", "source", "target", "source accuracy", "metric", "on the target",
                        "paper", "gain", "n"]
    rows = {line[0]: line[3:] for line in table[1:]}
    assert rows["DIAL"] == ["1.000 ± 0.000", "accuracy", "0.400 ± 0.173", "0.500",
                            "+0.000 ± 0.100", "3 x 10"]
    assert rows["Src-Pref"][-2:] == ["", "3 x 10"]
    assert "paper" not in report.table(report.summarize(runs_of(alone), {}))[0]


@pytest.mark.parametrize("targets", [["t"], ["t", "u"]])
def test_results_json(targets, tmp_path, capsys):
    values = {key: {t: cells[t] for t in targets} for key, cells in VALUES.items()}
    report.report(args_of(tmp_path), runs_of(values), "Trial", PAPER)
    record = json.loads((tmp_path / "results.json").read_text())
    assert set(record) == {"experiment", "command", "model", "config", "seconds", "versions",
                           "rows"}
    assert (record["experiment"], record["model"], record["seconds"]) == ("trial", "tiny", 9.0)
    assert {"torch", "transformers", "peft", "python"} <= set(record["versions"])
    assert record["config"]["lora_rank"] == 64 and record["config"]["batch_size"] == 2
    for row in record["rows"]:
        assert {"method", "source", "target", "metric", "mean", "se", "values", "n_test",
                "paper"} <= set(row)
        assert row["mean"] == pytest.approx(fmean(row["values"]))
    assert [r["method"] for r in record["rows"] if r["method"] not in ("Src-Pref", "DIAL")] == [
        "DIAL less Src-Pref"]
    assert capsys.readouterr().out.count("paired gain of DIAL over Src-Pref in accuracy") == 1
    picture = tmp_path / ("training.png" if targets == ["t"] else "pairs.png")
    assert picture.read_bytes()[:4] == b"\x89PNG"


def test_a_target_that_was_not_measured(tmp_path, capsys):
    runs = runs_of({("Src-Pref", 0): {"t": 0.5}, ("DIAL", 0): {"t": 0.5}}, "distance")
    report.report(args_of(tmp_path), runs, "Trial", {})
    out = capsys.readouterr().out
    assert "not measured" in out and "gain" not in out and "1.000" in out and "1 x 4" in out
    report.report(args_of(tmp_path / "none"), [], "Trial", {})  # --dry-run
    assert capsys.readouterr().out == "" and not (tmp_path / "none").exists()


def test_the_papers_numbers():
    """Tables 1 and 2 by subreddit and language; the code has their means."""
    table_1 = {"Base LM": [58, 57, 60, 57, 58, 55, 55, 54, 51],
               "Src-Pref": [60, 63, 61, 57, 62, 59, 65, 63, 68],  # .621 in the paper's abstract
               "Src-Pref-SFT": [62, 59, 64, 56, 61, 56, 65, 64, 61],
               "Src-Pref-Tgt-NTP": [64, 56, 65, 57, 63, 61, 64, 64, 61],
               "DIAL": [68, 66, 68, 63, 68, 62, 68, 65, 67],
               "Tgt-Pref*": [69, 66, 67, 62, 67, 62, 67, 65, 68],
               "Src-Tgt-Pref*": [69, 72, 70, 63, 67, 64, 70, 67, 69]}
    table_2 = {"Base LM": [55, 56, 55], "Src-Pref": [71, 63, 67], "Src-Pref-SFT": [71, 61, 64],
               "Src-Pref-Tgt-NTP": [70, 61, 63], "DIAL": [76, 65, 70], "Tgt-Pref*": [77, 67, 74],
               "Src-Tgt-Pref*": [78, 69, 73]}
    for numbers, table in ((cross_lingual.PAPER, table_1), (clean_to_noisy.PAPER, table_2)):
        assert numbers == pytest.approx({m: fmean(v) / 100 for m, v in table.items()}, abs=0.0011)
    assert few_shot.PAPER["DIAL"] == (0.852, 0.965, 0.943)
    assert few_shot.PAPER["Src-Pref"] == (0.820, 0.862, 0.852)
    assert simple_to_complex.PAPER["DIAL"] == (0.577, 0.556)
    assert simple_to_complex.PAPER["Src-Pref"] == (0.516, 0.508)


def test_table_8_line_by_line():
    source = [363, 400, 234, 477, 261, 254, 649, 91, 398, 251, 285, 405, 174, 708, 202, 247, 304,
              183, 248, 229]
    dial = [686, 743, 489, 728, 561, 404, 714, 455, 610, 442, 454, 643, 389, 756, 538, 471, 629,
            397, 683, 396]
    foods = ("desserts", "fruits", "sauces", "vegetables", "snacks")
    assert odd_one_out.TABLE_8 == {pair: (s / 1000, d / 1000) for pair, s, d in zip(
        itertools.permutations(foods, 2), source, dial, strict=True)}


def test_published_is_for_every_pair_and_metric():
    pairs = [("a", "b"), ("a", "c")]
    numbers = report.published({"DIAL": (0.5, 0.6)}, pairs, ("pearson", "spearman"))
    assert numbers == {("DIAL", "a", t, m): v for t in "bc"
                       for m, v in (("pearson", 0.5), ("spearman", 0.6))}
    assert report.published({"DIAL": 0.7}, pairs[:1]) == {("DIAL", "a", "b", "accuracy"): 0.7}
    assert report.published({"DIAL": 0.7}, ()) == {}
