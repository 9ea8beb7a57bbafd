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
from support import published, report

# (method, seed) -> accuracy by target; DIAL has a seed more, and Src-Pref has one of its own
VALUES = {("Src-Pref", 0): {"t": 0.5, "u": 0.4}, ("Src-Pref", 1): {"t": 0.6, "u": 0.2},
          ("Src-Pref", 7): {"t": 0.9, "u": 0.9}, ("DIAL", 1): {"t": 0.7, "u": 0.5},
          ("DIAL", 0): {"t": 0.4, "u": 0.7}, ("DIAL", 2): {"t": 0.1, "u": 0.1}}
PAPER = {("Src-Pref", "s", "t", "accuracy"): (0.3, None),
         ("DIAL", "s", "t", "accuracy"): (0.5, 0.02)}


def runs_of(values, metric="accuracy"):
    return [{"method": method, "seed": seed, "seconds": 1.5, "saved": False, "settings": {},
             "log": [{"step": 1, "source_loss": 0.7, "distance": 0.2, "slope": 1.0}],
             "results": [{"method": method, "source": "s", "target": target, "n_test": 10,
                          "n_source": 4, "metrics": {metric: value, "source_accuracy": 1.0}}
                         for target, value in cells.items()]}
            for (method, seed), cells in values.items()]


def args_of(tmp_path, **changes):
    return argparse.Namespace(out=tmp_path, experiment="trial", model="tiny", config=DialConfig(),
                              seeds=[0, 1], batch_size=2, training=None, **changes)


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
    assert (dial["paper"], dial["paper_se"]) == (0.5, 0.02)
    assert rows["DIAL", "u", "accuracy"]["paper"] is None
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
    assert rows["DIAL"] == ["1.000 ± 0.000", "accuracy", "0.400 ± 0.173", "0.500 ± 0.020",
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


# The paper's tables in whole numbers, as they read: Table 5 by subreddit, then language; Table 6 by
# subreddit; Table 7 by split; Table 4 Pearson, Spearman; the last of each is DEAL's own (Tables 2
# to 5 of its paper).
TABLES = {
    (cross_lingual, 100): {
        "Base LM": [58, 57, 60, 57, 58, 55, 55, 54, 51],
        "Src-Pref": [60, 63, 61, 57, 62, 59, 65, 63, 68],
        "Src-Pref-SFT": [62, 59, 64, 56, 61, 56, 65, 64, 61],
        "Src-Pref-Tgt-NTP": [64, 56, 65, 57, 63, 61, 64, 64, 61],
        "DIAL": [68, 66, 68, 63, 68, 62, 68, 65, 67],
        "Tgt-Pref*": [69, 66, 67, 62, 67, 62, 67, 65, 68],
        "Src-Tgt-Pref*": [69, 72, 70, 63, 67, 64, 70, 67, 69],
        "DEAL": [67.9, 65.6, 67.8, 63.4, 68.1, 62.4, 67.8, 65.3, 66.7]},
    (clean_to_noisy, 100): {
        "Base LM": [55, 56, 55], "Src-Pref": [71, 63, 67], "Src-Pref-SFT": [71, 61, 64],
        "Src-Pref-Tgt-NTP": [70, 61, 63], "DIAL": [76, 65, 70], "Tgt-Pref*": [77, 67, 74],
        "Src-Tgt-Pref*": [78, 69, 73], "DEAL": [75.5, 64.9, 70.4]},
    (few_shot, 1000): {
        "Few-shot LM": [599, 643, 646], "Src-Pref": [820, 862, 852],
        "Src-Pref-SFT": [744, 788, 710], "Src-Pref-Tgt-NTP": [759, 721, 721],
        "DIAL": [852, 965, 943], "Tgt-Pref*": [999] * 3, "DEAL": [852, 965, 943]},
    (simple_to_complex, 1000): {
        "Base LM": [408, 394], "Src-Pref": [516, 508], "Src-Pref-SFT": [567, 562],
        "Src-Pref-Tgt-NTP": [567, 558], "DIAL": [577, 556], "Tgt-Pref*": [857, 855],
        "Src-Tgt-Pref*": [860, 857], "DEAL": [532, 521], "DEAL from Src-Pref": [571, 555]}}
ERRORS = {  # of them
    (cross_lingual, 100): {
        "Src-Pref": [3, 1, 2, 1, 1, 1, 1, 1, 1], "Src-Pref-SFT": [1, 4, 0, 2, 2, 1, 0, 0, 0],
        "Src-Pref-Tgt-NTP": [1, 4, 2, 1, 1, 1, 1, 1, 1], "DIAL": [0, 1, 3, 0, 0, 1, 1, 0, 1],
        "Tgt-Pref*": [1, 1, 1, 1, 0, 1, 0, 1, 1], "Src-Tgt-Pref*": [1, 1, 0, 1, 1, 1, 1, 1, 1],
        "DEAL": [0.5, 0.6, 3.2, 0.3, 0.2, 0.8, 1.1, 0.4, 0.6]},
    (clean_to_noisy, 100): {
        "Src-Pref": [1, 1, 1], "Src-Pref-SFT": [2, 2, 1], "Src-Pref-Tgt-NTP": [3, 1, 1],
        "DIAL": [1, 1, 1], "Tgt-Pref*": [0, 1, 0], "Src-Tgt-Pref*": [1, 2, 0],
        "DEAL": [1.4, 1.3, 1.2]},
    (few_shot, 1000): {
        "Src-Pref": [11, 5, 21], "Src-Pref-SFT": [28, 11, 34], "Src-Pref-Tgt-NTP": [20, 13, 37],
        "DIAL": [42, 3, 5], "Tgt-Pref*": [0, 0, 0], "DEAL": [42, 3, 5]},
    (simple_to_complex, 1000): {
        "Base LM": [3, 3], "Src-Pref": [11, 14], "Src-Pref-SFT": [18, 23],
        "Src-Pref-Tgt-NTP": [20, 25], "DIAL": [11, 11], "Tgt-Pref*": [3, 3],
        "Src-Tgt-Pref*": [1, 1], "DEAL": [5, 7], "DEAL from Src-Pref": [6, 6]}}


@pytest.mark.parametrize("command, unit", TABLES)
def test_the_papers_numbers(command, unit):
    assert command.PAPER.keys() == TABLES[command, unit].keys()
    for method, numbers in TABLES[command, unit].items():
        errors = ERRORS[command, unit].get(method, [None] * len(numbers))
        for (mean, error), n, e in zip(command.PAPER[method], numbers, errors, strict=True):
            assert mean == pytest.approx(n / unit)
            assert error is e is None or error == pytest.approx(e / unit)


def test_table_8_line_by_line():
    source = [363, 400, 234, 477, 261, 254, 649, 91, 398, 251, 285, 405, 174, 708, 202, 247, 304,
              183, 248, 229]
    dial = [686, 743, 489, 728, 561, 404, 714, 455, 610, 442, 454, 643, 389, 756, 538, 471, 629,
            397, 683, 396]
    errors = [90, 107, 57, 45, 60, 101, 16, 17, 35, 8, 56, 71, 29, 12, 41, 92, 18, 12, 29, 16], [
        35, 28, 37, 13, 47, 19, 2, 38, 18, 37, 37, 5, 19, 10, 61, 40, 33, 27, 68, 64]
    foods = ("desserts", "fruits", "sauces", "vegetables", "snacks")
    assert odd_one_out.TABLE_8 == {
        "-".join(pair): [(s / 1000, x / 1000), (d / 1000, y / 1000)] for pair, s, d, x, y in zip(
            itertools.permutations(foods, 2), source, dial, *errors, strict=True)}
    assert odd_one_out.PAPER["DEAL"] == odd_one_out.PAPER["DIAL"]
    assert odd_one_out.PAPER["Src-Pref"][7] == (0.091, 0.017)


def test_published_is_the_mean_or_each_cell():
    pairs, metrics = [("a", "b"), ("a", "c")], ("pearson", "spearman")
    table = published.read_table("DIAL  .5±.1  .6\nSome LM  .1  .2\nDIAL  .7  .8±.2")
    assert table == {"DIAL": [(0.5, 0.1), (0.6, None), (0.7, None), (0.8, 0.2)],
                     "Some LM": [(0.1, None), (0.2, None)]}
    del table["Some LM"]
    numbers = published.published(table, pairs, metrics=metrics)
    assert numbers == {("DIAL", "a", t, m): (pytest.approx(v), None) for t in "bc"
                       for m, v in (("pearson", 0.6), ("spearman", 0.7))}
    numbers = published.published(table, (), pairs, metrics)
    assert numbers == {(name, "a", t, m): v for name in ("DIAL", "DIAL, best*") for t, m, v in (
        ("b", "pearson", (0.5, 0.1)), ("b", "spearman", (0.6, None)),
        ("c", "pearson", (0.7, None)), ("c", "spearman", (0.8, 0.2)))}
    assert published.published(table, ()) == {}


def test_the_best_snapshot_gains_on_the_best():
    values = VALUES | {(f"{m}, best*", 1): {"t": v} for m, v in (("Src-Pref", 0.7), ("DIAL", 0.9),
                                                                ("Tgt-Pref", 0.8))}
    rows = {(r["method"], r["target"]): r for r in report.summarize(runs_of(values), {})
            if r["metric"] == "accuracy"}
    assert rows["Src-Pref, best*", "t"]["gain"] is None
    assert rows["DIAL, best*", "t"]["gain"]["values"] == pytest.approx([0.2])
    assert rows["Tgt-Pref, best*", "t"]["gain"]["values"] == pytest.approx([0.1])
    assert rows["DIAL", "t"]["gain"]["values"] == pytest.approx([-0.1, 0.1])
