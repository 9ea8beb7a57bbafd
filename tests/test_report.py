"""What comes out: the table, the paired gain and its p, results.json."""
import argparse
import json
import sys
from statistics import fmean

import pytest
from scipy import stats

from dial import DialConfig
from harness import figures, report, tables
from harness.figures import thinned
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


def gains_of(**targets):
    """Runs of Src-Pref at .5 and of DIAL at so much more, a seed each, by target."""
    seeds = range(len(next(iter(targets.values()))))
    return runs_of({("Src-Pref", seed): dict.fromkeys(targets, 0.5) for seed in seeds} | {
        ("DIAL", seed): {t: 0.5 + gains[seed] for t, gains in targets.items()} for seed in seeds})


def args_of(tmp_path, **changes):
    flags = {"experiment": "trial", "paper": None, "methods": ["Src-Pref", "DIAL"]} | changes
    return argparse.Namespace(out=tmp_path, model="tiny", config=DialConfig(), seeds=[0, 1],
                              batch_size=2, training=None, **flags)


@pytest.fixture
def undrawn(monkeypatch):
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


# ------------------------------------------------------------------ p and Holm


def test_p_is_that_of_a_two_sided_paired_t_test():
    """By hand: gains 1, 2, 3 have t = 2 / (1 / sqrt 3) with two degrees of freedom, where the
    distribution function is 1/2 + t / (2 sqrt(2 + t^2)), so p = 1 - sqrt(6/7)."""
    assert tables.paired([1.0, 2.0, 3.0])["p"] == pytest.approx(1 - (6 / 7) ** 0.5)
    assert tables.paired([-3.0, -2.0, -1.0])["p"] == pytest.approx(1 - (6 / 7) ** 0.5)
    ours, base = [0.61, 0.55, 0.7, 0.42, 0.66], [0.5, 0.57, 0.61, 0.4, 0.52]
    row = tables.paired([a - b for a, b in zip(ours, base)])
    assert row["p"] == pytest.approx(stats.ttest_rel(ours, base).pvalue)
    assert row["p"] < stats.ttest_ind(ours, base).pvalue / 3  # what pairing is for
    assert tables.paired([0.1])["p"] is tables.paired([0.0, 0.0])["p"] is None


def test_gains_that_differ_by_rounding_alone_have_no_p():
    gains = [a + 0.1 - a for a in (0.1, 0.2, 0.3, 0.7, 0.9)]
    assert len(set(gains)) > 1
    row = tables.paired(gains)
    assert (row["se"], row["p"]) == (0, None) and not tables.established(row, row["p"])


def test_holms_correction():
    """By hand, in the order of the p values: .01 x 3, then .02 x 2, then .04, none below the one
    before; and against an independent statement of it, from the closed testing of Bonferroni."""
    assert tables.holm([0.02, 0.04, 0.01]) == pytest.approx([0.04, 0.04, 0.03])
    assert tables.holm([0.6, 0.5]) == [1.0, 1.0] and tables.holm([0.3]) == [0.3]
    ps = [0.011, 0.4, 0.02, 0.013, 0.011]

    def rejected(level):  # step down until one is not small enough
        order, out = sorted(range(len(ps)), key=ps.__getitem__), set()
        for k, i in enumerate(order):
            if ps[i] > level / (len(ps) - k):
                break
            out.add(i)
        return out

    corrected = tables.holm(ps)
    for level in (0.01, 0.05, 0.0521, 0.054, 0.0561, 0.07, 0.3, 0.5):
        assert {i for i, p in enumerate(corrected) if p <= level} == rejected(level)


@pytest.mark.parametrize("values, words", [
    ([0.1, 0.2, 0.1, 0.2, 0.1], ["+0.140 ± 0.024 (p = 0.0046), 5 of 5 seeds up; established"]),
    ([0.1, 0.2, 0.1, 0.2], [  # p = .014, but too few seeds
        "(p = 0.014), 4 of 4 seeds up; too few seeds to say, 5 are needed"]),
    ([0.5, -0.1, 0.3, 0.0, 0.1], ["+0.160 ± 0.108 (p = 0.21), 3 of 5 seeds up; no gain found"]),
    ([0.1, 0.3, 0.0, 0.2, 0.03], ["(p = 0.086)", "no gain found"]),  # 2.3 standard errors
    ([-0.1, -0.2, -0.1, -0.2, -0.1], ["-0.140 ± 0.024 (p = 0.0046), 0 of 5", "no gain found"]),
    ([0.1], ["accuracy: +0.100, 1 of 1", "too few seeds"]),
    ([0.0] * 5, ["accuracy: +0.000 ± 0.000, 0 of 5", "no gain found"])])
def test_established_is_p_below_a_twentieth_over_five_seeds_and_a_gain_above_0(values, words):
    row = tables.paired(values) | {"metric": "accuracy", "paper": None}
    line = report.gain_line(row)
    assert all(word in line for word in words) and "in the paper" not in line
    assert line.endswith("; established") == (words[0].endswith("; established"))
    line = report.gain_line(row | {"metric": "pearson", "paper": 0.04})
    assert "in pearson" in line and "; in the paper +0.040; " in line


STEADY, LOSS = [0.1, 0.2, 0.1, 0.2, 0.1], [-0.1, -0.2, -0.1, -0.2, -0.1]  # p = .0046
WEAK = [0.1, 0.3, 0.02, 0.2, 0.05]  # p = .060
FAIR = [0.1, 0.3, 0.05, 0.2, 0.1]  # p = .028, twice as much among two


@pytest.mark.parametrize("targets, found", [
    ({"t": STEADY, "u": FAIR}, ["s -> t (p = 0.0093), s -> u (p = 0.028)"]),
    ({"t": WEAK, "u": STEADY}, ["s -> u (p = 0.0093)\n"]),
    ({"t": FAIR, "u": WEAK}, ["none\n"]),  # .028 is not below .05 twice
    ({"t": LOSS, "u": STEADY}, ["of 2 targets, after Holm's correction: s -> u (p = 0.0093)\n"]),
    ({"t": STEADY[:4], "u": STEADY[:4]}, ["none\n"]), ({"t": STEADY}, [])])
def test_of_several_targets_holm_says_which_are_established(targets, found, tmp_path, capsys,
                                                            undrawn):
    report.report(args_of(tmp_path), gains_of(**targets), "Trial")
    out = capsys.readouterr().out
    assert out.count("established by itself in accuracy, of ") == len(found) and all(w in out for w in found)
    rows = json.loads((tmp_path / "results.json").read_text())["rows"]
    gains = [r["gain"] for r in rows if (r["method"], r["metric"]) == ("DIAL", "accuracy")]
    ps = [stats.ttest_1samp(values, 0).pvalue for values in targets.values()]
    assert [g["p"] for g in gains] == pytest.approx(ps)
    assert [g["p_holm"] for g in gains] == pytest.approx(tables.holm(ps))
    (row,) = [r for r in rows if r["method"] == "DIAL less Src-Pref"]
    mean = [fmean(values) for values in zip(*targets.values())]
    assert row["values"] == pytest.approx(mean) and row["se"] == pytest.approx(
        stats.sem(mean), abs=1e-9)
    if row["se"] > 1e-9:
        assert row["p"] == pytest.approx(stats.ttest_1samp(mean, 0).pvalue)


def test_what_only_one_seed_has_says_no_p(tmp_path, capsys, undrawn):
    report.report(args_of(tmp_path), gains_of(t=[0.1], u=[0.2]), "Trial")
    out = capsys.readouterr().out
    assert "p =" not in out and "too few seeds to say" in out and "correction: none" in out
    rows = json.loads((tmp_path / "results.json").read_text())["rows"]
    assert [r["gain"]["p"] for r in rows if r.get("gain")] == [None] * 4


# ------------------------------------------------------------------ what is printed and written


def test_a_source_that_is_not_learned_is_said():
    def of(method, source):
        results = [{"method": method, "source": "s", "target": "t", "n_test": 4, "n_source": 4,
                    "metrics": {"accuracy": 0.5, "source_accuracy": source}}]
        return {"method": method, "seed": 0, "results": results}

    for ours, base, said in ((0.3, 0.6, True), (0.5, 0.6, False), (0.9, 0.6, False)):
        rows = report.summarize([of("Src-Pref", base), of("DIAL", ours)])
        assert ("has not learned its source" in " ".join(report.lost_source(rows))) is said
    assert not [*report.lost_source(report.summarize([of("Src-Pref", 0.9)]))]


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
                           "rows"}
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
                                                             undrawn):
    """With --paper, and for odd one out; nowhere else are they read."""
    for changes, read in (({}, False), ({"experiment": "odd_one_out"}, True), (
            {"paper": "folder"}, True)):
        asked = []
        monkeypatch.setattr(published, "published", lambda args: asked.append(args) or PAPER)
        report.report(args_of(tmp_path, **changes), runs_of(VALUES), "Trial")
        assert bool(asked) is read is ("paper" in capsys.readouterr().out.split("\n")[0])


def test_a_target_that_was_not_measured(tmp_path, capsys, undrawn):
    runs = runs_of({("Src-Pref", 0): {"t": 0.5}, ("DIAL", 0): {"t": 0.5}}, "distance")
    report.report(args_of(tmp_path), runs, "Trial")
    out = capsys.readouterr().out
    assert "not measured" in out and "gain" not in out and "1.000" in out and "1 x 4" in out
    assert undrawn == ["plot_training"]
    report.report(args_of(tmp_path / "none"), [], "Trial")  # --dry-run
    assert capsys.readouterr().out == "" and not (tmp_path / "none").exists()


# ------------------------------------------------------------------ the picture


def test_what_training_png_shows(tmp_path, monkeypatch):
    log = [{"step": s, "source_loss": s / 10, "distance": 6.0 * s, "slope": 2.0, "domain_loss": 9.0}
           for s in range(1, 121)]
    runs = [{"method": "DIAL", "log": log}, {"method": "Longest", "log": []}]
    drawn = []
    monkeypatch.setattr(figures, "plot_seeds", lambda ax, curves, method: (
        drawn.append((method, *curves)), ax.plot([0], [0], label=method)))
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda *_, **__: None)
    figures.plot_training(runs, tmp_path / "a.png", "Trial")
    steps = range(3, 121, 3)  # forty means of three steps
    assert drawn == [("DIAL", pytest.approx({s: (s - 1) * k for s in steps})) for k in (0.1, 3.0)
                     ] + [("DIAL", pytest.approx(dict.fromkeys(steps, 2.0)))]


def test_a_curve_is_thinned_to_means_by_hand():
    assert thinned({2: 1.0, 4: 3.0, 5: 5.0, 6: 5.0, 9: 1.0}, 3) == {4: 2.0, 6: 5.0, 9: 1.0}
    assert thinned({1: 0.5, 3: 0.2}) == {1: 0.5, 3: 0.2} and thinned({}) == {}
